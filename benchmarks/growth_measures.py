"""What `growth.py` measures, each in a process of its own: seconds, and MB above what was there."""

import contextlib
import dataclasses
import json
import os
import pathlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from prediction_inputs import CLASSES, write_classes
from processes import CLI, POLL_SECONDS, REPOSITORY, peak_memory, peaks_of

RATE, BATCH_SIZE = 8000, 16
_FEW_CLIPS = 50
# A call is repeated for so long, and three times unless it takes much longer.
_LEAST_SECONDS, _ENOUGH_SECONDS = 0.5, 3.0


class Cost(NamedTuple):
    """What something took.

    Args:
        seconds: Of the work alone, without imports and the building of graphs.
        memory: MB above what the process had before it, with its child processes.
    """

    seconds: float
    memory: float


class _Watch:
    """Measures memory between entering and leaving.

    Attributes:
        memory: MB.
    """

    def __enter__(self) -> "_Watch":
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # what follows is a peak of its own
        self._before = peak_memory()
        self._children: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self._ended.set()
        self._thread.join()
        own = peak_memory() - self._before
        self.memory = own + sum(self._children.values())

    def _poll(self) -> None:
        own = os.getpid()
        while not self._ended.wait(POLL_SECONDS):
            found = peaks_of(own)
            self._children |= {pid: peak for pid, peak in found.items() if pid != own}


def _repeated(call: Callable[[], object]) -> Cost:
    """The least time of a call, after a first one that builds its graph; the memory of all."""
    times: list[float] = []
    with _Watch() as watch:
        call()
        while (spent := sum(times)) < _LEAST_SECONDS or spent < _ENOUGH_SECONDS and len(times) < 3:
            started = time.perf_counter()
            call()
            times.append(time.perf_counter() - started)
    return Cost(min(times), watch.memory)


def sounds(work: pathlib.Path, clips: int) -> pathlib.Path:
    """Write so many sounds of a second, a folder a class, if they are not there."""
    folder = work / f"{clips}_sounds"
    if not folder.is_dir():
        write_classes(folder, clips, 1.0)
    return folder


def preparation(work: pathlib.Path, clips: int, jobs: int = 1) -> Cost:
    """Decode and write records, after a few that need all imports."""
    _prepare(work, _FEW_CLIPS, jobs=1)
    sounds(work, clips)
    with _Watch() as watch:
        started = time.perf_counter()
        _prepare(work, clips, jobs)
        seconds = time.perf_counter() - started
    return Cost(seconds, watch.memory)


def _prepare(work: pathlib.Path, clips: int, jobs: int) -> None:
    import data_prep

    data_prep.prepare(
        "audio_folder",
        source=sounds(work, clips),
        sample_rate=RATE,
        data_dir=work / f"{clips}_data",
        force=True,
        jobs=jobs,
        progress=False,
    )


def training(work: pathlib.Path, clips: int) -> Cost:
    """Train on all clips once, reading included."""
    from keras_audio.data import open_records
    from keras_audio.training.fitting import Plan, set_up

    data = work / f"{clips}_data"
    if not data.is_dir():
        preparation(work, clips)
    records = open_records("audio_folder", sample_rate=RATE, data_dir=data)
    recipe = _recipe()
    full = recipe.build_model(len(records.labels))
    plan = dataclasses.replace(Plan.of(recipe)[-1], callbacks=[])
    with _Watch() as watch:
        loop, batches, _ = set_up(full, records, records.folds, plan)

        def run(first: int, count: int) -> None:
            for batch in batches.steps(first, count):
                loop.train_step(batch)
            loop.totals.numpy()  # waits for a device that works on its own

        run(0, 3)
        started = time.perf_counter()
        run(3, batches.steps_per_pass)
        seconds = time.perf_counter() - started
    return Cost(seconds, watch.memory)


def _recipe():
    from keras_audio.recipes import ResidualBlocks

    return ResidualBlocks(
        dataset="audio_folder", network="m3", duration=1.0, batch_size=BATCH_SIZE, fold=1
    )


def prediction(work: pathlib.Path, seconds: int) -> Cost:
    """Predict a sound of so many seconds, as one window."""
    del work
    from keras_audio.models import create_model, model_info

    model = create_model("erann_1_1", CLASSES)
    clip = _noise(seconds * model_info("erann_1_1").sample_rate)
    return _repeated(lambda: model.predict_on_batch(clip))


