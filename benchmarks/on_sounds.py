"""Benchmarks that begin with sound files: ESC-10's, or generated ones."""

import argparse
import pathlib
import sys
import tempfile
from collections.abc import Callable, Mapping

from targets import Target
from timing import in_turn, write_results

from data_prep.registry import find_dataset
from data_prep.toy_sounds import write_toy_sounds

SOURCE = "folder of ESC-10; default: toy sounds, generated"
Rates = Mapping[str, Callable[[], float]]


def measure(
    options: argparse.Namespace,
    title: str,
    start: Callable[[str, pathlib.Path, pathlib.Path], tuple[Rates, str]],
    compare: Callable[[dict[str, list[float]]], tuple[list[Target], dict[str, list[float]]]],
) -> int:
    """Measure, print, and write the files; the exit status.

    Args:
        options: With `source`, the folder of ESC-10, or None for generated sounds.
        title: The heading.
        start: Of the data set's name, its source and a folder for files, gives clips a second by
            name, and a text on what it is.
        compare: Of what was measured, gives what was asked, and the ratios nothing was asked of.
    """
    dataset = "toy_sounds" if options.source is None else "esc10"
    try:
        with tempfile.TemporaryDirectory() as folder:
            work = pathlib.Path(folder)
            rates, about = start(dataset, options.source or write_toy_sounds(work / "toys"), work)
            values = in_turn(rates, options.repeats)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    targets, ratios = compare(values)
    # Toy figures do not take the place of those on real sounds.
    toy = "_toy_sounds" if dataset == "toy_sounds" else ""
    write_results(
        options.to / f"{options.name}{toy}",
        title,
        f"Medians of {options.repeats} rounds. {dataset}: {about}",
        {"clips/s": values, "ratio": ratios},
        targets=targets,
    )
    return 0


def list_files(dataset: str, source: pathlib.Path) -> list[str]:
    """The sound files of a data set."""
    listed = find_dataset(dataset).list_clips(source)
    return [str(listed.root / clip.file) for clip in listed.clips]
