"""What probabilities are worth: of one class a clip (classification) or of any number (tagging)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_audio.evaluation.open_set import open_set_scores, predicted_classes


def classification_metrics(
    targets: Sequence[int] | np.ndarray,
    probabilities: np.ndarray,
    labels: Sequence[str],
    *,
    unknown_label: str | None = None,
    unknown_weight: float = 1.0,
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
        unknown_label: The class of all unknown sounds, if there is one.
        unknown_weight: What its probability is multiplied by before the most probable class is
            chosen. The log loss and the average precisions are those of the probabilities given.

    Returns:
        `clips`; `accuracy`; `balanced_accuracy`, the mean recall; `mean_average_precision`, the
        mean of the classes' one-against-the-rest average precision (the step-wise sum of
        scikit-learn, no interpolation); `log_loss`, the mean negative logarithm of the true
        class's probability, taken as at least 1e-7; `per_class`, a list in label order of
        `label`, `support`, `precision`, `recall`, `f1`, `average_precision`; and
        `confusion_matrix`, counts with a row for every true class. Where there is an unknown class
        also `open_set`: `unknown_label`, `unknown_weight` and what `open_set_scores` gives.

    Raises:
        ValueError: If shapes do not agree, a target names no class, a probability is not finite
            or leaves [0, 1], labels are empty or repeat, the unknown class is none of them, or its
            weight is not above 0.

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

    targets, probabilities = _checked_classes(targets, probabilities, labels)
    unknown_index = _index_of(unknown_label, unknown_weight, labels)
    classes = np.arange(len(labels))
    predicted = predicted_classes(probabilities, unknown_index, unknown_weight)
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
    metrics = {
        "clips": len(targets),
        "accuracy": float(np.mean(predicted == targets)),
        "balanced_accuracy": float(np.mean([row["recall"] for row in present])),
        "mean_average_precision": float(np.mean([row["average_precision"] for row in present])),
        "log_loss": float(-np.log(np.maximum(true_probability, 1e-7)).mean()),
        "per_class": per_class,
        "confusion_matrix": confusion.tolist(),
    }
    if unknown_index is not None:
        named = {"unknown_label": str(unknown_label), "unknown_weight": float(unknown_weight)}
        metrics["open_set"] = named | open_set_scores(targets, predicted, unknown_index)
    return metrics


def metrics_by_group(
    targets: np.ndarray,
    probabilities: np.ndarray,
    labels: Sequence[str],
    attributes: Sequence[Mapping[str, str]],
    groups: Mapping[str, Mapping[str, Sequence[str]]],
    **options: Any,
) -> dict[str, dict[str, dict[str, Any]]]:
    """`classification_metrics` of the clips of each device, city, or what else they differ in.

    Args:
        targets: True class indices (clips,).
        probabilities: (clips, classes).
        labels: The class names, in the order of the columns.
        attributes: What is known of each clip, such as its device and city.
        groups: For an attribute the values that belong to each of its groups.
        **options: As of `classification_metrics`.

    Returns:
        For each attribute, for each group that has clips, its metrics.

    Example:
        >>> devices = {"device": {"A": ["a"], "B and C": ["b", "c"]}}
        >>> clips = [{"device": name} for name in "abc"]
        >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
        >>> found = metrics_by_group(
        ...     np.array([0, 0, 1]), probabilities, ["bus", "park"], clips, devices)
        >>> {name: metrics["accuracy"] for name, metrics in found["device"].items()}
        {'A': 1.0, 'B and C': 0.5}
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for attribute, members in groups.items():
        values = [own[attribute] for own in attributes]
        rows = {name: np.isin(values, wanted) for name, wanted in members.items()}
        found[attribute] = {
            name: classification_metrics(targets[chosen], probabilities[chosen], labels, **options)
            for name, chosen in rows.items()
            if chosen.any()
        }
    return found


