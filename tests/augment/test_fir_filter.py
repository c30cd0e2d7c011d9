"""The eight filters: what they let through, and their convolution against SciPy's."""

import keras
import numpy as np
import pytest
from scipy import signal, stats

from keras_audio.augment import RandomFIRFilter
from keras_audio.augment.fir_filter import BANDS

RATE = 18000


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def scipy_filter(clips, applied, numbers, filters):
    """One clip and one channel after another, causal filters, their delay cut off."""
    filtered = clips.astype("float64")
    half = filters.shape[1] // 2
    for clip, chosen, number in zip(filtered, applied, numbers, strict=True):
        for channel in range(clip.shape[1]):
            padded = np.concatenate([clip[:, channel], np.zeros(half)])
            if chosen:
                clip[:, channel] = signal.lfilter(filters[number], 1.0, padded)[half:]
    return filtered


@pytest.mark.parametrize("taps", [None, 31, 3])
@pytest.mark.parametrize(
    "shape",
    # A clip of less than the filter, of less than a block, of whole blocks (3848 samples without
    # overlap for 249 taps), of one sample more and less.
    [(12, 9000, 2), (9, 2 * 3848, 1), (9, 3849, 1), (9, 3847, 1), (9, 60, 3), (3, 1, 1)],
    ids=str,
)
def test_equals_scipy(shape, taps):
    clips = np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")
    arguments = {"sample_rate": RATE, "taps": taps, "probability": 0.8, "seed": 5}
    applied, numbers = (numpy(x) for x in RandomFIRFilter(**arguments).draw(shape))
    layer = RandomFIRFilter(**arguments)
    filtered = numpy(layer(clips, training=True))
    assert filtered.shape == shape
    expected = scipy_filter(clips, applied, numbers, layer.filters)
    np.testing.assert_allclose(filtered, expected, atol=3e-6)
    # Those that are not filtered are not changed by a bit.
    np.testing.assert_array_equal(filtered[~applied], clips[~applied])
    if len(clips) == 12:
        assert 0 < (~applied).sum() < 6 and np.abs(filtered[applied] - clips[applied]).max() > 0.1


def test_the_filters_of_the_report():
    layer = RandomFIRFilter(RATE)
    assert layer.filters.shape == (8, 249) and layer.probability == 0.99
    # Linear phase: whatever the frequency, the delay is the same.
    np.testing.assert_allclose(layer.filters, layer.filters[:, ::-1], atol=1e-15)
    frequencies = np.arange(0, 9001, 5)
    for (lower, upper), taps in zip(BANDS, layer.filters, strict=True):
        _, response = signal.freqz(taps, worN=frequencies, fs=RATE)
        decibels = 20 * np.log10(np.abs(response) + 1e-9)
        lower, upper = lower or -1000, upper or 10000
        inside = (frequencies >= lower + 120) & (frequencies <= upper - 120)
        outside = (frequencies <= lower - 120) | (frequencies >= upper + 120)
        assert inside.any() and outside.any()
        assert np.abs(decibels[inside]).max() < 0.1
        assert decibels[outside].max() < -49
        for edge in (lower, upper):
            if 0 < edge < 9000:
                assert decibels[frequencies == edge] == pytest.approx(-6.0, abs=0.1)
    edges = sorted((lower or 0, upper or 0) for lower, upper in BANDS)
    highs, lows = ([(c, 0) for c in (300, 1000, 2000)], [(0, c) for c in (300, 1000, 2000)])
    assert edges == sorted([*lows, *highs, (1200, 3400), (340, 3400)])


def test_the_low_pass_at_300_hz_is_what_the_docstring_says():
    def at(taps, *hertz):
        response = signal.freqz(RandomFIRFilter(RATE, taps).filters[0], worN=hertz, fs=RATE)[1]
        return (20 * np.log10(np.abs(response))).tolist()

    assert at(None, 200, 300, 400) == pytest.approx([-0.1, -6.0, -34.7], abs=0.1)
    assert max(at(None, *range(420, 9001, 10))) < -50
    assert at(125, 200, 400) == pytest.approx([-1.7, -15.3], abs=0.1)


@pytest.mark.parametrize("number", range(8))
def test_what_comes_out_has_the_filters_response_and_no_delay(number):
    """Measured at the layer itself: a click in the middle."""
    layer = RandomFIRFilter(RATE)
    click = np.zeros((1, 9000, 2), "float32")
    click[0, 4500] = 1, -1
    answer = numpy(layer.augment(click, [True], [number]))[0]
    np.testing.assert_allclose(answer[:, 0], -answer[:, 1], atol=1e-6)
    np.testing.assert_allclose(answer[4500 - 124 : 4500 + 125, 0], layer.filters[number], atol=1e-6)
    response = np.abs(np.fft.rfft(answer[:, 0]))
    lower, upper = BANDS[number]
    for edge in filter(None, (lower, upper)):
        assert 20 * np.log10(response[edge // 2]) == pytest.approx(-6.0, abs=0.1)
    frequency = lower + 150 if lower else upper / 2
    tone = np.sin(2 * np.pi * frequency * np.arange(9000) / RATE)[None, :, None]
    heard = numpy(layer.augment(tone.astype("float32"), [True], [number]))
    inner = slice(200, -200)
    np.testing.assert_allclose(heard[:, inner], tone[:, inner], atol=0.02)


def test_all_filters_are_as_likely_and_each_clip_has_its_own():
    layer = RandomFIRFilter(RATE, taps=3, seed=2)
    rows = [numpy(layer.draw((4000, 1, 1))[1]) for _ in range(2)]
    assert stats.chisquare(np.bincount(np.concatenate(rows), minlength=8)).pvalue > 0.01
    assert len(set(rows[0])) == 8 and max(rows[0]) == 7
    assert np.mean(rows[0] == rows[1]) == pytest.approx(1 / 8, abs=0.02)
    assert np.mean(rows[0][1:] == rows[0][:-1]) == pytest.approx(1 / 8, abs=0.02)


@pytest.mark.parametrize(("rate", "taps"), [(6801, 95), (8000, 111), (44100, 607)])
def test_transitions_are_as_narrow_at_other_rates(rate, taps):
    layer = RandomFIRFilter(rate)
    assert layer.taps == taps
    _, response = signal.freqz(layer.filters[0], worN=[180, 300, 420], fs=rate)
    assert np.abs(response) == pytest.approx([1.0, 0.5, 0.0], abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"sample_rate": 6800}, "sample_rate=6800"),
        ({"sample_rate": 18000.0}, "sample_rate=18000.0"),
        ({"taps": 128}, "taps=128"),
        ({"taps": 1}, "taps=1"),
        ({"taps": 31.0}, "taps=31.0"),
        ({"probability": -0.1}, "probability=-0.1"),
    ],
)
def test_refuses_wrong_arguments(arguments, said):
    with pytest.raises(ValueError, match=f"Expected .*Received: {said}"):
        RandomFIRFilter(**{"sample_rate": RATE, **arguments})
