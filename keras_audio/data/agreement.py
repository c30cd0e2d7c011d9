"""Whether two clips are the same recording: their waveforms laid over each other, piece by piece.

Piece by piece, since one click, or one loud second, would otherwise speak for the whole clip, and
since copies may have been cut and joined anew.
"""

import dataclasses

import numpy as np
import scipy.fft
import scipy.signal

# Seconds of a piece, and how far it is looked for around where the fingerprints are alike.
_PIECE, _AROUND = 0.5, 0.5
# Pieces that are this much quieter than the loudest have nothing to compare.
_BELOW_LOUDEST = 1e-4
_LOWEST = 100.0


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How well the waveforms of two clips fit.

    Attributes:
        correlation: The median over the pieces of the first clip of their greatest normalised
            cross-correlation with the second: 1 for a copy, about 0.1 for two sounds of a kind, up
            to 0.5 where both have a click in a piece. 0 where there is no piece to compare.
        offset: Seconds from the first clip to the second, the median of the pieces that fit no
            worse than that.
    """

    correlation: float
    offset: float


def agreement(first: np.ndarray, second: np.ndarray, rate: int, offset: float) -> Agreement:
    """Lay two waveforms over each other.

    Loudness, polarity and spectral tilt do not count: both are made flatter in frequency first,
    without which all clips that share a hum would agree.

    Args:
        first: Samples (samples,).
        second: Samples (samples,).
        rate: The rate of both in Hz.
        offset: Seconds from the first clip to the second, to half a second.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> rain, wind = generator.normal(size=(2, 16000)).astype(np.float32)
        >>> later = np.concatenate([np.zeros(2001), -0.1 * rain]).astype(np.float32)
        >>> found = agreement(rain, later, 8000, 0.3)
        >>> round(found.correlation, 2), round(found.offset, 4)
        (1.0, 0.2501)
        >>> agreement(rain, wind, 8000, 0.0).correlation < 0.2
        True
    """
    piece = min(round(_PIECE * rate), len(first), len(second))
    if piece < 2:
        return Agreement(0.0, offset)
    first, second = _flattened(first, rate), _flattened(second, rate)
    around, shift = round(_AROUND * rate), round(offset * rate)
    # Where a piece of the first is looked for, there is something in the second, or silence.
    margin = around + piece
    padded = np.pad(second, margin)
    pieces = first[: len(first) // piece * piece].reshape(-1, piece)
    powers = np.sum(pieces**2, axis=1)
    floor = max(_BELOW_LOUDEST * _loudest(second, piece), np.finfo(np.float32).tiny)
    found = []
    for number, (samples, power) in enumerate(zip(pieces, powers, strict=True)):
        begin = number * piece + shift
        overlaps = -around <= begin <= len(second) - piece + around
        if not overlaps or power <= _BELOW_LOUDEST * powers.max():
            continue
        begin += margin - around
        there = padded[max(0, begin) : begin + piece + 2 * around]
        if len(there) < piece:
            continue
        products = scipy.signal.correlate(there, samples, mode="valid", method="fft")
        correlations = products / np.sqrt(power * np.maximum(_powers(there, piece), floor))
        place = int(np.argmax(np.abs(correlations)))
        moved = place + max(0, begin) - margin - number * piece
        found.append((float(abs(correlations[place])), moved / rate))
    if not found:
        return Agreement(0.0, offset)
    correlations, offsets = np.array(found).T
    median = np.median(correlations)
    return Agreement(min(1.0, float(median)), float(np.median(offsets[correlations >= median])))


def _flattened(waveform: np.ndarray, rate: int) -> np.ndarray:
    """The waveform, filtered so that its spectrum falls half as steeply, in decibels."""
    size = min(512, len(waveform))
    frequencies, powers = scipy.signal.welch(waveform, rate, nperseg=size)
    if not powers.max() > 0:
        return waveform
    gains = (powers / powers.max() + 1e-4) ** -0.25
    # On this coarse grid, so that the filter is short and does not ring into silence.
    gains[frequencies < min(_LOWEST, rate / 8)] = 0
    length = scipy.fft.next_fast_len(len(waveform) + size, real=True)
    bins = scipy.fft.rfftfreq(length, 1 / rate)
    spectrum = scipy.fft.rfft(waveform, length) * np.interp(bins, frequencies, gains)
    return scipy.fft.irfft(spectrum, length)[: len(waveform)].astype(np.float32)


def _powers(waveform: np.ndarray, piece: int) -> np.ndarray:
    """The sum of squares of every `piece` samples in a row."""
    sums = np.concatenate([[0.0], np.cumsum(np.square(waveform, dtype=np.float64))])
    return sums[piece:] - sums[:-piece]


def _loudest(waveform: np.ndarray, piece: int) -> float:
    return float(_powers(waveform, piece).max())
