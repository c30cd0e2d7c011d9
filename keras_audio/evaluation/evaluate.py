"""Measure a run on the fold it held out: metrics, predictions and a report."""

import os
import pathlib
from typing import Any

import keras
import numpy as np

from keras_audio.compress import count_weights
from keras_audio.evaluation.held_out import HeldOut, check_target
from keras_audio.evaluation.stage_images import stage_images
from keras_audio.training.compression import CompressedRun
from keras_audio.training.run_folder import RunFolder


def evaluate_run(
    run: RunFolder | str | os.PathLike,
    *,
    to: str | os.PathLike | None = None,
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
        to: The folder for the three files, each of which takes the place of an earlier one. By
            default that of `evaluation_folder`.
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
        `cross_fitted`, as of `cross_fitted_scores`. Of an import `imported_from` names the file.

    Raises:
        ValueError: If `run` is no run folder or has no model yet, the records are missing or
            are not those that it was trained with, `unknown_weight` is neither a finite number
            above 0 nor `"tune"` or given where no class is unknown, or `to` is a run.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    recipe = folder.recipe
    target = None if to is None else check_target(to)
    held_out = HeldOut(recipe, data_dir)
    held_out.check(folder)
    weight = held_out.unknown_weight(unknown_weight, recipe)
    model = folder.model()
    probabilities = held_out.predict(model, recipe, batch_size=batch_size, progress=progress)
    metrics, rows = held_out.measure(probabilities, weight)
    history = folder.history()
    if not recipe.counts_iterations:
        history.pop("iteration", None)
    done, stages = folder.finished, recipe.stage_recipes()
    compression = _compression(folder, model)
    imported = done.get("imported_from") if done else None
    origin = f"seed {recipe.seed}" if imported is None else f"imported from {imported}"
    what = f"{recipe.name} on {recipe.dataset}, fold {recipe.fold} held out, {origin}"
    if imported is not None:
        metrics["imported_from"] = imported
    held_out.write(
        target or evaluation_folder(folder.path, unknown_weight),
        metrics,
        rows,
        title=what + (", compressed" if compression else _unfinished(folder, len(stages))),
        history=history,
        learning_rates=_learning_rates(folder),
        snapshots=recipe.snapshot_rounds(done["epochs"]) if history and done else (),
        stages=[stage.resolution for stage in stages] if len(stages) > 1 else (),
        images=stage_images(recipe, held_out),
        kept="last" if recipe.keeps_last else "best",
        recipe=recipe.to_dict(),
        environment=folder.environment,
        training=done,
        compression=compression,
    )
    return metrics


def evaluation_folder(
    run: str | os.PathLike, unknown_weight: float | str | None = None
) -> pathlib.Path:
    """Where `evaluate_run` writes to unless told otherwise.

    It is the run itself, or a folder inside it for another weight than the recipe's: metrics.json
    of a run is always as its recipe says.

    Example:
        >>> evaluation_folder("runs/a", 2.5).as_posix()
        'runs/a/unknown_weight_2.5'
    """
    if unknown_weight is None:
        return pathlib.Path(run)
    named = unknown_weight if isinstance(unknown_weight, str) else float(unknown_weight)
    return pathlib.Path(run) / f"unknown_weight_{str(named).removesuffix('.0')}"


def _unfinished(run: RunFolder, stages: int) -> str:
    """What a title says of a training that has not ended: the stage of the weights measured."""
    if run.finished:
        return ""
    history = run.history()
    if stages == 1 or "stage" not in history:
        return ", unfinished"
    return f", unfinished: in stage {history['stage'][-1]:.0f} of {stages}"


def _compression(run: RunFolder, model: keras.Model) -> dict[str, Any]:
    """How a model was compressed, and what it weighs; nothing of a run that was not."""
    if not (run.path / "compression.json").is_file():
        return {}
    compressed = CompressedRun(run.path)
    settings, rounds = compressed.settings, compressed.rounds()
    del settings["model"]  # a checksum
    weights, kept = count_weights(model), rounds[settings["kept"]]
    sizes = {
        "weights of the whole model": rounds[0]["total"],
        "not zero in the round kept": kept["non_zero"],
        "weights": weights.total,
        "not zero": weights.non_zero,
        "kilobytes in 16 bits": weights.kilobytes,
        "numbers stored": count_weights(model, "stored").total,
    }
    return settings | sizes


def _learning_rates(run: RunFolder) -> np.ndarray | None:
    """The rate of every step of a finished training, if its optimizers followed a schedule."""
    done = run.finished or {}
    if "steps_per_pass" not in done:
        return None
    stages, history = run.recipe.stage_recipes(), run.history()
    ends = [done["iterations"]]
    if len(stages) > 1:
        if "stage" not in history:
            return None  # Fitted again since, by another plan than the recipe's.
        numbers = range(1, 1 + len(stages))
        ends = [int(history["iteration"][history["stage"] == number].max()) for number in numbers]
    rates, scheduled = [], False
    for stage, steps in zip(stages, np.diff(ends, prepend=0), strict=True):
        rate = stage.build_optimizer(done["steps_per_pass"]).get_config()["learning_rate"]
        if isinstance(rate, dict):
            scheduled = True
            schedule = keras.optimizers.schedules.deserialize(rate)
            rates.append(keras.ops.convert_to_numpy(schedule(np.arange(steps))))
        else:
            rates.append(np.full(steps, rate))
    return np.concatenate(rates) if scheduled else None
