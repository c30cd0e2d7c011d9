"""The tables of the two-path experiment: the report's numbers beside what the runs reached."""

import collections
import dataclasses
import itertools
import pathlib
import shlex
from collections.abc import Iterable, Sequence

import cells
import grid_options
import numpy as np
import result_files
from cells import gathered, percent
from result_files import Row, parts
from two_path_variants import (
    COLUMNS,
    DEVICES,
    SCENES,
    TASKS,
    USUAL,
    Variant,
    at_equal_parameters,
    derived,
    describe,
    place,
    published,
    variant_of,
    variant_of_row,
)

from keras_audio.evaluation.plots import confusion_matrix
from keras_audio.files import folder_name
from keras_audio.recipes import TwoPath

PUBLISHED = SCENES[0]  # All that the report has numbers for.
# Table 1: its lines as the report prints them, with the task, the row of the published numbers and
# the column of ours.
RAW = {
    "1a": ("1a", "all", "accuracy"),
    "1b (device A)": ("1b", "A", DEVICES["A"]),
    "1b (device B and C)": ("1b", "B and C", DEVICES["B and C"]),
    "1c (known classes)": ("1c", "known", "known_accuracy"),
    "1c (unknown)": ("1c", "unknown", "unknown_accuracy"),
}
PER_CLASS = dict(zip(TASKS, ("Table 2", "Table 3", "Table 4"), strict=True))
AVERAGES = {
    "average": "Average",
    "known": "Known class average",
    "unknown": "unknown",
    "all": "Evaluation score",
}


def markdown(rows: Sequence[Row], name: str, absent: str = "") -> str:
    """The page of one data set or family: its tables, each run, hardware, commands.

    Args:
        rows: The runs.
        name: The data set, or the family whose tasks are the data sets.
        absent: Why nothing more was run, if that is so.
    """
    lines = [f"# Two paths on {name}"]
    if rows:
        lines += [
            "",
            "Accuracy in percent: the mean over folds and seeds, the standard deviation over "
            "either where there are several, and in brackets the number of runs. A run counts with "
            "the weights of its last epoch, unless it says `keep=best`: nothing is chosen on the "
            "clips it is measured on. Parameters are the trainable ones.",
        ]
    if name == PUBLISHED:
        ours = " and ours" if rows else ", none of ours yet,"
        lines += ["", f"The report's numbers{ours} are of the official validation split."]
    else:
        lines += ["", f"The report has no numbers for {name}."]
    if absent:
        lines += ["", f"{absent[0].upper()}{absent[1:]}."]
    if name in SCENES:
        lines += _raw_section(rows, name)
        for task in TASKS:
            lines += _class_sections(rows, name, task)
    lines += _variants_section(rows, name)
    if rows:
        lines += ["", "## Runs", "", *_runs_table(rows), "", cells.hardware_line(rows), ""]
        lines += cells.commands_section(commands(rows, name))
    return "\n".join(lines).rstrip() + "\n"


def figures(rows: Sequence[Row]) -> dict[str, str]:
    """Figures 1 to 3: SVG texts by file name, a matrix of all runs of a data set and settings."""
    by_variant = _by_variant(rows)
    return {name: _matrix(by_variant[key]) for key, name in _figure_names(rows).items()}


def _matrix(rows: Sequence[Row]) -> str:
    """The sum of the matrices of some runs."""
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    for row in rows:
        for pair, count in parts(row, "confusion").items():
            counts[tuple(pair.split(">"))] += int(count)
    # In the order of the classes: of each that was measured there is a clip.
    labels = list(dict.fromkeys([true for true, _ in counts] + [named for _, named in counts]))
    matrix = [[counts[true, named] for named in labels] for true in labels]
    return confusion_matrix(matrix, labels)


def _figure_names(rows: Sequence[Row]) -> dict[tuple[str, Variant], str]:
    """A name for each data set, and each of its settings where there are several."""
    found = _by_variant([row for row in rows if parts(row, "confusion")])
    shown = [key for key in found if key[1].name == USUAL]
    number = collections.Counter(dataset for dataset, _ in shown)
    names = {}
    for dataset, variant in shown:
        words = [f"two_path_{folder_name(dataset)}"]
        words += variant.settings if number[dataset] > 1 else ()
        names[dataset, variant] = "-".join(words) + ".svg"
    return names


def _by_variant(rows: Iterable[Row]) -> dict[tuple[str, Variant], list[Row]]:
    return gathered(((row["dataset"], variant_of_row(row)), row) for row in rows)


