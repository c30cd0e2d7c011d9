"""Compare every original network that there is a recording of with ours: results/parity.csv.

Examples:
  python experiments/parity.py --reference ../shared/reference
  python experiments/parity.py --reference ../shared/reference --to elsewhere
"""

import argparse
import csv
import pathlib
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from cells import machine_columns, markdown_table

from keras_audio.files import write_csv
from keras_audio.quiet import import_tensorflow

# Of any output, absolute: rounding of 32-bit numbers.
TOLERANCE = 1e-5
# The file, the network in it, and the recording of what the original answered.
ORIGINALS = (
    ("m34_res.h5", "m34_res_rb6", "m34_res_io.npz"),
    ("two_path_1b.h5", "two_path_resnet", "two_path_1b_io.npz"),
    *((f"binaural_{network}.pt", f"binaural_{network}", "binaural_io.npz") for network in "abcd"),
)
FILE = "parity.csv"
COLUMNS = (
    *("file", "model", "output", "shape", "absolute", "relative", "tolerance"),
    *("hardware", "backend", "versions", "commit", "command"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write; 1 if a difference is above the tolerance."""
    options = parse(arguments)
    import_tensorflow()
    try:
        rows = list(measure(options.reference))
    except ValueError as error:
        print(f"parity: {error}", file=sys.stderr)
        return 2
    write_csv(options.to / FILE, COLUMNS, rows)
    print(*table(rows), options.to / FILE, sep="\n")
    beyond = [row for row in rows if not float(row["absolute"]) <= TOLERANCE]
    for row in beyond:
        print(f"above {TOLERANCE:g}: {row['output']} of {row['file']}", file=sys.stderr)
    return int(bool(beyond))


def measure(reference: pathlib.Path) -> Iterable[dict[str, Any]]:
    """The rows of parity.csv, which name the folder `reference` wherever it is."""
    from keras_audio.evaluation.parity import measure_parity
    from keras_audio.training.environment import describe_environment

    machine = machine_columns(describe_environment())
    for file, model, recording in ORIGINALS:
        for row in measure_parity(reference / file, model, reference / recording).rows:
            yield {
                "file": file,
                "model": model,
                "output": row.output,
                "shape": "x".join(map(str, row.shape)),
                "absolute": f"{row.absolute:.2g}",
                "relative": f"{row.relative:.2g}",
                "tolerance": f"{TOLERANCE:g}",
                **machine,
                "command": f"keras-audio parity reference/{file} reference/{recording} "
                f"--as {model} --tolerance {TOLERANCE:g}",
            }


def table(rows: Iterable[dict[str, Any]]) -> list[str]:
    """The rows as lines of Markdown, for the pages."""
    titles = ("original", "network", "output", "shape", "largest absolute", "largest relative")
    columns = ("file", "model", "output", "shape", "absolute", "relative")
    lines = [[row[name] for name in columns] for row in rows]
    return markdown_table(titles, [[f"`{file}`", f"`{model}`", *_] for file, model, *_ in lines])


def read_rows(path: pathlib.Path) -> list[dict[str, str]]:
    """The rows that were written."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", type=pathlib.Path, required=True, metavar="DIR")
    parser.add_argument("--to", type=pathlib.Path, default=pathlib.Path("results"), metavar="DIR")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
