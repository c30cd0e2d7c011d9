"""Tables 3, 4, 6, 8 and 9 of Verbitskiy et al. 2022 in form: ERANN, published and ours.

Each cell is a run folder `<runs>/erann/<s_m>-<w>-<variant>/<data set>-fold<k>-seed<s>`, trained and
evaluated in processes of its own; what is finished is not run again, so the same command goes on
where it was stopped. Then `erann_<data set>.csv`, with a row a run, and `.md`, with the tables, are
written from all run folders of that data set, whichever call made them. Where a data set is not
prepared, its tables hold what needs none: the paper's numbers, parameters, costs, and speeds.

On the paper's data sets the options choose among the cells of its tables; a system or a kind of
augmentation that these do not have is run all the same, and so is any on other data sets: there
Table 6 stands for one training a system, Table 3 for every mixup with and without SpecAugment.

Examples:
  python experiments/erann.py
  python experiments/erann.py --tables 6 --systems 1-3,0-4 --folds 1-5 --seeds 0,1,2
  python experiments/erann.py --tables 6,8,9 --starts fine_tune --init-from {system}.keras
  python experiments/erann.py --dataset esc10 --systems 3-1 --folds 1-5
  python experiments/erann.py --dataset esc10 --tables 3 --mixup none,between_class --folds 1
  python experiments/erann.py --dataset esc10 --speed --tables-only
  python experiments/erann.py --dataset toy_sounds --systems 3-1 --folds 1 --smoke
"""

import argparse
import itertools
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence

import cells
import erann_tables
import grid_options
import result_files
from cells import Cell
from erann_variants import (
    AUGMENTATION,
    CLASSES,
    MIXUPS,
    OWN_SYSTEMS,
    PITCH_VARIANTS,
    STARTS,
    TABLES,
    Variant,
    build_recipe,
    folder_name,
    published,
    read_run,
    usual_recipe,
)
from grid import expand, run_grid

from keras_audio.recipes import ERANN

PAPER_SEEDS = (0, 1, 2)  # "all experiments are repeated three times"
BENCHMARK = pathlib.Path(__file__).resolve().parent.parent / "benchmarks" / "erann.py"


def main() -> int:
    """Run what is missing, then write the tables."""
    options = parse()
    plan = {dataset: grid(dataset, options) for dataset in datasets(options)}
    found = itertools.chain(*plan.values())
    return run_grid(options, found, lambda *_: write_pages(plan, options))


def write_pages(plan: dict[str, list[Cell]], options: argparse.Namespace) -> None:
    """Write rows and tables of all runs on each data set, and measure speed if that is asked for.

    Args:
        plan: The cells asked for, by data set.
        options: The options.
    """
    for dataset, found in plan.items():
        speeds = options.to / "benchmarks" / f"erann_{dataset}.csv"
        if options.speed:
            measure_speed(dataset, found, speeds)
        runs = cells.evaluated_runs(options.runs / ERANN.name, dataset)
        rows = [read_run(run) for run in runs]
        _, absent = cells.with_records(found, options.data_dir)
        result_files.update(erann_tables.KIND, dataset, rows, options.to, absent)


def datasets(options: argparse.Namespace) -> list[str]:
    """The data sets whose tables are asked for."""
    if options.dataset:
        return [options.dataset]
    return list(dict.fromkeys(TABLES[table] for table in options.tables or TABLES))


def grid(dataset: str, options: argparse.Namespace) -> list[Cell]:
    """Each cell asked for on a data set, once."""
    tables = options.tables or [number for number, name in TABLES.items() if name == dataset]
    if options.dataset is None:
        tables = [table for table in tables if TABLES[table] == dataset]
    variants = []
    for table in tables or [6]:
        for variant in chosen_variants(table, dataset, options):
            recipe = build_recipe(variant, dataset, options.set)
            folder = options.runs / ERANN.name / folder_name(recipe, variant.start)
            variants.append(Cell(recipe, folder, start(variant, options)))
    # Of AudioSet only the evaluation set can be held out, fold 1.
    seeds = options.seeds or (PAPER_SEEDS if dataset in TABLES.values() else (0,))
    return expand(variants, options.folds, seeds)


