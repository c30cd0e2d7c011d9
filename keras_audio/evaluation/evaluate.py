"""Measure a run on the fold it held out: metrics, predictions and a report in its folder."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from keras_audio.data import Clip, EvaluationBatches, Records, clip_arrays
from keras_audio.evaluation.metrics import classification_metrics, tagging_metrics
from keras_audio.evaluation.predictions import prediction_rows, write_predictions
from keras_audio.evaluation.report import Mistake, worst_mistakes, worst_rankings, write_report
from keras_audio.files import write_json
from keras_audio.models import cut_model
from keras_audio.training.run_folder import RunFolder
from keras_audio.training.trainer import open_data


def evaluate_run(
    run: RunFolder | str | os.PathLike,
    *,
    data_dir: str | os.PathLike = "data",
    batch_size: int = 32,
    progress: bool = True,
) -> dict[str, Any]:
    """Predict the fold that a run held out and write metrics.json, predictions.csv, report.html.

    The weights are the best ones. A run that is still training can be measured too.

    Args:
        run: The run folder or its path.
        data_dir: Where `keras-audio prepare` put the records.
        batch_size: Clips predicted at once; it changes speed and memory, not the answers.
        progress: Whether to show a progress bar.

    Returns:
        The metrics, as `classification_metrics` describes them, or `tagging_metrics` where the
        clips of the data set may have several classes.

    Raises:
        ValueError: If `run` is no run folder or has no model yet, or the records are missing or
            are not those that it was trained with.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    recipe = folder.recipe
    records, split = open_data(recipe, data_dir)
    if folder.split != split.to_dict() or folder.labels != records.labels:
        raise ValueError(
            f"Expected the clips and classes that {folder.path} was trained with. "
            f"Received: others in {records.path}"
        )
    probabilities = _predict(
        folder, records, split.validation_folds, batch_size=batch_size, progress=progress
    )
    targets = _targets(split.validation, records)
    measure = tagging_metrics if records.multi_label else classification_metrics
    metrics = measure(targets, probabilities, records.labels)
    clips = [
        {"clip_id": clip.clip_id, "fold": clip.fold, "source": clip.source}
        for clip in split.validation
    ]
    rows = prediction_rows(clips, targets, probabilities, records.labels)
    write_predictions(folder.path / "predictions.csv", rows)
    write_report(
        folder.path / "report.html",
        title=f"{recipe.name} on {recipe.dataset}, fold {recipe.fold} held out, seed {recipe.seed}",
        metrics=metrics,
        predictions=rows,
        history=_history(folder),
        recipe=recipe.to_dict(),
        environment=folder.environment,
        mistakes=_mistakes(rows, records, split.validation_folds),
        split={
            "training": _facts(split.train_folds, split.train),
            "validation": _facts(split.validation_folds, split.validation),
        },
        training=folder.finished,
    )
    # Last: a run with metrics is a run whose evaluation ended.
    write_json(folder.path / "metrics.json", metrics)
    return metrics


def _predict(
    folder: RunFolder, records: Records, folds: Sequence[int], *, batch_size: int, progress: bool
) -> np.ndarray:
    """Probabilities (clips, classes), float32, in the order of the records."""
    recipe = folder.recipe
    clip_steps, network = cut_model(folder.model(), recipe.clip_boundary)
    batches = EvaluationBatches(
        records, folds, clip_steps, batch_size=batch_size, max_samples=recipe.max_samples
    )
    bar = tqdm(
        batches.dataset,
        total=batches.steps,
        unit="batch",
        disable=None if progress else True,  # None: shown on a terminal only
        dynamic_ncols=True,
    )
    # One graph for every batch size and length; `predict_on_batch` would trace one for each.
    shape = tf.TensorSpec(network.input_shape, network.inputs[0].dtype)
    predict = tf.function(lambda inputs: network(inputs, training=False), input_signature=[shape])
    answers = np.concatenate([predict(inputs).numpy() for inputs, _ in bar])
    probabilities = np.empty(answers.shape, np.float32)
    probabilities[batches.order] = answers
    return probabilities


def _history(folder: RunFolder) -> dict[str, np.ndarray]:
    """The columns of history.csv, with iterations only where the recipe counts these."""
    columns = folder.history()
    if not folder.recipe.counts_iterations:
        columns.pop("iteration", None)
    return columns


def _targets(clips: Sequence[Clip], records: Records) -> np.ndarray:
    """Class indices (clips,), or (clips, classes) of 0 and 1 where a clip may have several."""
    if not records.multi_label:
        return np.array([clip.label for clip in clips])
    targets = np.zeros((len(clips), len(records.labels)), int)
    for row, clip in zip(targets, clips, strict=True):
        row[list(clip.labels)] = 1
    return targets


def _mistakes(
    rows: Sequence[dict[str, Any]], records: Records, folds: Sequence[int]
) -> list[Mistake]:
    worst = (worst_rankings if records.multi_label else worst_mistakes)(rows)
    chosen = {row["clip_id"] for row in worst}
    sounds = {name: audio for name, audio in clip_arrays(records, folds) if name in chosen}
    return [
        Mistake(
            clip_id=row["clip_id"],
            target=row["target"],
            predicted=row["predicted"],
            probability=float(row["probability"]),
            audio=sounds[row["clip_id"]],
            sample_rate=records.sample_rate,
            missed=row.get("missed"),
        )
        for row in worst
    ]


def _facts(folds: Sequence[int], clips: Sequence[Clip]) -> dict[str, Any]:
    return {
        "clips": len(clips),
        "recordings": len({clip.source for clip in clips}),
        f"fold{'s' if len(folds) > 1 else ''}": " ".join(map(str, folds)),
    }
