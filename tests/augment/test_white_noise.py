"""How loud the noise is, measured, and that it is white and Gaussian."""

import keras
import numpy as np
import pytest
from scipy import stats

from keras_audio.augment import WhiteNoise


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def clips(batch=8, samples=3000, channels=2):
    """Tones at levels 60 dB apart, one channel fainter than the other; the third is silent."""
    levels = 10.0 ** np.linspace(0, -3, batch)[:, None, None] * np.array([1.0, 0.2, 0.1])[:channels]
    levels[2:3] = 0
    return (levels * np.sin(np.arange(samples) / 7)[:, None]).astype("float32")


def numpy_noise(x, applied, ratios, noise):
    """One clip after another."""
    noisy = x.astype("float64")
    for clip, chosen, ratio, noise_of_clip in zip(noisy, applied, ratios, noise, strict=True):
        power = np.mean(clip**2) / 10 ** (ratio / 10)
        if chosen:
            clip += noise_of_clip * np.sqrt(power)
    return noisy


@pytest.mark.parametrize("channels", [1, 2])
def test_equals_plain_numpy(channels):
    x = clips(channels=channels)
    draws = [numpy(drawn) for drawn in WhiteNoise(probability=0.6, seed=4).draw(x.shape)]
    noisy = numpy(WhiteNoise(probability=0.6, seed=4)(x, training=True))
    expected = numpy_noise(x, *draws)
    for ours, theirs, clip, applied in zip(noisy, expected, x, draws[0], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6 * np.abs(theirs).max())
        assert (ours == clip).all() == (not applied or not clip.any())
    assert 1 < draws[0].sum() < 7


def test_the_measured_ratio_is_the_drawn_one():
    x = clips(batch=16, samples=40000)
    ratios = numpy(WhiteNoise(probability=1.0, seed=1).draw(x.shape)[1])
    noise = numpy(WhiteNoise(probability=1.0, seed=1)(x, training=True)).astype("float64") - x
    heard = np.arange(16) != 2
    power, noise_power = np.mean(x.astype("float64") ** 2, axis=(1, 2)), np.mean(noise**2, (1, 2))
    measured = 10 * np.log10(power[heard] / noise_power[heard])
    np.testing.assert_allclose(measured, ratios[heard], atol=0.1)
    # Both channels get as much noise, though one is fainter, and not the same.
    sides = noise[heard].std(axis=1)
    np.testing.assert_allclose(sides[:, 0], sides[:, 1], rtol=0.03)
    for left, right in noise[heard].transpose(0, 2, 1):
        assert abs(np.corrcoef(left, right)[0, 1]) < 0.03


def test_noise_is_white_and_gaussian_and_another_one_in_every_clip():
    layer = WhiteNoise(0, 0, probability=1.0, seed=2)
    x = np.ones((3, 20000, 1), "float32")
    noise = numpy(layer(x, training=True))[..., 0] - 1
    for row in noise:
        assert stats.kstest(row, "norm").pvalue > 0.001
        spectrum = np.abs(np.fft.rfft(row)[1:]) ** 2
        bands = [band.mean() / 20000 for band in np.array_split(spectrum, 8)]
        np.testing.assert_allclose(bands, 1.0, atol=0.15)
    again = numpy(layer(x, training=True))[..., 0] - 1
    rows = np.concatenate([noise, again])
    assert np.abs(np.corrcoef(rows) - np.eye(6)).max() < 0.04


def test_ratios_are_the_27_of_the_report():
    ratios = numpy(WhiteNoise(seed=0).draw((27000, 1, 1))[1])
    values, counts = np.unique(ratios, return_counts=True)
    assert values.tolist() == list(range(6, 33))
    assert stats.chisquare(counts).pvalue > 0.01
    assert stats.pearsonr(ratios[1:], ratios[:-1]).pvalue > 0.01


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((10, 20, 5), [10, 15, 20]),
        ((10, 19, 5), [10, 15]),
        ((0, 0.3, 0.1), [0, 0.1, 0.2, 0.3]),
        ((-3, -3, 1), [-3]),
    ],
)
def test_steps(arguments, expected):
    ratios = numpy(WhiteNoise(*arguments, seed=0).draw((500, 1, 1))[1])
    np.testing.assert_allclose(np.unique(ratios), expected, atol=1e-6)


def test_silence_stays_silence():
    for silence in (np.zeros((3, 100, 2)), np.zeros((2, 1, 1)), np.full((2, 50, 1), 1e-30)):
        noisy = numpy(WhiteNoise(probability=1.0, seed=0)(silence, training=True))
        np.testing.assert_array_equal(noisy, silence.astype("float32"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"min_snr": 33}, "min_snr=33, max_snr=32"),
        ({"max_snr": float("inf")}, "min_snr=6, max_snr=inf"),
        ({"min_snr": float("nan")}, "min_snr=nan, max_snr=32"),
        ({"step": 0}, "step=0"),
        ({"probability": 2}, "probability=2"),
    ],
)
def test_refuses_wrong_arguments(arguments, said):
    with pytest.raises(ValueError, match=f"Expected .*Received: {said}"):
        WhiteNoise(**arguments)
