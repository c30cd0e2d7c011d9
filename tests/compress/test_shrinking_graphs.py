"""Removing dead kernels where paths meet, and what must stay."""

import keras
import numpy as np
import pytest
from keras import layers
from shrinking_checks import (
    assert_equal_outputs,
    network,
    noise,
    residual,
    set_biases,
    shrunk,
    whys,
    widths,
)

from keras_audio.compress import shrink
from keras_audio.layers import ChannelPad, ChannelRepeat, KeepBeside


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