def _raw_section(rows: Sequence[Row], name: str) -> list[str]:
    """Table 1: a line a task, without deltas and with them."""
    theirs = published("Table 1") if name == PUBLISHED else {}
    ours = gathered(
        ((variant.settings, dataset, variant.name), row)
        for (dataset, variant), found in _by_variant(rows).items()
        for row in found
    )
    if not (ours or theirs):
        return []
    compared = {"No deltas": ("no_deltas", "false"), "Best single model": (USUAL, "true")}
    names = [variant for variant, _ in compared.values()]
    settings = dict.fromkeys(key[0] for key in ours if key[2] in names)
    lines = []
    for setting, (title, (task, row, column)) in itertools.product(settings or [()], RAW.items()):
        line = {"Task": title, "settings": _code(setting)}
        for heading, (variant, deltas) in compared.items():
            found = ours.get((setting, f"{name}/{task}", variant), [])
            said = theirs.get((row, f"deltas={deltas}", "accuracy"), "")
            line[f"{heading}, report"] = percent(said, 1)
            line[f"{heading}, ours"] = cells.score([r for r in found if r.get(column)], column)
        lines.append(line)
    why = []
    if ours:
        why += [
            "Ours of 1c are without a weight on the unknown class here, and with it in Table 4."
        ]
    if theirs:
        why += ["The report's of 1c are not of the decisions of Table 4."]
    section = ["", "## Table 1: raw accuracies", "", *cells.filled_columns(lines), ""]
    return [*section, " ".join(why)]


def _class_sections(rows: Sequence[Row], name: str, task: str) -> list[str]:
    """Tables 2, 3 and 4: recall and precision a class, and the confusion matrix, by settings."""
    dataset, table, names = f"{name}/{task}", PER_CLASS[task], _figure_names(rows)
    ours = {
        variant: found
        for (key, variant), found in _by_variant(rows).items()
        if key == dataset and variant.name == USUAL
    }
    theirs = published(table) if name == PUBLISHED else {}
    said = {(row, metric): value for (row, _, metric), value in theirs.items()}
    where = ", devices B and C only" if task == "1b" else ""
    if said and not ours:
        ours = {Variant(USUAL, TwoPath.num_filters): []}
    lines = []
    for variant, found in ours.items():
        settings = f", {_code(variant.settings)}" if variant.settings else ""
        lines += ["", f"## {table}: task {task}, best single model{where}{settings}", ""]
        lines += _class_table(found, said, task)
        if (dataset, variant) in names:
            runs = f"Ours: the mean of {len(found)} runs. " if len(found) > 1 else ""
            lines += ["", f"{runs}The matrix is normalised by the true label (recall mode):", ""]
            lines += [f"![Confusion matrix of task {task}]({names[dataset, variant]})"]
    return lines


def _class_table(found: Sequence[Row], said: dict, task: str) -> list[str]:
    values = [_class_values(row) for row in found]
    ours = {key: float(np.mean([run[key] for run in values])) for key in (values or [{}])[0]}
    lines = []
    rows = dict.fromkeys(row for row, _ in [*ours, *said])
    for row in sorted(rows, key=lambda row: row in AVERAGES):
        title = AVERAGES.get(row, row.replace("_", " "))
        if row == "average" and task == "1c":
            title = "Overall average"
        line = {"Class": title}
        for metric in ("recall", "precision"):
            key = (row, "score" if (row, metric) == ("all", "recall") else metric)
            for who, numbers in (("report", said), ("ours", ours)):
                value = numbers.get(key)
                shown = "-" if value is None else f"{value:.2f}"
                if value is not None and row in AVERAGES:
                    shown = f"{percent(value, 1)}%"
                line[f"{metric.capitalize()}, {who}"] = shown
        lines.append(line)
    return cells.filled_columns(lines)


def _class_values(row: Row) -> dict[tuple[str, str], float]:
    """What the tables of classes print, by row and metric, in the order of the report's lines."""
    values = {
        (name, metric): float(value)
        for metric in ("recall", "precision")
        for name, value in parts(row, metric).items()
    }
    return values | ({("all", "score"): float(row["score"])} if row.get("score") else {})


