"""Multiply-accumulates: by hand, by the paper's formulas, and linear in duration."""

import math

import keras
import numpy as np
import pytest
from keras import layers

import keras_audio
from keras_audio.layers import LogMelSpectrogram
from keras_audio.models import cut_model
from keras_audio.models.macs import LayerMacs, count_macs, layer_macs

# By hand: output positions x filters x kernel x input channels (a group's).
CASES = [
    (layers.Conv1D(8, 5, strides=2, padding="same"), (99, 3), 50 * 8 * 5 * 3),
    (layers.Conv1D(8, 5, strides=2), (99, 3), 48 * 8 * 5 * 3),
    (layers.Conv1D(8, 3, dilation_rate=4, padding="causal"), (99, 3), 99 * 8 * 3 * 3),
    (layers.Conv2D(6, (3, 5), strides=(2, 1)), (9, 10, 4), (4 * 6) * 6 * (3 * 5) * 4),
    (layers.Conv2D(6, 1, groups=2, use_bias=False), (9, 10, 4), (9 * 10) * 6 * 2),
    (layers.Conv3D(2, 3), (4, 5, 6, 7), (2 * 3 * 4) * 2 * 27 * 7),
    (layers.DepthwiseConv1D(3, depth_multiplier=2), (10, 4), 8 * (4 * 2) * 3),
    (layers.DepthwiseConv2D(3, padding="same"), (9, 10, 4), (9 * 10) * 4 * 9),
    (layers.Dense(7), (12,), 12 * 7),
    (layers.Dense(7), (5, 12), 5 * 12 * 7),
    (layers.BatchNormalization(), (9, 10, 4), 0),
    (layers.AveragePooling1D(2), (10, 4), 0),
    (layers.ZeroPadding2D(1), (9, 10, 4), 0),
    # 1 + 1000 // 10 frames of 64 points, 6 octaves; bins 1 to 31 of 125 Hz lie between 100 and
    # 4000 Hz.
    (
        LogMelSpectrogram(8000, n_fft=64, hop_length=10, num_mels=4, fmin=100.0),
        (1000, 2),
        101 * 2 * (64 * 6 + 31 * 4),
    ),
]


@pytest.mark.parametrize(("layer", "shape", "macs"), CASES)
def test_a_layer_costs_what_counting_by_hand_says(layer, shape, macs):
    model = keras.Sequential([keras.Input(shape), layer])
    assert count_macs(model, shape) == macs
    counted = [LayerMacs(layer.name, model.output_shape[1:], macs)] if macs else []
    assert layer_macs(model, shape) == counted


def test_the_convolution_multiplies_as_often_as_it_is_said_to():
    # On ones, with weights of one and no padding, a sum over all outputs counts the products.
    layer = layers.Conv2D(6, (3, 5), strides=(2, 1), kernel_initializer="ones", use_bias=False)
    model = keras.Sequential([keras.Input((9, 10, 4)), layer])
    assert np.sum(model.predict_on_batch(np.ones((1, 9, 10, 4)))) == count_macs(model, (9, 10, 4))


def stage_macs(stage, stride, width):
    """Of one stage and second, from Tables 1 and 2 of the paper."""
    filters, before = 8 * 2**stage * width, 8 * 2 ** (stage - 1) * width if stage else 1
    first, second = (6, 5) if stride == 4 else (3, 3)  # along time; 3 along frequency
    widening = filters * (before * 3 * first + filters * 3 * second + before)
    return widening + 3 * 2 * 9 * filters**2


@pytest.mark.parametrize(
    ("s_m", "width", "classes"), [(0, 6, 527), (1, 3, 50), (2, 5, 10), (3, 1, 8)]
)
def test_erann_costs_what_the_papers_tables_say(s_m, width, classes):
    positions, expected = 128 * 128, 0
    for stage in range(5):
        stride = 1 if stage == 0 else 4 if stage <= min(s_m, 3) else 2
        positions //= stride * (2 if stage else 1)
        expected += positions * stage_macs(stage, stride, width)
    top = 128 * width * (128 * width + classes)
    model = keras_audio.create_model(f"erann_{s_m}_{width}", classes, input="features")
    for seconds in (1, 7):
        assert count_macs(model, (128, 128 * seconds, 1)) == seconds * expected + top


