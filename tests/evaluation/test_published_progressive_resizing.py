"""The committed numbers on progressive resizing against the paper's text, and where it errs."""

import math

import numpy as np
import pytest

from keras_audio.evaluation import published_results
from keras_audio.recipes import ProgressiveResizing, with_settings

DATASETS = {"Table 2": "urbansound8k", "Table 3": "esc50"}
# Clips of each fold of UrbanSound8K.
CLIPS = (873, 888, 925, 990, 936, 823, 838, 806, 816, 837)


@pytest.fixture(scope="module")
def rows():
    return published_results("colangelo_2021")


def test_rows_and_columns_name_recipes(rows):
    for row in rows:
        if row["table"] == "Table 1":
            method = "mel" if row["row"] == "progressive" else "baseline"
            recipe = ProgressiveResizing.for_dataset(row["dataset"], method=method)
            stage = recipe.plan[int(row["column"].removeprefix("stage=")) - 1]
            assert getattr(stage, row["metric"]) == row["value"]
        if row["table"] not in DATASETS:
            continue
        recipe = ProgressiveResizing(dataset=row["dataset"], method=row["row"])
        if row["metric"] == "accuracy":
            recipe = with_settings(recipe, [row["column"]])
            assert f"fold {recipe.fold} held out" in row["protocol"]
    epochs = {
        method: sum(stage.epochs for stage in ProgressiveResizing(method=method).plan)
        for method in ("baseline", "bilinear")
    }
    assert epochs == {"baseline": 190, "bilinear": 170}
    noted = [row["note"] for row in rows if row["table"] == "Table 1" and row["note"]]
    assert len(noted) == 2 and all("190" in note and "170" in note for note in noted)


@pytest.mark.parametrize("table", DATASETS)
@pytest.mark.parametrize("method", ["baseline", "mel", "bilinear"])
def test_averages_and_deviations(rows, table, method):
    """They are those of the splits, some of them cut where others would round; and that is said."""
    own = [row for row in rows if (row["table"], row["row"]) == (table, method)]
    splits = [100 * row["value"] for row in own if row["metric"] == "accuracy"]
    for metric, exact in (
        ("mean_accuracy", np.mean(splits)),
        ("deviation", np.std(splits, ddof=1)),
    ):
        (row,) = [row for row in own if row["metric"] == metric]
        printed = round(100 * row["value"], 6)
        assert printed == pytest.approx(math.floor(100 * exact + 1e-9) / 100)
        if printed == pytest.approx(round(exact, 2)):
            assert not row["note"]
        else:
            assert row["note"] == f"the splits come to {exact:.3f} %, which is cut, not rounded"


def shares(clips):
    """What accuracies on so many clips can be, in hundredths of a percent, cut."""
    return {math.floor(10_000 * right / clips + 1e-9) for right in range(clips + 1)}


def test_table_2_counts_the_folds_backwards(rows):
    """Folds have various numbers of clips: only the right one explains an accuracy."""
    cells = [row for row in rows if (row["table"], row["metric"]) == ("Table 2", "accuracy")]

    def explained(fold_of):
        found = [
            row
            for row in cells
            if round(10_000 * row["value"]) in shares(CLIPS[fold_of(row["column"]) - 1])
        ]
        return len(found), [row for row in cells if row not in found]

    number, (odd,) = explained(lambda column: int(column.removeprefix("fold=")))
    assert number == 29
    assert (odd["row"], odd["column"], odd["value"]) == ("baseline", "fold=7", 0.7698)
    assert odd["note"] == "no share of 838 clips: 645 are 76.96 %" and 645 / 838 < 0.76970
    # Counted forwards, hardly more than chance would explain.
    assert explained(lambda column: 11 - int(column.removeprefix("fold=")))[0] == 4
    assert all(bool(row["note"]) == (row is odd) for row in cells)


def test_table_3_has_shares_of_400_clips_but_for_three(rows):
    cells = [row for row in rows if (row["table"], row["metric"]) == ("Table 3", "accuracy")]
    odd = [row for row in cells if round(10_000 * row["value"]) % 25]
    assert [row["value"] for row in odd] == [0.7174, 0.8324, 0.7749]
    assert [row for row in cells if row["note"]] == odd
    for row in odd:
        right = round(400 * row["value"])
        assert row["note"] == f"no share of 400 clips: {right} are {right / 4:g} %"
        # What is cut of the share in single precision.
        assert math.floor(10_000 * float(np.float32(right / 400))) == round(10_000 * row["value"])
