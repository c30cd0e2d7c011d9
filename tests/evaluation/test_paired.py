"""The paired comparison against Wilcoxon's test counted by hand over all signs."""

import doctest
import itertools

import numpy as np
import pytest

from keras_audio.evaluation import compare_paired, paired


def by_hand(differences):
    """The two-sided p-value: how many of all draws of signs are as far from the middle."""
    differences = [value for value in differences if value]
    sizes = sorted(map(abs, differences))
    rank = {size: 1 + np.mean([n for n, s in enumerate(sizes) if s == size]) for size in sizes}
    ranks = [rank[abs(value)] for value in differences]
    middle = sum(ranks) / 2

    def distance(signs):
        return abs(sum(r for r, sign in zip(ranks, signs, strict=True) if sign > 0) - middle)

    found = distance(np.sign(differences))
    draws = list(itertools.product((-1, 1), repeat=len(ranks)))
    return np.mean([distance(signs) >= found - 1e-9 for signs in draws])


@pytest.mark.parametrize(
    "differences",
    [
        (0.05, 0.02, 0.0625, 0.0525, 0.0225),
        (0.01, -0.02, 0.03, -0.04, 0.05),
        (0.01, 0.01, -0.01, 0.02, 0.02),  # ties
        (0.0, 0.02, 0.0, -0.01, 0.03),  # folds that say nothing
        (0.045, 0.0, -0.03),
        (-0.1, -0.2, -0.3, -0.4, -0.5, -0.6, -0.7, -0.8, -0.9, -0.95),
    ],
)
def test_p_values_are_those_of_all_signs(differences):
    second = {fold: 0.0 for fold in range(1, len(differences) + 1)}
    first = dict(zip(second, differences, strict=True))
    found = compare_paired(first, second)
    assert found.p_value == pytest.approx(by_hand(differences), abs=1e-12)
    assert found.mean == pytest.approx(np.mean(differences))
    assert found.signs == tuple(sum(np.sign(differences) == sign) for sign in (1, -1, 0))
    # The other way round.
    back = compare_paired(second, first)
    assert back.p_value == found.p_value and back.mean == -found.mean


def test_few_folds_cannot_say_much():
    five = compare_paired({n: 0.9 - n / 100 for n in range(5)}, {n: 0.1 for n in range(5)})
    assert five.p_value == five.least_p_value == 0.0625
    assert five.sentence().endswith("p = 0.0625; so few folds cannot go below 0.0625")
    six = compare_paired({n: 0.9 - n / 100 for n in range(6)}, {n: 0.1 for n in range(6)})
    assert six.p_value == six.least_p_value == 0.03125 and "cannot" not in six.sentence()
    # A fold in which nothing differs takes no part, and leaves still fewer.
    tied = compare_paired({1: 0.5, 2: 0.6, 3: 0.7}, {1: 0.5, 2: 0.5, 3: 0.5})
    assert tied.least_p_value == 0.5 and tied.signs == (2, 0, 1)
    same = compare_paired({1: 0.5}, {1: 0.5})
    assert (same.p_value, same.least_p_value, same.mean) == (1.0, 1.0, 0.0)
    assert "of 1 fold (0 up, 0 down, 1 equal), Wilcoxon p = 1" in same.sentence()


def test_ties_are_not_broken_by_rounding():
    # 0.3 - 0.2 is not 0.2 - 0.1 in floats, nor is 0.4 - 0.3.
    found = compare_paired({1: 0.2, 2: 0.3, 3: 0.3}, {1: 0.1, 2: 0.2, 3: 0.4})
    assert len({abs(value) for value in found.differences.values()}) == 1
    assert found.p_value == 1.0


def test_only_runs_that_both_have_are_compared_and_seeds_count_once_a_fold():
    first = {(1, 0): 0.8, (1, 1): 0.6, (2, 0): 0.7, (3, 0): 1.0}
    second = {(1, 0): 0.5, (1, 1): 0.5, (2, 0): 0.6, (2, 1): 0.0, (4, 0): 0.0}
    found = compare_paired(first, second)
    assert found.differences == {1: 0.2, 2: 0.1} and found.mean == pytest.approx(0.15)
    assert found.least_p_value == 0.5


def test_errors_name_what_was_given():
    with pytest.raises(ValueError, match=r"in common.*Received: first=\[1\], second=\[2\]"):
        compare_paired({1: 0.5}, {2: 0.5})
    with pytest.raises(ValueError, match="finite scores.*Received: differences"):
        compare_paired({1: float("nan")}, {1: 0.5})


def test_the_examples():
    assert doctest.testmod(paired).failed == 0
