"""Sound files to float32 waveforms: the one place that decodes.

Everything that listens to a file (data preparation, prediction, the report) calls `read_audio`, so
a file is the same waveform everywhere; prediction of long files calls `stream_audio` of
`keras_audio.audio_stream`, which decodes here too. It needs neither TensorFlow nor Keras.
"""

import hashlib
import operator
import os
import stat
from collections.abc import Iterator

import numpy as np
import soundfile
import soxr

from keras_audio.audio_headers import missing_bytes, mp3_slack

# File name endings of the formats that libsndfile reads: each format's own name and others it goes
# by, without those whose files are no sounds or do not say their sample rate.
AUDIO_SUFFIXES = frozenset(
    f".{name}"
    for name in {*map(str.lower, soundfile.available_formats())}
    | {"aif", "aifc", "oga", "opus", "snd", "sph", "wave"}
    if name not in {"htk", "mat4", "mat5", "raw", "xi"}
)

# How a waveform gets another sample rate.
RESAMPLINGS = ("soxr", "fourier")

# Files are decoded in blocks, so that a header that promises the moon costs no memory.
_BLOCK_FRAMES = 1 << 20
# A sample rate this far from the wanted one is a damaged header, and resampling would need as many
# times the memory.
_MAX_RATE_RATIO = 256


class AudioFileError(ValueError):
    """A sound file that cannot be used.

    Attributes:
        path: The file, as it was given.
        reason: What is wrong with it, half a sentence without the path.
    """

    def __init__(self, path: str, reason: str):
        super().__init__(f"Expected a readable sound file, but {reason}. Received: path={path}")
        self.path = path
        self.reason = reason

    def __reduce__(self):
        # Errors travel from worker processes; the default would call __init__ with the message.
        return type(self), (self.path, self.reason)


def read_audio(
    path: str | os.PathLike,
    sample_rate: int | None = None,
    channels: int | None = None,
    resampling: str = "soxr",
) -> tuple[np.ndarray, int]:
    """Read a sound file as float32 samples.

    WAV (every PCM width, float, ADPCM, WAVE_FORMAT_EXTENSIBLE), FLAC, Ogg, MP3 and whatever else
    libsndfile knows. Integer samples are scaled to [-1, 1); float samples are taken as they are,
    so they may lie outside. Stereo becomes mono by averaging before resampling.

    Args:
        path: The file.
        sample_rate: The wanted rate in Hz; `None` keeps the file's.
        channels: The wanted number of channels; `None` keeps the file's. Stereo is averaged to
            mono, mono is doubled to stereo; no other change of channels is made.
        resampling: How the rate is changed: "soxr" (its HQ), whose filter is short, or "fourier",
            `scipy.signal.resample` of the whole clip, which keeps all below half of the lower rate,
            takes the clip for one period of a sound without end, needs memory for its whole
            spectrum, and gives `round(samples * new / old)` samples.

    Returns:
        The waveform, float32 of shape `(samples, channels)`, and its sample rate in Hz.

    Raises:
        ValueError: If an argument is out of range, or (as `AudioFileError`) if the file is
            missing, a folder, empty, unreadable, truncated, holds values that are not finite, or
            has channels that cannot become the wanted ones. The message names the file.

    Example:
        >>> import tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "tone.wav")
        >>> tone = np.sin(2 * np.pi * 440 * np.arange(44100) / 44100)
        >>> soundfile.write(path, np.stack([tone, tone], axis=-1), 44100, subtype="PCM_24")
        >>> waveform, rate = read_audio(path, sample_rate=8000, channels=1)
        >>> waveform.shape, waveform.dtype.name, rate
        ((8000, 1), 'float32', 8000)
    """
    path = os.fsdecode(path)
    sample_rate = check_sample_rate(sample_rate) if sample_rate is not None else None
    channels = check_channels(channels) if channels is not None else None
    resampling = check_resampling(resampling)

    blocks, rates = zip(*decode_blocks(path), strict=True)
    waveform = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    del blocks  # or a long file would be in memory twice
    file_rate = rates[0]
    wanted = file_rate if sample_rate is None else sample_rate
    return convert_audio(path, waveform, file_rate, wanted, channels, resampling), wanted


