"""Table II of Naranjo-Alcazar et al. 2019: six residual blocks by four inputs, published and ours.

Each cell is a run folder under `--runs`, trained and evaluated in a process of its own; what is
finished is not run again, so the same command goes on where it was stopped. Then the tables are
written from all run folders of that data set and seed, whichever call made them:
`residual_blocks_<data set>.csv` with a row a run, and `.md` with the grid.

Examples:
  python experiments/residual_blocks.py --dataset urbansound8k --folds 10
  python experiments/residual_blocks.py --dataset esc10 --folds 1-5 --blocks rb4 --inputs standard
  python experiments/residual_blocks.py --dataset toy_sounds --folds 1 --smoke
  python experiments/residual_blocks.py --dataset esc10 --networks m3,m5 --inputs standard --folds 1
"""

import argparse
import csv
import pathlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from keras_audio.evaluation import published_results
from keras_audio.files import read_json, replacing, write_text
from keras_audio.quiet import import_tensorflow
from keras_audio.recipes import ResidualBlocks, with_settings
from keras_audio.training.run_folder import RunFolder

BLOCKS = ("rb1", "rb2", "rb3", "rb4", "rb5", "rb6")
INPUTS = {
    "none": "raw, as it is",
    "max_abs": "raw / max",
    "standard": "raw, mean 0 std 1",
    "log_mel": "log-mel spectrogram",
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
# What `prepare` is given; None for sounds that are generated.
SOURCES_ON_DISK = {
    "urbansound8k": "UrbanSound8K",
    "esc10": "ESC-10-master",
    "esc50": "ESC-50-master",
    "toy_sounds": None,
}
# Fields of the recipe that the experiment has options of its own for.
CELL_FIELDS = ("dataset", "fold", "seed", "network", "block", "normalization")
COLUMNS = (
    *("recipe", "dataset", "fold", "seed", "network", "block", "input"),
    *("accuracy", "balanced_accuracy", "mean_average_precision", "last_epoch_accuracy"),
    *("train_accuracy", "best_epoch", "epochs", "parameters", "seconds"),
    *("hardware", "backend", "versions", "commit", "command"),
)


def main() -> int:
    """Run what is missing, then write the tables."""
    options = parse()
    failed = []
    cells = list(grid(options))
    for number, (recipe, path) in enumerate(cells, start=1):
        print(f"[{number}/{len(cells)}] {path}", flush=True)
        if not options.tables_only and not run_cell(recipe, path, options):
            failed.append(path)
    if options.smoke:
        print(f"smoke test: {len(cells) - len(failed)} of {len(cells)} passed")
    else:
        import_tensorflow()  # counting parameters loads the models
        rows = read_runs(options.runs, options.dataset, options.seed)
        write_tables(rows, options.dataset, options.to)
    for path in failed:
        print(f"failed, run again by the same command: {path}", file=sys.stderr)
    return 1 if failed else 0


def grid(options: argparse.Namespace) -> Iterator[tuple[ResidualBlocks, pathlib.Path]]:
    """The recipe and the run folder of each cell asked for."""
    settings = [*SETTINGS.get(options.dataset, []), *options.set]
    for name in [*options.blocks, *options.networks]:
        for normalization in options.inputs:
            if name in PLAIN and normalization == "log_mel":
                continue  # the plain networks take raw audio only
            for fold in options.folds:
                variant = {"network": name} if name in PLAIN else {"block": name}
                recipe = with_settings(
                    ResidualBlocks(
                        dataset=options.dataset,
                        fold=fold,
                        seed=options.seed,
                        normalization=normalization,
                        **variant,
                    ),
                    settings,
                )
                run = f"{options.dataset}-fold{fold}-seed{options.seed}"
                yield recipe, options.runs / recipe.name / f"{name}-{normalization}" / run


def run_cell(recipe: ResidualBlocks, path: pathlib.Path, options: argparse.Namespace) -> bool:
    """Train and evaluate one cell, as far as it is not done; whether that succeeded."""
    command = [*train_command(recipe), "--data-dir", options.data_dir]
    if options.smoke:
        return _keras_audio(*command, "--run", path.with_name("smoke"), "--smoke", "--force")
    if not _keras_audio(*command, "--run", path, "--resume"):
        return False
    done, metrics = path / "done.json", path / "metrics.json"
    if metrics.is_file() and metrics.stat().st_mtime >= done.stat().st_mtime:
        return True
    return _keras_audio("evaluate", path, "--data-dir", options.data_dir)


def train_command(recipe: ResidualBlocks) -> list[str]:
    """The arguments of `keras-audio` that train `recipe`, defaults left out."""
    default = ResidualBlocks().to_dict()
    settings = [
        f"--set={field}={value}"
        for field, value in recipe.to_dict().items()
        if value != default[field]
    ]
    return ["train", recipe.name, *settings]


def read_runs(runs: pathlib.Path, dataset: str, seed: int) -> list[dict]:
    """The rows of all finished and evaluated runs on a data set, whichever call made them.

    Those of other seeds are left out: a mean over folds would count a fold twice.
    """
    paths = (runs / ResidualBlocks.name).glob(f"*/{dataset}-fold*/metrics.json")
    found = [RunFolder(path.parent) for path in sorted(paths)]
    return [read_run(run) for run in found if run.finished and run.recipe.seed == seed]


def read_run(run: RunFolder) -> dict:
    """The row of a finished and evaluated run."""
    metrics = read_json(run.path / "metrics.json")
    recipe, history, done, environment = run.recipe, run.history(), run.finished, run.environment
    best = done["best_epoch"] - 1
    return {
        "recipe": recipe.name,
        "dataset": recipe.dataset,
        "fold": recipe.fold,
        "seed": recipe.seed,
        "network": recipe.network,
        "block": recipe.block if recipe.network == "m34_res" else "",
        "input": recipe.normalization,
        "accuracy": f"{metrics['accuracy']:.4f}",
        "balanced_accuracy": f"{metrics['balanced_accuracy']:.4f}",
        "mean_average_precision": f"{metrics['mean_average_precision']:.4f}",
        "last_epoch_accuracy": f"{history['val_accuracy'][-1]:.4f}",
        "train_accuracy": f"{history['accuracy'][best]:.4f}",
        "best_epoch": done["best_epoch"],
        "epochs": done["epochs"],
        "parameters": run.model().count_params(),
        "seconds": round(done["seconds"]),
        "hardware": f"{environment['processor']}, cores: {environment['cores']}, "
        f"memory: {environment['memory_gib']} GiB, devices: {', '.join(environment['devices'])}",
        "backend": environment["backend"],
        "versions": f"TensorFlow {environment['packages']['tensorflow']}, "
        f"Keras {environment['packages']['keras']}",
        "commit": environment["commit"],
        "command": " ".join(["keras-audio", *train_command(recipe)]),
    }


def write_tables(rows: list[dict], dataset: str, folder: pathlib.Path) -> None:
    """Write the rows as CSV, and the grid of Table II as Markdown."""
    base = folder / f"residual_blocks_{dataset}"
    with replacing(base.with_suffix(".csv")) as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    text = markdown(rows, dataset)
    write_text(base.with_suffix(".md"), text)
    print(f"\n{text}\n{base}.csv, {base}.md")


def markdown(rows: list[dict], dataset: str) -> str:
    """The grid of Table II, with the paper's number, the original code's and ours in each cell."""
    lines = [
        f"# Residual blocks on {dataset}",
        "",
        "Validation accuracy in percent. In each cell: the paper's (UrbanSound8K, fold 10) / the "
        "original public Keras code's, where there is one (UrbanSound8K, fold 10) / ours on "
        f"{dataset}, mean and standard deviation over the folds run.",
    ]
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
    lines += ["", "| input | " + " | ".join(names) + " |", "| --- " * (len(names) + 1) + "|"]
    for key, title in INPUTS.items():
        cells = [_cell(rows, name, key) for name in names]
        if any(cells):
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "As in the paper, a run's accuracy is that of its best epoch on the held-out fold, so it "
        "is chosen on the clips it is measured on; the last epoch's stands beside it.",
        "",
        "| network | input | fold | accuracy | last epoch | mAP | best epoch | epochs | minutes |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        lines.append(
            f"| {row['block'] or row['network']} | {INPUTS[row['input']]} | {row['fold']} "
            f"| {100 * float(row['accuracy']):.2f} | {100 * float(row['last_epoch_accuracy']):.2f} "
            f"| {100 * float(row['mean_average_precision']):.2f} | {row['best_epoch']} "
            f"| {row['epochs']} | {int(row['seconds']) / 60:.0f} |"
        )
    hardware = {f"{row['hardware']}; {row['versions']}, backend {row['backend']}" for row in rows}
    lines += ["", f"Hardware: {'; '.join(sorted(hardware))}.", ""]
    if rows:
        lines += ["## Commands", "", "Each row's own command stands in the CSV; together:", ""]
        lines += ["```bash", *commands(rows, dataset), "```", ""]
    return "\n".join(lines)


