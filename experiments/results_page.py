"""docs/results.md: every table of the five papers, and beside it the original code's and ours."""

import pathlib
from collections.abc import Iterator, Sequence

import parity
import result_files
from beside import Beside
from cells import changed_settings, gathered, hardware_line, markdown_table, recipe_of
from grid_options import numbers_text
from kinds import KINDS, result_files_of
from methods import PRUNED, TITLES, Method, Network, mean_parameters, methods_table, network_of
from reasons import FILE as NOT_RUN
from reasons import read_not_run
from results_plots import Point, plots
from side_by_side import SideBySide, side_by_side
from speed import FILE as SPEEDS
from speed import METRIC

from keras_audio.evaluation import (
    aggregate,
    check_published,
    published_papers,
    published_results,
    published_tables,
    published_title,
)
from keras_audio.files import folder_name

SPEED = METRIC.format(32)
# The pages under docs/ that say more.
PAGES = {
    "residual_blocks": "residual_blocks.md",
    "erann": "erann.md",
    "two_path": "two_path.md",
    "binaural_waveforms": "binaural_waveforms.md",
    "progressive_resizing": "progressive_resizing.md",
}
# How ours are measured, beside the paper's protocol; the settings follow from the rows.
PROTOCOLS = {
    "residual_blocks": "As in the paper, the best epoch on the held-out fold counts.",
    "erann": "As in the paper, the best evaluation on the held-out fold counts; the paper's are "
    "means of three repetitions.",
    "two_path": "The last epoch counts. The report measures on the validation split that chose its "
    "best model.",
    "binaural_waveforms": "The best epoch is chosen on clips that neither train nor test. The "
    "report does not say how many rounds of pruning it took: our counts are of as many as give its "
    "numbers. On other data ours have its ten classes and one channel, and stop pruning elsewhere.",
    "progressive_resizing": "As in the paper, the best epoch on the held-out fold counts. Ours on "
    "other data begin with new weights in place of ImageNet's, with the ResNet and the plans that "
    "the settings say.",
}
LEAK = (
    "ESC-10's folds 3 and 5 share a recording (a crying baby), and fold 2 has one fire under two "
    "names ([what `keras-audio check` finds](../results/esc10_check.md)). So do those of ESC-50: "
    "all published numbers on either have this leak, and ours keep it, to be comparable."
)


def page(
    methods: dict[Method, list[result_files.Row]], results: pathlib.Path
) -> tuple[str, dict[str, str]]:
    """The text of the page, and its plots by the names of their files."""
    beside = Beside(results)
    figures = _figures(methods, results)
    tables = {
        (table.paper, table.table): (table, side_by_side(table, beside))
        for paper in published_papers()
        for table in published_tables(paper.key)
    }
    lines = [*_INTRODUCTION, "", "## Find a table", ""]
    lines += _contents(tables)
    lines += ["", "## What was run", "", *_run_section(methods, results, figures)]
    lines += ["", "## What was not run", "", *_not_run_section(results)]
    for paper in published_papers():
        recipe = paper.recipe
        lines += ["", f"## {_short(paper)}", "", _about(methods, paper, recipe, results)]
        for (key, _), (table, counted) in tables.items():
            if key == paper.key:
                lines += ["", *_table_section(table, counted, recipe, results)]
    lines += ["", "## Parity with the original networks", "", *_parity_section(results)]
    lines += ["", "## Where printed numbers do not add up", "", *_differing_section()]
    return "\n".join(lines) + "\n", figures


_INTRODUCTION = (
    "# Results: the papers, the original code, and ours",
    "",
    "Every table of the five papers, as printed; below it, for each number that something stands "
    "beside: the paper's, what the original public code reports, and ours. A difference is ours "
    "less the paper's, in points for shares, and is taken on the same data set only: what was "
    "measured on another stands there to show the order of methods. Ours are means over folds and "
    "seeds, ± the standard deviation over folds (of one fold over seeds, which is said), with the "
    "number of runs in brackets. An interval is Student's 95 % interval of the mean over folds; "
    "folds share most of their training clips, so it tends to be too narrow. Where the clips that "
    "a method is measured on chose its epoch, its numbers flatter, as those of most papers do.",
    "",
    "This page is written by `make results` from `results/*.csv` and from the papers' numbers in "
    "`keras_audio/evaluation/published/`; `python experiments/make_results.py --check` says "
    "whether it is stale.",
)


def _contents(tables: dict) -> list[str]:
    """A line a table: where it is, and what stands beside it."""
    papers = {paper.key: paper for paper in published_papers()}
    lines = []
    for (key, name), (table, counted) in tables.items():
        link = f"[{name}](#{_anchor(key, name)})"
        datasets = ", ".join(TITLES.get(one, _dataset(one)) for one in table.datasets)
        shown = [_short(papers[key]), link, table.title, datasets, counted.kinds or "-"]
        lines.append(shown)
    return markdown_table(["paper", "table", "about", "data set", "beside it"], lines)


