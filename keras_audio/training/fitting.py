"""Fit a model to the training clips of a run: what training and the rounds of pruning share."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import keras
import numpy as np
import tensorflow as tf

from keras_audio.data import EvaluationBatches, Records, Split, TrainingBatches
from keras_audio.files import write_json
from keras_audio.models import cut_model
from keras_audio.recipes import Recipe
from keras_audio.training.loop import TrainingLoop
from keras_audio.training.run_folder import RunFolder
from keras_audio.training.stopping import stop_requests
from keras_audio.training.workers import Workers


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long a model is fitted and by what.

    Args:
        recipe: What says which data, and how they are augmented.
        length: Steps at most and the steps of a round, from the steps of a pass.
        build_optimizer: Makes the optimizer, from the steps of a pass.
        callbacks: Keras callbacks that steer the training, new.
        averaging_decay: Decay of the average of the weights that is measured and kept.
        keeps_last: Whether the last round's weights are kept, not the best ones.
        number: Which fitting of the model it is, from 0; each has an order of the clips and mixes
            of its own.
        stages: How many stages the training has of which this fitting is the one of that number.
        comparable: Whether the stage before was measured as this one is, so that its best round is
            one to beat.
        snapshot_rounds: The rounds, of so many, after which a copy of the model is put aside.
    """

    recipe: Recipe
    length: Callable[[int], tuple[int, int]]
    build_optimizer: Callable[[int], keras.optimizers.Optimizer]
    callbacks: Sequence[keras.callbacks.Callback]
    averaging_decay: float | None = None
    keeps_last: bool = False
    number: int = 0
    stages: int = 1
    comparable: bool = True
    snapshot_rounds: Callable[[int], list[int]] = lambda rounds: []

    @classmethod
    def of(cls, recipe: Recipe) -> list[Self]:
        """The plans by which a recipe trains, one a stage."""
        stages = recipe.stage_recipes()
        return [
            cls._of_stage(
                stage,
                number=number,
                stages=len(stages),
                comparable=stage.resolution == stages[max(0, number - 1)].resolution,
            )
            for number, stage in enumerate(stages)
        ]

    @classmethod
    def _of_stage(cls, recipe: Recipe, **place: Any) -> Self:
        return cls(
            recipe=recipe,
            length=recipe.length,
            build_optimizer=recipe.build_optimizer,
            callbacks=recipe.build_callbacks(),
            averaging_decay=recipe.averaging_decay,
            keeps_last=recipe.keeps_last,
            snapshot_rounds=recipe.snapshot_rounds,
            **place,
        )

    @property
    def seed(self) -> int:
        """What draws the order of the clips, crops and mixes."""
        return fitting_seed(self.recipe.seed, self.number)


def fitting_seed(seed: int, number: int) -> int:
    """The seed of a fitting: the run's own at first, then others that no run is likely to have.

    Example:
        >>> fitting_seed(3, 0), fitting_seed(3, 1) == fitting_seed(4, 1)
        (3, False)
    """
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0]) if number else seed


class Work(NamedTuple):
    """What a model is fitted with.

    Args:
        loop: Makes the steps.
        batches: The training batches.
        clip_steps: From a clip to what the loop takes.
    """

    loop: TrainingLoop
    batches: TrainingBatches
    clip_steps: keras.Model


