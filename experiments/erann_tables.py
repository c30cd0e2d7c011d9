"""The tables of ERANN's experiment: what the paper reports beside what the runs reached."""

import csv
import itertools
import pathlib
import shlex
from collections.abc import Iterable
from typing import NamedTuple

import cells
import grid_options
import result_files
from cells import gathered, percent
from erann_variants import (
    AUGMENTATION,
    CLASSES,
    COLUMNS,
    SETTINGS,
    STARTS,
    TABLES,
    WHY_SETTINGS,
    Variant,
    build_recipe,
    derived,
    describe,
    place,
    published,
    published_number,
    size,
    usual_recipe,
    variant_of_row,
)
from held_out import how_chosen

from keras_audio.recipes import ERANN


class Speeds(NamedTuple):
    """Clips a second by network and batch size, and a sentence on what they were measured with."""

    values: dict[tuple[str, int], str]
    about: str

    def of(self, network: str, batch: int) -> str:
        """The speed with a batch, or with the largest one below that found the memory."""
        sizes = [size for name, size in self.values if name == network and 1 < size <= batch]
        size = max(sizes, default=batch) if batch > 1 else 1
        note = f" (B={size})" if size != batch else ""
        return f"{self.values[network, size]}{note}" if (network, size) in self.values else "-"


def markdown(rows: list[dict], dataset: str, speeds: Speeds | None = None, absent: str = "") -> str:
    """The page of one data set: its tables, each run, hardware, commands.

    Args:
        rows: The runs.
        dataset: Its name.
        speeds: Where they were measured.
        absent: Why nothing more was run, if that is so.
    """
    ours = gathered((variant_of_row(row), row) for row in rows)
    usual = usual_recipe(dataset, STARTS[0])
    tagging = not rows[0].get("accuracy") if rows else usual.multi_label
    metric = "mean_average_precision" if tagging else "accuracy"
    known = dataset in TABLES.values()
    beside = "of the paper and ours, " if known else ""
    lines = [
        f"# ERANN on {dataset}",
        "",
        f"{metric.replace('_', ' ').capitalize()} in percent, {beside}ours as the mean over folds "
        "and seeds, the standard deviation over either where there are several, and in brackets "
        f"the number of runs. {how_chosen(rows, _HOW_CHOSEN, 'evaluation')} Parameters are the "
        f"trainable ones; multiply-accumulates are those of a clip of {usual.duration:g} s.",
    ]
    if not known:
        lines += [
            "",
            f"The paper has no numbers for {dataset}: the tables follow its Tables 6 and 3.",
        ]
    if settings := SETTINGS.get(dataset):
        shown = ", ".join(f"`{setting}`" for setting in settings)
        lines += ["", f"Settings that are not the paper's: {shown}. {WHY_SETTINGS[dataset]}"]
    if absent:
        lines += ["", f"{absent[0].upper()}{absent[1:]}."]
    classes = int(rows[0]["classes"]) if rows else CLASSES.get(dataset, 0)
    lines += _systems_section(ours, dataset, metric, classes, speeds)
    lines += _augmentation_section(ours, dataset, metric)
    if rows:
        lines += ["", "## Runs", "", *_runs_table(rows), "", cells.hardware_line(rows), ""]
        lines += cells.commands_section(commands(rows, dataset))
    return "\n".join(lines).rstrip() + "\n"


_HOW_CHOSEN = (
    "As in the paper, a run counts with its best evaluation on the held-out fold, so it is chosen "
    "on the clips it is measured on; the last evaluation stands beside it below."
)


def _systems_section(
    ours: dict, dataset: str, metric: str, classes: int, speeds: Speeds | None
) -> list[str]:
    """The form of Tables 4, 6, 8 and 9: a line a system, from scratch and fine-tuned."""
    tables = [number for number, name in TABLES.items() if name == dataset]
    theirs: dict[Variant, float] = {}
    for table in tables:
        if table != AUGMENTATION:
            theirs |= published(table)
    usual = usual_recipe(dataset, STARTS[0])
    found = dict.fromkeys(
        variant._replace(start="")
        for variant in [*theirs, *ours]
        if (variant.mixup, variant.spec_augment) == (usual.mixup, usual.spec_augment)
    )
    if not found:
        return []
    lines = []
    for variant in found:
        parameters, macs = size(variant.network, classes, usual.duration)
        said = published_number(dataset, variant.network, "parameters")
        line = {
            "system": " ".join([variant.system, *(f"`{text}`" for text in variant.extra)]),
            "pitch shift": "yes" if variant.pitch_variants else "no",
            "10^6 parameters, paper": "-" if said is None else f"{said / 1e6:.1f}",
            "ours": f"{parameters / 1e6:.1f}",
            "exactly": f"{parameters:,}",
            "GMACs": f"{macs / 1e9:.2f}",
        }
        for batch in (1, 32):
            said = published_number(dataset, variant.network, f"clips_per_second_batch_{batch}")
            line[f"clips/s, B={batch}, paper"] = "-" if said is None else f"{said:g}"
            line[f"clips/s, B={batch}, ours"] = speeds.of(variant.network, batch) if speeds else "-"
        for start, title in zip(STARTS, ("from scratch", "fine-tuned"), strict=True):
            started = variant._replace(start=start)
            line[f"{title}, paper"] = percent(theirs.get(started, ""), 1)
            line[f"{title}, ours"] = cells.score(ours.get(started, []), metric)
        lines.append(line)
    numbers = " and ".join(str(table) for table in tables if table != AUGMENTATION)
    heading = f"Table {numbers}" if numbers else "In the form of Table 6"
    section = ["", f"## {heading}: systems", "", *cells.filled_columns(lines)]
    if speeds:
        section += ["", f"Our speed: {speeds.about} The paper's: NVIDIA Tesla V100."]
    return section