def _run_section(methods: dict, results: pathlib.Path, figures: dict[str, str]) -> Iterator[str]:
    """All methods of a data set, and the plots."""
    for dataset in dict.fromkeys(method.dataset for method in methods):
        found = {method: rows for method, rows in methods.items() if method.dataset == dataset}
        title = TITLES.get(dataset, dataset)
        yield from [f"### {title}", ""]
        if dataset in ("esc10", "esc50"):
            yield from [LEAK, ""]
        yield from methods_table(found)
        yield from ["", hardware_line(row for rows in found.values() for row in rows)]
        for kind, caption in _CAPTIONS.items():
            if (name := f"{kind}_{folder_name(dataset)}.svg") in figures:
                yield from ["", f"![{caption} on {title}](../results/{name})"]
        yield ""
        yield from _speed_sentence(results)
        pages = [
            f"[{kind.name.replace('_', ' ')}](../results/{kind.name}_{folder_name(dataset)}.md)"
            for kind in KINDS.values()
            for name, _ in result_files_of(kind, results)
            if name == folder_name(dataset) and any(m.recipe == kind.name for m in found)
        ]
        yield f"Each run with its command: {', '.join(pages)}."


_CAPTIONS = {
    "accuracy_by_parameters": "Accuracy against parameters",
    "accuracy_by_speed": "Accuracy against clips a second on a CPU",
    "folds": "Accuracy by fold",
}


def _figures(methods: dict, results: pathlib.Path) -> dict[str, str]:
    speeds = _speeds(results)
    found = {}
    for dataset in dict.fromkeys(method.dataset for method in methods):
        there = {method: rows for method, rows in methods.items() if method.dataset == dataset}
        points: dict[str, list[Point]] = {"parameters": [], "speed": []}
        for method, rows in there.items():
            point = _point(method, rows, list(there))
            points["parameters"].append(point)
            if (speed := speeds.get(network_of(method, rows))) is not None:
                points["speed"].append(point._replace(x=speed["median"], reach=speed["reach"]))
        found |= plots(points, folder_name(dataset), TITLES.get(dataset, dataset))
    return found


def _point(method: Method, rows: Sequence[dict], others: Sequence[Method]) -> Point:
    values = {(int(row["fold"]), int(row["seed"])): float(row["accuracy"]) for row in rows}
    by_fold = [
        100
        * sum(v for (fold, _), v in values.items() if fold == one)
        / sum(fold == one for fold, _ in values)
        for one in sorted({fold for fold, _ in values})
    ]
    deviation = aggregate(values).fold_deviation
    label = f"{method.network}: {method.described(others)}"
    spread = None if deviation is None else 100 * deviation
    name = f"{method.network} {PRUNED}" if PRUNED in method.words else method.network
    return Point(method.recipe, name, label, mean_parameters(rows), by_fold, spread)


def _speeds(results: pathlib.Path) -> dict[Network, dict]:
    """Clips a second by network, as `experiments/speed.py` measured them: median, least, most."""
    path = results / SPEEDS
    numbers: dict[Network, dict[str, float]] = {}
    for line in result_files.read_lines(path) if path.is_file() else ():
        metric, _, part = line["metric"].partition(":")
        if metric.startswith(SPEED):
            name, _, parameters = part.rpartition("/")
            key = Network(line["recipe"], line["dataset"], name, int(parameters))
            numbers.setdefault(key, {})[metric.removeprefix(SPEED)] = float(line["value"])
    return {
        key: {"median": found[""], "reach": (found["_least"], found["_most"])}
        for key, found in numbers.items()
    }


def _speed_sentence(results: pathlib.Path) -> Iterator[str]:
    """With what speeds were measured."""
    path = results / SPEEDS
    if path.is_file():
        lines = result_files.read_lines(path)
        command = lines[0]["command"]
        yield (
            f"Speeds: the median, with the least and the most, of rounds in turn, from waveform to "
            f"probabilities, by `{command}`. {hardware_line(lines)}"
        )
        yield ""


def _not_run_section(results: pathlib.Path) -> list[str]:
    """A line a data set of a paper that a recipe was not trained on."""
    lines = [
        [
            line.recipe.replace("_", " "),
            _dataset(line.dataset),
            line.what or "all",
            line.reason,
            f"`{line.command}`",
        ]
        for line in read_not_run(results)
    ]
    return [
        f"From `results/{NOT_RUN}`. The commands go on where they were stopped "
        "([experiments](experiments.md)), and add their rows to the result files.",
        "",
        *markdown_table(["recipe", "data set", "what", "why not", "what runs it"], lines),
    ]


# Of each paper. -----------------------------------------------------------------------------------


def _about(methods: dict, paper, recipe: str, results: pathlib.Path) -> str:
    run = [
        f"[{TITLES.get(name, name)}](../results/{recipe}_{name}.md)"
        for name, path in result_files_of(KINDS[recipe], results)
        if result_files.read_lines(path)
    ]
    title = f"\u201c{paper.title}\u201d"
    code = f" Original code: {paper.code}." if paper.code else ""
    return (
        f"{title}.{code} Recipe [`{recipe}`]({PAGES[recipe]}), run on {', '.join(run)}. "
        f"{' '.join(_settings_of_ours(methods, recipe))}"
    )


