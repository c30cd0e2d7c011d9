"""The learning-rate range test of a recipe: train a little while the rate grows, and look."""

import dataclasses
import os
import pathlib

import keras
import tensorflow as tf
from keras.optimizers.schedules import LearningRateSchedule
from tqdm import tqdm

from keras_audio.files import write_csv, write_text
from keras_audio.models.transfer import copy_weights, transfer_weights
from keras_audio.recipes import Recipe
from keras_audio.schedules import LossWatch, RangeTest, SuggestedRates, suggest_rates
from keras_audio.training.fitting import Plan, set_up
from keras_audio.training.loop import TrainingLoop
from keras_audio.training.opening import source_file
from keras_audio.training.statistics import feature_statistics
from keras_audio.training.trainer import check_clips, open_data


@dataclasses.dataclass(frozen=True)
class RateCurve:
    """The steps that a range test made.

    Args:
        schedule: The rates that it was to try.
        watch: The losses that it met; that of a step is measured before its update.
        diverged: Whether it stopped since the loss had grown too large.
    """

    schedule: RangeTest
    watch: LossWatch
    diverged: bool

    @property
    def learning_rates(self) -> list[float]:
        """The rate of each step made."""
        return self.schedule.rates(len(self.watch.losses)).tolist()

    @property
    def suggested(self) -> SuggestedRates | None:
        """The rates that it speaks for, if the loss fell at all."""
        return suggest_rates(self.learning_rates, self.watch.smoothed)

    def write(self, folder: str | os.PathLike) -> pathlib.Path:
        """Write `range_test.csv`, a row a step, and `range_test.svg`; returns the path of the plot.

        Args:
            folder: Where they go; made if needed. What is there of these names is replaced.
        """
        from keras_audio.evaluation.range_test_plot import range_test_plot

        folder, columns = pathlib.Path(folder), ("step", "learning_rate", "loss", "smoothed_loss")
        watch = self.watch
        rows = zip(self.learning_rates, watch.losses, watch.smoothed, strict=True)
        write_csv(
            folder / "range_test.csv",
            columns,
            [dict(zip(columns, (step, *row), strict=True)) for step, row in enumerate(rows)],
        )
        plot = folder / "range_test.svg"
        write_text(
            plot,
            range_test_plot(self.learning_rates, watch.losses, watch.smoothed, self.suggested),
        )
        return plot


def find_learning_rate(
    recipe: Recipe,
    schedule: RangeTest | None = None,
    *,
    data_dir: str | os.PathLike = "data",
    stage: int = 1,
    init_from: str | os.PathLike | None = None,
    progress: bool = True,
) -> RateCurve:
    """Train as `recipe` does, at a learning rate that grows each step, until the loss diverges.

    Colangelo et al. 2021, section 3: the range test by which their rates were chosen. All but the
    rate is the recipe's: clips, augmentation and mixes, the kind of optimizer, its weight decay and
    its learning-rate groups, which keep their factors. The paper does not say what a momentum that
    cycles does meanwhile: here it stays where its cycle begins, so that the rate is all that
    changes. No weights are kept, and no folder is left.

    Args:
        recipe: What to train.
        schedule: The rates to try; by default 100 from 1e-7 to 10.
        data_dir: Where `keras-audio prepare` put the records.
        stage: Which of the recipe's stages to train, from 1.
        init_from: As of `train`: weights to begin with, except those of the last layer. A run of
            the stages before is what a later stage begins with: of such the last layer is taken
            too, where all of its layers and their shapes are the same.
        progress: Whether to show a progress bar.

    Returns:
        The steps made and what they speak for.

    Raises:
        ValueError: If the recipe has no such stage, or does not fit the records or the weights; or
            if the first loss is not finite.
    """
    plans = Plan.of(recipe)
    if not 1 <= stage <= len(plans):
        raise ValueError(
            f"Expected a stage from 1 to {len(plans)}, those of the recipe. Received: {stage=}"
        )
    plan, schedule = plans[stage - 1], schedule or RangeTest()
    records, split = open_data(plan.recipe, data_dir)
    check_clips(plan.recipe, split)
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(plan.seed)
    model, statistics = plan.recipe.build_model(len(records.labels)), None
    if (layer := recipe.statistics_layer) is not None:
        statistics = feature_statistics(model, layer, records, split.train_folds)
        model = plan.recipe.build_model(len(records.labels), statistics)
    if init_from is not None:
        source = plan.recipe.load_source(source_file(init_from))
        copied = transfer_weights(source, model)
        if stage > 1 and _shapes(source, copied) == _shapes(model, copied):
            copy_weights(source, model)
    sweep = dataclasses.replace(
        plan,
        build_optimizer=lambda steps: with_rates(plan.build_optimizer(steps), schedule),
        callbacks=[],
        averaging_decay=None,
    )
    loop, batches, _ = set_up(model, records, split.train_folds, sweep)
    return _sweep(loop, batches.steps(0, schedule.steps), schedule, progress)


def with_rates(
    optimizer: keras.optimizers.Optimizer, schedule: LearningRateSchedule
) -> keras.optimizers.Optimizer:
    """Let a new optimizer follow other learning rates, at the momentum it would begin with.

    Example:
        >>> from keras_audio.schedules import GroupedAdamW, OneCycle, OneCycleMomentum
        >>> optimizer = GroupedAdamW(OneCycle(0.1, 50), momentum=OneCycleMomentum(50))
        >>> optimizer = with_rates(optimizer, RangeTest(1e-5, 1.0, 50))
        >>> round(optimizer.momentum, 4), f"{float(optimizer.learning_rate):.0e}"
        (0.95, '1e-05')
    """
    optimizer.learning_rate = schedule
    if isinstance(getattr(optimizer, "momentum", None), LearningRateSchedule):
        optimizer.momentum = float(optimizer.momentum(0))
    return optimizer


def _shapes(model: keras.Model, without: list[str]) -> dict[str, list[tuple]]:
    """The shapes of the weights of each layer that has some, by its name, but for some layers."""
    return {
        layer.name: [tuple(weight.shape) for weight in layer.weights]
        for layer in model.layers
        if layer.weights and layer.name not in without
    }


def _sweep(
    loop: TrainingLoop, dataset: tf.data.Dataset, schedule: RangeTest, progress: bool
) -> RateCurve:
    """Make the steps until the watch says stop."""
    watch, diverged = LossWatch(), False
    bar = tqdm(
        dataset,
        "range test",
        schedule.steps,
        unit="step",
        disable=None if progress else True,  # None: shown on a terminal only
        dynamic_ncols=True,
    )
    with bar:
        for batch in bar:
            loop.totals.assign(tf.zeros_like(loop.totals))
            loop.train_step(batch)
            total, _, count = loop.totals.numpy()
            diverged = watch.add(total / count)
            if len(watch.losses) == 1 and diverged:
                raise ValueError(
                    "Expected a finite loss of the weights that the test begins with. "
                    f"Received: loss={watch.losses[0]}"
                )
            rate = float(schedule(len(watch.losses) - 1))
            bar.set_postfix(rate=f"{rate:.2g}", loss=f"{watch.smoothed[-1]:.3f}")
            if diverged:
                break
    return RateCurve(schedule, watch, diverged)
