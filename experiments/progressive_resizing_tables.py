"""The page of the experiment on progressive resizing: the paper's numbers beside the runs'."""

import itertools
import pathlib
import shlex
from collections.abc import Iterable, Mapping, Sequence

import cells
import grid_options
import numpy as np
import progressive_resizing_plot
import result_files
from cells import gathered, percent
from held_out import how_chosen
from progressive_resizing_comparisons import (
    cost_section,
    mixup_section,
    paired_section,
    scores_of,
)
from progressive_resizing_plot import Box
from progressive_resizing_published import published, published_mean, split_of
from progressive_resizing_variants import (
    COLUMNS,
    METHODS,
    MIXUP,
    OTHERS,
    PAPER,
    PROGRESSIVE,
    PUBLISHED,
    Group,
    Line,
    Runs,
    code,
    derived,
    describe,
    place,
    sections,
    variant_of_row,
)

from keras_audio.files import folder_name
from keras_audio.recipes import ProgressiveResizing

_CHOSEN = (
    "The best epoch at full resolution is chosen on the held-out fold, as the paper loads the best "
    "model by the performance there before each stage, so a run's accuracy is chosen on the clips "
    "it is measured on; the last epoch's stands beside it."
)


def markdown(rows: Sequence[dict], name: str, absent: str = "") -> str:
    """The page of one data set: its sections, each run, hardware, commands.

    Args:
        rows: The runs.
        name: The data set.
        absent: Why nothing more was run, if that is so.
    """
    lines = [f"# Progressive resizing on {name}", ""]
    if rows:
        lines += [
            "Accuracy in percent on the official folds, each held out once: the mean over folds, "
            "its sample standard deviation, and in brackets the number of runs. With several "
            f"seeds, a fold's accuracy is its mean over them. {how_chosen(rows, _CHOSEN, 'epoch')}",
            "",
        ]
    if name in PUBLISHED:
        ours = "stands beside ours" if rows else "stands alone, with none of ours yet"
        said = f"What the paper says in {PUBLISHED[name]} {ours}; Bilinear is its Resize."
        lines += [f"{said} {_about_splits(name)}"]
    else:
        lines += [f"The paper has no numbers for {name}."]
    if absent:
        lines += ["", f"{absent[0].upper()}{absent[1:]}."]
    for group, runs in sections(rows, name).items():
        lines += _section(group, runs, name)
    if figure(rows, name):
        file = f"progressive_resizing_{folder_name(name)}.svg"
        lines += ["", "## Box plots", ""]
        lines += [f"As the paper's Figures 2 and 3, a dot a fold: ![Box plots]({file})"]
    if rows:
        lines += ["", "## Runs", "", *_runs_table(rows), "", cells.hardware_line(rows), ""]
        lines += cells.commands_section(commands(rows, name))
    return "\n".join(lines).rstrip() + "\n"


def _about_splits(name: str) -> str:
    if name == "urbansound8k":
        return (
            "Its splits count the folds backwards: 29 of its 30 accuracies are shares of the clips "
            "of fold 10 - split, and 4 would be if they counted forwards. It cuts numbers where "
            "others round."
        )
    return (
        "Its splits are taken to count the folds backwards, as those of Table 2 do by their "
        "numbers of clips; here all folds have 400."
    )


def _section(group: Group, runs: Runs, name: str) -> list[str]:
    theirs = published(name) if group.label == PAPER else {}
    table = f"{PUBLISHED[name]}: " if theirs else ""
    lines = [
        "",
        f"## {table}{group.title[0].lower() if table else group.title[0]}{group.title[1:]}",
    ]
    for mixup in MIXUP:
        own = {line: found for (line, mixed), found in runs.items() if mixed == mixup}
        said = theirs if mixup == "none" else {}
        if own or said:
            title = [] if mixup == "none" else ["", "With mixup:"]
            lines += [*title, "", *_accuracy_table(own, said, name)]
    lines += paired_section(runs, theirs)
    lines += mixup_section(runs)
    if runs:
        lines += cost_section(runs)
    return lines


def _accuracy_table(
    own: Mapping[Line, list[dict]], theirs: Mapping[str, Mapping[int, float]], name: str
) -> list[str]:
    """Tables 2 and 3: a line a split, then the average with its deviation."""
    columns = sorted({*own, *map(Line, theirs)}, key=lambda line: line.place)
    folds = {int(row["fold"]) for found in own.values() for row in found}
    folds |= {fold for found in theirs.values() for fold in found}
    lines = []
    for fold in sorted(folds, reverse=bool(theirs)):
        split = {"split": split_of(name, fold)} if theirs else {}
        line = split | {"fold": fold}
        for column in columns:
            said = theirs.get(column.method, {}).get(fold, "") if column.number == 1 else ""
            line[f"{column.title}, paper"] = percent(said)
            values = [float(r["accuracy"]) for r in own.get(column, []) if int(r["fold"]) == fold]
            line[f"{column.title}, ours"] = percent(np.mean(values) if values else "")
        lines.append(line)
    last = ({"split": "Average"} if theirs else {}) | {"fold": "" if theirs else "Average"}
    for column in columns:
        mean = published_mean(name, column.method) if theirs and column.number == 1 else None
        last[f"{column.title}, paper"] = (
            "-" if mean is None else f"{percent(mean[0])} ± {percent(mean[1])}"
        )
        last[f"{column.title}, ours"] = cells.score(own.get(column, []), "accuracy")
    return cells.filled_columns([*lines, last])


