"""ERANN: the sizes of the paper's tables, and its arithmetic in plain NumPy."""

import functools
import math

import keras
import numpy as np
import pytest
from harness import randomize, run

from keras_audio.models import create_model, erann, model_info
from keras_audio.models.parts import Parts

# Millions of parameters as printed, a row of the table each: s_m, W, 10^6 parameters. The classes
# are those of AudioSet, ESC-50, UrbanSound8K and RAVDESS. Networks that Table 9 prints twice, with
# and without pitch shifting, stand here twice, too.
TABLES = {
    ("Table 4", 527): """
        2 4 24.5 / 2 5 38.2 / 0 6 54.4 / 1 6 54.5 / 2 6 54.9 / 3 6 56.5""",
    ("Table 6", 50): """
        0 3 13.5 / 1 3 13.6 / 0 4 24.0 / 1 4 24.1 / 2 4 24.3 / 2 5 37.9 / 0 6 54.1 / 1 6 54.2 /
        2 6 54.6""",
    ("Table 8", 10): """
        0 3 13.5 / 1 3 13.5 / 0 4 24.0 / 1 4 24.1 / 2 4 24.2 / 2 5 37.9 / 0 6 54.0 / 1 6 54.1 /
        2 6 54.5""",
    ("Table 9", 8): """
        1 3 13.5 / 1 3 13.5 / 0 4 24.0 / 0 4 24.0 / 1 4 24.1 / 2 4 24.2 / 2 5 37.9 / 0 6 54.0 /
        1 6 54.1 / 2 6 54.5""",
}
ROWS = [
    (table, f"erann_{row.split()[0]}_{row.split()[1]}", classes, row.split()[2])
    for (table, classes), rows in TABLES.items()
    for row in rows.split("/")
]
# Worked out from the paper's rules by hand.
EXACT = {
    ("erann_2_4", 527): 24_503_855,
    ("erann_1_6", 527): 54_530_751,
    ("erann_3_6", 527): 56_466_111,
    ("erann_1_3", 50): 13_557_066,
    ("erann_2_5", 50): 37_891_546,
    ("erann_0_4", 8): 24_022_568,
}
# Eq. (5), and the padding of the first convolution from Table 2.
K1, K2, P = {1: 3, 2: 3, 4: 6}, {1: 3, 2: 3, 4: 5}, {1: 1, 2: 1, 4: 2}
# Eq. (3): the time strides of the stages 1 to 3 for each s_m.
STRIDES = {0: (2, 2, 2), 1: (4, 2, 2), 2: (4, 4, 2), 3: (4, 4, 4)}


def trainable(layers) -> int:
    return sum(math.prod(weight.shape) for weight in layers.trainable_weights)


@functools.cache
def without_classifier(name: str) -> int:
    model = create_model(name, 8, input="features")
    return trainable(model) - trainable(model.get_layer("logits"))


@pytest.mark.parametrize(("table", "name", "classes", "millions"), ROWS)
def test_parameters_round_to_every_value_of_the_tables(table, name, classes, millions):
    fc2 = keras.layers.Dense(classes)
    fc2.build((None, 128 * int(name[-1])))
    assert f"{(without_classifier(name) + trainable(fc2)) / 1e6:.1f}" == millions


def test_no_row_is_missing():
    assert [len([row for row in ROWS if row[0] == table]) for table, _ in TABLES] == [6, 9, 9, 10]
    assert len(set(ROWS)) == 32


@pytest.mark.parametrize(("network", "parameters"), EXACT.items())
def test_parameters_exactly(network, parameters):
    assert trainable(create_model(*network)) == parameters


def numpy_conv(x, weights, strides, padding):
    """A convolution one kernel element after the other, with the padding on both sides."""
    kernel = weights["kernel"]
    x = np.pad(x, [(0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)])
    rows, columns = (
        (size - k) // stride + 1
        for size, k, stride in zip(x.shape[1:3], kernel.shape, strides, strict=False)
    )
    output = np.zeros((len(x), rows, columns, kernel.shape[-1])) + weights.get("bias", 0.0)
    for i, j in np.ndindex(*kernel.shape[:2]):
        down = slice(i, i + strides[0] * (rows - 1) + 1, strides[0])
        right = slice(j, j + strides[1] * (columns - 1) + 1, strides[1])
        output += x[:, down, right] @ kernel[i, j]
    return output


def numpy_batch_norm(x, weights):
    scale = weights["gamma"] / np.sqrt(weights["moving_variance"] + 1e-5)
    return (x - weights["moving_mean"]) * scale + weights["beta"]


def leaky_relu(x):
    return np.where(x > 0, x, 0.01 * x)


