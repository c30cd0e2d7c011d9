"""Levels of clips against plain loops, and what counts as silent, clipped and padded."""

import math

import numpy as np
import pytest

from keras_audio.audit_settings import AuditSettings
from keras_audio.data.levels import measure_levels


def plain_clipped(channel, top, run):
    """Samples of `channel` in runs of at least `run` beyond the same full scale."""
    total = 0
    for sign in (1, -1):
        length = 0
        for sample in [*channel, 0]:
            if sign * int(sample) >= top:
                length += 1
                continue
            total += length if length >= run else 0
            length = 0
    return total


@pytest.mark.parametrize("channels", [1, 2])
def test_levels_are_those_of_plain_loops(channels):
    generator = np.random.default_rng(channels)
    for gain in (300, 9000, 60000):
        samples = generator.normal(0, gain, (3000, channels)) + 40 * np.arange(channels)
        samples = np.clip(samples, -32768, 32767).astype(np.int16)
        samples[: 100 + gain // 100] = 0
        samples[-200:] = generator.integers(-1, 2, (200, channels))
        settings = AuditSettings(full_scale=0.9, clipped_run=2)
        levels = measure_levels(samples, settings)
        lists = [[int(value) for value in channel] for channel in samples.T]
        means = [sum(channel) / 3000 for channel in lists]
        squares = [
            sum((value - mean) ** 2 for value in channel) / 3000
            for channel, mean in zip(lists, means, strict=True)
        ]
        peak = max(
            abs(value - mean)
            for channel, mean in zip(lists, means, strict=True)
            for value in channel
        )
        assert levels.samples == 3000
        assert levels.peak == pytest.approx(20 * math.log10(peak / 32768))
        assert levels.rms == pytest.approx(10 * math.log10(max(squares)) - 20 * math.log10(32768))
        assert levels.mean == pytest.approx(max(map(abs, means)) / 32768)
        top = math.ceil(0.9 * 32767)
        clipped = sum(plain_clipped(channel, top, 2) for channel in lists)
        assert levels.clipped == pytest.approx(clipped / samples.size)
        assert (clipped > 0) == (gain > 9000)
        sounding = [n for n in range(3000) if max(abs(channel[n]) for channel in lists) > 1]
        assert levels.padding == (3000 - (sounding[-1] - sounding[0] + 1)) / 3000


@pytest.mark.parametrize(
    ("run", "share"),
    [(1, 10 / 100), (2, 9 / 100), (3, 7 / 100), (4, 4 / 100), (5, 0)],
)
def test_clipping_is_full_scale_in_a_row(run, share):
    samples = np.zeros((100, 1), np.int16)
    samples[[5, 10, 11]] = 32767
    samples[20:23] = -32768
    samples[30:34] = 32750  # 99.95 % of full scale.
    settings = AuditSettings(clipped_run=run)
    assert measure_levels(samples, settings).clipped == pytest.approx(share)


def test_a_run_ends_where_the_other_side_begins():
    samples = np.array([[32767], [32767], [-32768], [-32768]] * 5, np.int16)
    assert measure_levels(samples, AuditSettings(clipped_run=2)).clipped == 1
    assert measure_levels(samples, AuditSettings(clipped_run=3)).clipped == 0


@pytest.mark.parametrize(
    ("samples", "silent"),
    [
        (np.zeros((50, 2)), True),
        (np.full((50, 2), -20000), True),  # Nothing but a constant.
        (np.stack([np.zeros(50), np.arange(50) * 100], axis=1), False),  # One channel is enough.
        (np.resize([32, -32], (50, 1)), True),  # 60.2 dB below full scale.
        (np.resize([33, -33], (50, 1)), False),
        (np.resize([10033, 9967], (50, 1)), False),
        (np.eye(20000, 1) * 400, True),  # One click, and 81 dB down on average.
        (np.eye(20000, 1) * 500, False),
    ],
)
def test_what_is_silent(samples, silent):
    levels, usual = measure_levels(samples.astype(np.int16)), AuditSettings()
    assert (levels.peak <= usual.silent_peak or levels.rms <= usual.silent_rms) == silent


def test_a_constant_has_no_level_but_a_mean():
    levels = measure_levels(np.full((50, 1), -16384, np.int16))
    assert (levels.peak, levels.rms, levels.mean) == (-math.inf, -math.inf, 0.5)
    assert levels.padding == 0


def test_all_zeros_and_no_samples():
    assert measure_levels(np.zeros((50, 1), np.int16)).padding == 1
    empty = measure_levels(np.zeros((0, 2), np.int16))
    assert (empty.samples, empty.peak, empty.padding) == (0, -math.inf, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"near": 0.5},
        {"confirm": 1.5},
        {"silent_peak": 3},
        {"clipped_run": 0},
        {"padded": float("nan")},
        {"min_seconds": -1},
    ],
)
def test_thresholds_out_of_range_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"Expected {name} from .*Received: {name}="):
        AuditSettings(**wrong)
