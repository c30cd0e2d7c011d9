"""What the benchmarks measure ours against is the same function with the same weights."""

import pathlib
import sys

import keras
import numpy as np
import pytest

import keras_audio
from keras_audio.layers import Deltas, LogMelSpectrogram

pytest.importorskip("torch", reason="PyTorch, a peer of the benchmarks, is not installed")
import torch  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))
from peers import alike, keras_originals, torch_front_ends, torch_networks  # noqa: E402
from weights import draw_weights  # noqa: E402

# Names, and an input: with odd and even numbers of frames on the way.
WAVEFORMS = [(f"m34_res_rb{number}", (1201, 1)) for number in range(1, 7)]
WAVEFORMS += [("binaural_a", (3001, 2)), ("binaural_b", (9001, 2))]
FEATURES = [("two_path_resnet", (128, 43, 3))]
FEATURES += [(f"erann_{s_m}_1", (128, 128, 1)) for s_m in (0, 3)]
LOG_MELS = {
    "residual blocks": {"sample_rate": 8000, "n_fft": 320, "hop_length": 160, "num_mels": 64}
    | {"center": False, "top_db": 80.0},
    "erann": {"sample_rate": 44100, "n_fft": 1380, "hop_length": 345, "fmin": 50, "fmax": 14000},
    "two path": {"sample_rate": 48000, "n_fft": 2048, "hop_length": 1024, "htk": True}
    | {"norm": None, "scale": "log", "offset": 1e-8, "fft_dtype": "float64"},
    "short window": {"sample_rate": 8000, "n_fft": 256, "hop_length": 100, "win_length": 200}
    | {"window": "hamming", "power": 1.0, "scale": "power", "pad_mode": "constant"},
}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Workers that test side by side would wait for one another's threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def build(name, shape):
    channels = shape[-1] // 3 if name == "two_path_resnet" else shape[-1]
    model = keras_audio.create_model(name, 7, input="features", channels=channels)
    draw_weights(model)
    return model


def relative(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize(("name", "shape"), WAVEFORMS + FEATURES)
def test_networks_of_pytorch_and_of_the_original_code_answer_as_ours(name, shape):
    keras.utils.set_random_seed(0)
    ours = build(name, shape)
    module = torch_networks.torch_network(name, 7, shape[-1])
    original = keras_originals.original_network(name, 7, shape[-1])
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    with pytest.raises(ValueError, match="Expected the logits of .* Received: difference="):
        alike.check_alike(x, ours, module)
    alike.share_weights(ours, module, original)
    expected = alike.logits_of(ours, x)
    assert expected.std(axis=0).min() > 0
    for other in (module, original):
        assert relative(alike.logits_of(other, x), expected) < 1e-4
    if len(shape) == 3:
        module = module.to(memory_format=torch.channels_last)
        assert relative(alike.logits_of(module, x), expected) < 1e-4


def test_networks_that_do_not_fit_are_refused():
    module = torch_networks.torch_network("binaural_a", 7, 2)
    with pytest.raises(ValueError, match=r"the same layers in both. .*'bn5', 'conv5'"):
        torch_networks.copy_weights(build("binaural_b", (12000, 2)), module)


@pytest.mark.parametrize(
    ("name", "samples"),
    [("m34_res_rb4", 8000), ("erann_3_1", 40000), ("two_path_resnet", 24000), ("binaural_b", 9000)],
)
def test_whole_models_of_pytorch_answer_as_ours(name, samples):
    keras.utils.set_random_seed(0)
    ours = keras_audio.create_model(name, 7)
    draw_weights(ours)
    shape = (2, samples, ours.input_shape[-1])
    x = np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype("float32")
    module = torch_networks.torch_model(ours)
    assert relative(alike.logits_of(module, x), alike.logits_of(ours, x)) < 1e-4


@pytest.mark.parametrize("name", LOG_MELS)
def test_log_mels_of_pytorch_equal_ours(name):
    layer = LogMelSpectrogram(**LOG_MELS[name])
    rng = np.random.default_rng(0)
    # Loud, quiet and silent; two channels.
    x = rng.uniform(-1, 1, (3, 20000, 2)) * np.array([1, 1e-3, 0])[:, None, None]
    x = x.astype("float32")
    mels = torch_front_ends.TorchLogMel(layer)(torch.from_numpy(x))
    found = np.moveaxis(mels.numpy(), 1, -1)
    np.testing.assert_allclose(found, layer(x), rtol=1e-5, atol=1e-3)
    deltas = np.moveaxis(torch_front_ends.TorchDeltas()(mels).numpy(), 1, -1)
    np.testing.assert_allclose(deltas, Deltas()(found), rtol=1e-5, atol=1e-4)


def test_training_mode_moves_the_statistics_alike():
    keras.utils.set_random_seed(0)
    shape = (12001, 2)
    ours = build("binaural_b", shape)
    module = torch_networks.torch_network("binaural_b", 7, 2)
    original = keras_originals.original_network("binaural_b", 7, 2)
    alike.share_weights(ours, module, original)
    x = np.random.default_rng(0).normal(size=(4, *shape)).astype("float32")
    ours(x, training=True)
    original(x, training=True)
    module.train()(alike.for_torch(x))
    expected = alike.logits_of(ours, x)
    # PyTorch's running variance is that of a sample, n / (n - 1) of ours.
    for other in (module, original):
        assert relative(alike.logits_of(other, x), expected) < 1e-3
