"""The processes that train one network together: who they are, and what they tell each other."""

import contextlib
import functools
import io
import json
import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import psutil
import tensorflow as tf

STRATEGIES = ("single", "mirrored", "multiworker")
# Of a run folder, what a training reads: all that another worker needs to train as the first does.
_SHARED_FILES = (
    *("labels.txt", "environment.json", "split.json", "initial.keras", "initial.json"),
    *("statistics.json", "history.csv", "model.keras", "checkpoints/*", "done.json", "recipe.json"),
)
_COPY = "keras-audio-worker-"
_EXAMPLE = (
    """{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, """
    """"task": {"type": "worker", "index": 0}}"""
)


class WorkerLost(Exception):
    """Another worker of this training is gone, so that no step can be made any more.

    Nothing is lost but the steps since the last checkpoint: started again with `resume`, all
    workers go on from there.
    """


def build_strategy(name: str) -> tf.distribute.Strategy:
    """Make the `tf.distribute` strategy of a name.

    TensorFlow takes other workers only before it computes anything, so this comes first.

    Args:
        name: `single`, `mirrored` for all GPUs of this machine, or `multiworker` for those of all
            processes that the environment variable TF_CONFIG names.

    Raises:
        ValueError: If the name is none of these, TF_CONFIG is not as expected, or TensorFlow has
            computed already.
    """
    if name not in STRATEGIES:
        raise ValueError(
            f"Expected strategy to be one of {STRATEGIES}. Received: strategy={name!r}"
        )
    if name == "single":
        return tf.distribute.get_strategy()
    strategy = _mirrored() if name == "mirrored" else _multiworker()
    devices = ", ".join(strategy.extended.worker_devices)
    count = strategy.num_replicas_in_sync
    print(f"note: each batch is for {count} device(s), here {devices}", file=sys.stderr)
    return strategy


def wait_for_all(name: str) -> None:
    """Wait until all workers are here, under a strategy of several processes.

    One that has ended could not be started again alone, should another fail in what follows.

    Raises:
        WorkerLost: If another worker is gone.
    """
    if name == "multiworker":
        workers = Workers(_multiworker())
        with workers.together():
            workers.any(False)


@functools.cache
def _mirrored() -> tf.distribute.Strategy:
    """One for the whole process: on CPU a second one would mix up its messages with the first's."""
    return tf.distribute.MirroredStrategy()


@functools.cache
def _multiworker() -> tf.distribute.Strategy:
    """One for the whole process, since TensorFlow meets the other workers but once."""
    config = os.environ.get("TF_CONFIG", "")
    addresses = _check_cluster(config)
    print(f"note: waiting for all workers: {', '.join(addresses)}", file=sys.stderr)
    try:
        with _ended_by_ctrl_c():
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise ValueError(
            "Expected strategy='multiworker' in a process in which TensorFlow has not computed "
            f"anything yet ({error}). Received: a later call"
        ) from error
    except tf.errors.OpError as error:
        raise ValueError(
            "Expected addresses in TF_CONFIG by which workers can be reached, and at which this "
            f"one can listen, got {error.message}. Received: TF_CONFIG={config!r}"
        ) from error
    # All batches are whole, and the same number on every worker: nobody has to ask at each step
    # whether the others have one left.
    strategy.extended.experimental_enable_get_next_as_optional = False
    return strategy


