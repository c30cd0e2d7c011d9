"""What a report says of an unknown class, of groups of clips, of ensembles and of snapshots."""

import re

import numpy as np
import pytest
from report_page import EVIL, cells_of, inputs, report, tagged

import keras_audio.evaluation.plots as plots
from keras_audio.evaluation.metrics import classification_metrics, metrics_by_group
from keras_audio.evaluation.open_set import cross_fitted_scores

LABELS = ("bus", "park", "tram", "unknown")
DEVICES = {"device": {"A": ["a"], "B and C": ["b", "c"]}}


def answers(labels=LABELS, clips=120, seed=0):
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, len(labels), clips)
    logits = generator.normal(size=(clips, len(labels))) + 1.5 * np.eye(len(labels))[targets]
    return targets, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def words_of(page):
    return re.sub(r"\s+", " ", " ".join(page.words))


def percent(value):
    return f"{100 * value:.1f} %"


def open_set_page(tmp_path, cross_fitted="none"):
    targets, probabilities = answers()
    metrics = classification_metrics(
        targets, probabilities, LABELS, unknown_label="unknown", unknown_weight=2.5
    )
    if cross_fitted != "none":
        metrics["open_set"]["cross_fitted"] = cross_fitted
    page, _ = report(tmp_path, **inputs(LABELS, clips=120, metrics=metrics))
    return metrics, page


def test_classes_of_an_open_set_are_told_as_in_table_4(tmp_path):
    metrics, page = open_set_page(tmp_path)
    (table,) = [rows for caption, rows in page.tables.items() if "class without" in caption]
    *known, unknown = metrics["per_class"]
    open_set = metrics["open_set"]
    assert table[1:4] == [cells_of(row) for row in known]
    assert [row[0] for row in table[4:]] == [
        *["Known class average", "unknown", "Overall average", "Evaluation score"]
    ]
    assert table[5] == cells_of(unknown)
    average, overall, score = table[4], table[6], table[7]
    assert average[1:4] == [
        str(120 - unknown["support"]),
        f"{open_set['known_precision']:.3f}",
        f"{open_set['known_recall']:.3f}",
    ]
    assert overall[1] == "120" and overall[3] == f"{metrics['balanced_accuracy']:.3f}"
    assert overall[5] == f"{metrics['mean_average_precision']:.3f}"
    assert score[1:] == ["", "", f"{open_set['score']:.3f}", "", ""]
    words = words_of(page)
    recalls = percent(open_set["known_recall"]), percent(open_set["unknown_recall"])
    assert f"Evaluation score {percent(open_set['score'])} known {recalls[0]}, " in words
    assert f"unknown {recalls[1]}" in words
    assert "The probability of unknown is multiplied by 2.5 before" in words
    assert "tuned" not in words.lower() and "flatters" not in words


def test_a_tuned_weight_is_owned_up_to(tmp_path):
    targets, probabilities = answers()
    sources = [f"{target}-{index % 5}" for index, target in enumerate(targets)]
    fair = cross_fitted_scores(targets, probabilities, 3, sources)
    _, page = open_set_page(tmp_path, fair)
    words = words_of(page)
    assert f"tuned on others: {percent(fair['score'])}" in words
    assert "the best of all for these very clips, so the score flatters." in words
    weights = "{:.4g} and {:.4g}".format(*fair["unknown_weights"])
    assert f"({weights}), the score is {percent(fair['score'])}" in words
    _, page = open_set_page(tmp_path, None)
    assert "too few recordings to tune it on half of them" in words_of(page)
    assert "tuned on others" not in words_of(page)


