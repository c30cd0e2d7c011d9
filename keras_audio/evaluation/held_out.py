"""The clips that a run held out: predicted by a model, measured, and written to a folder."""

import itertools
import math
import numbers
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from keras_audio.data import ClipTable, EvaluationBatches, clip_arrays
from keras_audio.evaluation.metrics import (
    classification_metrics,
    metrics_by_group,
    tagging_metrics,
)
from keras_audio.evaluation.open_set import (
    best_unknown_weight,
    cross_fitted_scores,
    predicted_classes,
)
from keras_audio.evaluation.predictions import prediction_rows, write_predictions
from keras_audio.evaluation.report import Mistake, worst_mistakes, worst_rankings, write_report
from keras_audio.files import write_json
from keras_audio.models import cut_model
from keras_audio.recipes import Recipe
from keras_audio.training.run_folder import RunFolder
from keras_audio.training.trainer import open_data

# In place of a weight of the unknown class: find the best one.
TUNE = "tune"


class HeldOut:
    """The records of a recipe, and the clips of the fold that it holds out.

    Args:
        recipe: The recipe.
        data_dir: Where `keras-audio prepare` put the records.

    Raises:
        ValueError: If the records are missing, or the fold is none of theirs.
    """

    def __init__(self, recipe: Recipe, data_dir: str | os.PathLike) -> None:
        self.records, self.split = open_data(recipe, data_dir)

    @property
    def clips(self) -> ClipTable:
        """The clips, in the order of the records."""
        return self.split.test

    def check(self, run: RunFolder) -> None:
        """Raise ValueError if `run` was trained with other clips or classes."""
        if not run.was_made_with(self.records.labels, self.split.to_dict()):
            made = "trained" if run.imported is None else "imported"
            raise ValueError(
                f"Expected the clips and classes that {run.path} was {made} with. "
                f"Received: others in {self.records.path}"
            )

    def examples(self, limit: int = 10) -> list[np.ndarray]:
        """One clip of each class, of `limit` classes at most: float32 (samples, channels)."""
        first = {clip.labels[:1]: clip.clip_id for clip in reversed(self.clips)}
        wanted = set(list(first.values())[-limit:])
        clips = clip_arrays(self.records, self.split.test_folds)
        found = (audio for name, audio in clips if name in wanted)
        return list(itertools.islice(found, len(wanted)))  # and no further

    def predict(
        self,
        model: keras.Model,
        recipe: Recipe,
        *,
        batch_size: int,
        progress: bool,
        description: str | None = None,
    ) -> np.ndarray:
        """Probabilities (clips, classes), float32, by a full model that `recipe` trained."""
        clip_steps, network = cut_model(model, recipe.clip_boundary)
        batches = EvaluationBatches(
            self.records,
            self.split.test_folds,
            clip_steps,
            batch_size=batch_size,
            max_samples=recipe.max_samples,
        )
        bar = tqdm(
            batches.dataset,
            desc=description,
            total=batches.steps,
            unit="batch",
            disable=None if progress else True,  # None: shown on a terminal only
            dynamic_ncols=True,
        )
        # One graph for every batch size and length; `predict_on_batch` would trace one for each.
        shape = tf.TensorSpec(network.input_shape, network.inputs[0].dtype)
        predict = tf.function(
            lambda inputs: network(inputs, training=False), input_signature=[shape]
        )
        answers = np.concatenate([predict(inputs).numpy() for inputs, _ in bar])
        probabilities = np.empty(answers.shape, np.float32)
        probabilities[batches.order] = answers
        return probabilities

    def unknown_weight(self, given: float | str | None, recipe: Recipe) -> float | str:
        """The weight of the unknown class that was asked for, or else that of the recipe."""
        if given is None:
            return recipe.unknown_weight
        if self.records.unknown_label is None:
            raise ValueError(
                "Expected a data set with a class of unknown sounds to give it a weight. "
                f"Received: unknown_weight={given!r} for {recipe.dataset}"
            )
        number = isinstance(given, numbers.Real) and 0 < given < math.inf
        if not number and given != TUNE:
            raise ValueError(
                f"Expected a finite number above 0 or {TUNE!r}. Received: unknown_weight={given!r}"
            )
        return given

    def measure(
        self, probabilities: np.ndarray, unknown_weight: float | str
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The metrics, and the rows of predictions.csv.

        Args:
            probabilities: (clips, classes).
            unknown_weight: What the probability of the unknown class is multiplied by, or `"tune"`.
                It matters only where the data set has such a class.
        """
        if self.records.multi_label:
            targets = np.zeros(probabilities.shape, int)
            for row, clip in zip(targets, self.clips, strict=True):
                row[list(clip.labels)] = 1
            metrics = tagging_metrics(targets, probabilities, self.records.labels)
            predicted = None
        else:
            targets = np.array([clip.label for clip in self.clips])
            metrics, predicted = self._measure_classes(targets, probabilities, unknown_weight)
        clips = [
            {"clip_id": clip.clip_id, "fold": clip.fold, "source": clip.source, **clip.attributes}
            for clip in self.clips
        ]
        labels = self.records.labels
        return metrics, prediction_rows(clips, targets, probabilities, labels, predicted)

    def _measure_classes(
        self, targets: np.ndarray, probabilities: np.ndarray, weight: float | str
    ) -> tuple[dict[str, Any], np.ndarray]:
        """Metrics and predicted classes where every clip has one class."""
        records, unknown, options, tuned = self.records, None, {}, {}
        if records.unknown_label is not None:
            unknown = records.labels.index(records.unknown_label)
            if weight == TUNE:
                weight, _ = best_unknown_weight(targets, probabilities, unknown)
                sources = [clip.source for clip in self.clips]
                fair = cross_fitted_scores(targets, probabilities, unknown, sources)
                tuned = {"cross_fitted": fair}
            options = {"unknown_label": records.unknown_label, "unknown_weight": weight}
        metrics = classification_metrics(targets, probabilities, records.labels, **options)
        if tuned:
            metrics["open_set"] |= tuned
        if records.groups:
            attributes = [clip.attributes for clip in self.clips]
            metrics["groups"] = metrics_by_group(
                targets, probabilities, records.labels, attributes, records.groups, **options
            )
        return metrics, predicted_classes(probabilities, unknown, weight)

    def write(
        self,
        folder: pathlib.Path,
        metrics: dict[str, Any],
        rows: Sequence[dict[str, Any]],
        **of_report: Any,
    ) -> None:
        """Write predictions.csv, report.html and metrics.json; `of_report` is the report's."""
        split = self.split
        write_predictions(folder / "predictions.csv", rows)
        write_report(
            folder / "report.html",
            metrics=metrics,
            predictions=rows,
            mistakes=self._mistakes(rows),
            split={
                "training" if name == "train" else name: _facts(*part)
                for name, part in split.parts.items()
            },
            **of_report,
        )
        # Last: a folder with metrics is one whose evaluation ended.
        write_json(folder / "metrics.json", metrics)

    def _mistakes(self, rows: Sequence[dict[str, Any]]) -> list[Mistake]:
        records = self.records
        worst = (worst_rankings if records.multi_label else worst_mistakes)(rows)
        chosen = {row["clip_id"] for row in worst}
        clips = clip_arrays(records, self.split.test_folds)
        sounds = {name: audio for name, audio in clips if name in chosen}
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


def check_target(to: str | os.PathLike) -> pathlib.Path:
    """The folder to write to; ValueError if it is a run: those keep what they say of themselves."""
    if (pathlib.Path(to) / "recipe.json").exists():
        raise ValueError(f"Expected a folder that is not of a run. Received: to={to}")
    return pathlib.Path(to)


def _facts(folds: Sequence[int], clips: ClipTable) -> dict[str, Any]:
    return {
        "clips": len(clips),
        "recordings": len(np.unique(clips.sources.digests())),
        f"fold{'s' if len(folds) > 1 else ''}": " ".join(map(str, folds)),
    }