def test_the_two_path_network_costs_what_its_layers_say():
    macs, before, frames = 2 * 64 * 200 * 24 * 9 * 6, 24, 200
    for filters in (24, 48, 96, 192):
        frames //= 1 if filters == 24 else 2
        macs += 2 * 64 * frames * 9 * (before * filters + 3 * filters**2)
        before = filters
    macs += 128 * 25 * (192 * 768 + 768 * 10)
    model = keras_audio.create_model("two_path_resnet", 10, input="features")
    assert count_macs(model, (128, 400, 6)) == macs


# Torchvision gives 1.814 and 3.664 billion for ImageNet's pictures.
@pytest.mark.parametrize(("blocks", "billions"), [((2, 2, 2, 2), 1.814), ((3, 4, 6, 3), 3.664)])
@pytest.mark.parametrize("size", [(224, 224), (64, 128), (96, 214), (128, 300)])
def test_imagenets_network_costs_what_its_layers_say(blocks, billions, size):
    mels, frames = (math.ceil(side / 2) for side in size)
    expected, before = mels * frames * 49 * 3 * 64, 64
    for stage, count in enumerate(blocks):
        mels, frames, filters = math.ceil(mels / 2), math.ceil(frames / 2), 64 * 2**stage
        weights = 9 * (before * filters + (2 * count - 1) * filters**2)
        weights += before * filters if stage else 0
        expected, before = expected + mels * frames * weights, filters
    model = keras_audio.create_model(f"resnet{2 + 2 * sum(blocks)}", 1000, input="features")
    assert count_macs(model, (*size, 1)) == expected + 512 * 1000
    if size == (224, 224):
        assert round((expected + 512 * 1000) / 1e9, 3) == billions


def test_the_front_end_of_images_can_be_told_apart():
    def counted(**arguments):
        model = keras_audio.create_model("resnet10", 10, num_filters=1, **arguments)
        return {layer.name: layer.macs for layer in layer_macs(model, (110250, 1))}

    bare = keras_audio.create_model("resnet10", 10, input="features", num_filters=1)
    # 5 s have 431 frames, of which 300 are kept; 511 bins lie between 0 Hz and half the rate.
    a_filter, transforms = 431 * 511, 431 * 1024 * 10
    whole, small, resized = counted(), counted(num_mels=64, frames=128), counted(resize=(64, 128))
    assert whole.pop("log_mel_image") == transforms + 128 * a_filter
    assert small.pop("log_mel_image") == transforms + 64 * a_filter
    assert resized.pop("log_mel_image") == transforms + 128 * a_filter
    assert sum(whole.values()) == count_macs(bare, (128, 300, 1))
    assert small == resized
    assert sum(small.values()) == count_macs(bare, (64, 128, 1))


@pytest.mark.parametrize("name", ["erann_0_1", "erann_1_3", "erann_2_2", "erann_3_1"])
def test_the_cost_of_erann_is_linear_in_duration(name):
    # Section 3.2: "FLOPs [...] depend linearly on the length of input audio signals, excluding the
    # computational cost of the last fully connected layers".
    model = keras_audio.create_model(name, 10)
    costs = [layer_macs(model, (44100 * t, 1)) for t in range(1, 11)]
    for layer in zip(*costs, strict=True):
        each = [macs for _, _, macs in layer]
        a_second = 0 if layer[0].name in ("fc1", "logits") else each[0]
        assert np.diff(each).tolist() == [a_second] * 9, layer[0].name
    fully_connected = {
        layer.name: layer.macs for layer in costs[0] if layer.name in ("fc1", "logits")
    }
    totals = [sum(layer.macs for layer in layers) for layers in costs]
    slope = totals[1] - totals[0]
    assert totals == [slope * t + sum(fully_connected.values()) for t in range(1, 11)]
    # A begun second is a whole one.
    assert count_macs(model, (44100 * 3 - 1, 1)) == totals[2] == count_macs(model, (88201, 1))