def chosen_variants(table: int, dataset: str, options: argparse.Namespace) -> list[Variant]:
    """What of a table is to be trained: the paper's own lines, and what is asked for beyond."""
    theirs = published(table) if TABLES[table] == dataset else {}
    chosen = []
    own = list(dict.fromkeys(variant.network for variant in theirs)) or OWN_SYSTEMS
    for network in options.systems or own:
        found = [
            variant
            for variant in theirs
            if variant.network == network
            and variant.start in options.starts
            and variant.mixup in (options.mixup or MIXUPS)
            and variant.spec_augment in (options.spec_augment or (True, False))
            and bool(variant.pitch_variants) in (options.pitch_shift or (True, False))
        ]
        asked = options.systems or options.mixup or options.spec_augment or options.pitch_shift
        if not found and (asked or not theirs):
            found = own_variants(table, dataset, network, options)
        chosen += found
    if options.init_from:
        return chosen
    left_out = [variant.system for variant in chosen if variant.start != STARTS[0]]
    if left_out:
        print(
            f"not run: {', '.join(dict.fromkeys(left_out))} fine-tuned in Table {table}; "
            "--init-from says what to start from"
        )
    return [variant for variant in chosen if variant.start == STARTS[0]]


def own_variants(
    table: int, dataset: str, network: str, options: argparse.Namespace
) -> list[Variant]:
    """Lines in the form of a table, of what it does not have."""
    usual = usual_recipe(dataset, STARTS[0])
    ablation = table == AUGMENTATION
    mixups = options.mixup or (MIXUPS if ablation else [usual.mixup])
    masks = options.spec_augment or ([True, False] if ablation else [usual.spec_augment])
    shifts = options.pitch_shift or [bool(usual.pitch_variants)]
    starts = options.starts[:1] if ablation else options.starts
    return [
        Variant(network, start, mixup, mask, (usual.pitch_variants or PITCH_VARIANTS) * shift)
        for start, mask, mixup, shift in itertools.product(starts, masks, mixups, shifts)
    ]


def start(variant: Variant, options: argparse.Namespace) -> tuple[str, ...]:
    """The options of `keras-audio train` for where a variant starts from."""
    if variant.start == STARTS[0]:
        return ()
    system = variant.network.removeprefix("erann_").replace("_", "-")
    return ("--init-from", options.init_from.replace("{system}", system))


def measure_speed(dataset: str, found: Iterable[Cell], path: pathlib.Path) -> None:
    """Run the benchmark on the systems of the cells, for clips as long as the data set's."""
    networks = dict.fromkeys((cell.recipe.s_m, cell.recipe.width) for cell in found)
    if not networks:
        return
    recipe = usual_recipe(dataset, STARTS[0])
    command = [sys.executable, BENCHMARK, "--no-training", "--seconds", f"{recipe.duration:g}"]
    command += ["--systems", ",".join(f"{s_m}-{width}" for s_m, width in networks)]
    command += ["--classes", str(CLASSES.get(dataset, 10))]
    command += ["--name", path.stem, "--to", path.parent]
    subprocess.run(list(map(str, command)), check=True)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", type=_tables, help="of 3,4,6,8,9 (default: the data set's)")
    parser.add_argument("--dataset", help="in place of the tables' own")
    parser.add_argument("--systems", type=_systems, help="s_m-w, such as 1-3,0-4")
    parser.add_argument("--starts", type=grid_options.names(STARTS), default=list(STARTS))
    parser.add_argument(
        "--init-from",
        metavar="RUN|FILE",
        help="what fine-tuning starts from; {system} stands for s_m-w",
    )
    parser.add_argument("--mixup", type=grid_options.names(MIXUPS))
    parser.add_argument("--spec-augment", type=_switches, metavar="on,off")
    parser.add_argument("--pitch-shift", type=_switches, metavar="on,off")
    parser.add_argument(
        "--folds", type=grid_options.folds, help="such as 1-5 (default: all official ones)"
    )
    parser.add_argument(
        "--seeds", type=grid_options.numbers, help="default: 0,1,2 on the paper's data sets, else 0"
    )
    parser.add_argument("--speed", action="store_true", help="measure clips a second, too")
    grid_options.add_options(parser)
    return parser.parse_args(arguments)


def _tables(text: str) -> list[int]:
    found = [int(part) if part.isdecimal() else 0 for part in text.split(",")]
    if not set(found) <= set(TABLES):
        raise argparse.ArgumentTypeError(f"tables such as 3,6 of 3,4,6,8,9, not {text!r}")
    return found


def _systems(text: str) -> list[str]:
    for name in text.split(","):
        if not re.fullmatch(r"[0-3]-[1-9]\d{0,3}", name):
            raise argparse.ArgumentTypeError(f"systems such as 1-3,0-4, not {text!r}")
    return [f"erann_{name.replace('-', '_')}" for name in text.split(",")]


def _switches(text: str) -> list[bool]:
    return [name == "on" for name in grid_options.names(("on", "off"))(text)]


if __name__ == "__main__":
    sys.exit(main())
