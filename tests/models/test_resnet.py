"""The ResNets of ImageNet: sizes, arithmetic in NumPy, heads, stems, and images of any size."""

import math

import keras
import numpy as np
import pytest
from harness import policy, randomize, run

from keras_audio.layers import LogMelImage
from keras_audio.models import create_model, list_models, model_info
from keras_audio.models.resnet import resnet_front_end
from keras_audio.models.transfer import transfer_weights

BLOCKS = {"resnet10": (1, 1, 1, 1), "resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
# The paper's R1, R2 and R3, and one that is odd at every stage.
SIZES = ((64, 128), (96, 214), (128, 300), (75, 93))


def narrow(name="resnet10", num_classes=5, num_filters=4, **arguments) -> keras.Model:
    settings = {"input": "features", "classifier_activation": None, **arguments}
    return create_model(name, num_classes, num_filters=num_filters, **settings)


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).uniform(size=shape).astype("float32")


def test_info():
    assert list_models("resnet*") == list(BLOCKS)
    for name in BLOCKS:
        info = model_info(name)
        assert (info.sample_rate, info.channels, info.min_samples) == (22050, 1, 1)
        assert info.feature_shape == (None, None, 1)
        assert "Colangelo" in info.paper and info.table == "Tables 2 and 3"
        assert info.arguments == {
            "num_filters": 64,
            "head": "plain",
            "stem_channels": 3,
            "batch_norm_momentum": 0.9,
            "batch_norm_epsilon": 1e-5,
            "kernel_regularizer": None,
            "seed": None,
            "sample_rate": 22050,
            "num_mels": 128,
            "frames": 300,
            "trim_db": 60.0,
            "max_samples": None,
            "resize": None,
        }


# Of resnet18 and resnet34 the counts that torchvision publishes.
@pytest.mark.parametrize(
    ("name", "parameters"),
    [("resnet10", 5_418_792), ("resnet18", 11_689_512), ("resnet34", 21_797_672)],
)
def test_parameters_at_1000_classes(name, parameters):
    model = create_model(name, 1000, input="features")
    assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == parameters
    scales = sum(weight.shape[0] for weight in model.weights if weight.name == "gamma")
    assert model.count_params() == parameters + 2 * scales


def convolutions_by_hand(name: str) -> dict[str, tuple]:
    """Kernel and stride of every convolution."""
    expected, before = {"conv1": ((7, 7, 3, 64), 2)}, 64
    for stage, count in enumerate(BLOCKS[name]):
        filters = 64 * 2**stage
        for block in range(count):
            layer = f"layer{stage + 1}_{block}"
            stride = 2 if stage > 0 and block == 0 else 1
            expected[f"{layer}_conv1"] = ((3, 3, before, filters), stride)
            expected[f"{layer}_conv2"] = ((3, 3, filters, filters), 1)
            if stride == 2:
                # Its stride is a layer before it.
                expected[f"{layer}_downsample_0"] = ((1, 1, before, filters), 1)
            before = filters
    return expected


@pytest.mark.parametrize("name", BLOCKS)
def test_convolutions_are_those_of_imagenets_network(name):
    model = create_model(name, 10, input="features")
    found = {
        layer.name: (tuple(layer.kernel.shape), layer.strides[0])
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    }
    assert found == convolutions_by_hand(name)
    assert not any(model.get_layer(name).use_bias for name in found)
    assert model.get_layer("embedding").output.shape == (None, 512)


# --- Arithmetic


def numpy_weights(model) -> dict[str, dict[str, np.ndarray]]:
    return {
        layer.name: {weight.name: np.array(weight, "float64") for weight in layer.weights}
        for layer in model.layers
        if layer.weights
    }


def numpy_windows(x, size: int, stride: int, padding: int, value: float):
    around = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    x = np.pad(x, around, constant_values=value)
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    return windows[:, ::stride, ::stride]


def numpy_conv(x, weights, stride: int, padding: int):
    assert set(weights) == {"kernel"}
    kernel = weights["kernel"]
    windows = numpy_windows(x, len(kernel), stride, padding, 0.0)
    return np.einsum("bhwcij,ijcf->bhwf", windows, kernel, optimize=True)


def numpy_batch_norm(x, weights):
    spread = np.sqrt(weights["moving_variance"] + 1e-5)
    return (x - weights["moving_mean"]) / spread * weights["gamma"] + weights["beta"]


def relu(x):
    return np.maximum(x, 0)


def numpy_body(x, weights, blocks):
    """The network up to its head, with the paddings and strides that PyTorch has."""
    x = relu(numpy_batch_norm(numpy_conv(x, weights["conv1"], 2, 3), weights["bn1"]))
    x = numpy_windows(x, 3, 2, 1, -np.inf).max(axis=(-2, -1))
    for stage, count in enumerate(blocks, 1):
        for block in range(count):
            name = f"layer{stage}_{block}"
            stride, shortcut = 2 if stage > 1 and block == 0 else 1, x
            if stride == 2:
                shortcut = numpy_conv(x, weights[f"{name}_downsample_0"], 2, 0)
                shortcut = numpy_batch_norm(shortcut, weights[f"{name}_downsample_1"])
            x = numpy_conv(x, weights[f"{name}_conv1"], stride, 1)
            x = relu(numpy_batch_norm(x, weights[f"{name}_bn1"]))
            x = numpy_conv(x, weights[f"{name}_conv2"], 1, 1)
            x = relu(shortcut + numpy_batch_norm(x, weights[f"{name}_bn2"]))
    return x


