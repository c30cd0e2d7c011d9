"""Clips decoded on all cores: bounded memory, in order, one bad file not stopping the others.

Where pitch variants are wanted, they are made in the same processes.
"""

import collections
import contextlib
import dataclasses
import itertools
import os
import pathlib
import threading
import time
from collections.abc import Iterable, Iterator

import numpy as np

from data_prep.clips import Clip
from data_prep.pitch import pitch_variants
from keras_audio.audio import AudioFileError, pcm16_hash, read_audio, to_pcm16

# Enough waiting results that no worker idles while one clip is written.
_CLIPS_IN_FLIGHT = 8


@dataclasses.dataclass(frozen=True)
class Decoded:
    """A clip's samples as they are recorded, or why there are none.

    Attributes:
        samples: int16 of shape `(samples, channels)`; `None` if the file is bad.
        hash: BLAKE2b-128 of the samples, hexadecimal.
        problem: What is wrong with the file; empty if nothing is.
        pitch_shifted: int16 of shape `(variants * samples, channels)`, the pitch variants one
            after the other; `None` if there are none.
    """

    samples: np.ndarray | None
    hash: str = ""
    problem: str = ""
    pitch_shifted: np.ndarray | None = None


def decode_file(
    path: str,
    clip_id: str,
    sample_rate: int,
    channels: int,
    variants: int = 0,
    resampling: str = "soxr",
) -> Decoded:
    """Decode one file; a bad one is reported in the result, not raised."""
    try:
        waveform, _ = read_audio(path, sample_rate, channels, resampling)
    except AudioFileError as error:
        return Decoded(None, problem=error.reason)
    samples = to_pcm16(waveform)
    shifted = pitch_variants(samples, sample_rate, clip_id, variants) if variants else None
    return Decoded(samples, hash=pcm16_hash(samples), pitch_shifted=shifted)


class Decoder:
    """Worker processes that decode; a context manager, so that none outlives the build.

    Args:
        sample_rate: The wanted rate in Hz.
        channels: The wanted number of channels.
        jobs: How many processes; 1 decodes in this one.
        variants: How many pitch variants to make of each clip.
        resampling: See `read_audio`.
    """

    def __init__(
        self,
        sample_rate: int,
        channels: int,
        jobs: int,
        variants: int = 0,
        resampling: str = "soxr",
    ):
        self._arguments = (sample_rate, channels, variants, resampling)
        self._jobs = jobs
        self._stack = contextlib.ExitStack()
        self._pool = None

    def __enter__(self) -> "Decoder":
        if self._jobs > 1:
            # Processes, because Ogg decodes hardly faster on two threads than on one; loky's,
            # because they import neither TensorFlow nor the caller's script.
            from joblib.externals.loky import ProcessPoolExecutor

            pool = ProcessPoolExecutor(
                self._jobs, initializer=_end_with_parent, initargs=(os.getpid(),)
            )
            self._pool = self._stack.enter_context(pool)
        return self

    def __exit__(self, *exception) -> None:
        if self._pool is not None and exception[0] is not None:
            self._pool.shutdown(kill_workers=True)
        self._stack.close()

    def decode(self, root: pathlib.Path, clips: Iterable[Clip]) -> Iterator[tuple[Clip, Decoded]]:
        """Decode clips, giving each in its turn."""
        if self._pool is None:
            for clip in clips:
                path = os.fspath(root / clip.file)
                yield clip, decode_file(path, clip.clip_id, *self._arguments)
            return
        clips, waiting = iter(clips), collections.deque()
        for clip in itertools.islice(clips, self._jobs * _CLIPS_IN_FLIGHT):
            waiting.append((clip, self._submit(root, clip)))
        while waiting:
            clip, future = waiting.popleft()
            decoded = future.result()
            for following in itertools.islice(clips, 1):
                waiting.append((following, self._submit(root, following)))
            yield clip, decoded

    def _submit(self, root: pathlib.Path, clip: Clip):
        path = os.fspath(root / clip.file)
        return self._pool.submit(decode_file, path, clip.clip_id, *self._arguments)


def _end_with_parent(parent: int) -> None:
    """Watch the parent: a worker whose parent was killed would wait for work for ever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