def commands(rows: Sequence[dict], dataset: str) -> list[str]:
    """The shell commands that make these rows from nothing."""
    prepare = ["keras-audio", "prepare", dataset]
    if dataset not in SOURCES_ON_DISK:
        prepare = ["keras-audio", "prepare", "audio_folder", "--source", dataset, "--name", dataset]
    elif SOURCES_ON_DISK[dataset]:
        prepare += ["--source", SOURCES_ON_DISK[dataset]]
    lines = [shlex.join([*prepare, "--sample-rate", str(ResidualBlocks.sample_rate)])]
    # One command covers a grid: the folds of a cell, then the networks with these folds, then the
    # inputs with these networks.
    cells = _gathered(
        ((_extra(row), row["input"], row["block"] or row["network"]), int(row["fold"]))
        for row in rows
    )
    columns = _gathered(
        ((extra, tuple(sorted(folds)), key), name) for (extra, key, name), folds in cells.items()
    )
    grids = _gathered(
        ((extra, folds, tuple(names)), key) for (extra, folds, key), names in columns.items()
    )
    for (extra, folds, names), inputs in grids.items():
        line = ["python", "experiments/residual_blocks.py", "--dataset", dataset]
        line += ["--folds", _folds_text(folds)]
        for option, known in (("--blocks", BLOCKS), ("--networks", PLAIN)):
            if chosen := [name for name in names if name in known]:
                line += [option, ",".join(chosen)]
        lines.append(shlex.join([*line, "--inputs", ",".join(inputs), *extra]))
    return lines


