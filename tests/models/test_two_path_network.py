"""The two-path network: its sizes, what its paths see, and its arithmetic in plain NumPy."""

import functools

import keras
import numpy as np
import pytest
from harness import policy, randomize, run

from keras_audio.augment import RandomCropFrames
from keras_audio.models import create_model, model_info
from keras_audio.models.two_path import equal_width, mel_bands, two_path_front_end

STAGES = [f"stage{stage}_block{block}" for stage in range(1, 5) for block in (1, 2)]


def build(num_classes=5, **arguments) -> keras.Model:
    """The bare network, narrow, with random statistics, one audio channel."""
    arguments = {"channels": 1, "num_filters": 4, "input": "features", **arguments}
    model = create_model("two_path_resnet", num_classes, **arguments)
    randomize(model)
    return model


network = functools.cache(build)  # for tests that leave it as it is


def part(model, *names) -> keras.Model:
    outputs = [model.get_layer(name).output for name in names]
    return keras.Model(model.input, outputs[0] if len(names) == 1 else outputs)


def features(frames, batch=2, channels=3) -> np.ndarray:
    rng = np.random.default_rng(frames)
    return rng.normal(size=(batch, 128, frames, channels)).astype("float32")


def trainable(model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


# NOTES section 3, of the authors' network; the report says "approximately 3.2 million".
@pytest.mark.parametrize(("channels", "parameters"), [(1, 3_246_108), (2, 3_247_416)])
def test_parameters_exactly(channels, parameters):
    model = create_model("two_path_resnet", 10, input="features", channels=channels)
    assert model.input_shape == (None, 128, None, 3 * channels)
    assert trainable(model) == parameters


def test_parameters_by_hand():
    model = network(num_classes=7)
    convolutions, before = 3 * 3 * 3 * 4, 4
    for filters in (4, 8, 16, 32):
        convolutions += 9 * (before * filters + 3 * filters**2)
        before = filters
    # Scale and offset of the first batch norm, of the 3 features, in either path; two 1x1.
    assert trainable(model) == 2 * (convolutions + 2 * 3) + 32 * 128 + 128 * 7


def test_each_path_has_17_convolutions_and_no_bias_is_learned():
    model = network()
    names = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    for path in ("path1_", "path2_"):
        assert len([name for name in names if name.startswith(path)]) == 17
    assert {name for name in names if "path" not in name} == {"fusion_conv", "logits_conv"}
    assert {weight.path for weight in model.trainable_weights} == {
        *(f"{name}/kernel" for name in names),
        *(f"path{n}_input_bn/{kind}" for n in (1, 2) for kind in ("gamma", "beta")),
    }


def test_kernels_are_drawn_as_he_et_al_say_and_penalised():
    model = create_model(
        "two_path_resnet", 10, channels=1, num_filters=8, input="features", kernel_regularizer=1e-3
    )
    for name, fan_in in (("path2_stage4_block2_conv2", 9 * 64), ("fusion_conv", 64)):
        kernel = np.array(model.get_layer(name).kernel)
        assert kernel.std() == pytest.approx(np.sqrt(2 / fan_in), rel=0.05)
    kernels = [np.array(w) for w in model.trainable_weights if w.name == "kernel"]
    assert len(kernels) == len(model.losses) == 36
    expected = 1e-3 * sum(np.square(kernel).sum() for kernel in kernels)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)


def test_time_is_halved_four_times_and_frequency_never():
    model = network()
    names = ["path1_stem_conv", *(f"path2_{block}_add" for block in STAGES), "fusion"]
    outputs = part(model, *names)(features(400, batch=1))
    shapes = {name: tuple(output.shape) for name, output in zip(names, outputs, strict=True)}
    expected = {"path1_stem_conv": (1, 64, 200, 4), "fusion": (1, 128, 25, 32)}
    for stage, (frames, channels) in enumerate([(200, 4), (100, 8), (50, 16), (25, 32)], 1):
        for block in (1, 2):
            expected[f"path2_stage{stage}_block{block}_add"] = (1, 64, frames, channels)
    assert shapes == expected
    assert model.get_layer("logits").output.shape == (None, 5)
    assert model.get_layer("embedding").output.shape == (None, 128)


