"""The unknown class: against scikit-learn, every weight that matters, and the report's Table 4."""

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score

from keras_audio.evaluation.metrics import classification_metrics, metrics_by_group
from keras_audio.evaluation.open_set import (
    best_unknown_weight,
    cross_fitted_scores,
    open_set_scores,
    predicted_classes,
)
from keras_audio.evaluation.published import published_results

LABELS = ["bus", "park", "tram", "unknown"]


def random_case(seed, clips=300, classes=4, unknown=3):
    """Few clips are unknown, and taken for known ones, as in the task."""
    generator = np.random.default_rng(seed)
    share = np.full(classes, 1.0)
    share[unknown] = 0.3
    targets = generator.choice(classes, clips, p=share / share.sum())
    targets[:classes] = np.arange(classes)
    logits = generator.normal(size=(clips, classes)) + 1.5 * np.eye(classes)[targets]
    logits[:, unknown] -= 1.5
    return targets, np.float32(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))


def weighted(probabilities, unknown, weight):
    scores = probabilities.astype(np.float64)
    scores[:, unknown] = scores[:, unknown] * weight
    return scores.argmax(axis=1)


def expected_scores(targets, predicted, unknown):
    known = sorted(set(targets.tolist()) - {unknown})
    scores = {}
    for measure, function in (("recall", recall_score), ("precision", precision_score)):
        for name, classes in (("known", known), ("unknown", [unknown])):
            options = {"labels": classes, "average": "macro", "zero_division": 0}
            scores[f"{name}_{measure}"] = function(targets, predicted, **options)
    return scores | {"score": (scores["known_recall"] + scores["unknown_recall"]) / 2}


@pytest.mark.parametrize("unknown", [0, 3])
@pytest.mark.parametrize("weight", [0.2, 1, 5.0])
def test_metrics_are_those_of_scikit_learn(unknown, weight):
    targets, probabilities = random_case(1, unknown=unknown)
    metrics = classification_metrics(
        targets, probabilities, LABELS, unknown_label=LABELS[unknown], unknown_weight=weight
    )
    predicted = weighted(probabilities, unknown, weight)
    open_set = metrics["open_set"]
    assert open_set.pop("unknown_label") == LABELS[unknown]
    assert open_set.pop("unknown_weight") == weight
    assert open_set == pytest.approx(expected_scores(targets, predicted, unknown))
    assert metrics["accuracy"] == np.mean(predicted == targets)
    recall = recall_score(targets, predicted, average=None)
    assert [row["recall"] for row in metrics["per_class"]] == pytest.approx(recall.tolist())
    assert np.trace(metrics["confusion_matrix"]) == (predicted == targets).sum()
    # What does not depend on a decision does not depend on the weight.
    plain = classification_metrics(targets, probabilities, LABELS)
    assert "open_set" not in plain
    for name in ("mean_average_precision", "log_loss"):
        assert metrics[name] == plain[name]


def test_score_of_table_4():
    """Recalls as printed, 100 clips a known class and 1000 unknown ones: 62.0 and 80.3 are 71.1."""
    table = [row for row in published_results("mcdonnell_2019") if row["table"] == "Table 4"]
    recall = {row["row"]: row["value"] for row in table if row["metric"] == "recall"}
    known = [name for name in recall if name not in ("known", "unknown", "average")]
    assert len(known) == 10
    labels = [*known, "unknown"]
    targets = np.repeat(np.arange(11), [100] * 10 + [1000])
    predicted = targets.copy()
    for index, name in enumerate(known):
        lost = round(100 * (1 - recall[name]))
        predicted[100 * index : 100 * index + lost] = 10
    predicted[1000 : 1000 + round(1000 * (1 - recall["unknown"]))] = 0
    metrics = classification_metrics(
        targets, np.eye(11)[predicted], labels, unknown_label="unknown", unknown_weight=5
    )
    open_set = metrics["open_set"]
    # The recalls of the classes are printed to a per cent, their means to a tenth of one.
    assert open_set["known_recall"] == pytest.approx(recall["known"], abs=0.0025)
    assert open_set["unknown_recall"] == pytest.approx(recall["unknown"])
    assert metrics["balanced_accuracy"] == pytest.approx(recall["average"], abs=0.0025)
    (score,) = [row["value"] for row in table if row["metric"] == "score"]
    assert open_set["score"] == pytest.approx(score, abs=0.0015)


def test_classes_that_do_not_occur_count_in_no_mean():
    none = open_set_scores(np.array([0, 1, 1]), np.array([0, 3, 1]), 3)
    assert none["known_recall"] == 0.75 and none["unknown_recall"] is None
    assert none["unknown_precision"] is None and none["score"] is None
    all_unknown = open_set_scores(np.array([3, 3]), np.array([3, 0]), 3)
    assert (all_unknown["known_recall"], all_unknown["score"]) == (None, None)
    assert all_unknown["unknown_recall"] == 0.5


