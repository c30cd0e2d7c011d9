"""The three mixes against their formulas, written out in plain NumPy."""

import math

import keras
import librosa
import numpy as np
import pytest

from keras_audio.augment import (
    BetweenClassLogMelMixup,
    BetweenClassMixup,
    StandardMixup,
    a_weighted_level,
)

RATE = 16000
MELS = librosa.mel_frequencies(24 + 2, fmin=50, fmax=7000)[1:-1].tolist()
LAYERS = {
    "standard": lambda seed=3: StandardMixup(seed=seed),
    "standard 0.2": lambda seed=3: StandardMixup(alpha=0.2, seed=seed),
    "between class": lambda seed=3: BetweenClassMixup(RATE, seed=seed),
    "between class log-mel": lambda seed=3: BetweenClassLogMelMixup(MELS, seed=seed),
}


def waveforms(batch=5, samples=9000, channels=1):
    """Noise at levels 60 dB apart, the third clip silent."""
    rng = np.random.default_rng(batch)
    levels = 10.0 ** np.linspace(0, -3, batch)[:, None, None]
    levels[2:3] = 0
    return (rng.uniform(-1, 1, (batch, samples, channels)) * levels).astype("float32")


def log_mels(batch=5, frames=30, channels=1):
    rng = np.random.default_rng(batch)
    levels = np.linspace(0, -40, batch)[:, None, None, None]
    features = rng.normal(size=(batch, len(MELS), frames, channels)) * 10 - 30 + levels
    features[2:3] = -100
    return np.maximum(features, -100).astype("float32")


def inputs_of(name, **arguments):
    return log_mels(**arguments) if "log-mel" in name else waveforms(**arguments)


def targets_of(batch=5, classes=4, multi_hot=False):
    targets = np.eye(classes, dtype="float32")[np.arange(batch) % classes]
    if multi_hot:
        targets[:, -1] = 1
        targets[0] = 0
    return targets


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def a_weighting_db(frequency):
    """IEC 61672, in its own words."""
    f2 = frequency * frequency
    response = 12194**2 * f2 * f2
    response /= (f2 + 20.6**2) * (f2 + 12194**2)
    response /= math.sqrt(f2 + 107.7**2) * math.sqrt(f2 + 737.9**2)
    return 20 * math.log10(response) + 2.0


