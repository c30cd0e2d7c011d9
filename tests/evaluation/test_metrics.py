"""Metrics against hand-computed cases and against plain NumPy, which knows no scikit-learn."""

import json

import numpy as np
import pytest

from keras_audio.evaluation.metrics import (
    classification_metrics,
    tagging_metrics,
    wilson_interval,
)

LABELS = ["dog", "rain", "siren"]


def numpy_average_precision(positive, scores):
    """The mean precision at the rank of each positive, for scores without ties."""
    ranked = positive[np.argsort(-scores)]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    return precision[ranked].mean()


def random_case(seed, clips=200, classes=7):
    generator = np.random.default_rng(seed)
    targets = np.concatenate([np.arange(classes), generator.integers(0, classes, clips - classes)])
    logits = generator.normal(size=(clips, classes)) + 2 * np.eye(classes)[targets]
    return targets, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_plain_numpy(seed):
    targets, probabilities = random_case(seed)
    labels = [f"class {index}" for index in range(7)]
    metrics = classification_metrics(targets, probabilities, labels)
    predicted = probabilities.argmax(axis=1)

    matrix = np.zeros((7, 7), int)
    np.add.at(matrix, (targets, predicted), 1)
    np.testing.assert_array_equal(metrics["confusion_matrix"], matrix)
    recall = np.diag(matrix) / matrix.sum(axis=1)
    precision = np.diag(matrix) / matrix.sum(axis=0)
    f1 = 2 * precision * recall / (precision + recall)
    ranking = [numpy_average_precision(targets == c, probabilities[:, c]) for c in range(7)]
    for key, expected in (
        ("recall", recall),
        ("precision", precision),
        ("f1", f1),
        ("average_precision", ranking),
        ("support", matrix.sum(axis=1)),
    ):
        np.testing.assert_allclose(
            [row[key] for row in metrics["per_class"]], expected, err_msg=key
        )
    assert [row["label"] for row in metrics["per_class"]] == labels
    assert metrics["clips"] == 200
    np.testing.assert_allclose(metrics["accuracy"], np.trace(matrix) / 200)
    np.testing.assert_allclose(metrics["balanced_accuracy"], recall.mean())
    np.testing.assert_allclose(metrics["mean_average_precision"], np.mean(ranking))
    np.testing.assert_allclose(
        metrics["log_loss"], -np.log(probabilities[np.arange(200), targets]).mean()
    )


