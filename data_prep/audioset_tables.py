"""AudioSet's tables: which videos, which seconds, which of the 527 classes."""

import collections
import hashlib
import itertools
import pathlib
import re

from tqdm import tqdm

from data_prep.clips import read_table
from data_prep.downloads import for_dataset

CLASSES = "class_labels_indices.csv"
_CLASS_COLUMNS = ("index", "mid", "display_name")
# That table, byte for byte: the order of the classes is that of their indices.
_OWN_CLASSES = pathlib.Path(__file__).parent / "audioset_classes.csv"

_COUNTS = ("num_ytids", "num_segs", "num_unique_labels", "num_positive_labels")
_HEADER = (
    "# Segments csv created (.+)",
    "# " + ", ".join(f"{name}=([0-9]{{1,9}})" for name in _COUNTS),
    "# YTID, start_seconds, end_seconds, positive_labels",
)
_ROW = re.compile(
    r'([A-Za-z0-9_-]{11}), ([0-9]+\.[0-9]{3}), ([0-9]+\.[0-9]{3}), "([^",]+(?:,[^",]+)*)"', re.ASCII
)
_AS_PUBLISHED = "as in the official table, byte for byte (spreadsheets ruin it)"

# The classes of each clip, by the id of its video.
Table = dict[str, tuple[str, ...]]


def read_classes(path: pathlib.Path) -> dict[str, str]:
    """Read the table of classes: the name of each by its machine id ("/m/09x0r"), in order.

    Raises:
        ValueError: If it is no such table, or its indices do not count from 0.
    """
    names = {}
    for where, row in read_table(path, _CLASS_COLUMNS):
        if row["index"] != str(len(names)) or row["mid"] in names:
            raise ValueError(
                f"Expected class {len(names)}, another one than those before, in {where}. "
                f"Received: row={','.join(row.values())!r}"
            )
        names[row["mid"]] = row["display_name"]
    return names


_NAME_OF = read_classes(_OWN_CLASSES)
# The names of the classes in their official order.
LABELS = tuple(_NAME_OF.values())
_INDEX_OF = {mid: index for index, mid in enumerate(_NAME_OF)}


def check_classes(path: pathlib.Path) -> None:
    """Raise ValueError if a table of classes is not the official one."""
    for index, (own, other) in enumerate(
        itertools.zip_longest(_NAME_OF.items(), read_classes(path).items(), fillvalue=("none", ""))
    ):
        if own != other:
            raise ValueError(
                f"Expected the official class {' '.join(own).strip()!r} of index {index}, got "
                f"{' '.join(other).strip()!r}. Received: path={path}"
            )


def is_official(path: pathlib.Path) -> bool:
    """Whether a table is, byte for byte, the published one of its name."""
    digests = {
        download.digest for download in for_dataset("audioset") if download.name == path.name
    }
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() in digests


def read_segments(path: pathlib.Path, labels_of: dict[str, tuple[str, ...]]) -> Table:
    """Read a table of clips, strictly as it was published.

    Args:
        path: The table.
        labels_of: The classes of each field of classes read so far; grows. Most of two million
            rows share theirs with others.

    Returns:
        The classes of each clip in the order of `LABELS`, by the id of its video.

    Raises:
        ValueError: If a line is not as in the official tables, or there are not as many rows,
            videos and classes as line 2 says; the message names the line.
    """
    try:
        with open(path, encoding="ascii") as file:
            counts = [_header(path, number, file.readline()) for number in (1, 2, 3)][1]
            rows = tqdm(
                file, path.name, counts["num_segs"], unit=" rows", delay=2, leave=False,
                disable=None,
            )  # fmt: skip
            table, number = {}, 3
            for number, line in enumerate(rows, start=4):
                video, labels = _row(path, number, line, labels_of)
                table[video] = labels
    except UnicodeDecodeError as error:
        raise ValueError(f"Expected ASCII text ({error}). Received: path={path}") from error
    _check_counts(path, counts, table, number - 3)
    return table


def _header(path: pathlib.Path, number: int, line: str) -> dict[str, int]:
    """Check one of the three lines above the rows; give the counts of the second."""
    form = _HEADER[number - 1]
    match = re.fullmatch(form, line.rstrip("\n"), re.ASCII)
    if match is None:
        shown = re.sub(r"\(.+?\)", "...", form)
        raise ValueError(
            f"Expected {shown!r}, {_AS_PUBLISHED}, in line {number} of {path}. "
            f"Received: line={line[:200]!r}"
        )
    return dict(zip(_COUNTS, map(int, match.groups()), strict=True)) if number == 2 else {}


def _row(
    path: pathlib.Path, number: int, line: str, labels_of: dict[str, tuple[str, ...]]
) -> tuple[str, tuple[str, ...]]:
    match = _ROW.fullmatch(line.rstrip("\n"))
    if match is None or float(match[2]) > float(match[3]):
        raise ValueError(
            'Expected a row like --4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/0bt9lr" (video, start, '
            f"end, classes), {_AS_PUBLISHED}, in line {number} of {path}. "
            f"Received: line={line[:200]!r}"
        )
    video, _, _, mids = match.groups()
    if (labels := labels_of.get(mids)) is None:
        chosen = mids.split(",")
        unknown = sorted(set(chosen) - _INDEX_OF.keys())
        if unknown or len(set(chosen)) != len(chosen):
            raise ValueError(
                f"Expected different ones of the {len(_NAME_OF)} classes in line {number} of "
                f"{path}{', got ' + unknown[0] if unknown else ''}. Received: line={line[:200]!r}"
            )
        indices = sorted(_INDEX_OF[mid] for mid in chosen)
        labels = labels_of[mids] = tuple(LABELS[index] for index in indices)
    return video, labels


def _check_counts(path: pathlib.Path, counts: dict[str, int], table: Table, rows: int) -> None:
    sizes = collections.Counter(table.values())
    found = (
        len(table),
        rows,
        len({label for labels in sizes for label in labels}),
        sum(len(labels) * count for labels, count in sizes.items()),
    )
    for (name, said), counted in zip(counts.items(), found, strict=True):
        if said != counted:
            raise ValueError(
                f"Expected a whole table, {name}={said} as line 2 says, got {counted}. "
                f"Received: path={path}"
            )
