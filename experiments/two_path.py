"""Tables 1 to 4 of McDonnell and Gao 2019 in form: two paths, published and ours.

Each cell is a run folder `<runs>/two_path/<variant>/<data set>-fold<k>-seed<s>`, trained and
evaluated in processes of its own; what is finished is not run again, so the same command goes on
where it was stopped. Then `two_path_<data set>.csv`, with a row a run, `.md`, with the tables, and
`.svg`, confusion matrices, are written from all run folders of that data set, whichever call made
them. Where a data set is not prepared, the page says so, and has the report's numbers.

TAU Urban Acoustic Scenes 2019 and the toy scenes are three data sets each, the challenge's tasks,
on one page. Others have a page of their own, with a line a variant. Variants are the ablations
that the report names: `two_paths` is its own network, `no_deltas` that of Table 1, and a + joins
several.

Examples:
  python experiments/two_path.py
  python experiments/two_path.py --tasks 1b --variants two_paths,one_path --equal-parameters
  python experiments/two_path.py --dataset toy_scenes --smoke
  python experiments/two_path.py --dataset esc10 --folds 1 --set num_filters=8 --set epochs=126
  python experiments/two_path.py --dataset urbansound8k --variants two_paths,no_deltas+one_path
"""

import argparse
import itertools
import sys
from collections.abc import Sequence

import cells
import grid_options
import result_files
import two_path_tables
from cells import Cell
from grid import expand, run_grid
from two_path_variants import (
    ABLATIONS,
    SCENES,
    TASKS,
    USUAL,
    at_equal_parameters,
    build_recipe,
    is_weighted_otherwise,
    read_run,
    variant_of,
)

from keras_audio.recipes import TwoPath


def main() -> int:
    """Run what is missing, then write the tables."""
    options = parse()
    return run_grid(options, grid(options), write_page)


def grid(options: argparse.Namespace) -> list[Cell]:
    """Each cell asked for, once."""
    variants = []
    names = datasets(options.dataset, options.tasks)
    for dataset, variant in itertools.product(names, options.variants):
        recipe = build_recipe(variant, dataset, options.set)
        if options.equal_parameters and recipe.paths == 1:
            # Where nothing is prepared nothing is trained, of whatever width.
            classes = cells.prepared_classes(recipe, options.data_dir) or 10
            recipe = at_equal_parameters(recipe, classes)
        variants.append(Cell(recipe, options.runs / TwoPath.name / variant_of(recipe).folder))
    return expand(variants, options.folds, options.seeds)


def datasets(name: str, tasks: Sequence[str] = TASKS) -> list[str]:
    """The data sets that a name stands for: of scenes, one a task."""
    return [f"{name}/{task}" for task in tasks] if name in SCENES else [name]


def write_page(options: argparse.Namespace, absent: str) -> None:
    """Write rows, tables and figures of all runs on a data set."""
    folder = options.runs / TwoPath.name
    runs = [run for name in datasets(options.dataset) for run in cells.evaluated_runs(folder, name)]
    rows = []
    for run in runs:
        if is_weighted_otherwise(run):
            weight = f"{run.recipe.unknown_weight:g}, its recipe's weight of the unknown class"
            print(f"left out until `keras-audio evaluate {run.path}` has measured it with {weight}")
        else:
            rows.append(read_run(run))
    result_files.update(two_path_tables.KIND, options.dataset, rows, options.to, absent)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default=SCENES[0], help="tau_urban_2019, toy_scenes, esc10...")
    parser.add_argument(
        "--tasks", type=grid_options.names(TASKS), default=list(TASKS), help="of scenes"
    )
    parser.add_argument(
        "--variants",
        type=_variants,
        default=[USUAL, "no_deltas"],
        help=f"of {', '.join((USUAL, *ABLATIONS))} (default: {USUAL},no_deltas)",
    )
    parser.add_argument(
        "--equal-parameters",
        action="store_true",
        help="make one path as wide as gives it the parameters of two",
    )
    parser.add_argument(
        "--folds", type=grid_options.folds, help="such as 1-5 (default: all official ones)"
    )
    parser.add_argument("--seeds", type=grid_options.numbers, default=[0], help="such as 0,1,2")
    grid_options.add_options(parser)
    return parser.parse_args(arguments)


def _variants(text: str) -> list[str]:
    grid_options.names((USUAL, *ABLATIONS))(text.replace("+", ","))
    return text.split(",")


if __name__ == "__main__":
    sys.exit(main())
