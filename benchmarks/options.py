"""The command lines of benchmarks: what all of them can be told, and how it is checked."""

import argparse
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any


def new_parser(about: str, *, name: str, repeats: int, quick: str) -> argparse.ArgumentParser:
    """Make a parser with the options that all benchmarks have.

    Args:
        about: The script's docstring.
        name: Of its files.
        repeats: Rounds.
        quick: What `--quick` measures.
    """
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=repeats, help=f"rounds; default {repeats}")
    parser.add_argument("--quick", action="store_true", help=f"{quick}: to try the script")
    parser.add_argument("--name", default=name, help=f"of the files; default {name}")
    parser.add_argument("--to", type=pathlib.Path, default=pathlib.Path("results/benchmarks"))
    return parser


def parsed(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    quick: Mapping[str, Any],
    least_one: Sequence[str] = (),
) -> argparse.Namespace:
    """Parse; what is wrong with a number is said in one sentence, and ends the script.

    Args:
        parser: Of `new_parser`.
        arguments: None for those of the command line.
        quick: Values of options with `--quick`, whose files get a name of their own.
        least_one: Options besides `--repeats` that are to be 1 at least, where they are given.
    """
    options = parser.parse_args(arguments)
    if options.quick:
        vars(options).update(quick, name=f"{options.name}_quick")
    for name in ("repeats", *least_one):
        value = getattr(options, name)
        if value is not None and not value >= 1:
            parser.error(f"expected --{name.replace('_', '-')} of at least 1, not {value}")
    return options


def whole_numbers(text: str) -> list[int]:
    """Whole numbers such as 1,32."""
    found = [int(size) if size.isdecimal() else 0 for size in text.split(",")]
    if not all(found):
        raise argparse.ArgumentTypeError(f"numbers such as 1,32, not {text!r}")
    return found