def windows(work: pathlib.Path, seconds: int) -> Cost:
    """Predict a sound of so many seconds, window by window."""
    del work
    from keras_audio.models import create_model
    from keras_audio.serving import Classifier
    from keras_audio.serving.export import serving_function

    labels = [str(number) for number in range(CLASSES)]
    serve = serving_function(create_model("m5", CLASSES))
    classifier = Classifier(serve, labels, sample_rate=RATE, channels=1, clip_samples=5 * RATE)
    clip = _noise(seconds * RATE)[0]
    return _repeated(lambda: classifier.predict(clip, hop=5 * RATE // 2))


def log_mel(work: pathlib.Path, seconds: int) -> Cost:
    """Compute the log-mel spectrogram of a sound of so many seconds."""
    del work
    import keras

    from keras_audio.layers import LogMelSpectrogram

    waveform = keras.Input((None, 1))
    layer = LogMelSpectrogram(44100, n_fft=2048, hop_length=441)
    model = keras.Model(waveform, layer(waveform))
    clip = _noise(seconds * 44100)
    return _repeated(lambda: model.predict_on_batch(clip))


def _noise(samples: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (1, samples, 1)).astype(np.float32)


def building(work: pathlib.Path, classes: int) -> Cost:
    """Build a network of so many classes."""
    del work
    from keras_audio.models import create_model

    return _repeated(lambda: create_model("m34_res_rb4", classes))


def step(work: pathlib.Path, classes: int) -> Cost:
    """Train a step with so many classes."""
    del work
    import keras

    from keras_audio.models import create_model

    model = create_model("m5", classes)
    model.compile(keras.optimizers.Adam(), "categorical_crossentropy")
    random = np.random.default_rng(0)
    clips = random.uniform(-0.5, 0.5, (BATCH_SIZE, RATE, 1)).astype(np.float32)
    targets = np.eye(classes, dtype=np.float32)[random.integers(classes, size=BATCH_SIZE)]
    return _repeated(lambda: model.train_on_batch(clips, targets))


def evaluation(work: pathlib.Path, classes: int, clips: int = 1000) -> Cost:
    """Measure the probabilities of a thousand clips, and write the report of them."""
    from keras_audio.evaluation import classification_metrics, write_report
    from keras_audio.evaluation.predictions import prediction_rows

    random = np.random.default_rng(0)
    labels = [f"class {number}" for number in range(classes)]
    targets = random.integers(classes, size=clips)
    probabilities = random.dirichlet(np.ones(classes), clips)
    held_out = [{"clip_id": number, "fold": 1, "source": number} for number in range(clips)]

    def evaluate() -> None:
        metrics = classification_metrics(targets, probabilities, labels)
        rows = prediction_rows(held_out, targets, probabilities, labels)
        write_report(
            work / "report.html",
            title="Growth",
            metrics=metrics,
            predictions=rows,
            history=None,
            recipe={},
            environment={},
            mistakes=(),
        )

    return _repeated(evaluate)


def workers(work: pathlib.Path, count: int, clips: int) -> Cost:
    """Train by so many processes; the time is what the run says, the memory that of all."""
    data, run = work / f"{clips}_data", work / f"{count}_workers"
    train = [*CLI, "train", "residual_blocks", "--dataset", "audio_folder", "--data-dir", data]
    train += ["--run", run, "--strategy", "multiworker", "--fold", "1", "--force"]
    train += [f"--set=network={_recipe().network}", "--set=duration=1.0", "--set=epochs=3"]
    train += [f"--set=batch_size={BATCH_SIZE}", "--set=sample_rate=8000"]
    with _cluster([str(part) for part in train], count) as processes:
        peaks: dict[int, float] = {}
        while any(process.poll() is None for process in processes):
            peaks |= peaks_of(os.getpid())
            time.sleep(POLL_SECONDS)
        peaks.pop(os.getpid(), None)
        failed = [process.returncode for process in processes if process.returncode]
        if failed:
            raise RuntimeError(f"{count} workers ended with {failed}")
    done = json.loads((run / "done.json").read_text("utf-8"))
    return Cost(done["seconds"], sum(peaks.values()))


@contextlib.contextmanager
def _cluster(command: list[str], count: int) -> Iterator[list[subprocess.Popen]]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    processes = []
    try:
        for index in range(count):
            task = {"type": "worker", "index": index}
            config = json.dumps({"cluster": {"worker": addresses}, "task": task})
            environment = os.environ | {"TF_CONFIG": config, "PYTHONPATH": str(REPOSITORY)}
            silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            processes.append(subprocess.Popen(command, env=environment, **silent))
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()
