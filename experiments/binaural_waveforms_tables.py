"""The page of the experiment on binaural waveforms: Table 1 of the report in form, every stage."""

import itertools
import pathlib
import shlex
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import binaural_waveforms_plot
import cells
import grid_options
import numpy as np
import result_files
from binaural_waveforms_cells import (
    COLUMNS,
    NETWORKS,
    PUBLISHED,
    SCENES,
    STAGES,
    WHY_SETTINGS,
    Variant,
    changed_compression_of_row,
    derived,
    describe,
    kept_stages,
    place,
    published,
    variant_of,
)
from binaural_waveforms_plot import Curve
from cells import gathered, percent

from keras_audio.files import folder_name
from keras_audio.recipes import BinauralWaveforms

# What is known of a network in bytes and numbers: the column of the rows, its factor, its digits.
NUMBERS = {
    "loss": (1, 3),
    "total": (1, 0),
    "non_zero": (1, 0),
    "kilobytes": (1, 1),
    "stored": (1, 0),
    "stored_kilobytes": (1, 1),
    "macs": (1e-6, 1),
    "file_bytes": (1 / 1024, 1),
    "latency_ms": (1, 1),
}
# How the stages begin that differ by pruning alone.
_ROUNDS = ("whole", "round")


class Group(NamedTuple):
    """A network trained and compressed in one way, over folds and seeds.

    Attributes:
        variant: The training.
        changed: What of the compression is not usual.
    """

    variant: Variant
    changed: tuple[str, ...]

    def settings(self, groups: Iterable["Group"]) -> dict[str, str]:
        """What is not usual and not the same in all groups, as columns of tables."""
        trained, compressed = shared_settings(groups)
        return {
            "trained with": _code(text for text in self.variant.settings if text not in trained),
            "compressed with": _code(text for text in self.changed if text not in compressed),
        }


def shared_settings(groups: Iterable[Group]) -> tuple[list[str], list[str]]:
    """What all trainings, and what all compressions, do otherwise than usual."""
    kinds = zip(*((group.variant.settings, group.changed) for group in groups), strict=True)
    trained, compressed = (
        [text for text in first if all(text in other for other in others)]
        for first, *others in kinds
    )
    return trained, compressed


def _code(texts: Iterable[str]) -> str:
    return " ".join(f"`{text}`" for text in texts) or "-"


def markdown(rows: Sequence[dict[str, Any]], name: str, absent: str = "") -> str:
    """The page of one data set: its tables, figure, each run, hardware, commands.

    Args:
        rows: A row a run and stage.
        name: The data set.
        absent: Why nothing more was run, if that is so.
    """
    lines = [f"# Binaural waveforms on {name}"]
    if rows:
        lines += ["", _how_measured([cells.recipe_of(row) for row in rows])]
    if name == PUBLISHED:
        ours = " and ours" if rows else ", none of ours yet,"
        said = f"The report's numbers{ours} are of the test clips of the development set."
    else:
        other = "" if name in SCENES else ", whose three classes and two channels make other counts"
        said = f"The report has no numbers for {name}: those in Table 1 are of {PUBLISHED}{other}."
    lines += ["", said]
    groups = by_group(rows)
    for said in (_shared(list(groups)), _why(groups, name)):
        lines += ["", said] if said else []
    if absent:
        lines += ["", f"{absent[0].upper()}{absent[1:]}."]
    lines += ["", "## Table 1: accuracy and size", "", *_table_1(groups, name), "", _HOW_COUNTED]
    if rows:
        lines += ["", "## Every stage", "", *_stages_table(groups), "", _STAGES_EXPLAINED]
        lines += ["", f"![Accuracy against bytes](binaural_waveforms_{folder_name(name)}.svg)"]
        lines += ["", "## Runs", "", *_runs_table(groups), "", cells.hardware_line(rows), ""]
        lines += cells.commands_section(commands(rows, name))
    return "\n".join(lines).rstrip() + "\n"


def _how_measured(recipes: Sequence[BinauralWaveforms]) -> str:
    kinds = sorted({recipe.channels for recipe in recipes})
    heard = " and ".join({1: "mono", 2: "stereo"}.get(n, f"{n} channels") for n in kinds)
    steered = "by other clips, which do not train either"
    if any(recipe.validation == "held_out" for recipe in recipes):
        steered += " (with `validation=held_out` by these very clips)"
    return (
        f"Waveforms at 18 kHz, {heard}. All is measured on the clips of the fold held out. Which "
        f"epoch is kept, when training ends and how much is pruned is decided {steered}. Numbers "
        "are means over folds and seeds, with the standard deviation over either where there are "
        "several. KB are 1024 bytes."
    )


def _shared(groups: Sequence[Group]) -> str:
    """The sentence on what all trainings, and all compressions, do otherwise than usual."""
    if not groups:
        return ""
    kinds = zip(("trained", "compressed"), shared_settings(groups), strict=True)
    text = ", and ".join(f"{what} with {_code(settings)}" for what, settings in kinds if settings)
    return f"All are {text}; what is not said is as in the report, or as usual." if text else ""