def test_hand_computed():
    """Dog twice, rain once, siren once; the second dog is taken for rain, the siren for a dog."""
    probabilities = [[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.1, 0.8, 0.1], [0.5, 0.1, 0.4]]
    metrics = classification_metrics([0, 0, 1, 2], probabilities, LABELS)
    assert metrics["confusion_matrix"] == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert metrics["accuracy"] == 0.5
    assert metrics["balanced_accuracy"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    dog, rain, siren = metrics["per_class"]
    assert (dog["precision"], dog["recall"], dog["f1"]) == (0.5, 0.5, 0.5)
    assert (rain["precision"], rain["recall"]) == (0.5, 1.0)
    assert rain["f1"] == pytest.approx(2 / 3)
    assert (siren["precision"], siren["recall"], siren["f1"]) == (0.0, 0.0, 0.0)
    # Dog clips rank first and third by p(dog): (1/1 + 2/3) / 2. The siren ranks first of all.
    assert dog["average_precision"] == pytest.approx(5 / 6)
    assert rain["average_precision"] == siren["average_precision"] == 1.0
    assert metrics["mean_average_precision"] == pytest.approx((5 / 6 + 1 + 1) / 3)
    assert metrics["log_loss"] == pytest.approx(-np.log([0.7, 0.3, 0.8, 0.4]).mean())


def test_absent_class_is_null_and_in_no_average():
    """Siren does not occur but is predicted once: only dog and rain are averaged."""
    probabilities = [[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.1, 0.8, 0.1]]
    metrics = classification_metrics([0, 0, 1], probabilities, LABELS)
    siren = metrics["per_class"][2]
    assert siren == {
        "label": "siren",
        "support": 0,
        "precision": None,
        "recall": None,
        "f1": None,
        "average_precision": None,
    }
    assert metrics["balanced_accuracy"] == pytest.approx((0.5 + 1) / 2)
    # By p(dog) the ranks are dog, then dog and rain tied at 0.1: (1/1 + 2/3) / 2.
    assert metrics["mean_average_precision"] == pytest.approx((5 / 6 + 1) / 2)
    assert "NaN" not in json.dumps(metrics)
    assert json.loads(json.dumps(metrics)) == metrics


def test_perfect():
    metrics = classification_metrics([0, 1, 2], np.eye(3, dtype=np.float32), LABELS)
    for key in ("accuracy", "balanced_accuracy", "mean_average_precision"):
        assert metrics[key] == 1.0
    assert metrics["log_loss"] == 0.0
    assert metrics["confusion_matrix"] == np.eye(3, dtype=int).tolist()


def test_worst():
    """Always wrong and always sure of it: finite, because log loss has a floor."""
    metrics = classification_metrics([0, 1, 2], np.eye(3)[[1, 2, 0]], LABELS)
    assert metrics["accuracy"] == metrics["balanced_accuracy"] == 0.0
    # The one positive ranks in a tie of the two clips with score zero: precision 1/3.
    assert metrics["mean_average_precision"] == pytest.approx(1 / 3)
    assert metrics["log_loss"] == pytest.approx(-np.log(1e-7))


def test_one_class_and_one_clip():
    metrics = classification_metrics([0], [[1.0]], ["dog"])
    assert (metrics["clips"], metrics["accuracy"], metrics["confusion_matrix"]) == (1, 1.0, [[1]])


def test_tie_is_the_first_class():
    assert classification_metrics([1], [[0.4, 0.4, 0.2]], LABELS)["accuracy"] == 0.0


@pytest.mark.parametrize(
    ("targets", "probabilities", "labels", "message"),
    [
        ([0, 1], [[1, 0, 0]], LABELS, r"\(2, 3\).*\(1, 3\)"),
        ([0], [[1, 0]], LABELS, r"\(1, 3\).*\(1, 2\)"),
        ([[0]], [[1, 0, 0]], LABELS, "targets of shape"),
        ([], np.zeros((0, 3)), LABELS, "at least one clip"),
        ([0.5], [[1, 0, 0]], LABELS, "integers"),
        ([0, 3], [[1, 0, 0]] * 2, LABELS, r"targets\[1\]=3"),
        ([-1], [[1, 0, 0]], LABELS, r"targets\[0\]=-1"),
        ([0], [[1, np.nan, 0]], LABELS, r"probabilities\[0, 1\]=nan"),
        ([0], [[np.inf, 0, 0]], LABELS, r"probabilities\[0, 0\]=inf"),
        ([0], [[1, 0, -0.1]], LABELS, r"probabilities\[0, 2\]=-0.1"),
        ([0], [[1, 0, 0]], ["dog", "dog", "rain"], "each once"),
        ([0], np.zeros((1, 0)), [], "class names"),
    ],
)
def test_bad_input_is_one_sentence(targets, probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        classification_metrics(targets, probabilities, labels)


def random_tags(seed, clips=150, classes=6):
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, 2, (clips, classes)) * generator.integers(0, 2, (clips, 1))
    logits = generator.normal(size=(clips, classes)) + 1.5 * targets
    return targets, 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize("seed", range(3))
def test_tagging_agrees_with_plain_numpy(seed):
    targets, probabilities = random_tags(seed)
    labels = [f"class {index}" for index in range(6)]
    metrics = tagging_metrics(targets, probabilities, labels)
    truth = targets.astype(bool)
    ranking = [numpy_average_precision(truth[:, c], probabilities[:, c]) for c in range(6)]
    # The area under a ROC curve: how often a clip of the class stands above one that is not.
    areas = [
        np.mean(probabilities[truth[:, c], c][:, None] > probabilities[~truth[:, c], c])
        for c in range(6)
    ]
    rows = metrics["per_class"]
    assert [row["label"] for row in rows] == labels
    assert [row["support"] for row in rows] == targets.sum(axis=0).tolist()
    np.testing.assert_allclose([row["average_precision"] for row in rows], ranking)
    np.testing.assert_allclose([row["roc_auc"] for row in rows], areas)
    np.testing.assert_allclose(metrics["mean_average_precision"], np.mean(ranking))
    np.testing.assert_allclose(metrics["mean_roc_auc"], np.mean(areas))
    right = np.where(truth, probabilities, 1 - probabilities)
    np.testing.assert_allclose(metrics["log_loss"], -np.log(right).mean())
    assert metrics["clips"] == 150 and json.loads(json.dumps(metrics)) == metrics


def test_classes_of_no_clip_and_of_every_clip():
    """Rain never occurs, and a siren is in every clip: what cannot be measured is null."""
    targets = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 1]])
    probabilities = np.float32([[0.5, 0.9, 1], [0.7, 0.8, 0], [0.2, 0.1, 0.5]])
    metrics = tagging_metrics(targets, probabilities, LABELS)
    dog, rain, siren = metrics["per_class"]
    assert rain == {"label": "rain", "support": 0, "average_precision": None, "roc_auc": None}
    assert (siren["support"], siren["average_precision"], siren["roc_auc"]) == (3, 1.0, None)
    assert (dog["average_precision"], dog["roc_auc"]) == (0.5, 0.5)
    assert (metrics["mean_average_precision"], metrics["mean_roc_auc"]) == (0.75, 0.5)
    assert np.isfinite(metrics["log_loss"])
    only = tagging_metrics(np.ones((2, 1), int), np.ones((2, 1)), ["dog"])
    assert only["mean_roc_auc"] is None and only["mean_average_precision"] == 1.0
    assert "NaN" not in json.dumps([metrics, only])


