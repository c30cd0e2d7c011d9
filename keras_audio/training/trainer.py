"""Train a recipe in a run folder, or go on with it."""

import contextlib
import gc
import json
import os
import pathlib
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_audio.data import Records, Split, make_split, open_records
from keras_audio.data.memory import memory_share
from keras_audio.files import folder_name, locked, read_json, write_json
from keras_audio.models.transfer import copy_weights, load_source, transfer_weights
from keras_audio.recipes import Recipe
from keras_audio.training.checkpoint import read_position
from keras_audio.training.environment import describe_environment
from keras_audio.training.fitting import Plan, fit
from keras_audio.training.opening import (
    INITIAL_MODEL,
    STATISTICS,
    check_source,
    discard_run,
    lock_of,
    open_run,
)
from keras_audio.training.run_folder import RunFolder
from keras_audio.training.statistics import feature_statistics
from keras_audio.training.workers import Workers, build_strategy


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
    memory: int | None = None,
    service: str | None = None,
    progress: bool = True,
) -> RunFolder | None:
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
        strategy: `single`; `mirrored` for all GPUs of this machine; `multiworker` for those of all
            processes of TF_CONFIG, each of which calls this, before TensorFlow computes anything.
            The first of them alone needs the run folder. With several devices each takes a part of
            every batch, and batch norms see the whole.
        max_steps: Batches a round at most, of training and of validation; for smoke tests.
        init_from: A run folder or `.keras` file whose weights, except those of the last layer,
            training begins with; or what else the recipe can load. A copy goes into the run folder.
        memory: Bytes that the training clips may take, and again the held-out ones; a larger set
            is streamed from disk, in another order. None for what the run was begun with, or a
            quarter of what there is; of several workers the first decides.
        service: Address of a tf.data service that reads in place of this process,
            `grpc://host:port`. In which order its workers answer is theirs.
        progress: Whether to show a progress bar and a line a round.

    Returns:
        The run folder; None for other workers than the first.

    Raises:
        ValueError: If the run exists and neither `resume` nor `force` is given, if it was begun
            with another recipe, other clips or other first weights, or if the recipe does not fit
            the records or the weights.
        Stopped: If the process got SIGTERM or SIGINT; a checkpoint was written.
        WorkerLost: If another worker is gone.
    """
    if resume and force:
        raise ValueError("Expected resume or force, not both. Received: resume=True, force=True")
    distribution = build_strategy(strategy)
    workers = Workers(distribution)
    path = pathlib.Path(run) if run is not None else default_run_path(recipe, runs_dir)
    if run is None and init_from is not None:
        path = path.with_name(f"{path.name}-fine_tuned")
    with workers.together(), contextlib.ExitStack() as stack:
        terms = {"max_steps": max_steps, "deterministic": deterministic, "service": service}
        with workers.agreeing():
            workers.check_same(recipe.to_dict() | terms)
        with workers.agreeing():
            # All that can be refused is, before anything is made or deleted.
            records, split = open_data(recipe, data_dir)
            check_clips(recipe, split)
            if init_from is not None and workers.is_first:
                check_source(recipe, len(records.labels), init_from, path if force else None)
        if deterministic:
            tf.config.experimental.enable_op_determinism()
        with workers.agreeing():
            if workers.is_first:
                session = describe_environment()
                session |= {"strategy": strategy, "deterministic": deterministic}
                session |= {"workers": workers.count} if strategy == "multiworker" else {}
                session |= {"memory": _memory_of(path, memory, resume)}
                session |= {"service": service} if service is not None else {}
                stack.enter_context(locked(lock_of(path), "train this run"))
                if force:
                    discard_run(path)
                folder = open_run(
                    path, recipe, records, split.to_dict(), session, init_from, resume=resume
                )
                if not folder.finished:
                    _prepare_run(folder, records, split)
                memory = session["memory"]
        memory = json.loads(workers.first(json.dumps(memory).encode()))
        folder = RunFolder(stack.enter_context(workers.shared_folder(path)))
        with workers.agreeing():
            if not workers.is_first and folder.split != split.to_dict():
                raise ValueError(
                    f"Expected the clips that the first worker has. Received: other clips, labels "
                    f"or samples in {records.path}"
                )
        if not folder.finished:
            try:
                _train(
                    folder,
                    records,
                    split,
                    distribution=distribution,
                    workers=workers,
                    reading={"memory": memory, "service": service},
                    max_steps=max_steps,
                    progress=progress and workers.is_first,
                )
            except (tf.errors.DataLossError, tf.errors.NotFoundError):
                # Of a set that is streamed nobody has read the files before.
                with records.whole(records.folds):
                    raise
    return folder if workers.is_first else None


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


def _memory_of(path: pathlib.Path, memory: int | None, resume: bool) -> int:
    """What the clips may take; as it was in a run that goes on, for their order depends on it."""
    begun = path / "environment.json"
    if memory is None and resume and begun.is_file():
        memory = read_json(begun).get("memory")
    return memory_share(memory)


def _prepare_run(folder: RunFolder, records: Records, split: Split) -> None:
    """Measure what the recipe wants measured of its clips, and say how the run begins."""
    recipe = folder.recipe
    statistics = folder.path / STATISTICS
    if recipe.statistics_layer is not None and not statistics.is_file():
        model = recipe.build_model(len(records.labels))
        layer, folds = recipe.statistics_layer, split.train_folds
        write_json(statistics, feature_statistics(model, layer, records, folds))
    begun = [INITIAL_MODEL, "checkpoints"]
    if recipe.new_weights_note and not any((folder.path / name).exists() for name in begun):
        print(f"note: {recipe.new_weights_note}", file=sys.stderr)


def _train(
    folder: RunFolder,
    records: Records,
    split: Split,
    *,
    distribution: tf.distribute.Strategy,
    **how: Any,
) -> None:
    statistics = folder.path / STATISTICS
    statistics = read_json(statistics) if statistics.is_file() else None
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
            **how,
        )


def check_clips(recipe: Recipe, split: Split) -> None:
    """Refuse clips that the recipe cannot be trained on or measured with.

    Raises:
        ValueError: If there are such; the sentence names some.
    """
    short = [
        clip_id
        for _, clips in split.parts.values()
        for clip_id in clips.ids.take(np.flatnonzero(clips.samples < recipe.min_samples))
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
