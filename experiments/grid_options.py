"""The options by which experiments are asked for a grid, as argparse reads them."""

import argparse
import pathlib
import re
from collections.abc import Callable, Sequence


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every experiment has."""
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs"))
    parser.add_argument("--to", type=pathlib.Path, default=pathlib.Path("results"))
    parser.add_argument(
        "--jobs", type=_count, default=1, metavar="N", help="cells at a time, which share the cores"
    )
    parser.add_argument("--smoke", action="store_true", help="a few steps of each cell")
    parser.add_argument("--tables-only", action="store_true", help="train nothing")


def numbers(text: str) -> list[int]:
    """Read whole numbers from 0, such as `1-5` or `0,1,2`, for argparse.

    Example:
        >>> numbers("1-3,7")
        [1, 2, 3, 7]
    """
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise argparse.ArgumentTypeError(f"numbers such as 1-5 or 1,3, not {text!r}")
        found += range(first, last + 1)
    return found


def folds(text: str) -> list[int]:
    """Read the numbers of folds, which begin with 1, for argparse."""
    try:
        found = numbers(text)
    except argparse.ArgumentTypeError:
        found = [0]
    if 0 in found:
        raise argparse.ArgumentTypeError(f"folds such as 1-5 or 1,3, not {text!r}")
    return found


def numbers_text(numbers: Sequence[int]) -> str:
    """Numbers as the options take them.

    Example:
        >>> numbers_text([1, 2, 3]), numbers_text([1, 3])
        ('1-3', '1,3')
    """
    if len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ",".join(map(str, numbers))


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"a number from 1, not {text!r}")
    return int(text)


def names(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Make a reader of names with commas between, for argparse."""

    def parse(text: str) -> list[str]:
        for name in text.split(","):
            if name not in known:
                raise argparse.ArgumentTypeError(f"one of {', '.join(known)}, not {name!r}")
        return text.split(",")

    return parse


def axes_options(folds: Sequence[int], seeds: Sequence[int]) -> list[str]:
    """The options that ask for some folds and seeds.

    Example:
        >>> axes_options([1, 2, 3], [0])
        ['--folds', '1-3', '--seeds', '0']
    """
    return ["--folds", numbers_text(folds), "--seeds", numbers_text(seeds)]
