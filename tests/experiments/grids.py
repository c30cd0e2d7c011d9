"""Small grids, and calls of the runner in this process."""

import argparse

from cells import Cell
from grid import expand, run_grid

from keras_audio.recipes import ResidualBlocks


def cells_of(folder, folds=(1, 2, 3), networks=("m3",)):
    variants = [
        Cell(ResidualBlocks(dataset="toy_sounds", network=name, epochs=2), folder / name)
        for name in networks
    ]
    return expand(variants, folds, [0])


def call(found, jobs=2, smoke=False, tables_only=False, data_dir="data"):
    """The exit status of a grid, and how often its page was written."""
    pages = []
    options = argparse.Namespace(
        data_dir=data_dir, jobs=jobs, smoke=smoke, tables_only=tables_only, to=None
    )
    status = run_grid(options, found, lambda *_: pages.append(1))
    return status, len(pages)
