"""What options of the command line may be: parsed, or refused in a sentence."""

import argparse
import math


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