def convert_audio(
    path: str,
    waveform: np.ndarray,
    file_rate: int,
    sample_rate: int,
    channels: int | None,
    resampling: str,
) -> np.ndarray:
    """Give a waveform another rate and number of channels, as `read_audio` does.

    Args:
        path: The file that it is from, for messages.
        waveform: float32 of shape `(samples, channels)`.
        file_rate: Its sample rate in Hz.
        sample_rate: The wanted rate in Hz.
        channels: The wanted number of channels; `None` keeps them.
        resampling: See `read_audio`.

    Returns:
        float32 of shape `(samples, channels)`.

    Raises:
        AudioFileError: If that cannot be done; see `read_audio`.

    Example:
        >>> convert_audio("tone.wav", np.ones((4, 2), np.float32), 8000, 8000, 1, "soxr").shape
        (4, 1)
    """
    waveform = convert_channels(path, waveform, channels)
    if sample_rate == file_rate:
        return waveform
    check_rates(path, file_rate, sample_rate)
    if resampling == "soxr":
        resampled = soxr.resample(waveform, file_rate, sample_rate, quality="HQ")
    else:
        resampled = resample_fourier(waveform, round(len(waveform) * sample_rate / file_rate))
    check_any_left(path, len(waveform), file_rate, len(resampled), sample_rate)
    return np.ascontiguousarray(resampled, dtype=np.float32)


def resample_fourier(waveform: np.ndarray, samples: int) -> np.ndarray:
    """Give a waveform (samples, channels) so many samples by `scipy.signal.resample`."""
    # Only here: importing it takes as long as decoding a hundred clips.
    import scipy.signal

    resampled = np.empty((samples, waveform.shape[1]), np.float32)
    if samples:
        for number, channel in enumerate(waveform.T):
            # SciPy transforms float32 in float32, ten times as far off as the result's rounding.
            resampled[:, number] = scipy.signal.resample(np.float64(channel), samples)
    return resampled


def to_pcm16(waveform: np.ndarray) -> np.ndarray:
    """Round a float waveform to 16-bit integers; what lies outside [-1, 1) saturates.

    The scale is 32768, the one libsndfile reads 16-bit files with, so those keep every bit.

    Args:
        waveform: Floats of any shape, full scale at 1.

    Returns:
        int16 of the same shape.

    Raises:
        ValueError: If a sample is not a finite number.

    Example:
        >>> to_pcm16(np.array([0.0, 0.5, 1.0, -7.0])).tolist()
        [0, 16384, 32767, -32768]
    """
    waveform = np.asarray(waveform)
    if not np.isfinite(waveform).all():
        count = int(np.count_nonzero(~np.isfinite(waveform)))
        raise ValueError(
            f"Expected finite samples, got {count} that are not. "
            f"Received: waveform of shape {waveform.shape}"
        )
    scaled = np.rint(waveform * np.float32(32768.0))
    return np.clip(scaled, -32768, 32767).astype(np.int16)


def pcm16_hash(samples: np.ndarray) -> str:
    """Hash 16-bit samples, to tell whether two clips hold the same sound.

    Args:
        samples: int16 of any shape.

    Returns:
        BLAKE2b of 128 bits over the little-endian bytes, as 32 hexadecimal digits.

    Example:
        >>> pcm16_hash(np.zeros((4, 1), np.int16))
        'c804ce198ec337e3dc762bdd1a09aece'
    """
    data = np.ascontiguousarray(samples, dtype="<i2").tobytes()
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def check_sample_rate(sample_rate: int) -> int:
    """Return `sample_rate` as an int, or raise ValueError if it is not a positive whole number."""
    return _positive_integer("sample_rate", sample_rate, "a sample rate in Hz", 10_000_000)


def check_channels(channels: int) -> int:
    """Return `channels` as an int, or raise ValueError if it is not a positive whole number."""
    return _positive_integer("channels", channels, "a number of channels", 1024)


def check_resampling(resampling: str) -> str:
    """Return `resampling`, or raise ValueError if it is not one of `RESAMPLINGS`."""
    if resampling not in RESAMPLINGS:
        raise ValueError(
            f"Expected a way of resampling, {' or '.join(RESAMPLINGS)}. Received: {resampling=}"
        )
    return resampling


