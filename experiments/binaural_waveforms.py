"""Table 1 of Pajusco et al. 2020 in form: tiny networks on waveforms, pruned and halved.

Each cell is a run folder `<runs>/binaural_waveforms/<network>/<data set>-fold<k>-seed<s>`, settings
that are not usual behind the network, trained, evaluated and compressed in processes of their own.
The compression lies in the folder `compressed` of the run, its settings likewise behind the name.
What is finished is not run again, so the same command goes on where it was stopped. Then
`binaural_waveforms_<data set>.csv`, with a row a run and stage, `.md`, with the tables, and `.svg`,
accuracy against bytes, are written from all run folders of that data set, whichever call made them.
Where a data set is not prepared, the page says so, and has the report's numbers.

Networks are pruned as the report prunes them (section 4.1): A and C by accuracy=0.873, B by
drop=0.01, D by size=500KB; A and B a tenth of the kernels a round, C and D a fifth. On other data
sets, toy scenes aside, all are pruned by drop=0.01.

Examples:
  python experiments/binaural_waveforms.py
  python experiments/binaural_waveforms.py --networks c,d --classifier --seeds 0,1,2
  python experiments/binaural_waveforms.py --dataset toy_scenes/3class --networks a --smoke
  python experiments/binaural_waveforms.py --dataset esc10 --networks b --set batch_size=16
  python experiments/binaural_waveforms.py --dataset esc10 --networks b --until size=40KB
  python experiments/binaural_waveforms.py --dataset esc10 --tables-only
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence

import binaural_waveforms_tables
import grid_options
import result_files
from binaural_waveforms_cells import (
    NETWORKS,
    PUBLISHED,
    CompressedCell,
    build_recipe,
    build_variant,
    read_runs,
)
from grid import expand, run_grid

from keras_audio.recipes import BinauralWaveforms
from keras_audio.training.compression_settings import Settings


def main() -> int:
    """Run what is missing, then write the tables."""
    options = parse()
    return run_grid(options, grid(options), write_page)


def grid(options: argparse.Namespace) -> list[CompressedCell]:
    """Each cell asked for, once."""
    recipes = [build_recipe(name, options.dataset, options.set) for name in options.networks]
    asked = compression_asked(options)
    variants = [build_variant(recipe, options.runs, asked) for recipe in recipes]
    return expand(variants, options.folds, options.seeds)


def write_page(options: argparse.Namespace, absent: str) -> None:
    """Write rows, tables and figure of all runs on a data set."""
    name, folder = options.dataset, options.runs / BinauralWaveforms.name
    rows = list(read_runs(folder, name))
    result_files.update(binaural_waveforms_tables.KIND, name, rows, options.to, absent)


def compression_asked(options: argparse.Namespace) -> dict:
    """The fields of the compression that were given."""
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(Settings)}
    return {name: value for name, value in given.items() if value is not None}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default=PUBLISHED, help="toy_scenes/3class, esc10...")
    parser.add_argument(
        "--networks", type=grid_options.names(NETWORKS), default=list(NETWORKS), help="such as a,b"
    )
    parser.add_argument(
        "--folds", type=grid_options.folds, help="such as 1-5 (default: all official ones)"
    )
    parser.add_argument("--seeds", type=grid_options.numbers, default=[0], help="such as 0,1,2")
    grid_options.add_options(parser)
    compression = parser.add_argument_group("compression, as of `keras-audio compress`")
    compression.add_argument("--rate", type=float)
    compression.add_argument("--until")
    for name in ("classifier", "scales", "deterministic"):
        compression.add_argument(f"--{name}", action=argparse.BooleanOptionalAction)
    compression.add_argument("--learning-rate", type=float)
    for name in ("epochs", "patience", "max-rounds"):
        compression.add_argument(f"--{name}", type=int)
    options = parser.parse_args(arguments)
    try:
        Settings(**compression_asked(options))
    except ValueError as error:
        parser.error(str(error))
    return options


if __name__ == "__main__":
    sys.exit(main())