def numpy_block(x, weights, name, strides, first=False):
    """ARB(x, y, c) of Table 2 and Fig. 1."""
    shortcut = x
    if f"{name}_shortcut" in weights:
        shortcut = numpy_conv(x, weights[f"{name}_shortcut"], strides, (0, 0))
        assert "bias" in weights[f"{name}_shortcut"]
    if not first:
        x = leaky_relu(numpy_batch_norm(x, weights[f"{name}_bn1"]))
    conv1, conv2 = weights[f"{name}_conv1"], weights[f"{name}_conv2"]
    assert "bias" not in conv1 and "bias" not in conv2
    assert conv1["kernel"].shape[:2] == (K1[strides[0]], K1[strides[1]])
    assert conv2["kernel"].shape[:2] == (K2[strides[0]], K2[strides[1]])
    x = numpy_conv(x, conv1, strides, (1, 1))
    x = leaky_relu(numpy_batch_norm(x, weights[f"{name}_bn2"]))
    x = numpy_conv(x, conv2, (1, 1), (P[strides[0]], P[strides[1]]))
    return shortcut + x


def numpy_weights(model) -> dict[str, dict[str, np.ndarray]]:
    return {
        layer.name: {weight.name: np.array(weight, "float64") for weight in layer.weights}
        for layer in model.layers
        if layer.weights
    }


# The kinds of block that occur: strides, channels in and out, and whether it is the first.
BLOCKS = {
    "first": ((1, 1), 1, 8, True),
    "stride 1": ((1, 1), 8, 8, False),
    "stride 2": ((2, 2), 4, 8, False),
    "stride 4": ((2, 4), 4, 8, False),
}


def block_model(kind, parts=Parts):
    strides, channels, filters, first = BLOCKS[kind]
    inputs = keras.Input((16, None, channels))
    outputs = erann.audio_residual_block(
        inputs, filters, strides, parts(2, 0.9, 1e-5), "block", preactivate=not first
    )
    model = keras.Model(inputs, outputs)
    randomize(model)
    return model


def numpy_block_model(kind, x, weights):
    strides, _, _, first = BLOCKS[kind]
    return numpy_block(x.astype("float64"), weights, "block", strides, first)


