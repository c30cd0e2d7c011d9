"""A published table's numbers beside the original code's and ours, a line a number."""

from collections.abc import Iterator
from typing import NamedTuple

from beside import Beside, Ours
from methods import TITLES

from keras_audio.evaluation import published_results, published_title
from keras_audio.evaluation.published_layout import PublishedTable, Title, format_value


class SideBySide(NamedTuple):
    """What a table of the page has beside the published numbers.

    Attributes:
        lines: A line a number that something stands beside.
        kinds: In words, for the list of tables.
    """

    lines: list[dict[str, str]]
    kinds: str


def side_by_side(table: PublishedTable, beside: Beside) -> SideBySide:
    """What stands beside the numbers of a table."""
    original = _original_code(table.paper)
    found = []
    for result in table.results:
        code = original.get((result["row"], result["column"], result["metric"]))
        ours = beside.ours(result)
        if ours or code:
            found.append((result, code, ours))
    others = sorted(
        {one.dataset for result, _, ours in found for one in ours} - set(table.datasets)
    )
    return SideBySide(
        [_line(table, result, code, ours, others) for result, code, ours in found],
        ", ".join(dict.fromkeys(kind for parts in found for kind in _kinds(*parts))),
    )


def _line(
    table: PublishedTable, result: dict, code: dict | None, ours: list[Ours], others: list[str]
) -> dict:
    title = published_title(table.paper, table.table, "metric", result["metric"])
    same = next((one for one in ours if one.dataset == result["dataset"]), None)
    line = dict(
        zip(
            table.down.values(),
            table.titles(table.key(result, table.down), table.down),
            strict=True,
        )
    )
    across = table.titles(table.key(result, table.across), table.across)
    line["number"] = ", ".join(filter(None, across)) or title.text
    is_code = result["source"] == "original code"
    line["paper"] = "-" if is_code else result["printed"]
    line["original code"] = code["printed"] if code else "-"
    line["ours"] = _shown(same, title) if same else "-"
    line["difference"] = _difference(same, result, title) if same else "-"
    for dataset in others:
        there = next((one for one in ours if one.dataset == dataset), None)
        line[f"ours, {TITLES.get(dataset, dataset)}"] = _shown(there, title) if there else "-"
    return line


def _kinds(result: dict, code: dict | None, ours: list[Ours]) -> Iterator[str]:
    if code:
        yield "original code"
    for one in ours:
        if one.dataset != result["dataset"]:
            yield f"ours on {TITLES.get(one.dataset, one.dataset)}"
        else:
            yield "ours" if one.runs else "our counts"


def _shown(ours: Ours, title: Title) -> str:
    if ours.most is not None:
        return f"{ours.value:,.0f} to {ours.most:,.0f}"
    if not ours.runs:
        return f"{ours.value:,.0f}" if ours.value >= 1000 else f"{ours.value:,.2f}"
    scale, digits, unit = (100, 2, " %") if title.unit == "percent" else (1, 3, "")
    text = f"{scale * ours.value:.{digits}f}"
    if ours.spread is not None:
        named = " (seeds)" if ours.over == "seeds" else ""
        text += f" ± {scale * ours.spread:.{digits}f}{named}"
    short = f", {ours.missing} folds missing" if ours.missing else ""
    return f"{text}{unit} ({ours.runs}{short})"


def _difference(ours: Ours, result: dict, title: Title) -> str:
    """Ours less the paper's; of counts at the digits that the paper prints."""
    if ours.missing or ours.most is not None:
        return "-"
    if ours.runs:
        if title.unit == "percent":
            return f"{100 * (ours.value - result['value']):+.2f} points"
        return f"{ours.value - result['value']:+.3f}"
    same = format_value(ours.value, title) == format_value(result["value"], title)
    return "0" if same else f"{ours.value - result['value']:+,.4g}"


def _original_code(paper: str) -> dict[tuple[str, str, str], dict]:
    """What the original code reports, by row, column and metric."""
    return {
        (row["row"], row["column"], row["metric"]): row
        for row in published_results(paper)
        if row["source"] == "original code"
    }