def _augmentation_section(ours: dict, dataset: str, metric: str) -> list[str]:
    """The form of Table 3: a line an augmentation, from scratch."""
    theirs = published(AUGMENTATION) if TABLES[AUGMENTATION] == dataset else {}
    compared = {variant.network for variant in theirs}
    usual = usual_recipe(dataset, STARTS[0])
    compared |= {
        variant.network
        for variant in ours
        if (variant.mixup, variant.spec_augment) != (usual.mixup, usual.spec_augment)
    }
    found = dict.fromkeys(
        variant
        for variant in [*theirs, *ours]
        if variant.network in compared and variant.start == "scratch"
    )
    if not found:
        return []
    lines = []
    for variant in found:
        recipe = build_recipe(variant, dataset)
        others = [text for text in variant.extra if not text.startswith("crop_duration=")]
        crop = recipe.crop_duration
        lines.append(
            {
                "system": " ".join([variant.system, *(f"`{text}`" for text in others)]),
                "t_c": "-" if crop is None else f"{crop:g} s",
                "SpecAugment": "yes" if variant.spec_augment else "no",
                "mixup": variant.mixup.replace("_", " "),
                "paper": percent(theirs.get(variant, ""), 1),
                "ours": cells.score(ours.get(variant, []), metric),
            }
        )
    heading = "Table 3" if theirs else "In the form of Table 3"
    return ["", f"## {heading}: augmentations", "", *cells.filled_columns(lines)]


def _runs_table(rows: list[dict]) -> list[str]:
    titles = ["system", "start", "mixup", "SpecAugment", "t_c", "pitch shift", "fold", "seed"]
    titles += ["accuracy", "mAP", "last evaluation", "best at", "iterations", "minutes"]
    lines = [
        [
            row["network"],
            row["start"].replace("_", "-"),
            row["mixup"].replace("_", " "),
            "yes" if row["spec_augment"] else "no",
            row["crop_duration"] or "-",
            "yes" if row["pitch_variants"] else "no",
            row["fold"],
            row["seed"],
            percent(row.get("accuracy", "")),
            percent(row["mean_average_precision"]),
            percent(
                row.get("last_epoch_accuracy") or row.get("last_epoch_mean_average_precision", "")
            ),
            row["best_iteration"],
            row["iterations"],
            f"{int(row['seconds']) / 60:.0f}",
        ]
        for row in rows
    ]
    return cells.filled_columns([dict(zip(titles, map(str, line), strict=True)) for line in lines])


def commands(rows: Iterable[dict], dataset: str) -> list[str]:
    """The shell commands that make these rows from nothing."""
    rows = list(rows)
    shifts = sorted({int(row["pitch_variants"]) for row in rows})
    rate = ERANN.sample_rate
    lines = [cells.prepare_command(dataset, rate, pitch_variants=number) for number in shifts]
    # One command covers the folds and seeds of a variant, then the kinds of mixup, then both ways
    # of SpecAugment, then the systems.
    runs = gathered(
        ((variant_of_row(row), cells.source_of(row)), (int(row["fold"]), int(row["seed"])))
        for row in rows
    )
    mixups = gathered(
        ((variant._replace(mixup=""), source, *cells.axes(pairs)), variant.mixup)
        for (variant, source), pairs in runs.items()
    )
    masked = gathered(
        ((key[0]._replace(spec_augment=False), *key[1:], tuple(found)), key[0].spec_augment)
        for key, found in mixups.items()
    )
    systems = gathered(
        ((key[0]._replace(network=""), *key[1:], tuple(found)), key[0].network)
        for key, found in masked.items()
    )
    for (variant, source, folds, seeds, kinds, on), networks in systems.items():
        names = [network.removeprefix("erann_").replace("_", "-") for network in networks]
        line = ["python", "experiments/erann.py", "--dataset", dataset]
        line += [
            "--systems",
            ",".join(names),
            "--starts",
            variant.start,
            "--mixup",
            ",".join(kinds),
        ]
        line += ["--spec-augment", ",".join(("off", "on")[mask] for mask in on)]
        line += ["--pitch-shift", "on" if variant.pitch_variants else "off"]
        line += grid_options.axes_options(folds, seeds)
        line += itertools.chain(*(("--set", text) for text in variant.extra))
        line += ["--init-from", source] if source else []
        lines.append(shlex.join(line))
    return lines


def read_speeds(path: pathlib.Path) -> Speeds | None:
    """What `benchmarks/erann.py` measured, if it did."""
    if not path.is_file():
        return None
    values, about = {}, ""
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            network, _, batch = row["measured"].partition(", batch ")
            if ERANN.fields_of_model(network) and batch:
                values[network, int(batch)] = row["median"]
                about = f"{row['hardware']}, cores: {row['cores']}, by `{row['command']}`."
    return Speeds(values, about)


def page(rows: list[dict], dataset: str, absent: str, results: pathlib.Path) -> dict[str, str]:
    """The page of a data set, by the name of its file, with the speeds measured for it."""
    speeds = read_speeds(results / "benchmarks" / f"erann_{dataset}.csv")
    return {f"{ERANN.name}_{dataset}.md": markdown(rows, dataset, speeds, absent)}


KIND = result_files.Kind(
    ERANN.name, COLUMNS, derived=derived, place=place, describe=describe, page=page
)
