"""Table II of Naranjo-Alcazar et al. 2019: six residual blocks by four inputs, published and ours.

Each cell is a run folder `<runs>/residual_blocks/<network>-<input>/<data set>-fold<k>-seed<s>`,
trained and evaluated in processes of its own; what is finished is not run again, so the same
command goes on where it was stopped. Then `residual_blocks_<data set>.csv`, with a row a run, and
`.md`, with the grid, are written from all run folders of that data set, whichever call made them.
Where a data set is not prepared, the page says so.

Examples:
  python experiments/residual_blocks.py --dataset urbansound8k --folds 10
  python experiments/residual_blocks.py --dataset esc10 --folds 1-5 --blocks rb4 --inputs standard
  python experiments/residual_blocks.py --dataset esc10 --folds 1-5 --seeds 0,1,2 --jobs 2
  python experiments/residual_blocks.py --dataset toy_sounds --folds 1 --smoke
  python experiments/residual_blocks.py --dataset esc10 --networks m3,m5 --inputs standard --folds 1
"""

import argparse
import itertools
import pathlib
import shlex
import sys
from collections.abc import Sequence

import cells
import grid_options
import result_files
from cells import Cell, gathered, percent
from grid import expand, run_grid
from held_out import how_chosen, last_score

from keras_audio.evaluation import published_results
from keras_audio.recipes import ResidualBlocks, with_settings
from keras_audio.training.run_folder import RunFolder

BLOCKS = ("rb1", "rb2", "rb3", "rb4", "rb5", "rb6")
INPUTS = {
    "none": "raw, as it is",
    "max_abs": "raw / max",
    "standard": "raw, mean 0 std 1",
    "log_mel": "log-mel spectrogram",
}
# The inputs in short.
WORDS = {
    "none": "waveform",
    "max_abs": "waveform / max",
    "standard": "waveform, standardised",
    "log_mel": "log-mel",
}
SOURCES = ("paper", "original code")
PLAIN = ("m3", "m5", "m11", "m18")

# What differs from the paper on sets that it does not use, and why.
SETTINGS = {
    "urbansound8k": [],
    "esc10": [
        "duration=5",
        "batch_size=16",
        "batch_norm_momentum=0.9",
        "plateau_patience=5",
        "early_stopping_patience=12",
        "epochs=40",
    ],
    "toy_sounds": [
        "duration=2",
        "batch_size=16",
        "batch_norm_momentum=0.9",
        "plateau_patience=3",
        "early_stopping_patience=6",
        "epochs=20",
    ],
}
SETTINGS["esc50"] = SETTINGS["esc10"]
WHY_SETTINGS = (
    "The paper's settings are made for thousands of clips. The 320 that ESC-10 trains on make 3 "
    "batches of 128 an epoch, too few steps for Adam and for batch norm's statistics; batches of "
    "16 make 20. Moving statistics with momentum 0.99 lag for hundreds of steps, hence 0.9. The "
    "rate falls, and the run ends, after fewer epochs without a better score: by then the training "
    "clips are learned. `duration` is the clips' own, in seconds."
)
# Fields of the recipe that the experiment has options of its own for.
CELL_FIELDS = ("dataset", "fold", "seed", "network", "block", "normalization")
COLUMNS = (
    *("recipe", "dataset", "fold", "seed", "network", "block", "input"),
    *("accuracy", "balanced_accuracy", "mean_average_precision", "last_epoch_accuracy"),
    *("train_accuracy", "best_epoch", "epochs", "parameters", "trainable_parameters", "seconds"),
    *("hardware", "backend", "versions", "commit", "command"),
)


def main() -> int:
    """Run what is missing, then write the tables."""
    options = parse()
    return run_grid(options, grid(options), write_page)


def grid(options: argparse.Namespace) -> list[Cell]:
    """Each cell asked for, once."""
    settings = [*SETTINGS.get(options.dataset, []), *options.set]
    variants = []
    for name, normalization in itertools.product(
        [*options.blocks, *options.networks], options.inputs
    ):
        if name in PLAIN and normalization == "log_mel":
            continue  # the plain networks take raw audio only
        variant = {"network": name} if name in PLAIN else {"block": name}
        usual = ResidualBlocks(dataset=options.dataset, normalization=normalization, **variant)
        recipe = with_settings(usual, settings)
        variants.append(Cell(recipe, options.runs / recipe.name / f"{name}-{normalization}"))
    return expand(variants, options.folds, options.seeds)


