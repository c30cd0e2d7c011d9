"""Plays stored clips through LiteRT files, and opens these for all who do.

`export_litert` runs this file by its path in a fresh process, so that the file meets what a device
has: an interpreter and NumPy, no Keras objects, and nothing of this package.

    python -P litert_replay.py CLIPS.npz ANSWERS.npz MODEL.tflite [MODEL.tflite ...]
"""

import importlib.metadata
import pathlib
import sys
import time
import warnings
from typing import Any

import numpy as np

WARM_UP, RUNS = 5, 30


def open_litert(path: str, threads: int | None = None) -> tuple[Any, str]:
    """Open a LiteRT file with the interpreter of ai-edge-litert, or that of TensorFlow without it.

    Args:
        path: The file.
        threads: Threads that run it at most; None leaves the choice to the interpreter.

    Returns:
        The function of its signature `serving_default`, from keywords to a dictionary of arrays,
        and the runtime with its version.

    Raises:
        ValueError: If the interpreter cannot read the file.
        RuntimeError: If it cannot run it.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter

        package = "ai-edge-litert"
    except ImportError:
        import tensorflow as tf

        Interpreter, package = tf.lite.Interpreter, "tensorflow"
    with warnings.catch_warnings():
        # TensorFlow's says that it will be replaced by the other one.
        warnings.simplefilter("ignore", UserWarning)
        interpreter = Interpreter(path, num_threads=threads)
    interpreter.allocate_tensors()
    serve = interpreter.get_signature_runner("serving_default")
    return serve, f"{package} {importlib.metadata.version(package)}"


def replay(clips_file: str, answers_file: str, *models: str) -> None:
    """Answer every clip of one .npz file by every model into another, and time the first clip.

    Args:
        clips_file: Arrays (1, samples, channels) float32 by name.
        answers_file: Written; for each model, by its file's name without the suffix,
            `<model>/<name>/probabilities` and `<model>/<name>/embedding` for every name, and
            `<model>/seconds`: how long each of several runs on one thread took. And `runtime`.
        *models: The files.

    Raises:
        RuntimeError: If `keras_audio` was imported, which would make this no check at all.
    """
    answers = {}
    with np.load(clips_file) as file:
        clips = {name: file[name] for name in file.files}
    for model in models:
        serve, runtime = open_litert(model, threads=1)
        key = pathlib.Path(model).stem
        for name, clip in clips.items():
            for output, value in serve(waveform=clip).items():
                answers[f"{key}/{name}/{output}"] = value
        answers[f"{key}/seconds"] = _seconds(serve, next(iter(clips.values())))
        answers["runtime"] = np.array(runtime)
    if "keras_audio" in sys.modules:
        raise RuntimeError("keras_audio was imported by the process that is to do without it")
    np.savez(answers_file, **answers)


def _seconds(serve: Any, clip: np.ndarray) -> list[float]:
    times = []
    for _ in range(WARM_UP + RUNS):
        begin = time.perf_counter()
        serve(waveform=clip)
        times.append(time.perf_counter() - begin)
    return times[WARM_UP:]


if __name__ == "__main__":
    replay(*sys.argv[1:])
