"""What the benchmarks were asked to reach, as docs/performance.md shows it."""

import pathlib
import sys

BENCHMARKS = pathlib.Path(__file__).resolve().parent.parent / "benchmarks"


def lines(folder: pathlib.Path) -> list[str]:
    """The tables of all targets, of the .csv files in a folder."""
    # Behind this folder, which has modules of the same names.
    sys.path.append(str(BENCHMARKS))
    from targets import read_targets, summary

    return ["", *summary(read_targets(folder), "../results/benchmarks/").splitlines(), ""]
