"""What exports are checked by: arguments, sounds, and answers of the model and of the file."""

import importlib.metadata
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

OUTPUTS = ("probabilities", "embedding")


def check_model(model: keras.Model) -> int:
    """Check that a model is one of ours; give its number of channels.

    Raises:
        ValueError: If it is not a functional model from a waveform of any length to one vector,
            with a layer named `embedding`.
    """
    shapes = [tuple(tensor.shape) for tensor in getattr(model, "inputs", None) or ()]
    if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][1] is not None or not shapes[0][2]:
        raise ValueError(
            "Expected a functional model of a waveform (batch, samples, channels) with any number "
            f"of samples and a fixed number of channels. Received: inputs={shapes}"
        )
    if len(model.outputs) != 1 or len(model.outputs[0].shape) != 2:
        outputs = [tuple(tensor.shape) for tensor in model.outputs]
        raise ValueError(f"Expected one output (batch, classes). Received: outputs={outputs}")
    if not any(layer.name == "embedding" for layer in model.layers):
        raise ValueError(f"Expected a layer named 'embedding'. Received: model={model.name!r}")
    return shapes[0][2]


def check_arguments(
    model: keras.Model, labels: list[str], sample_rate: int, clip_samples: int | None
) -> None:
    """Raise ValueError if the labels do not fit the model, or a number is out of its range."""
    classes = model.output_shape[-1]
    if len(labels) != classes:
        raise ValueError(f"Expected {classes} labels, one a class. Received: labels={labels}")
    one_line = all(isinstance(label, str) and label.splitlines() == [label] for label in labels)
    if not one_line or len(set(labels)) != classes or not all(map(str.strip, labels)):
        raise ValueError(f"Expected labels that differ, one line each. Received: labels={labels}")
    if isinstance(sample_rate, bool) or sample_rate != int(sample_rate) or sample_rate < 1:
        raise ValueError(f"Expected a sample rate of 1 Hz or more. Received: {sample_rate=}")
    if clip_samples is not None and (clip_samples != int(clip_samples) or clip_samples < 1):
        raise ValueError(f"Expected clips of 1 sample or more. Received: {clip_samples=}")


def check_free(path: pathlib.Path, file: str, overwrite: bool) -> None:
    """Raise ValueError if something is at `path`, unless it is to be replaced and holds `file`."""
    if os.path.lexists(path):
        if not overwrite:
            raise ValueError(f"Expected a path where nothing is yet. Received: path={path}")
        if not (path / file).is_file():
            raise ValueError(f"Expected an earlier export to overwrite. Received: path={path}")


def check_sounds(samples: int, channels: int, random: np.random.Generator) -> np.ndarray:
    """Noise, silence and a tone: float32 (3, samples, channels)."""
    noise = random.uniform(-1, 1, (samples, channels))
    tone = 0.5 * np.sin(2 * np.pi * 0.05 * np.arange(samples))[:, np.newaxis]
    sounds = [noise, np.zeros_like(noise), np.broadcast_to(tone, noise.shape)]
    return np.stack(sounds).astype(np.float32)


def checked_probe(probe: Sequence[np.ndarray], channels: int) -> list[np.ndarray]:
    """Give the sounds of `probe` as float32 (samples, channels); ValueError if one is not that."""
    waveforms = [np.asarray(waveform, np.float32) for waveform in probe]
    for index, waveform in enumerate(waveforms):
        if waveform.ndim != 2 or waveform.shape[1] != channels or not len(waveform):
            raise ValueError(
                f"Expected probe waveforms (samples, {channels}). "
                f"Received: probe[{index}] of shape {waveform.shape}"
            )
    return waveforms


def with_embedding(model: keras.Model) -> keras.Model:
    """The model with both outputs, `probabilities` and `embedding`."""
    outputs = {"probabilities": model.output, "embedding": model.get_layer("embedding").output}
    # A name that does not count up: it is part of every name that a file holds.
    return keras.Model(model.input, outputs, name="net")


def answers_of_model(
    model: keras.Model, batches: dict[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
    """What the model answers to each batch: float32 arrays by output.

    Raises:
        ValueError: If what it answers are no probabilities.
    """
    outputs = with_embedding(model)
    expected = {}
    # On the CPU, as in the fresh process: convolutions of a GPU may round to 10 bits (TF32).
    with tf.device("/CPU:0"):
        for name, batch in batches.items():
            answers = outputs(tf.constant(batch), training=False)
            expected[name] = {
                key: tf.cast(value, tf.float32).numpy() for key, value in answers.items()
            }
    probabilities = np.concatenate([answers["probabilities"] for answers in expected.values()])
    if not (probabilities.min() >= 0 and probabilities.max() <= 1):  # NaN fails both
        raise ValueError(
            "Expected a model that answers probabilities, 0 to 1. Received: model="
            f"{model.name!r} with outputs from {probabilities.min()} to {probabilities.max()}"
        )
    return expected


def answers_of_fresh_process(
    script: str,
    arguments: Sequence[str | os.PathLike],
    batches: dict[str, np.ndarray],
    what: str,
) -> dict[str, np.ndarray]:
    """What a script of this folder answers to the batches, run where this package is not known.

    Args:
        script: Name of the file. It is given the two `.npz` files, to read and to write, and then
            `arguments`.
        arguments: Of the script.
        batches: Waveforms by name.
        what: What the process has, for the message.

    Returns:
        The arrays that the script wrote.

    Raises:
        ValueError: If the script fails; the message has the last line that it said.
    """
    path = pathlib.Path(__file__).with_name(script)
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryDirectory() as scratch:
        waveforms, answers = f"{scratch}/waveforms.npz", f"{scratch}/answers.npz"
        np.savez(waveforms, **batches)
        # -P: without this folder on the path, where the script could find its neighbours.
        command = [sys.executable, "-P", str(path), waveforms, answers, *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ValueError(
                f"Expected the export to load and answer in a process that has {what}. "
                f"Received: exit {done.returncode}, {last}; nothing was written"
            )
        with np.load(answers) as file:
            return {name: file[name] for name in file.files}


def largest_differences(
    answers: dict[str, np.ndarray], expected: dict[str, dict[str, np.ndarray]]
) -> tuple[dict[str, float], dict[str, float]]:
    """Compare answers, `<name>/<output>`, with those expected of each name.

    Returns:
        By output: the largest difference, NaN if there is one, and the largest value expected.
    """
    differences, largest = {}, {}
    for output in OUTPUTS:
        pairs = [(answers[f"{name}/{output}"], expected[name][output]) for name in expected]
        differences[output] = float(np.max([np.abs(ours - model).max() for ours, model in pairs]))
        largest[output] = max(float(np.abs(model).max()) for _, model in pairs)
    return differences, largest


def versions(*names: str) -> dict[str, str]:
    """Versions of the packages installed."""
    return {name: importlib.metadata.version(name) for name in names}
