"""Sound files to float32 waveforms: the one place that decodes.

Everything that listens to a file (data preparation, prediction, the report) calls `read_audio`, so
a file is the same waveform everywhere. It needs neither TensorFlow nor Keras.
"""

import hashlib
import operator
import os
import stat
import struct
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

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
# Programs that write WAV into a pipe cannot know the size: ffmpeg declares 0xFFFFFFFF, others the
# largest signed number, rounded down a little.
_STREAMING_SIZE = 0x7FFF0000
# Four MPEG frames: encoders pad the beginning and the end.
_MP3_PADDING = 4608
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

    waveform, file_rate = _decode(path)
    if not np.isfinite(waveform).all():
        raise AudioFileError(path, "it holds samples that are not finite numbers")
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
    waveform = _convert_channels(path, waveform, channels)
    if sample_rate == file_rate:
        return waveform
    if sample_rate > file_rate * _MAX_RATE_RATIO or file_rate > sample_rate * _MAX_RATE_RATIO:
        raise AudioFileError(path, f"its sample rate of {file_rate} Hz is beyond reason")
    resampled = _resample(waveform, file_rate, sample_rate, resampling)
    if len(resampled) == 0:
        raise AudioFileError(
            path, f"its {len(waveform)} samples at {file_rate} Hz are none at {sample_rate} Hz"
        )
    return np.ascontiguousarray(resampled, dtype=np.float32)


def _resample(waveform: np.ndarray, old: int, new: int, resampling: str) -> np.ndarray:
    if resampling == "soxr":
        return soxr.resample(waveform, old, new, quality="HQ")
    # Only here: importing it takes as long as decoding a hundred clips.
    import scipy.signal

    resampled = np.empty((round(len(waveform) * new / old), waveform.shape[1]), np.float32)
    if len(resampled):
        for channel, samples in enumerate(waveform.T):
            # SciPy transforms float32 in float32, ten times as far off as the result's rounding.
            resampled[:, channel] = scipy.signal.resample(np.float64(samples), len(resampled))
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


def _decode(path: str) -> tuple[np.ndarray, int]:
    """Decode the whole file at its own rate and channels, (samples, channels)."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise AudioFileError(path, "it is a folder")
        if not stat.S_ISREG(status.st_mode):
            raise AudioFileError(path, "it is not a regular file")
        if status.st_size == 0:
            raise AudioFileError(path, "it is empty (0 bytes)")
        with open(path, "rb") as file:
            _check_complete(path, file, status.st_size)
            mp3_slack = _mp3_slack(file)
        # As bytes, since a name on disk need not be valid UTF-8.
        with soundfile.SoundFile(os.fsencode(path) if os.name == "posix" else path) as sound:
            waveform = _read_blocks(path, sound, mp3_slack if sound.format == "MP3" else 0)
            rate = sound.samplerate
    except FileNotFoundError:
        raise AudioFileError(path, "there is no such file") from None
    except soundfile.LibsndfileError as error:
        raise AudioFileError(path, f"it cannot be decoded ({_words(error.error_string)})") from None
    except (OSError, ValueError) as error:
        if isinstance(error, AudioFileError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise AudioFileError(path, f"it cannot be read ({_words(reason)})") from None
    return waveform, rate


def _read_blocks(path: str, sound: soundfile.SoundFile, slack: float) -> np.ndarray:
    blocks = []
    while len(block := sound.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
        blocks.append(block)
    frames = sum(map(len, blocks))
    if frames < sound.frames - slack:
        raise AudioFileError(
            path, f"it is truncated ({frames} of the {sound.frames} samples its header promises)"
        )
    if frames == 0:
        raise AudioFileError(path, "it is empty (0 samples)")
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _convert_channels(path: str, waveform: np.ndarray, channels: int | None) -> np.ndarray:
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


def _check_complete(path: str, file: BinaryIO, size: int) -> None:
    """Refuse a WAV or Ogg that ends before its own headers say; libsndfile would read less."""
    kind = file.read(4)
    if kind in (b"RIFF", b"RIFX", b"RF64"):
        missing = _missing_wav_bytes(file, size, ">" if kind == b"RIFX" else "<")
    elif kind == b"OggS":
        missing = _missing_ogg_bytes(file, size)
    else:
        missing = 0
    if missing:
        raise AudioFileError(path, f"it is truncated ({missing} bytes are missing at its end)")


def _missing_wav_bytes(file: BinaryIO, size: int, order: str) -> int:
    """Walk the chunks up to `data` and compare its declared size with what the file holds."""
    position, block_align, large_size = 12, 1, None
    while position + 8 <= size:
        file.seek(position)
        name, declared = struct.unpack(f"{order}4sI", file.read(8))
        if name == b"data":
            if declared == 0xFFFFFFFF and large_size is not None:
                declared = large_size
            elif declared >= _STREAMING_SIZE and size < _STREAMING_SIZE:
                return 0
            missing = declared - (size - position - 8)
            # Less than one sample of every channel: nothing that could be heard is lost.
            return missing if missing >= block_align else 0
        content = file.read(min(declared, 32))
        if name == b"fmt " and len(content) >= 14:
            block_align = max(1, struct.unpack_from(f"{order}H", content, 12)[0])
        elif name == b"ds64" and len(content) >= 16:
            large_size = struct.unpack_from(f"{order}Q", content, 8)[0]
        # Chunks start at even positions: an odd one is followed by a byte that is not counted.
        position += 8 + declared + declared % 2
    return 0


def _missing_ogg_bytes(file: BinaryIO, size: int) -> int:
    """Find the last page and compare the size its segment table gives with what is there."""
    # A page is at most 27 + 255 + 255 * 255 bytes, so its beginning is in the tail.
    start = max(0, size - 65536)
    file.seek(start)
    tail = file.read()
    page = tail.rfind(b"OggS")
    if page < 0:
        return 0
    header = tail[page : page + 27]
    if len(header) < 27:
        return 27 - len(header)
    table = tail[page + 27 : page + 27 + header[26]]
    if len(table) < header[26]:
        return header[26] - len(table)
    return max(0, page + 27 + len(table) + sum(table) - len(tail))


def _mp3_slack(file: BinaryIO) -> float:
    """By how many samples an MP3 may be shorter than libsndfile says before it is truncated.

    With a Xing or Info tag in the first frame the length is known but for the encoder's padding;
    without one it is a guess, which for a variable bit rate may be twice the truth.
    """
    file.seek(0)
    head = file.read(10)
    start = 0
    if len(head) == 10 and head[:3] == b"ID3":
        start = 10 + sum((byte & 127) << 7 * (3 - place) for place, byte in enumerate(head[6:]))
    file.seek(start)
    frame = file.read(256)
    return _MP3_PADDING if b"Xing" in frame or b"Info" in frame else float("inf")


def _words(text: object) -> str:
    return str(text).strip().rstrip(".").replace("\n", " ")
