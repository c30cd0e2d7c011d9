"""What follows from other numbers of a paper is marked so, and the few that do not add up are."""

import pytest
from paper_cells import TEXTS

from keras_audio.evaluation import check_published, published_results

FIELDS = ("table", "row", "column", "metric", "dataset")
# Where the rounding of the cells, or digits that were cut, explain what is off.
SLIPS = {
    "mcdonnell_2019": {
        ("Table 1", "all", "accuracy"): "rounded cells",
        ("Table 2", "average", "recall"): "rounded cells",
        ("Table 3", "average", "precision"): "rounded cells",
        ("Table 4", "known", "recall"): "rounded cells",
        ("Table 4", "known", "precision"): "rounded cells",
    },
    "pajusco_2020": {("Section 6", "b", "times_smaller"): "cut"},
    "colangelo_2021": {
        ("Table 2", "mel", "mean_accuracy"): "cut",
        ("Table 2", "bilinear", "deviation"): "cut",
        ("Table 3", "baseline", "deviation"): "cut",
        ("Table 3", "mel", "deviation"): "cut",
        ("Table 3", "bilinear", "deviation"): "cut",
    },
}
# Where nothing does.
MISTAKES = {
    "verbitskiy_2022": {
        ("Table 4", "erann_2_6", "mean_average_precision"),
        ("Table 5", "erann_2_5", "parameters"),
        ("Table 5", "erann_1_6", "parameters"),
        ("Section 4.2.1", "erann_1_6", "times_faster_batch_32"),
        ("Section 4.2.1", "erann_2_6", "times_faster_batch_32"),
        ("Section 4.2.2", "erann_2_5", "times_smaller"),
        ("Section 4.3.1", "erann_1_3", "times_smaller"),
        ("Section 4.3.1", "erann_1_3", "times_faster_batch_32"),
    },
    "mcdonnell_2019": {("Table 1", "known", "accuracy"), ("Table 1", "unknown", "accuracy")},
    "pajusco_2020": {("Section 6", "a", "times_smaller")},
    "colangelo_2021": {("Section 3", "progressive", "times_epochs")},
}


@pytest.mark.parametrize("paper", TEXTS)
def test_the_data_says_what_the_checks_find(paper):
    checks = check_published(paper)
    found = {tuple(getattr(check, field) for field in FIELDS): check for check in checks}
    assert len(found) == len(checks)
    for row in published_results(paper):
        check = found.pop(tuple(row[field] for field in FIELDS), None)
        if check is None:
            assert row["check"] == ""
        else:
            assert row["check"] == ("recomputed" if check.agrees else "differs")
            assert check.printed == row["value"] and bool(check.reason) != check.agrees
    assert not found


@pytest.mark.parametrize("paper", TEXTS)
def test_the_few_that_do_not_add_up(paper):
    off = {
        (check.table, check.row, check.metric): check.reason
        for check in check_published(paper)
        if not check.agrees
    }
    expected = SLIPS.get(paper, {}) | dict.fromkeys(MISTAKES.get(paper, ()), "unexplained")
    assert off == expected


@pytest.mark.parametrize("paper", TEXTS)
def test_notes_say_what_they_come_to(paper):
    rows = {tuple(row[field] for field in FIELDS): row for row in published_results(paper)}
    for check in check_published(paper):
        note = rows[check[:5]]["note"]
        if not check.agrees:
            said = {
                f"{check.recomputed * scale:.{digits}f}"
                for scale in (1, 100, 1e-6)
                for digits in (1, 2, 3)
                if f"{check.recomputed * scale:.3f}" != "0.000"
            }
            assert any(text in note for text in said), check
            if check.reason != "unexplained":
                assert {"cut": "is cut, not rounded", "rounded cells": "within their rounding"}[
                    check.reason
                ] in note


@pytest.mark.parametrize(
    ("paper", "tables", "metric", "number"),
    [
        ("colangelo_2021", ("Table 2", "Table 3"), "mean_accuracy", 6),
        ("colangelo_2021", ("Table 2", "Table 3"), "deviation", 6),
        ("pajusco_2020", ("Table 1",), "kilobytes", 4),
        ("mcdonnell_2019", ("Table 4",), "score", 1),
        ("verbitskiy_2022", ("Section 4.2.1",), "times_faster_batch_32", 2),
    ],
)
def test_every_such_number_is_checked(paper, tables, metric, number):
    checks = [c for c in check_published(paper) if c.table in tables and c.metric == metric]
    assert len(checks) == number


def test_ratios_of_the_text_are_all_checked():
    for row in published_results("verbitskiy_2022"):
        if not row["table"].startswith("Table") and row["source"] == "paper":
            assert row["check"]


def test_unknown_paper():
    with pytest.raises(ValueError, match="naranjo_2019.*paper=dai_2017"):
        check_published("dai_2017")
