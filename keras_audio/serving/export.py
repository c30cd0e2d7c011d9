"""Export to a SavedModel that TensorFlow alone can serve, checked before it is put in place."""

import os
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_audio.audio import check_resampling
from keras_audio.files import replacing, write_json, write_text
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
from keras_audio.serving.folding import fold_batch_norms
from keras_audio.serving.padding import pad_sounds

# Largest difference allowed between the written file and the model: in probabilities, and in
# embeddings as a part of the largest value, which float32 rounding grows with.
TOLERANCE = 1e-5
# What rounding may make of a network that multiplies it; more is another network.
_ROUNDING = 100 * TOLERANCE


def export_saved_model(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    labels: Sequence[str],
    sample_rate: int,
    clip_samples: int | None = None,
    probe: Sequence[np.ndarray] = (),
    overwrite: bool = False,
    resampling: str = "soxr",
) -> pathlib.Path:
    """Write `model` as a SavedModel, after a fresh process with TensorFlow alone agreed with it.

    The signature `serving_default` takes `waveform` float32 (batch, samples, channels) at
    `sample_rate`, any number of samples, and answers `probabilities` (batch, classes) and
    `embedding` (batch, features), both float32. The signature `metadata` takes nothing and answers
    `labels`, `sample_rate`, `resampling`, `channels` and `clip_samples` (the windows that
    `Classifier` cuts a longer sound into; -1 where none was given and the model takes any length:
    then its own choice).
    `assets/labels.txt` and `assets/metadata.json` say the same, and
    `export.json` what the check measured.

    Args:
        model: Functional model from a waveform (batch, samples, channels) to probabilities, with a
            layer named `embedding`.
        path: The folder to write. Nothing is left there if the check fails.
        labels: Class names in the order of the outputs.
        sample_rate: Of the waveforms the model was trained on, in Hz.
        clip_samples: For a model that takes any length: the samples it was measured on at most,
            such as `run.recipe.max_samples`. The signature takes any length all the same. A model
            that pads or cuts to one length needs no telling, and hears no more than that.
        probe: Waveforms (samples, channels) to check as well as noise, silence and a tone.
        overwrite: Replace an earlier export at `path`.
        resampling: How the sounds that the model was trained on got that rate; see
            `keras_audio.audio.read_audio`.

    Returns:
        `path`.

    Raises:
        ValueError: If an argument does not fit the model, `path` is taken, or the written file
            does not load or differs from the model; the message says by how much.

    Example:
        >>> import tempfile
        >>> waveform = keras.Input((None, 1))
        >>> x = keras.layers.Conv1D(4, 9, activation="relu")(waveform)
        >>> x = keras.layers.GlobalAveragePooling1D(name="embedding")(x)
        >>> x = keras.layers.Dense(2, activation="softmax", name="predictions")(x)
        >>> folder = export_saved_model(
        ...     keras.Model(waveform, x), pathlib.Path(tempfile.mkdtemp()) / "model",
        ...     labels=["dog", "rain"], sample_rate=8000,
        ... )
        >>> sorted(file.name for file in folder.iterdir())  # doctest: +NORMALIZE_WHITESPACE
        ['assets', 'export.json', 'fingerprint.pb', 'saved_model.pb', 'variables']
    """
    path = pathlib.Path(path)
    labels = list(labels)
    channels = check_model(model)
    check_arguments(model, labels, sample_rate, clip_samples)
    check_free(path, "saved_model.pb", overwrite)
    check_resampling(resampling)
    length = window_samples(model, clip_samples)

    batches = _check_batches(sample_rate, channels, length, probe)
    # Before the export: a model that draws numbers moves on, and cannot pass by drawing the same.
    expected = answers_of_model(model, batches)
    metadata = {
        "model": model.name,
        "labels": labels,
        "sample_rate": int(sample_rate),
        "resampling": resampling,
        "channels": channels,
        "clip_samples": length,
        "versions": versions("keras", "numpy", "tensorflow"),
    }
    try:
        _write_checked(model, path, metadata, batches, expected, optimized=True)
    except _OtherRounding:
        # Some networks make much of rounding: those of weights that nobody trained, for one. They
        # are served as they are.
        _write_checked(model, path, metadata, batches, expected, optimized=False)
    return path


class _OtherRounding(ValueError):
    """The written file does not answer like the model, but by as little as rounding may explain."""


def serving_function(
    model: keras.Model, samples: int | None = None, *, optimized: bool = True
) -> Any:
    """Make the `tf.function` of serving: one graph for every batch size and number of samples.

    Args:
        model: Functional model from a waveform to probabilities, with a layer named `embedding`.
        samples: Makes it a graph for one clip of that length, and no others.
        optimized: Make batch norms part of the convolutions before them and pad sounds apart (see
            `fold_batch_norms` and `pad_sounds`). These convolutions then have the weights of now,
            whatever becomes of the model's.

    Returns:
        A `tf.function` from `waveform` float32 (batch, samples, channels) to a dictionary of
        `probabilities` (batch, classes) and `embedding` (batch, features), both float32.
    """
    outputs = with_embedding(model)
    if optimized:
        outputs = pad_sounds(fold_batch_norms(outputs))
    shape = (None if samples is None else 1, samples, model.input_shape[-1])
    waveform = tf.TensorSpec(shape, tf.float32, name="waveform")

    @tf.function(input_signature=[waveform], autograph=False)
    def serve(waveform: tf.Tensor) -> dict[str, tf.Tensor]:
        answers = outputs(waveform, training=False)
        return {name: tf.cast(answers[name], tf.float32) for name in OUTPUTS}

    return serve


