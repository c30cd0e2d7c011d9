r"""Tables 2 and 3 of Colangelo et al. 2021 in form: progressive resizing, published and ours.

Each cell is a run folder `<runs>/progressive_resizing/<method>/<data set>-fold<k>-seed<s>`, plans
and settings that are not usual behind the method, trained and evaluated in processes of its own;
what is finished is not run again, so the same command goes on where it was stopped. Then
`progressive_resizing_<data set>.csv`, with a row a run, `.md`, with the tables, and `.svg`, box
plots, are written from all run folders of that data set, whichever call made them. Where a data set
is not prepared, the page says so, and has the paper's numbers.

Plans are those of Table 1. Others are given method by method with --plan, `progressive` for all
methods but the baseline, each stage as MELSxFRAMES:EPOCHS:RATE[/DIVISOR]. A --label puts runs
together in a section of the page, such as equal_epochs or equal_wall_time; a run may be in several,
and takes part in the second without being trained again.

Examples:
  python experiments/progressive_resizing.py --dataset esc50 --init-from resnet34.pth
  python experiments/progressive_resizing.py --dataset esc50 --mixup none,standard
  python experiments/progressive_resizing.py --dataset toy_sounds --set num_filters=4 --smoke
  python experiments/progressive_resizing.py --dataset esc10 --folds 1,2 --label equal_epochs \
      --set network=resnet10 --set num_filters=16 --set batch_size=16 \
      --plan baseline=128x300:30:5e-3 \
      --plan progressive=64x128:10:5e-3,96x214:10:5e-3,128x300:10:5e-3
  python experiments/progressive_resizing.py --dataset esc10 --tables-only
"""

import argparse
import itertools
import re
import sys
from collections.abc import Sequence

import cells
import grid_options
import progressive_resizing_tables
import result_files
from cells import Cell
from grid import expand, run_grid
from progressive_resizing_variants import (
    METHODS,
    MIXUP,
    PROGRESSIVE,
    add_label,
    build_recipe,
    read_run,
    variant_of,
)

from keras_audio.recipes import ProgressiveResizing


def main() -> int:
    """Run what is missing, then write the tables."""
    options = parse()
    return run_grid(options, grid(options), write_page, prepare=lambda ready: label(ready, options))


def label(ready: Sequence[Cell], options: argparse.Namespace) -> None:
    """Put the runs asked for together under their label, if they have one."""
    if options.label and not options.smoke:
        for cell in ready:
            # Where nothing is trained, there may be no such run.
            if cell.path.is_dir() or not options.tables_only:
                add_label(cell.path.parent, options.dataset, options.label)


def grid(options: argparse.Namespace) -> list[Cell]:
    """Each cell asked for, once; fold by fold, so that methods can soon be compared."""
    start = ("--init-from", options.init_from) if options.init_from else ()
    variants = []
    for mixup, method in itertools.product(options.mixup, options.methods):
        plan = options.plan.get(method)
        recipe = build_recipe(method, options.dataset, mixup, plan, options.set)
        folder = options.runs / recipe.name / variant_of(recipe, options.init_from).folder
        variants.append(Cell(recipe, folder, start))
    return expand(variants, options.folds, options.seeds, by_fold=True)


def write_page(options: argparse.Namespace, absent: str) -> None:
    """Write rows, tables and box plots of all runs on a data set."""
    name, folder = options.dataset, options.runs / ProgressiveResizing.name
    rows = [read_run(run) for run in cells.evaluated_runs(folder, name)]
    result_files.update(progressive_resizing_tables.KIND, name, rows, options.to, absent)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line; `plan` is a dictionary from method to stages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="esc50", help="esc50, urbansound8k, esc10...")
    parser.add_argument(
        "--methods",
        type=grid_options.names(tuple(METHODS)),
        default=list(METHODS),
        help="such as baseline,mel (default: all)",
    )
    parser.add_argument(
        "--mixup",
        type=grid_options.names(MIXUP),
        default=[MIXUP[0]],
        help="none,standard: with and without",
    )
    parser.add_argument(
        "--plan",
        action="append",
        default=[],
        type=_plan,
        metavar="METHOD=STAGES",
        help="stages of a method in place of Table 1's",
    )
    parser.add_argument("--label", type=_label, help="what the plans have in common")
    parser.add_argument(
        "--init-from", default="", metavar="FILE", help="first weights, such as resnet34.pth"
    )
    parser.add_argument(
        "--folds", type=grid_options.folds, help="such as 1-5 (default: all official ones)"
    )
    parser.add_argument("--seeds", type=grid_options.numbers, default=[0], help="such as 0,1,2")
    grid_options.add_options(parser)
    options = parser.parse_args(arguments)
    options.plan = {name: text for names, text in options.plan for name in names}
    try:
        grid(options)
    except ValueError as error:
        parser.error(str(error))
    return options


def _plan(text: str) -> tuple[tuple[str, ...], str]:
    """The methods that a plan is for, and its stages."""
    name, equals, stages = text.partition("=")
    methods = {"progressive": PROGRESSIVE} | {method: (method,) for method in METHODS}
    if not (equals and stages and name in methods):
        known = ", ".join(methods)
        raise argparse.ArgumentTypeError(f"METHOD=STAGES, the method of {known}, not {text!r}")
    return methods[name], stages


def _label(text: str) -> str:
    if not re.fullmatch(r"\w+", text):
        raise argparse.ArgumentTypeError(f"letters, digits and _, not {text!r}")
    return text


if __name__ == "__main__":
    sys.exit(main())
