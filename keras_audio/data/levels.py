"""How loud a clip is, and how much of it is clipped or filled up with zeros."""

import dataclasses
import math

import numpy as np

from keras_audio.audit_settings import AuditSettings

# What a lossy codec makes of zeros is one step off at most.
_NEARLY_ZERO = 1
_FULL_SCALE = 32768


@dataclasses.dataclass(frozen=True)
class Levels:
    """The levels of a clip.

    Attributes:
        samples: Samples per channel.
        peak: Greatest sample in decibels of full scale, each channel's mean taken off; minus
            infinity where all are the same.
        rms: Root mean square of the loudest channel, likewise.
        mean: The mean farthest from zero of a channel, as a share of full scale.
        clipped: Share of all samples that are at full scale in a row.
        padding: Share of the clip that is zeros (or one step of 16 bits off) in all channels,
            before the first sample that is not and after the last.
    """

    samples: int
    peak: float
    rms: float
    mean: float
    clipped: float
    padding: float


def measure_levels(samples: np.ndarray, settings: AuditSettings | None = None) -> Levels:
    """Measure a clip.

    Args:
        samples: int16 (samples, channels).
        settings: What counts as clipped; None for the defaults.

    Example:
        >>> tone = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
        >>> tone = np.concatenate([16384 * tone, np.zeros(8000)]).astype(np.int16)
        >>> levels = measure_levels(tone[:, None])
        >>> round(levels.peak, 1), round(levels.rms, 1), levels.clipped, round(levels.padding, 3)
        (-6.0, -12.0, 0.0, 0.5)
        >>> measure_levels(np.full((100, 1), 327, np.int16)).peak
        -inf
    """
    settings = settings or AuditSettings()
    count = len(samples)
    if not count:
        return Levels(0, -math.inf, -math.inf, 0.0, 0.0, 1.0)
    means = samples.mean(axis=0)
    least, greatest = samples.min(axis=0), samples.max(axis=0)
    # In float64: squares of int16 add up to more than float32 can tell apart.
    squares = np.einsum("sc,sc->c", samples, samples, dtype=np.float64, casting="unsafe")
    variances = np.maximum(squares / count - means**2, 0)
    variances[least == greatest] = 0
    peaks = np.maximum(greatest - means, means - least)
    return Levels(
        count,
        _decibels(peaks.max()),
        _decibels(math.sqrt(variances.max())),
        float(np.abs(means).max()) / _FULL_SCALE,
        _clipped_samples(samples, least, greatest, settings) / samples.size,
        _padding(samples) / count,
    )


def _decibels(amplitude: float) -> float:
    return 20 * math.log10(amplitude / _FULL_SCALE) if amplitude > 0 else -math.inf


def _clipped_samples(
    samples: np.ndarray, least: np.ndarray, greatest: np.ndarray, settings: AuditSettings
) -> int:
    top = math.ceil(settings.full_scale * (_FULL_SCALE - 1))
    clipped = 0
    for channel in np.flatnonzero((greatest >= top) | (least <= -top)):
        at_top = samples[:, channel] >= top
        at_bottom = samples[:, channel] <= -top
        for flags in (at_top, at_bottom):
            # Where runs begin and end.
            edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
            runs = edges[1::2] - edges[::2]
            clipped += int(runs[runs >= settings.clipped_run].sum())
    return clipped


def _padding(samples: np.ndarray) -> int:
    sounds = ((samples > _NEARLY_ZERO) | (samples < -_NEARLY_ZERO)).any(axis=1)
    if not sounds.any():
        return len(samples)
    return int(np.argmax(sounds) + np.argmax(sounds[::-1]))
