"""Removing dead kernels: the same outputs, the widths known by hand, constants and borders."""

import keras
import numpy as np
import pytest
from keras import layers
from shrinking_checks import kill, network, noise, set_biases, shrunk, whys, widths

from keras_audio.compress import ShrunkLayer
from keras_audio.models.macs import count_macs

# --- Small graphs whose widths are known


def chain() -> keras.Model:
    x = inputs = keras.Input((None, 3))
    x = layers.Conv1D(8, 5, strides=2, name="conv1")(x)
    x = layers.BatchNormalization(name="bn1")(x)
    x = layers.ReLU(name="relu1")(x)
    x = layers.MaxPooling1D(2, name="pool1")(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    x = layers.Conv1D(6, 3, name="conv2")(x)
    x = layers.BatchNormalization(name="bn2")(x)
    x = layers.LeakyReLU(0.1, name="relu2")(x)
    x = layers.GlobalAveragePooling1D(name="embedding")(x)
    x = layers.Dense(4, name="logits")(x)
    return network(inputs, x, conv1=[1, 4, 6], bn1=[2, 4], conv2=[0], bn2=[5])


def test_a_chain_loses_every_dead_kernel_and_the_inputs_that_fed_from_it():
    model = chain()
    result = shrunk(model, noise(2, 40, 3))
    assert result.layers == (
        ShrunkLayer("conv1", "kernel", 8, 4, 4, ""),
        ShrunkLayer("conv2", "kernel", 6, 4, 2, ""),
        ShrunkLayer("logits", "kernel", 4, 4, 0, ""),
    )
    # What is left of the first layers is what was there; constants moved into the next biases.
    old, new = model.get_layer("conv1").get_weights(), result.model.get_layer("conv1").get_weights()
    assert np.array_equal(new[0], old[0][..., [0, 3, 5, 7]])
    assert np.array_equal(new[1], old[1][[0, 3, 5, 7]])
    scales = [network.get_layer("bn1").get_weights() for network in (model, result.model)]
    assert np.array_equal(np.stack(scales[1]), np.stack(scales[0])[:, [0, 3, 5, 7]])
    kernels = [network.get_layer("conv2").get_weights()[0] for network in (model, result.model)]
    assert np.array_equal(kernels[1], kernels[0][:, [0, 3, 5, 7]][..., [1, 2, 3, 4]])


def test_parameters_and_multiply_accumulates_fall_as_counted_by_hand():
    model = chain()
    result = shrunk(model, noise(2, 40, 3))
    # Kernel x inputs x filters and biases, four numbers a normalised channel.
    before = (5 * 3 * 8 + 8) + 4 * 8 + (3 * 8 * 6 + 6) + 4 * 6 + (6 * 4 + 4)
    after = (5 * 3 * 4 + 4) + 4 * 4 + (3 * 4 * 4 + 4) + 4 * 4 + (4 * 4 + 4)
    assert (result.parameters_before, result.parameters_after) == (before, after)
    # 18 steps behind the first convolution, 9 behind the pool, 7 behind the second.
    assert count_macs(model, (40, 3)) == 18 * 8 * 15 + 7 * 6 * 24 + 24
    assert count_macs(result.model, (40, 3)) == 18 * 4 * 15 + 7 * 4 * 12 + 16


def test_the_constant_of_a_dead_channel_is_what_numpy_says():
    # One live channel and a dead one, whose constant goes through everything to the bias.
    x = inputs = keras.Input((None, 1))
    x = layers.Conv1D(2, 1, activation="tanh", name="first")(x)
    x = layers.BatchNormalization(epsilon=0.25, name="bn")(x)
    x = layers.Activation("sigmoid", name="sigmoid")(x)
    model = network(inputs, layers.Conv1D(1, 2, name="second")(x), first=[1])
    bias = model.get_layer("first").get_weights()[1][1]
    gamma, beta, mean, variance = (w[1] for w in model.get_layer("bn").get_weights())
    constant = (np.tanh(bias) - mean) / np.sqrt(variance + 0.25) * gamma + beta
    kernel, old = model.get_layer("second").get_weights()
    expected = old + kernel[:, 1].sum(axis=0) / (1 + np.exp(-constant))
    result = shrunk(model, noise(1, 9, 1))
    new = result.model.get_layer("second").get_weights()
    np.testing.assert_allclose(new[1], expected, rtol=1e-5)
    assert np.array_equal(new[0], kernel[:, :1])


PADDED = {
    "same": lambda x: layers.Conv1D(5, 4, padding="same", name="reader")(x),
    "same without bias": lambda x: layers.Conv1D(
        5, 3, padding="same", use_bias=False, name="reader"
    )(x),
    "same with strides": lambda x: layers.Conv1D(5, 6, strides=3, padding="same", name="reader")(x),
    "causal and dilated": lambda x: layers.Conv1D(
        5, 3, padding="causal", dilation_rate=2, name="reader"
    )(x),
    "a layer of zeros": lambda x: layers.Conv1D(5, 3, name="reader")(layers.ZeroPadding1D(2)(x)),
    "zeros twice": lambda x: layers.Conv1D(5, 3, name="reader", padding="same")(
        layers.Dropout(0.1)(layers.ZeroPadding1D((3, 0))(x))
    ),
    "Dense on zeros": lambda x: layers.Dense(5, name="reader")(layers.ZeroPadding1D(2)(x)),
}


@pytest.mark.parametrize("padded", PADDED)
def test_where_zeros_are_padded_one_stands_for_all_constants_at_the_borders_too(padded):
    inputs = keras.Input((None, 2))
    x = layers.Conv1D(8, 3, name="conv", activation="elu")(inputs)
    model = network(inputs, PADDED[padded](x), conv=[0, 2, 3, 6])
    biases = np.array([0.5, 1, -0.9, 2, 1, -1, -0.3, 1], "float32")
    set_biases(model, conv=biases)
    # So short that every output lies at a border.
    result = shrunk(model, noise(2, 7, 2))
    assert widths(result) == {"conv": 5, "reader": 5}
    assert whys(result) == {
        "conv": "1 kept: one stands for all of them, since reader pads with zeros"
    }
    # It is the one with the largest constant, 3.
    kept = result.model.get_layer("conv").get_weights()[1]
    assert np.array_equal(kept, biases[[1, 3, 4, 5, 7]])


@pytest.mark.parametrize(
    "layer",
    [
        layers.GlobalAveragePooling1D(),
        layers.AveragePooling1D(3),
        layers.MaxPooling1D(3),
        layers.Activation("sigmoid"),
        layers.BatchNormalization(),
        layers.Maximum(),
    ],
)
def test_a_constant_among_zeros_is_no_constant_for_other_layers(layer):
    inputs = keras.Input((None, 2))
    padded = layers.ZeroPadding1D(2)(layers.Conv1D(4, 3, name="conv")(inputs))
    # 0 is zero and so the same as what is padded; 1 is negative, 2 positive.
    x = layer([padded, padded] if isinstance(layer, layers.Maximum) else padded)
    model = network(inputs, layers.Dense(3, name="reader")(x), conv=[0, 1, 2])
    set_biases(model, conv=[0, -1, 1, 1])
    result = shrunk(model, noise(2, 8, 2))
    assert widths(result) == {"conv": 3, "reader": 3}
    assert whys(result) == {"conv": f"2 kept: {layer.name} needs them"}


@pytest.mark.parametrize("reader", [layers.Conv2D(3, (3, 1), padding="same"), layers.Conv2D(3, 2)])
def test_two_axes_have_borders_too(reader):
    inputs = keras.Input((4, None, 2))
    x = layers.Conv2D(6, 2, name="conv")(inputs)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.ReLU()(x)
    x = layers.AveragePooling2D((2, 1), 1, padding="same")(x)
    model = network(inputs, reader(layers.ZeroPadding2D(((0, 0), (1, 2)))(x)), conv=[1, 2], bn=[4])
    kill(model)
    model.get_layer("bn").beta.assign(np.ones(6))
    result = shrunk(model, noise(2, 4, 5, 2))
    assert widths(result)["conv"] == 4


def test_constants_of_zero_need_none_to_stand_for_them():
    inputs = keras.Input((None, 2))
    x = layers.Conv1D(6, 3, name="conv")(inputs)
    x = layers.ReLU()(x)
    model = network(inputs, layers.Conv1D(3, 3, padding="same", name="reader")(x), conv=[1, 2, 5])
    set_biases(model, conv=-1.0)
    assert widths(shrunk(model, noise(2, 9, 2))) == {"conv": 3, "reader": 3}


def test_a_kernel_of_one_pads_nothing():
    inputs = keras.Input((None, 2))
    x = layers.Conv1D(6, 3, name="conv")(inputs)
    x = layers.Conv1D(3, 1, padding="same", name="reader")(x)
    model = network(inputs, x, conv=[1, 2, 5])
    assert widths(shrunk(model, noise(2, 9, 2))) == {"conv": 3, "reader": 3}


def test_without_a_bias_one_stands_for_all():
    inputs = keras.Input((None, 2))
    x = layers.Conv1D(6, 3, name="conv")(inputs)
    model = network(inputs, layers.Dense(3, use_bias=False, name="reader")(x), conv=[1, 2, 5])
    result = shrunk(model, noise(2, 9, 2))
    assert widths(result) == {"conv": 4, "reader": 3}
    assert whys(result) == {"conv": "1 kept: one stands for all of them, since reader has no bias"}


def test_a_constant_that_rounding_errors_made_stands_for_no_large_one():
    # Channel 0 stays, since the network gives it out beside the rest, and its constant is what is
    # left of a difference in float32: far off its true value, as a share of it.
    inputs = keras.Input((None, 1))
    x = layers.Conv1D(3, 1, name="conv")(inputs)
    x = layers.BatchNormalization(epsilon=1e-5, name="bn")(x)
    one = layers.Conv1D(2, 3, padding="same", name="reader")(x)
    two = layers.Add(name="sum")([x, layers.Conv1D(3, 1, name="other")(inputs)])
    out = [one, layers.Conv1D(2, 1, name="next")(two)]
    model = network(inputs, out, conv=[0, 1], other=[1])
    model.get_layer("bn").set_weights(
        [np.ones(3), np.array([1.0, 1.0, 0.3]), np.array([1e3, 1e3, 0.0]), np.ones(3) - 1e-5]
    )
    set_biases(model, conv=[999.00006, 995, 0.2])
    assert abs(np.float32(999.00006) - 1e3 + 1) < 1e-3
    assert widths(shrunk(model, noise(2, 9, 1)))["conv"] == 3


@pytest.mark.parametrize(("padding", "left"), [("valid", 3), ("same", 4)])
def test_a_kernel_that_reads_constants_alone_is_dead_unless_it_sees_the_borders(padding, left):
    inputs = keras.Input((None, 2))
    x = layers.Conv1D(3, 3, name="conv")(inputs)
    x = layers.Conv1D(4, 3, padding=padding, name="second")(x)
    model = network(inputs, layers.Dense(3, name="reader")(x), conv=[0])
    kernel, bias = model.get_layer("second").get_weights()
    kernel[:, 1:, 2] = 0
    model.get_layer("second").set_weights([kernel, bias])
    assert widths(shrunk(model, noise(2, 9, 2)))["second"] == left