def write_page(options: argparse.Namespace, absent: str) -> None:
    """Write rows and tables of all runs on a data set."""
    rows = read_runs(options.runs, options.dataset)
    result_files.update(KIND, options.dataset, rows, options.to, absent)


def read_runs(runs: pathlib.Path, dataset: str) -> list[dict]:
    """The rows of all finished and evaluated runs on a data set, whichever call made them."""
    return [read_run(run) for run in cells.evaluated_runs(runs / ResidualBlocks.name, dataset)]


def read_run(run: RunFolder) -> dict:
    """The row of a finished and evaluated run."""
    history, done = run.history(), run.finished
    best, model = done["best_epoch"] - 1, run.model()
    return cells.common_columns(run) | {
        "last_epoch_accuracy": last_score(run, "val_accuracy"),
        "train_accuracy": f"{history['accuracy'][best]:.4f}",
        "best_epoch": done["best_epoch"],
        "epochs": done["epochs"],
        "parameters": model.count_params(),
        "trainable_parameters": cells.trainable_parameters(model),
    }


def derived(row: dict) -> dict[str, str]:
    """What the command of a row says of it."""
    recipe = cells.recipe_of(row)
    return {
        "network": recipe.network,
        "block": recipe.block if recipe.network == "m34_res" else "",
        "input": recipe.normalization,
    }


def place(row: dict) -> tuple:
    """The run of a row among all of a data set."""
    names = [*BLOCKS, *PLAIN]
    name = row["block"] or row["network"]
    return names.index(name), row["input"], int(row["fold"]), int(row["seed"])


def describe(row: dict) -> tuple[str, list[str]]:
    """The network of a row, and what it was fed with."""
    kind = "spectrogram_res" if row["input"] == "log_mel" else row["network"]
    usual = with_settings(ResidualBlocks(), SETTINGS.get(row["dataset"], []))
    changed = cells.changed_settings(cells.recipe_of(row), usual, CELL_FIELDS)
    network = f"{kind}_{row['block']}" if row["block"] else row["network"]
    return network, [WORDS[row["input"]], *changed]


def page(rows: list[dict], dataset: str, absent: str, results: pathlib.Path) -> dict[str, str]:
    """The page of a data set, by the name of its file."""
    del results  # All that it says is in the rows.
    return {f"{ResidualBlocks.name}_{dataset}.md": markdown(rows, dataset, absent)}


def markdown(rows: list[dict], dataset: str, absent: str = "") -> str:
    """The grid of Table II, with the paper's number, the original code's and ours in each cell."""
    several_seeds = len({int(row["seed"]) for row in rows}) > 1
    lines = [
        f"# Residual blocks on {dataset}",
        "",
        "Validation accuracy in percent. In each cell: the paper's (UrbanSound8K, fold 10) / the "
        "original public Keras code's, where there is one (UrbanSound8K, fold 10) / ours on "
        f"{dataset}, mean and standard deviation over the folds run"
        + (", and over the seeds." if several_seeds else "."),
    ]
    if absent:
        lines += ["", f"{absent[0].upper()}{absent[1:]}."]
    if dataset != "urbansound8k":
        lines += [
            "",
            f"The paper has no numbers for {dataset}: its own and ours are not comparable, and "
            "stand side by side to show the order of the blocks only.",
        ]
    if settings := SETTINGS.get(dataset):
        shown = ", ".join(f"`{setting}`" for setting in settings)
        lines += ["", f"Settings that are not the paper's: {shown}. {WHY_SETTINGS}"]
    names = [*BLOCKS, *PLAIN]
    names = [name for name in names if any(name in (r["block"], r["network"]) for r in rows)]
    grid_lines = [
        [title, *columns]
        for key, title in INPUTS.items()
        if any(columns := [_cell(rows, name, key) for name in names])
    ]
    lines += ["", *cells.markdown_table(["input", *names], grid_lines)]
    lines += [
        "",
        how_chosen(rows, _HOW_CHOSEN, "epoch"),
        "",
    ]
    seed_column = ["seed"] if several_seeds else []
    titles = ["network", "input", "fold", *seed_column, "accuracy", "last epoch", "mAP"]
    lines += cells.markdown_table(
        [*titles, "best epoch", "epochs", "minutes"],
        (
            [
                row["block"] or row["network"],
                INPUTS[row["input"]],
                row["fold"],
                *(row[name] for name in seed_column),
                percent(row["accuracy"]),
                percent(row["last_epoch_accuracy"]),
                percent(row["mean_average_precision"]),
                row["best_epoch"],
                row["epochs"],
                f"{int(row['seconds']) / 60:.0f}",
            ]
            for row in rows
        ),
    )
    if rows:
        lines += ["", cells.hardware_line(rows), ""]
        lines += cells.commands_section(commands(rows, dataset))
    return "\n".join(lines)


