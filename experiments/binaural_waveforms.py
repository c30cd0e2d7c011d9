"""Table 1 of Pajusco et al. 2020 in form: tiny networks on waveforms, pruned and halved.

Each cell is a run folder `<runs>/binaural_waveforms/<network and changed settings>/<data set>-
fold<k>-seed<s>`, trained, evaluated and compressed in processes of their own. The compression lies
in the folder `compressed` of the run, with the settings added to its name that are not the usual
ones. What is finished is not run again, so the same command goes on where it was stopped.

Examples:
  python experiments/binaural_waveforms.py
  python experiments/binaural_waveforms.py --dataset toy_scenes/3class --networks a --smoke
  python experiments/binaural_waveforms.py --dataset esc10 --networks b --set batch_size=16
"""

import argparse
import dataclasses
import itertools
import pathlib
import sys
from collections.abc import Iterator, Sequence

import cells
from binaural_waveforms_cells import NETWORKS, PUBLISHED, build_recipe, cell_of
from cells import Cell


def grid(options: argparse.Namespace) -> Iterator[Cell]:
    """Each cell asked for, once."""
    found: dict[pathlib.Path, Cell] = {}
    folds = options.folds or range(1, cells.FOLDS.get(options.dataset, 1) + 1)
    for network, seed, fold in itertools.product(options.networks, options.seeds, folds):
        recipe = build_recipe(network, options.dataset, options.set)
        cell = cell_of(dataclasses.replace(recipe, fold=fold, seed=seed), options.runs)
        found.setdefault(cell.path, cell)
    yield from found.values()


def main() -> int:
    """Run what is missing."""
    options = parse()
    ready, absent = cells.with_records(grid(options), options.data_dir)
    if absent:
        print(absent)
    return cells.list_failed(cells.run_cells(ready, options))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default=PUBLISHED, help="toy_scenes/3class, esc10...")
    parser.add_argument(
        "--networks", type=cells.names(NETWORKS), default=list(NETWORKS), help="such as a,b"
    )
    parser.add_argument(
        "--folds", type=cells.folds, help="such as 1-5 (default: all official ones)"
    )
    parser.add_argument("--seeds", type=cells.numbers, default=[0], help="such as 0,1,2")
    cells.add_options(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
