"""Two methods on the same folds: by how much one is better, and whether chance does as much."""

import dataclasses
from collections.abc import Mapping

import numpy as np

# Shares of clips that are equal differ by rounding, which must not break a tie.
_DIGITS = 9


@dataclasses.dataclass(frozen=True)
class PairedComparison:
    """What `compare_paired` found; the differences are those of the first method to the second.

    Attributes:
        differences: By fold, the mean over the seeds that both methods have there.
        mean: Of the differences.
        p_value: Of the two-sided Wilcoxon signed-rank test; 1 where nothing differs.
        least_p_value: What it would be if all the folds that differ said the same: with few folds
            no difference, however large, goes below.

    Example:
        >>> found = compare_paired({1: 0.8, 2: 0.9}, {1: 0.7, 2: 0.7})
        >>> for part in found.sentence().split(", Wilcoxon"):
        ...     print(part)
        +15.0 points on average of 2 folds (2 up, 0 down, 0 equal)
         p = 0.5; so few folds cannot go below 0.5
    """

    differences: Mapping[int, float]
    mean: float
    p_value: float
    least_p_value: float

    @property
    def signs(self) -> tuple[int, int, int]:
        """The folds in which the first method is better, worse, and the same."""
        signs = np.sign(list(self.differences.values()))
        return tuple(int(np.sum(signs == sign)) for sign in (1, -1, 0))

    def sentence(self, level: float = 0.05) -> str:
        """The comparison in words, differences of shares in percentage points.

        Args:
            level: Where even the least p is not below it, the sentence says so.
        """
        up, down, same = self.signs
        folds = len(self.differences)
        text = (
            f"{100 * self.mean:+.1f} points on average of {folds} fold{'s' if folds > 1 else ''} "
            f"({up} up, {down} down, {same} equal), Wilcoxon p = {self.p_value:.3g}"
        )
        if self.least_p_value >= level:
            text += f"; so few folds cannot go below {self.least_p_value:.3g}"
        return text


def compare_paired(
    first: Mapping[int | tuple[int, int], float], second: Mapping[int | tuple[int, int], float]
) -> PairedComparison:
    """Compare two methods on the folds, and the seeds, that both were measured on.

    Runs of one fold share their clips and are no independent witnesses, so that the seeds of a fold
    are averaged first, and each fold counts once. The test is Wilcoxon's signed-rank test as he
    gave it: folds without a difference are left out. Up to 13 folds it is exact, with ties as well.

    Args:
        first: A score, such as an accuracy from 0 to 1, by fold, or by fold and seed.
        second: Likewise, of the method to compare with.

    Returns:
        The comparison.

    Raises:
        ValueError: If the two have no fold and seed in common, or a score is not finite.

    Example:
        >>> mel = {(1, 0): 0.80, (2, 0): 0.75, (3, 0): 0.90}
        >>> baseline = {(1, 0): 0.75, (2, 0): 0.75, (3, 0): 0.80, (3, 1): 0.10}
        >>> found = compare_paired(mel, baseline)
        >>> found.differences, found.signs, found.p_value
        ({1: 0.05, 2: 0.0, 3: 0.1}, (2, 0, 1), 0.5)
    """
    from scipy import stats  # Only who compares waits for it.

    pairs: dict[int, list[float]] = {}
    for key in sorted(first.keys() & second.keys()):
        fold = key[0] if isinstance(key, tuple) else key
        pairs.setdefault(fold, []).append(first[key] - second[key])
    if not pairs:
        raise ValueError(
            "Expected two methods with runs on a fold and seed in common. "
            f"Received: first={sorted(first)}, second={sorted(second)}"
        )
    differences = {fold: round(float(np.mean(found)), _DIGITS) for fold, found in pairs.items()}
    values = np.array(list(differences.values()))
    if not np.isfinite(values).all():
        raise ValueError(f"Expected finite scores. Received: differences={differences}")
    differing = values[values != 0]
    return PairedComparison(
        differences=differences,
        mean=float(values.mean()),
        p_value=float(stats.wilcoxon(differing).pvalue) if len(differing) else 1.0,
        # All of one sign: one of the 2^n draws of signs, and its mirror image.
        least_p_value=min(1.0, 2.0 ** (1 - len(differing))),
    )
