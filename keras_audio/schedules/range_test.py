"""The learning-rate range test: a rate that grows step by step, and what its losses tell."""

import dataclasses
import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_audio.layers.checks import at_least


@keras.saving.register_keras_serializable("keras_audio")
class RangeTest(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that grows from `start` by one factor each step, to reach `end` at `steps`.

    Colangelo et al. 2021, section 3, after Smith 2017: "the model is trained with a different
    [learning rate] for each batch". The values are those of the fastai 1 library that they used.

    Args:
        start: The rate of the first step, above 0.
        end: The rate after `steps` steps, above `start`.
        steps: How many steps it grows for; the rate stays at `end` afterwards.

    Call arguments:
        step: Number of the update, from 0; also an array of them.

    Returns:
        The learning rate of that update, `start * (end / start) ** (step / steps)`, float32.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> schedule = RangeTest(1e-4, 1.0, steps=8)
        >>> [f"{float(schedule(step)):.0e}" for step in (0, 2, 4, 6, 8, 9)]
        ['1e-04', '1e-03', '1e-02', '1e-01', '1e+00', '1e+00']
    """

    def __init__(self, start: float = 1e-7, end: float = 10.0, steps: int = 100):
        if not 0 < start < end < math.inf:
            raise ValueError(f"Expected 0 < start < end. Received: {start=}, {end=}")
        self.start, self.end = float(start), float(end)
        self.steps = at_least("steps", steps, 1)

    def __call__(self, step):
        """Give the learning rate; see the class."""
        share = ops.clip(ops.cast(step, "float32") / self.steps, 0.0, 1.0)
        return self.start * ops.exp(math.log(self.end / self.start) * share)

    def rates(self, count: int | None = None) -> np.ndarray:
        """The rates of the first steps, (count,) float64; by default those of all `steps`."""
        shares = np.arange(self.steps if count is None else count) / self.steps
        return self.start * (self.end / self.start) ** np.minimum(shares, 1.0)

    def get_config(self):
        """Give the arguments that rebuild the schedule."""
        return {"start": self.start, "end": self.end, "steps": self.steps}


class LossWatch:
    """Averages the losses of a range test as they come, and says when to stop.

    The average is exponential, each loss counting `beta` times as much as the one after it, and
    divided by the sum of its weights, so that it does not begin at zero. The test stops at a loss
    that is not finite, and when the average exceeds `limit` times its least value so far, which it
    never does at the first.

    Args:
        beta: Weight of the past in the average, from 0 to below 1.
        limit: How many times its least value the average may be, above 1.

    Attributes:
        losses: The losses so far, a list.
        smoothed: Their average after each of them, a list.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> watch = LossWatch(beta=0.5)
        >>> [watch.add(loss) for loss in (2.0, 0.5, 4.0, 16.0)]
        [False, False, False, True]
        >>> [round(value, 3) for value in watch.smoothed]
        [2.0, 1.0, 2.714, 9.8]
    """

    def __init__(self, beta: float = 0.98, limit: float = 4.0):
        if not 0 <= beta < 1:
            raise ValueError(f"Expected beta from 0 to below 1. Received: {beta=}")
        if not 1 < limit < math.inf:
            raise ValueError(f"Expected limit to be a number above 1. Received: {limit=}")
        self.beta, self.limit = beta, limit
        self.losses: list[float] = []
        self.smoothed: list[float] = []
        self._sum, self._least = 0.0, math.inf

    def add(self, loss: float) -> bool:
        """Take the loss of a step; returns whether the test is to stop behind it."""
        self.losses.append(float(loss))
        self._sum = self.beta * self._sum + (1 - self.beta) * self.losses[-1]
        smoothed = self._sum / (1 - self.beta ** len(self.losses))
        self.smoothed.append(smoothed)
        if not math.isfinite(smoothed):
            return True
        too_large = smoothed > self.limit * self._least
        self._least = min(self._least, smoothed)
        return too_large


@dataclasses.dataclass(frozen=True)
class SuggestedRates:
    """The learning rates that a range test speaks for, the smallest risk first.

    Args:
        steepest: Where the averaged loss falls steepest, over the logarithm of the rate. How
            steeply it falls at a step is the slope of the straight line that fits best there, to a
            tenth of the steps before and a tenth behind: between neighbours it is mostly noise.
        stable: The largest rate up to which it falls without a break at least half as steeply:
            "the largest value that achieves a stable reduction in loss" (Colangelo et al. 2021,
            section 3), made precise.
        tenth: A tenth of the rate at which it is least, or of the last rate if it fell to the end.
    """

    steepest: float
    stable: float
    tenth: float


def suggest_rates(
    learning_rates: Sequence[float], smoothed: Sequence[float]
) -> SuggestedRates | None:
    """Read the learning rates off the curve of a range test.

    The first tenth of the curve counts for nothing, as its averages are of few losses, and neither
    does anything from the first value on that is not finite. Slopes are of the steps up to the
    least value whose line has all its steps before. Behind, it may be cut short by the curve's end;
    that it takes in how the loss rises beyond the least value keeps `stable` away from there.

    Args:
        learning_rates: The rate of each step, (steps,), growing.
        smoothed: The averaged loss after each step, (steps,).

    Returns:
        The rates, or None where the loss fell nowhere, nor any of the lines.

    Raises:
        ValueError: If the two are of different lengths.

    Example:
        >>> rates = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]
        >>> suggest_rates(rates, [3.0, 2.9, 2.4, 1.7, 1.5, 9.0])
        SuggestedRates(steepest=0.001, stable=0.01, tenth=0.01)
    """
    rates, values = np.asarray(learning_rates, np.float64), np.asarray(smoothed, np.float64)
    if rates.ndim != 1 or rates.shape != values.shape:
        raise ValueError(
            "Expected a rate for each of the losses. "
            f"Received: learning_rates of shape {rates.shape}, smoothed of shape {values.shape}"
        )
    first = len(rates) // 10
    broken = np.flatnonzero(~np.isfinite(values))
    end = broken[0] if len(broken) else len(values)
    if end - first < 2:
        return None
    least = first + int(np.argmin(values[first:end]))
    if least == first:
        return None
    reach = max(1, len(rates) // 10)
    slopes = np.full(len(values), np.inf)
    slopes[first:end] = _slopes(np.log(rates[first:end]), values[first:end], reach)
    begin = min(first + reach, least)
    steepest = begin + int(np.argmin(slopes[begin : least + 1]))
    if slopes[steepest] >= 0:
        return None
    slower = np.flatnonzero(slopes[steepest : least + 1] > slopes[steepest] / 2)
    stable = steepest + int(slower[0]) - 1 if len(slower) else least
    return SuggestedRates(
        steepest=float(rates[steepest]),
        stable=float(rates[stable]),
        tenth=float(rates[least] / 10),
    )


def _slopes(x: np.ndarray, y: np.ndarray, reach: int) -> np.ndarray:
    """At each point, the slope of the line of least squares through it and `reach` on each side."""

    def sums(terms: np.ndarray) -> np.ndarray:
        return np.convolve(terms, np.ones(2 * reach + 1))[reach : reach + len(terms)]

    # Near zero, the differences below lose fewer digits.
    x, y = x - x.mean(), y - y[0]
    count, sum_x, sum_y = sums(np.ones_like(x)), sums(x), sums(y)
    return (count * sums(x * y) - sum_x * sum_y) / (count * sums(x * x) - sum_x**2)