def _settings_of_ours(methods: dict, recipe: str) -> Iterator[str]:
    """A sentence a data set on the settings that all runs of a recipe have there."""
    rows = gathered(
        (method.dataset, row)
        for method, rows in methods.items()
        if method.recipe == recipe
        for row in rows
    )
    for dataset, found in rows.items():
        shared: list[str] = []
        for number, one in enumerate(dict.fromkeys(row["command"] for row in found)):
            trained = recipe_of({"command": one})
            usual = type(trained).for_dataset(dataset)
            changed = changed_settings(trained, usual, ("dataset", "fold", "seed"))
            shared = [text for text in changed if not number or text in shared]
        said = " ".join(f"`{text}`" for text in shared) or "those of the paper"
        folds, seeds = (sorted({int(row[axis]) for row in found}) for axis in ("fold", "seed"))
        yield (
            f"On {TITLES.get(dataset, dataset)} all runs have the settings {said}; folds "
            f"{numbers_text(folds)}, seeds {numbers_text(seeds)} "
            f"([why](../results/{recipe}_{folder_name(dataset)}.md))."
        )


def _table_section(table, counted: SideBySide, recipe: str, results: pathlib.Path) -> Iterator[str]:
    heading = f"{table.table}: {table.title[0].lower()}{table.title[1:]}"
    yield f'<a id="{_anchor(table.paper, table.table)}"></a>'
    yield ""
    yield f"### {heading} ({_short_key(table.paper)})"
    yield ""
    yield f"The paper's protocol: {table.protocol}"
    yield ""
    header, *lines = table.grid()
    yield from markdown_table(header, lines)
    yield ""
    if counted.lines:
        yield "Side by side:"
        yield ""
        titles = list(counted.lines[0])
        yield from markdown_table(titles, [list(line.values()) for line in counted.lines])
        yield ""
    if any(row["source"] == "paper" for row in table.results) and table.table.startswith("Table"):
        yield from _about_ours(table, counted, recipe, results)


def _about_ours(table, counted: SideBySide, recipe: str, results: pathlib.Path) -> Iterator[str]:
    """How ours were measured otherwise, or why there are none."""
    if "ours" in counted.kinds:
        yield f"The protocol of ours: {PROTOCOLS[recipe]}"
        yield ""
    missing = [
        f"{_dataset(line.dataset)}: {line.reason} (`{line.command}`)"
        for line in read_not_run(results)
        if line.recipe == recipe and line.dataset in table.datasets and not line.what
    ]
    if missing:
        yield f"Not run on {'; '.join(missing)}."


def _parity_section(results: pathlib.Path) -> list[str]:
    """How far our answers are from those of the original networks, with their weights."""
    rows = parity.read_rows(results / parity.FILE)
    return [
        "The original networks' weights, loaded into ours, answer recorded inputs as the originals "
        "did ([original checkpoints](importing.md#parity)). Largest differences; a relative one is "
        "of what is recorded, or of a thousandth of the largest of it:",
        "",
        *parity.table(rows),
        "",
        hardware_line(rows),
    ]


def _differing_section() -> Iterator[str]:
    """Numbers that do not follow from those they are said to be of."""
    yield (
        "Averages, deviations, ratios and sizes that the papers print were computed again from "
        "their own cells. All others come out; of these the digits differ:"
    )
    yield ""
    lines = []
    for paper in published_papers():
        notes = {
            (r["table"], r["row"], r["column"], r["metric"], r["dataset"]): r
            for r in published_results(paper.key)
        }
        for check in check_published(paper.key):
            if not check.agrees:
                key = (check.table, check.row, check.column, check.metric, check.dataset)
                result = notes[key]
                where = ", ".join(filter(None, (check.row, check.column, check.metric)))
                link = f"[{check.table}](#{_anchor(paper.key, check.table)})"
                reason = "differs" if check.reason == "unexplained" else check.reason
                lines.append(
                    [
                        _short(paper),
                        link,
                        where.replace("_", " "),
                        result["printed"],
                        reason,
                        result["note"],
                    ]
                )
    yield from markdown_table(["paper", "table", "number", "printed", "kind", "what it is"], lines)


def _short(paper) -> str:
    """Authors and year, such as `McDonnell and Gao 2019`."""
    names = [author.split()[-1] for author in paper.authors]
    who = " and ".join(names) if len(names) < 3 else f"{names[0]} et al."
    return f"{who} {paper.year}"


def _short_key(paper: str) -> str:
    return next(_short(one) for one in published_papers() if one.key == paper)


def _anchor(paper: str, table: str) -> str:
    """The name of a place in the page.

    Example:
        >>> _anchor("pajusco_2020", "Table 1")
        'pajusco_2020-table-1'
    """
    return f"{paper}-{table.lower().replace(' ', '-')}"


def _dataset(dataset: str) -> str:
    return TITLES.get(dataset, published_title("", "", "dataset", dataset).text)
