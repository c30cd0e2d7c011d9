"""The networks of Pajusco 2020: the paper's counts, their arithmetic in NumPy, shortest clips."""

import keras
import numpy as np
import pytest
from harness import randomize, run

from keras_audio.models import create_model, list_models, model_info
from keras_audio.models.binaural import basic_block
from keras_audio.models.parts import Parts

NAMES = ("binaural_a", "binaural_b", "binaural_c", "binaural_d")
# Table 1, "Total params"; and everything stored, computed by hand from NOTES section 4.
PAPER = dict(zip(NAMES, (13_632, 30_080, 398_400, 373_696), strict=True))
STORED = dict(zip(NAMES, (14_147, 30_851, 403_587, 378_499), strict=True))


def convolutions(model: keras.Model) -> dict[str, keras.layers.Layer]:
    return {layer.name: layer for layer in model.layers if isinstance(layer, keras.layers.Conv1D)}


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_those_of_the_paper(name):
    model = create_model(name, 3)
    counted = [w for w in model.trainable_weights if w.name in ("kernel", "gamma")]
    assert sum(np.prod(w.shape) for w in counted) == PAPER[name]
    assert model.count_params() == STORED[name]


def test_info():
    assert tuple(list_models("binaural*")) == NAMES
    for name in NAMES:
        info = model_info(name)
        assert (info.sample_rate, info.channels, info.feature_shape) == (18000, 2, None)
        assert "Pajusco" in info.paper and info.table == "Table 1"
        assert info.arguments == {
            "batch_norm_momentum": 0.9,
            "batch_norm_epsilon": 1e-5,
            "kernel_regularizer": None,
        }


@pytest.mark.parametrize(
    ("name", "kernels", "embedding"),
    [
        ("binaural_a", [(64, 2, 16), (4, 16, 16), (4, 16, 32), (4, 32, 64)], 64),
        ("binaural_b", [(64, 2, 16), (4, 16, 16), (4, 16, 32), (4, 32, 64), (4, 64, 64)], 64),
    ],
)
def test_plain_networks_are_those_of_figure_1(name, kernels, embedding):
    model = create_model(name, 3)
    assert [conv.kernel.shape for conv in convolutions(model).values()] == kernels
    assert all(conv.use_bias for conv in convolutions(model).values())
    assert model.get_layer("embedding").output.shape == (None, embedding)
    order = ["conv", "bn", "relu", "pool"]
    expected = [f"{kind}{n}" for n in range(1, len(kernels) + 1) for kind in order]
    assert [layer.name for layer in model.layers[1:-3]] == expected


@pytest.mark.parametrize(("name", "blocks"), [("binaural_c", (3, 4, 3)), ("binaural_d", (3, 3, 3))])
def test_residual_networks_are_those_of_section_3_2(name, blocks):
    model = create_model(name, 3)
    assert model.get_layer("embedding").output.shape == (None, 128)
    expected = {"conv1": (64, 2, 32)}
    before = 32
    for module, (filters, count) in enumerate(zip((32, 64, 128), blocks, strict=True), 1):
        for block in range(count):
            expected[f"layer{module}_{block}_conv1"] = (3, before, filters)
            expected[f"layer{module}_{block}_conv2"] = (3, filters, filters)
            if block == 0:
                expected[f"layer{module}_0_shortcut_0"] = (1, before, filters)
            before = filters
    found = convolutions(model)
    assert {name: conv.kernel.shape for name, conv in found.items()} == expected
    assert not any(conv.use_bias for conv in found.values())
    strided = {name for name, conv in found.items() if conv.strides == (4,)}
    assert strided == {"conv1", "layer1_0_conv1", "layer2_0_conv1", "layer3_0_conv1"}


def _convolve(x, kernel, stride=1, padding=0):
    """Slide the kernel over zero-padded steps; an output for every whole window."""
    x = np.pad(x, [(0, 0), (padding, padding), (0, 0)])
    starts = range(0, x.shape[1] - len(kernel) + 1, stride)
    windows = np.stack([x[:, start : start + len(kernel)] for start in starts], axis=1)
    return np.einsum("bskc,kcf->bsf", windows, kernel)