@contextlib.contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """Let SIGINT end the process at once, which waits where Python does not hear it.

    SIGTERM TensorFlow takes for itself while it waits.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _check_cluster(config: str) -> list[str]:
    """The addresses of all workers; refuse a TF_CONFIG that is none of workers alone."""
    try:
        parsed = json.loads(config)
        cluster, task = parsed["cluster"], parsed["task"]
        problem = _problem(cluster, task["type"], task["index"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = repr(error) if config else "nothing"
    if problem:
        raise ValueError(
            "Expected the environment variable TF_CONFIG to name all workers and this one, as in "
            f"{_EXAMPLE}, got {problem}. Received: TF_CONFIG={config!r}"
        )
    return [address for addresses in cluster.values() for address in addresses]


def _problem(cluster: Mapping[str, Any], job: str, index: int) -> str:
    if cluster.keys() - {"chief", "worker"} or len(cluster.get("chief", [])) > 1:
        return "other jobs than a chief and workers"
    if not all(isinstance(addresses, list) for addresses in cluster.values()):
        return "workers that are no list"
    addresses = [address for job_addresses in cluster.values() for address in job_addresses]
    for address in addresses:
        if not isinstance(address, str) or not re.fullmatch(r"[^\s/]+:[0-9]+", address):
            return f"{address!r}, which is not host:port"
    if len(set(addresses)) < len(addresses):
        return "one address twice"
    if type(index) is not int or not 0 <= index < len(cluster.get(job, [])):
        return "a task that is not in the cluster"
    return ""


class Workers:
    """The processes under a strategy: one, but for `multiworker`.

    What one of them tells, all have to ask for at the same moment.

    Args:
        strategy: From `build_strategy`.

    Attributes:
        index: The number of this process, from 0.
        count: How many there are.

    Example:
        >>> workers = Workers(build_strategy("single"))
        >>> workers.index, workers.count, workers.any(True)
        (0, 1, True)
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy
        self.index, self.count = 0, 1
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            resolver = strategy.cluster_resolver
            cluster = resolver.cluster_spec().as_dict()
            self.count = sum(map(len, cluster.values()))
            behind_chief = resolver.task_type == "worker" and "chief" in cluster
            self.index = resolver.task_id + behind_chief

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes the run folder."""
        return self.index == 0

    def sum(self, array: np.ndarray) -> np.ndarray:
        """The sum of the arrays of all workers, which have one shape and type."""
        if self.count == 1 or not array.size:
            return array
        devices = self._strategy.num_replicas_in_sync // self.count
        own, nothing = tf.constant(array), tf.zeros_like(array)
        values = self._strategy.experimental_distribute_values_from_function(
            lambda context: nothing if context.replica_id_in_sync_group % devices else own
        )
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None).numpy()

    def any(self, flag: bool) -> bool:
        """Whether it is so for any worker."""
        return bool(self.sum(np.array([flag], np.int32))[0])

    def gather(self, rows: np.ndarray) -> np.ndarray:
        """The rows of all workers, one after the other; each may have another number of them."""
        if self.count == 1:
            return rows
        counts = np.zeros(self.count, np.int64)
        counts[self.index] = len(rows)
        counts = self.sum(counts)
        gathered = np.zeros((counts.sum(), *rows.shape[1:]), rows.dtype)
        begin = counts[: self.index].sum()
        gathered[begin : begin + len(rows)] = rows
        return self.sum(gathered)

    def first(self, data: bytes | None) -> bytes:
        """The bytes that the first worker has; what others pass does not count."""
        if self.count == 1:
            return data
        data = data if self.is_first else b""
        size = int(self.sum(np.array([len(data)], np.int64))[0])
        words = np.zeros((size + 3) // 4, np.int32)
        words.view(np.uint8)[: len(data)] = np.frombuffer(data, np.uint8)
        # Zeros everywhere else, so that the sum is what the first worker has.
        return self.sum(words).tobytes()[:size]

    def check_same(self, terms: Mapping[str, Any]) -> None:
        """Make sure that all workers were told the same as the first.

        Args:
            terms: What they were told by name, as JSON can hold it.

        Raises:
            ValueError: In those that were told something else; it names the first that differs.
        """
        first = json.loads(self.first(json.dumps(terms).encode()))
        # As JSON has them, which knows no tuples.
        for name, value in json.loads(json.dumps(terms)).items():
            if first.get(name) != value:
                raise ValueError(
                    f"Expected {name} as the first worker has it, {first.get(name)!r}. "
                    f"Received: {name}={value!r} in worker {self.index}"
                )

    @contextlib.contextmanager
    def agreeing(self) -> Iterator[None]:
        """If the block raises ValueError in one worker, no other is left waiting for it.

        Raises:
            ValueError: That one; in the others one that says which they are.
        """
        problem = None
        try:
            yield
        except ValueError as error:
            problem = error
        refused = np.zeros(self.count, np.int32)
        refused[self.index] = problem is not None
        refused = self.sum(refused)
        if problem is not None:
            raise problem
        if refused.any():
            others = ", ".join(map(str, np.flatnonzero(refused)))
            raise ValueError(
                f"Expected all workers to be able to train; worker {others} says what is wrong. "
                f"Received: a problem there, none in worker {self.index}"
            )

    @contextlib.contextmanager
    def shared_folder(self, path: pathlib.Path | None) -> Iterator[pathlib.Path]:
        """Give the first worker's run folder to all: the others get a copy that does not stay.

        Only the first worker's `path` counts, so that the others need not see its disk.
        """
        if self.count == 1:
            yield path
            return
        packed = self.first(_pack(path) if self.is_first else None)
        if self.is_first:
            yield path
            return
        _sweep_copies()
        with tempfile.TemporaryDirectory(prefix=f"{_COPY}{os.getpid()}-") as temporary:
            copy = pathlib.Path(temporary) / "run"
            with zipfile.ZipFile(io.BytesIO(packed)) as archive:
                archive.extractall(copy)
            yield copy

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Say in one sentence that another worker is gone.

        Raises:
            WorkerLost: If so.
        """
        try:
            yield
        except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as e:
            if self.count == 1:
                raise
            reason = e.message.partition("\n")[0]
            raise WorkerLost(
                f"another worker is gone ({reason}); start all {self.count} again with --resume, "
                "and they go on from the last checkpoint"
            ) from e


def _pack(folder: pathlib.Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for pattern in _SHARED_FILES:
            for file in folder.glob(pattern):
                archive.write(file, file.relative_to(folder))
    return packed.getvalue()


def _sweep_copies() -> None:
    """Delete the copies of workers that were killed."""
    for copy in pathlib.Path(tempfile.gettempdir()).glob(f"{_COPY}*"):
        process = copy.name.removeprefix(_COPY).partition("-")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(copy, ignore_errors=True)
