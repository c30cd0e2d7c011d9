"""The page read back with an HTML parser: sound, safe, complete, and asking for nothing."""

import base64
import io
import pathlib
import re

import numpy as np
import pytest
import soundfile
from report_page import EVIL, RATE, cells_of, inputs, report, sound, tagged

import keras_audio.evaluation.plots as plots
from keras_audio.evaluation.metrics import wilson_interval
from keras_audio.evaluation.report import Mistake, worst_rankings, write_report


def test_it_asks_for_nothing(tmp_path):
    page, text = report(tmp_path, **inputs())
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), value[:80]
    # The name of SVG looks like an address and is none.
    assert set(re.findall(r"https?://[^\"' <]*", text)) == {"http://www.w3.org/2000/svg"}
    assert "@import" not in text and "url(" not in text and "//cdn" not in text
    policy = next(a["content"] for tag, a in page.elements if "http-equiv" in a)
    assert policy.startswith("default-src 'none';") and "http" not in policy


def test_links_inside_the_page_lead_somewhere(tmp_path):
    page, _ = report(tmp_path, **inputs())
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    links = [href[1:] for href in page.attributes("a", "href")]
    assert len(links) == 5 and set(links) <= ids


@pytest.mark.parametrize("seed", range(4))
def test_numbers_are_the_metrics(tmp_path, seed):
    labels = [f"class {index}" for index in range(3 + 4 * seed)]
    values = inputs(labels, clips=30, seed=seed)
    metrics = values["metrics"]
    page, text = report(tmp_path, **values)
    flat = re.sub(r"\s+", " ", " ".join(page.words))
    low, high = wilson_interval(round(metrics["accuracy"] * 30), 30)
    for name, shown in (
        (
            "Accuracy",
            f"{100 * metrics['accuracy']:.1f} % 95 %: {100 * low:.1f} % – {100 * high:.1f} %",
        ),
        ("Balanced accuracy", f"{100 * metrics['balanced_accuracy']:.1f} %"),
        ("mAP", f"{metrics['mean_average_precision']:.3f}"),
        ("Log loss", f"{metrics['log_loss']:.3f}"),
        ("Clips", f"30 15 recordings, {len(labels)} classes"),
    ):
        assert f"{name} {shown}" in flat
    (table,) = [rows for caption, rows in page.tables.items() if "class without" in caption]
    assert len(table) == 2 + len(labels)
    for row, cells in zip(metrics["per_class"], table[1:-1], strict=True):
        assert cells == cells_of(row)
    means = {
        key: np.mean([row[key] for row in metrics["per_class"] if row["support"]])
        for key in ("precision", "recall", "f1", "average_precision")
    }
    assert table[-1] == cells_of({"label": "Average", "support": 30, **means})
    assert plots.confusion_matrix(metrics["confusion_matrix"], labels) in text
    pairs = page.tables.get("Most frequent confusions", [[]])[1:]
    for target, predicted, count, share in pairs:
        row, column = labels.index(target), labels.index(predicted)
        matrix = np.array(metrics["confusion_matrix"])
        assert int(count) == matrix[row, column] and row != column
        assert share == f"{100 * matrix[row, column] / matrix[row].sum():.0f}\u202f%"
    counts = [int(pair[2]) for pair in pairs]
    assert counts == sorted(counts, reverse=True)


@pytest.mark.parametrize("classes", [4, 11, 70])
def test_numbers_of_tagging_are_the_metrics(tmp_path, classes):
    labels = [f"class {index}" for index in range(classes)]
    values = tagged(labels, clips=60, seed=classes)
    metrics = values["metrics"]
    page, text = report(tmp_path, **values)
    flat = re.sub(r"\s+", " ", " ".join(page.words))
    chance = np.mean([row["support"] / 60 for row in metrics["per_class"]])
    for shown in (
        f"mAP {metrics['mean_average_precision']:.3f} mean average precision; chance {chance:.3f}",
        f"ROC AUC {metrics['mean_roc_auc']:.3f} mean of the classes",
        f"Log loss {metrics['log_loss']:.3f}",
        "Clips 60 30 recordings",
        f"Classes {classes} {classes} of them occur",
        "best iteration 10",
        "marks the iteration whose weights",
    ):
        assert shown in flat
    assert "Confusion matrix" not in text and "Accuracy" not in text and "Wilson" not in text
    (table,) = [rows for caption, rows in page.tables.items() if "class without" in caption]
    for row, cells in zip(metrics["per_class"], table[1:], strict=True):
        numbers = [f"{row[key]:.3f}" for key in ("average_precision", "roc_auc")]
        assert cells == [row["label"], str(row["support"]), *numbers]
    assert plots.average_precision_bars(metrics["per_class"], 60) in text
    assert ('class="scroll long"' in text) == (classes == 70)
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    links = [href[1:] for href in page.attributes("a", "href")]
    assert len(links) == 5 and set(links) <= ids
    assert "" not in page.tables and len(page.tables) == 5