def _variants_section(rows: Sequence[Row], name: str) -> list[str]:
    """A line a variant: what it costs, and what it reached."""
    lines = []
    for (dataset, variant), found in _by_variant(rows).items():
        folds = dict.fromkeys(str(row["fold"]) for row in found)
        line = {
            "task": dataset.partition("/")[2] or "-",
            "variant": variant.title,
            "filters": variant.num_filters,
            "other settings": _code(variant.extra),
            "parameters": f"{int(found[0]['parameters']):,}",
            "folds": ", ".join(folds),
            # Table 1 has them where there are any.
            "accuracy, report": "-" if name in SCENES else "none",
            "accuracy, ours": cells.score(found, "accuracy"),
            "balanced accuracy": cells.mean_and_deviation(found, "balanced_accuracy"),
        }
        for title, column in (("devices B and C", DEVICES["B and C"]), ("score", "score")):
            there = all(row.get(column) for row in found)
            line[title] = cells.mean_and_deviation(found, column) if there else "-"
        lines.append(line)
    if not lines:
        return []
    section = ["", "## Variants", "", *cells.filled_columns(lines)]
    if name not in SCENES:
        for (_, variant), figure in _figure_names(rows).items():
            described = ", ".join(["two paths", *variant.settings])
            section += ["", f"![Confusion matrix of {described}]({figure})"]
    return section


def _runs_table(rows: Iterable[dict]) -> list[str]:
    lines = []
    for row in rows:
        variant = variant_of_row(row)
        line = {
            "task": row["dataset"].partition("/")[2] or "-",
            "variant": variant.title,
            "filters": variant.num_filters,
            "other settings": _code(variant.extra),
            "fold": row["fold"],
            "seed": row["seed"],
            "accuracy": percent(row["accuracy"]),
            "balanced": percent(row["balanced_accuracy"]),
            "mAP": percent(row["mean_average_precision"]),
            "score": percent(row.get("score", "")),
            "epochs": row["epochs"],
            "minutes": f"{int(row['seconds']) / 60:.0f}",
        }
        lines.append(line)
    return cells.filled_columns(lines)


def commands(rows: Iterable[dict], name: str) -> list[str]:
    """The shell commands that make these rows from nothing."""
    rows = list(rows)
    recipes = [cells.recipe_of(row) for row in rows]
    forms = dict.fromkeys((r.dataset, r.sample_rate, r.channels) for r in recipes)
    lines = [cells.prepare_command(*form) for form in forms]
    classes = [int(row["classes"]) for row in rows]
    # One command covers the folds and seeds of a variant, then the variants, then the tasks.
    runs = gathered(
        ((asked, variant_of(recipe).name, recipe.dataset), (recipe.fold, recipe.seed))
        for recipe, asked in zip(recipes, _asked(recipes, classes), strict=True)
    )
    variants = gathered(
        ((asked, dataset, *cells.axes(pairs)), variant)
        for (asked, variant, dataset), pairs in runs.items()
    )
    tasks = gathered(
        ((asked, folds, seeds, tuple(found)), dataset.partition("/")[2])
        for (asked, dataset, folds, seeds), found in variants.items()
    )
    for (asked, folds, seeds, found), numbers in tasks.items():
        line = ["python", "experiments/two_path.py", "--dataset", name]
        line += ["--tasks", ",".join(numbers)] if name in SCENES else []
        line += ["--variants", ",".join(found)]
        line += grid_options.axes_options(folds, seeds)
        lines.append(shlex.join([*line, *asked]))
    return lines


def _asked(recipes: Sequence[TwoPath], classes: Sequence[int]) -> list[tuple[str, ...]]:
    """The options that give recipes what their variants do not.

    One path as wide as makes it equal to two that are there is asked for by the width of the two.
    """
    widths = sorted({recipe.num_filters for recipe in recipes if recipe.paths > 1})
    found = []
    for recipe, number in zip(recipes, classes, strict=True):
        narrow = [dataclasses.replace(recipe, num_filters=width) for width in widths]
        twins = [
            twin
            for twin in narrow
            if twin.paths == 1 and at_equal_parameters(twin, number) == recipe
        ]
        settings = variant_of(twins[0] if twins else recipe).settings
        options = tuple(itertools.chain(*(("--set", text) for text in settings)))
        found.append((recipe.paths, options, bool(twins)))
    # The option changes one path only: two of the same settings go by the same command.
    equal = {options for _, options, matched in found if matched}
    return [
        (*options, "--equal-parameters") if matched or (paths > 1 and options in equal) else options
        for paths, options, matched in found
    ]


def page(rows: Sequence[Row], dataset: str, absent: str, results: pathlib.Path) -> dict[str, str]:
    """The page of a data set, and its figures, by the names of their files."""
    del results  # All that they say is in the rows.
    base = f"{TwoPath.name}_{folder_name(dataset)}"
    return {f"{base}.md": markdown(rows, dataset, absent), **figures(rows)}


KIND = result_files.Kind(
    TwoPath.name, COLUMNS, derived=derived, place=place, describe=describe, page=page
)


def _code(texts: Iterable[str]) -> str:
    return " ".join(f"`{text}`" for text in texts) or "-"
