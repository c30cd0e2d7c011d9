"""Every kind of original file: what it says of itself, and the original network's answers."""

import numpy as np
import pytest
from original_networks import PLAIN, config_with_code, plain, save, two_path
from resnet_files import plain_pytorch, random_state
from resnet_files import save as save_state

from keras_audio.importers import load_original, original_model, read_original
from keras_audio.models import create_model


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def loaded(original, **arguments):
    model = create_model(original.model, original.classes, **original.arguments, **arguments)
    load_original(model, original)
    return model


def answer(model, x) -> np.ndarray:
    return np.array(model(x, training=False))


def answers_alike(model, x, expected):
    """And would not if the classes, or the time, went another way."""
    answered = answer(model, x)
    # Of the rounding of 18 layers.
    np.testing.assert_allclose(answered, expected, rtol=0, atol=2e-5)
    assert np.ptp(expected, axis=1).min() > 0.01
    backwards = x[:, ::-1] if x.ndim == 3 else x[:, :, ::-1]
    assert np.abs(answer(model, backwards) - expected).max() > 1e-3


@pytest.mark.parametrize("name", PLAIN)
def test_plain_networks_of_the_2017_code(name, tmp_path):
    x = noise(2, 8000, 1)
    net = plain(name, 7, x)
    original = read_original(save(tmp_path / "m.h5", net), name)
    assert (original.classes, original.channels, original.arguments) == (7, 1, {"channels": 1})
    answers_alike(loaded(original), x, net.outputs["y"])


@pytest.mark.parametrize("classes", [10, 11])
@pytest.mark.parametrize("channels", [3, 6])
def test_two_path_network_of_each_task(channels, classes, tmp_path):
    x = noise(2, 128, 40, channels)
    net = two_path(classes, x)
    path = save(tmp_path / "two_path.hdf5", net, config_with_code(tmp_path / "ran"))
    original = read_original(path, "two_path_resnet", arrays_only=True)
    assert (original.classes, original.channels) == (classes, channels // 3)
    model = loaded(original, input="features")
    answers_alike(model, x, net.outputs["y"])
    assert np.abs(answer(model, x[:, ::-1]) - net.outputs["y"]).max() > 1e-3


def test_two_path_layers_are_listed_as_in_the_authors_file(shared):
    import h5py

    with h5py.File(shared / "reference" / "two_path_1b.h5") as file:
        root = file["model_weights"]
        theirs = [
            (name.rpartition("_")[0] if name[-1].isdigit() else name, len(names))
            for name in root.attrs["layer_names"]
            if len(names := root[name].attrs["weight_names"])
        ]
    net = two_path(10, noise(1, 128, 16, 3))
    ours = [(name.rpartition("_")[0], len(arrays)) for name, arrays in net.layers.items() if arrays]
    assert ours == theirs


def test_m34_res_of_the_original_code_is_the_sixth_block():
    assert original_model("m34_res") == "m34_res_rb6"


def test_resnet34_with_its_classifier(tmp_path):
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")
    network = plain_pytorch(torch, "resnet34", 10)
    path = tmp_path / "resnet34.pth"
    torch.save(network.state_dict(), path)
    original = read_original(path, "resnet34")
    assert (original.classes, original.channels, original.num_filters) == (10, 1, 64)
    # One channel is seen three times.
    x = noise(2, 64, 96, 1)
    with torch.no_grad():
        colors = np.repeat(x, 3, axis=-1).transpose(0, 3, 1, 2).copy()
        expected = network(torch.from_numpy(colors)).numpy()
    model = loaded(original, input="features", classifier_activation=None)
    # Rounding of 34 layers, in logits of up to 2.
    np.testing.assert_allclose(answer(model, x), expected, rtol=0, atol=5e-5)
    assert np.abs(answer(model, x[:, ::-1]) - expected).max() > 0.01


@pytest.mark.parametrize(
    ("seen", "channels", "repeated"), [(1, 1, None), (2, 2, None), (3, 1, 3), (5, 5, None)]
)
def test_channels_and_width_of_a_resnet_are_those_of_its_first_kernel(
    seen, channels, repeated, tmp_path
):
    state = random_state("resnet10", filters=4, classes=6)
    state["conv1.weight"] = noise(4, seen, 7, 7)
    original = read_original(save_state(tmp_path / "r.safetensors", state), "resnet10")
    assert original.arguments == {
        "channels": channels,
        "num_filters": 4,
        "stem_channels": repeated,
    }
    kernel = loaded(original, input="features").get_layer("conv1").kernel
    np.testing.assert_array_equal(kernel, state["conv1.weight"].transpose(2, 3, 1, 0))


def test_plain_network_on_two_channels(tmp_path):
    net = plain("m3", 4, noise(1, 4000, 2))
    assert read_original(save(tmp_path / "m3.h5", net), "m3").channels == 2


@pytest.mark.parametrize(
    ("file", "name", "said"),
    [
        ("a.h5", "erann_1_3", "there are original files of, one of binaural_a, "),
        ("a.h5", "spectrogram_res_rb1", "there are original files of, one of binaural_a, "),
        ("a.h5", "m33", "there are original files of, such as m3. Received: m33"),
        ("a.h5", "m34_rs", "such as m34_res, m34_res_rb"),
        ("a.pt", "m3", "for m3 a Keras 2 HDF5 file, .h5, .hdf5 or .keras2. Received: path="),
        ("a.keras", "m3", "for m3 a Keras 2 HDF5 file"),
        ("a.h5", "binaural_a", "for binaural_a a PyTorch state dict file, .pt, .pth or"),
    ],
)
def test_what_cannot_be_the_network_is_refused_by_its_name(file, name, said, tmp_path):
    with pytest.raises(ValueError) as error:
        read_original(tmp_path / file, name)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_arrays_of_another_network_are_refused(tmp_path, shared):
    path = save(tmp_path / "m.h5", plain("m5", 7, noise(1, 4000, 1)))
    original = read_original(path, "m11")
    with pytest.raises(ValueError, match=r"conv1d_1/kernel has shape \(80, 1, 128\), expected"):
        load_original(create_model("m11", 7), original)
    with pytest.raises(ValueError, match="feature channels of two_path_resnet in multiples of 3"):
        read_original(path, "two_path_resnet")
    state = random_state("resnet10", filters=4, classes=6)
    del state["fc.weight"]
    with pytest.raises(ValueError, match="Expected the arrays of resnet10, first a convolution"):
        read_original(save_state(tmp_path / "r.safetensors", state), "resnet10")