def test_worst_rankings_are_the_widest_gaps():
    """Against the definition, pair by pair: a wrong class above a right one."""
    values = tagged(clips=200)
    labels = ["dog", "rain", "siren", "tram"]
    expected = []
    for row in values["predictions"]:
        right = row["target"].split("|")
        gaps = [
            (row[f"p_{wrong}"] - row[f"p_{name}"], row["clip_id"], wrong, name)
            for wrong in labels
            for name in labels
            if wrong not in right and name in right
        ]
        if gaps and max(gaps)[0] > 0:
            expected.append(max(gaps))
    expected.sort(reverse=True)
    found = worst_rankings(values["predictions"], 999)
    assert 10 < len(found) < 190
    assert [(row["clip_id"], row["predicted"], row["missed"]) for row in found] == [
        gap[1:] for gap in expected
    ]
    rows = {row["clip_id"]: row for row in values["predictions"]}
    for row in found:
        scores = rows[row["clip_id"]]
        assert row["probability"] == scores[f"p_{row['predicted']}"]
        assert row["missed_probability"] == scores[f"p_{row['missed']}"]
        assert row["target"] == scores["target"] != ""
    assert worst_rankings(values["predictions"]) == found[:12]


def test_mistakes_of_tagging(tmp_path):
    values = tagged(clips=200)
    page, text = report(tmp_path, **values)
    wrong = worst_rankings(values["predictions"], 999)
    assert f"In {len(wrong)} of 200 clips a class that they are not of" in text
    flat = re.sub(r"\s+", " ", " ".join(page.words))
    for row in wrong[:12]:
        assert f"{row['predicted']} heard in {row['target'].replace('|', ' | ')}" in flat
        right = f"{row['missed']} {100 * row['missed_probability']:.1f}\u202f%"
        assert f"{100 * row['probability']:.1f}\u202f% sure; {right}".replace("\u202f", " ") in flat
    head, *cells = page.tables["Widest gap first"]
    assert len(head) == 7 and cells == [
        [
            row["clip_id"],
            row["source"],
            row["target"].replace("|", " | "),
            row["missed"],
            f"{row['missed_probability']:.3f}",
            row["predicted"],
            f"{row['probability']:.3f}",
        ]
        for row in wrong
    ]
    supports = {row["label"]: row["support"] for row in values["metrics"]["per_class"]}
    for missed, predicted, count, share in page.tables["Most frequent confusions"][1:]:
        pairs = [(row["missed"], row["predicted"]) for row in wrong]
        assert int(count) == pairs.count((missed, predicted)) > 0
        assert share == f"{100 * int(count) / supports[missed]:.0f}\u202f%"
    assert len(page.attributes("audio", "src")) == 12

    page, text = report(tmp_path, **tagged(sharpness=99.0))
    assert "None: in every clip its own classes are the most probable." in text
    assert "Most frequent confusions" not in page.tables


def test_names_of_tags_stay_text(tmp_path):
    labels = [EVIL, "a & b", "</svg></table></body>"]
    page, _ = report(tmp_path, **tagged(labels))
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
    assert page.words.count(EVIL) >= 3


def test_mistakes_can_be_heard(tmp_path):
    values = inputs()
    page, text = report(tmp_path, **values)
    mistakes = values["mistakes"]
    sounds = page.attributes("audio", "src")
    assert len(sounds) == len(mistakes) > 3
    for uri, mistake in zip(sounds, mistakes, strict=True):
        data = base64.b64decode(uri.removeprefix("data:audio/flac;base64,"), validate=True)
        audio, rate = soundfile.read(io.BytesIO(data), always_2d=True)
        assert rate == RATE
        np.testing.assert_allclose(audio, mistake.audio, atol=1 / 32768)
    assert all(source.startswith("data:image/png") for source in page.attributes("img", "src"))
    for alt, mistake in zip(page.attributes("img", "alt"), mistakes, strict=True):
        assert alt == f"Spectrogram of {mistake.clip_id}, a {mistake.target} of 0.2 seconds"
    probabilities = [float(row[4]) for row in page.tables["Surest first"][1:]]
    wrong = [row for row in values["predictions"] if row["target"] != row["predicted"]]
    assert len(probabilities) == len(wrong)
    assert probabilities == sorted(probabilities, reverse=True)
    assert f"{len(wrong)} of 40 clips" in text


