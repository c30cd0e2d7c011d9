"""Options that verbs of the command line share, and what they may be."""

import argparse
import math
import re

from keras_audio.recipes import list_recipes


def count(text: str) -> int:
    """Parse a whole number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, got {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """Parse a duration of an hour at most."""
    try:
        duration = float(text)
    except ValueError:
        duration = 0.0
    if not 0 < duration <= 3600:
        raise argparse.ArgumentTypeError(f"expected seconds up to 3600, got {text!r}")
    return duration


def rate(text: str) -> float:
    """Parse a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def size(text: str) -> int:
    """Parse a number of bytes, such as 512MB."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?)B", text, re.ASCII | re.IGNORECASE)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected a size such as 512MB or 2GB, got {text!r}")
    return int(float(match[1]) * 1000 ** " KMGT".index(match[2].upper() or " "))


def unknown_weight(text: str) -> float | str:
    """Parse a weight of the unknown class, or the word `tune`."""
    if text == "tune":
        return text
    try:
        return rate(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(
            f"expected a number above 0 or tune, got {text!r}"
        ) from error


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Add `--data-dir`, which verbs that read records share."""
    parser.add_argument("--data-dir", default="data", metavar="DIR", help="where records are kept")


def add_recipe(parser: argparse.ArgumentParser, start: str) -> None:
    """Add the recipe and `--init-from`, which verbs that train share.

    Args:
        parser: The verb's.
        start: What more there is to say of the weights to begin with.
    """
    parser.add_argument(
        "recipe", nargs="?", help=f"one of {', '.join(list_recipes())} (free with --init-from)"
    )
    parser.add_argument(
        "--init-from",
        metavar="RUN",
        help=f"start from the weights of a run or a .keras file, all but the last layer; {start}",
    )


def add_dataset(parser) -> None:
    """Add `--dataset` and `--fold`, to a parser or a group of its options."""
    parser.add_argument("--dataset", metavar="NAME", help="a data set (default: the recipe's)")
    parser.add_argument(
        "--fold", type=int, metavar="K", help="the fold to hold out (default: 1, or the recipe's)"
    )


def add_settings(parser, where: str) -> None:
    """Add `--seed` and `--set`, to a parser or a group of its options.

    Args:
        parser: The parser or group.
        where: Where the fields are listed.
    """
    parser.add_argument("--seed", type=int, metavar="S", help="draws weights and order (default 0)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help=f"vary the recipe ({where})",
    )
