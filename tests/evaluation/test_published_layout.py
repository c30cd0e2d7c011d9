"""Every table can be printed from the data alone, in the order and the words of its paper."""

import re

import pytest
from paper_cells import TEXTS, cells_of

from keras_audio.evaluation import published_results, published_tables
from keras_audio.evaluation.published import read_table
from keras_audio.evaluation.published_layout import Title, format_value, published_title


def test_every_table_has_a_line_and_every_line_a_table():
    lines = [(line["paper"], line["table"]) for line in read_table("tables")]
    results = {(row["paper"], row["table"]) for paper in TEXTS for row in published_results(paper)}
    assert len(lines) == len(set(lines)) and set(lines) == results
    for line in read_table("tables"):
        assert line["title"] and line["protocol"].endswith(".")


@pytest.mark.parametrize("paper", TEXTS)
def test_every_number_has_a_cell_of_its_own(paper):
    for table in published_tables(paper):
        cells = table.cells()
        assert len(cells) == len(table.results)
        assert {line for line, _ in cells} == set(table.lines())
        header, *lines = table.grid()
        assert len({len(line) for line in (header, *lines)}) == 1
        assert len({tuple(line[: len(table.down)]) for line in lines}) == len(lines)
        shown = [cell for line in lines for cell in line[len(table.down) :] if cell != "-"]
        assert sorted(shown) == sorted(row["printed"] for row in table.results)
        assert not any("_" in text for line in (header, *lines) for text in line)


@pytest.mark.parametrize("paper", TEXTS)
def test_lines_and_columns_are_in_the_order_of_the_paper(shared, paper):
    """Its own cells, read from left to right and from above, come in the order of the grid."""
    printed = list(cells_of(shared, paper))
    for table in published_tables(paper):
        if not table.table.startswith("Table"):
            continue
        keys = ("table", "dataset", "row", "column", "metric")
        cells = table.cells()
        grid = [
            tuple(cells[line, column][key] for key in keys)
            for line in table.lines()
            for column in table.columns()
            if (line, column) in cells
        ]
        order = [key for key in printed if key[0] == table.table]
        if (paper, table.table) == ("colangelo_2021", "Table 1"):
            # The paper prints the epochs of both data sets once.
            assert [key for key in grid if key[-1] != "epochs"] == [
                key for key in order if key[-1] != "epochs"
            ]
        elif paper == "colangelo_2021":
            # Means and deviations share a cell.
            assert [key for key in grid if key[3]] == [key for key in order if key[3]]
        else:
            assert grid == order


@pytest.mark.parametrize("paper", TEXTS)
def test_numbers_in_their_unit_read_as_printed(paper):
    for row in published_results(paper):
        title = published_title(paper, row["table"], "metric", row["metric"])
        assert title.unit and title.text
        own, theirs = format_value(row["value"], title), row["printed"]
        if title.unit == "yes_no":
            assert own == {"✓": "yes", "✗": "no"}[theirs]
        elif theirs == "OOM":
            assert own == "-"
        elif re.fullmatch(r"[\d.,]+[%xM]?( million| KB)?", theirs):
            numbers = [float(re.sub("[^0-9.]", "", text)) for text in (own, theirs)]
            scales = (1, 100, 1e6)  # Averages are in percent where classes are not, or in millions.
            assert any(numbers[0] == pytest.approx(scale * numbers[1]) for scale in scales)


def test_titles_are_used_once_and_all_of_them():
    lines = read_table("titles")
    keys = [(line["paper"], line["table"], line["field"], line["key"]) for line in lines]
    assert len(set(keys)) == len(keys)
    used = set()
    for paper in TEXTS:
        for table in published_tables(paper):
            for row in table.results:
                for field in ("row", "column", "metric", "dataset", "start", "variant"):
                    (text,) = table.key(row, (field,))
                    for place in ((paper, table.table), (paper, ""), ("", "")):
                        used.add((*place, field, text))
    assert set(keys) <= used


@pytest.mark.parametrize(
    ("value", "title", "text"),
    [
        (0.7516, Title("", "percent", 1), "75.2%"),
        (24_503_855, Title("", "millions", 1), "24.5"),
        (4_001_242, Title("", "count", 0), "4,001,242"),
        (5e-6, Title("", "scientific", 0), "5e-06"),
        (0.4496, Title("", "plain", 3), "0.450"),
        (None, Title("", "plain", 0), "-"),
    ],
)
def test_values_in_units(value, title, text):
    assert format_value(value, title) == text
