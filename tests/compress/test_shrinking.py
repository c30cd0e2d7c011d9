"""Removing dead kernels: the same outputs, the widths known by hand, and what must stay."""

import keras
import numpy as np
import pytest
from harness import LIGHT, policy, randomize, run, waveforms
from keras import layers

from keras_audio import create_model, list_models, model_info
from keras_audio.compress import (
    ShrunkLayer,
    ShrunkModel,
    half_precision,
    hold_zeros,
    prune_round,
    shrink,
)
from keras_audio.layers import ChannelPad, ChannelRepeat, KeepBeside, PadOrCrop
from keras_audio.models.macs import count_macs, layer_macs
from keras_audio.models.parts import Parts
from keras_audio.models.residual_blocks import BLOCKS, residual_block


def network(inputs, outputs, **dead) -> keras.Model:
    """A model with random weights, so that no constant is zero by chance, and dead channels.

    Args:
        inputs: As of `keras.Model`.
        outputs: Likewise.
        **dead: By the layer's name the kernels (or the scales of a batch normalisation) to zero.
    """
    model = keras.Model(inputs, outputs, name="small")
    rng = np.random.default_rng(0)
    for weight in model.weights:
        values = rng.normal(size=weight.shape)
        weight.assign(np.abs(values) + 0.5 if weight.name == "moving_variance" else values)
    kill(model, **dead)
    return model


def kill(model: keras.Model, **dead) -> None:
    for name, channels in dead.items():
        weight = model.get_layer(name).weights[0]
        assert weight.name in ("kernel", "gamma"), weight.path
        values = np.array(weight.numpy())
        values[..., channels] = 0
        weight.assign(values)


def set_biases(model: keras.Model, **biases) -> None:
    for name, bias in biases.items():
        layer = model.get_layer(name)
        layer.bias.assign(np.broadcast_to(np.array(bias, "float32"), layer.bias.shape))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def assert_equal_outputs(model: keras.Model, smaller: keras.Model, x) -> None:
    """Within 1e-5 of their size."""
    both = [keras.tree.flatten(network(x, training=False)) for network in (model, smaller)]
    assert len(both[0]) == len(both[1])
    for expected, got in zip(*both, strict=True):
        expected, got = map(keras.ops.convert_to_numpy, (expected, got))
        assert expected.shape == got.shape and np.isfinite(expected).all()
        # Where all varies, or a network that is constant equals any other.
        assert np.ptp(expected) > 0
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def shrunk(model: keras.Model, x) -> ShrunkModel:
    """Shrink, and check what holds of every model."""
    weights, graph, layer_ids = model.get_weights(), model.to_json(), list(map(id, model.layers))
    result = shrink(model)
    smaller = result.model
    # The model itself is as it was.
    assert all(map(np.array_equal, weights, model.get_weights()))
    assert model.to_json() == graph and list(map(id, model.layers)) == layer_ids
    # The smaller one shares nothing with it, but its names.
    assert smaller.name == model.name
    assert [layer.name for layer in smaller.layers] == [layer.name for layer in model.layers]
    assert smaller.input_shape == model.input_shape
    assert not {id(weight) for weight in model.weights} & {id(weight) for weight in smaller.weights}
    assert_equal_outputs(model, smaller, x)
    assert result.parameters_before == model.count_params()
    assert result.parameters_after == smaller.count_params()
    for row in result.layers:
        layer = smaller.get_layer(row.name)
        assert layer.weights[0].shape[-1] == row.after <= row.before
        if row.kind == "kernel":
            assert row.before - row.after <= row.dead
            assert bool(row.why) == (row.before - row.after < row.dead), row
    # Nothing is left to remove.
    again = shrink(smaller)
    assert all(map(np.array_equal, smaller.get_weights(), again.model.get_weights()))
    return result


def widths(result: ShrunkModel) -> dict[str, int]:
    return {row.name: row.after for row in result.layers if row.kind == "kernel"}


def whys(result: ShrunkModel) -> dict[str, str]:
    return {row.name: row.why for row in result.layers if row.why}


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