def test_the_front_end_can_be_told_apart():
    whole = keras_audio.create_model("erann_3_1", 10)
    bare = keras_audio.create_model("erann_3_1", 10, input="features")
    counts = {layer.name: layer.macs for layer in layer_macs(whole, (441000, 1))}
    # 437 bins of 44100 / 1380 Hz lie between 50 and 14000 Hz.
    front_end = 1280 * (round(1380 * math.log2(1380)) + 437 * 128)
    assert counts.pop("log_mel") == front_end
    assert sum(counts.values()) == count_macs(bare, (128, 1280, 1))


def test_the_front_end_of_the_two_path_network_can_be_told_apart():
    narrow = {"num_filters": 1}
    whole = keras_audio.create_model("two_path_resnet", 10, **narrow)
    bare = keras_audio.create_model("two_path_resnet", 10, input="features", **narrow)
    counts = {layer.name: layer.macs for layer in layer_macs(whole, (480000, 2))}
    # The bins from above 0 Hz to below half the sample rate. Deltas cost no products of weights.
    assert counts.pop("log_mel") == 469 * 2 * (2048 * 11 + 1023 * 128)
    assert sum(counts.values()) == count_macs(bare, (128, 461, 6))


def test_counting_leaves_the_model_as_it_was():
    model = keras_audio.create_model("m3", 10)
    before = [weight.numpy() for weight in model.weights]
    assert count_macs(model, (32000, 1)) == count_macs(model, (32000, 1))
    _, network = cut_model(model, "group1_pool")  # looks its layers up in the graph
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, model.weights, strict=True))
    assert model.get_layer("logits").output.shape == (None, 10)
    assert count_macs(network, (2000, 256)) == count_macs(model, (32000, 1)) - 8000 * 256 * 80


def test_a_layer_that_is_called_twice_costs_twice():
    x = keras.Input((10,))
    shared = layers.Dense(10, name="shared")
    model = keras.Model(x, shared(shared(x)))
    assert [layer.name for layer in layer_macs(model, (10,))] == ["shared", "shared"]
    assert count_macs(model, (10,)) == 200


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (layers.LSTM(3, name="memory"), "'memory', which is a LSTM"),
        (layers.Conv1DTranspose(3, 3, name="up"), "'up', which is a Conv1DTranspose"),
        (layers.SeparableConv1D(3, 3, name="two"), "'two', which is a SeparableConv1D"),
        (layers.EinsumDense("abc,cd->abd", (None, 3), name="sum"), "'sum', which is a EinsumDense"),
        (keras.Sequential([layers.Dense(3)], name="inner"), "'inner', which is a Sequential"),
    ],
)
def test_what_is_not_known_is_refused(layer, said):
    model = keras.Sequential([keras.Input((10, 4)), layer])
    with pytest.raises(ValueError, match=f"Expected layers whose .*Received: {said}"):
        count_macs(model, (10, 4))


def test_products_outside_of_layers_are_refused():
    x = keras.Input((10, 4))
    for product in (keras.ops.matmul(x, keras.ops.transpose(x, (0, 2, 1))), layers.Dot(1)([x, x])):
        with pytest.raises(ValueError, match="Expected layers whose"):
            count_macs(keras.Model(x, product), (10, 4))


@pytest.mark.parametrize("shape", [(), (32000,), (None, 1), (32000, 2), (0, 1), (1, 32000, 1)])
def test_shapes_that_do_not_fit_are_refused(shape):
    model = keras_audio.create_model("m3", 10)
    with pytest.raises(ValueError, match="Expected input_shape to fit .*Received: input_shape="):
        count_macs(model, shape)
