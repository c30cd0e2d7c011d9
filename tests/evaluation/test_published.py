"""The committed numbers against the text of the paper itself, cell by cell."""

import re

import pytest

from keras_audio.evaluation.published import published_results
from keras_audio.recipes import recipe_class

INPUTS = {
    "No": "none",
    "Scale max": "max_abs",
    "Mean 0 Std 1": "standard",
    "log Mel-Spectrogram": "log_mel",
}
METRICS = {"Validation acc": "validation_accuracy", "Training acc": "training_accuracy"}


def test_table_2_is_the_papers(shared):
    """Re-parses the tab-separated table from the paper's text."""
    text = (shared / "papers" / "naranjo_2019_residual_blocks.txt").read_text(encoding="utf-8")
    expected, column = {}, None
    for line in text.splitlines():
        cells = line.split("\t")
        if len(cells) == 8 and cells[1] in METRICS:
            column = INPUTS[cells[0]] if cells[0] else column
            for block, cell in enumerate(cells[2:], start=1):
                assert re.fullmatch(r"[\d.]+%", cell)
                value = round(float(cell[:-1]) / 100, 6)
                expected[f"rb{block}", column, METRICS[cells[1]]] = value
    assert len(expected) == 48
    rows = [row for row in published_results("naranjo_2019") if row["source"] == "paper"]
    found = {(row["row"], row["column"], row["metric"]): row["value"] for row in rows}
    assert len(rows) == 48 and found == expected
    assert {row["table"] for row in rows} == {"Table II"}


def test_original_code():
    rows = [row for row in published_results("naranjo_2019") if row["source"] == "original code"]
    assert {row["row"]: row["value"] for row in rows} == {
        "m3": 0.673,
        "m5": 0.743,
        "m11": 0.752,
        "m18": 0.710,
        "rb6": 0.725,
    }
    assert {row["column"] for row in rows} == {"standard"}


def test_rows_and_columns_name_recipes():
    """Every number can be matched with a recipe: rows are blocks or plain networks."""
    for row in published_results("naranjo_2019"):
        field = "block" if row["row"].startswith("rb") else "network"
        recipe = recipe_class("residual_blocks")(
            **{field: row["row"], "normalization": row["column"], "dataset": row["dataset"]}
        )
        assert 0 < row["value"] <= 1
        assert f"fold {recipe.fold} held out" in row["protocol"]


def test_values_are_numbers_and_calls_are_independent():
    first = published_results("naranjo_2019")
    first[0]["value"] = -1
    assert published_results("naranjo_2019")[0]["value"] == 0.6714


def test_unknown_paper():
    with pytest.raises(ValueError, match="naranjo_2019.*paper=verbitskiy"):
        published_results("verbitskiy")