@pytest.mark.parametrize("kind", BLOCKS)
def test_block_against_numpy(kind):
    model = block_model(kind)
    x = np.random.default_rng(1).normal(size=(2, 16, 32, model.input_shape[-1])).astype("float32")
    expected = numpy_block_model(kind, x, numpy_weights(model))
    strides, _, filters, first = BLOCKS[kind]
    assert expected.shape == (2, 16 // strides[0], 32 // strides[1], filters)
    np.testing.assert_allclose(run(model, x), expected, atol=1e-5)
    assert ("block_shortcut" in numpy_weights(model)) == (kind != "stride 1")
    assert ("block_bn1" in numpy_weights(model)) == (not first)


@pytest.mark.parametrize("kind", ["stride 2", "stride 4"])
def test_the_padding_of_keras_is_another_function(kind, monkeypatch):
    class SameParts(Parts):
        def conv(self, filters, kernel_size, name, strides=1, padding="same", use_bias=True):
            return super().conv(filters, kernel_size, name, strides, "same", use_bias)

    ours = block_model(kind)
    monkeypatch.setattr(
        erann.layers, "ZeroPadding2D", lambda _, name: keras.layers.Identity(name=name)
    )
    other = block_model(kind, SameParts)
    assert [w.path for w in other.weights] == [w.path for w in ours.weights]
    other.set_weights(ours.get_weights())
    x = np.random.default_rng(1).normal(size=(2, 16, 32, 4)).astype("float32")
    expected = numpy_block_model(kind, x, numpy_weights(other))
    output = run(other, x)
    assert output.shape == expected.shape
    assert np.abs(output - expected).max() > 0.1


def randomized(model):
    """Random weights, of which the first normalisation is one of decibels, so that answers differ.

    Otherwise every logit is in the hundreds.
    """
    randomize(model)
    model.get_layer("input_bn").moving_mean.assign(np.linspace(-60, -20, 128))
    model.get_layer("input_bn").moving_variance.assign(np.linspace(200, 600, 128))
    return model


@pytest.mark.parametrize("s_m", STRIDES)
def test_whole_network_against_numpy(s_m):
    model = randomized(create_model(f"erann_{s_m}_1", 5, input="features"))
    x = (np.random.default_rng(2).normal(size=(2, 128, 128, 1)) * 20 - 40).astype("float32")
    weights = numpy_weights(model)

    y = np.moveaxis(x.astype("float64"), 1, -1)  # the input is normalised over the mel bins
    y = np.moveaxis(numpy_batch_norm(y, weights["input_bn"]), -1, 1)
    sizes = []
    for stage, stride in enumerate((1, *STRIDES[s_m], 2)):
        for block in range(1, 5):
            strides = (2 if stage else 1, stride) if block == 1 else (1, 1)
            first = (stage, block) == (0, 1)
            y = numpy_block(y, weights, f"stage{stage}_block{block}", strides, first)
        sizes.append(y.shape[1:])
    pooled = y.mean(axis=(1, 2)) + y.max(axis=(1, 2))
    embedding = leaky_relu(pooled @ weights["fc1"]["kernel"] + weights["fc1"]["bias"])
    logits = embedding @ weights["logits"]["kernel"] + weights["logits"]["bias"]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = powers / powers.sum(axis=1, keepdims=True)

    # Table 1 and eq. (4), of NumPy and of Keras.
    times = [128 // math.prod(STRIDES[s_m][:stage]) for stage in range(4)]
    times.append(times[-1] // 2)
    table = list(zip((128, 64, 32, 16, 8), times, (8, 16, 32, 64, 128), strict=True))
    assert sizes == table
    ends = [*(f"stage{stage}_block4_add" for stage in range(5)), "embedding", "logits"]
    outputs = keras.Model(model.input, [model.get_layer(end).output for end in ends])(x)
    assert [tuple(output.shape[1:]) for output in outputs[:5]] == table
    for output, expected in zip(outputs[4:], (y, embedding, logits), strict=True):
        np.testing.assert_allclose(output, expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(run(model, x), probabilities, atol=1e-3)
    assert len(weights) == 2 + 1 + 20 * 4 - 1 + 5  # BN, FC1, FC2; all blocks but a BN; shortcuts


@pytest.fixture(scope="module")
def lightest():
    return randomized(create_model("erann_3_1", 5, classifier_activation=None))


def silence(seconds: float) -> np.ndarray:
    return np.zeros((1, round(44100 * seconds), 1), "float32")


def test_frames(lightest):
    front_end = keras.Model(lightest.input, lightest.get_layer("log_mel").output)
    frames = {t: run(front_end, silence(t)).shape[1:] for t in (*range(1, 11), 7.3, 0.05)}
    assert frames == {t: (128, 128 * math.ceil(t), 1) for t in frames}
    assert run(front_end, np.zeros((1, 1, 1), "float32")).shape == (1, 128, 128, 1)
    # Eq. (1) with the floor, 44100 / 345 frames a second and one: a ceiling would give 513 for 4 s.
    equation = {t: math.floor(44100 * t / 345) + 1 for t in range(1, 11)}
    for t, expected in equation.items():
        assert lightest.get_layer("log_mel").num_frames(44100 * t) == expected
        assert (expected == 128 * t) == (t <= 5)
    assert equation[4] == 512 and equation[5] == 640 and equation[10] == 1279


def test_one_set_of_weights_takes_any_length(lightest):
    noise = (np.random.default_rng(0).normal(size=(2, 5 * 44100, 1)) * 0.1).astype("float32")
    answers = [run(lightest, noise[:, : 44100 * t]) for t in (1, 2, 5)]
    for answer in answers:
        assert answer.shape == (2, 5) and np.isfinite(answer).all()
    assert np.abs(answers[0] - answers[2]).max() > 1e-3


@pytest.mark.parametrize("seconds", [0.05, 1.7, 7.3])
def test_zeros_up_to_whole_seconds_change_nothing(lightest, seconds):
    noise = np.random.default_rng(0).normal(size=silence(seconds).shape).astype("float32") * 0.1
    by_hand = silence(math.ceil(seconds))
    by_hand[:, : noise.shape[1]] = noise
    np.testing.assert_array_equal(run(lightest, by_hand), run(lightest, noise))
    one_more = np.concatenate([by_hand, np.zeros((1, 1, 1), "float32")], axis=1)
    assert np.abs(run(lightest, one_more) - run(lightest, noise)).max() > 1e-3


def test_any_width_has_a_name():
    model = create_model("erann_2_7", 3, input="features")
    assert model.get_layer("fc1").units == 128 * 7
    assert model_info("erann_0_12").feature_shape == (128, None, 1)


@pytest.mark.parametrize("name", ["erann_4_1", "erann_1_0", "erann_1_x", "erann_1_03", "erann_1"])
def test_other_names_are_refused_with_near_ones(name):
    with pytest.raises(ValueError, match=f"such as .*erann_1_.*Received: name='{name}'"):
        create_model(name, 3)
