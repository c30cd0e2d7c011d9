"""What a data set is before it is decoded: a card, and a checked list of its clips."""

import collections
import csv
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

# Of the records' format, and the name of the folder they lie in.
RECORDS_VERSION = "1.0.0"


@dataclasses.dataclass(frozen=True)
class DatasetCard:
    """What a user wants to know of a data set before preparing it.

    Attributes:
        name: What `prepare` calls it; `family/member` for one of several of a kind.
        title: Its full name.
        clips: How many clips it has; `None` if that depends on the source.
        classes: How many classes; `None` if that depends on the source.
        folds: How many folds for cross-validation; `None` if that depends on the source.
        licence: The terms it comes under.
        url: Where to get it; empty if there is nothing to get.
        layout: What the source folder has to look like.
        labels: The class names in their official order; empty if they depend on the source.
        sample_rate: The rate in Hz that its clips are prepared at unless another is asked for.
        channels: The number of channels that they are prepared with, likewise.
        resampling: How they get that rate, likewise; see `keras_audio.audio.read_audio`.
        protocol: What the folds and recordings are, in a few sentences.
        fold_clips: How many clips fold 1, 2, ... has; empty if that depends on the source.
        class_clips: How many clips each class has in the order of `labels`; empty if nobody knows.
    """

    name: str
    title: str
    clips: int | None
    classes: int | None
    folds: int | None
    licence: str
    url: str
    layout: str
    labels: tuple[str, ...]
    sample_rate: int
    channels: int = 1
    resampling: str = "soxr"
    protocol: str = ""
    fold_clips: tuple[int, ...] = ()
    class_clips: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Dataset:
    """How a data set gets from its source to a list of clips.

    Attributes:
        card: What it is.
        list_clips: Lists the clips of a source folder (or table).
        generate: Writes a source into a folder, for a data set that is generated.
    """

    card: DatasetCard
    list_clips: Callable[[pathlib.Path], "ClipList"]
    generate: Callable[[pathlib.Path], Any] | None = None


@dataclasses.dataclass(frozen=True, slots=True)  # Slots: AudioSet has two million of them.
class Clip:
    """One sound file, or one row of a file that holds many, and what is known of it.

    Attributes:
        clip_id: Unique in the data set and the same wherever it lies.
        file: The file, relative to the source folder, with forward slashes.
        labels: The names of its classes: exactly one, unless the data set is multi-label.
        fold: The fold it is held out in, from 1.
        source: The recording it was cut from; clips that share one are never separated.
        attributes: What else is known of it by name, such as its device and city: the same names
            for all clips of a data set.
        row: The row of the HDF5 pack `file` that holds the clip, from 0; `None` for a sound file
            of its own.
    """

    clip_id: str
    file: str
    labels: tuple[str, ...]
    fold: int
    source: str
    attributes: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)
    row: int | None = None

    @property
    def label(self) -> str:
        """The only class of a clip of a single-label data set."""
        return self.labels[0]