def _pool(x):
    steps = x.shape[1] // 4
    return x[:, : 4 * steps].reshape(len(x), steps, 4, -1).max(2)


def _relu(x):
    return np.maximum(x, 0)


class _Weights:
    def __init__(self, model: keras.Model):
        self.model = model

    def __getitem__(self, name):
        layer = self.model.get_layer(name)
        return {w.name: np.array(w, "float64") for w in layer.weights}

    def bn(self, name, x):
        weights = self[name]
        deviation = np.sqrt(weights["moving_variance"] + 1e-5)
        return (x - weights["moving_mean"]) / deviation * weights["gamma"] + weights["beta"]


def _noise(*shape) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _logits(model: keras.Model, x) -> np.ndarray:
    return run(keras.Model(model.input, model.get_layer("logits").output), x)


@pytest.mark.parametrize("name", ["binaural_a", "binaural_b"])
def test_plain_networks_compute_figure_1(name):
    model = create_model(name, 3)
    randomize(model)
    weights = _Weights(model)
    noise = _noise(2, model_info(name).min_samples + 4321, 2)
    x = noise.astype("float64")
    for number in range(1, len(convolutions(model)) + 1):
        conv = weights[f"conv{number}"]
        x = _convolve(x, conv["kernel"], 4 if number == 1 else 1) + conv["bias"]
        x = _pool(_relu(weights.bn(f"bn{number}", x)))
    expected = x.mean(1) @ weights["logits"]["kernel"] + weights["logits"]["bias"]
    np.testing.assert_allclose(_logits(model, noise), expected, atol=1e-5)


# The lengths that leave every remainder at the stride of 4.
@pytest.mark.parametrize("steps", [1, 40, 41, 42, 43])
@pytest.mark.parametrize(("stride", "filters"), [(4, 6), (4, 5), (1, 5)])
def test_basic_blocks_compute_figure_2(steps, stride, filters):
    inputs = keras.Input((None, 5))
    model = keras.Model(inputs, basic_block(inputs, filters, stride, Parts(1, 0.9, 1e-5), "block"))
    randomize(model)
    weights = _Weights(model)
    noise = _noise(2, steps, 5)
    x = noise.astype("float64")
    path = _convolve(x, weights["block_conv1"]["kernel"], stride, padding=1)
    path = _relu(weights.bn("block_bn1", path))
    path = weights.bn("block_bn2", _convolve(path, weights["block_conv2"]["kernel"], padding=1))
    if stride == 4:
        x = _convolve(x, weights["block_shortcut_0"]["kernel"], 4)
        x = weights.bn("block_shortcut_1", x)
    assert path.shape == (2, -(-steps // stride), filters)
    np.testing.assert_allclose(run(model, noise), _relu(x + path), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_least_number_of_samples_is_the_least(name):
    model = create_model(name, 3)
    least = model_info(name).min_samples
    last = model.layers[-4]  # what the average sees
    steps = keras.Model(model.input, last.output)
    assert run(steps, _noise(1, least, 2)).shape[1] == 1
    assert np.isfinite(run(model, _noise(1, least, 2))).all()
    with pytest.raises(Exception, match="MaxPooling1D|incompatible"):
        run(model, _noise(1, least - 1, 2))


@pytest.mark.parametrize("name", ["binaural_a", "binaural_c"])
def test_any_number_of_channels(name):
    model = create_model(name, 3, channels=1)
    assert model.get_layer("conv1").kernel.shape[1] == 1
    assert run(model, _noise(1, 3000, 1)).shape == (1, 3)


@pytest.mark.parametrize("argument", ["batch_norm_momentum", "batch_norm_epsilon"])
@pytest.mark.parametrize("name", ["binaural_a", "binaural_c"])
def test_batch_norm_settings_reach_every_layer(name, argument):
    for arguments, value in (({}, model_info(name).arguments[argument]), ({argument: 0.75}, 0.75)):
        model = create_model(name, 3, **arguments)
        norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
        assert len(norms) == {"binaural_a": 4, "binaural_c": 24}[name]
        assert {getattr(norm, argument.removeprefix("batch_norm_")) for norm in norms} == {value}