def numpy_level(clip, rate, size):
    """The loudest frame of a clip (samples, channels), one frame and one bin after another."""
    full_scale = size * sum(math.sin(math.pi * n / size) ** 4 for n in range(size)) / 4
    loudest = 0.0
    padded = np.pad(clip.astype("float64"), [(size // 2, size // 2), (0, 0)])
    for start in range(0, len(padded) - size + 1, size // 2):
        power = 0.0
        for channel in range(clip.shape[1]):
            window = np.sin(np.pi * np.arange(size) / size) ** 2
            spectrum = np.fft.rfft(window * padded[start : start + size, channel])
            for number, value in enumerate(spectrum):
                if number:  # the weighting of a frequency of 0 is nothing
                    weight = 10 ** (a_weighting_db(number * rate / size) / 10)
                    power += weight * abs(value) ** 2 / clip.shape[1]
        loudest = max(loudest, power / full_scale)
    return max(10 * math.log10(loudest) if loudest else -math.inf, -80.0)


def numpy_log_mel_level(clip):
    power = 10 ** (clip.astype("float64") / 10)
    weights = [10 ** (a_weighting_db(frequency) / 10) for frequency in MELS]
    frames = np.einsum("mtc,m->t", power, weights) / clip.shape[-1]
    return max(10 * math.log10(frames.max()), -80.0)


def numpy_between_class(x1, x2, level1, level2, r):
    """The formula as Tokozume et al. write it."""
    p = 1 / (1 + 10 ** ((level1 - level2) / 20) * (1 - r) / r)
    return (p * x1 + (1 - p) * x2) / math.sqrt(p**2 + (1 - p) ** 2)


def numpy_mix(name, x, shares):
    mixed = []
    for i, share in enumerate(shares.astype("float64")):
        x1, x2 = x[i].astype("float64"), x[i - 1].astype("float64")
        if name.startswith("standard"):
            mixed.append(share * x1 + (1 - share) * x2)
        elif name == "between class":
            levels = (numpy_level(clip, RATE, 2048) for clip in (x1, x2))
            mixed.append(numpy_between_class(x1, x2, *levels, share))
        else:
            levels = (numpy_log_mel_level(clip) for clip in (x1, x2))
            mixed.append(numpy_between_class(x1 + 100, x2 + 100, *levels, share) - 100)
    return np.stack(mixed)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("name", LAYERS)
def test_formulas_in_numpy(name, channels):
    x, y = inputs_of(name, channels=channels), targets_of()
    shares = numpy(LAYERS[name]().draw(5))
    mixed, targets = LAYERS[name]()(x, y)
    expected = numpy_mix(name, x, shares)
    np.testing.assert_allclose(numpy(mixed), expected, atol=2e-5 * np.abs(expected).max())
    before = y[[-1, 0, 1, 2, 3]]
    np.testing.assert_allclose(
        numpy(targets), shares[:, None] * y + (1 - shares[:, None]) * before, atol=1e-6
    )


def test_levels_equal_out():
    """A clip 40 dB louder is taken down to where it is heard as much as its label says."""
    x = waveforms(batch=2)
    x[1] = x[0] / 100
    layer, half = BetweenClassMixup(RATE), np.full(2, 0.5, "float32")
    mixed = numpy(layer.mix(x, half))
    # Shares of a half: loud * p = faint * (1 - p).
    np.testing.assert_allclose(mixed[0], 2 * x[0] / 101 / np.hypot(1 / 101, 100 / 101), rtol=1e-4)


@pytest.mark.parametrize("rate, size", [(44100, 4096), (48000, 4096), (16000, 2048), (8000, 1024)])
@pytest.mark.parametrize("samples", [1, 100, 1023, 9000])
def test_levels_of_short_and_long_clips(rate, size, samples):
    x = waveforms(batch=2, samples=samples, channels=2)
    levels = numpy(a_weighted_level(x, rate))
    assert levels.dtype == np.float32 and levels.shape == (2,)
    np.testing.assert_allclose(levels, [numpy_level(clip, rate, size) for clip in x], atol=2e-3)


def test_levels_are_weighted_as_librosa_does():
    time = np.arange(44100) / 44100
    frequencies = [100, 440, 1000, 3000, 12000]
    tones = np.stack([np.sin(2 * np.pi * f * time) for f in frequencies])[:, :, None]
    levels = numpy(a_weighted_level(tones, 44100))
    np.testing.assert_allclose(levels, librosa.A_weighting(np.array(frequencies)), atol=0.05)
    np.testing.assert_allclose(numpy(a_weighted_level(tones / 10, 44100)), levels - 20, atol=0.001)


def test_the_loudest_frame_counts():
    click = np.zeros((1, 44100, 1), "float32")
    click[0, 20000:20400] = np.random.default_rng(0).normal(size=(400, 1)) * 0.1
    alone = numpy(a_weighted_level(click[:, 18000:22096], 44100))
    np.testing.assert_allclose(numpy(a_weighted_level(click, 44100)), alone, atol=1.0)
    # What is hardly heard hardly counts: half of full scale at 20 Hz.
    rumble = np.sin(2 * np.pi * 20 * np.arange(44100) / 44100)[None, :, None] / 2
    assert numpy(a_weighted_level(rumble, 44100))[0] < -45
    np.testing.assert_array_equal(numpy(a_weighted_level(click * 0, 44100)), [-80.0])


@pytest.mark.parametrize("silent", [[0], [1], [0, 1]], ids=str)
@pytest.mark.parametrize("share", [0.0, 1e-7, 0.3, 1 - 2**-24])
def test_silent_clips_and_extreme_shares(silent, share):
    shares = np.array([share, 0.5], "float32")
    x, features = waveforms(batch=2), log_mels(batch=2)
    x[silent], features[silent] = 0.0, -100.0
    mixed = numpy(BetweenClassMixup(RATE).mix(x, shares))
    decibels = numpy(BetweenClassLogMelMixup(MELS).mix(features, shares))
    assert np.isfinite(mixed).all() and np.isfinite(decibels).all()
    assert np.abs(mixed).max() <= 1.5
    assert decibels.min() >= -100.001
    if len(silent) == 2:
        assert not mixed.any()
        np.testing.assert_allclose(decibels, -100.0, atol=1e-4)
    if share == 0.0:  # nothing of the clip itself
        np.testing.assert_allclose(mixed[0], x[1], atol=1e-6)
        np.testing.assert_allclose(decibels[0], features[1], atol=1e-4)


@pytest.mark.parametrize("name", LAYERS)
def test_one_clip_alone_stays_as_it_is(name):
    x = inputs_of(name, batch=1)
    mixed, targets = LAYERS[name]()(x, targets_of(1))
    np.testing.assert_allclose(numpy(targets), targets_of(1), atol=1e-6)
    np.testing.assert_allclose(numpy(mixed), x, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", LAYERS)
def test_targets_of_several_classes_and_of_any_type(name):
    x, y = inputs_of(name), targets_of(multi_hot=True)
    shares = numpy(LAYERS[name]().draw(5))[:, None]
    for kind in ("float32", "int64", "bool"):
        _, targets = LAYERS[name]()(x, y.astype(kind))
        assert keras.backend.standardize_dtype(targets.dtype) == "float32"
        np.testing.assert_allclose(
            numpy(targets), shares * y + (1 - shares) * np.roll(y, 1, axis=0), atol=1e-6
        )
    np.testing.assert_allclose(numpy(targets)[2:, -1], 1.0)  # both clips have the class


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 3.0])
def test_shares_are_drawn_from_beta(alpha):
    shares = numpy(StandardMixup(alpha, seed=5).draw(20000))
    assert np.isfinite(shares).all() and 0 <= shares.min() and shares.max() <= 1
    assert shares.mean() == pytest.approx(0.5, abs=0.015)
    # Beta(a, a) has the variance 1 / (4 (2 a + 1)).
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)
    sample = np.random.default_rng(0).beta(alpha, alpha, 20000)
    for quantile in (0.1, 0.25, 0.75, 0.9):
        expected = np.quantile(sample, quantile)
        assert np.quantile(shares, quantile) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("name", ["between class", "between class log-mel"])
def test_shares_are_drawn_uniformly(name):
    shares = np.sort(numpy(LAYERS[name]().draw(20000)))
    assert 0 <= shares[0] and shares[-1] < 1
    np.testing.assert_allclose(shares, (np.arange(20000) + 0.5) / 20000, atol=0.015)


@pytest.mark.parametrize("name", LAYERS)
def test_draws_follow_from_the_seed_and_from_the_state(name):
    x, y = inputs_of(name), targets_of()
    one, two, other = LAYERS[name](), LAYERS[name](), LAYERS[name](seed=4)
    first = numpy(one(x, y)[0])
    np.testing.assert_array_equal(numpy(two(x, y)[0]), first)
    assert np.abs(numpy(other(x, y)[0]) - first).max() > 0
    assert len(one.variables) == 1  # what a checkpoint has to hold
    state = numpy(one.variables[0])
    second = numpy(one(x, y)[0])
    assert np.abs(second - first).max() > 0
    other.variables[0].assign(state)
    np.testing.assert_array_equal(numpy(other(x, y)[0]), second)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float16"])
@pytest.mark.parametrize("name", LAYERS)
def test_float32_under_every_policy(name, policy):
    x, y = inputs_of(name), targets_of()
    expected = [numpy(value) for value in LAYERS[name]()(x, y)]
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        outputs = LAYERS[name]()(x, y)
    finally:
        keras.config.set_dtype_policy(before)
    for output, value in zip(outputs, expected, strict=True):
        assert keras.backend.standardize_dtype(output.dtype) == "float32"
        np.testing.assert_array_equal(numpy(output), value)


@pytest.mark.parametrize("name", LAYERS)
def test_rebuilds_from_its_configuration(name):
    layer = LAYERS[name]()
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert again.get_config() == layer.get_config()
    x, y = inputs_of(name), targets_of()
    for ours, theirs in zip(again(x, y), layer(x, y), strict=True):
        np.testing.assert_array_equal(numpy(ours), numpy(theirs))
    assert layer.compute_output_shape(x.shape, y.shape) == (x.shape, y.shape)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: StandardMixup(alpha=0), "alpha=0"),
        (lambda: BetweenClassMixup(0), "sample_rate=0"),
        (lambda: BetweenClassMixup(44100.0), "sample_rate=44100.0"),
        (lambda: BetweenClassLogMelMixup([]), r"mel_frequencies=\[\]"),
        (lambda: BetweenClassLogMelMixup([0.0, 100.0]), r"mel_frequencies=\[0.0, 100.0\]"),
        (lambda: BetweenClassMixup(RATE)(log_mels(), targets_of()), "inputs of shape"),
        (lambda: BetweenClassLogMelMixup(MELS)(waveforms(), targets_of()), "inputs of shape"),
        (lambda: BetweenClassLogMelMixup([1.0])(log_mels(), targets_of()), "inputs of shape"),
    ],
)
def test_refuses_wrong_arguments(build, said):
    with pytest.raises(ValueError, match=f"Expected .*Received: {said}"):
        build()
