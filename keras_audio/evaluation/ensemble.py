"""Measure the mean of what several trained models say: runs, or snapshots of one."""

import dataclasses
import gc
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_audio.data.splits import part_classes
from keras_audio.evaluation.held_out import HeldOut, check_target
from keras_audio.models.transfer import load_source, model_file
from keras_audio.training.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class _Member:
    """A model and the run that it comes from; `path` is what it was named by."""

    path: str | os.PathLike
    file: pathlib.Path
    run: RunFolder


def evaluate_ensemble(
    members: Sequence[str | os.PathLike],
    *,
    to: str | os.PathLike | None = None,
    data_dir: str | os.PathLike = "data",
    batch_size: int = 32,
    progress: bool = True,
    unknown_weight: float | str | None = None,
) -> dict[str, Any]:
    """Measure the mean of the probabilities that models give to the clips they held out.

    The models must agree in data set, classes and held-out clips. They may differ in all else, also
    in recipe and sample rate. One is loaded after the other, and nothing that the runs hold is
    replaced.

    Args:
        members: Run folders, or models of runs, such as `RUN/snapshots/epoch-0126.keras`, or
            `RUN/snapshots` for all of them; one or more.
        to: The folder for metrics.json, predictions.csv and report.html, each of which takes the
            place of an earlier one. By default that of `ensemble_folder`.
        data_dir: Where `keras-audio prepare` put the records.
        batch_size: Clips predicted at once; it changes speed and memory, not the answers.
        progress: Whether to show a progress bar a member.
        unknown_weight: As of `evaluate_run`; by default what the recipes say. `"tune"` finds one
            for the mean, and one for each member by itself.

    Returns:
        The metrics, as of `evaluate_run`, and `members`: for each its `path` and what it reaches by
        itself, `accuracy`, `balanced_accuracy` and, where there is an unknown class, `score`
        (`tuned_score` with a weight tuned on these clips); or `mean_average_precision` where the
        clips may have several classes.

    Raises:
        ValueError: If there are no members, one is no model of a run, two are the same file or
            give equal probabilities, they differ in what they must agree in, or in the weights of
            their recipes and none is given, or `to` is a run; also as `evaluate_run`.
    """
    found = _open_members(members)
    folder = ensemble_folder(members) if to is None else check_target(to)
    # All that can be refused without a prediction is, before the first one.
    opened: dict[tuple, HeldOut] = {}
    held_out, weights = [], []
    for member in found:
        recipe = member.run.recipe
        form = (*recipe.records_form.values(), recipe.validation)
        if form not in opened:
            opened[form] = HeldOut(recipe, data_dir)
        held_out.append(opened[form])
        held_out[-1].check(member.run)
        weights.append(held_out[-1].unknown_weight(unknown_weight, recipe))
        if held_out[0].records.unknown_label is not None and weights[-1] != weights[0]:
            raise ValueError(
                "Expected a weight of the unknown class for members whose recipes differ in it. "
                f"Received: {weights[0]} of {found[0].path}, {weights[-1]} of {member.path}"
            )
    weight = weights[0]
    clips = [clip.clip_id for clip in held_out[0].clips]
    answers, alone = [], []
    for member, own in zip(found, held_out, strict=True):
        probabilities = own.predict(
            load_source(member.file),
            member.run.recipe,
            batch_size=batch_size,
            progress=progress,
            description=str(member.path),
        )
        metrics, _ = own.measure(probabilities, weight)
        alone.append({"path": str(member.path), **_headline(metrics)})
        rows = {clip.clip_id: row for clip, row in zip(own.clips, probabilities, strict=True)}
        answers.append(np.array([rows[clip] for clip in clips]))
        for other, known in zip(found, answers[:-1], strict=False):
            if np.array_equal(known, answers[-1]):
                raise ValueError(
                    "Expected members of different weights. "
                    f"Received: {other.path} and {member.path} with equal probabilities"
                )
        # The layers of a model refer to each other: else models would pile up in memory.
        gc.collect()
    metrics, rows = held_out[0].measure(np.mean(answers, axis=0, dtype=np.float64), weight)
    metrics["members"] = alone
    recipe = found[0].run.recipe
    named = f"Mean of {len(found)} models" if len(found) > 1 else str(found[0].path)
    held_out[0].write(
        folder,
        metrics,
        rows,
        title=f"{named} on {recipe.dataset}, fold {recipe.fold} held out",
        history=None,
        recipe=_settings([member.run for member in found]),
        environment={},
    )
    return metrics


def ensemble_folder(members: Sequence[str | os.PathLike]) -> pathlib.Path:
    """Where `evaluate_ensemble` writes to unless told otherwise: `ensemble` in the first run."""
    return _open_members(members[:1])[0].run.path / "ensemble"


def _open_members(members: Sequence[str | os.PathLike]) -> list[_Member]:
    found: list[_Member] = []
    for path in [model for member in members for model in _models_of(member)]:
        # Absolute: the run of a file in the working directory is above that.
        file = model_file(path).absolute()
        final = file.name == "model.keras"
        run = file.parent if final else file.parent.parent
        named = final or file.parent.name == "snapshots"
        if not named or not (run / "recipe.json").is_file():
            raise ValueError(
                "Expected model.keras of a run, or a model in its folder snapshots. "
                f"Received: {path}"
            )
        if file.resolve() in [other.file.resolve() for other in found]:
            raise ValueError(f"Expected every member once. Received: {path} twice")
        found.append(_Member(path, file, RunFolder(run)))
    if not found:
        raise ValueError("Expected at least one member. Received: members=[]")
    for member in found[1:]:
        for what, of in _MUST_AGREE.items():
            known = [own for own in (of(member.run), of(found[0].run)) if own is not None]
            if len(known) == 2 and known[0] != known[1]:
                raise ValueError(
                    f"Expected members that agree in their {what}. "
                    f"Received: {member.path} with other ones than {found[0].path}"
                )
    return found


def _models_of(member: str | os.PathLike) -> list[str | os.PathLike]:
    """The member itself, or of the folder `snapshots` of a run all that is in it."""
    folder = pathlib.Path(member).absolute()
    if folder.name != "snapshots" or not (folder.parent / "recipe.json").is_file():
        return [member]
    models = RunFolder(folder.parent).snapshots()
    if not models:
        raise ValueError(f"Expected snapshots of a run. Received: none in {member}")
    return [pathlib.Path(member) / model.name for model in models]


_MUST_AGREE = {
    "data set": lambda run: run.recipe.dataset,
    "classes": lambda run: run.labels,
    # The samples depend on the sample rate.
    "held-out clips": lambda run: run.held_out and part_classes(run.held_out),
    # Of imports that know no clips.
    "fold": lambda run: run.recipe.fold,
}


def _headline(metrics: dict[str, Any]) -> dict[str, float | None]:
    if "accuracy" not in metrics:
        return {"mean_average_precision": metrics["mean_average_precision"]}
    headline = {name: metrics[name] for name in ("accuracy", "balanced_accuracy")}
    if "open_set" in metrics:
        tuned = "cross_fitted" in metrics["open_set"]
        headline["tuned_score" if tuned else "score"] = metrics["open_set"]["score"]
    return headline


def _settings(runs: Sequence[RunFolder]) -> dict[str, Any]:
    """The fields of the recipes; where they differ, the value of each."""
    recipes = [run.recipe.to_dict() for run in runs]
    fields = dict.fromkeys(name for recipe in recipes for name in recipe)
    values = {name: [recipe.get(name) for recipe in recipes] for name in fields}
    return {name: own if any(v != own[0] for v in own) else own[0] for name, own in values.items()}
