"""Train a recipe in a run folder, or go on with it."""

import gc
import hashlib
import os
import pathlib
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_audio.data import Records, Split, make_split, open_records
from keras_audio.files import (
    folder_name,
    locked,
    read_json,
    remove_partial,
    replacing,
    write_json,
    write_text,
)
from keras_audio.importers import is_state_dict
from keras_audio.models.transfer import copy_weights, load_source, model_file, transfer_weights
from keras_audio.recipes import Recipe, recipe_differences
from keras_audio.training.checkpoint import read_position
from keras_audio.training.environment import describe_environment
from keras_audio.training.fitting import Plan, fit
from keras_audio.training.run_folder import RunFolder
from keras_audio.training.statistics import feature_statistics

# The weights that a fine-tuning begins with, as they were then.
INITIAL_MODEL = "initial.keras"
# What the folder of a compression has, and that of a training does not.
COMPRESSION = "compression.json"
STRATEGIES = ("single", "mirrored")


def train(
    recipe: Recipe,
    *,
    data_dir: str | os.PathLike = "data",
    runs_dir: str | os.PathLike = "runs",
    run: str | os.PathLike | None = None,
    resume: bool = False,
    force: bool = False,
    deterministic: bool = True,
    strategy: str = "single",
    max_steps: int | None = None,
    init_from: str | os.PathLike | None = None,
    progress: bool = True,
) -> RunFolder:
    """Train `recipe` to its end and return the run folder.

    Args:
        recipe: What to train.
        data_dir: Where `keras-audio prepare` put the records.
        runs_dir: Where the run folder `<recipe>/<data set>-fold<k>-seed<s>` is made; with
            `init_from` it ends in `-fine_tuned`.
        run: The run folder itself, in place of one under `runs_dir`.
        resume: Go on with the run if it was begun; return it if it is finished.
        force: Delete what the run folder holds and begin anew.
        deterministic: Bit-equal results on the same machine. It switches TensorFlow's
            deterministic operations on for the whole process.
        strategy: `single`, or `mirrored` for all GPUs of this machine.
        max_steps: Batches a round at most, of training and of validation; for smoke tests.
        init_from: A run folder or `.keras` file whose weights, except those of the last layer,
            training begins with; or what else the recipe can load. A copy goes into the run folder.
        progress: Whether to show a progress bar and a line a round.

    Raises:
        ValueError: If the run exists and neither `resume` nor `force` is given, if it was begun
            with another recipe, other clips or other first weights, or if the recipe does not fit
            the records or the weights.
        Stopped: If the process got SIGTERM or SIGINT; a checkpoint was written.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"Expected strategy to be one of {STRATEGIES}. Received: {strategy=}")
    if resume and force:
        raise ValueError("Expected resume or force, not both. Received: resume=True, force=True")
    records, split = open_data(recipe, data_dir)
    path = pathlib.Path(run) if run is not None else default_run_path(recipe, runs_dir)
    if run is None and init_from is not None:
        path = path.with_name(f"{path.name}-fine_tuned")
    # All that can be refused is, before anything is made or deleted.
    check_clips(recipe, split)
    if init_from is not None:
        _check_source(recipe, len(records.labels), init_from, path if force else None)
    session = describe_environment() | {"strategy": strategy, "deterministic": deterministic}
    with locked(lock_of(path), "train this run"):
        if force:
            discard_run(path)
        folder = _open_run(
            path, recipe, records, split.to_dict(), session, init_from, resume=resume
        )
        if not folder.finished:
            if deterministic:
                tf.config.experimental.enable_op_determinism()
            begun = [INITIAL_MODEL, "checkpoints"]
            if recipe.new_weights_note and not any((folder.path / name).exists() for name in begun):
                print(f"note: {recipe.new_weights_note}", file=sys.stderr)
            _train(folder, records, split, strategy, max_steps, progress)
    return folder


def open_data(recipe: Recipe, data_dir: str | os.PathLike) -> tuple[Records, Split]:
    """The records that a recipe is trained and measured on, and its split of them.

    Raises:
        ValueError: If the records are missing, or the fold is none of theirs.
    """
    records = open_records(recipe.dataset, data_dir=data_dir, **recipe.records_form)
    if records.multi_label != recipe.multi_label:
        raise ValueError(
            "Expected a recipe of several labels a clip for records of several labels a clip, and "
            f"of one for one. Received: {recipe.name} with multi_label={recipe.multi_label} for "
            f"{recipe.dataset} with multi_label={records.multi_label}"
        )
    return records, make_split(records, recipe.fold, recipe.validation)


def default_run_path(recipe: Recipe, runs_dir: str | os.PathLike) -> pathlib.Path:
    """Where a recipe trains unless told otherwise.

    Example:
        >>> from keras_audio.recipes import ResidualBlocks
        >>> default_run_path(ResidualBlocks(dataset="esc10", fold=1), "runs").as_posix()
        'runs/residual_blocks/esc10-fold1-seed0'
    """
    name = f"{folder_name(recipe.dataset)}-fold{recipe.fold}-seed{recipe.seed}"
    return pathlib.Path(runs_dir) / recipe.name / name


def _train(
    folder: RunFolder,
    records: Records,
    split: Split,
    strategy: str,
    max_steps: int | None,
    progress: bool,
) -> None:
    mirrored = strategy == "mirrored"
    distribution = tf.distribute.MirroredStrategy() if mirrored else tf.distribute.get_strategy()
    statistics = _statistics(folder, folder.recipe, records, split.train_folds)
    checkpoint = folder.path / "checkpoints" / "last.npz"
    reached = read_position(checkpoint).get("stage", 0) if checkpoint.is_file() else 0
    for plan in Plan.of(folder.recipe)[reached:]:
        gc.collect()  # the stage before and its kept inputs, which hold each other
        keras.utils.set_random_seed(plan.seed)
        with distribution.scope():
            full = plan.recipe.build_model(len(records.labels), statistics)
            if plan.number:
                # Those that the stages before it kept (Colangelo et al. 2021, section 3).
                copy_weights(folder.model(), full)
            elif (folder.path / INITIAL_MODEL).is_file():
                transfer_weights(load_source(folder.path / INITIAL_MODEL), full)
        fit(
            folder,
            full,
            records,
            split,
            plan,
            distribution=distribution,
            max_steps=max_steps,
            progress=progress,
        )


def check_clips(recipe: Recipe, split: Split) -> None:
    """Refuse clips that the recipe cannot be trained on or measured with.

    Raises:
        ValueError: If there are such; the sentence names some.
    """
    short = [
        clip.clip_id
        for _, clips in split.parts.values()
        for clip in clips
        if clip.samples < recipe.min_samples
    ]
    if short:
        more = f" and {len(short) - 3} more" if len(short) > 3 else ""
        raise ValueError(
            f"Expected clips of at least {recipe.min_samples} samples for this recipe. "
            f"Received: shorter ones in {recipe.dataset}, {', '.join(short[:3])}{more}"
        )
    if recipe.training_data.get("whole_batches") and len(split.train) < recipe.batch_size:
        raise ValueError(
            f"Expected batch_size to be at most {len(split.train)}, the number of training clips. "
            f"Received: batch_size={recipe.batch_size}"
        )
    if not all(any(clip.labels for clip in part) for part in (split.validation, split.test)):
        raise ValueError(
            f"Expected held-out clips of some class. Received: none in fold {recipe.fold} of "
            f"{recipe.dataset}"
        )


def _check_source(
    recipe: Recipe,
    num_classes: int,
    init_from: str | os.PathLike,
    discarded: pathlib.Path | None,
) -> None:
    """Refuse first weights that do not fit, or that lie in the folder that is to be deleted."""
    file = source_file(init_from)
    if discarded is not None and file.resolve().is_relative_to(discarded.resolve()):
        raise ValueError(
            f"Expected first weights from outside of {discarded}, which --force deletes; choose "
            f"another folder with --run. Received: init_from={init_from}"
        )
    transfer_weights(recipe.load_source(file), recipe.build_model(num_classes))


def source_file(init_from: str | os.PathLike) -> pathlib.Path:
    """The file of the weights to begin with; of a run its model.

    Raises:
        ValueError: If there is none.
    """
    if is_state_dict(init_from) and os.path.isfile(init_from):
        return pathlib.Path(init_from)
    return model_file(init_from)


def lock_of(path: pathlib.Path) -> pathlib.Path:
    """The lock file of a run, beside its folder: `.NAME.lock`."""
    path = path.absolute()
    return path.with_name(f".{path.name}.lock")


def clean_run(path: pathlib.Path) -> None:
    """Delete what a killed training was writing; not in runs inside of this one."""
    for folder in (path, path / "checkpoints", path / "snapshots"):
        remove_partial(folder)


def discard_run(path: pathlib.Path, marker: str = "recipe.json") -> None:
    """Delete a run in such an order that a kill leaves no folder that looks like a whole run.

    A folder without the file `marker` is none, and stays.
    """
    if (path / marker).is_file():
        aside = path.absolute().with_name(f".{path.absolute().name}.discarded")
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
        shutil.rmtree(aside)


def _open_run(
    path: pathlib.Path,
    recipe: Recipe,
    records: Records,
    split: dict,
    session: dict[str, Any],
    init_from: str | os.PathLike | None,
    *,
    resume: bool,
) -> RunFolder:
    """Make the run folder, or check that the one there is this recipe's and may go on."""
    if (path / COMPRESSION).is_file():
        raise ValueError(
            f"Expected the folder of a training for the run. Received: {path}, a compression"
        )
    clean_run(path)
    if (path / "recipe.json").is_file():
        folder = RunFolder(path)
        differences = recipe_differences(folder.recipe, recipe)
        if differences:
            raise ValueError(
                f"Expected the recipe of the run in {path}; choose another folder with --run, or "
                f"--force to begin anew. Received: {'; '.join(differences)}"
            )
        if not resume:
            state = "finished; --force trains it anew" if folder.finished else "begun; add --resume"
            raise ValueError(f"Expected a new run. Received: {path}, which is {state}")
        if folder.split != split or folder.labels != records.labels:
            raise ValueError(
                f"Expected the clips with which {path} was begun. Received: other clips, labels or "
                f"samples in {records.path}"
            )
        _check_same_source(folder, init_from)
        if not folder.finished:
            _note_session(folder, session)
        return folder
    # A kill while the folder was being made leaves some of its files, but no recipe.
    begun = {"labels.txt", "environment.json", "split.json", INITIAL_MODEL, "initial.json"}
    found = {file.name for file in path.iterdir()} if path.exists() else set()
    if found - begun:
        raise ValueError(f"Expected a new or empty folder for the run. Received: {path}")
    if init_from is not None:
        source = source_file(init_from)
        with replacing(path / INITIAL_MODEL) as temporary:
            if is_state_dict(source):
                recipe.load_source(source).save(temporary)
            else:
                shutil.copyfile(source, temporary)
        digest = file_digest(source)
        write_json(path / "initial.json", {"source": str(init_from), "sha256": digest})
    return begin_run(path, recipe, records.labels, split, session)


