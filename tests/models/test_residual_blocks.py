"""The networks of Naranjo-Alcazar 2019 and Dai 2017: sizes, and every block against NumPy."""

import keras
import numpy as np
import pytest
from harness import randomize, run

from keras_audio.layers import PadOrCrop, WaveformNormalization
from keras_audio.models import create_model, list_models, model_info
from keras_audio.models.parts import Parts
from keras_audio.models.residual_blocks import residual_block

# All parameters, and those that are trained, with ten classes. The papers' tables.
TOTALS = {
    **{f"m34_res_rb{n}": 3_989_914 for n in (1, 2, 3, 4)},
    "m34_res_rb5": 3_988_570,
    "m34_res_rb6": 4_001_242,
    **{f"spectrogram_res_rb{n}": 4_167_130 for n in (1, 2, 3, 4)},
    "spectrogram_res_rb5": 4_165_786,
    "spectrogram_res_rb6": 4_171_930,
}
TRAINABLE = {
    "m3": 221_194,
    "m5": 559_114,
    "m11": 1_786_442,
    "m18": 3_683_786,
    "m34_res_rb6": 3_984_154,
}


@pytest.mark.parametrize("name", list_models("m*") + list_models("spectrogram_res*"))
def test_parameters_are_those_of_the_papers(name):
    assert name in {**TOTALS, **TRAINABLE}
    model = create_model(name, 10)
    if name in TOTALS:
        assert model.count_params() == TOTALS[name]
    if name in TRAINABLE:
        assert sum(np.prod(w.shape) for w in model.trainable_weights) == TRAINABLE[name]


def _relu(x):
    return np.maximum(x, 0)


class _NumpyLayers:
    """Convolution and inference-time batch normalisation, from the weights of a model."""

    def __init__(self, model: keras.Model):
        self.model = model

    def weights(self, name):
        layer = self.model.get_layer(f"block_{name}")
        return {w.name: np.array(w, "float64") for w in layer.weights}, layer

    def conv(self, number, x):
        weights, _ = self.weights(f"conv{number}")
        kernel = weights["kernel"]
        *axes, _, filters = kernel.shape
        assert axes == [3] * (x.ndim - 2)
        padded = np.pad(x, [(0, 0), *[(1, 1)] * len(axes), (0, 0)])
        output = np.zeros((*x.shape[:-1], filters)) + weights["bias"]
        for offset in np.ndindex(*axes):
            window = tuple(slice(o, o + n) for o, n in zip(offset, x.shape[1:-1], strict=True))
            output += padded[(slice(None), *window)] @ kernel[offset]
        return output

    def bn(self, number, x):
        weights, layer = self.weights(f"bn{number}")
        deviation = np.sqrt(weights["moving_variance"] + layer.epsilon)
        return (x - weights["moving_mean"]) / deviation * weights["gamma"] + weights["beta"]


# Written out from Fig. 3 of the paper, independently of the table that builds the blocks.
FIGURE_3 = {
    "rb1": lambda x, s, n: _relu(s + n.bn(2, n.conv(2, _relu(n.bn(1, n.conv(1, x)))))),
    "rb2": lambda x, s, n: _relu(n.bn(2, s + n.conv(2, _relu(n.bn(1, n.conv(1, x)))))),
    "rb3": lambda x, s, n: s + _relu(n.bn(2, n.conv(2, _relu(n.bn(1, n.conv(1, x)))))),
    "rb4": lambda x, s, n: s + n.bn(2, n.conv(2, _relu(n.bn(1, n.conv(1, _relu(x)))))),
    "rb5": lambda x, s, n: s + n.conv(2, _relu(n.bn(2, n.conv(1, _relu(n.bn(1, x)))))),
    "rb6": lambda x, s, n: _relu(n.bn(3, s + n.bn(2, n.conv(2, _relu(n.bn(1, n.conv(1, x))))))),
}