def window_samples(model: keras.Model, clip_samples: int | None = None) -> int | None:
    """Give the number of samples that longer sounds are cut into: no more than the model hears.

    Args:
        model: Functional model from a waveform.
        clip_samples: Samples that the model was measured on at most, where that is known.

    Returns:
        The least of `clip_samples` and what the model pads or crops to; None if there is neither.
    """
    known = [number for number in (_fixed_samples(model), clip_samples) if number is not None]
    return min(known, default=None)


def _fixed_samples(model: keras.Model) -> int | None:
    """The number of samples that `model` pads or crops a clip to, or None.

    Where it is features that are padded (`PadFrames` after `LogMelSpectrogram`) or repeated
    (`LogMelImage`), it is the number of samples that fill those frames; or that this layer hears at
    most, where it is told.
    """
    from keras_audio.layers import LogMelImage, LogMelSpectrogram, PadFrames, PadOrCrop

    def first(kind: type) -> Any:
        return next((layer for layer in model.layers if isinstance(layer, kind)), None)

    if layer := first(PadOrCrop):
        return int(layer.samples)
    if layer := first(LogMelImage):
        return int(layer.max_samples or layer.full_samples)
    frames, log_mel = first(PadFrames), first(LogMelSpectrogram)
    if frames and log_mel:
        padding = 2 * (log_mel.n_fft // 2) if log_mel.center else 0
        return (int(frames.frames) - 1) * log_mel.hop_length + log_mel.n_fft - padding
    return None


def _check_batches(
    sample_rate: int, channels: int, length: int | None, probe: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """The waveforms of the check by name: the usual length and two others, one clip and three."""
    if length is None:
        # Only longer ones: what is too short for a model without padding is not known here.
        lengths = (sample_rate, sample_rate * 3 // 2 + 1, sample_rate * 2 + 7)
    else:
        lengths = (length, length * 2 // 3 + 1, length * 3 // 2 + 7)
    random = np.random.default_rng(0)
    batches = {}
    for samples in lengths:
        sounds = check_sounds(samples, channels, random)
        batches[f"one_{samples}"] = sounds[:1]
        batches[f"three_{samples}"] = sounds
    for index, waveform in enumerate(checked_probe(probe, channels)):
        batches[f"probe_{index}"] = waveform[np.newaxis]
    return batches


def _write_checked(
    model: keras.Model,
    path: pathlib.Path,
    metadata: dict[str, Any],
    batches: dict[str, np.ndarray],
    expected: dict[str, dict[str, np.ndarray]],
    optimized: bool,
) -> None:
    with replacing(path) as temporary:
        _write(model, temporary, metadata, optimized)
        figures = _compare(model, temporary, metadata, batches, expected)
        write_json(temporary / "export.json", figures | {"optimized": optimized})


def _write(
    model: keras.Model, folder: pathlib.Path, metadata: dict[str, Any], optimized: bool
) -> None:
    length = metadata["clip_samples"]

    @tf.function(input_signature=[], autograph=False)
    def describe() -> dict[str, tf.Tensor]:
        return {
            "labels": tf.constant(metadata["labels"]),
            "sample_rate": tf.constant(metadata["sample_rate"], tf.int32),
            "resampling": tf.constant(metadata["resampling"]),
            "channels": tf.constant(metadata["channels"], tf.int32),
            "clip_samples": tf.constant(-1 if length is None else length, tf.int32),
        }

    serve = serving_function(model, optimized=optimized).get_concrete_function()
    module = tf.Module()
    module.serve = serve
    # The variables that serving reads, and no others: not an optimizer's, not a metric's.
    module.served_variables = list(serve.graph.variables)
    with tempfile.TemporaryDirectory() as scratch:
        labels_file = pathlib.Path(scratch) / "labels.txt"
        metadata_file = pathlib.Path(scratch) / "metadata.json"
        write_text(labels_file, "".join(f"{label}\n" for label in metadata["labels"]))
        write_json(metadata_file, metadata)
        module.labels_file = tf.saved_model.Asset(str(labels_file))
        module.metadata_file = tf.saved_model.Asset(str(metadata_file))
        signatures = {"serving_default": serve, "metadata": describe.get_concrete_function()}
        tf.saved_model.save(module, str(folder), signatures=signatures)


def _compare(
    model: keras.Model,
    folder: pathlib.Path,
    metadata: dict[str, Any],
    batches: dict[str, np.ndarray],
    expected: dict[str, dict[str, np.ndarray]],
) -> dict[str, Any]:
    """Figures of the check, for export.json; ValueError where the written file differs."""
    answers = answers_of_fresh_process("replay.py", [folder], batches, "TensorFlow only")
    written = [label.decode() for label in answers["metadata/labels"]]
    if written != metadata["labels"]:
        raise ValueError(
            f"Expected the labels {metadata['labels']} in {folder}. Received: {written}"
        )

    differences, largest = largest_differences(answers, expected)
    scale = max(1.0, largest["embedding"])
    # NumPy's, for which NaN is the most, and `not <=`, so that it is refused too.
    off = np.max([differences["probabilities"], differences["embedding"] / scale])
    if not off <= TOLERANCE:
        raise (_OtherRounding if off <= _ROUNDING else ValueError)(
            f"Expected the export of {model.name!r} to answer like the model within {TOLERANCE}. "
            f"Received: largest difference {differences['probabilities']:.3g} in probabilities, "
            f"{differences['embedding']:.3g} in embeddings; nothing was written"
        )
    return {
        "max_abs_difference": differences,
        "max_abs_embedding": largest["embedding"],
        "tolerance": TOLERANCE,
        "shapes": {name: list(batch.shape) for name, batch in batches.items()},
        "versions": metadata["versions"],
        "python": sys.version.split()[0],
    }
