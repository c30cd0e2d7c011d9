"""Export to a LiteRT (TensorFlow Lite) file for phones and boards, checked before it is in place.

The file holds the network for one clip: every shape is known, batch normalisations are part of the
convolutions before them, and what augments while training is gone.
"""

import os
import pathlib
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_audio.audio import check_resampling
from keras_audio.files import replacing, write_json, write_text
from keras_audio.quiet import nothing_said
from keras_audio.serving.checks import (
    OUTPUTS,
    answers_of_fresh_process,
    answers_of_model,
    check_arguments,
    check_free,
    check_model,
    check_sounds,
    checked_probe,
    largest_differences,
    versions,
    with_embedding,
)
from keras_audio.serving.export import serving_function, window_samples

MODEL_FILE = "model.tflite"

# Largest difference allowed between the file and the model, by the type of the weights: in
# probabilities, and in embeddings as a part of the largest value. In 32 bits a mean over a clip,
# summed one value after the other, may be off by as much. In 16 bits the networks of this package
# differ by about 1e-3: a file off by more than the second number is broken, or half is too little.
TOLERANCES = {"float32": 1e-4, "float16": 2e-2}


class UnsupportedByLiteRT(ValueError):
    """What LiteRT cannot convert or run, or 16 bits cannot hold; not a file that answers wrong.

    Example:
        >>> issubclass(UnsupportedByLiteRT, ValueError)
        True
    """


def export_litert(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    labels: Sequence[str],
    sample_rate: int,
    clip_samples: int | None = None,
    fp16: bool = True,
    probe: Sequence[np.ndarray] = (),
    overwrite: bool = False,
    resampling: str = "soxr",
) -> pathlib.Path:
    """Write `model` as a LiteRT file, after a fresh process agreed with it.

    The folder gets `model.tflite`, whose signature `serving_default` takes `waveform` float32
    (1, samples, channels) at `sample_rate` and answers `probabilities` (1, classes) and `embedding`
    (1, features), both float32; `labels.txt`; `metadata.json`; and `export.json`, what the check
    measured: bytes, largest differences, on how many clips of `probe` the most probable class is
    the same, and `latency_ms`, the median time for a clip on one thread.

    The number of samples is that of `window_samples(model, clip_samples)`. `metadata.json` says
    under `zero_padding` whether zeros behind a shorter sound leave the answer as the model's own:
    they do where padding comes first in the model, and not where it normalises before.

    With `fp16` weights are stored as 16-bit numbers, and computed with in 32 bits. They are rounded
    where batch normalisations are already part of convolutions, so the file differs by rounding
    from the model and from one of rounded weights alike. Hence two checks: the same file with
    32-bit weights answers like the model within 1e-4, and the one with 16 bits within 0.02 of it.

    Args:
        model: Functional model from a waveform (batch, samples, channels) to probabilities, with a
            layer named `embedding`.
        path: The folder to write. Nothing is left there if the check fails.
        labels: Class names in the order of the outputs.
        sample_rate: Of the waveforms the model was trained on, in Hz.
        clip_samples: For a model that takes any length: the length of the file's clips. A model
            that pads or cuts to one length needs no telling, and hears no more than that.
        fp16: Store weights in 16 bits.
        probe: Waveforms (samples, channels) to check as well as noise, silence and a tone; cut or
            filled up with zeros to the length of a clip.
        overwrite: Replace an earlier export of this kind at `path`.
        resampling: How the sounds that the model was trained on got that rate; see
            `keras_audio.audio.read_audio`.

    Returns:
        `path`.

    Raises:
        UnsupportedByLiteRT: If the model takes any length and `clip_samples` is None, LiteRT lacks
            one of its operations or cannot run it, or 16 bits have not all of its constants. This
            is a ValueError, too.
        ValueError: If an argument does not fit the model, `path` is taken, or the file differs from
            the model by more.

    Example:
        >>> import tempfile
        >>> waveform = keras.Input((None, 1))
        >>> x = keras.layers.Conv1D(4, 9, activation="relu")(waveform)
        >>> x = keras.layers.GlobalAveragePooling1D(name="embedding")(x)
        >>> x = keras.layers.Dense(2, activation="softmax", name="predictions")(x)
        >>> folder = export_litert(
        ...     keras.Model(waveform, x), pathlib.Path(tempfile.mkdtemp()) / "model",
        ...     labels=["dog", "rain"], sample_rate=8000, clip_samples=8000,
        ... )
        >>> sorted(file.name for file in folder.iterdir())
        ['export.json', 'labels.txt', 'metadata.json', 'model.tflite']
    """
    path = pathlib.Path(path)
    labels = list(labels)
    channels = check_model(model)
    check_arguments(model, labels, sample_rate, clip_samples)
    check_free(path, MODEL_FILE, overwrite)
    check_resampling(resampling)
    samples = window_samples(model, clip_samples)
    if samples is None:
        raise UnsupportedByLiteRT(
            "Expected clip_samples for a model that takes any length, since a LiteRT file takes "
            f"one. Received: clip_samples=None, model={model.name!r}"
        )
    clips = _clips(samples, channels, probe)
    # Before the conversion: a model that draws numbers moves on, and cannot draw the same again.
    expected = answers_of_model(model, clips)
    metadata = {
        "format": "litert",
        "model": model.name,
        "labels": labels,
        "sample_rate": int(sample_rate),
        "resampling": resampling,
        "channels": channels,
        "clip_samples": samples,
        "zero_padding": _takes_zeros(model, samples, channels),
        "fp16": bool(fp16),
        "versions": versions("keras", "numpy", "tensorflow"),
    }
    with replacing(path) as temporary, tempfile.TemporaryDirectory() as scratch:
        files = {}
        for kind in ("float32", "float16") if fp16 else ("float32",):
            files[kind] = pathlib.Path(scratch) / f"{kind}.tflite"
            files[kind].write_bytes(_convert(model, samples, half=kind == "float16"))
        figures = _compare(model, files, clips, expected)
        temporary.mkdir()
        shutil.copy(files[kind], temporary / MODEL_FILE)
        write_text(temporary / "labels.txt", "".join(f"{label}\n" for label in labels))
        write_json(temporary / "metadata.json", metadata)
        write_json(temporary / "export.json", figures | {"versions": metadata["versions"]})
    return path


