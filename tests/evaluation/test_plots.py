"""The drawings as XML: what they show is read back from coordinates, colours and texts."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from drawings import (
    SVG,
    bottom,
    dots,
    history,
    of_iterations,
    one_cycle,
    paths,
    series,
    texts,
    titles,
)

from keras_audio.evaluation.curves import learning_curves
from keras_audio.evaluation.plots import average_precision_bars, confusion_matrix


def test_one_panel_a_quantity():
    panels = learning_curves(history())
    assert [titles(panel) for panel in panels] == [["Loss"], ["Accuracy"], ["Learning rate"]]
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
    assert {"0.001", "0.0001"} <= set(texts(rate))


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (1.2, 1.3), (0.004, 0.9), (3.0, 3.0)])
def test_ticks_stand_at_their_values(low, high):
    values = np.array([low, (low + high) / 2, high])
    (svg,) = learning_curves({"loss": values})
    logarithmic = low > 0 and high / low > 20
    scale = np.log if logarithmic else np.asarray
    lines = [line[0, 1] for line in paths(svg, "line")]
    # The labels of its own side are the texts that end left of the panel.
    left = min(line[0, 0] for line in paths(svg, "line"))
    labels = [
        float(text.text)
        for text in ElementTree.fromstring(svg).iter(f"{SVG}text")
        if "text-anchor: end" in text.get("style") and float(text.get("x")) < left
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
    expected = [line[best - 1] for line in series(panel)]
    np.testing.assert_allclose(dots(panel), expected, atol=1e-4)
    # The dashed line stands at that epoch too.
    (dashes,) = paths(panel, "muted")
    np.testing.assert_allclose(dashes[:, 0], expected[0][0], atol=1e-4)


@pytest.mark.parametrize(("interval", "unit"), [(500, "k"), (10, "")])
def test_time_in_iterations(interval, unit):
    columns = of_iterations(np.full(40, 2e-4), interval)
    panels = learning_curves(columns)
    assert [titles(panel)[0] for panel in panels] == [
        "Loss",
        "Mean average precision",
        "Learning rate",
    ]
    best = int(columns["iteration"][np.argmax(columns["val_mean_average_precision"])])
    for panel in panels:
        assert {"iteration", f"best iteration {best}"} <= set(texts(panel))
        assert "epoch" not in panel
        marks = bottom(panel)
        values = [float(text.removesuffix("k")) * (1000 if "k" in text else 1) for text, _ in marks]
        assert values[0] == 0 and values[-1] == 40 * interval and len(values) > 3
        assert all(text.endswith(unit) for text, _ in marks[1:])
        # Lines and marks stand where the iterations are.
        slope, offset = np.polyfit(values, [x for _, x in marks], 1)
        line = series(panel)[0][:, 0]
        ends = columns["iteration"][[0, -1]]
        np.testing.assert_allclose(line[[0, -1]], slope * ends + offset, atol=0.3)
    # The epoch to mark is given by its number, whatever the unit of time.
    assert f"best iteration {7 * interval}" in texts(learning_curves(columns, 7)[0])


@pytest.mark.parametrize(
    "rates",
    [one_cycle(100), np.full(20, np.float32(2e-4), np.float64), [2e-4 - 1e-12, 2e-4], [1e-3]],
    ids=["one_cycle", "constant", "rounding", "single"],
)
def test_a_rate_that_rises_or_stands_is_drawn_from_zero(rates):
    """A cycle of cosines spans five decades: logarithms would show a plateau and a cliff."""
    svg = learning_curves(of_iterations(np.array(rates)))[-1]
    left = min(line[0, 0] for line in paths(svg, "line"))
    marks = {
        float(text.text): float(text.get("y"))
        for text in ElementTree.fromstring(svg).iter(f"{SVG}text")
        if "text-anchor: end" in text.get("style") and float(text.get("x")) < left
    }
    assert min(marks) == 0 and max(marks) <= 1.2 * max(rates) and len(marks) >= 4
    assert not any("e-" in text for text in texts(svg))
    heights = series(svg)[0][:, 1] if len(rates) > 1 else np.array([dots(svg)[0][1]])
    zero, slope = marks[0], (marks[max(marks)] - marks[0]) / max(marks)
    offset = np.mean(heights - slope * np.array(rates)) - zero
    assert abs(offset) < 6  # half the height of the letters
    np.testing.assert_allclose(heights, zero + slope * np.array(rates) + offset, atol=0.2)


def restarts(steps_per_epoch, ends=(2, 6, 14)):
    """Cosines from 0.1 to almost nothing that begin anew after each of `ends`, in plain NumPy."""
    lengths = np.diff([0, *ends]) * steps_per_epoch
    cycles = [0.05 * (1 + np.cos(np.pi * np.arange(length) / length)) for length in lengths]
    return np.concatenate(cycles) + 1e-5


@pytest.mark.parametrize("steps_per_epoch", [1, 7, 2000])
def test_rates_of_steps_keep_every_restart(steps_per_epoch):
    rates = restarts(steps_per_epoch)
    columns = history(14)
    *others, svg = learning_curves(columns, 9, learning_rates=rates, snapshots=[2, 6, 14])
    assert others == learning_curves(columns, 9)[:2]
    assert titles(svg) == ["Learning rate"] and {"0.1", "0"} <= set(texts(svg))
    (line,) = paths(svg, "training")
    # The line is thinned, not bent: on its way from corner to corner it meets all values.
    left, right = line[0, 0], line[-1, 0]
    low, high = line[:, 1].max(), line[:, 1].min()
    epochs = np.arange(1, len(rates) + 1) / steps_per_epoch
    at = left + (epochs - epochs[0]) / (epochs[-1] - epochs[0]) * (right - left)
    expected = low + (rates - rates.min()) / (rates.max() - rates.min()) * (high - low)
    calm = np.ones(len(rates), bool)
    calm[np.array([2, 6]) * steps_per_epoch] = False
    calm[np.array([2, 6]) * steps_per_epoch - 1] = False
    drawn = np.interp(at[calm], line[:, 0], line[:, 1])
    np.testing.assert_allclose(drawn, expected[calm], atol=1.0)
    tops = at[np.array([0, 2, 6]) * steps_per_epoch]
    for top in tops:
        assert np.hypot(*(line - [top, high]).T).min() < 0.3
    assert len(line) < 400
    # Dots at the ends of the cycles and of the best epoch, the last step of each.
    marked = at[np.array([2, 6, 9, 14]) * steps_per_epoch - 1]
    np.testing.assert_allclose(sorted(x for x, _ in dots(svg)), marked, atol=0.05)
    assert "best epoch 9" in texts(svg)


def test_rates_of_steps_where_time_is_iterations():
    columns = of_iterations(np.ones(40))
    svg = learning_curves(columns, 30, learning_rates=one_cycle(20_000))[-1]
    assert {"iteration", "best iteration 15000", "20k"} <= set(texts(svg))
    (line,) = paths(svg, "training")
    peak = line[line[:, 1].argmin(), 0]
    assert (peak - line[0, 0]) / (line[-1, 0] - line[0, 0]) == pytest.approx(0.3, abs=0.005)
    # Nothing says which round was the best: no dot, no mark.
    svg = learning_curves({"loss": [2, 1]}, learning_rates=[0.1, 0.2, 0.3])[-1]
    assert dots(svg) == [] and titles(svg) == ["Learning rate"]


def test_the_last_epoch_may_be_what_is_kept():
    panels = learning_curves(history(), 7, kept="last")
    assert all("last epoch 30" in texts(panel) for panel in panels)
    assert not any("best" in panel for panel in panels)
    np.testing.assert_allclose(dots(panels[0]), [line[-1] for line in series(panels[0])], atol=1e-4)


def test_average_precision_bars():
    rows = [
        {"label": "dog & <b>", "support": 5, "average_precision": 0.25},
        {"label": "rain", "support": 0, "average_precision": None},
        {"label": "siren", "support": 10, "average_precision": 1.0},
        {"label": "s" * 40, "support": 19, "average_precision": 0.5},
    ]
    svg = average_precision_bars(rows, 20)
    names = ["siren", "s" * 31 + "…", "dog & <b>"]
    assert [text for text in texts(svg) if text[0].isalpha()] == names
    values = [text for text in texts(svg) if re.fullmatch(r"\d\.\d{3}", text)]
    assert values == ["1.000", "0.500", "0.250"]
    root = ElementTree.fromstring(svg)
    assert "Average precision of 3 classes: siren 1.000 to dog" in root.get("aria-label")
    bars = [
        np.array(re.findall(r"[ML] ([\d.]+) ([\d.]+)", path.get("d")), float)
        for path in root.iter(f"{SVG}path")
        if "fill: var(--correct," in path.get("style")
    ]
    widths = np.array([np.ptp(bar[:, 0]) for bar in bars])
    np.testing.assert_allclose(widths, widths[0] * np.array([1, 0.5, 0.25]), atol=0.1)
    assert np.all(np.diff([bar[0, 1] for bar in bars]) > 0)
    marks = [mark[0, 0] for mark in paths(svg, "ink")]
    starts = bars[0][:, 0].min()
    expected = starts + widths[0] * np.array([10, 19, 5]) / 20
    np.testing.assert_allclose(marks, expected, atol=0.1)


@pytest.mark.parametrize(("classes", "shown", "more"), [(40, 40, 0), (41, 40, 1), (527, 40, 487)])
def test_of_many_classes_the_ends_are_shown(classes, shown, more):
    rows = [
        {"label": f"c{index}", "support": 3, "average_precision": index / classes}
        for index in range(classes)
    ]
    svg = average_precision_bars(rows, 2000)
    found = [int(text[1:]) for text in texts(svg) if re.fullmatch(r"c\d+", text)]
    assert found == sorted(found, reverse=True) and len(found) == shown
    assert {classes - 1, classes - 20, 19, 0} <= set(found)
    assert [text for text in texts(svg) if "more" in text] == ([f"… {more} more …"] if more else [])


def test_gaps_single_epoch_and_none():
    (svg,) = learning_curves({"loss": [3.0, np.nan, 2.0, np.inf, 1.0]})
    # A line of three pieces, each of them one point: no bridge over a gap.
    (path,) = [
        path.get("d")
        for path in ElementTree.fromstring(svg).iter(f"{SVG}path")
        if "stroke: var(--training," in path.get("style")
    ]
    assert path.count("M") == 3 and path.count("L") == 0
    assert "nan" not in re.sub(r"aria-label=\"[^\"]*\"", "", svg)
    single = learning_curves({name: values[:1] for name, values in history().items()})
    assert [len(dots(panel)) for panel in single] == [2, 2, 1]
    (svg,) = learning_curves({"loss": [np.nan, np.nan]})
    assert sum(map(len, series(svg))) == 0
    assert learning_curves({}) == learning_curves({"loss": []}) == []
    with pytest.raises(ValueError, match=r"lengths \[1, 2\]"):
        learning_curves({"loss": [1], "val_loss": [1, 2]})


def test_nothing_is_cut_off():
    """The feet of all texts, and the height of their letters, are inside of the picture."""
    bars = [{"label": "b" * 40, "support": 1, "average_precision": 1.0}]
    for panel in [
        *learning_curves(history()),
        *learning_curves(of_iterations(one_cycle(30))),
        confusion_matrix([[1, 2], [3, 4]], ["a", "b" * 30]),
        average_precision_bars(bars, 10),
    ]:
        root = ElementTree.fromstring(panel)
        width, height = map(float, root.get("viewBox").split()[2:])
        for text in root.iter(f"{SVG}text"):
            x, y = float(text.get("x")), float(text.get("y"))
            letters = float(re.search(r"font-size: ([\d.]+)px", text.get("style"))[1])
            assert 0 <= x <= width and 0.75 * letters <= y <= height, text.text


@pytest.mark.parametrize("epochs", [1, 2, 3, 100])
def test_epochs_are_whole(epochs):
    for panel in learning_curves({"epoch": np.arange(1, 1 + epochs), "accuracy": np.ones(epochs)}):
        bottom = [
            text
            for text in ElementTree.fromstring(panel).iter(f"{SVG}text")
            if "text-anchor: middle" in text.get("style")
        ]
        assert bottom and {int(text.text) for text in bottom} <= set(range(1, 1 + epochs))


@pytest.mark.parametrize("classes", [1, 2, 10, 20, 50])
def test_confusion_matrix_shows_every_count(classes):
    generator = np.random.default_rng(classes)
    counts = generator.integers(0, 4, (classes, classes)) * generator.integers(0, 2, (classes, 1))
    counts[0, 0] = 5
    svg = confusion_matrix(counts, [f"c{index:02}" for index in range(classes)])
    root = ElementTree.fromstring(svg)
    (left, top), (right, bottom) = (
        function(np.concatenate(paths(svg, "line")), axis=0) for function in (np.min, np.max)
    )

    def cell(x, y):
        """Row and column of the cell around a point, if any."""
        inside = left < x < right and top < y < bottom
        return inside and (
            int((y - top) / (bottom - top) * classes),
            int((x - left) / (right - left) * classes),
        )

    opacity, colors = np.zeros(counts.shape), {}
    for path in root.iter(f"{SVG}path"):
        if found := re.search(r"fill: var\(--(\w+).*fill-opacity: ([\d.]+)", path.get("style")):
            corners = np.array(re.findall(r"[ML] ([\d.]+) ([\d.]+)", path.get("d")), float)
            at = cell(*corners.mean(axis=0))
            colors[at], opacity[at] = found[1], float(found[2])
    assert ((opacity > 0) == (counts > 0)).all()
    assert all((color == "correct") == (at[0] == at[1]) for at, color in colors.items())
    assert set(colors.values()) <= {"correct", "wrong"}
    shown, names = {}, []
    for text in root.iter(f"{SVG}text"):
        # The anchor is at the foot of the letters.
        if at := cell(float(text.get("x")), float(text.get("y")) - 3):
            shown.setdefault(at, []).append(text.text)
        else:
            names.append(text.text)
    totals = counts.sum(axis=1)
    assert shown == {
        (row, column): [str(counts[row, column])]
        + ([f"{100 * counts[row, column] / totals[row]:.0f} %"] if classes <= 24 else [])
        for row, column in np.argwhere(counts).tolist()
    }
    labels = [f"c{index:02}" for index in range(classes)]
    assert sorted(names) == sorted([*labels, *labels, "predicted", "true"])
    share = counts / np.maximum(totals[:, np.newaxis], 1)
    order = np.argsort(share.ravel())
    assert (np.diff(opacity.ravel()[order]) >= 0).all()


@pytest.mark.filterwarnings("error")
def test_labels_stay_as_they_are_or_are_cut():
    labels = [
        "<script>1</script>",
        "a very very very long name of a class & more",
        r"$x^2$ \frac{1}{2}",
        "$ \\",
        '"fill: #171a21;"',
        "雨と犬",
    ]
    svg = confusion_matrix(np.eye(6, dtype=int), labels)
    assert "<script" not in svg
    for label in labels:
        shown = label if len(label) <= 24 else "a very very very long n…"
        assert texts(svg).count(shown) == 2
    (panel,) = learning_curves({"$x^2$ <b>": [1, 2]})
    assert titles(panel) == ["$x^2$ <b>"] and "<b>" not in panel


def test_elements_of_one_page_share_nothing():
    """Ids differ between elements, colours are the page's, and a user's own style has no say."""
    import matplotlib

    panels = [*learning_curves(history()), confusion_matrix([[1]], ["a"])]
    ids = [re.findall(r'\bid="([^"]*)"', panel) for panel in panels]
    found = [name for names in ids for name in names]
    assert len(found) == len(set(found)) and found
    for panel, names in zip(panels, ids, strict=True):
        assert set(re.findall(r'href="#([^"]*)"', panel)) == set(names)
        style = " ".join(re.findall(r'style="([^"]*)"', panel))
        assert "#" not in re.sub(r"var\(--\w+, #[0-9a-f]{6}\)", "", style)
        assert "white" not in style and "<metadata" not in panel
    with matplotlib.rc_context({"font.size": 30, "figure.facecolor": "red", "axes.grid": True}):
        assert [*learning_curves(history()), confusion_matrix([[1]], ["a"])] == panels


def test_shape_must_fit():
    with pytest.raises(ValueError, match=r"\(2, 2\).*\(1, 2\)"):
        confusion_matrix([[1, 2]], ["a", "b"])
