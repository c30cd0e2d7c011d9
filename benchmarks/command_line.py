"""How long the command line takes: its help, one file, a hundred files.

Every measurement is a fresh process of `keras-audio`, from its start to its end, and all are taken
in turn, once a round. The networks are new, exported as a SavedModel; time does not depend on what
they learned. The sounds are generated ones of five seconds, or real ones of `--source`.

Examples:
  python benchmarks/command_line.py
  python benchmarks/command_line.py --source ESC-10 --name command_line_esc10
  python benchmarks/command_line.py --quick --to quick-benchmarks
"""

import argparse
import functools
import os
import pathlib
import sys
import tempfile
from collections.abc import Sequence

from options import new_parser, parsed
from prediction_inputs import export, write_sounds
from processes import CLI, alone, seconds_of
from targets import Target
from timing import in_turn, over, write_results

# A light network, which a newcomer would begin with, and a heavy one.
LIGHT, HEAVY = "m5", "erann_1_3"
HELP, VERB_HELP = "--help", "predict --help"


def main() -> int:
    """Measure, print, and write the files."""
    options = parse()
    networks = [LIGHT] if options.quick else [LIGHT, HEAVY]
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        files = alone(write_sounds, work, options.files, options.seconds, options.source)
        exports = {name: alone(export, name, work) for name in networks}
        commands = {HELP: ["--help"], VERB_HELP: ["predict", "--help"]}
        for name, path in exports.items():
            commands[one(name)] = ["predict", path, files[0]]
            commands[many(name, options.files)] = ["predict", path, *files]
        measures = {
            name: functools.partial(seconds_of, [*CLI, *command])
            for name, command in commands.items()
        }
        seconds_of([*CLI, *commands[one(LIGHT)]])  # from now on the system has read all programs
        busy = os.getloadavg()[0]
        values = in_turn(measures, options.repeats)
    ratios = {name: over(values, many(name, options.files), one(name)) for name in networks}
    what = f"{options.files} files over one, predict"
    targets = [
        Target(HELP, values[HELP], at_most=0.5, unit="s"),
        Target(VERB_HELP, values[VERB_HELP], at_most=0.5, unit="s"),
        *(Target(one(name), values[one(name)], at_most=8, unit="s") for name in networks),
        Target(f"{what} with {LIGHT}", ratios[LIGHT], at_most=3),
    ]
    groups = {
        "s": {name: values[name] for name in [many(name, options.files) for name in networks]},
        "ratio": {f"{what} with {name}": ratios[name] for name in networks if name != LIGHT},
    }
    sounds = "Real files" if options.source else f"Generated files of {options.seconds:g} s"
    about = (
        f"A fresh process of `keras-audio` each, {options.repeats} rounds; medians. {sounds}, "
        "SavedModels of new networks. The files were read before, so that the system may have them "
        f"in its cache. Load average of the machine when the rounds began: {busy:.1f}."
    )
    title = "The command line"
    write_results(options.to / options.name, title, about, groups, targets=targets)
    return 0


def one(network: str) -> str:
    """The prediction of one file."""
    return f"predict one file with {network}"


def many(network: str, files: int) -> str:
    """The prediction of many files."""
    return f"predict {files} files with {network}"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    quick = "10 files, the light network, 1 round"
    parser = new_parser(__doc__, name="command_line", repeats=3, quick=quick)
    parser.add_argument("--files", type=int, default=100, help="default 100")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a generated file; default 5")
    parser.add_argument("--source", type=pathlib.Path, help="a folder of real sounds")
    return parsed(parser, arguments, {"files": 10, "repeats": 1}, ["files", "seconds"])


if __name__ == "__main__":
    sys.exit(main())