def plain_score(targets, predicted, unknown):
    recalls = {c: np.mean(predicted[targets == c] == c) for c in set(targets.tolist())}
    own = recalls.pop(unknown)
    return (own + sum(recalls.values()) / len(recalls)) / 2


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("unknown", [0, 2, 3])
def test_no_weight_is_better_than_the_best(seed, unknown):
    """Every clip's own limit is tried from both sides: a weight elsewhere predicts the same."""
    targets, probabilities = random_case(seed, clips=120, unknown=unknown)
    weight, score = best_unknown_weight(targets, probabilities, unknown)
    others = np.delete(probabilities.astype(np.float64), unknown, axis=1).max(axis=1)
    limits = others / probabilities[:, unknown]
    tried = np.concatenate([limits * (1 - 1e-9), limits * (1 + 1e-9), [1e-9, 1, 1e9]])
    scores = [
        plain_score(targets, weighted(probabilities, unknown, value), unknown) for value in tried
    ]
    own = plain_score(targets, weighted(probabilities, unknown, weight), unknown)
    assert score == pytest.approx(own, abs=1e-12)
    assert score == pytest.approx(max(scores), abs=1e-12)
    assert best_unknown_weight(targets, probabilities, unknown) == (weight, score)
    # The weight stands inside of its piece, not on an edge of it.
    same = tried[np.isclose(scores, score, rtol=0, atol=1e-12)]
    below, above = same[same < weight].max(initial=0), same[same > weight].min(initial=np.inf)
    assert 0 < below < weight < above < np.inf


def test_pieces_without_an_end_and_without_any():
    certain = np.array([[1.0, 0.0], [0.0, 1.0]])
    # No weight changes anything: known at 1, unknown at 1.
    assert best_unknown_weight(np.array([0, 1]), certain, 1) == (1.0, 1.0)
    assert best_unknown_weight(np.array([1, 0]), certain, 1) == (1.0, 0.0)
    # Known beyond any doubt, unknown above 4: twice that.
    doubtful = np.array([[1.0, 0.0], [0.8, 0.2]])
    assert best_unknown_weight(np.array([0, 1]), doubtful, 1) == (pytest.approx(8), 1.0)
    # Unknown at any weight, known below 1/4: half of that.
    doubtful = np.array([[0.0, 1.0], [0.2, 0.8]])
    assert best_unknown_weight(np.array([1, 0]), doubtful, 1) == (pytest.approx(1 / 8), 1.0)
    for targets in ([0, 0], [1, 1]):
        with pytest.raises(ValueError, match="unknown class and of known ones.*of 2"):
            best_unknown_weight(np.array(targets), certain, 1)


def test_of_equal_pieces_the_nearest_to_one():
    """An unknown clip is won at 1/15 and at 1/2, a known one is lost at 1/8 and at 4."""
    probabilities = np.array([[1 / 9, 8 / 9], [1 / 3, 2 / 3], [0.8, 0.2], [1 / 16, 15 / 16]])
    targets = np.array([0, 1, 0, 1])
    # From 1/15 to 1/8 and from 1/2 to 4: all of one kind, and half of the other.
    assert best_unknown_weight(targets, probabilities, 1) == (pytest.approx(2**0.5), 0.75)


def test_cross_fit_never_scores_a_clip_with_its_own_weight():
    targets, probabilities = random_case(7, clips=400)
    sources = np.array([f"{LABELS[target]}-{i % 9}" for i, target in enumerate(targets)])
    scores = cross_fitted_scores(targets, probabilities, 3, sources)
    weights = scores.pop("unknown_weights")
    # The halves are found again from the definition: the sources of the classes in turn.
    names = sorted(set(sources), key=lambda name: (LABELS.index(name.rpartition("-")[0]), name))
    first = np.isin(sources, names[::2])
    tuned = [best_unknown_weight(targets[h], probabilities[h], 3)[0] for h in (~first, first)]
    assert weights == tuned and tuned[0] != tuned[1]
    predicted = np.where(first, *(weighted(probabilities, 3, weight) for weight in weights))
    assert scores == pytest.approx(expected_scores(targets, predicted, 3))
    assert scores["score"] <= best_unknown_weight(targets, probabilities, 3)[1]
    # One recording of the unknown class cannot be in both halves.
    alone = np.where(targets == 3, "unknown", sources)
    assert cross_fitted_scores(targets, probabilities, 3, alone) is None


def test_one_weight_a_clip():
    probabilities = np.array([[0.6, 0.4]] * 3)
    assert predicted_classes(probabilities, 1, np.array([1, 2, 0.5])).tolist() == [0, 1, 0]
    assert predicted_classes(probabilities).tolist() == [0, 0, 0]
    assert (probabilities == [0.6, 0.4]).all()


def test_groups_are_the_metrics_of_their_clips():
    targets, probabilities = random_case(2)
    clips = [{"device": "abc"[i % 3], "city": "bonn"} for i in range(len(targets))]
    groups = {"device": {"A": ["a"], "B and C": ["b", "c"], "D": ["d"]}, "city": {"b": ["bonn"]}}
    options = {"unknown_label": "unknown", "unknown_weight": 2.0}
    found = metrics_by_group(targets, probabilities, LABELS, clips, groups, **options)
    # A group without clips is not measured.
    assert {name: list(group) for name, group in found.items()} == {
        "device": ["A", "B and C"],
        "city": ["b"],
    }
    chosen = np.arange(len(targets)) % 3 > 0
    assert found["device"]["B and C"] == classification_metrics(
        targets[chosen], probabilities[chosen], LABELS, **options
    )
    assert found["city"]["b"] == classification_metrics(targets, probabilities, LABELS, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unknown_label": "rain"}, "bus, park, tram, unknown.*'rain'"),
        ({"unknown_label": "unknown", "unknown_weight": 0}, "above 0.*unknown_weight=0"),
        ({"unknown_label": "unknown", "unknown_weight": np.nan}, "unknown_weight=nan"),
        ({"unknown_label": "unknown", "unknown_weight": np.inf}, "unknown_weight=inf"),
    ],
)
def test_bad_weights_and_labels_are_one_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        classification_metrics([0], [[1, 0, 0, 0]], LABELS, **options)
