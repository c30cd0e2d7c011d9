"""Train a recipe in a run folder, or go on with it."""

import os
import pathlib
import shutil

import keras
import tensorflow as tf

from keras_audio.data import (
    Records,
    Split,
    TrainingBatches,
    evaluation_batches,
    make_split,
    open_records,
)
from keras_audio.files import locked, read_json, write_json, write_text
from keras_audio.models import cut_model
from keras_audio.recipes import Recipe, recipe_differences
from keras_audio.training.environment import describe_environment
from keras_audio.training.loop import TrainingLoop
from keras_audio.training.run_folder import RunFolder
from keras_audio.training.statistics import feature_statistics
from keras_audio.training.stopping import stop_requests

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
    progress: bool = True,
) -> RunFolder:
    """Train `recipe` to its end and return the run folder.

    Args:
        recipe: What to train.
        data_dir: Where `keras-audio prepare` put the records.
        runs_dir: Where the run folder `<recipe>/<data set>-fold<k>-seed<s>` is made.
        run: The run folder itself, in place of one under `runs_dir`.
        resume: Go on with the run if it was begun; return it if it is finished.
        force: Delete what the run folder holds and begin anew.
        deterministic: Bit-equal results on the same machine. It switches TensorFlow's
            deterministic operations on for the whole process.
        strategy: `single`, or `mirrored` for all GPUs of this machine.
        max_steps: Batches an epoch at most, of training and of validation; for smoke tests.
        progress: Whether to show a progress bar and a line an epoch.

    Raises:
        ValueError: If the run exists and neither `resume` nor `force` is given, if it was begun
            with another recipe or other clips, or if the recipe does not fit the records.
        Stopped: If the process got SIGTERM or SIGINT; a checkpoint was written.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"Expected strategy to be one of {STRATEGIES}. Received: {strategy=}")
    records = open_records(
        recipe.dataset,
        sample_rate=recipe.sample_rate,
        channels=recipe.channels,
        data_dir=data_dir,
    )
    split = make_split(records, recipe.fold)
    path = pathlib.Path(run) if run is not None else default_run_path(recipe, runs_dir)
    with locked(path.with_name(f".{path.name}.lock"), "train this run"):
        folder = _open_run(path, recipe, records, split.to_dict(), resume=resume, force=force)
        if not folder.finished:
            if deterministic:
                tf.config.experimental.enable_op_determinism()
            _train(folder, records, split, strategy, max_steps, progress)
    return folder


def default_run_path(recipe: Recipe, runs_dir: str | os.PathLike) -> pathlib.Path:
    """Where a recipe trains unless told otherwise.

    Example:
        >>> from keras_audio.recipes import ResidualBlocks
        >>> default_run_path(ResidualBlocks(dataset="esc10", fold=1), "runs").as_posix()
        'runs/residual_blocks/esc10-fold1-seed0'
    """
    name = f"{recipe.dataset}-fold{recipe.fold}-seed{recipe.seed}"
    return pathlib.Path(runs_dir) / recipe.name / name


def _train(
    folder: RunFolder,
    records: Records,
    split: Split,
    strategy: str,
    max_steps: int | None,
    progress: bool,
) -> None:
    recipe = folder.recipe
    keras.utils.set_random_seed(recipe.seed)
    mirrored = strategy == "mirrored"
    distribution = tf.distribute.MirroredStrategy() if mirrored else tf.distribute.get_strategy()
    statistics = _statistics(folder, recipe, records, split.train_folds)
    with distribution.scope():
        full = recipe.build_model(len(records.labels), statistics)
        clip_steps, network = cut_model(full, recipe.clip_boundary)
        optimizer = recipe.build_optimizer()
    loop = TrainingLoop(
        folder,
        full,
        network,
        optimizer,
        recipe.build_callbacks(),
        monitor=recipe.monitor,
        strategy=distribution,
    )
    batches = TrainingBatches(
        records,
        split.train_folds,
        clip_steps,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
    )
    steps = batches.steps
    validation = evaluation_batches(
        records, split.validation_folds, clip_steps, batch_size=recipe.batch_size
    )
    if max_steps is not None:
        steps, validation = min(steps, max_steps), validation.take(max_steps)
    with stop_requests() as stop:
        position = loop.train(
            batches,
            validation,
            epochs=recipe.epochs,
            steps_per_epoch=steps,
            stop=stop,
            progress=progress,
        )
    write_json(
        folder.path / "done.json",
        {
            "epochs": position.epoch,
            "best_epoch": position.best_epoch,
            "best_value": position.best,
            "monitor": recipe.monitor,
            "seconds": round(position.seconds, 1),
        },
    )


def _open_run(
    path: pathlib.Path, recipe: Recipe, records: Records, split: dict, *, resume: bool, force: bool
) -> RunFolder:
    """Make the run folder, or check that the one there is this recipe's and may go on."""
    if force and (path / "recipe.json").is_file():
        shutil.rmtree(path)
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
        if folder.split != split:
            raise ValueError(
                f"Expected the clips with which {path} was begun. Received: other clips or other "
                f"samples in {records.path}"
            )
        return folder
    # A kill while the folder was being made leaves some of its files, but no recipe.
    begun = {"labels.txt", "environment.json", "split.json"}
    found = {file.name for file in path.iterdir()} if path.exists() else set()
    if any(name not in begun and not name.endswith(".partial.json") for name in found):
        raise ValueError(f"Expected a new or empty folder for the run. Received: {path}")
    write_text(path / "labels.txt", "".join(f"{label}\n" for label in records.labels))
    write_json(path / "environment.json", describe_environment())
    write_json(path / "split.json", split)
    # Last, since a folder with a recipe is a run.
    write_json(path / "recipe.json", recipe.to_dict())
    return RunFolder(path)


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