def residual(**dead) -> keras.Model:
    inputs = keras.Input((None, 2))
    x = layers.Conv1D(6, 3, name="stem")(inputs)
    x = layers.ReLU(name="relu")(x)
    y = layers.Conv1D(5, 3, padding="same", name="inner")(x)
    y = layers.ReLU(name="inner_relu")(y)
    y = layers.Conv1D(6, 1, name="outer")(y)
    y = layers.BatchNormalization(name="outer_bn")(y)
    x = layers.Add(name="sum")([x, y])
    model = network(inputs, layers.Dense(3, name="reader")(x), **dead)
    # Of equal constants any can stand for the others.
    set_biases(model, stem=1, inner=1)
    return model


def test_a_sum_keeps_what_is_dead_on_one_side_and_says_so():
    # 0 is dead on the left, 1 and 5 on the right, 3 on both.
    model = residual(stem=[0, 3], outer=[1, 3], outer_bn=[5], inner=[2])
    result = shrunk(model, noise(2, 9, 2))
    assert widths(result) == {"stem": 5, "inner": 4, "outer": 5, "reader": 3}
    sum_needs = "kept: the sum sum needs them"
    assert whys(result) == {"stem": f"1 {sum_needs}", "outer": f"2 {sum_needs}"}
    rows = {row.name: row for row in result.layers}
    assert (rows["stem"].dead, rows["outer"].dead, rows["inner"].dead) == (2, 3, 1)


def test_a_channel_dead_on_all_sides_of_two_sums_goes():
    inputs = keras.Input((None, 2))
    x = layers.Conv1D(4, 3, name="stem")(inputs)
    for index in (1, 2):
        y = layers.Conv1D(4, 3, padding="same", name=f"path{index}")(x)
        x = layers.Add(name=f"sum{index}")([x, y])
    x = layers.Dense(3, name="reader")(layers.GlobalMaxPooling1D()(x))
    dead = {"stem": [0, 1, 2], "path1": [0, 1], "path2": [0, 2]}
    model = network(inputs, x, **dead)
    set_biases(model, stem=1, path1=1)
    result = shrunk(model, noise(2, 9, 2))
    # 2 comes alive in the first sum, 1 in the second.
    assert widths(result) == {"stem": 3, "path1": 3, "path2": 3, "reader": 3}
    assert whys(result) == {
        "stem": "1 kept: the sum sum2 needs them; 1 kept: the sum sum1 needs them",
        "path1": "1 kept: the sum sum2 needs them",
        "path2": "1 kept: the sum sum2 needs them",
    }


def test_a_channel_goes_only_if_every_layer_that_reads_it_can_do_without():
    inputs = keras.Input((None, 2))
    x = layers.Conv1D(6, 3, name="conv")(inputs)
    one = layers.Conv1D(2, 3, name="valid")(layers.BatchNormalization(name="bn")(x))
    two = layers.Conv1D(3, 3, padding="same", name="same")(layers.ReLU()(x))
    # Scales that are zero are dead for one of the two alone.
    model = network(inputs, [one, two], conv=[1, 2, 5], bn=[0, 1])
    set_biases(model, conv=[1, 1, 2, 1, 1, -1])
    result = shrunk(model, noise(2, 9, 2))
    # 2 stands for 1, since `same` pads; 5 is zero there.
    assert widths(result) == {"conv": 4, "valid": 2, "same": 3}
    assert {(row.name, row.kind, row.dead, row.why) for row in result.layers if row.why} == {
        ("conv", "kernel", 3, "1 kept: one stands for all of them, since same pads with zeros"),
        ("bn", "scale", 2, "1 kept: same reads the same channels"),
    }


def test_a_layer_keeps_its_last_kernel():
    inputs = keras.Input((None, 2))
    x = layers.Conv1D(4, 3, name="conv")(inputs)
    # An operation that is no layer, told more than tensors.
    x = layers.Concatenate()([layers.Dense(3, name="reader")(x), inputs[:, 2:]])
    result = shrunk(network(inputs, x, conv=[0, 1, 2, 3]), noise(2, 9, 2))
    assert widths(result) == {"conv": 1, "reader": 3}
    assert whys(result)["conv"] == "1 kept: a layer keeps one"