def _why(groups: Iterable[Group], name: str) -> str:
    """The reasons for settings that any group has."""
    found = {text for group in groups for text in (*group.variant.settings, *group.changed)}
    return " ".join(why for text, why in WHY_SETTINGS.get(name, {}).items() if text in found)


_HOW_COUNTED = (
    "Parameters as the report counts them: weights of kernels and scales of batch norms. Those not "
    "zero are without the scales, but for those on shortcuts, and two bytes each are the size."
)
_STAGES_EXPLAINED = (
    "Weights, not zero and KB by the report's rule. Stored is all that a file holds, with zeros, "
    "biases and statistics, in 32 bits until they are rounded to 16; then the file itself."
)


def by_group(rows: Iterable[dict]) -> dict[Group, list[dict]]:
    """Rows by network and settings, in the order of the networks."""
    found = gathered((_group_of(row), row) for row in rows)
    return dict(sorted(found.items()))


def _group_of(row: dict) -> Group:
    return Group(variant_of(cells.recipe_of(row)), tuple(changed_compression_of_row(row)))


def number(rows: Sequence[dict], column: str) -> str:
    """The mean of a column over runs, with the deviation where they differ."""
    rows = [row for row in rows if row[column] not in ("", None)]
    if not rows:
        return "-"
    scale, digits = NUMBERS[column]
    values = {float(row[column]) for row in rows}
    if len(values) == 1:
        return f"{scale * values.pop():,.{digits}f}"
    return cells.mean_and_deviation(rows, column, scale, digits)


def _table_1(groups: dict[Group, list[dict]], name: str) -> list[str]:
    said = published()
    ours = gathered((group.variant.network, (group, rows)) for group, rows in groups.items())
    where = "the report" if name == PUBLISHED else f"the report, {PUBLISHED}"
    lines = []
    for network in NETWORKS:
        lines.append(
            {
                "Model": network.upper(),
                "of": where,
                **dict.fromkeys(("trained with", "compressed with"), "-"),
                "Accuracy": percent(said[network]["accuracy"], 1),
                "Loss": f"{said[network]['loss']:.3f}",
                "Total params": f"{said[network]['total']:,.0f}",
                "Non-zero params": f"{said[network]['non_zero']:,.0f}",
                "Size (KB)": f"{said[network]['kilobytes']:.1f}",
                **dict.fromkeys(_BEYOND, "-"),
            }
        )
        for group, rows in ours.get(network, []):
            stages = kept_stages(rows)
            half, pruned = stages["half"], stages["pruned"]
            lines.append(
                {
                    "Model": network.upper(),
                    "of": f"ours ({len(half)} run{'s' if len(half) > 1 else ''})",
                    **group.settings(groups),
                    "Accuracy": f"**{cells.mean_and_deviation(half, 'accuracy')}**",
                    "Loss": number(half, "loss"),
                    "Total params": number(stages["whole"], "total"),
                    "Non-zero params": number(pruned, "non_zero"),
                    "Size (KB)": number(pruned, "kilobytes"),
                    **{
                        title: number(stages[stage], column)
                        for title, (stage, column) in _BEYOND.items()
                    },
                }
            )
    return cells.filled_columns(lines)


# What the report's table does not have: of which stage, and the column of its rows.
_BEYOND = {
    "Shrunk, all stored (KB)": ("half", "stored_kilobytes"),
    "16-bit .npz (KB)": ("half", "file_bytes"),
    "LiteRT, 16 bits (KB)": ("litert", "file_bytes"),
    "ms a clip": ("litert", "latency_ms"),
}


def _stages_table(groups: dict[Group, list[dict]]) -> list[str]:
    lines = []
    for group, rows in groups.items():
        for stage, found in kept_stages(rows).items():
            if found:
                lines.append(
                    {
                        "Model": group.variant.network.upper(),
                        **group.settings(groups),
                        "stage": STAGES[stage],
                        "accuracy": cells.mean_and_deviation(found, "accuracy"),
                        "loss": number(found, "loss"),
                        "weights": number(found, "total"),
                        "not zero": number(found, "non_zero"),
                        "KB": number(found, "kilobytes"),
                        "stored": number(found, "stored"),
                        "stored KB": number(found, "stored_kilobytes"),
                        "file": found[0]["file"],
                        "KB on disk": number(found, "file_bytes"),
                        "MMACs": number(found, "macs"),
                        "ms a clip": number(found, "latency_ms"),
                    }
                )
    return cells.filled_columns(lines)