def numpy_dense(x, weights):
    return x @ weights["kernel"] + weights["bias"]


def assert_near(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("name", "size"), [("resnet34", (64, 128)), *(("resnet10", size) for size in SIZES)]
)
def test_whole_network_against_numpy(name, size):
    model = narrow(name)
    randomize(model)
    x, weights = images(2, *size, 1), numpy_weights(model)
    body = numpy_body(np.repeat(x.astype("float64"), 3, axis=-1), weights, BLOCKS[name])
    assert body.shape == (2, *(math.ceil(side / 32) for side in size), 32)
    last = f"layer4_{BLOCKS[name][-1] - 1}_relu2"
    ends = [model.get_layer(end).output for end in (last, "embedding", "logits")]
    found = keras.Model(model.input, ends)(x)
    assert_near(found[0], body)
    embedding = body.mean(axis=(1, 2))
    assert_near(found[1], embedding)
    assert_near(found[2], numpy_dense(embedding, weights["logits"]))


def test_head_of_two_layers_against_numpy():
    model = narrow(head="concat_pool")
    randomize(model)
    x, weights = images(2, 64, 128, 1), numpy_weights(model)
    body = numpy_body(np.repeat(x.astype("float64"), 3, axis=-1), weights, BLOCKS["resnet10"])
    embedding = np.concatenate([body.mean(axis=(1, 2)), body.max(axis=(1, 2))], axis=1)
    hidden = numpy_dense(
        numpy_batch_norm(embedding, weights["logits_bn1"]), weights["logits_hidden"]
    )
    logits = numpy_dense(numpy_batch_norm(relu(hidden), weights["logits_bn2"]), weights["logits"])
    found = keras.Model(model.input, [model.get_layer("embedding").output, model.output])(x)
    assert_near(found[0], embedding)
    assert_near(found[1], logits)
    assert weights["logits_hidden"]["kernel"].shape == (64, 512)


def test_kernels_are_drawn_as_in_torchvision():
    model = create_model("resnet18", 10, input="features")
    drawn = {
        layer.name: np.array(layer.kernel)
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    }
    for name, kernel in drawn.items():
        size, _, _, filters = kernel.shape
        spread = math.sqrt(2 / (size * size * filters))
        assert kernel.std() == pytest.approx(spread, rel=0.05), name
        # A truncated normal distribution ends at two of its spreads.
        assert np.abs(kernel).max() > 2.5 * spread, name
    same_shape = [drawn["layer1_0_conv1"], drawn["layer1_0_conv2"], drawn["layer1_1_conv1"]]
    assert np.abs(same_shape[0] - same_shape[1]).max() > 0.1
    assert np.abs(same_shape[1] - same_shape[2]).max() > 0.1


# --- Any size, stems and heads


def test_one_set_of_weights_takes_any_size():
    model = narrow()
    randomize(model)
    assert model.input_shape == (None, None, None, 1)
    answers = [run(model, images(2, *size, 1)) for size in (*SIZES, (1, 1), (8, 1000))]
    for answer in answers:
        assert answer.shape == (2, 5) and np.isfinite(answer).all()
    assert np.abs(answers[0] - answers[2]).max() > 1e-3


def test_a_single_channel_is_repeated():
    repeated, summed = narrow(), narrow(stem_channels=None)
    randomize(repeated)
    assert repeated.get_layer("conv1").kernel.shape == (7, 7, 3, 4)
    assert summed.get_layer("conv1").kernel.shape == (7, 7, 1, 4)
    kernel, *others = repeated.get_weights()
    summed.set_weights([kernel.sum(axis=2, keepdims=True), *others])
    x = images(2, 64, 128, 1)
    np.testing.assert_allclose(run(summed, x), run(repeated, x), atol=1e-5)
    assert narrow(stem_channels=1).get_layer("conv1").kernel.shape == (7, 7, 1, 4)


def test_several_channels_are_taken_as_they_are():
    for channels in (2, 3):
        model = narrow(channels=channels)
        assert model.input_shape == (None, None, None, channels)
        assert model.get_layer("conv1").kernel.shape == (7, 7, channels, 4)