def test_what_the_network_gives_out_stays():
    inputs = keras.Input((None, 2))
    x = layers.Conv1D(4, 3, name="conv")(inputs)
    x = layers.Dense(5, activation="softmax", name="classes")(layers.GlobalMaxPooling1D()(x))
    result = shrunk(network(inputs, x, conv=[1], classes=[2, 3]), noise(2, 9, 2))
    assert widths(result) == {"conv": 3, "classes": 5}
    assert whys(result) == {"classes": "2 kept: its activation softmax needs them"}
    x = layers.Dense(5, activation="relu", name="scores")(layers.GlobalMaxPooling1D()(inputs))
    result = shrunk(network(inputs, x, scores=[2, 3]), noise(2, 9, 2))
    assert whys(result) == {"scores": "2 kept: the network gives them out"}
    logits = layers.Dense(5, name="logits")(layers.GlobalMaxPooling1D()(inputs))
    model = network(inputs, layers.Activation("softmax", name="predictions")(logits), logits=[2])
    result = shrunk(model, noise(2, 9, 2))
    assert whys(result) == {"logits": "1 kept: predictions needs them"}


def test_what_is_not_known_is_left_with_all_that_it_reads_and_makes():
    x = inputs = keras.Input((None, 4))
    for index in range(3):
        x = layers.Conv1D(6, 3, name=f"conv{index}")(x)
        if index == 1:
            x = layers.LayerNormalization(name="unknown")(x)
    x = layers.Conv1D(4, 3, groups=2, name="in_groups")(x)
    x = layers.Conv1D(4, 1, name="last")(x)
    dead = {f"conv{index}": [1, 2] for index in range(3)}
    result = shrunk(network(inputs, x, in_groups=[0], **dead), noise(2, 20, 4))
    assert widths(result) == {"conv0": 4, "conv1": 6, "conv2": 6, "in_groups": 4, "last": 4}
    assert whys(result) == {
        "conv1": "2 kept: unknown needs them",
        "conv2": "2 kept: in_groups needs them",
        "in_groups": "1 kept: this layer is left as it is",
    }


def test_softmax_inside_of_a_layer_needs_all_its_kernels():
    inputs = keras.Input((None, 2))
    x = layers.Conv1D(4, 1, activation="softmax", name="soft")(inputs)
    model = network(inputs, layers.Dense(3, name="reader")(x), soft=[1])
    result = shrunk(model, noise(2, 9, 2))
    assert whys(result) == {"soft": "1 kept: its activation softmax needs them"}


class Doubled(layers.Conv1D):
    """Inherits from a layer that is known, and does something else."""

    def call(self, inputs):
        return 2 * super().call(inputs)


def calls_twice(x):
    shared = layers.Conv1D(6, 1, name="shared")
    return shared(shared(x))


UNKNOWN = {
    "inherited": lambda x: Doubled(6, 1)(x),
    "called twice": calls_twice,
    "while training": lambda x: layers.BatchNormalization()(x, training=True),
    "other channels first": lambda x: layers.Permute((2, 1))(x),
    "over time": lambda x: layers.BatchNormalization(axis=1)(x),
    "an operation": lambda x: keras.ops.flip(x, axis=-1),
    "softmax": lambda x: layers.Activation("softmax")(x),
    "broadcast": lambda x: layers.Add()([x, layers.Conv1D(1, 1)(x)]),
    "depthwise": lambda x: layers.DepthwiseConv1D(1)(x),
    "recurrent": lambda x: layers.LSTM(3)(x),
    "by keyword": lambda x: layers.MultiHeadAttention(1, 2)(keras.ops.flip(x), value=x),
}


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_every_other_layer_is_a_barrier(unknown):
    inputs = keras.Input((9, 2))
    x = layers.Conv1D(6, 1, name="conv")(inputs)
    x = layers.Dense(3, name="reader")(UNKNOWN[unknown](x))
    model = network(inputs, x, conv=[1, 2])
    result = shrink(model)
    assert widths(result)["conv"] == 6
    assert result.parameters_after == result.parameters_before
    assert_equal_outputs(model, result.model, noise(2, 9, 2))


def test_channels_first_is_left_as_it_is():
    inputs = keras.Input((2, 9, 9))
    x = layers.Conv2D(6, 1, data_format="channels_first", name="conv")(inputs)
    x = layers.Conv2D(3, 1, data_format="channels_first", name="reader")(x)
    assert widths(shrink(network(inputs, x, conv=[1]))) == {"conv": 6, "reader": 3}


