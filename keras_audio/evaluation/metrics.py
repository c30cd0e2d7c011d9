"""What a classifier's probabilities are worth: accuracy, recall, average precision, confusion."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def classification_metrics(
    targets: Sequence[int] | np.ndarray, probabilities: np.ndarray, labels: Sequence[str]
) -> dict[str, Any]:
    """Metrics of one held-out fold, as a dictionary that JSON can hold.

    The predicted class is the most probable one, the first of them in a tie. Averages are macro
    averages: every class that occurs among `targets` counts the same, whatever its size. A class
    that does not occur has nothing to be measured on: its precision, recall, F1 and average
    precision are `None` (null in JSON) and no average includes it. A class that occurs and is
    never predicted has precision 0.

    Args:
        targets: True class indices (clips,).
        probabilities: (clips, classes), each in [0, 1]. Rows need not sum to one, so the scores of
            a sigmoid classifier are welcome.
        labels: The class names, in the order of the columns.

    Returns:
        `clips`; `accuracy`; `balanced_accuracy`, the mean recall; `mean_average_precision`, the
        mean of the classes' one-against-the-rest average precision (the step-wise sum of
        scikit-learn, no interpolation); `log_loss`, the mean negative logarithm of the true
        class's probability, taken as at least 1e-7; `per_class`, a list in label order of
        `label`, `support`, `precision`, `recall`, `f1`, `average_precision`; and
        `confusion_matrix`, counts with a row for every true class.

    Raises:
        ValueError: If shapes do not agree, a target names no class, a probability is not finite
            or leaves [0, 1], or labels are empty or repeat.

    Example:
        >>> metrics = classification_metrics(
        ...     [0, 0, 1], [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], ["dog", "rain"])
        >>> round(metrics["accuracy"], 3), metrics["balanced_accuracy"]
        (0.667, 0.75)
        >>> metrics["confusion_matrix"]
        [[1, 1], [0, 1]]
    """
    # Imported here because scikit-learn takes a second to load and `--help` must not wait for it.
    from sklearn.metrics import average_precision_score, precision_recall_fscore_support

    targets, probabilities = _checked(targets, probabilities, labels)
    classes = np.arange(len(labels))
    predicted = probabilities.argmax(axis=1)
    precision, recall, f1, support = precision_recall_fscore_support(
        targets, predicted, labels=classes, zero_division=0
    )
    confusion = np.zeros((len(labels), len(labels)), int)
    np.add.at(confusion, (targets, predicted), 1)
    per_class = []
    for index, label in enumerate(labels):
        row = {"label": str(label), "support": int(support[index])}
        if support[index]:
            ranking = average_precision_score(targets == index, probabilities[:, index])
            values = (precision[index], recall[index], f1[index], ranking)
            values = tuple(float(value) for value in values)
        else:
            values = (None,) * 4
        row.update(zip(("precision", "recall", "f1", "average_precision"), values, strict=True))
        per_class.append(row)
    present = [row for row in per_class if row["support"]]
    true_probability = probabilities[np.arange(len(targets)), targets].astype(np.float64)
    return {
        "clips": len(targets),
        "accuracy": float(np.mean(predicted == targets)),
        "balanced_accuracy": float(np.mean([row["recall"] for row in present])),
        "mean_average_precision": float(np.mean([row["average_precision"] for row in present])),
        "log_loss": float(-np.log(np.maximum(true_probability, 1e-7)).mean()),
        "per_class": per_class,
        "confusion_matrix": confusion.tolist(),
    }


def wilson_interval(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a proportion; 95 % with the default `z`.

    Unlike the textbook interval it stays inside [0, 1] and is not empty at 0 and at 1. It takes
    trials as independent: clips cut from one recording are not quite, and the truth is wider.

    Raises:
        ValueError: If `trials` is not positive or `successes` is not between 0 and `trials`.

    Example:
        >>> [round(bound, 3) for bound in wilson_interval(70, 80)]
        [0.785, 0.931]
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(
            f"Expected 0 <= successes <= trials and at least one trial. "
            f"Received: successes={successes}, trials={trials}"
        )
    proportion, weight = successes / trials, z * z / trials
    center = (proportion + weight / 2) / (1 + weight)
    spread = math.sqrt(proportion * (1 - proportion) * weight + weight * weight / 4) / (1 + weight)
    # At 0 and at 1 a bound is exact, and rounding must not push it out of the unit interval.
    return max(0.0, center - spread), min(1.0, center + spread)


def _checked(
    targets: Sequence[int] | np.ndarray, probabilities: np.ndarray, labels: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    targets, probabilities = np.asarray(targets), np.asarray(probabilities)
    if not len(labels) or len(set(labels)) != len(labels):
        raise ValueError(f"Expected class names, each once. Received: labels={list(labels)}")
    if targets.ndim != 1 or not len(targets) or not np.issubdtype(targets.dtype, np.integer):
        raise ValueError(
            "Expected targets of shape (clips,), integers, at least one clip. "
            f"Received: targets of shape {targets.shape} and type {targets.dtype}"
        )
    if probabilities.shape != (len(targets), len(labels)):
        raise ValueError(
            f"Expected probabilities of shape (clips, classes) = {(len(targets), len(labels))}. "
            f"Received: probabilities of shape {probabilities.shape}"
        )
    outside = np.flatnonzero((targets < 0) | (targets >= len(labels)))
    if len(outside):
        raise ValueError(
            f"Expected targets from 0 to {len(labels) - 1}. "
            f"Received: targets[{outside[0]}]={targets[outside[0]]}"
        )
    # Written so that NaN fails too; the tolerance is for the last bit of a float32 softmax.
    inside = (probabilities >= -1e-6) & (probabilities <= 1 + 1e-6)
    if not inside.all():
        row, column = np.argwhere(~inside)[0]
        raise ValueError(
            "Expected probabilities from 0 to 1. "
            f"Received: probabilities[{row}, {column}]={probabilities[row, column]}"
        )
    return targets, probabilities
