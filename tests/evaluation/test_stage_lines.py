"""Stages of a training in its learning curves and in a table: where they begin, and their names."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from drawings import SVG, dots, history, of_iterations, paths, series, texts, titles
from report_page import inputs, report, tagged

from keras_audio.evaluation.curves import learning_curves, stage_rows

NAMES = ("64x128", "64x128", "96x214", "128x300")


def staged(*lengths):
    numbers = np.repeat(np.arange(1.0, 1 + len(lengths)), lengths)
    return {"stage": numbers, **history(len(numbers))}


def thin_lines(svg):
    """Where thin upright lines stand; the dashed one of the best epoch is not among them."""
    root = ElementTree.fromstring(svg)
    found = []
    for path in root.iter(f"{SVG}path"):
        style = path.get("style", "")
        if "stroke: var(--muted," in style and "stroke-width: 0.5" in style:
            assert "stroke-dasharray" not in style
            (x, _), (other, _) = re.findall(r"[ML] ([\d.]+) ([\d.]+)", path.get("d"))
            assert x == other
            found.append(float(x))
    return found


def names_in(svg, names=NAMES):
    """Names of stages that are shown, with where they begin."""
    found = ElementTree.fromstring(svg).iter(f"{SVG}text")
    return [(text.text, float(text.get("x"))) for text in found if text.text in names]


def test_lines_stand_where_stages_begin():
    columns = staged(3, 4, 2, 5)
    panels = learning_curves(columns, 12, stages=NAMES)
    assert [titles(panel)[0] for panel in panels] == ["Loss", "Accuracy", "Learning rate"]
    for panel in panels:
        (line, *_) = series(panel)
        # The first begins before the first row, at the edge; others with the end of the last one.
        np.testing.assert_allclose(thin_lines(panel), line[[0, 2, 6, 8], 0], atol=0.01)
        names = names_in(panel)
        assert [name for name, _ in names] == ["64x128", "96x214", "128x300"]
        np.testing.assert_allclose([x for _, x in names], line[[0, 6, 8], 0], atol=0.01)
        assert "best epoch 12" in texts(panel)


def test_stages_without_names_have_numbers():
    panel = learning_curves(staged(3, 4), 2)[0]
    assert [name for name, _ in names_in(panel, ("stage 1", "stage 2"))] == ["stage 1", "stage 2"]
    assert thin_lines(learning_curves(history(), 2, stages=NAMES)[0]) == []


@pytest.mark.parametrize("lengths", [(20, 1, 1, 1), (1, 1, 1, 40), (40, 40, 19, 1)])
def test_names_have_room_or_are_left_out(lengths):
    names = ("16x32", "64x128", "96x214", "128x300")
    panel = learning_curves(staged(*lengths), 2, stages=names)[0]
    lines, shown = thin_lines(panel), names_in(panel, names)
    assert len(lines) == 4 and shown[0] == ("16x32", pytest.approx(lines[0], abs=0.01))
    begins = np.array([x for _, x in shown])
    # A letter of 10 pixels is about 6 wide.
    assert (np.diff(begins) > 7 * 6).all()
    assert begins[-1] + 7 * 6 < float(ElementTree.fromstring(panel).get("width"))


def test_nothing_is_cut_off():
    for panel in learning_curves(staged(9, 9, 9, 3), 28, stages=NAMES):
        height = float(ElementTree.fromstring(panel).get("viewBox").split()[3])
        for text in ElementTree.fromstring(panel).iter(f"{SVG}text"):
            letters = float(re.search(r"font-size: ([\d.]+)px", text.get("style"))[1])
            assert 0.75 * letters <= float(text.get("y")) <= height, text.text


def test_the_best_epoch_is_one_of_the_last_resolution():
    columns = staged(3, 4, 2, 5)
    columns["val_accuracy"] = np.linspace(0.9, 0.1, 14)
    assert "best epoch 10" in texts(learning_curves(columns, stages=NAMES)[0])
    # The last two stages have one resolution.
    names = ("64x128", "96x214", "128x300", "128x300")
    assert "best epoch 8" in texts(learning_curves(columns, stages=names)[0])
    # A training that is not yet there.
    begun = {name: values[:6] for name, values in columns.items()}
    assert "best epoch 1" in texts(learning_curves(begun, stages=NAMES)[0])


def test_rates_of_steps_over_all_stages():
    rates = np.concatenate([np.linspace(peak, 0.0, 10 * n) for peak, n in ((3, 3), (2, 4), (1, 2))])
    svg = learning_curves(staged(3, 4, 2), 8, learning_rates=rates, stages=NAMES[1:])[-1]
    (line,) = series(svg)
    jumps = line[1:][np.diff(line[:, 1]) < -20, 0]
    np.testing.assert_allclose(thin_lines(svg)[1:], jumps, atol=line[-1, 0] / 90)
    assert len(dots(svg)) == 1


def test_where_time_is_iterations():
    columns = {"stage": np.repeat([1, 2], [15, 25]), **of_iterations(np.full(40, 1e-3))}
    panel = learning_curves(columns, 30, stages=NAMES[2:])[0]
    (line, *_) = series(panel)
    first, second = thin_lines(panel)
    assert second == pytest.approx(line[14, 0], abs=0.01)
    assert first == pytest.approx(line[0, 0] - (line[1, 0] - line[0, 0]), abs=0.1)
    assert len(paths(panel, "muted")) == 3  # and the dashed one


def test_rows_of_stages():
    columns = {
        "stage": [1, 1, 1, 2, 3, 3],
        "epoch": [1, 2, 3, 4, 5, 6],
        "seconds": [10, 12, 15, 30, 50, 55],
        "val_accuracy": [0.1, np.nan, 0.3, 0.2, 0.5, 0.4],
    }
    rates = [0.1, 0.2, 0.3, 0.0, 0.1, 0.0, 5e-6, 1e-6, 0.4, 0.3, 0.2, 0.1]
    rows = stage_rows(columns, ["a", "b", "c"], rates)
    assert rows == [
        # The first epoch of 10 seconds is left aside.
        {"number": 1, "name": "a", "first": 1, "last": 3, "best": 0.3}
        | {"seconds": 2.5, "highest_rate": 0.3},
        {"number": 2, "name": "b", "first": 4, "last": 4, "best": 0.2}
        | {"seconds": 15.0, "highest_rate": 5e-6},
        {"number": 3, "name": "c", "first": 5, "last": 6, "best": 0.5}
        | {"seconds": 5.0, "highest_rate": 0.4},
    ]
    del columns["val_accuracy"]
    unknown = stage_rows(columns)
    assert [row["name"] for row in unknown] == ["stage 1", "stage 2", "stage 3"]
    assert all(row["best"] is row["highest_rate"] is None for row in unknown)
    assert stage_rows(history()) == stage_rows({}) == stage_rows({"stage": []}) == []


@pytest.mark.parametrize("make", [inputs, tagged])
def test_they_are_a_table_of_the_report(tmp_path, make):
    score = "mean_average_precision" if make is tagged else "accuracy"
    columns = {
        "stage": [1, 1, 2],
        "epoch": [1, 2, 3],
        "seconds": [9, 11, 20],
        "loss": [3, 2, 1],
        f"val_{score}": [0.25, 0.5, 0.375],
    }
    rates = [0.005, 0.001, 5e-6]
    staging = {"stages": ["64x128", "128x300"], "learning_rates": rates}
    page, text = report(tmp_path, **make(history=columns, **staging))
    (table,) = [rows for caption, rows in page.tables.items() if caption.startswith("Stages.")]
    best = ["0.500", "0.375"] if make is tagged else ["50.0\u202f%", "37.5\u202f%"]
    assert table[1:] == [
        ["1: 64x128", "1–2", "2.0", "0.005", best[0]],
        ["2: 128x300", "3–3", "9.0", "5e-06", best[1]],
    ]
    assert "A thin line is where a stage begins." in text
    assert all(panel in text for panel in learning_curves(columns, **staging))
    page, text = report(tmp_path, **make())
    assert "thin line" not in text and not any("Stages" in caption for caption in page.tables)
