"""The list of files missing from records: in metadata.json, and beside it when it is long."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from keras_audio.files import write_text

# More would make metadata.json long, which every reader reads, and a message unreadable.
LISTED = 1000
_FILE = "missing.txt"


def write_missing(folder: pathlib.Path, missing: Sequence[str]) -> list[str]:
    """Write what is missing beside the records if it is much; gives what metadata.json lists."""
    if len(missing) > LISTED:
        write_text(folder / _FILE, "".join(f"{line}\n" for line in missing))
    return list(missing[:LISTED])


def read_missing(folder: pathlib.Path, metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """What is missing from the records in a folder with that metadata.

    Raises:
        KeyError: If the metadata is of something else.
    """
    if (whole := folder / _FILE).exists():
        # Not splitlines: a file may be called by some of the characters at which that splits.
        return tuple(whole.read_text(encoding="utf-8").removesuffix("\n").split("\n"))
    return tuple(metadata["missing"])


def listed(missing: Sequence[str], folder: pathlib.Path) -> list[str]:
    """What is missing from the records in a folder, as lines, of which the last may stand for more.

    Example:
        >>> listed(["a.wav: there is no such file"], pathlib.Path("records"))
        ['a.wav: there is no such file']
    """
    more = len(missing) - LISTED
    return [*missing[:LISTED], *([f"{more} more, all in {folder / _FILE}"] if more > 0 else [])]


def shortened(missing: Sequence[str]) -> str:
    """What is missing, as part of a sentence.

    Example:
        >>> shortened(["a.wav: it is empty (0 bytes)", "b.wav: there is no such file"])
        'a.wav: it is empty (0 bytes); b.wav: there is no such file'
    """
    more = f"; and {len(missing) - LISTED} more" if len(missing) > LISTED else ""
    return "; ".join(missing[:LISTED]) + more