def _clips(samples: int, channels: int, probe: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """The clips of the check by name, each (1, samples, channels)."""
    sounds = check_sounds(samples, channels, np.random.default_rng(0))
    clips = dict(zip(("noise", "silence", "tone"), sounds[:, np.newaxis], strict=True))
    for index, waveform in enumerate(checked_probe(probe, channels)):
        heard = waveform[:samples]
        clips[f"probe_{index}"] = np.pad(heard, [(0, samples - len(heard)), (0, 0)])[np.newaxis]
    return clips


def _takes_zeros(model: keras.Model, samples: int, channels: int) -> bool:
    """Whether zeros behind shorter sounds change nothing, found by trying."""
    outputs = with_embedding(model)
    random = np.random.default_rng(0)
    for length in (samples * 2 // 3, samples // 5):
        sounds = check_sounds(length, channels, random)
        # A constant: the one sound whose scaling to a peak of one depends on zeros behind it.
        sounds[1] = 0.5
        padded = np.pad(sounds, [(0, 0), (0, samples - length), (0, 0)])
        try:
            short, whole = outputs(sounds, training=False), outputs(padded, training=False)
        except (ValueError, tf.errors.InvalidArgumentError):  # too short for the model
            return False
        for output in OUTPUTS:
            a, b = (keras.ops.convert_to_numpy(answers[output]) for answers in (short, whole))
            if not np.abs(a - b).max() <= 1e-5 * max(1.0, np.abs(b).max()):
                return False
    return True


def _convert(model: keras.Model, samples: int, half: bool) -> bytes:
    # The converter folds batch norms itself.
    serve = serving_function(model, samples, optimized=False).get_concrete_function()
    module = tf.Module()
    module.serve = serve
    # What it reads: without, the converter falls back on a way that knows no names of outputs.
    module.served_variables = list(serve.graph.variables)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([serve], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if half:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    try:
        with nothing_said():  # of an operation that it lacks it says pages
            return converter.convert()
    except Exception as error:  # the converter's own class is not public
        lacking = re.search(r"(?:TF Select|Custom) ops: (.+)", str(error))
        reason = lacking[1] if lacking else str(error).splitlines()[0]
        raise UnsupportedByLiteRT(
            "Expected a model whose operations LiteRT has, with the types of their inputs. "
            f"Received: {model.name!r}, of which it lacks {reason}; nothing was written"
        ) from error


def _compare(
    model: keras.Model,
    files: dict[str, pathlib.Path],
    clips: dict[str, np.ndarray],
    expected: dict[str, dict[str, np.ndarray]],
) -> dict[str, Any]:
    """Figures of the check, of the last of `files`; ValueError where one differs by too much."""
    what = "a LiteRT interpreter only (its Fourier transforms are of powers of two)"
    try:
        answers = answers_of_fresh_process("litert_replay.py", list(files.values()), clips, what)
    except ValueError as error:
        raise UnsupportedByLiteRT(str(error)) from error
    differences = {}
    for kind in files:
        own = {name.removeprefix(f"{kind}/"): value for name, value in answers.items()}
        differences[kind], largest = largest_differences(own, expected)
        in_probabilities, in_embedding = (differences[kind][output] for output in OUTPUTS)
        tolerance = TOLERANCES[kind]
        hint = "" if kind == "float32" else " (without fp16 it does)"
        # `not <=`, so that NaN is refused too.
        if not (
            in_probabilities <= tolerance
            and in_embedding <= tolerance * max(1.0, largest["embedding"])
        ):
            # Where 32 bits answer like the model and 16 no number, a constant is beyond these.
            numbers = np.isfinite([in_probabilities, in_embedding]).all()
            unsupported = kind == "float16" and not numbers
            raise (UnsupportedByLiteRT if unsupported else ValueError)(
                f"Expected the export of {model.name!r} with {kind} weights to answer like the "
                f"model within {tolerance}. Received: largest difference {in_probabilities:.3g} in "
                f"probabilities, {in_embedding:.3g} in embeddings{hint}; nothing was written"
            )
    real = [name for name in clips if name.startswith("probe_")]
    classes = [
        (own[f"{name}/probabilities"].argmax(), expected[name]["probabilities"].argmax())
        for name in real
    ]
    milliseconds = 1000 * own["seconds"]
    return {
        "bytes": files[kind].stat().st_size,
        "latency_ms": float(np.median(milliseconds)),
        "least_latency_ms": float(milliseconds.min()),
        "latency_runs": len(milliseconds),
        "runtime": str(answers["runtime"]),
        "max_abs_difference": differences[kind],
        "max_abs_difference_in_float32": differences["float32"],
        "max_abs_embedding": largest["embedding"],
        "tolerance": tolerance,
        "probe_clips": len(real),
        "probe_clips_of_same_class": sum(int(ours == theirs) for ours, theirs in classes),
        "python": sys.version.split()[0],
    }