_HOW_CHOSEN = (
    "As in the paper, a run's accuracy is that of its best epoch on the held-out fold, so it is "
    "chosen on the clips it is measured on; the last epoch's stands beside it."
)


def commands(rows: Sequence[dict], dataset: str) -> list[str]:
    """The shell commands that make these rows from nothing."""
    lines = [cells.prepare_command(dataset, ResidualBlocks.sample_rate)]
    # One command covers a grid: the folds and seeds of a cell, then the networks with these, then
    # the inputs with these networks.
    cells_run = gathered(
        (
            (_extra(row), row["input"], row["block"] or row["network"]),
            (int(row["fold"]), int(row["seed"])),
        )
        for row in rows
    )
    columns = gathered(
        ((extra, *cells.axes(pairs), key), name) for (extra, key, name), pairs in cells_run.items()
    )
    grids = gathered(
        ((extra, folds, seeds, tuple(names)), key)
        for (extra, folds, seeds, key), names in columns.items()
    )
    for (extra, folds, seeds, names), inputs in grids.items():
        line = ["python", "experiments/residual_blocks.py", "--dataset", dataset]
        line += grid_options.axes_options(folds, seeds)
        for option, known in (("--blocks", BLOCKS), ("--networks", PLAIN)):
            if chosen := [name for name in names if name in known]:
                line += [option, ",".join(chosen)]
        lines.append(shlex.join([*line, "--inputs", ",".join(inputs), *extra]))
    return lines


def _extra(row: dict) -> tuple[str, ...]:
    """The options that give a row's recipe what neither its cell nor `SETTINGS` does."""
    recipe = cells.recipe_of(row)
    usual = with_settings(ResidualBlocks(), SETTINGS.get(row["dataset"], []))
    changed = cells.changed_settings(recipe, usual, CELL_FIELDS)
    return tuple(f"--set={text}" for text in changed)


def _cell(rows: list[dict], name: str, key: str) -> str:
    published = {
        row["source"]: 100 * float(row["value"])
        for row in published_results("naranjo_2019")
        if (row["row"], row["column"]) == (name, key) and row["metric"] == "validation_accuracy"
    }
    own = [row for row in rows if name in (row["block"], row["network"]) and row["input"] == key]
    shown = [f"{published[source]:.2f}" if source in published else "-" for source in SOURCES]
    return " / ".join([*shown, cells.score(own, "accuracy")])


KIND = result_files.Kind(
    ResidualBlocks.name, COLUMNS, derived=derived, place=place, describe=describe, page=page
)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="urbansound8k")
    parser.add_argument("--folds", type=grid_options.folds, default=[10], help="such as 1-5 or 1,3")
    parser.add_argument("--blocks", type=grid_options.names(BLOCKS), default=None)
    parser.add_argument(
        "--networks", type=grid_options.names(PLAIN), default=[], help="plain nets: m3,m5,..."
    )
    parser.add_argument("--inputs", type=grid_options.names(tuple(INPUTS)), default=list(INPUTS))
    parser.add_argument("--seeds", type=grid_options.numbers, default=[0], help="such as 0,1,2")
    grid_options.add_options(parser)
    options = parser.parse_args(arguments)
    if options.blocks is None:
        options.blocks = [] if options.networks else list(BLOCKS)
    return options


if __name__ == "__main__":
    sys.exit(main())