@dataclasses.dataclass(frozen=True)
class ClipList:
    """A data set's clips, checked: ids are unique, labels known, no source is in two folds.

    Attributes:
        root: The folder that the clips' files are relative to.
        labels: The class names in order.
        clips: The clips, by fold and id.
        missing: Files that ought to be there but that nothing names, one sentence each.
        notes: What a user should be told, such as files left aside.
        multi_label: Whether a clip may have several classes, or none.
        groups: For reports: of an attribute, the values of each group by the group's name.
        held_out_folds: The folds that may be held out; none for any of them.
        unknown_label: The class of everything that is none of the others, where there is one.
        absent: Ids of clips that the tables list and the source lacks, where that is normal:
            counted, and no problem.
    """

    root: pathlib.Path
    labels: tuple[str, ...]
    clips: tuple[Clip, ...]
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    multi_label: bool = False
    groups: Mapping[str, Mapping[str, Sequence[str]]] = dataclasses.field(
        default_factory=dict, hash=False
    )
    held_out_folds: tuple[int, ...] = ()
    unknown_label: str | None = None
    absent: tuple[str, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "clips", tuple(sorted(self.clips, key=_order)))
        _check_labels(self.root, self.labels)
        _check_clips(self.root, self.labels, self.clips, self.multi_label)
        _check_attributes(self.root, self.clips)

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds that have clips, ascending."""
        return tuple(sorted({clip.fold for clip in self.clips}))

    @property
    def attributes(self) -> tuple[str, ...]:
        """The names of the clips' attributes."""
        return tuple(self.clips[0].attributes)

    def fingerprint(self) -> str:
        """Hash labels, clips and file sizes, to tell whether a source is still the same one.

        The place of the folder does not count, so that a data set can be moved.
        """
        digest = hashlib.blake2b(digest_size=16)
        for label in self.labels:
            digest.update(f"{label}\n".encode())
        packs: dict[str, int] = {}  # Thousands of clips share one, whose size is asked for once.
        for clip in self.clips:
            if clip.row is None:
                size = _size(self.root, clip.file)
            elif (size := packs.get(clip.file)) is None:
                size = packs[clip.file] = _size(self.root, clip.file)
            classes = clip.labels if self.multi_label else clip.label
            row = (clip.clip_id, clip.file, classes, clip.fold, clip.source, size)
            if clip.attributes:  # Others have the fingerprints that they had before there were any.
                row += (dict(clip.attributes),)
            if clip.row is not None:
                row += (clip.row,)
            digest.update(f"{row!r}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def read_table(
    path: pathlib.Path,
    columns: Sequence[str],
    optional: Collection[str] = (),
    delimiter: str = ",",
) -> Iterator[tuple[str, dict[str, str]]]:
    """Read a CSV strictly: these columns by these names, the same number of fields in every row.

    Args:
        path: The file, UTF-8, with a header line; lines may end in any of the usual ways.
        columns: The columns in their order.
        optional: Those of `columns` that may be absent.
        delimiter: What stands between two fields.

    Yields:
        Where the row stands ("line 7 of FILE"), and its fields by column.

    Raises:
        ValueError: If the file is missing or not such a CSV; the message names file and line.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True, delimiter=delimiter)
            try:
                header = next(reader, None)
                _check_header(path, header, columns, optional, delimiter)
                for row in reader:
                    where = f"line {reader.line_num} of {path}"
                    if not row:
                        continue
                    if len(row) != len(header):
                        raise ValueError(
                            f"Expected {len(header)} fields in {where}, got {len(row)}. "
                            f"Received: row={delimiter.join(row)!r}"
                        )
                    yield where, dict(zip(header, row, strict=True))
            except csv.Error as error:
                line = max(1, reader.line_num)
                raise ValueError(
                    f"Expected fields with {delimiter!r} between them, got {error} in line {line}. "
                    f"Received: path={path}"
                ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"Expected UTF-8 text ({error}). Received: path={path}") from error
    except OSError as error:
        raise ValueError(
            f"Expected a CSV file with the columns {','.join(columns)}, "
            f"got {error.strerror}. Received: path={path}"
        ) from error


def read_header(path: pathlib.Path) -> list[str]:
    """Return the columns that a CSV names, none if that cannot be told: `read_table` says why."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def whole_number(text: str, where: str, column: str, smallest: int, largest: int) -> int:
    """Return `text` as an int within the bounds, or raise ValueError that says where it stands."""
    # int() alone would take "1_0", " 1" and digits of other scripts.
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        number = None
    else:
        number = int(text)
    if number is None or not smallest <= number <= largest:
        raise ValueError(
            f"Expected a whole number from {smallest} to {largest} in {where}. "
            f"Received: {column}={text!r}"
        )
    return number


def relative_file(text: str, where: str, column: str = "filename") -> str:
    """Return the path of a table as a clean relative one, or raise ValueError if it leaves home."""
    parts = pathlib.PurePosixPath(text).parts
    # A backslash or a drive would be harmless here and climb out on another system.
    if (
        not parts
        or ".." in parts
        or parts[0].startswith("/")
        or "\\" in text
        or text != text.strip()
        or any(ord(character) < 32 for character in text)
        or pathlib.PureWindowsPath(text).drive
    ):
        raise ValueError(
            f"Expected a file inside the source folder, relative to it, in {where}. "
            f"Received: {column}={text!r}"
        )
    return "/".join(parts)