def _runs_table(groups: dict[Group, list[dict]]) -> list[str]:
    lines = []
    for group, rows in groups.items():
        runs = gathered(((row["fold"], row["seed"]), row) for row in rows)
        for (fold, seed), found in runs.items():
            stages = {stage: there[0] for stage, there in kept_stages(found).items() if there}
            rounds = [row for row in found if row["stage"].startswith("round")]
            tuned = sum(int(row["seconds"]) for row in rounds)
            lines.append(
                {
                    "Model": group.variant.network.upper(),
                    **group.settings(groups),
                    "fold": fold,
                    "seed": seed,
                    "epochs": stages["whole"]["epochs"],
                    "minutes": f"{int(stages['whole']['seconds']) / 60:.0f}",
                    "rounds": len(rounds),
                    "minutes of them": f"{tuned / 60:.0f}",
                    "kept": stages["pruned"]["stage"],
                    **{
                        f"{STAGES[stage]} %": percent(stages[stage]["accuracy"])
                        if stage in stages
                        else "-"
                        for stage in STAGES
                    },
                    "why pruning ended": stages["half"]["reason"],
                }
            )
    return cells.filled_columns(lines)


def figure(rows: Sequence[dict], name: str) -> str:
    """Accuracy against bytes, as an SVG: rounds of pruning and the files on the way."""
    groups = by_group(rows)
    # What all of one network have in common is left out of the legend.
    said = gathered((g.variant.network, {*g.variant.settings, *g.changed}) for g in groups)
    curves = []
    for group, found in groups.items():
        network, settings = group.variant.network, (*group.variant.settings, *group.changed)
        shared = set.intersection(*said[network])
        named = [network.upper(), *(text for text in settings if text not in shared)]
        runs = gathered(((row["fold"], row["seed"]), row) for row in found)
        rounds = [
            [_point(row, "kilobytes", 1024) for row in run if row["stage"].split()[0] in _ROUNDS]
            for run in runs.values()
        ]
        marks = {
            stage: _mean_point(there, *_SIZES.get(stage, ("file_bytes", 1)))
            for stage, there in kept_stages(found).items()
            if there
        }
        if name == PUBLISHED:
            theirs = published()[network]
            marks["report"] = (1024 * theirs["kilobytes"], 100 * theirs["accuracy"])
        curves.append(Curve(network, ", ".join(named), rounds, marks))
    limit = 1024 * published()["limit"]["kilobytes"]
    return binaural_waveforms_plot.accuracy_against_bytes(curves, limit)


# The bytes of what is no file of its own.
_SIZES = {"pruned": ("kilobytes", 1024)}


def _mean_point(rows: Sequence[dict], column: str, scale: float) -> tuple[float, float]:
    size, accuracy = np.mean([_point(row, column, scale) for row in rows], axis=0)
    return float(size), float(accuracy)


def _point(row: dict, column: str, scale: float) -> tuple[float, float]:
    return scale * float(row[column]), 100 * float(row["accuracy"])


def commands(rows: Iterable[dict], name: str) -> list[str]:
    """The shell commands that make these rows from nothing."""
    rows = [row for row in rows if row["stage"] == "whole"]
    recipes = [cells.recipe_of(row) for row in rows]
    forms = gathered((tuple(recipe.records_form.items()), recipe) for recipe in recipes)
    lines = [cells.prepare_command(name, **dict(form)) for form in forms]
    # One command covers the folds and seeds of a network, then the networks.
    runs = gathered(
        (_group_of(row), (recipe.fold, recipe.seed))
        for row, recipe in zip(rows, recipes, strict=True)
    )
    networks = gathered(
        ((group.variant.settings, group.changed, *cells.axes(pairs)), group.variant.network)
        for group, pairs in runs.items()
    )
    for (settings, changed, folds, seeds), found in networks.items():
        line = ["python", "experiments/binaural_waveforms.py", "--dataset", name]
        line += ["--networks", ",".join(sorted(found))]
        line += grid_options.axes_options(folds, seeds)
        line += itertools.chain(*(("--set", text) for text in settings))
        lines.append(shlex.join([*line, *_options(changed)]))
    return lines


def page(rows: Sequence[dict], dataset: str, absent: str, results: pathlib.Path) -> dict[str, str]:
    """The page of a data set, and its figure, by the names of their files."""
    del results  # All that they say is in the rows.
    base = f"{BinauralWaveforms.name}_{folder_name(dataset)}"
    pages = {f"{base}.md": markdown(rows, dataset, absent)}
    return pages | ({f"{base}.svg": figure(rows, dataset)} if rows else {})


KIND = result_files.Kind(
    BinauralWaveforms.name,
    COLUMNS,
    part="stage",
    derived=derived,
    place=place,
    describe=describe,
    page=page,
)


def _options(changed: Iterable[str]) -> list[str]:
    """The script's options for what of a compression is not usual."""
    options = []
    for text in changed:
        name, _, value = text.partition("=")
        name = name.replace("_", "-")
        switches = {"True": f"--{name}", "False": f"--no-{name}"}
        options.append(switches.get(value, f"--{name}={value}"))
    return options
