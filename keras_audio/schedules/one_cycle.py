"""The one-cycle policy: a warm-up to a high rate, then a long way down; momentum against it."""

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
        warmup_fraction: Share of the steps that the rate rises for, in whole steps.
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
        self.warmup_fraction = _share("warmup_fraction", warmup_fraction)
        self.start_divisor = _above("start_divisor", start_divisor, 1)
        self.end_divisor = _above("end_divisor", end_divisor, 1)

    def __call__(self, step):
        """Give the learning rate; see the class."""
        highest = self.max_learning_rate
        first, last = highest / self.start_divisor, highest / self.end_divisor
        return _there_and_on(step, self.steps, self.warmup_fraction, first, highest, last)

    def get_config(self):
        """Give the arguments that rebuild the schedule."""
        return {
            "max_learning_rate": self.max_learning_rate,
            "steps": self.steps,
            "warmup_fraction": self.warmup_fraction,
            "start_divisor": self.start_divisor,
            "end_divisor": self.end_divisor,
        }


@keras.saving.register_keras_serializable("keras_audio")
class OneCycleMomentum(keras.optimizers.schedules.LearningRateSchedule):
    """The momentum of the one-cycle policy: down while the rate rises, and up again.

    Colangelo et al. 2021, section 3: from the highest to the lowest value while the learning rate
    goes up, and back. Both ways are half cosines, as in the fastai 1 library that the paper used;
    its values are the defaults. It is a learning-rate schedule by type alone, so that an optimizer
    that takes one as its momentum (`GroupedAdamW`) saves it.

    Args:
        steps: Length of the cycle; the momentum stays at its end afterwards.
        max_momentum: Where it starts and ends, from 0 to below 1.
        min_momentum: Where it is at the end of the warm-up, from 0 to `max_momentum`.
        warmup_fraction: Share of the steps that it falls for.

    Call arguments:
        step: Number of the update, from 0.

    Returns:
        The momentum of that update, float32.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> schedule = OneCycleMomentum(steps=100)
        >>> [f"{float(schedule(step)):.3f}" for step in (0, 15, 30, 65, 100)]
        ['0.950', '0.900', '0.850', '0.900', '0.950']
    """

    def __init__(
        self,
        steps: int,
        max_momentum: float = 0.95,
        min_momentum: float = 0.85,
        warmup_fraction: float = 0.3,
    ):
        self.steps = _above("steps", steps, 0)
        self.max_momentum = _share("max_momentum", max_momentum)
        self.min_momentum = _share("min_momentum", min_momentum)
        if min_momentum > max_momentum:
            raise ValueError(
                "Expected min_momentum to be at most max_momentum. "
                f"Received: {min_momentum=}, {max_momentum=}"
            )
        self.warmup_fraction = _share("warmup_fraction", warmup_fraction)

    def __call__(self, step):
        """Give the momentum; see the class."""
        highest, lowest = self.max_momentum, self.min_momentum
        return _there_and_on(step, self.steps, self.warmup_fraction, highest, lowest, highest)

    def get_config(self):
        """Give the arguments that rebuild the schedule."""
        return {
            "steps": self.steps,
            "max_momentum": self.max_momentum,
            "min_momentum": self.min_momentum,
            "warmup_fraction": self.warmup_fraction,
        }


def _there_and_on(
    step, steps: int, warmup_fraction: float, first: float, middle: float, last: float
):
    """From `first` to `middle` in the warm-up, then to `last`, each along half a cosine."""
    step = ops.cast(step, "float32")
    warmup = int(warmup_fraction * steps)  # whole steps, as that library counts them
    # Where there is no warm-up its value is never chosen; 1 keeps it from dividing by zero.
    before = _cosine(first, middle, step / (warmup or 1.0))
    after = _cosine(middle, last, (step - warmup) / (steps - warmup))
    return ops.where(step < warmup, before, after)


def _cosine(start: float, end: float, share):
    """From `start` to `end` along half a cosine while `share` goes from 0 to 1."""
    share = ops.clip(share, 0.0, 1.0)
    return end + (start - end) * (1.0 + ops.cos(math.pi * share)) / 2.0


def _above(name: str, value: float, least: float) -> float:
    if not (isinstance(value, int | float) and least < value < math.inf):
        raise ValueError(f"Expected {name} to be a number above {least}. Received: {name}={value}")
    return value


def _share(name: str, value: float) -> float:
    if not (isinstance(value, int | float) and 0 <= value < 1):
        raise ValueError(f"Expected {name} from 0 to below 1. Received: {name}={value}")
    return value