def _positive_integer(name: str, value: int, what: str, largest: int) -> int:
    try:
        number = 0 if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        number = 0
    if not 1 <= number <= largest:
        raise ValueError(
            f"Expected {what}, a whole number from 1 to {largest}. Received: {name}={value!r}"
        )
    return number


def decode_blocks(path: str, frames: int = _BLOCK_FRAMES) -> Iterator[tuple[np.ndarray, int]]:
    """Decode a file at its own rate and channels, part by part, so that it need not fit in memory.

    Args:
        path: The file.
        frames: Samples of each channel in a block, at most.

    Yields:
        float32 of shape `(samples, channels)`, a sample at least, and the file's rate in Hz.

    Raises:
        AudioFileError: As `read_audio`, if need be after blocks that are good.
    """
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise AudioFileError(path, "it is a folder")
        if not stat.S_ISREG(status.st_mode):
            raise AudioFileError(path, "it is not a regular file")
        if status.st_size == 0:
            raise AudioFileError(path, "it is empty (0 bytes)")
        with open(path, "rb") as file:
            if missing := missing_bytes(file, status.st_size):
                raise AudioFileError(
                    path, f"it is truncated ({missing} bytes are missing at its end)"
                )
            slack = mp3_slack(file)
        with open_sound(path) as sound:
            decoded = 0
            while left := min(frames, sound.frames - decoded):
                block = sound.read(left, dtype="float32", always_2d=True)
                if not len(block):
                    break
                if not np.isfinite(block).all():
                    raise AudioFileError(path, "it holds samples that are not finite numbers")
                decoded += len(block)
                yield block, sound.samplerate
            if decoded < sound.frames - (slack if sound.format == "MP3" else 0):
                promised = f"{decoded} of the {sound.frames} samples its header promises"
                raise AudioFileError(path, f"it is truncated ({promised})")
            if decoded == 0:
                raise AudioFileError(path, "it is empty (0 samples)")
    except FileNotFoundError:
        raise AudioFileError(path, "there is no such file") from None
    except soundfile.LibsndfileError as error:
        raise AudioFileError(path, f"it cannot be decoded ({_words(error.error_string)})") from None
    except (OSError, ValueError) as error:
        if isinstance(error, AudioFileError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise AudioFileError(path, f"it cannot be read ({_words(reason)})") from None


class _Forward(soundfile.SoundFile):
    """A file that is read from its beginning to its end.

    After each read of a file that can be sought in, soundfile seeks to where the file is anyway. A
    decoder of MP3 or Opus then begins anew, and gives other samples than if it had gone on.
    """

    def seekable(self) -> bool:
        return False


def open_sound(path: str) -> soundfile.SoundFile:
    """Open a file by libsndfile, to be read but once."""
    # As bytes, since a name on disk need not be valid UTF-8.
    return _Forward(os.fsencode(path) if os.name == "posix" else path)


def check_rates(path: str, old: int, new: int) -> None:
    """Raise AudioFileError where the rate of a file is too far from the wanted one to be true."""
    if new > old * _MAX_RATE_RATIO or old > new * _MAX_RATE_RATIO:
        raise AudioFileError(path, f"its sample rate of {old} Hz is beyond reason")


def check_any_left(path: str, before: int, old: int, after: int, new: int) -> None:
    """Raise AudioFileError if the resampling of so many samples left none."""
    if after == 0:
        raise AudioFileError(path, f"its {before} samples at {old} Hz are none at {new} Hz")


def convert_channels(path: str, waveform: np.ndarray, channels: int | None) -> np.ndarray:
    """Give a waveform (samples, channels) another number of channels, as `read_audio` does."""
    present = waveform.shape[1]
    if channels is None or channels == present:
        return waveform
    if (present, channels) == (2, 1):
        return waveform.mean(axis=1, keepdims=True)
    if (present, channels) == (1, 2):
        return np.repeat(waveform, 2, axis=1)
    raise AudioFileError(
        path,
        f"its {present} channels cannot become {channels} "
        "(only stereo to mono and mono to stereo are converted)",
    )


def _words(text: object) -> str:
    return str(text).strip().rstrip(".").replace("\n", " ")