def begin_run(
    path: pathlib.Path,
    recipe: Recipe,
    labels: Sequence[str],
    split: dict,
    session: dict[str, Any],
) -> RunFolder:
    """Write what every run folder begins with; what else it is to hold must be there already."""
    write_text(path / "labels.txt", "".join(f"{label}\n" for label in labels))
    write_json(path / "environment.json", session)
    write_json(path / "split.json", split)
    # Last, since a folder with a recipe is a run.
    write_json(path / "recipe.json", recipe.to_dict())
    return RunFolder(path)


def _check_same_source(folder: RunFolder, init_from: str | os.PathLike | None) -> None:
    """Refuse to go on with other first weights than the run was begun with."""
    if init_from is None:
        return
    initial = folder.path / "initial.json"
    begun = read_json(initial) if initial.is_file() else {"source": "new weights", "sha256": ""}
    if begun["sha256"] != file_digest(source_file(init_from)):
        raise ValueError(
            f"Expected the weights that {folder.path} was begun with, from {begun['source']}. "
            f"Received: init_from={init_from}"
        )


def file_digest(path: pathlib.Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _note_session(folder: RunFolder, session: dict[str, Any]) -> None:
    """Add a resumed session to environment.json; one that cannot go on exactly is refused."""
    environment = folder.environment
    for name in ("strategy", "deterministic"):
        if environment.get(name, session[name]) != session[name]:
            raise ValueError(
                f"Expected {name} as {folder.path} was begun, {environment[name]}. "
                f"Received: {name}={session[name]}"
            )
    changed = {
        name: value
        for name, value in session.items()
        if name not in ("date", "commit") and value != environment.get(name)
    }
    if changed:
        print(
            f"note: {', '.join(changed)} differ from when {folder.path} was begun, so it may not "
            "end bit for bit where it would have",
            file=sys.stderr,
        )
    resumed = {"date": session["date"], "commit": session["commit"], "changed": changed}
    environment.setdefault("resumed", []).append(resumed)
    write_json(folder.path / "environment.json", environment)


def _statistics(
    folder: RunFolder, recipe: Recipe, records: Records, folds: list[int]
) -> dict[str, list[float]] | None:
    if recipe.statistics_layer is None:
        return None
    path = folder.path / "statistics.json"
    if not path.is_file():
        model = recipe.build_model(len(records.labels))
        statistics = feature_statistics(model, recipe.statistics_layer, records, folds)
        write_json(path, statistics)
    return read_json(path)
