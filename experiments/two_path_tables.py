"""The tables of the two-path experiment: the report's numbers beside what the runs reached."""

import collections
import dataclasses
import itertools
import shlex
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import cells
import grid_options
import numpy as np
from cells import gathered, percent
from two_path_variants import (
    DEVICES,
    SCENES,
    TASKS,
    USUAL,
    Variant,
    at_equal_parameters,
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


class Result(NamedTuple):
    """A finished and evaluated run: its row of the CSV, and its metrics."""

    row: dict[str, Any]
    metrics: dict[str, Any]


def markdown(results: Sequence[Result], name: str, absent: str = "") -> str:
    """The page of one data set or family: its tables, each run, hardware, commands.

    Args:
        results: The runs.
        name: The data set, or the family whose tasks are the data sets.
        absent: Why nothing more was run, if that is so.
    """
    lines = [f"# Two paths on {name}"]
    if results:
        lines += [
            "",
            "Accuracy in percent: the mean over folds and seeds, the standard deviation over "
            "either where there are several, and in brackets the number of runs. A run counts with "
            "the weights of its last epoch, unless it says `keep=best`: nothing is chosen on the "
            "clips it is measured on. Parameters are the trainable ones.",
        ]
    if name == PUBLISHED:
        ours = " and ours" if results else ", none of ours yet,"
        lines += ["", f"The report's numbers{ours} are of the official validation split."]
    else:
        lines += ["", f"The report has no numbers for {name}."]
    if absent:
        lines += ["", f"{absent[0].upper()}{absent[1:]}."]
    if name in SCENES:
        lines += _raw_section(results, name)
        for task in TASKS:
            lines += _class_sections(results, name, task)
    lines += _variants_section(results, name)
    rows = [result.row for result in results]
    if rows:
        lines += ["", "## Runs", "", *_runs_table(rows), "", cells.hardware_line(rows), ""]
        lines += cells.commands_section(commands(rows, name))
    return "\n".join(lines).rstrip() + "\n"


def figures(results: Sequence[Result]) -> dict[str, str]:
    """Figures 1 to 3: SVG texts by file name, a matrix of all runs of a data set and settings."""
    by_variant = _by_variant(results)
    return {name: _matrix(by_variant[key]) for key, name in _figure_names(results).items()}


def _matrix(results: Sequence[Result]) -> str:
    measured = [_measured(result) for result in results]
    counts = sum(np.array(metrics["confusion_matrix"]) for metrics in measured)
    return confusion_matrix(counts, [row["label"] for row in measured[0]["per_class"]])


def _figure_names(results: Sequence[Result]) -> dict[tuple[str, Variant], str]:
    """A name for each data set, and each of its settings where there are several."""
    shown = [key for key in _by_variant(results) if key[1].name == USUAL]
    number = collections.Counter(dataset for dataset, _ in shown)
    names = {}
    for dataset, variant in shown:
        parts = [f"two_path_{folder_name(dataset)}"]
        parts += variant.settings if number[dataset] > 1 else ()
        names[dataset, variant] = "-".join(parts) + ".svg"
    return names


def _by_variant(results: Iterable[Result]) -> dict[tuple[str, Variant], list[Result]]:
    return gathered(
        ((result.row["dataset"], variant_of_row(result.row)), result) for result in results
    )


def _measured(result: Result) -> dict[str, Any]:
    """The metrics that a task's tables are of: task 1b is scored on devices B and C."""
    devices = result.metrics.get("groups", {}).get("device", {})
    return devices.get("B and C", result.metrics)


def _raw_section(results: Sequence[Result], name: str) -> list[str]:
    """Table 1: a line a task, without deltas and with them."""
    theirs = published("Table 1") if name == PUBLISHED else {}
    ours = gathered(
        ((variant.settings, dataset, variant.name), result.row)
        for (dataset, variant), found in _by_variant(results).items()
        for result in found
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
            rows = ours.get((setting, f"{name}/{task}", variant), [])
            said = theirs.get((row, f"deltas={deltas}", "accuracy"), "")
            line[f"{heading}, report"] = percent(said, 1)
            line[f"{heading}, ours"] = cells.score([r for r in rows if r.get(column)], column)
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


def _class_sections(results: Sequence[Result], name: str, task: str) -> list[str]:
    """Tables 2, 3 and 4: recall and precision a class, and the confusion matrix, by settings."""
    dataset, table, names = f"{name}/{task}", PER_CLASS[task], _figure_names(results)
    ours = {
        variant: found
        for (key, variant), found in _by_variant(results).items()
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
        if found:
            runs = f"Ours: the mean of {len(found)} runs. " if len(found) > 1 else ""
            lines += ["", f"{runs}The matrix is normalised by the true label (recall mode):", ""]
            lines += [f"![Confusion matrix of task {task}]({names[dataset, variant]})"]
    return lines


def _class_table(found: Sequence[Result], said: dict, task: str) -> list[str]:
    values = [class_values(_measured(result)) for result in found]
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


def class_values(metrics: dict[str, Any]) -> dict[tuple[str, str], float]:
    """What the tables of classes print, by row and metric, in the order of the report's lines."""
    both = ("recall", "precision")
    open_set = metrics.get("open_set")
    found = [row for row in metrics["per_class"] if row["support"]]
    values = {
        (row["label"], metric): row[metric]
        for row in found
        if not (open_set and row["label"] == "unknown")
        for metric in both
    }
    for row in ("known", "unknown") if open_set else ():
        values |= {(row, metric): open_set[f"{row}_{metric}"] for metric in both}
    values |= {("average", metric): float(np.mean([r[metric] for r in found])) for metric in both}
    if open_set:
        values["all", "score"] = open_set["score"]
    return values


def _variants_section(results: Sequence[Result], name: str) -> list[str]:
    """A line a variant: what it costs, and what it reached."""
    lines = []
    for (dataset, variant), found in _by_variant(results).items():
        rows = [result.row for result in found]
        folds = dict.fromkeys(str(row["fold"]) for row in rows)
        line = {
            "task": dataset.partition("/")[2] or "-",
            "variant": variant.title,
            "filters": variant.num_filters,
            "other settings": _code(variant.extra),
            "parameters": f"{int(rows[0]['parameters']):,}",
            "folds": ", ".join(folds),
            # Table 1 has them where there are any.
            "accuracy, report": "-" if name in SCENES else "none",
            "accuracy, ours": cells.score(rows, "accuracy"),
            "balanced accuracy": cells.mean_and_deviation(rows, "balanced_accuracy"),
        }
        for title, column in (("devices B and C", DEVICES["B and C"]), ("score", "score")):
            there = all(row.get(column) for row in rows)
            line[title] = cells.mean_and_deviation(rows, column) if there else "-"
        lines.append(line)
    if not lines:
        return []
    section = ["", "## Variants", "", *cells.filled_columns(lines)]
    if name not in SCENES:
        for (_, variant), figure in _figure_names(results).items():
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


def _code(texts: Iterable[str]) -> str:
    return " ".join(f"`{text}`" for text in texts) or "-"
