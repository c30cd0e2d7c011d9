"""Clips decoded on all cores: bounded memory, in order, one bad file not stopping the others.

Where pitch variants are wanted, they are made by the same workers.
"""

import collections
import concurrent.futures
import dataclasses
import itertools
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator

import numpy as np

from data_prep.clips import Clip
from data_prep.form import Form
from data_prep.pitch import pitch_variants
from keras_audio.audio import AudioFileError, convert_audio, pcm16_hash, read_audio, to_pcm16

# Enough waiting results that no worker idles while one clip is written.
_CLIPS_IN_FLIGHT = 8
# For the clips that are being decoded when a build is stopped; then the workers are killed or left.
_SECONDS_TO_END = 5.0


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


def decode_clip(root: str, clip: Clip, form: Form) -> Decoded:
    """Decode one clip; a bad one is reported in the result, not raised.

    Args:
        root: The folder that the clip's file is relative to.
        clip: A sound file, or a row of a pack.
        form: What to make of it.
    """
    path = os.path.join(root, clip.file)
    try:
        waveform = _read(path, clip.row, form)
    except AudioFileError as error:
        return Decoded(None, problem=error.reason)
    samples = to_pcm16(waveform)
    shifted = None
    if form.pitch_variants:
        shifted = pitch_variants(samples, form.sample_rate, clip.clip_id, form.pitch_variants)
    return Decoded(samples, hash=pcm16_hash(samples), pitch_shifted=shifted)


def _read(path: str, row: int | None, form: Form) -> np.ndarray:
    if row is None:
        return read_audio(path, form.sample_rate, form.channels, form.resampling)[0]
    # HDF5 takes as long to import as all else here, and few data sets need it.
    from data_prep.packs import read_pack_clip

    waveform, rate = read_pack_clip(path, row)
    return convert_audio(path, waveform, rate, form.sample_rate, form.channels, form.resampling)


class Decoder:
    """Decodes on several cores; a context manager, so that no worker outlives the build.

    Args:
        form: What to make of the clips.
        jobs: How many workers; 1 decodes in the thread that asks.
    """

    def __init__(self, form: Form, jobs: int):
        self._form = form
        self._jobs = jobs
        self._pool: concurrent.futures.Executor | None = None
        self._waiting: collections.deque[concurrent.futures.Future] = collections.deque()

    def __enter__(self) -> "Decoder":
        if self._jobs > 1:
            # Decoding and resampling leave Python to others, and threads begin at once. A phase
            # vocoder is many short calls from Python, for which each has to wait.
            of_kind = _processes if self._form.pitch_variants else _threads
            self._pool = of_kind(self._jobs)
        return self

    def __exit__(self, kind, *exception) -> None:
        if self._pool is None:
            return
        if kind is None:
            self._pool.shutdown()
            return
        # Killed with clips in its queue, a pool of processes would end in a traceback.
        begun = [future for future in self._waiting if not future.cancel()]
        concurrent.futures.wait(begun, timeout=_SECONDS_TO_END)
        if self._form.pitch_variants:
            self._pool.shutdown(kill_workers=True)
        else:
            # A thread cannot be killed: one that hangs in a read is not waited for here.
            self._pool.shutdown(wait=False, cancel_futures=True)

    def decode(self, root: str | os.PathLike, clips: Iterable[Clip]) -> Iterator[Decoded]:
        """Decode clips, giving each in its turn; `root` is the folder that holds their files."""
        root = os.fspath(root)
        if self._pool is None:
            for clip in clips:
                yield decode_clip(root, clip, self._form)
            return
        clips, waiting = iter(clips), self._waiting
        waiting.clear()
        for clip in itertools.islice(clips, self._jobs * _CLIPS_IN_FLIGHT):
            waiting.append(self._submit(root, clip))
        while waiting:
            decoded = waiting.popleft().result()
            for clip in itertools.islice(clips, 1):
                waiting.append(self._submit(root, clip))
            yield decoded

    def _submit(self, root: str, clip: Clip):
        return self._pool.submit(decode_clip, root, clip, self._form)


def _threads(jobs: int) -> concurrent.futures.Executor:
    return concurrent.futures.ThreadPoolExecutor(jobs, "decoder")


def _processes(jobs: int) -> concurrent.futures.Executor:
    # loky's, because they import neither TensorFlow nor the caller's script.
    from joblib.externals.loky import ProcessPoolExecutor

    return ProcessPoolExecutor(jobs, initializer=_end_with_parent, initargs=(os.getpid(),))


def _end_with_parent(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end with it: a worker would wait for work for ever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    # A terminal interrupts the workers as well, which would each print where they were.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()
