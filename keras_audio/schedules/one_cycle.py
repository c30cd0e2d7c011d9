"""The one-cycle policy: a warm-up to a high rate, then a long way down."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_audio")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Rise along a cosine to `max_learning_rate`, then fall along a cosine to almost nothing.

    Smith and Topin's policy. Neither Verbitskiy et al. 2022 (section 4.1) nor Colangelo et al.
    2021 give its shape: the defaults are those of the fastai 1 library, which the latter used.

    Args:
        max_learning_rate: The highest rate, at the end of the warm-up.
        steps: Length of the cycle; the rate stays at its end afterwards.
        warmup_fraction: Share of the steps that the rate rises for.
        start_divisor: The rate starts at `max_learning_rate / start_divisor`.
        end_divisor: The rate ends at `max_learning_rate / end_divisor`.

    Call arguments:
        step: Number of the update, from 0.

    Returns:
        The learning rate of that update, float32.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> schedule = OneCycle(1e-3, steps=100)
        >>> [f"{float(schedule(step)):.2e}" for step in (0, 30, 65, 100)]
        ['4.00e-05', '1.00e-03', '5.00e-04', '4.00e-09']
    """

    def __init__(
        self,
        max_learning_rate: float,
        steps: int,
        warmup_fraction: float = 0.3,
        start_divisor: float = 25.0,
        end_divisor: float = 25e4,
    ):
        self.max_learning_rate = _above("max_learning_rate", max_learning_rate, 0)
        self.steps = _above("steps", steps, 0)
        if not 0 <= warmup_fraction < 1:
            raise ValueError(
                f"Expected warmup_fraction from 0 to below 1. Received: {warmup_fraction=}"
            )
        self.warmup_fraction = warmup_fraction
        self.start_divisor = _above("start_divisor", start_divisor, 1)
        self.end_divisor = _above("end_divisor", end_divisor, 1)

    def __call__(self, step):
        """Give the learning rate; see the class."""
        step = ops.cast(step, "float32")
        highest = self.max_learning_rate
        warmup = self.warmup_fraction * self.steps
        # Where there is no warm-up its value is never chosen; 1 keeps it from dividing by zero.
        rise = _cosine(highest / self.start_divisor, highest, step / (warmup or 1.0))
        fall = _cosine(highest, highest / self.end_divisor, (step - warmup) / (self.steps - warmup))
        return ops.where(step < warmup, rise, fall)

    def get_config(self):
        """Give the arguments that rebuild the schedule."""
        return {
            "max_learning_rate": self.max_learning_rate,
            "steps": self.steps,
            "warmup_fraction": self.warmup_fraction,
            "start_divisor": self.start_divisor,
            "end_divisor": self.end_divisor,
        }


def _cosine(start: float, end: float, share):
    """From `start` to `end` along half a cosine while `share` goes from 0 to 1."""
    share = ops.clip(share, 0.0, 1.0)
    return end + (start - end) * (1.0 + ops.cos(math.pi * share)) / 2.0


def _above(name: str, value: float, least: float) -> float:
    if not (isinstance(value, int | float) and least < value < math.inf):
        raise ValueError(f"Expected {name} to be a number above {least}. Received: {name}={value}")
    return value
