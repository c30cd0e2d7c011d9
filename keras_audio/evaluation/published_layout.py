"""How the papers lay their tables out, and what their rows, columns and metrics are called."""

import functools
from typing import NamedTuple

from keras_audio.evaluation.published import published_results, read_table

_MISSING = "-"
_STARTS = ("scratch", "fine_tune")


class Title(NamedTuple):
    """What a key of a table is called.

    Attributes:
        text: In words.
        unit: Of a metric: `"percent"` (of a value in 0..1), `"plain"`, `"count"`, `"millions"`,
            `"scientific"` or `"yes_no"`; empty of other keys.
        digits: Of a metric: digits after the point, as the paper prints most of its cells.
    """

    text: str
    unit: str
    digits: int


class PublishedTable(NamedTuple):
    """A table of a paper, or what a section of its text says in numbers.

    Attributes:
        paper: Its key, as in `published_results`.
        table: As in `published_results`: `"Table 1"`, `"Section 4.1"` or `"Original code"`.
        title: What it is about.
        protocol: How its numbers were measured, in short.
        down: The fields of a result that tell its lines apart, each with the title of its column.
        across: The fields that tell its columns apart. Fields are those of `published_results`;
            or `start`, the word `scratch` or `fine_tune` of `column`, and `variant`, the others.
        datasets: What its numbers were measured on, in order.
        results: Its part of `published_results`.
    """

    paper: str
    table: str
    title: str
    protocol: str
    down: dict[str, str]
    across: tuple[str, ...]
    datasets: tuple[str, ...]
    results: list[dict]

    def key(self, result: dict, fields: dict[str, str] | tuple[str, ...]) -> tuple[str, ...]:
        """What `result` has in the fields `down` or `across`."""
        return tuple(_field(result, field) for field in fields)

    def lines(self) -> list[tuple[str, ...]]:
        """The keys of its lines, in the order of the paper."""
        return list(dict.fromkeys(self.key(result, self.down) for result in self.results))

    def columns(self) -> list[tuple[str, ...]]:
        """The keys of its columns, in the order of the paper."""
        return list(dict.fromkeys(self.key(result, self.across) for result in self.results))

    def cells(self) -> dict[tuple[tuple[str, ...], tuple[str, ...]], dict]:
        """The result at each key of a line and key of a column that has one."""
        return {
            (self.key(result, self.down), self.key(result, self.across)): result
            for result in self.results
        }

    def titles(self, key: tuple[str, ...], fields: dict[str, str] | tuple[str, ...]) -> list[str]:
        """A key of a line or column in words, one for each of `fields`."""
        return [
            published_title(self.paper, self.table, field, text).text
            for field, text in zip(fields, key, strict=True)
        ]

    def grid(self) -> list[list[str]]:
        """The table in words and as printed: a header, then the lines; "-" where nothing is."""
        cells = self.cells()
        header = [", ".join(filter(None, self.titles(key, self.across))) for key in self.columns()]
        return [
            [*self.down.values(), *header],
            *(
                [
                    *self.titles(line, self.down),
                    *(
                        cells[line, column]["printed"] if (line, column) in cells else _MISSING
                        for column in self.columns()
                    ),
                ]
                for line in self.lines()
            ),
        ]


def published_tables(paper: str) -> list[PublishedTable]:
    """The tables of a paper, then what its text says in numbers, then what the original code does.

    Args:
        paper: The key of one of `published_papers()`.

    Returns:
        One `PublishedTable` for each `table` of `published_results(paper)`.

    Raises:
        ValueError: If there is no such paper.

    Example:
        >>> table = published_tables("pajusco_2020")[0]
        >>> for line in table.grid()[:2]:
        ...     print(line)
        ['network', 'accuracy, %', 'loss', 'weights', 'weights that are not zero', 'size, KB']
        ['Model A', '87.6', '0.360', '13632', '12160', '23.8']
        >>> table.cells()[("d",), ("accuracy",)]["value"]
        0.912
    """
    by_table: dict[str, list[dict]] = {}
    for result in published_results(paper):
        by_table.setdefault(result["table"], []).append(result)
    return [
        PublishedTable(
            **{key: line[key] for key in ("paper", "table", "title", "protocol")},
            down={
                field: title
                for title, _, field in (part.partition("=") for part in line["down"].split("; "))
            },
            across=tuple(line["across"].split()),
            datasets=tuple(dict.fromkeys(r["dataset"] for r in by_table[line["table"]])),
            results=by_table[line["table"]],
        )
        for line in read_table("tables")
        if line["paper"] == paper
    ]


def published_title(paper: str, table: str, field: str, key: str) -> Title:
    """What a key is called: as in `titles.csv`, or itself with spaces for underscores.

    Args:
        paper: The paper.
        table: The table: a title of its own goes before the paper's, and that before a common one.
        field: `"row"`, `"column"`, `"metric"`, `"dataset"`, `"start"` or `"variant"`.
        key: What `published_results` has there.

    Example:
        >>> published_title("colangelo_2021", "Table 2", "row", "bilinear").text
        'Resize (bilinear)'
        >>> published_title("verbitskiy_2022", "Table 4", "metric", "parameters")
        Title(text='parameters, millions', unit='millions', digits=1)
    """
    for place in ((paper, table), (paper, ""), ("", "")):
        if title := _titles().get((*place, field, key)):
            return title
    return Title(key.replace("_", " "), "", 0)


def format_value(value: float | None, title: Title) -> str:
    """A number in the unit and with the digits of a metric, as ours stand beside a paper's.

    Args:
        value: As in `published_results`; None is what could not be measured.
        title: The metric's, from `published_title`.

    Example:
        >>> accuracy = published_title("naranjo_2019", "Table II", "metric", "validation_accuracy")
        >>> format_value(0.7515, accuracy)
        '75.15%'
    """
    if value is None:
        return _MISSING
    if title.unit == "yes_no":
        return "yes" if value else "no"
    if title.unit == "scientific":
        return f"{value:.{title.digits}e}"
    if title.unit == "percent":
        return f"{value:.{title.digits}%}"
    if title.unit == "count":
        return f"{value:,.{title.digits}f}"
    return f"{value * (1e-6 if title.unit == 'millions' else 1):.{title.digits}f}"


def _field(result: dict, field: str) -> str:
    if field not in ("start", "variant"):
        return result[field]
    words = result["column"].split()
    return " ".join(word for word in words if (word in _STARTS) == (field == "start"))


@functools.cache
def _titles() -> dict[tuple[str, ...], Title]:
    return {
        (line["paper"], line["table"], line["field"], line["key"]): Title(
            line["title"], line["unit"], int(line["digits"] or 0)
        )
        for line in read_table("titles")
    }