def test_head_of_two_layers_is_left_out_of_fine_tuning():
    source, target = narrow(num_classes=9), narrow(head="concat_pool", seed=3)
    copied = transfer_weights(source, target)
    assert copied == [layer.name for layer in source.layers if layer.weights][:-1]
    new = [layer.name for layer in target.layers if layer.weights and layer.name not in copied]
    assert new == ["logits_bn1", "logits_hidden", "logits_bn2", "logits"]
    for name in copied:
        for ours, theirs in zip(
            target.get_layer(name).weights, source.get_layer(name).weights, strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    assert [target.get_layer(f"logits_dropout{n}").rate for n in (1, 2)] == [0.25, 0.5]


def test_seed_of_the_dropouts():
    def answer(**arguments):
        model = narrow(head="concat_pool", **arguments)
        # Not of the kernels, so that nothing but the dropouts can differ.
        for weight in model.weights:
            weight.assign(np.random.default_rng(7).normal(size=weight.shape) ** 2)
        return np.array(model(images(4, 32, 32, 1), training=True))

    np.testing.assert_array_equal(answer(seed=1), answer(seed=1))
    assert np.abs(answer(seed=1) - answer(seed=2)).max() > 1e-3
    assert np.abs(answer() - answer()).max() > 1e-3


def test_head_computes_in_single_precision():
    with policy("mixed_float16"):
        model = narrow(head="concat_pool")
    head = [layer for layer in model.layers if layer.name.startswith(("logits", "embedding"))]
    assert len(head) == 7
    assert {layer.compute_dtype for layer in head} == {"float32"}
    assert model.get_layer("conv1").compute_dtype == "float16"
    assert np.isfinite(run(model, images(2, 32, 32, 1))).all()


def test_head_of_two_layers_is_saved_and_takes_waveforms(tmp_path):
    model = narrow(head="concat_pool", input="waveform", frames=40, num_mels=20, seed=5)
    randomize(model)
    x = np.random.default_rng(0).normal(size=(2, 9000, 1)).astype("float32") * 0.1
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(run(loaded, x), run(model, x))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"num_filters": 0}, "num_filters=0"),
        ({"head": "deep"}, "head='deep'"),
        ({"stem_channels": 0}, "stem_channels=0"),
        ({"seed": 0.5}, "seed=0.5"),
        ({"batch_norm_momentum": 1}, "batch_norm_momentum=1"),
    ],
)
def test_refuses_wrong_values(arguments, said):
    with pytest.raises(ValueError, match=f"Expected .*Received: {said}"):
        create_model("resnet10", 5, input="features", **arguments)


# --- The front end


def test_front_end_is_the_image_at_the_asked_resolution():
    noise = np.random.default_rng(0).normal(size=(2, 60000, 1)).astype("float32") * 0.1
    inputs = keras.Input((None, 1))

    def front_end(**arguments):
        return keras.Model(inputs, resnet_front_end(inputs, **arguments))

    whole = front_end()
    assert whole.output_shape == (None, 128, 300, 1)
    image = LogMelImage(22050, n_fft=1024, hop_length=256, num_mels=128, frames=300, trim_db=60.0)
    np.testing.assert_array_equal(run(whole, noise), image(noise))
    # The mel method: fewer filters, and a crop from the start.
    mel = front_end(num_mels=64, frames=128)
    assert mel.output_shape == (None, 64, 128, 1)
    fewer = LogMelImage(22050, num_mels=64, frames=128)
    np.testing.assert_array_equal(run(mel, noise), fewer(noise))
    # The bilinear method, and both together.
    for mels in (128, 64):
        resized = front_end(num_mels=mels, resize=(64, 128))
        assert resized.output_shape == (None, 64, 128, 1)
        with policy("mixed_float16"):
            again = front_end(num_mels=mels, resize=[64, 128])
        found = run(resized, noise)
        np.testing.assert_array_equal(run(again, noise), found)
        source = np.array(LogMelImage(22050, num_mels=mels)(noise), "float64")
        np.testing.assert_allclose(found, bilinear(source, (64, 128)), atol=1e-5)


def bilinear(images, size):
    """Interpolate along one axis, then the other, between the centres of pixels."""
    for axis, count in zip((1, 2), size, strict=True):
        length = images.shape[axis]
        places = (np.arange(count) + 0.5) * length / count - 0.5
        places = np.clip(places, 0, length - 1)
        below = np.minimum(places.astype(int), max(length - 2, 0))
        share = np.expand_dims(places - below, [i for i in range(4) if i != axis])
        left, right = images.take(below, axis), images.take(below + 1, axis)
        images = left * (1 - share) + right * share
    return images


@pytest.mark.parametrize("resize", [64, (64,), (64, 128, 1), "64", (0, 128), (64, 1.5)])
def test_refuses_a_resolution_that_is_none(resize):
    with pytest.raises(ValueError, match="Expected resize .*Received: resize="):
        create_model("resnet10", 5, resize=resize)


def test_front_end_and_network_are_told_apart():
    model = create_model("resnet10", 5, num_filters=4, num_mels=64, frames=128)
    assert model.input_shape == (None, None, 1)
    assert model.get_layer("log_mel_image").output.shape == (None, 64, 128, 1)
    resized = create_model("resnet10", 5, num_filters=4, resize=(96, 214))
    assert resized.get_layer("resize").output.shape == (None, 96, 214, 1)
    with pytest.raises(ValueError, match="on features.*Received: frames=128"):
        narrow(frames=128)