def test_one_hot_targets_rank_as_classes_do():
    targets, probabilities = random_case(0)
    labels = [f"class {index}" for index in range(7)]
    tags = tagging_metrics(np.eye(7, dtype=int)[targets], probabilities, labels)
    classes = classification_metrics(targets, probabilities, labels)
    assert tags["mean_average_precision"] == classes["mean_average_precision"]


@pytest.mark.parametrize(
    ("targets", "probabilities", "message"),
    [
        ([0, 1], [[1, 0, 0]] * 2, r"\(clips, 3\), 0 and 1 only.*shape \(2,\)"),
        ([[0, 1]], [[1, 0, 0]], r"shape \(1, 2\)"),
        ([[0, 1, 2]], [[1, 0, 0]], "0 and 1 only"),
        ([[0, 1, 0.5]], [[1, 0, 0]], "0 and 1 only"),
        ([[0, 0, 0]] * 4, [[1, 0, 0]] * 4, "4 clips, all 0"),
        (np.zeros((0, 3)), np.zeros((0, 3)), "0 clips"),
        ([[0, 1, 0]], [[1, 0]], r"\(1, 3\).*\(1, 2\)"),
        ([[0, 1, 0]], [[1, np.nan, 0]], r"probabilities\[0, 1\]=nan"),
    ],
)
def test_bad_tags_are_one_sentence(targets, probabilities, message):
    with pytest.raises(ValueError, match=message):
        tagging_metrics(targets, probabilities, LABELS)


def test_wilson_interval():
    """Against the roots of Wilson's quadratic (p - q)^2 = z^2 q (1 - q) / n, solved by NumPy."""
    for successes, trials in ((70, 80), (1, 3), (599, 837)):
        z2, proportion = 1.959964**2 / trials, successes / trials
        roots = np.roots([1 + z2, -(2 * proportion + z2), proportion**2])
        np.testing.assert_allclose(wilson_interval(successes, trials), np.sort(roots), rtol=1e-9)
    low, high = wilson_interval(0, 20)
    assert low == 0 and 0.15 < high < 0.17
    low, high = wilson_interval(20, 20)
    assert 0.83 < low < 0.85 and high == 1
    for successes, trials in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="successes"):
            wilson_interval(successes, trials)