def test_repeated_and_appended_channels_go_with_those_they_come_from():
    inputs = keras.Input((None, 2))
    x = layers.Conv1D(3, 3, name="conv")(inputs)
    y = layers.Conv1D(6, 1, name="beside")(x)
    x = layers.Add(name="sum")([ChannelRepeat(2, name="repeat")(x), y])
    y = layers.Conv1D(8, 1, name="after")(x)
    x = layers.Add(name="wide")([ChannelPad(8, name="pad")(x), y])
    # 1 is dead as 2 and 3 of the first sum, and in the second. 0 is dead as 0, not as 1. What is
    # appended is dead anyhow: 6, not 7.
    dead = {"conv": [0, 1], "beside": [0, 2, 3], "after": [2, 3, 6]}
    model = network(inputs, layers.Dense(4, name="reader")(x), **dead)
    result = shrunk(model, noise(2, 9, 2))
    assert widths(result) == {"conv": 2, "beside": 4, "after": 5, "reader": 4}
    assert result.model.get_layer("pad").channels == 5
    assert result.model.get_layer("repeat").repeats == 2
    assert whys(result) == {
        "conv": "1 kept: the sum sum needs them",
        "beside": "1 kept: the sum sum needs them",
    }


@pytest.mark.parametrize("axis", [-1, 2])
def test_paths_side_by_side_lose_channels_on_their_own(axis):
    inputs = keras.Input((None, 2))
    paths = [layers.Conv1D(width, 3, name=f"path{width}")(inputs) for width in (4, 5)]
    x = layers.Concatenate(axis)(paths)
    model = network(inputs, layers.Conv1D(3, 3, name="reader")(x), path4=[0], path5=[0, 4])
    assert widths(shrunk(model, noise(2, 9, 2))) == {"path4": 3, "path5": 3, "reader": 3}


def test_paths_joined_along_time_lose_what_is_the_same_constant_in_both():
    inputs = keras.Input((None, 2))
    paths = [layers.Conv1D(4, 3, name=f"path{number}")(inputs) for number in (1, 2)]
    x = layers.Concatenate(1, name="joined")([layers.ReLU()(path) for path in paths])
    model = network(inputs, layers.Dense(3, name="reader")(x), path1=[0, 1, 2], path2=[0, 1])
    set_biases(model, path1=[-1, 1, 1, 1], path2=[-2, 2, 1, 1])
    result = shrunk(model, noise(2, 9, 2))
    assert widths(result) == {"path1": 3, "path2": 3, "reader": 3}
    assert whys(result) == {
        "path1": "2 kept: joined needs them",
        "path2": "1 kept: joined needs them",
    }


def test_what_is_kept_beside_loses_what_no_sound_changes():
    inputs = keras.Input((None, 2))
    x = layers.Conv1D(6, 3, name="conv")(inputs)
    x = layers.BatchNormalization(name="bn")(x)
    beside = layers.GlobalAveragePooling1D(name="embedding")(x)
    logits = layers.GlobalAveragePooling1D()(layers.Dense(3, name="dense")(layers.ReLU()(x)))
    model = network(inputs, KeepBeside(name="logits")([logits, beside]), conv=[0], bn=[3])
    result = shrunk(model, noise(2, 9, 2))
    assert widths(result) == {"conv": 4, "dense": 3}
    assert result.model.get_layer("embedding").output.shape == (None, 4)
    # A layer that nobody reads is kept for itself, too.
    other = layers.GlobalAveragePooling1D()(layers.Conv1D(5, 1, name="unread")(inputs))
    model = network(inputs, KeepBeside()([logits, other]), unread=[1])
    assert widths(shrunk(model, noise(2, 9, 2)))["unread"] == 4


def test_weights_that_are_not_finite_are_no_constants():
    inputs = keras.Input((None, 2))
    x = layers.Conv1D(4, 3, name="conv")(inputs)
    x = layers.BatchNormalization(name="bn")(x)
    model = network(inputs, layers.Dense(3, name="reader")(x), conv=[0, 1])
    model.get_layer("bn").beta.assign([np.inf, 0.0, 0.0, 0.0])
    assert widths(shrink(model)) == {"conv": 3, "reader": 3}