@pytest.mark.parametrize("block", FIGURE_3)
@pytest.mark.parametrize("shape", [(2, 11, 4), (2, 5, 7, 4)], ids=["1d", "2d"])
@pytest.mark.parametrize("filters", [4, 8])
def test_block_against_numpy(block, shape, filters):
    x = np.random.default_rng(1).normal(size=shape).astype("float32")
    inputs = keras.Input(shape[1:])
    model = keras.Model(
        inputs, residual_block(inputs, block, filters, Parts(len(shape) - 2), "block")
    )
    randomize(model)
    shortcut = np.repeat(x, filters // 4, axis=-1)
    expected = FIGURE_3[block](x, shortcut, _NumpyLayers(model))
    np.testing.assert_allclose(run(model, x), expected, atol=1e-5)


def test_first_stride_and_batch_norm_settings_reach_the_layers():
    model = create_model(
        "m34_res_rb4", 3, first_stride=8, batch_norm_momentum=0.9, batch_norm_epsilon=1e-5
    )
    assert model.get_layer("stem_conv").strides == (8,)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 33
    assert {(norm.momentum, norm.epsilon) for norm in norms} == {(0.9, 1e-5)}
    features = create_model("spectrogram_res_rb4", 3, first_stride=2, input="features")
    assert features.get_layer("stem_conv").strides == (1, 2)


def test_spectrogram_network_reaches_one_step_before_the_average():
    model = create_model("spectrogram_res_rb1", 10)
    assert model.get_layer("pad_frames").output.shape == (None, 64, 199, 1)
    x = np.random.default_rng(0).normal(size=(1, 32000, 1)).astype("float32")
    stage4 = keras.Model(model.input, model.get_layer("stage4_pool").output)
    assert run(stage4, x).shape == (1, 1, 1, 384)


def test_spectrogram_statistics_are_constants_before_the_padding():
    mean, variance = np.linspace(-40, -20, 64), np.linspace(50, 150, 64)
    steps = [WaveformNormalization("none"), PadOrCrop(16000)]
    model = create_model("spectrogram_res_rb6", 10, clip_steps=steps, mean=mean, variance=variance)
    prefix = keras.Model(model.input, model.get_layer("pad_frames").output)
    assert not prefix.weights
    x = (np.random.default_rng(0).normal(size=(2, 16000, 1)) * 0.1).astype("float32")
    decibels = run(keras.Model(model.input, model.get_layer("log_mel").output), x)
    expected = (decibels - mean[:, None, None]) / np.sqrt(variance)[:, None, None]
    features = run(prefix, x)
    np.testing.assert_allclose(features[:, :, :99], expected, atol=1e-4)
    assert np.all(features[:, :, 99:] == 0)
    # The bare network answers to the features as the full model to the waveform.
    bare = create_model("spectrogram_res_rb6", 10, input="features")
    assert bare.input_shape == (None, 64, None, 1)
    bare.set_weights(model.get_weights())
    np.testing.assert_allclose(run(bare, features), run(model, x), atol=1e-6)
    rebuilt = keras.models.model_from_json(model.to_json())
    rebuilt.set_weights(model.get_weights())
    np.testing.assert_array_equal(run(rebuilt, x), run(model, x))


@pytest.mark.parametrize(
    "statistics",
    [
        {"mean": [0.0] * 64},
        {"mean": [0.0] * 63, "variance": [1.0] * 63},
        {"mean": [float("nan")] * 64, "variance": [1.0] * 64},
        {"mean": [0.0] * 64, "variance": [-1.0] * 64},
    ],
)
def test_refuses_wrong_statistics(statistics):
    with pytest.raises(ValueError, match="Expected mean and variance.*Received: "):
        create_model("spectrogram_res_rb1", 10, **statistics)


def test_stereo_and_clip_steps():
    model = create_model(
        "m34_res_rb4", 5, channels=2, clip_steps=[WaveformNormalization(), PadOrCrop(4000)]
    )
    assert model.input_shape == (None, None, 2)
    assert [layer.name for layer in model.layers[:4]] == [
        "waveform",
        "normalize",
        "pad_or_crop",
        "stem_conv",
    ]
    assert run(model, np.zeros((1, 30, 2), "float32")).shape == (1, 5)
    assert create_model("spectrogram_res_rb1", 5, channels=2).get_layer("log_mel").output.shape == (
        None,
        64,
        None,
        2,
    )


@pytest.mark.parametrize("name", list_models("m*"))
def test_least_number_of_samples_is_the_least(name):
    model = create_model(name, 3)
    least = model_info(name).min_samples
    assert np.isfinite(run(model, np.ones((1, least, 1), "float32"))).all()
    pools = [layer for layer in model.layers if isinstance(layer, keras.layers.MaxPooling1D)]
    length = -(-(least - 1) // 4)
    for _ in pools:
        length //= 4
    assert length == 0
