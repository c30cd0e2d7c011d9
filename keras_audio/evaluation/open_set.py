"""Scores where one class is that of all unknown sounds, as in task 1c of DCASE 2019.

The task counts the known classes together as much as the unknown one. McDonnell and Gao (2019,
section 3.7) therefore multiply the probability of the unknown class by a weight before the most
probable class is chosen.
"""

from collections.abc import Sequence

import numpy as np


def predicted_classes(
    probabilities: np.ndarray,
    unknown_index: int | None = None,
    unknown_weight: float | np.ndarray = 1.0,
) -> np.ndarray:
    """The most probable classes (clips,), the first of them in a tie.

    Args:
        probabilities: (clips, classes).
        unknown_index: Column of the unknown class, if there is one.
        unknown_weight: Its probability is multiplied by this first: one number, or (clips,).

    Example:
        >>> predicted_classes([[0.6, 0.4], [0.9, 0.1]], unknown_index=1, unknown_weight=5).tolist()
        [1, 0]
    """
    if unknown_index is not None:
        probabilities = np.array(probabilities, np.float64)
        probabilities[:, unknown_index] *= unknown_weight
    return np.argmax(probabilities, axis=1)


def open_set_scores(
    targets: np.ndarray, predicted: np.ndarray, unknown_index: int
) -> dict[str, float | None]:
    """The score of task 1c and what it is made of.

    Args:
        targets: True class indices (clips,).
        predicted: Predicted class indices (clips,).
        unknown_index: Index of the unknown class.

    Returns:
        `known_recall` and `known_precision`, means over the known classes that occur among
        `targets`; `unknown_recall` and `unknown_precision`; `score`, the mean of the two recalls.
        None where no such class occurs.

    Example:
        >>> scores = open_set_scores(np.array([0, 0, 1, 2]), np.array([0, 2, 1, 2]), 2)
        >>> scores["known_recall"], scores["unknown_recall"], scores["score"]
        (0.75, 1.0, 0.875)
    """
    # Imported here because scikit-learn takes a second to load and `--help` must not wait for it.
    from sklearn.metrics import precision_recall_fscore_support

    classes = np.unique(targets)
    precision, recall, _, _ = precision_recall_fscore_support(
        targets, predicted, labels=classes, zero_division=0
    )
    scores = {
        f"{name}_{measure}": float(values[chosen].mean()) if chosen.any() else None
        for measure, values in (("recall", recall), ("precision", precision))
        for name, chosen in (
            ("known", classes != unknown_index),
            ("unknown", classes == unknown_index),
        )
    }
    recalls = scores["known_recall"], scores["unknown_recall"]
    return scores | {"score": None if None in recalls else sum(recalls) / 2}


def best_unknown_weight(
    targets: np.ndarray, probabilities: np.ndarray, unknown_index: int
) -> tuple[float, float]:
    """The weight of the unknown class with the highest score, of all weights that there are.

    The score changes only where the weighted probability of the unknown class passes the best
    known one of some clip. So between two such weights it is constant, and every piece is tried.

    Args:
        targets: True class indices (clips,).
        probabilities: (clips, classes).
        unknown_index: Index of the unknown class.

    Returns:
        The geometric middle of the best piece, and its score. Of pieces equally good it is the one
        whose middle is nearest to 1, as ratios go. The first piece has no lower end and the last no
        upper one: they give half of and twice their only end.

    Raises:
        ValueError: If no clip, or every clip, is of the unknown class.

    Example:
        >>> probabilities = np.array([[0.8, 0.2], [0.7, 0.3], [0.9, 0.1]])
        >>> weight, score = best_unknown_weight(np.array([0, 1, 0]), probabilities, 1)
        >>> round(weight, 3), score  # between 7/3 and 4
        (3.055, 1.0)
    """
    targets, probabilities = np.asarray(targets), np.asarray(probabilities, np.float64)
    unknown = targets == unknown_index
    if not 0 < unknown.sum() < len(targets):
        raise ValueError(
            "Expected clips of the unknown class and of known ones. "
            f"Received: {unknown.sum()} unknown of {len(targets)}"
        )
    known = probabilities.copy()
    known[:, unknown_index] = -1
    best, likelihood = known.argmax(axis=1), probabilities[:, unknown_index]
    # Beyond this weight a clip is taken for unknown.
    limits = np.divide(
        known.max(axis=1), likelihood, out=np.full(len(targets), np.inf), where=likelihood > 0
    )
    # What the score gains where that happens: half of the share of the clip in its recall.
    counts = np.bincount(targets, minlength=probabilities.shape[1])
    share = 1 / counts[targets] / np.where(unknown, 1, (np.delete(counts, unknown_index) > 0).sum())
    gains = np.where(unknown, share, np.where(best == targets, -share, 0)) / 2
    first = gains[unknown & (limits == 0)].sum() - gains[~unknown & (limits > 0)].sum()
    inner = (gains != 0) & (limits > 0) & np.isfinite(limits)
    edges, places = np.unique(limits[inner], return_inverse=True)
    if not len(edges):
        return 1.0, float(first)
    steps = np.bincount(places, gains[inner], minlength=len(edges))
    scores = first + np.concatenate([[0.0], np.cumsum(steps)])
    ends = np.sqrt([edges[0] / 4, *edges, edges[-1] * 4])
    middles = ends[:-1] * ends[1:]
    # Sums in another order differ in their last digits.
    middles = middles[scores >= scores.max() - 1e-12]
    return float(middles[np.abs(np.log(middles)).argmin()]), float(scores.max())


def cross_fitted_scores(
    targets: np.ndarray, probabilities: np.ndarray, unknown_index: int, sources: Sequence[str]
) -> dict[str, float | list[float]] | None:
    """What tuning the weight is worth on clips that it was not tuned on.

    The clips are halved such that no source recording is in both halves. Each half is predicted
    with the weight that is best for the other one, and all predictions are scored together.

    Args:
        targets: True class indices (clips,).
        probabilities: (clips, classes).
        unknown_index: Index of the unknown class.
        sources: The source recording of each clip.

    Returns:
        The scores of `open_set_scores`, and `unknown_weights`, the weight that each half was
        predicted with. None if a half has no clip of the unknown class, or no other one.
    """
    targets, probabilities = np.asarray(targets), np.asarray(probabilities)
    half = _halves(targets, sources)
    unknown = targets == unknown_index
    if any(not 0 < unknown[half == part].sum() < (half == part).sum() for part in (0, 1)):
        return None
    weights = [
        best_unknown_weight(targets[others], probabilities[others], unknown_index)[0]
        for others in (half == 1, half == 0)
    ]
    predicted = predicted_classes(probabilities, unknown_index, np.take(weights, half))
    return {"unknown_weights": weights, **open_set_scores(targets, predicted, unknown_index)}


def _halves(targets: np.ndarray, sources: Sequence[str]) -> np.ndarray:
    """0 or 1 for each clip: the sources in turn, sorted by class so that each is in both halves."""
    names, first, places = np.unique(sources, return_index=True, return_inverse=True)
    turn = np.empty(len(names), int)
    turn[np.argsort(targets[first], kind="stable")] = np.arange(len(names)) % 2
    return turn[places]
