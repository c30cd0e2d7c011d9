"""Packs: HDF5 files that hold thousands of clips of one length, as PANNs makes them of AudioSet.

A pack has `audio_name` (rows,), "Y<id>.wav" or empty where the clip is not there; `waveform` int16
(rows, samples); `target` bool (rows, classes); and the attribute `sample_rate` in Hz.
"""

import contextlib
import os
import re
from collections.abc import Iterator

import h5py
import numpy as np

from keras_audio.audio import AudioFileError, check_sample_rate

# 1.0 is 32767 there, where sound files have 32768.
_FULL_SCALE = np.float32(32767)
_NAME = re.compile(r"Y([A-Za-z0-9_-]{11})\.wav", re.ASCII)
_NAMES, _WAVEFORMS, _TARGETS, _RATE = "audio_name", "waveform", "target", "sample_rate"


def read_pack_index(path: str | os.PathLike, classes: int) -> tuple[list[str], np.ndarray]:
    """Read what a pack says of its rows, without their samples.

    Args:
        path: The pack.
        classes: How many classes its targets are of.

    Returns:
        The id of the clip of each row, empty where there is none; and bool (rows, classes), which
        of the classes it has.

    Raises:
        ValueError: If the file is no such pack, or a name is of another form; names the file.
    """
    path = os.fspath(path)
    try:
        with _opened(path) as pack:
            names, targets = pack[_NAMES][:], pack[_TARGETS]
            if targets.shape != (len(names), classes) or targets.dtype != bool:
                raise AudioFileError(
                    path,
                    f"its {_TARGETS} is {targets.dtype} of the shape {targets.shape}, "
                    f"not bool of {(len(names), classes)}",
                )
            targets = targets[:]
    except AudioFileError as error:
        raise ValueError(
            f"Expected an HDF5 pack with {_NAMES}, {_WAVEFORMS}, {_TARGETS} and {_RATE}, but "
            f"{error.reason}. Received: path={path}"
        ) from error
    return [_clip_id(name, row, path) for row, name in enumerate(names)], targets


def read_pack_clip(path: str | os.PathLike, row: int) -> tuple[np.ndarray, int]:
    """Read one clip of a pack.

    All clips of a pack have the same length: shorter ones were padded with zeros, longer ones cut.

    Args:
        path: The pack.
        row: The clip's row, from 0.

    Returns:
        The waveform, float32 of shape `(samples, 1)` in [-1, 1] (-32768, which packs of PANNs do
        not hold, would lie just outside), and its sample rate in Hz.

    Raises:
        AudioFileError: If the file is no such pack, is damaged, or has no such row.

    Example:
        >>> import tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "eval.h5")
        >>> with h5py.File(path, "w") as pack:
        ...     pack["audio_name"] = np.array([b"Y--4gqARaEJE.wav"], "S20")
        ...     pack["waveform"] = np.array([[0, 32767, -32767, 0]], np.int16)
        ...     pack["target"] = np.zeros((1, 527), bool)
        ...     pack.attrs["sample_rate"] = 32000
        >>> waveform, rate = read_pack_clip(path, 0)
        >>> waveform[:, 0].tolist(), rate
        ([0.0, 1.0, -1.0, 0.0], 32000)
    """
    path = os.fspath(path)
    with _opened(path) as pack:
        if not 0 <= row < len(pack[_NAMES]):
            raise AudioFileError(path, f"it has {len(pack[_NAMES])} rows, none of them row {row}")
        if not pack[_NAMES][row]:
            raise AudioFileError(path, f"its row {row} holds no clip")
        samples = pack[_WAVEFORMS][row]
        rate = int(pack.attrs[_RATE])
    return (samples.astype(np.float32) / _FULL_SCALE)[:, np.newaxis], rate


@contextlib.contextmanager
def _opened(path: str) -> Iterator[h5py.File]:
    """Open a pack that has all its parts; whatever goes wrong with the file is said of it."""
    try:
        # Without HDF5's lock, which shared file systems may refuse: nobody writes to a pack.
        with h5py.File(path, "r", locking=False) as pack:
            _check(path, pack)
            yield pack
    except FileNotFoundError:
        raise AudioFileError(path, "there is no such file") from None
    except (OSError, RuntimeError) as error:  # what h5py raises for a damaged file
        raise AudioFileError(path, f"it cannot be read ({' '.join(str(error).split())})") from None


def _check(path: str, pack: h5py.File) -> None:
    for name in (_NAMES, _WAVEFORMS, _TARGETS):
        if not isinstance(pack.get(name), h5py.Dataset):
            raise AudioFileError(path, f"it has no data set {name!r}")
    names, waveforms = pack[_NAMES], pack[_WAVEFORMS]
    if names.ndim != 1 or names.dtype.kind != "S":
        raise AudioFileError(path, f"its {_NAMES} is no column of short texts")
    if waveforms.ndim != 2 or waveforms.dtype != np.int16 or 0 in waveforms.shape[1:]:
        raise AudioFileError(path, f"its {_WAVEFORMS} is not int16 of the shape (rows, samples)")
    if len(waveforms) != len(names):
        raise AudioFileError(
            path, f"it has {len(names)} rows of {_NAMES} and {len(waveforms)} of {_WAVEFORMS}"
        )
    try:
        check_sample_rate(pack.attrs.get(_RATE))
    except ValueError:
        raise AudioFileError(path, f"its {_RATE} is {pack.attrs.get(_RATE)!r}") from None


def _clip_id(name: bytes, row: int, path: str) -> str:
    text = name.decode("ascii", "replace")
    match = _NAME.fullmatch(text)
    if text and match is None:
        raise ValueError(
            f"Expected names like Y--4gqARaEJE.wav, or empty ones, in row {row} of {path}. "
            f"Received: {_NAMES}={text!r}"
        )
    return match[1] if match else ""
