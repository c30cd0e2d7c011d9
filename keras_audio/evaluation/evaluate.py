"""Measure a run on the fold it held out: metrics, predictions and a report in its folder."""

import os
from typing import Any

import keras
import numpy as np

from keras_audio.evaluation.held_out import HeldOut
from keras_audio.training.run_folder import RunFolder


def evaluate_run(
    run: RunFolder | str | os.PathLike,
    *,
    data_dir: str | os.PathLike = "data",
    batch_size: int = 32,
    progress: bool = True,
    unknown_weight: float | str | None = None,
) -> dict[str, Any]:
    """Predict the fold that a run held out and write metrics.json, predictions.csv, report.html.

    The weights are those that the run keeps, the best or the last ones. A run that is still
    training can be measured too.

    Args:
        run: The run folder or its path.
        data_dir: Where `keras-audio prepare` put the records.
        batch_size: Clips predicted at once; it changes speed and memory, not the answers.
        progress: Whether to show a progress bar.
        unknown_weight: What the probability of the class of unknown sounds, in data sets that have
            one, is multiplied by before the most probable class is chosen; by default what the
            recipe says. `"tune"` takes the best of all weights for these very clips, and also
            gives, as `cross_fitted`, what tuning is worth on clips that were not tuned on.

    Returns:
        The metrics, as `classification_metrics` describes them, or `tagging_metrics` where the
        clips of the data set may have several classes. Where the records name groups of clips also
        `groups`, as of `metrics_by_group`. Where the weight was tuned, `open_set` holds
        `cross_fitted`, as of `cross_fitted_scores`.

    Raises:
        ValueError: If `run` is no run folder or has no model yet, the records are missing or
            are not those that it was trained with, or a weight is given and no class is unknown.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    recipe = folder.recipe
    held_out = HeldOut(recipe, data_dir)
    held_out.check(folder)
    weight = held_out.unknown_weight(unknown_weight, recipe)
    probabilities = held_out.predict(
        folder.model(), recipe, batch_size=batch_size, progress=progress
    )
    metrics, rows = held_out.measure(probabilities, weight)
    history = folder.history()
    if not recipe.counts_iterations:
        history.pop("iteration", None)
    done = folder.finished
    held_out.write(
        folder.path,
        metrics,
        rows,
        title=f"{recipe.name} on {recipe.dataset}, fold {recipe.fold} held out, seed {recipe.seed}",
        history=history,
        learning_rates=_learning_rates(folder),
        snapshots=recipe.snapshot_rounds(done["epochs"]) if done else (),
        kept="last" if recipe.keeps_last else "best",
        recipe=recipe.to_dict(),
        environment=folder.environment,
        training=done,
    )
    return metrics


def _learning_rates(run: RunFolder) -> np.ndarray | None:
    """The rate of every step of a finished training, if its optimizer followed a schedule."""
    done = run.finished or {}
    if "steps_per_pass" not in done:
        return None
    config = run.recipe.build_optimizer(done["steps_per_pass"]).get_config()["learning_rate"]
    if not isinstance(config, dict):
        return None
    schedule = keras.optimizers.schedules.deserialize(config)
    return keras.ops.convert_to_numpy(schedule(np.arange(done["iterations"])))