def _extra(row: dict) -> tuple[str, ...]:
    """The options that give a row's recipe what neither its cell nor `SETTINGS` does."""
    _, _, _, *settings = shlex.split(row["command"])
    recipe = with_settings(ResidualBlocks(), [text.removeprefix("--set=") for text in settings])
    usual = with_settings(ResidualBlocks(), SETTINGS.get(row["dataset"], [])).to_dict()
    seed = ("--seed", str(recipe.seed)) if recipe.seed else ()
    changed = (
        f"--set={field}={value}"
        for field, value in recipe.to_dict().items()
        if field not in CELL_FIELDS and value != usual[field]
    )
    return (*seed, *changed)


def _gathered(pairs: Iterable[tuple]) -> dict[tuple, list]:
    groups = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def _folds_text(folds: Sequence[int]) -> str:
    """Folds as `--folds` takes them."""
    if len(folds) > 2 and list(folds) == list(range(folds[0], folds[-1] + 1)):
        return f"{folds[0]}-{folds[-1]}"
    return ",".join(map(str, folds))


def _cell(rows: list[dict], name: str, key: str) -> str:
    published = {
        row["source"]: 100 * float(row["value"])
        for row in published_results("naranjo_2019")
        if (row["row"], row["column"]) == (name, key) and row["metric"] == "validation_accuracy"
    }
    scores = [
        100 * float(row["accuracy"])
        for row in rows
        if name in (row["block"], row["network"]) and row["input"] == key
    ]
    ours = "-"
    if scores:
        spread = f" ± {np.std(scores, ddof=1):.1f}" if len(scores) > 1 else ""
        ours = f"**{np.mean(scores):.1f}{spread}** ({len(scores)})"
    shown = [f"{published[source]:.2f}" if source in published else "-" for source in SOURCES]
    return " / ".join([*shown, ours])


def _keras_audio(*arguments) -> bool:
    command = [sys.executable, "-m", "keras_audio.cli", *map(str, arguments)]
    return subprocess.run(command).returncode == 0


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="urbansound8k")
    parser.add_argument("--folds", type=_folds, default=[10], help="such as 1-5 or 1,3")
    parser.add_argument("--blocks", type=_names(BLOCKS), default=None)
    parser.add_argument("--networks", type=_names(PLAIN), default=[], help="plain nets: m3,m5,...")
    parser.add_argument("--inputs", type=_names(tuple(INPUTS)), default=list(INPUTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs"))
    parser.add_argument("--to", type=pathlib.Path, default=pathlib.Path("results"))
    parser.add_argument("--smoke", action="store_true", help="a few steps of each cell")
    parser.add_argument("--tables-only", action="store_true", help="train nothing")
    options = parser.parse_args(arguments)
    if options.blocks is None:
        options.blocks = [] if options.networks else list(BLOCKS)
    return options


def _folds(text: str) -> list[int]:
    folds = []
    for part in text.split(","):
        match = re.fullmatch(r"([1-9]\d*)(?:-([1-9]\d*))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise argparse.ArgumentTypeError(f"folds such as 1-5 or 1,3, not {text!r}")
        folds += range(first, last + 1)
    return folds


def _names(known: tuple[str, ...]):
    def parse(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"one of {', '.join(known)}, not {name!r}")
        return names

    return parse


if __name__ == "__main__":
    sys.exit(main())