def _runs_table(rows: Iterable[dict]) -> list[str]:
    lines = []
    for row in rows:
        variant = variant_of_row(row)
        lines.append(
            {
                "method": METHODS[variant.method],
                "mixup": "-" if variant.mixup == "none" else "yes",
                "of": ", ".join(row["labels"].split()).replace("_", " ") or "-",
                "settings": code(variant.settings) or "-",
                "fold": row["fold"],
                "seed": row["seed"],
                "accuracy": percent(row["accuracy"]),
                "last epoch": percent(row["last_epoch_accuracy"]),
                "balanced": percent(row["balanced_accuracy"]),
                "mAP": percent(row["mean_average_precision"]),
                "best epoch": row["best_epoch"],
                "epochs": row["epochs"],
                "seconds": f"{int(row['seconds']):,}",
            }
        )
    return cells.filled_columns(lines)


# The figure and the commands. ---------------------------------------------------------------------


def figure(rows: Sequence[dict], name: str) -> str:
    """Box plots as an SVG: a panel for the paper's and one a section; empty if there is nothing."""
    panels = {}
    if said := published(name):
        boxes = [
            Box(method, METHODS[method], [100 * value for _, value in sorted(found.items())])
            for method, found in said.items()
        ]
        panels[f"The paper's {PUBLISHED[name]}"] = boxes
    for group, runs in sections(rows, name).items():
        boxes = [
            Box(
                line.method,
                line.title + ("" if mixup == "none" else ", mixup"),
                _values_by_fold(found),
            )
            for (line, mixup), found in runs.items()
        ]
        if boxes:
            panels[f"Ours: {group.title.replace('`', '')}"] = boxes
    return progressive_resizing_plot.box_plots(panels) if panels else ""


def _values_by_fold(rows: Iterable[dict]) -> list[float]:
    folds = gathered((int(row["fold"]), 100 * float(row["accuracy"])) for row in rows)
    return [float(np.mean(values)) for _, values in sorted(folds.items())]


def commands(rows: Iterable[dict], name: str) -> list[str]:
    """The shell commands that make these rows from nothing, labels included."""
    rows = list(rows)
    forms = dict.fromkeys(tuple(cells.recipe_of(row).records_form.items()) for row in rows)
    lines = [cells.prepare_command(name, **dict(form)) for form in forms]
    for group, runs in sections(rows, name).items():
        # One command covers the folds and seeds of a method, then its mixups, then the methods.
        methods = gathered(
            (
                (line.number, variant.extra, variant.start, *cells.axes(scores_of(found))),
                (line, mixup, variant.stages),
            )
            for (line, mixup), found in runs.items()
            for variant in [variant_of_row(found[0])]
        )
        grids: dict[tuple, list] = {}
        for (number, extra, start, folds, seeds), found in methods.items():
            mixups = gathered(((line, stages), mixup) for line, mixup, stages in found)
            for (line, stages), mixed in mixups.items():
                key = (number, extra, start, folds, seeds, tuple(mixed))
                grids.setdefault(key, []).append((line.method, stages))
        for (_, extra, start, folds, seeds, mixed), found in grids.items():
            line = ["python", "experiments/progressive_resizing.py", "--dataset", name]
            line += ["--methods", ",".join(method for method, _ in found)]
            line += ["--mixup", ",".join(mixed)] if mixed != MIXUP[:1] else []
            line += grid_options.axes_options(folds, seeds)
            line += itertools.chain(*(("--set", text) for text in extra))
            plans = gathered((stages, method) for method, stages in found if stages)
            for stages, methods in plans.items():
                names = ["progressive"] if set(methods) == set(PROGRESSIVE) else methods
                line += itertools.chain(*(("--plan", f"{name}={stages}") for name in names))
            line += ["--init-from", start] if start else []
            line += ["--label", group.label] if group.label not in (PAPER, OTHERS) else []
            lines.append(shlex.join(line))
    return lines


def page(rows: Sequence[dict], dataset: str, absent: str, results: pathlib.Path) -> dict[str, str]:
    """The page of a data set, and its box plots, by the names of their files."""
    del results  # All that they say is in the rows.
    base = f"{ProgressiveResizing.name}_{folder_name(dataset)}"
    pages = {f"{base}.md": markdown(rows, dataset, absent)}
    drawn = figure(rows, dataset)
    return pages | ({f"{base}.svg": drawn} if drawn else {})


KIND = result_files.Kind(
    ProgressiveResizing.name, COLUMNS, derived=derived, place=place, describe=describe, page=page
)
