"""Sounds padded before the first convolution: the numbers of padding "same", and only there."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_audio.models import create_model, model_info
from keras_audio.serving.export import serving_function
from keras_audio.serving.padding import pad_sounds


def hearing(channels=1, **settings):
    """A model whose convolution hears a sound."""
    waveform = keras.Input((None, channels))
    usual = {"filters": 3, "kernel_size": 9, "strides": 4, "padding": "same"}
    x = layers.Conv1D(**usual | settings)(waveform)
    model = keras.Model(waveform, layers.ReLU()(x))
    rng = np.random.default_rng(2)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def sounds(channels, samples, number=2):
    rng = np.random.default_rng(samples)
    return rng.uniform(-1, 1, (number, samples, channels)).astype("float32")


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("kernel_size", "strides"), [(9, 4), (8, 4), (80, 4), (3, 1), (2, 1), (1, 1), (4, 4), (5, 2)]
)
def test_zeros_are_those_of_same_padding_at_every_length(channels, kernel_size, strides):
    model = hearing(channels, kernel_size=kernel_size, strides=strides)
    padded = pad_sounds(model)
    assert padded is not model and padded.layers[-2].padding == "valid"
    for samples in (1, 2, 3, 4, 5, 9, 80, 81, 82, 83):
        x = sounds(channels, samples)
        expected, found = np.asarray(model(x)), np.asarray(padded(x))
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


class Own(layers.Conv1D):
    """A convolution of a user's."""


@pytest.mark.parametrize(
    ("channels", "settings"),
    [
        (3, {}),
        (1, {"padding": "valid"}),
        (1, {"padding": "causal"}),
        (1, {"strides": 1, "dilation_rate": 2}),
        (1, {"kernel_size": 2, "strides": 3}),
        (2, {"groups": 2, "filters": 4}),
    ],
)
def test_what_pads_otherwise_or_hears_no_sound_is_left(channels, settings):
    model = hearing(channels, **settings)
    assert pad_sounds(model) is model


def test_a_layer_of_a_kind_of_its_own_is_left():
    waveform = keras.Input((None, 1))
    model = keras.Model(waveform, Own(3, 9, padding="same")(waveform))
    assert pad_sounds(model) is model


def test_a_convolution_that_is_called_twice_pads_both_times():
    first, second = keras.Input((None, 1)), keras.Input((None, 1))
    shared = layers.Conv1D(3, 9, strides=4, padding="same")
    both = layers.Concatenate(axis=1)([shared(first), shared(second)])
    model = keras.Model([first, second], both)
    x = [sounds(1, 17), sounds(1, 30)]
    np.testing.assert_allclose(pad_sounds(model)(x), model(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sounds_are_not_rounded_to_the_policy_of_the_moment(dtype):
    model, x = hearing(dtype=dtype), sounds(1, 30)
    expected = np.asarray(model(x))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        padded = pad_sounds(model)
        found = np.asarray(padded(x))
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert [layer.name for layer in padded.layers if "padding" in layer.name] == [
        f"{model.layers[1].name}_padding"
    ]


@pytest.mark.parametrize("name", ["m3", "m34_res_rb4"])
def test_networks_on_waveforms_are_served_so(name):
    info = model_info(name)
    model = create_model(name, 4)
    before = [weight.copy() for weight in model.get_weights()]
    serve = serving_function(model)
    x = sounds(info.channels, info.sample_rate // 2 + 1, number=1)
    np.testing.assert_allclose(serve(x)["probabilities"], model(x), rtol=0, atol=1e-5)
    assert all(map(np.array_equal, before, model.get_weights()))
    graph = serve.get_concrete_function().graph.as_graph_def()
    padding = [node.attr["padding"].s for node in graph.node if node.op == "Conv2D"]
    assert padding[0] == b"VALID" and padding.count(b"SAME") == len(padding) - 1
