"""Warm restarts (SGDR): down along a cosine, back up at once, each time for longer."""

import math

import keras
from keras import ops

from keras_audio.layers.checks import at_least


@keras.saving.register_keras_serializable("keras_audio")
class WarmRestarts(keras.optimizers.schedules.LearningRateSchedule):
    """Fall from the highest to the lowest rate along half a cosine, cycle after cycle.

    Loshchilov and Hutter 2016, "SGDR", equation 5, per step; the cycles of McDonnell and Gao 2019,
    section 3.6: 2, 4, 8, ... 256 epochs, 510 in all. (Their list of restarts leaves out the one
    after 62 epochs.)

    Args:
        max_learning_rate: The rate at the start of each cycle.
        steps_per_epoch: Updates an epoch.
        min_learning_rate: The rate that a cycle falls to.
        first_cycle: Epochs of the first cycle.
        cycle_growth: How many times longer each cycle is than the one before.

    Call arguments:
        step: Number of the update, from 0; also an array of them.

    Returns:
        The learning rate of that update, float32.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> schedule = WarmRestarts(0.1, steps_per_epoch=10)
        >>> [f"{float(schedule(step)):.5f}" for step in (0, 10, 19, 20, 59, 60)]
        ['0.10000', '0.05000', '0.00063', '0.10000', '0.00016', '0.10000']
        >>> schedule.cycle_ends(510)
        [2, 6, 14, 30, 62, 126, 254, 510]
    """

    def __init__(
        self,
        max_learning_rate: float,
        steps_per_epoch: int,
        min_learning_rate: float = 1e-5,
        first_cycle: int = 2,
        cycle_growth: int = 2,
    ):
        self.steps_per_epoch = at_least("steps_per_epoch", steps_per_epoch, 1)
        self.first_cycle = at_least("first_cycle", first_cycle, 1)
        self.cycle_growth = at_least("cycle_growth", cycle_growth, 1)
        if not 0 <= min_learning_rate < max_learning_rate < math.inf:
            raise ValueError(
                "Expected 0 <= min_learning_rate < max_learning_rate. "
                f"Received: {min_learning_rate=}, {max_learning_rate=}"
            )
        self.max_learning_rate = float(max_learning_rate)
        self.min_learning_rate = float(min_learning_rate)

    def __call__(self, step):
        """Give the learning rate; see the class."""
        step = ops.cast(step, "int32")
        # Whole numbers up to the last factor: half a million steps are too many for float32.
        start, length = ops.zeros_like(step), ops.full_like(step, self._first_steps)
        begin, steps = 0, self._first_steps
        # As many cycles as an int32 of steps can hold; with equal ones the remainder is enough.
        if self.cycle_growth == 1:
            start = step // steps * steps
        else:
            while (begin := begin + steps) < 2**31 - 1:
                steps = min(steps * self.cycle_growth, 2**31 - 1 - begin)
                later = step >= begin
                start = ops.where(later, begin, start)
                length = ops.where(later, steps, length)
        share = ops.cast(step - start, "float32") / ops.cast(length, "float32")
        height = (self.max_learning_rate - self.min_learning_rate) / 2.0
        return self.min_learning_rate + height * (1.0 + ops.cos(math.pi * share))

    @property
    def _first_steps(self) -> int:
        return self.first_cycle * self.steps_per_epoch

    def cycle_ends(self, epochs: int) -> list[int]:
        """Give the epochs, up to `epochs`, after which a cycle ends."""
        ends, length = [], self.first_cycle
        while (end := (ends[-1] if ends else 0) + length) <= epochs:
            ends.append(end)
            length *= self.cycle_growth
        return ends

    def get_config(self):
        """Give the arguments that rebuild the schedule."""
        return {
            "max_learning_rate": self.max_learning_rate,
            "steps_per_epoch": self.steps_per_epoch,
            "min_learning_rate": self.min_learning_rate,
            "first_cycle": self.first_cycle,
            "cycle_growth": self.cycle_growth,
        }
