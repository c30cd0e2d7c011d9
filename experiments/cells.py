"""What the experiments share: cells of a grid as run folders, the rows of runs, tables of rows.

A cell is trained and evaluated in processes of its own; what is finished is not run again, so the
same command goes on where it was stopped. Tables are written from all run folders that there are,
whichever call made them.
"""

import argparse
import dataclasses
import functools
import math
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from keras_audio.files import folder_name, read_json, write_csv, write_text
from keras_audio.quiet import import_tensorflow
from keras_audio.recipes import Recipe, recipe_class, with_settings
from keras_audio.training.run_folder import RunFolder

# The official folds, of data sets with more than one that is held out.
FOLDS = {"esc50": 5, "esc10": 5, "urbansound8k": 10, "ravdess": 4}
# What `prepare` is given; None for sounds that are generated.
SOURCES_ON_DISK = {
    "tau_urban_2019/1a": "TAU-urban-acoustic-scenes-2019-development",
    "tau_urban_2019/1b": "TAU-urban-acoustic-scenes-2019-mobile-development",
    "tau_urban_2019/1c": "TAU-urban-acoustic-scenes-2019-openset-development",
    "tau_urban_2020_3class": "TAU-urban-acoustic-scenes-2020-3class-development",
    **dict.fromkeys(f"toy_scenes/{task}" for task in ("1a", "1b", "1c", "3class")),
    "urbansound8k": "UrbanSound8K",
    "ravdess": "RAVDESS",
    **{name: f"{name[:3].upper()}-{name[3:]}-master" for name in ("esc10", "esc50")},
    "toy_sounds": None,
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One training of an experiment.

    Args:
        recipe: What is trained.
        path: Its run folder.
        start: Further options of `keras-audio train`, such as where the weights come from.
    """

    recipe: Recipe
    path: pathlib.Path
    start: tuple[str, ...] = ()


def run_grid(
    options: argparse.Namespace,
    found: Iterable[Cell],
    write_page: Callable[[argparse.Namespace, str], None],
    *,
    run: Callable[..., bool] | None = None,
    prepare: Callable[[Sequence[Cell]], None] | None = None,
) -> int:
    """Run what is missing of a grid, then write its page; the exit status.

    Args:
        options: As of `grid_options.add_options`.
        found: The cells asked for; those whose records are not there are left out.
        write_page: Takes the options, and the sentence that says what was left out.
        run: Runs a cell, in place of `run_cell`.
        prepare: Takes the cells that are to be run, before the first is.
    """
    import_tensorflow()
    ready, absent = with_records(found, options.data_dir)
    if absent:
        print(absent)
    if prepare is not None:
        prepare(ready)
    failed = run_cells(ready, options, run)
    if not options.smoke:
        write_page(options, absent)
    return list_failed(failed)


def run_cells(
    cells: Sequence[Cell], options: argparse.Namespace, run: Callable[..., bool] | None = None
) -> list[pathlib.Path]:
    """Run what is not done, each cell by `run`, or `run_cell`; the folders of those that failed."""
    failed, run = [], run or run_cell
    for number, cell in enumerate(cells, start=1):
        print(f"[{number}/{len(cells)}] {cell.path}", flush=True)
        if not (options.tables_only or run(cell, options)):
            failed.append(cell.path)
    if options.smoke:
        print(f"smoke test: {len(cells) - len(failed)} of {len(cells)} passed")
    return failed


def run_cell(cell: Cell, options: argparse.Namespace) -> bool:
    """Train and evaluate one cell, as far as it is not done; whether that succeeded."""
    path = cell.path
    command = [*train_command(cell.recipe, cell.start), "--data-dir", options.data_dir]
    if options.smoke:
        return keras_audio(*command, "--run", path.with_name("smoke"), "--smoke", "--force")
    if not keras_audio(*command, "--run", path, "--resume"):
        return False
    done, metrics = path / "done.json", path / "metrics.json"
    if metrics.is_file() and metrics.stat().st_mtime >= done.stat().st_mtime:
        return True
    return keras_audio("evaluate", path, "--data-dir", options.data_dir)


def list_failed(failed: Iterable[pathlib.Path]) -> int:
    """Name what failed; the exit status."""
    for path in failed:
        print(f"failed, run again by the same command: {path}", file=sys.stderr)
    return 1 if failed else 0


def train_command(recipe: Recipe, start: Sequence[str] = ()) -> list[str]:
    """The arguments of `keras-audio` that train `recipe`, defaults left out.

    What is a default depends on the data set, and on whether a trained network is tuned: a field is
    left out only where all of these agree.
    """
    cls, tuned = type(recipe), bool(start)
    usual = [cls(), *(cls.for_dataset(name, fine_tune=tuned) for name in (None, recipe.dataset))]
    fields = {text.partition("=")[0] for other in usual for text in changed_settings(recipe, other)}
    if recipe.dataset != cls().dataset:
        fields.add("fold")
    if tuned:  # else the name of the network to start from would settle these
        fields |= {*cls.fields_of_model(recipe.model_name), *cls.network_fields}
    settings = (
        f"--set={name}={value}" for name, value in recipe.to_dict().items() if name in fields
    )
    return ["train", recipe.name, *settings, *start]


def changed_settings(recipe: Recipe, usual: Recipe, fixed: Sequence[str] = ()) -> list[str]:
    """The settings that make `recipe` of `usual`, but for the fields in `fixed`."""
    before = usual.to_dict()
    return [
        f"{field}={value}"
        for field, value in recipe.to_dict().items()
        if field not in fixed and value != before[field]
    ]


def recipe_of(row: dict) -> Recipe:
    """The recipe that the command of a row trains."""
    _, _, name, *options = shlex.split(row["command"])
    settings = [text.removeprefix("--set=") for text in options if text.startswith("--set=")]
    return with_settings(recipe_class(name)(), settings)


def prepare_command(
    dataset: str,
    sample_rate: int,
    channels: int = 1,
    resampling: str = "soxr",
    pitch_variants: int = 0,
) -> str:
    """The shell command that prepares a data set."""
    command = ["keras-audio", "prepare", dataset]
    if dataset not in SOURCES_ON_DISK:
        command = ["keras-audio", "prepare", "audio_folder", "--source", dataset, "--name", dataset]
    elif SOURCES_ON_DISK[dataset]:
        command += ["--source", SOURCES_ON_DISK[dataset]]
    command += ["--sample-rate", str(sample_rate)]
    if channels != 1:
        command += ["--channels", str(channels)]
    if resampling != "soxr":
        command += ["--resampling", resampling]
    if pitch_variants:
        command += ["--pitch-variants", str(pitch_variants)]
    return shlex.join(command)


def with_records(found: Iterable[Cell], data_dir: str) -> tuple[list[Cell], str]:
    """The cells that there are records for, and a sentence on the others, if there are any."""
    ready, wanted = [], {}
    for cell in found:
        recipe = cell.recipe
        if prepared_classes(recipe, data_dir):
            ready.append(cell)
        else:
            form = recipe.records_form
            wanted[recipe.dataset, *form.values()] = prepare_command(recipe.dataset, **form)
    sentences = []
    for (dataset, *_, variants), command in wanted.items():
        shifted = f" with {variants} pitch variants" if variants else ""
        sentences.append(f"{dataset} is not prepared{shifted} in {data_dir}/ (`{command}`)")
    return ready, f"not run: {'; '.join(sentences)}" if sentences else ""


def prepared_classes(recipe: Recipe, data_dir: str) -> int | None:
    """How many classes the data set of a recipe has; None where it is not prepared."""
    return _classes(recipe.dataset, data_dir, tuple(recipe.records_form.items()))


@functools.cache
def _classes(dataset: str, data_dir: str, form: tuple[tuple[str, Any], ...]) -> int | None:
    from keras_audio.data import open_records

    try:
        return len(open_records(dataset, data_dir=data_dir, **dict(form)).labels)
    except ValueError:
        return None


def evaluated_runs(folder: pathlib.Path, dataset: str) -> list[RunFolder]:
    """The trained and evaluated runs `<folder>/<cell>/<data set>-fold*`, sorted; no imports."""
    paths = sorted(folder.glob(f"*/{folder_name(dataset)}-fold*/metrics.json"))
    found = [RunFolder(path.parent) for path in paths]
    return [run for run in found if run.finished and run.imported is None]


def start_of(run: RunFolder) -> tuple[str, ...]:
    """The options of `keras-audio train` that say where a run took its first weights from."""
    initial = run.path / "initial.json"
    return ("--init-from", read_json(initial)["source"]) if initial.is_file() else ()


def common_columns(run: RunFolder) -> dict[str, Any]:
    """What the rows of all experiments say of a finished and evaluated run."""
    metrics = read_json(run.path / "metrics.json")
    recipe, scores = run.recipe, ("accuracy", "balanced_accuracy", "mean_average_precision")
    return {
        "recipe": recipe.name,
        "dataset": recipe.dataset,
        "fold": recipe.fold,
        "seed": recipe.seed,
        **{name: f"{metrics[name]:.4f}" for name in scores if name in metrics},
        "seconds": round(run.finished["seconds"]),
        **machine_columns(run.environment),
        "command": shlex.join(["keras-audio", *train_command(recipe, start_of(run))]),
    }


def machine_columns(environment: dict[str, Any]) -> dict[str, str]:
    """What rows say of the machine, the versions and the commit that something was made with."""
    tensorflow, keras = (environment["packages"][name] for name in ("tensorflow", "keras"))
    return {
        "hardware": f"{environment['processor']}, cores: {environment['cores']}, "
        f"memory: {environment['memory_gib']} GiB, devices: {', '.join(environment['devices'])}",
        "backend": environment["backend"],
        "versions": f"TensorFlow {tensorflow}, Keras {keras}",
        "commit": environment["commit"],
    }


def write_tables(rows: list[dict], columns: Sequence[str], text: str, base: pathlib.Path) -> None:
    """Write the rows to `base`.csv and the text to `base`.md, and print the latter."""
    write_csv(base.with_suffix(".csv"), columns, rows)
    write_text(base.with_suffix(".md"), text)
    print(f"\n{text}\n{base}.csv, {base}.md")


def markdown_table(titles: Sequence[str], lines: Iterable[Sequence[Any]]) -> list[str]:
    """A table as lines of Markdown."""
    first, *others = (f"| {' | '.join(map(str, line))} |" for line in (titles, *lines))
    return [first, "| --- " * len(titles) + "|", *others]


def filled_columns(lines: Sequence[dict[str, Any]]) -> list[str]:
    """A table of lines by title, without the columns that say the same nothing in every line.

    Example:
        >>> filled_columns([{"fold": "1", "seed": "-"}, {"fold": "2", "seed": "-"}])[0]
        '| fold |'
    """
    empty = ({"-"}, {"no"})
    titles = [title for title in lines[0] if {line[title] for line in lines} not in empty]
    return markdown_table(titles, [[line[title] for title in titles] for line in lines])


def hardware_line(rows: Iterable[dict]) -> str:
    """The sentence that names all machines and versions of the rows."""
    found = {f"{row['hardware']}; {row['versions']}, backend {row['backend']}" for row in rows}
    return f"Hardware: {'; '.join(sorted(found))}."


def commands_section(commands: Iterable[str]) -> list[str]:
    """The section of a result page that says how to make it, as lines of Markdown."""
    lines = ["## Commands", "", "Each row's own command stands in the CSV; together:", ""]
    return [*lines, "```bash", *commands, "```", ""]


def percent(value: str | float, digits: int = 2) -> str:
    """A share of one, as rows have them, in percent.

    Example:
        >>> percent("0.8125"), percent("")
        ('81.25', '-')
    """
    return "-" if value == "" else f"{100 * float(value):.{digits}f}"


def mean_and_deviation(rows: Iterable[dict], metric: str, scale: float = 100, digits=1) -> str:
    """The mean of a metric, times `scale`, over folds and seeds, with the deviation over either.

    A fold's value is its mean over the seeds, and a seed's its mean over the folds: the first
    deviation says how far folds differ, the second what chance does to the whole. Where a grid is
    not complete, folds are compared over the seeds that all of them have, and seeds likewise.

    Example:
        >>> rows = [{"fold": fold, "seed": seed, "accuracy": fold / 10 + seed / 100}
        ...         for fold in (7, 8) for seed in (0, 1, 2)]
        >>> mean_and_deviation(rows[::3], "accuracy"), mean_and_deviation(rows[:1], "accuracy")
        ('75.0 ± 7.1', '70.0')
        >>> mean_and_deviation(rows, "accuracy")
        '76.0 ± 7.1 (folds) ± 1.0 (seeds)'
        >>> mean_and_deviation(rows[:4], "accuracy")  # fold 8 has the first seed only
        '73.2 ± 7.1 (folds) ± 1.0 (seeds)'
    """
    rows = list(rows)
    text = f"{np.mean([scale * float(row[metric]) for row in rows]):,.{digits}f}"
    spreads = {}
    for axis, other in (("fold", "seed"), ("seed", "fold")):
        groups = gathered((row[axis], row) for row in rows)
        shared = set.intersection(*({row[other] for row in group} for group in groups.values()))
        if len(groups) > 1 and shared:
            means = [
                np.mean([scale * float(row[metric]) for row in group if row[other] in shared])
                for group in groups.values()
            ]
            spreads[axis] = np.std(means, ddof=1)
    for axis, spread in spreads.items():
        named = f" ({axis}s)" if "seed" in spreads else ""
        text += f" ± {spread:,.{digits}f}{named}"
    return text


def score(rows: Sequence[dict], metric: str) -> str:
    """What runs reached, as the cell of a table: the mean and the number of runs."""
    return f"**{mean_and_deviation(rows, metric)}** ({len(rows)})" if rows else "-"


def gathered(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, list]:
    """Values by key, both in the order of their first appearance."""
    groups: dict[Any, list] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def axes(pairs: Iterable[tuple[int, int]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The folds and the seeds of some runs, given as pairs."""
    folds, seeds = zip(*pairs, strict=True)
    return tuple(sorted(set(folds))), tuple(sorted(set(seeds)))


def trainable_parameters(model) -> int:
    """How many numbers of a Keras model are trained, as the papers count."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def keras_audio(*arguments: Any) -> bool:
    """Run the command `keras-audio` in a process of its own; whether it succeeded."""
    command = [sys.executable, "-m", "keras_audio.cli", *map(str, arguments)]
    return subprocess.run(command).returncode == 0