def tagging_metrics(
    targets: np.ndarray, probabilities: np.ndarray, labels: Sequence[str]
) -> dict[str, Any]:
    """Metrics of one held-out fold whose clips may be of several classes at once, or of none.

    Nothing here depends on a threshold, since none is trained. Averages are macro averages over the
    classes that occur among `targets`; a class that does not has `None` and counts in no average.
    A class that every clip is of has an average precision of 1 and no ROC curve: `None` again.

    Args:
        targets: (clips, classes), 1 where the clip is of the class and 0 elsewhere.
        probabilities: (clips, classes), each in [0, 1].
        labels: The class names, in the order of the columns.

    Returns:
        `clips`; `mean_average_precision`, the measure of Verbitskiy et al. 2022 for AudioSet, as
        in `classification_metrics`; `mean_roc_auc`, the mean area under the classes' ROC curves
        (None if no class has one); `log_loss`, the mean binary cross-entropy of clips and classes,
        of probabilities at least 1e-7 away from 0 and 1; and `per_class`, a list in label order of
        `label`, `support`, `average_precision`, `roc_auc`.

    Raises:
        ValueError: If shapes do not agree, a target is neither 0 nor 1, no class occurs at all, a
            probability is not finite or leaves [0, 1], or labels are empty or repeat.

    Example:
        >>> metrics = tagging_metrics(
        ...     np.array([[1, 1], [1, 0], [0, 0]]), np.array([[0.9, 0.2], [0.6, 0.1], [0.7, 0.4]]),
        ...     ["dog", "rain"])
        >>> [round(row["average_precision"], 3) for row in metrics["per_class"]]
        [0.833, 0.5]
        >>> round(metrics["mean_average_precision"], 3), metrics["mean_roc_auc"]
        (0.667, 0.5)
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    targets, probabilities = _checked_tags(targets, probabilities, labels)
    support = targets.sum(axis=0)
    per_class = []
    for index, label in enumerate(labels):
        row = {"label": str(label), "support": int(support[index])}
        row |= {"average_precision": None, "roc_auc": None}
        truth, scores = targets[:, index], probabilities[:, index]
        if support[index]:
            row["average_precision"] = float(average_precision_score(truth, scores))
        if 0 < support[index] < len(targets):
            row["roc_auc"] = float(roc_auc_score(truth, scores))
        per_class.append(row)

    def mean(key: str) -> float | None:
        values = [row[key] for row in per_class if row[key] is not None]
        return float(np.mean(values)) if values else None

    scores = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    return {
        "clips": len(targets),
        "mean_average_precision": mean("average_precision"),
        "mean_roc_auc": mean("roc_auc"),
        "log_loss": float(-np.log(np.where(targets, scores, 1 - scores)).mean()),
        "per_class": per_class,
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


def _index_of(unknown_label: str | None, weight: float, labels: Sequence[str]) -> int | None:
    if unknown_label is None:
        return None
    if unknown_label not in labels:
        raise ValueError(
            f"Expected the unknown class to be one of {', '.join(labels)}. "
            f"Received: unknown_label={unknown_label!r}"
        )
    if not 0 < weight < math.inf:
        raise ValueError(f"Expected unknown_weight above 0. Received: unknown_weight={weight}")
    return list(labels).index(unknown_label)


def _checked_classes(
    targets: Sequence[int] | np.ndarray, probabilities: np.ndarray, labels: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    targets = np.asarray(targets)
    if targets.ndim != 1 or not len(targets) or not np.issubdtype(targets.dtype, np.integer):
        raise ValueError(
            "Expected targets of shape (clips,), integers, at least one clip. "
            f"Received: targets of shape {targets.shape} and type {targets.dtype}"
        )
    probabilities = _checked_probabilities(probabilities, len(targets), labels)
    outside = np.flatnonzero((targets < 0) | (targets >= len(labels)))
    if len(outside):
        raise ValueError(
            f"Expected targets from 0 to {len(labels) - 1}. "
            f"Received: targets[{outside[0]}]={targets[outside[0]]}"
        )
    return targets, probabilities


def _checked_tags(
    targets: np.ndarray, probabilities: np.ndarray, labels: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    targets = np.asarray(targets)
    if targets.ndim != 2 or targets.shape[1] != len(labels) or not np.isin(targets, (0, 1)).all():
        raise ValueError(
            f"Expected targets of shape (clips, {len(labels)}), 0 and 1 only. "
            f"Received: targets of shape {targets.shape} and type {targets.dtype}"
        )
    if not targets.any():
        raise ValueError(
            f"Expected a clip of some class. Received: targets of {len(targets)} clips, all 0"
        )
    probabilities = _checked_probabilities(probabilities, len(targets), labels)
    return targets.astype(bool), probabilities


def _checked_probabilities(
    probabilities: np.ndarray, clips: int, labels: Sequence[str]
) -> np.ndarray:
    probabilities = np.asarray(probabilities)
    if not len(labels) or len(set(labels)) != len(labels):
        raise ValueError(f"Expected class names, each once. Received: labels={list(labels)}")
    if probabilities.shape != (clips, len(labels)):
        raise ValueError(
            f"Expected probabilities of shape (clips, classes) = {(clips, len(labels))}. "
            f"Received: probabilities of shape {probabilities.shape}"
        )
    # Written so that NaN fails too; the tolerance is for the last bit of a float32 softmax.
    inside = (probabilities >= -1e-6) & (probabilities <= 1 + 1e-6)
    if not inside.all():
        row, column = np.argwhere(~inside)[0]
        raise ValueError(
            "Expected probabilities from 0 to 1. "
            f"Received: probabilities[{row}, {column}]={probabilities[row, column]}"
        )
    return probabilities
