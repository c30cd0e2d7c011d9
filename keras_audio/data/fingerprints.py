"""Which of many clips hold the same sound, though louder, shifted, coded or resampled.

Fingerprints are those of Haitsma and Kalker, "A Highly Robust Audio Fingerprinting System" (ISMIR
2002): for every 24 ms a word of 32 bits, which tell whether the difference between the energies of
two neighbouring bands grows. Noise gives every clip other words, a copy has most of the same bits,
and two clips that share one whole word at all are worth comparing. So the search looks at equal
words alone: its memory grows with the number of words, not with its square.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.sparse
import soxr
from tqdm import tqdm

# Clips are heard at this rate, so that a copy that was once at 8 kHz has the same bands.
HEARD_RATE = 8000
LEAST_RATE = 2000
# Seconds between two words.
HOP = 0.024
_BITS = 32
_LOWEST, _HIGHEST = 200.0, 3600.0
_WINDOW, _SMOOTHING = 0.128, 0.37
# A word counts where the clip is at most 40 dB below its loudest, louder than the rounding to 16
# bits, and changing at all: the bits of a steady hum are rounding errors.
_BELOW_LOUDEST = 1e-4
_ROUNDING = 10 ** (-85 / 10)
_LEAST_CHANGE = 1e-3
# A copy of which less is heard than this, in words, cannot be told from chance.
_LEAST_WORDS = 10
# Equal words are compared with as many that follow in the order of the clips; a sound that is in
# more clips than that connects them along a chain.
_NEIGHBOURS = 32
# The words are searched part by part, by their first bits.
_PARTS = 64
_FRAMES_AT_ONCE = 2048


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """What a clip sounds like.

    Attributes:
        words: uint32 (words,), one each `HOP` seconds.
        heard: bool (words,), where there is something to hear, and it changes.
        sounding: In how many words there is something to hear, though it may be steady.
    """

    words: np.ndarray
    heard: np.ndarray
    sounding: int


@dataclasses.dataclass(frozen=True, order=True)
class Similar:
    """Two clips whose fingerprints are alike.

    Attributes:
        first: Number of a clip.
        second: Number of the other, which is higher.
        offset: Seconds from something in the first clip to the same in the second.
        similarity: Share of equal bits where both clips are heard: 1 for the same, 0.5 for others.
        seconds: For how long both are heard.
    """

    first: int
    second: int
    offset: float
    similarity: float
    seconds: float


def heard_at(samples: np.ndarray, sample_rate: int) -> tuple[np.ndarray, int]:
    """A clip as it is compared: one channel, at 8 kHz at most.

    Args:
        samples: int16 (samples, channels).
        sample_rate: Their rate in Hz.

    Returns:
        The mean of the channels, float32 (samples,) in [-1, 1), and its rate in Hz.
    """
    mono = samples.mean(axis=1, dtype=np.float32) / np.float32(32768)
    if sample_rate <= HEARD_RATE:
        return mono, sample_rate
    return soxr.resample(mono, sample_rate, HEARD_RATE), HEARD_RATE


def fingerprint(samples: np.ndarray, sample_rate: int) -> Fingerprint:
    """Say in bits what a clip sounds like.

    Args:
        samples: int16 (samples, channels); channels are averaged.
        sample_rate: Their rate in Hz, 2000 at least.

    Raises:
        ValueError: If the rate is lower.

    Example:
        >>> noise = np.random.default_rng(0).integers(-9000, 9000, (40000, 1)).astype(np.int16)
        >>> whole = fingerprint(noise, 8000)
        >>> quieter = fingerprint(noise // 4, 8000)
        >>> len(whole.words), np.mean(whole.words == quieter.words) > 0.9
        (218, np.True_)
        >>> fingerprint(np.zeros((40000, 1), np.int16), 8000).heard.any()
        np.False_
    """
    if sample_rate < LEAST_RATE:
        raise ValueError(
            f"Expected a rate of at least {LEAST_RATE} Hz to compare sounds. "
            f"Received: {sample_rate=}"
        )
    energies = _band_energies(*heard_at(samples, sample_rate))
    change = np.diff(energies, axis=0)
    total = energies[1:].sum(axis=1)
    loud = (total > _BELOW_LOUDEST * total.max(initial=0)) & (total > _ROUNDING)
    heard = loud & (np.abs(change).sum(axis=1) > _LEAST_CHANGE * total)
    bits = np.packbits(change[:, :-1] > change[:, 1:], axis=1)
    return Fingerprint(np.ascontiguousarray(bits).view(np.uint32)[:, 0], heard, int(loud.sum()))


def _band_energies(waveform: np.ndarray, rate: int) -> np.ndarray:
    """Mean squares of the 33 bands, smoothed, each 24 ms: (frames, 33)."""
    size, hop = round(_WINDOW * rate), round(HOP * rate)
    margin = round(_SMOOTHING / 2 * rate)
    # Mirrored at its ends, where it would begin and end with a click otherwise, as all clips do.
    ends = (margin, margin + max(0, size - len(waveform)))
    waveform = np.pad(waveform, ends, mode="symmetric" if len(waveform) else "constant")
    window = np.hanning(size).astype(np.float32)
    window *= np.sqrt(2 / (size * np.sum(window**2)))
    # Sparse, as it is; and a dense product would start a thread a core in each thread that calls.
    bands = scipy.sparse.csr_array(_bands(size, rate).T)
    frames = np.lib.stride_tricks.sliding_window_view(waveform, size)[::hop]
    energies = []
    for first in range(0, len(frames), _FRAMES_AT_ONCE):
        spectra = scipy.fft.rfft(frames[first : first + _FRAMES_AT_ONCE] * window, axis=1)
        energies.append((bands @ (np.abs(spectra) ** 2).T).T)
    smoothing = np.hanning(round(_SMOOTHING / HOP) + 2)[1:-1].astype(np.float32)
    return scipy.ndimage.convolve1d(
        np.concatenate(energies), smoothing / smoothing.sum(), axis=0, mode="reflect"
    )


def _bands(size: int, rate: int) -> np.ndarray:
    """How much of each bin of the spectrum is in each band, evenly spaced in pitch."""
    edges = np.geomspace(_LOWEST, min(_HIGHEST, 0.45 * rate), _BITS + 2)
    width = rate / size
    bins = np.fft.rfftfreq(size, 1 / rate)[:, None]
    shared = np.minimum(bins + width / 2, edges[1:]) - np.maximum(bins - width / 2, edges[:-1])
    return (np.maximum(shared, 0) / width).astype(np.float32)


def find_similar(
    fingerprints: Sequence[Fingerprint],
    *,
    similarity: float = 0.65,
    seconds: float = 1.0,
    progress: bool = False,
) -> list[Similar]:
    """Find the pairs of clips that sound alike.

    This takes about as much memory as the fingerprints themselves, and 24 bytes for each pair and
    offset with an equal word, which chance alone makes, too: 1.1 million among 100,000 clips of
    noise of five seconds. Of a sound that is in more than 32 clips not all pairs are found, but
    enough to connect all of those clips.

    Args:
        fingerprints: Of each clip.
        similarity: The least share of equal bits, between 0.5 and 1.
        seconds: For how long at least both clips are heard; less for shorter sounds, of which
            nine tenths are needed.
        progress: Whether to show progress bars.

    Returns:
        A pair once each, where it is most alike, in the order of the clips.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> rain, wind, hiss = generator.integers(-9000, 9000, (3, 40000, 1)).astype(np.int16)
        >>> later = np.concatenate([np.zeros((8000, 1), np.int16), rain // 2])
        >>> prints = [fingerprint(clip, 8000) for clip in (rain, wind, hiss, later)]
        >>> [(found.first, found.second, round(found.offset)) for found in find_similar(prints)]
        [(0, 3, 1)]
    """
    best: dict[tuple[int, int], Similar] = {}
    candidates = _candidates(fingerprints, progress)
    bar = tqdm(candidates, desc="comparing", unit="pairs", disable=None if progress else True)
    for first, second, offset in map(np.ndarray.tolist, bar):
        found = _compare(fingerprints, first, second, offset, seconds)
        if found is None or found.similarity < similarity:
            continue
        known = best.setdefault((first, second), found)
        if found.similarity > known.similarity:
            best[first, second] = found
    return sorted(best.values())


def _candidates(fingerprints: Sequence[Fingerprint], progress: bool) -> np.ndarray:
    """Pairs of clips, and offsets in words at which one word at least is the same: (pairs, 3)."""
    lengths = np.array([len(one.words) for one in fingerprints], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    heard = np.concatenate([one.heard for one in fingerprints] or [np.zeros(0, bool)])
    words = np.concatenate([one.words for one in fingerprints] or [np.zeros(0, np.uint32)])
    part_of = (words >> np.uint32(32 - _PARTS.bit_length() + 1)).astype(np.uint8)
    # A pair and its offset as one number, so that each counts once.
    longest = int(lengths.max(initial=0))
    shape = (len(lengths), len(lengths), 2 * longest + 1)
    found = [np.zeros(0, np.int64)]
    bar = tqdm(range(_PARTS), desc="searching", disable=None if progress else True, leave=False)
    for part in bar:
        places = np.flatnonzero((part_of == part) & heard)
        # Stable, so that equal words stay in the order of the clips.
        places = places[np.argsort(words[places], kind="stable")]
        here = words[places]
        clips = np.searchsorted(starts, places, side="right") - 1
        for step in range(1, _NEIGHBOURS + 1):
            equal = here[step:] == here[:-step]
            if not equal.any():
                break
            equal &= clips[step:] != clips[:-step]
            first, second = clips[:-step][equal], clips[step:][equal]
            offsets = places[step:][equal] - starts[second] - places[:-step][equal] + starts[first]
            numbers = np.ravel_multi_index((first, second, offsets + longest), shape)
            found.append(np.unique(numbers))
    pairs = np.stack(np.unravel_index(np.unique(np.concatenate(found)), shape), axis=1)
    return pairs - [0, 0, longest]


def _compare(
    fingerprints: Sequence[Fingerprint], first: int, second: int, offset: int, seconds: float
) -> Similar | None:
    """How alike two clips are at an offset; None where too little is heard of both."""
    one, other = fingerprints[first], fingerprints[second]
    begin, end = max(0, -offset), min(len(one.words), len(other.words) - offset)
    here, there = slice(begin, end), slice(begin + offset, end + offset)
    both = one.heard[here] & other.heard[there]
    count = int(both.sum())
    # Of all that sounds, or the two ends of two hums would make them alike.
    shorter = min(one.sounding, other.sounding)
    if count < max(_LEAST_WORDS, min(seconds / HOP, 0.9 * shorter)):
        return None
    different = np.bitwise_count(one.words[here][both] ^ other.words[there][both])
    share = 1 - int(different.sum()) / (_BITS * count)
    return Similar(first, second, offset * HOP, share, count * HOP)