# Mel bins of each path, with the arguments that part them so.
BANDS = [
    ({}, [(0, 64), (64, 128)]),
    ({"split": 40}, [(0, 40), (40, 128)]),
    ({"paths": 4}, [(0, 32), (32, 64), (64, 96), (96, 128)]),
    ({"paths": 1}, [(0, 128)]),
]


@pytest.mark.parametrize(("arguments", "bands"), BANDS, ids=str)
def test_the_paths_never_meet_before_the_fusion(arguments, bands):
    model = network(**arguments)
    ends = part(model, *(f"path{n}_stage4_block2_add" for n in range(1, len(bands) + 1)), "logits")
    # One batch of two clips and of the same clips with one band changed.
    x = np.concatenate([features(20)] * (1 + len(bands)))
    for number, (first, last) in enumerate(bands):
        x[2 * number + 2 : 2 * number + 4, first:last] += 1.0
    *outputs, logits = [*map(np.array, ends(x))]
    for number in range(len(bands)):
        changed = slice(2 * number + 2, 2 * number + 4)
        for other, output in enumerate(outputs):
            difference = np.abs(output[changed] - output[:2]).max()
            assert difference > 0.1 if other == number else difference == 0, (number, other)
        assert np.abs(logits[changed] - logits[:2]).max() > 1e-3


def test_a_path_sees_35_bins_at_its_end():
    # Section 3.3. 17 convolutions reach 17 bins to either side. With kernels above zero and fresh
    # statistics, nothing but the one sounding bin gives anything but zeros.
    model = create_model("two_path_resnet", 5, channels=1, num_filters=2, input="features")
    for weight in model.trainable_weights:
        weight.assign(np.abs(weight))
    x = np.zeros((1, 128, 32, 3), "float32")
    x[:, [30, 64]] = 1.0
    lower, upper = part(model, "path1_stage4_block2_add", "path2_stage4_block2_add")(x)
    reached = [np.flatnonzero(np.any(end, axis=(0, 2, 3))).tolist() for end in (lower, upper)]
    assert reached == [list(range(30 - 17, 30 + 17 + 1)), list(range(17 + 1))]
    assert len(reached[0]) == 35


# The arithmetic. ----------------------------------------------------------------------------------