# --- The networks of the zoo


def randomly_pruned(model: keras.Model, rounds: int = 2) -> keras.Model:
    randomize(model)
    for _ in range(rounds):
        prune_round(model, 0.25)
    return model


def with_logits(model: keras.Model) -> keras.Model:
    return keras.Model(model.input, [model.get_layer("logits").output, model.output], name="both")


def check_network(name: str, x, **arguments) -> ShrunkModel:
    model = randomly_pruned(create_model(name, 7, **LIGHT.get(name, {}), **arguments))
    result = shrunk(model, x)
    # Probabilities were compared; logits are, relative to their size.
    assert_equal_outputs(with_logits(model), with_logits(result.model), x)
    assert result.model.get_layer("embedding").output.shape[0] is None
    assert result.parameters_after < result.parameters_before
    return result


@pytest.mark.parametrize("name", ["binaural_a", "binaural_b", "m3", "m5"])
def test_a_network_without_sums_has_no_dead_kernel_left(name):
    result = check_network(name, waveforms(name))
    if name.startswith("binaural"):
        assert not whys(result)
        assert all(row.before - row.after == row.dead for row in result.layers)
    else:
        # 'same' padding: one a layer at most.
        assert all(row.before - row.after >= row.dead - 1 for row in result.layers)
    assert result.parameters_after < 0.3 * result.parameters_before


@pytest.mark.parametrize("name", ["binaural_c", "binaural_d"])
def test_a_residual_network_shrinks_inside_its_blocks(name):
    result = check_network(name, waveforms(name))
    for row in result.layers:
        if row.name == "conv1" or row.name.endswith("_conv1"):
            assert row.before - row.after >= row.dead - 1, row
            assert row.dead > 0.4 * row.before
        elif row.name != "logits":
            assert "the sum" in row.why, row
    assert result.parameters_after < 0.55 * result.parameters_before


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("rank", [1, 2])
def test_all_designs_of_a_residual_block_shrink(block, rank):
    parts = Parts(rank)
    inputs = keras.Input((9, 3) if rank == 1 else (6, 9, 3))
    x = parts.conv(8, 3, "stem")(inputs)
    x = residual_block(x, block, 8, parts, "block1")
    x = residual_block(parts.max_pool(2, "pool", padding="same")(x), block, 16, parts, "block2")
    model = network(inputs, parts.classifier(x, 3))
    for _ in range(2):
        prune_round(model, 0.3)
    result = shrunk(model, noise(2, *inputs.shape[1:]))
    rows = {row.name: row for row in result.layers if row.kind == "kernel"}
    for name in ("block1_conv1", "block2_conv1"):
        assert rows[name].dead - 1 <= rows[name].before - rows[name].after > 0


@pytest.mark.parametrize(("name", "frames"), [("erann_3_1", 128), ("two_path_resnet", 16)])
def test_the_networks_on_spectrograms_shrink(name, frames):
    channels = model_info(name).feature_shape[-1]
    check_network(name, noise(1, 128, frames, channels), input="features")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in list_models() if "erann" not in name])
def test_every_network_shrinks(name):
    check_network(name, waveforms(name))


@pytest.mark.parametrize("name", ["binaural_a", "m3"])
def test_a_network_without_zeros_stays_as_it_is(name):
    model = create_model(name, 7)
    randomize(model)
    result = shrunk(model, waveforms(name))
    assert result.parameters_after == result.parameters_before
    assert all(map(np.array_equal, model.get_weights(), result.model.get_weights()))
    assert all(row.dead == 0 and row.after == row.before for row in result.layers)


def test_clip_steps_stay_in_front():
    model = create_model("binaural_a", 3, clip_steps=[PadOrCrop(3000, crop="center")])
    result = shrunk(randomly_pruned(model), noise(2, 4000, 2))
    assert result.model.get_layer("pad_or_crop").get_config() == (
        model.get_layer("pad_or_crop").get_config()
    )