def set_up(
    full: keras.Model,
    records: Records,
    folds: Sequence[int],
    plan: Plan,
    *,
    folder: RunFolder | None = None,
    distribution: tf.distribute.Strategy | None = None,
    workers: Workers | None = None,
    reading: Mapping[str, Any] | None = None,
    few_steps: bool = False,
) -> Work:
    """Put together what makes the steps of `plan`.

    Args:
        full: The model from waveform to predictions, made under `distribution`.
        records: The prepared data set.
        folds: Those that train.
        plan: By what.
        folder: The run folder; None for steps of which nothing is kept.
        distribution: The strategy; None for the present one.
        workers: The processes under it; None for this one alone.
        reading: Further arguments of `TrainingBatches`: `memory`, `service`.
        few_steps: Whether so few steps are made that inputs are not worth keeping.

    Raises:
        ValueError: If the batches cannot be divided among the devices.
    """
    distribution = distribution or tf.distribute.get_strategy()
    workers = workers or Workers(distribution)
    recipe = dataclasses.replace(plan.recipe, seed=plan.seed)
    with distribution.scope():
        mixing, place = recipe.build_mixing() or (None, recipe.clip_boundary)
        # Before the first part, or between it and the rest.
        ends = dict.fromkeys([recipe.clip_boundary, place])
        clip_steps, *parts = cut_model(full, *ends)
        if mixing is not None:
            mixing.build(None)
    devices = distribution.num_replicas_in_sync
    if recipe.batch_size < devices or (workers.count > 1 and recipe.batch_size % devices):
        needed = "a multiple of" if workers.count > 1 else "at least"
        raise ValueError(
            f"Expected batch_size to be {needed} {devices}, the number of devices. "
            f"Received: batch_size={recipe.batch_size}"
        )
    # With several devices a smaller batch could leave one without a clip, and batch norm's mean
    # of no clip is not a number.
    options = recipe.training_data | ({"whole_batches": True} if devices > 1 else {})
    options |= {"keep_inputs": False} if few_steps else {}
    batches = TrainingBatches(
        records,
        folds,
        clip_steps,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        workers=(workers.index, workers.count),
        **(reading or {}),
        **options,
    )
    steps, steps_per_round = plan.length(batches.steps_per_pass)
    with distribution.scope():
        optimizer = plan.build_optimizer(batches.steps_per_pass)
    loop = TrainingLoop(
        folder,
        full,
        parts,
        optimizer,
        plan.callbacks,
        mixing=mixing,
        averaging_decay=plan.averaging_decay,
        multi_label=recipe.multi_label,
        monitor=recipe.monitor,
        keep_last=plan.keeps_last,
        snapshot_rounds=plan.snapshot_rounds(math.ceil(steps / steps_per_round)),
        strategy=distribution,
        workers=workers,
        # With several devices all batches are whole.
        signature=[batches.element_spec] if devices == 1 else None,
    )
    return Work(loop, batches, clip_steps)


def fit(
    folder: RunFolder,
    full: keras.Model,
    records: Records,
    split: Split,
    plan: Plan,
    *,
    distribution: tf.distribute.Strategy | None = None,
    workers: Workers | None = None,
    reading: Mapping[str, Any] | None = None,
    max_steps: int | None = None,
    progress: bool = True,
) -> None:
    """Fit `full` by `plan`; writes the files of `folder`, `done.json` last, after the last stage.

    Where the folder has a checkpoint, that is where it goes on.

    Args:
        folder: The run folder.
        full: The model from waveform to predictions, made under `distribution`.
        records: The prepared data set.
        split: Which of its clips train, and by which the best round is chosen.
        plan: How long, and by what.
        distribution: The strategy; None for the present one.
        workers: The processes under it; None for this one alone.
        reading: Further arguments of `TrainingBatches`: `memory`, `service`.
        max_steps: Batches a round at most, of training and of validation.
        progress: Whether to show a progress bar and a line a round.

    Raises:
        ValueError: If the batches cannot be divided among the devices.
        Stopped: If the process got SIGTERM or SIGINT; a checkpoint was written.
    """
    loop, batches, clip_steps = set_up(
        full,
        records,
        split.train_folds,
        plan,
        folder=folder,
        distribution=distribution,
        workers=workers,
        reading=reading,
        few_steps=max_steps is not None,
    )
    recipe = plan.recipe
    steps, steps_per_round = plan.length(batches.steps_per_pass)
    validation = EvaluationBatches(
        records,
        split.validation_folds,
        clip_steps,
        batch_size=recipe.batch_size,
        max_samples=recipe.max_samples,
        # What is cut short below would never be read to its end.
        keep_inputs=max_steps is None and recipe.training_data.get("keep_inputs", False),
        workers=(loop.workers.index, loop.workers.count),
        memory=(reading or {}).get("memory"),
    )
    staged = plan.stages > 1
    if max_steps is not None and max_steps < steps_per_round:
        steps = math.ceil(steps / steps_per_round) * max_steps
        steps_per_round = max_steps
    with stop_requests() as stop:
        position = loop.train(
            batches,
            validation,
            steps=steps,
            steps_per_round=steps_per_round,
            stop=stop,
            validation_steps=max_steps,
            stage=plan.number if staged else None,
            comparable=plan.comparable,
            progress=progress,
        )
    if staged and plan.number + 1 < plan.stages:
        return
    write_json(
        folder.path / "done.json",
        {
            "epochs": position.epoch,
            "iterations": position.history[-1]["iteration"],
            "best_epoch": position.best_epoch,
            "best_iteration": position.history[position.best_epoch - 1]["iteration"],
            "best_value": position.best,
            "kept": "last" if plan.keeps_last else "best",
            "kept_epoch": position.kept_epoch,
            "steps_per_pass": batches.steps_per_pass,
            "monitor": recipe.monitor,
            "seconds": round(position.seconds, 1),
        },
    )