def padded(x, size, strides):
    """Keras' "same" on the two inner axes: what is left over stands behind."""
    edges = [(0, 0)]
    for length, k, stride in zip(x.shape[1:3], size, strides, strict=True):
        total = max((-(-length // stride) - 1) * stride + k - length, 0)
        edges.append((total // 2, total - total // 2))
    return np.pad(x, [*edges, (0, 0)])


def windows(x, size, strides):
    """What each element of a kernel meets: (rows * columns, batch, height, width, channels)."""
    height, width = (-(-n // s) for n, s in zip(x.shape[1:3], strides, strict=True))
    x = padded(x, size, strides)
    return np.stack(
        [x[:, i :: strides[0], j :: strides[1]][:, :height, :width] for i, j in np.ndindex(*size)]
    )


class NumpyTwoPath:
    """Sections 3.2 to 3.4 with the weights of a model."""

    def __init__(self, model):
        self.weights = {
            layer.name: {weight.name: np.array(weight, "float64") for weight in layer.weights}
            for layer in model.layers
        }

    def conv(self, name, x, strides=(1, 1)):
        kernel = self.weights[name]["kernel"]
        taps = kernel.reshape(-1, *kernel.shape[2:])
        seen = windows(x, kernel.shape[:2], strides)
        return sum(part @ tap for part, tap in zip(seen, taps, strict=True))

    def batch_norm(self, name, x):
        weights = self.weights[name]
        x = (x - weights["moving_mean"]) / np.sqrt(weights["moving_variance"] + 1e-3)
        return x * weights.get("gamma", 1.0) + weights.get("beta", 0.0)

    def relu(self, name, x):
        return np.maximum(self.batch_norm(name, x), 0)

    def block(self, name, x, strides):
        shortcut = x
        if strides != (1, 1):
            # Padding counts neither in the sum nor in the number.
            sums = windows(x, (3, 3), strides).sum(axis=0)
            shortcut = sums / windows(np.ones_like(x), (3, 3), strides).sum(axis=0)
        x = self.conv(f"{name}_conv1", self.relu(f"{name}_bn1", x), strides)
        x = self.conv(f"{name}_conv2", self.relu(f"{name}_bn2", x))
        x[..., : shortcut.shape[-1]] += shortcut
        return x

    def path(self, name, x):
        x = self.conv(f"{name}_stem_conv", self.batch_norm(f"{name}_input_bn", x), (1, 2))
        for block in STAGES:
            down = block.endswith("block1") and block != "stage1_block1"
            x = self.block(f"{name}_{block}", x, (1, 2) if down else (1, 1))
        return x

    def __call__(self, x, bands=((0, 64), (64, 128))):
        """The ends of the paths, the embedding, the logits."""
        x = x.astype("float64")
        ends = [self.path(f"path{n}", x[:, slice(*band)]) for n, band in enumerate(bands, 1)]
        x = self.relu("fusion_bn", np.concatenate(ends, axis=1))
        x = self.batch_norm("embedding_bn", self.conv("fusion_conv", x))
        logits = self.batch_norm("logits_bn", self.conv("logits_conv", x)).mean(axis=(1, 2))
        return *ends, x.mean(axis=(1, 2)), logits


@pytest.mark.parametrize("frames", [6, 7])
@pytest.mark.parametrize(
    ("before", "block", "strides"),
    [
        ("path2_stem_conv", "path2_stage1_block1", (1, 1)),
        ("path2_stage2_block2_add", "path2_stage3_block1", (1, 2)),
    ],
)
def test_block_against_numpy(before, block, strides, frames):
    model = network()
    ours = keras.Model(model.get_layer(before).output, model.get_layer(f"{block}_add").output)
    shape = (2, 64, frames, ours.input_shape[-1])
    x = np.random.default_rng(frames).normal(size=shape).astype("float32") + 1.0
    expected = NumpyTwoPath(model).block(block, x.astype("float64"), strides)
    # Twice the channels where time is halved.
    assert expected.shape == (2, 64, -(-frames // strides[1]), shape[-1] * strides[1])
    np.testing.assert_allclose(run(ours, x), expected, atol=1e-5)


@pytest.mark.parametrize("frames", [21, 32])
@pytest.mark.parametrize(("arguments", "bands"), BANDS[:2], ids=str)
def test_whole_network_against_numpy(frames, arguments, bands):
    model = network(**arguments)
    ends = [f"path{n}_stage4_block2_add" for n in (1, 2)]
    outputs = part(model, *ends, "embedding", "logits")(features(frames))
    expected = NumpyTwoPath(model)(features(frames), bands)
    for ours, theirs in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())
    powers = np.exp(expected[-1])
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(run(model, features(frames)), probabilities, atol=1e-5)


def test_the_embedding_is_what_the_logits_weigh():
    model = network()
    embedding, logits = part(model, "embedding", "logits")(features(16))
    kernel = np.array(model.get_layer("logits_conv").kernel)[0, 0]
    norm = model.get_layer("logits_bn")
    mean, variance = np.array(norm.moving_mean), np.array(norm.moving_variance)
    expected = (np.array(embedding) @ kernel - mean) / np.sqrt(variance + norm.epsilon)
    np.testing.assert_allclose(logits, expected, atol=1e-5)


# Lengths. -----------------------------------------------------------------------------------------


def test_whole_clips_after_training_on_crops():
    model = build(feature_steps=[RandomCropFrames(40, seed=0)])
    crop = keras.Model(model.input, model.get_layer("random_crop_frames").output)
    x = features(61)
    assert crop(x, training=True).shape == (2, 128, 40, 3)
    assert np.isfinite(np.array(model(x, training=True))).all()
    without = build()
    without.set_weights(model.get_weights())
    for frames in (1, 61):
        np.testing.assert_array_equal(run(model, x[:, :, :frames]), run(without, x[:, :, :frames]))


@pytest.mark.parametrize(("sample_rate", "frames"), [(48000, 461), (44100, 423)])
def test_frames_of_ten_seconds_are_those_of_the_report(sample_rate, frames):
    # Section 3.1, of tasks 1a, and 1b and 1c.
    waveform = keras.Input((10 * sample_rate, 2))
    output = two_path_front_end(waveform, sample_rate=sample_rate)
    assert output.shape == (None, 128, frames, 6)
    without = two_path_front_end(waveform, sample_rate=sample_rate, deltas=False)
    assert without.shape == (None, 128, frames + 8, 2)


def test_least_number_of_samples_is_the_least():
    model = create_model("two_path_resnet", 3, num_filters=1, channels=1)
    least = model_info("two_path_resnet").min_samples
    noise = np.random.default_rng(0).normal(size=(1, least, 1)).astype("float32")
    front_end = part(model, "deltas")
    assert front_end(noise).shape == (1, 128, 1, 3)
    assert np.isfinite(run(model, noise)).all()
    with pytest.raises(ValueError, match="at least 9 frames"):
        model(noise[:, 1:])


@pytest.mark.parametrize("argument", ["batch_norm_momentum", "batch_norm_epsilon"])
def test_batch_norm_settings_reach_every_layer(argument):
    model = network(num_filters=1, **{argument: 0.75})
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 2 * 17 + 3
    assert {getattr(norm, argument.removeprefix("batch_norm_")) for norm in norms} == {0.75}


def test_bands_that_cannot_be_are_refused():
    assert mel_bands(128, 2, 64) == mel_bands(128, 2, None)
    for arguments, said in [
        ({"paths": 3}, "paths=3"),
        ({"paths": 0}, "paths=0"),
        ({"split": 0}, "split=0"),
        ({"split": 128}, "split=128"),
        ({"split": 40, "paths": 4}, "split=40, paths=4"),
        ({"num_filters": 0}, "num_filters=0"),
        ({"num_filters": 1.5}, "num_filters=1.5"),
    ]:
        with pytest.raises(ValueError, match=f"Expected .*Received: {said}"):
            create_model("two_path_resnet", 10, **arguments)


def test_half_precision_does_not_round_the_features():
    with policy("mixed_float16"):
        crop = RandomCropFrames(9, seed=0)
        model = create_model("two_path_resnet", 3, num_filters=2, feature_steps=[crop])
    for path in ("path1", "path2"):
        assert model.get_layer(f"{path}_input_bn").input.dtype == "float32"
    assert model.get_layer("path1_stage1_block1_conv1").output.dtype == "float16"


@pytest.mark.parametrize(("num_filters", "channels", "classes"), [(2, 2, 5), (8, 1, 10)])
def test_one_path_of_equal_width_has_as_many_parameters(num_filters, channels, classes):
    def parameters(width, paths):
        shape = {"channels": channels, "num_filters": width, "paths": paths}
        return trainable(build(classes, **shape))

    width = equal_width(num_filters, feature_channels=3 * channels, num_classes=classes)
    wanted = parameters(num_filters, 2)
    misses = {near: abs(parameters(near, 1) - wanted) for near in (width - 1, width, width + 1)}
    assert min(misses, key=misses.get) == width