def test_sounds_stop_at_the_limit(tmp_path):
    values = inputs()
    size = len(report(tmp_path, **values)[0].attributes("audio", "src")[0])
    page, text = report(tmp_path, **values, audio_bytes=3 * size + size // 2)
    assert len(page.attributes("audio", "src")) == 3
    assert len(page.attributes("img", "src")) == len(values["mistakes"])
    assert text.count("Sound left out") == len(values["mistakes"]) - 3


def test_names_from_outside_stay_text(tmp_path):
    labels = [EVIL, "a & b", "</svg></table></body>"]
    values = inputs(labels, clips=30)
    for row in values["predictions"]:
        row["clip_id"] += EVIL
        row["source"] += EVIL
    mistakes = [
        Mistake(m.clip_id + EVIL, m.target, m.predicted, m.probability, m.audio, m.sample_rate)
        for m in values["mistakes"]
    ]
    page, text = report(
        tmp_path,
        **values
        | {
            "title": EVIL,
            "mistakes": mistakes,
            "history": {"loss" + EVIL: [1, 2]},
            "recipe": {EVIL: EVIL, "nested": {EVIL: [EVIL]}},
            "environment": {EVIL: EVIL},
            "split": {EVIL: {EVIL: EVIL}},
            "training": {EVIL: EVIL},
        },
    )
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert len(page.attributes("img", "src")) == len(mistakes)
    assert all(source.startswith("data:") for source in page.attributes("img", "src"))
    assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
    assert page.words.count(EVIL) > 5
    (table,) = [rows for caption, rows in page.tables.items() if "class without" in caption]
    assert [cells[0] for cells in table[1:-1]] == labels


def test_fifty_classes(tmp_path):
    """400 clips, and 44.1 kHz sounds of five seconds that do not all fit."""
    labels = [f"class number {index}" for index in range(50)]
    values = inputs(labels, clips=400)
    assert len(values["mistakes"]) == 12
    loud = [
        Mistake(m.clip_id, m.target, m.predicted, m.probability, sound(i, 27.0), RATE)
        for i, m in enumerate(values["mistakes"])
    ]
    page, text = report(tmp_path, **values | {"mistakes": loud})
    assert len(text.encode()) < 3_000_000
    assert 0 < len(page.attributes("audio", "src")) < 12
    assert (
        len([rows for caption, rows in page.tables.items() if "class without" in caption][0]) == 52
    )


def test_long_lists_end(tmp_path):
    page, text = report(tmp_path, **inputs(clips=1500, sharpness=0.0))
    assert len(page.tables["Surest first"]) == 501
    assert re.search(r"The first 500 of \d{3,4} mistakes", text)


@pytest.mark.parametrize("history", [None, {}])
def test_without_training(tmp_path, history):
    page, text = report(tmp_path, **inputs(history=history))
    assert "Learning curves" not in text and "best epoch" not in text
    assert "Training" not in page.tables


def test_without_mistakes(tmp_path):
    page, text = report(tmp_path, **inputs(sharpness=99.0))
    assert "every clip was recognised" in text
    assert "Most frequent confusions" not in page.tables and not page.attributes("audio", "src")


def test_tables_of_setup(tmp_path):
    page, text = report(
        tmp_path,
        **inputs(),
        split={"training": {"clips": 320, "recordings": 201}},
        training={"best_epoch": 3, "best_value": 0.123456789},
    )
    assert page.tables["Configuration"] == [
        ["block", "rb4"],
        ["learning_rate", "0.001"],
        ["early", "–"],
        ["nested.a", "1, 2"],
    ]
    assert page.tables["Environment"] == [["packages.keras", "3.15.1"], ["devices", "–"]]
    assert page.tables["Split"] == [["training clips", "320"], ["training recordings", "201"]]
    assert page.tables["Training"] == [["best_epoch", "3"], ["best_value", "0.123457"]]
    # What the training calls its best epoch wins over what the history suggests.
    assert "best epoch 3" in text and "best epoch 2" not in text


def test_same_input_same_bytes(tmp_path):
    assert report(tmp_path, **inputs())[1] == report(tmp_path, **inputs())[1]


def test_accessible(tmp_path):
    page, _ = report(tmp_path, **inputs())
    assert dict(page.elements)["html"] == {"lang": "en"}
    for tag, attributes in page.elements:
        if tag == "svg":
            assert attributes["role"] == "img" and attributes["aria-label"]
        if tag == "audio":
            assert attributes["aria-label"]
    assert "" not in page.tables and len(page.tables) == 5


def luminance(color):
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(first, second):
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def blend(color, below, opacity):
    mixed = [
        round(opacity * int(color[i : i + 2], 16) + (1 - opacity) * int(below[i : i + 2], 16))
        for i in (1, 3, 5)
    ]
    return "#" + "".join(f"{value:02x}" for value in mixed)


def test_contrast_in_every_theme():
    """WCAG AA: 4.5 to 1 for text, also on the strongest cell of a matrix; 3 to 1 for lines."""
    style = pathlib.Path(plots.__file__).with_name("report.css.j2").read_text()
    themes = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    assert len(themes) == 3
    for theme in themes:
        colors = {
            name: value if len(value) == 7 else "#" + "".join(2 * digit for digit in value[1:])
            for name, value in re.findall(r"--(\w+): (#[0-9a-f]+)", theme)
        }
        for ground in ("card", "page"):
            for text in ("ink", "muted", "accent"):
                assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)
        for line in ("training", "validation", "correct", "wrong"):
            assert contrast(colors[line], colors["card"]) >= 3, line
        for fill in ("correct", "wrong"):
            cell = blend(colors[fill], colors["card"], plots.STRONGEST)
            assert contrast(colors["ink"], cell) >= 4.5, fill


def test_predictions_must_be_those_measured(tmp_path):
    values = inputs()
    values["predictions"].pop()
    with pytest.raises(ValueError, match="40 clips.*39 predictions"):
        write_report(tmp_path / "report.html", **values)
    assert list(tmp_path.iterdir()) == []
