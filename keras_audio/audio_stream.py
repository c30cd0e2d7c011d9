"""Long sound files in blocks: what `read_audio` gives, part by part, in memory that does not grow.

An hour of stereo at 44100 Hz is 1.3 GB of float32; whoever hears it window by window needs but the
windows.
"""

import os
from collections.abc import Iterator

import numpy as np
import soundfile
import soxr

from keras_audio.audio import (
    check_any_left,
    check_channels,
    check_rates,
    check_resampling,
    check_sample_rate,
    convert_channels,
    decode_blocks,
    open_sound,
    resample_fourier,
)

# Samples, of all channels together, of a file that may well be read whole; 32 MB as float32.
WHOLE_SAMPLES = 1 << 23
# Bytes of a file that is not opened to see how long it is, which for Ogg takes a tenth of decoding
# a clip: three minutes of speech by Opus take more.
_SMALL_FILE = 100_000
# Samples of each channel that are decoded at once: six seconds at 44100 Hz.
_BLOCK_FRAMES = 1 << 18
# Seconds of a part that is resampled by its Fourier transform, and how many more before and after
# it are transformed with it and thrown away: there what is transformed, taken for one period of a
# sound without end, goes over into its other end, faded in and out.
_PART_SECONDS, _MARGIN_SECONDS = 40, 10


def is_long(path: str | os.PathLike) -> bool:
    """Whether a sound file is one for `stream_audio`, more than 32 MB of float32 by its header.

    A header need not be true: some programs cannot know the length while they write, and of an MP3
    it may be a guess. So it decides but how the file is read.

    Args:
        path: The file. What cannot be opened as a sound is not long: who reads it will say why.
    """
    path = os.fsdecode(path)
    try:
        if os.stat(path).st_size < _SMALL_FILE:
            return False
        with open_sound(path) as sound:
            return sound.frames * sound.channels > WHOLE_SAMPLES
    except (OSError, ValueError, soundfile.LibsndfileError):
        return False


def stream_audio(
    path: str | os.PathLike,
    sample_rate: int | None = None,
    channels: int | None = None,
    resampling: str = "soxr",
) -> Iterator[np.ndarray]:
    """Read a sound file block by block.

    Joined, the blocks are what `read_audio` gives, bit for bit, but for a sound of more than 50 s
    that is resampled by "fourier". There is no transform of a whole sound without the whole sound,
    so it is transformed in parts of 40 s with 10 s around them. What the rest would add to noise at
    full scale is about a thousandth, to sounds with little at half of the lower rate less than a
    step of 16 bits. The first and last instants are heard beside silence, not beside each other,
    and where the new rate leaves no whole number of samples, the sound is not stretched to one.

    Args:
        path: The file.
        sample_rate: The wanted rate in Hz; `None` keeps the file's.
        channels: The wanted number of channels; `None` keeps the file's.
        resampling: See `read_audio`.

    Yields:
        float32 of shape `(samples, channels)`, a sample at least.

    Raises:
        ValueError: As `read_audio`; what is wrong further on in the file is said when it is
            reached.

    Example:
        >>> import tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "long.wav")
        >>> soundfile.write(path, np.zeros((8000 * 60, 2)), 8000)
        >>> blocks = list(stream_audio(path, sample_rate=4000, channels=1))
        >>> len(blocks) > 1, np.concatenate(blocks).shape
        (True, (240000, 1))
    """
    path = os.fsdecode(path)
    sample_rate = check_sample_rate(sample_rate) if sample_rate is not None else None
    channels = check_channels(channels) if channels is not None else None
    resampling = check_resampling(resampling)

    resampler, read, given = None, 0, 0
    for block, rate in decode_blocks(path, _BLOCK_FRAMES):
        waveform = convert_channels(path, block, channels)
        if sample_rate in (None, rate):
            yield waveform
            continue
        if resampler is None:
            check_rates(path, rate, sample_rate)
            kind = _Soxr if resampling == "soxr" else _FourierParts
            resampler = kind(rate, sample_rate, waveform.shape[1])
        read += len(waveform)
        resampled = resampler.next(waveform)
        given += len(resampled)
        if len(resampled):
            yield resampled
    if resampler is not None:
        rest = resampler.rest()
        check_any_left(path, read, rate, given + len(rest), sample_rate)
        if len(rest):
            yield rest


class _Soxr:
    """soxr's HQ, which gives the same samples whatever the blocks are that it is given."""

    def __init__(self, old: int, new: int, channels: int) -> None:
        self._stream = soxr.ResampleStream(old, new, channels, dtype="float32", quality="HQ")
        self._nothing = np.empty((0, channels), np.float32)

    def next(self, block: np.ndarray) -> np.ndarray:
        return self._stream.resample_chunk(np.ascontiguousarray(block))

    def rest(self) -> np.ndarray:
        return self._stream.resample_chunk(self._nothing, last=True)


class _FourierParts:
    """Fourier transforms of parts that overlap, of a sound between silences.

    They begin and end at whole seconds, and so at whole samples of both rates.
    """

    def __init__(self, old: int, new: int, channels: int) -> None:
        self._old, self._new = old, new
        self._held = [np.zeros((_MARGIN_SECONDS * old, channels), np.float32)]
        self._samples = len(self._held[0])  # in `_held`
        self._first = True
        ramp = np.linspace(0, np.pi / 2, len(self._held[0]), dtype=np.float32)
        self._fade = np.sin(ramp)[:, np.newaxis] ** 2

    def next(self, block: np.ndarray) -> np.ndarray:
        self._held.append(block)
        self._samples += len(block)
        seconds = _PART_SECONDS + 2 * _MARGIN_SECONDS
        parts = [np.empty((0, block.shape[1]), np.float32)]
        while self._samples > seconds * self._old:
            held = np.concatenate(self._held)
            parts.append(self._resampled(held[: seconds * self._old], _PART_SECONDS * self._new))
            self._held = [held[_PART_SECONDS * self._old :].copy()]
            self._samples = len(self._held[0])
            self._first = False
        return np.concatenate(parts)

    def rest(self) -> np.ndarray:
        held = np.concatenate(self._held)
        samples = self._samples - _MARGIN_SECONDS * self._old
        wanted = round(samples * self._new / self._old)
        if self._first:
            return resample_fourier(held[-samples:], wanted)
        silence = -samples % self._old + _MARGIN_SECONDS * self._old
        return self._resampled(np.pad(held, [(0, silence), (0, 0)]), wanted)

    def _resampled(self, held: np.ndarray, wanted: int) -> np.ndarray:
        """So many samples, after the margin, of whole seconds."""
        start = _MARGIN_SECONDS * self._new
        held = held.copy()
        held[: len(self._fade)] *= self._fade
        held[-len(self._fade) :] *= self._fade[::-1]
        resampled = resample_fourier(held, len(held) // self._old * self._new)
        return resampled[start : start + wanted]