def test_dtype_policies_and_regularizers_stay():
    with policy("mixed_float16"):
        model = create_model("binaural_a", 3, kernel_regularizer=1e-3)
    smaller = shrink(randomly_pruned(model)).model
    policies = [[layer.dtype_policy.name for layer in m.layers[1:]] for m in (model, smaller)]
    assert policies[0] == policies[1] and "mixed_float16" in policies[0]
    kernels = [layer.kernel.numpy() for layer in smaller.layers if hasattr(layer, "kernel")]
    expected = 1e-3 * sum(np.square(kernel).sum() for kernel in kernels)
    np.testing.assert_allclose(float(sum(smaller.losses)), expected, rtol=1e-3)
    x = waveforms("binaural_a")
    np.testing.assert_allclose(run(smaller, x), run(model, x), atol=5e-3)


def test_the_weights_of_half_precision_shrink_too():
    model = half_precision(randomly_pruned(create_model("binaural_b", 3)))
    shrunk(model, waveforms("binaural_b"))


def test_a_shrunk_network_is_saved_and_loaded(tmp_path):
    smaller = shrink(randomly_pruned(create_model("binaural_d", 3))).model
    smaller.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = waveforms("binaural_d")
    np.testing.assert_array_equal(run(loaded, x), run(smaller, x))
    assert loaded.count_params() == smaller.count_params()
    assert loaded.name == "binaural_d"


def test_a_sequential_or_compiled_model_gives_a_functional_one_that_is_not_compiled():
    model = keras.Sequential(
        [
            keras.Input((None, 2)),
            layers.Conv1D(6, 3, name="conv"),
            layers.Conv1D(3, 3, name="reader"),
        ]
    )
    kill(model, conv=[0, 3])
    model.compile("adam", "mse")
    result = shrink(model)
    assert not result.model.compiled and model.compiled
    assert widths(result) == {"conv": 4, "reader": 3}
    assert_equal_outputs(model, result.model, noise(2, 9, 2))


def test_a_shrunk_network_trains_and_its_zeros_can_be_held():
    model = residual(stem=[0, 3], outer=[1, 3])
    smaller = shrink(model).model
    hold_zeros(smaller)
    smaller.compile("adam", "mse")
    smaller.fit(noise(4, 9, 2), noise(4, 7, 3), verbose=0)
    assert shrink(smaller).parameters_after == smaller.count_params()
    assert not smaller.get_layer("stem").kernel.numpy()[..., 0].any()
    assert smaller.get_layer("stem").kernel.numpy()[..., 1].any()


def test_the_table_says_what_was_done():
    model = residual(stem=[0, 3], outer=[1, 3])
    assert shrink(model).table().splitlines() == [
        "name    kind    before  after  dead  why",
        "stem    kernel       6      5     2  1 kept: the sum sum needs them",
        "inner   kernel       5      5     0",
        "outer   kernel       6      5     2  1 kept: the sum sum needs them",
        "reader  kernel       3      3     0",
        "parameters: 218 before, 183 after",
    ]


def test_the_cost_of_a_residual_network_falls_where_kernels_went():
    model = randomly_pruned(create_model("binaural_d", 3))
    smaller = shrink(model).model
    before, after = (
        {layer.name: layer.macs for layer in layer_macs(m, (18000, 2))} for m in (model, smaller)
    )
    rows = {row.name: row for row in shrink(model).layers}
    inputs = {
        "layer2_1_conv1": ("layer2_0_conv2", "layer2_1_conv1"),
        "layer2_1_conv2": ("layer2_1_conv1", "layer2_1_conv2"),
    }
    for name, (source, own) in inputs.items():
        share = rows[source].after * rows[own].after / (64 * 64)
        assert after[name] == before[name] * share < before[name]


def test_what_cannot_be_shrunk_is_refused():
    inputs = keras.Input((None, 2))
    inner = keras.Sequential([layers.Conv1D(3, 3)], name="inner")
    nested = keras.Model(inputs, inner(inputs))
    with pytest.raises(ValueError, match="Expected no model inside.*'inner'"):
        shrink(nested)
    with pytest.raises(ValueError, match="Expected a model that is built"):
        shrink(keras.Sequential([layers.Dense(3)]))

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__(name="subclassed")
            self.dense = layers.Dense(3)

        def call(self, x):
            return self.dense(x)

    model = Subclassed()
    model(np.ones((1, 2)))
    with pytest.raises(ValueError, match="Expected a functional.*'subclassed', which is a Subcl"):
        shrink(model)
