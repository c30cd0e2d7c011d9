"""The runs of one method over folds and seeds as one number: mean, deviations, 95 % interval."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from scipy import stats

LEVEL = 0.95


@dataclasses.dataclass(frozen=True)
class Aggregate:
    """What `aggregate` found.

    Attributes:
        mean: Of all runs.
        fold_deviation: Sample standard deviation of the folds' means over the seeds; None where
            there is one fold.
        seed_deviation: That of the seeds' means over the folds; None where there is one seed.
        interval: The 95 % confidence interval of the mean: over folds or, of one fold, over its
            seeds; None of one run, and where folds share no seed.
        folds: How many folds there are.
        seeds: How many seeds there are.
        runs: How many runs there are.
    """

    mean: float
    fold_deviation: float | None
    seed_deviation: float | None
    interval: tuple[float, float] | None
    folds: int
    seeds: int
    runs: int


def aggregate(values: Mapping[tuple[int, int], float]) -> Aggregate:
    """Summarise a metric over folds and seeds.

    A fold's value is its mean over the seeds, a seed's its mean over the folds: the first deviation
    says how far folds differ, the second what chance does to the whole. Where a grid is not
    complete, folds are compared over the seeds that all of them have, and seeds likewise.

    The interval is Student's, from the means of the folds; with one fold, from its seeds: it then
    says nothing of other folds. Trainings on other folds share most of their clips, so that their
    scores are not independent and the interval tends to be too narrow (Bengio and Grandvalet,
    "No unbiased estimator of the variance of k-fold cross-validation", 2004).

    Args:
        values: By fold and seed.

    Raises:
        ValueError: If there are none.

    Example:
        >>> found = aggregate({(1, 0): 0.8, (2, 0): 0.9, (3, 0): 0.85})
        >>> round(found.mean, 4), round(found.fold_deviation, 4), found.seed_deviation
        (0.85, 0.05, None)
        >>> [round(end, 4) for end in found.interval]  # 0.85 -+ 4.303 * 0.05 / sqrt(3)
        [0.7258, 0.9742]
        >>> aggregate({(1, 0): 0.8}).interval is None
        True
    """
    if not values:
        raise ValueError(f"Expected a run at least. Received: values={dict(values)}")
    mean = float(np.mean(list(values.values())))
    by_fold, by_seed = (_means(values, axis) for axis in (0, 1))
    deviations = [
        float(np.std(means, ddof=1)) if len(means) > 1 else None for means in (by_fold, by_seed)
    ]
    sample = by_fold if len(by_fold) > 1 else by_seed
    interval = None
    if len(sample) > 1:
        quantile = stats.t.ppf((1 + LEVEL) / 2, len(sample) - 1)
        reach = float(quantile * np.std(sample, ddof=1) / np.sqrt(len(sample)))
        interval = (mean - reach, mean + reach)
    folds, seeds = (len({key[axis] for key in values}) for axis in (0, 1))
    return Aggregate(mean, *deviations, interval, folds, seeds, len(values))


def _means(values: Mapping[tuple[int, int], float], axis: int) -> list[float]:
    """The mean of each fold or seed, over what all of them have of the other."""
    groups: dict[int, dict[int, float]] = {}
    for key, value in values.items():
        groups.setdefault(key[axis], {})[key[1 - axis]] = value
    shared = set.intersection(*(set(group) for group in groups.values()))
    if not shared:
        return []
    return [float(np.mean([group[other] for other in sorted(shared)])) for group in groups.values()]
