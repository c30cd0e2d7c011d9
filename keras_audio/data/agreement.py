"""Whether two clips are the same recording: their waveforms laid over each other, piece by piece.

Piece by piece, since one click, or one loud second, would otherwise speak for the whole clip, and
since copies may have been cut and joined anew.
"""

import dataclasses
import math

import numpy as np
import scipy.fft
import scipy.signal

# Seconds of a piece, and how far it is looked for around where the fingerprints are alike.
_PIECE, _AROUND = 0.5, 0.5
# Pieces that are this much quieter than the loudest have nothing to compare.
_BELOW_LOUDEST = 1e-4
_LOWEST = 100.0
# Seconds that pieces in a row may move against each other, since a copy may run slower; what
# moves more was cut there, which has to pay for more pieces than
# one, or any melody would do. So many places at most.
_SAME_PLACE, _CHANGE, _PLACES = 0.003, 1.5, 32
# If the ends of two clips alone overlap, with fewer pieces than these, a piece must not fit this
# share as well at another place nearby: of two or three notes, the same come often.
_FEW, _ELSEWHERE = 5, 0.8


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How well the waveforms of two clips fit.

    Attributes:
        correlation: The median over the pieces of the first clip of their normalised
            cross-correlation with the second, at one place or, in order, at a few: 1 for a copy,
            about 0.1 for two sounds of a kind, up to 0.5 where both have a click in a piece. 0
            where there is no piece to compare.
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
    margin = 2 * around + piece
    padded = np.pad(second, margin)
    # Of all windows of the second, as long as a piece.
    floor = max(_BELOW_LOUDEST * _loudest(second, piece), np.finfo(np.float32).tiny)
    norms = np.sqrt(np.maximum(_powers(padded, piece), floor))
    pieces = first[: len(first) // piece * piece].reshape(-1, piece)
    lengths = np.sqrt(np.sum(pieces**2, axis=1))
    begins = np.arange(len(pieces)) * piece + shift
    overlap = (begins >= -around) & (begins <= len(second) - piece + around)
    loud = lengths > math.sqrt(_BELOW_LOUDEST) * lengths.max()
    heard = np.flatnonzero(overlap & loud)
    if not len(heard):
        return Agreement(0.0, offset)
    pieces, lengths, begins = pieces[heard], lengths[heard], begins[heard] + margin

    near = round(_SAME_PLACE * rate)
    best, lags = np.zeros(len(heard)), np.zeros(len(heard), int)
    distinct = np.ones(len(heard), bool)
    for number, (samples, begin) in enumerate(zip(pieces, begins - around, strict=True)):
        there = padded[begin : begin + piece + 2 * around]
        products = scipy.signal.correlate(there, samples, mode="valid", method="fft")
        fits = np.abs(products) / norms[begin : begin + len(products)] / lengths[number]
        place = int(np.argmax(fits))
        lags[number], best[number] = place - around, fits[place]
        fits[max(0, place - near) : place + near + 1] = 0
        distinct[number] = fits.max() < _ELSEWHERE * best[number]
    # What a piece fits best may be another piece that sounds like it: places are compared that
    # some piece proposes, and a change of place has to pay.
    places = _proposed(lags, best, near)
    fits = np.zeros((len(heard), len(places)))
    for number, (samples, begin) in enumerate(zip(pieces, begins, strict=True)):
        for column, place in enumerate(begin + places):
            product = abs(float(padded[place : place + piece] @ samples))
            fits[number, column] = product / norms[place] / lengths[number]
    path = _steady(fits, places, near)
    correlations = fits[np.arange(len(fits)), path]
    if len(heard) < min(_FEW, loud.sum() / 2):
        correlations *= distinct
    offsets = (places[path] + shift) / rate
    median = np.median(correlations)
    # Of two places one, and not the middle between them.
    offset = np.quantile(offsets[correlations >= median], 0.5, method="lower")
    return Agreement(min(1.0, float(median)), float(offset))


def _proposed(lags: np.ndarray, fits: np.ndarray, near: int) -> np.ndarray:
    """The places that pieces fit best, (places,): the ones with most support if there are many."""
    places = np.unique(lags)
    if len(places) > _PLACES:
        support = [np.sum(fits[np.abs(lags - place) <= near]) for place in places]
        places = np.sort(places[np.argsort(support)[-_PLACES:]])
    return places


def _steady(fits: np.ndarray, places: np.ndarray, near: int) -> np.ndarray:
    """The column for every piece that fits best in all, changes of place paid for."""
    costs = _CHANGE * (np.abs(places[:, None] - places) > near)
    total, origins = fits[0], []
    for row in fits[1:]:
        reached = total[:, None] - costs
        origins.append(np.argmax(reached, axis=0))
        total = reached.max(axis=0) + row
    path = [int(np.argmax(total))]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return np.array(path[::-1])


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