@pytest.mark.parametrize("labels", [LABELS[:3], LABELS], ids=["closed", "open"])
def test_groups(tmp_path, labels):
    """Of two devices the classes are shown too, of ten cities only accuracies."""
    cities = {f"city {index}": [str(index)] for index in range(10)}
    targets, probabilities = answers(labels)
    clips = [{"device": "abc"[i % 3], "city": str(i // 3 % 10)} for i in range(120)]
    options = {"unknown_label": "unknown"} if "unknown" in labels else {}
    metrics = classification_metrics(targets, probabilities, labels, **options)
    metrics["groups"] = metrics_by_group(
        targets, probabilities, labels, clips, DEVICES | {"city": cities}, **options
    )
    page, text = report(tmp_path, **inputs(labels, clips=120, metrics=metrics))
    for attribute, names in (("device", DEVICES["device"]), ("city", cities)):
        _, *rows = page.tables[f"By {attribute}"]
        assert [row[0] for row in rows] == list(names)
        for row, own in zip(rows, metrics["groups"][attribute].values(), strict=True):
            shown = [own["accuracy"], own["balanced_accuracy"]]
            shown += [own["open_set"]["score"]] if options else []
            cells = [f"{100 * value:.1f}\u202f%" if value is not None else "–" for value in shown]
            assert row[1:] == [str(own["clips"]), *cells]
    for name, clips_of in (("A", 40), ("B and C", 80)):
        own = metrics["groups"]["device"][name]
        assert plots.confusion_matrix(own["confusion_matrix"], labels) in text
        head, *rows = page.tables[f"{clips_of} clips of device {name}"]
        assert len(head) == 4
        expected = [cells_of(row)[:4] for row in own["per_class"]]
        assert rows[:3] == expected[:3]
        last = own["open_set"]["score"] if options else own["balanced_accuracy"]
        assert rows[-1][3] == f"{last:.3f}"
    # The whole, and the two devices.
    assert len(re.findall(r"Confusion matrix of \d classes", text)) == 3
    assert "groups" in [href[1:] for href in page.attributes("a", "href")]


def test_names_of_groups_and_members_stay_text(tmp_path):
    targets, probabilities = answers()
    metrics = classification_metrics(targets, probabilities, LABELS)
    metrics["groups"] = metrics_by_group(
        targets, probabilities, LABELS, [{EVIL: "a"}] * 120, {EVIL: {EVIL: ["a"]}}
    )
    metrics["members"] = [{"path": EVIL, "accuracy": 0.5, "balanced_accuracy": 0.25}]
    page, _ = report(tmp_path, **inputs(LABELS, clips=120, metrics=metrics))
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
    _, member, together = page.tables["Each by itself, and all together"]
    assert member == [EVIL, "50.0\u202f%", "25.0\u202f%"]
    assert together[1] == f"{100 * metrics['accuracy']:.1f}\u202f%"
    assert "" not in page.tables


def test_scores_of_members_that_are_tuned_say_so(tmp_path):
    targets, probabilities = answers()
    metrics = classification_metrics(targets, probabilities, LABELS, unknown_label="unknown")
    member = {"path": "runs/a", "accuracy": 0.5, "balanced_accuracy": 0.25}
    for tuned, heading in ((False, "Score"), (True, "Score, tuned here")):
        if tuned:
            metrics["open_set"]["cross_fitted"] = None
        metrics["members"] = [member | {"tuned_score" if tuned else "score": 0.75}]
        page, _ = report(tmp_path, **inputs(LABELS, clips=120, metrics=metrics))
        head, row, together = page.tables["Each by itself, and all together"]
        assert (head[-1], row[-1]) == (heading, "75.0\u202f%")
        assert together[-1] == f"{100 * metrics['open_set']['score']:.1f}\u202f%"


def test_members_that_tag(tmp_path):
    values = tagged()
    values["metrics"]["members"] = [{"path": "runs/a", "mean_average_precision": 0.25}]
    page, _ = report(tmp_path, **values)
    _, member, together = page.tables["Each by itself, and all together"]
    assert member == ["runs/a", "0.250"]
    assert together[1] == f"{values['metrics']['mean_average_precision']:.3f}"


def test_the_last_weights_snapshots_and_rates(tmp_path):
    values = inputs(training={"best_epoch": 2}, kept="last", learning_rates=[0.1, 0.05, 0.01] * 4)
    page, text = report(tmp_path, **values, snapshots=[1, 3])
    assert "last epoch 3" in text and "best epoch" not in text
    assert "Learning rate" in text and "Dots on the learning rate" in words_of(page)
    page, text = report(tmp_path, **values)
    assert "Dots on the learning rate" not in words_of(page)