def find_root(source: pathlib.Path, table: str, inner: str, card: DatasetCard) -> pathlib.Path:
    """Find the folder that holds `table`: the source itself, or the folder `inner` in it."""
    for root in (source, source / inner):
        if (root / table).is_file():
            return root
    raise ValueError(
        f"Expected the folder of {card.title} with {table} in it ({card.layout}; from {card.url}). "
        f"Received: source={source}"
    )


def walk(folder: pathlib.Path) -> Iterator[tuple[str, list[str]]]:
    """Go through a folder and those below it, in order, without what is hidden.

    Links are followed, each folder once.

    Yields:
        The path of a folder, and the names of the files in it.

    Raises:
        OSError: If one of them cannot be read.
    """
    seen = set()
    for place, folders, files in os.walk(folder, onerror=_raise, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # A link back up would otherwise be followed for ever.
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield place, sorted(name for name in files if not name.startswith("."))


def _raise(error: OSError) -> None:
    raise error  # os.walk would pass over a folder that cannot be read.


def _check_header(
    path: pathlib.Path,
    header: list[str] | None,
    columns: Sequence[str],
    optional: Collection[str],
    delimiter: str,
) -> None:
    required = [name for name in columns if name not in optional]
    known = header is not None and set(required) <= set(header) <= set(columns)
    if known and len(set(header)) == len(header):
        in_order = [name for name in columns if name in header]
        if header == in_order or optional:
            return
    between = delimiter.replace("\t", "\\t")
    expected = between.join(required)
    expected += "".join(f"[{between}{name}]" for name in columns if name in optional)
    shown = "an empty file"
    if header is not None:
        shown = f"the first line {delimiter.join(header)[:200]!r}"
    raise ValueError(f"Expected the header {expected}, got {shown}. Received: path={path}")


def _check_labels(root: pathlib.Path, labels: Sequence[str]) -> None:
    if len(labels) < 2:
        raise ValueError(
            f"Expected at least two classes, got {len(labels)} ({', '.join(labels) or 'none'}). "
            f"Received: source={root}"
        )
    for label in labels:
        if not label.strip() or label != label.strip() or not label.isprintable():
            raise ValueError(
                f"Expected class names of printable characters without spaces around them, got "
                f"{label!r}. Received: source={root}"
            )
    if len(set(labels)) != len(labels):
        raise ValueError(f"Expected class names that differ, got {labels}. Received: source={root}")


def _check_clips(
    root: pathlib.Path, labels: Sequence[str], clips: Sequence[Clip], multi_label: bool
) -> None:
    if not clips:
        raise ValueError(f"Expected sound files, got none. Received: source={root}")
    known = set(labels)
    ids, fold_of = collections.Counter(), {}
    for clip in clips:
        ids[clip.clip_id] += 1
        if len(clip.labels) != 1 and not multi_label:
            raise ValueError(
                f"Expected one class for {clip.file}, got {', '.join(clip.labels) or 'none'}. "
                f"Received: source={root}"
            )
        for label in clip.labels:
            if label not in known:
                raise ValueError(
                    f"Expected one of the classes {', '.join(labels)} for {clip.file}, got "
                    f"{label!r}. Received: source={root}"
                )
        fold = fold_of.setdefault(clip.source, clip.fold)
        if fold != clip.fold:
            raise ValueError(
                f"Expected every source recording within one fold, got {clip.source!r} in folds "
                f"{fold} and {clip.fold} ({clip.file}). Received: source={root}"
            )
    clip_id, count = ids.most_common(1)[0]
    if count > 1:
        raise ValueError(
            f"Expected every clip once, got {clip_id!r} {count} times. Received: source={root}"
        )


def _check_attributes(root: pathlib.Path, clips: Sequence[Clip]) -> None:
    names = list(clips[0].attributes)
    for clip in clips:
        if list(clip.attributes) != names:
            raise ValueError(
                f"Expected the attributes {', '.join(names) or 'none'} for every clip, got "
                f"{', '.join(clip.attributes) or 'none'} for {clip.file}. Received: source={root}"
            )


def _size(root: pathlib.Path, file: str) -> int:
    try:
        return os.path.getsize(f"{root}/{file}")
    except OSError:
        return -1


def _order(clip: Clip) -> tuple[int, str]:
    return clip.fold, clip.clip_id
