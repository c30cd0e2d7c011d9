"""The drawings as XML: what they show is read back from coordinates, colours and titles."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from keras_audio.evaluation.plots import confusion_matrix, learning_curves

SVG = "{http://www.w3.org/2000/svg}"


def points(path):
    numbers = re.findall(r"[ML]([\d.]+) ([\d.]+)", path)
    return np.array(numbers, float)


def series(svg):
    """Points of each line that is drawn through values."""
    paths = [
        path.get("d")
        for path in ElementTree.fromstring(svg).iter(f"{SVG}path")
        if "linejoin" in path.get("style")
    ]
    return [points(path) for path in paths]


def texts(svg):
    return ["".join(text.itertext()) for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def history(epochs=30):
    generator = np.random.default_rng(0)
    return {
        "epoch": np.arange(1.0, epochs + 1),
        "seconds": np.ones(epochs),
        "learning_rate": np.geomspace(1e-2, 1e-5, epochs),
        "loss": generator.uniform(1, 2, epochs),
        "accuracy": generator.uniform(0.4, 0.5, epochs),
        "val_loss": generator.uniform(1, 3, epochs),
        "val_accuracy": generator.uniform(0.2, 0.4, epochs),
    }


def test_one_panel_a_quantity():
    panels = learning_curves(history())
    assert [texts(panel)[0] for panel in panels] == ["Loss", "Accuracy", "Learning rate"]
    assert [len(series(panel)) for panel in panels] == [2, 2, 1]


def test_lines_are_the_values():
    """Heights are an affine function of the values, falling in pixels, one for both lines."""
    columns = history()
    loss, _, rate = learning_curves(columns)
    drawn = np.concatenate(series(loss))
    values = np.concatenate([columns["loss"], columns["val_loss"]])
    epochs = np.tile(columns["epoch"], 2)
    for pixels, data, sign in ((drawn[:, 1], values, -1), (drawn[:, 0], epochs, 1)):
        slope, offset = np.polyfit(data, pixels, 1)
        np.testing.assert_allclose(pixels, slope * data + offset, atol=0.06)
        assert np.sign(slope) == sign
    # A rate that falls a thousandfold gets a logarithmic axis: its geometric fall is a line.
    (pixels,) = series(rate)
    slope, offset = np.polyfit(np.log(columns["learning_rate"]), pixels[:, 1], 1)
    np.testing.assert_allclose(
        pixels[:, 1], slope * np.log(columns["learning_rate"]) + offset, atol=0.06
    )
    assert {"1e-3", "1e-4"} <= set(texts(rate))


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (1.2, 1.3), (0.004, 0.9), (3.0, 3.0)])
def test_ticks_stand_at_their_values(low, high):
    values = np.array([low, (low + high) / 2, high])
    (svg,) = learning_curves({"loss": values})
    logarithmic = low > 0 and high / low > 20
    scale = np.log if logarithmic else np.asarray
    # A grid line spans the panel; its label is the text that stands beside it.
    lines = [
        float(y)
        for path in ElementTree.fromstring(svg).iter(f"{SVG}path")
        for y in re.findall(r"^M46 ([\d.]+)H", path.get("d"))
    ]
    labels = [
        float("".join(text.itertext()))
        for text in ElementTree.fromstring(svg).iter(f"{SVG}text")
        if text.get("text-anchor") == "end" and text.get("x") == "39.0"
    ]
    assert len(labels) == len(lines) >= 2
    if low < high:
        slope, offset = np.polyfit(scale(values), series(svg)[0][:, 1], 1)
        np.testing.assert_allclose(lines, slope * scale(np.array(labels)) + offset, atol=0.2)


def test_best_epoch():
    columns = history()
    best = 1 + int(np.argmax(columns["val_accuracy"]))
    assert all(f"best epoch {best}" in texts(panel) for panel in learning_curves(columns))
    assert all("best epoch 7" in texts(panel) for panel in learning_curves(columns, 7))
    del columns["val_accuracy"]
    best = 1 + int(np.argmin(columns["val_loss"]))
    panel = learning_curves(columns)[0]
    assert f"best epoch {best}" in texts(panel)
    marks = ElementTree.fromstring(panel).iter(f"{SVG}circle")
    expected = [line[best - 1] for line in series(panel)]
    np.testing.assert_allclose([(float(m.get("cx")), float(m.get("cy"))) for m in marks], expected)


def test_gaps_single_epoch_and_none():
    (svg,) = learning_curves({"loss": [3.0, np.nan, 2.0, np.inf, 1.0]})
    assert len(series(svg)[0]) == 3
    assert "nan" not in re.sub(r"<title>.*?</title>|aria-label=\"[^\"]*\"", "", svg)
    single = learning_curves({name: values[:1] for name, values in history().items()})
    assert [panel.count("<circle") for panel in single] == [2, 2, 1]
    (svg,) = learning_curves({"loss": [np.nan, np.nan]})
    assert len(series(svg)[0]) == 0
    assert learning_curves({}) == learning_curves({"loss": []}) == []
    with pytest.raises(ValueError, match=r"lengths \[1, 2\]"):
        learning_curves({"loss": [1], "val_loss": [1, 2]})


@pytest.mark.parametrize("classes", [1, 2, 10, 20, 50])
def test_confusion_matrix_shows_every_count(classes):
    generator = np.random.default_rng(classes)
    counts = generator.integers(0, 4, (classes, classes)) * generator.integers(0, 2, (classes, 1))
    counts[0, 0] = 5
    labels = [f"c{index:02}" for index in range(classes)]
    root = ElementTree.fromstring(confusion_matrix(counts, labels))
    found = np.zeros_like(counts)
    opacity = np.zeros(counts.shape)
    for group in root.iter(f"{SVG}g"):
        tip, cell = group.find(f"{SVG}title"), group.find(f"{SVG}rect")
        if tip is None or cell is None:
            continue
        words = re.match(
            r"Of (\d+) (c\d\d), (\d+) (?:recognised|taken for (c\d\d)) \((\d+) %\)", tip.text
        )
        total, row, count, column, percent = words.groups()
        at = labels.index(row), labels.index(column or row)
        found[at] = int(count)
        opacity[at] = float(re.search(r"fill-opacity:([\d.]+)", cell.get("style"))[1])
        assert int(total) == counts[at[0]].sum()
        assert int(percent) == round(100 * int(count) / int(total))
        shown = ["".join(text.itertext()) for text in group.iter(f"{SVG}text")]
        full = [count, f"{percent} %"] if classes <= 24 else [count]
        assert shown == (full if int(count) else [])
    np.testing.assert_array_equal(found, counts)
    assert ((opacity > 0) == (counts > 0)).all()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    order = np.argsort(share.ravel())
    assert (np.diff(opacity.ravel()[order]) >= 0).all()


def test_labels_are_escaped_and_cut():
    labels = ["<script>alert(1)</script>", "a very very very long name of a class & more"]
    svg = confusion_matrix([[1, 0], [1, 2]], labels)
    assert "<script" not in svg
    root = ElementTree.fromstring(svg)
    titles = {title.text for title in root.iter(f"{SVG}title")}
    assert set(labels) <= titles
    assert any(text.endswith("a very very very long n…") for text in texts(svg))


def test_shape_must_fit():
    with pytest.raises(ValueError, match=r"\(2, 2\).*\(1, 2\)"):
        confusion_matrix([[1, 2]], ["a", "b"])
