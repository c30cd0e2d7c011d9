"""All kinds of rows in the result files: one a recipe."""

import pathlib
from collections.abc import Iterator

import binaural_waveforms_tables
import erann_tables
import progressive_resizing_tables
import residual_blocks
import two_path_tables
from result_files import Kind

KINDS: dict[str, Kind] = {
    module.KIND.name: module.KIND
    for module in (
        residual_blocks,
        erann_tables,
        two_path_tables,
        binaural_waveforms_tables,
        progressive_resizing_tables,
    )
}


def result_files_of(kind: Kind, results: pathlib.Path) -> Iterator[tuple[str, pathlib.Path]]:
    """The data sets that there are result files of, as files name them, with the files."""
    for path in sorted(results.glob(f"{kind.name}_*.csv")):
        yield path.stem.removeprefix(f"{kind.name}_"), path
