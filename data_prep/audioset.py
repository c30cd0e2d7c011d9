"""AudioSet: two million clips of ten seconds from YouTube, each with some of 527 classes."""

import itertools
import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np
from tqdm import tqdm

from data_prep.audioset_tables import (
    CLASSES,
    LABELS,
    Table,
    check_classes,
    is_official,
    read_segments,
)
from data_prep.clips import Clip, ClipList, DatasetCard, walk
from keras_audio.audio import AUDIO_SUFFIXES

# By fold: the table of its clips, and how many the official one has.
TABLES = {
    1: ("eval_segments.csv", 20_371),
    2: ("balanced_train_segments.csv", 22_160),
    3: ("unbalanced_train_segments.csv", 2_041_789),
}
# By fold: its packs.
_PACKS = {
    1: "eval.h5",
    2: "balanced_train.h5",
    3: "unbalanced_train/unbalanced_train_part[0-9][0-9].h5",
}

CARD = DatasetCard(
    name="audioset",
    title="AudioSet",
    clips=sum(clips for _, clips in TABLES.values()),
    classes=len(LABELS),
    folds=1,
    licence="CC BY 4.0 (labels); the sounds belong to those who uploaded them",
    url="https://research.google.com/audioset/download.html (its tables; the sounds are YouTube's)",
    layout="eval_segments.csv, balanced_train_segments.csv and unbalanced_train_segments.csv, or "
    "some of them, and the clips: sound files Y<YTID>.wav or <YTID>.wav in any folder below, or "
    "packs waveforms/eval.h5, waveforms/balanced_train.h5 and "
    "waveforms/unbalanced_train/unbalanced_train_part00.h5 to part40.h5",
    labels=LABELS,
    sample_rate=32000,
    protocol="One official split: fold 1 is the evaluation set, the only one that can be held "
    "out, fold 2 the balanced and fold 3 the unbalanced training set; a table that is not there "
    "makes no fold. Clips of the evaluation set have 1 to 11 classes, the most frequent ones "
    "Music (5695 clips) and Speech (5324), the rarest one 59 clips. A clip's recording is its "
    "video, and no video is in two tables. Videos vanish: clips that are not there are counted, "
    "and no error.",
    fold_clips=tuple(clips for _, clips in TABLES.values()),
)

# PANNs keep packs and tables one folder deeper than the tables' own archive.
_PACK_FOLDERS = ("waveforms", "hdf5s/waveforms")
_TABLE_FOLDERS = ("", "metadata")
_FILE = re.compile(r"(Y?)([A-Za-z0-9_-]{11})(\.[A-Za-z0-9]+)", re.ASCII)
# What YouTube's sounds come in and libsndfile does not read.
_UNREADABLE = frozenset({".aac", ".m4a", ".mka", ".mkv", ".mp4", ".webm"})
# One for all clips, since there are two million of them.
_NO_ATTRIBUTES: Mapping[str, str] = {}

# A path without the id in it: what is before and what is behind.
_Around = tuple[str, str]
# A pack and a row in it.
_Row = tuple[str, int]


def list_clips(source: pathlib.Path) -> ClipList:
    """List the clips of the tables that are there: fold 1 tests, folds 2 and 3 train.

    Fold 1 is the evaluation set, fold 2 the balanced and fold 3 the unbalanced training set. A
    clip's id is that of its video, which is its source as well; it has the classes of the table.
    It is read from its own file where there is one, else from a pack. Clips that have neither are
    normal, since videos vanish: they are `absent`. What no table names is left aside.

    Args:
        source: The folder with the tables, in itself or in `metadata/`, and the clips below it.

    Raises:
        ValueError: If there is no table or no clip, a table is not as it was published or not
            whole, a video is in two of them, the classes are others than the official ones, or a
            pack is none or gives other classes than the table.
    """
    tables, notes = _read_tables(source)
    files, file_notes = _find_files(source, tables)
    rows, pack_notes = _find_rows(source, tables)
    clips, absent = _clips(tables, files, rows)
    if not clips:
        names = " or ".join(TABLES[fold][0] for fold in tables)
        raise ValueError(
            f"Expected clips of {names}, got none ({CARD.layout}). Received: source={source}"
        )
    for fold in sorted(tables.keys() - {clip.fold for clip in clips}):
        held_out = ", so that nothing can be held out" if fold == 1 else ""
        notes.append(f"none of the clips of {TABLES[fold][0]} is there{held_out}")
    del files, rows, tables  # A gigabyte, before another is needed.
    return ClipList(
        root=source,
        labels=LABELS,
        clips=clips,
        notes=(*notes, *file_notes, *pack_notes),
        multi_label=True,
        held_out_folds=(1,),
        absent=absent,
    )


def _read_tables(source: pathlib.Path) -> tuple[dict[int, Table], list[str]]:
    """Read the tables that are there, by fold; each video may be in one of them."""
    if classes := _find_table(source, CLASSES):
        check_classes(classes)
    tables, notes, labels_of = {}, [], {}
    for fold, (name, _) in TABLES.items():
        if path := _find_table(source, name):
            tables[fold] = read_segments(path, labels_of)
            if not is_official(path):
                notes.append(f"{name} is not the table that was published (another sha256)")
    if not tables:
        names = ", ".join(name for name, _ in TABLES.values())
        raise ValueError(
            f"Expected the folder of {CARD.title} with one of {names} in it ({CARD.layout}; from "
            f"{CARD.url}). Received: source={source}"
        )
    for (fold, table), (other, others) in itertools.combinations(tables.items(), 2):
        if shared := table.keys() & others.keys():
            raise ValueError(
                f"Expected every video in one table, got {len(shared)} in {TABLES[fold][0]} and "
                f"{TABLES[other][0]} ({min(shared)} is one). Received: source={source}"
            )
    return tables, notes


def _find_table(source: pathlib.Path, name: str) -> pathlib.Path | None:
    paths = (source / folder / name for folder in _TABLE_FOLDERS)
    return next((path for path in paths if path.is_file()), None)


def _find_files(
    source: pathlib.Path, tables: Mapping[int, Table]
) -> tuple[dict[str, _Around], list[str]]:
    """Look for the clips' own files; folders are read, no file is asked after one by one."""
    found: dict[str, _Around] = {}
    again = unlisted = unreadable = 0
    with tqdm(desc="files", unit=" files", delay=2, leave=False, disable=None) as bar:
        for place, names in walk(source):
            folder = pathlib.Path(place).relative_to(source).as_posix()
            folder = "" if folder == "." else f"{folder}/"
            forms: dict[_Around, _Around] = {}  # so that a folder's files share theirs
            for name in names:
                match = _FILE.fullmatch(name)
                if match is None:
                    continue
                before, video, suffix = match.groups()
                readable = suffix.lower() in AUDIO_SUFFIXES
                if not readable and suffix.lower() not in _UNREADABLE:
                    continue
                if not any(video in table for table in tables.values()):
                    unlisted += 1
                elif not readable:
                    unreadable += 1
                elif video in found:
                    again += 1
                else:
                    around = (folder + before, suffix)
                    found[video] = forms.setdefault(around, around)
            bar.update(len(names))
    notes = {
        "files of clips that no table names, left aside": unlisted,
        f"files in formats that cannot be read ({', '.join(sorted(_UNREADABLE))})": unreadable,
        "files of clips that have another one already, left aside": again,
    }
    return found, [f"{note}: {count}" for note, count in notes.items() if count]


def _find_rows(
    source: pathlib.Path, tables: Mapping[int, Table]
) -> tuple[dict[str, _Row], list[str]]:
    """Look for the clips in the packs of their tables, whose classes have to be the same."""
    packs = [
        (fold, path)
        for fold in tables
        for folder in _PACK_FOLDERS
        for path in sorted((source / folder).glob(_PACKS[fold]))
    ]
    if not packs:
        return {}, []
    # HDF5 takes as long to import as everything else here.
    from data_prep.packs import read_pack_index

    found: dict[str, _Row] = {}
    again = unlisted = 0
    for fold, path in tqdm(packs, "packs", unit=" packs", delay=2, leave=False, disable=None):
        file = path.relative_to(source).as_posix()
        videos, targets = read_pack_index(path, len(LABELS))
        listed = [row for row, video in enumerate(videos) if video in tables[fold]]
        unlisted += sum(map(bool, videos)) - len(listed)
        _check_targets(path, targets, {row: tables[fold][videos[row]] for row in listed}, videos)
        for row in listed:
            if found.setdefault(videos[row], (file, row)) != (file, row):
                again += 1
    notes = {
        "rows of packs that their table does not name, left aside": unlisted,
        "rows of packs with clips that another row has already, left aside": again,
    }
    return found, [f"{note}: {count}" for note, count in notes.items() if count]


def _check_targets(
    path: pathlib.Path,
    targets: np.ndarray,
    labels_of: Mapping[int, tuple[str, ...]],
    videos: Sequence[str],
) -> None:
    """Refuse a pack that was made with other classes, or another order of them, than the table."""
    index_of = {label: index for index, label in enumerate(LABELS)}
    wanted = np.zeros_like(targets)
    counts = [len(labels) for labels in labels_of.values()]
    columns = [index_of[label] for labels in labels_of.values() for label in labels]
    wanted[np.repeat(list(labels_of), counts).astype(int), columns] = True
    rows = np.array(list(labels_of), int)
    wrong = rows[(wanted[rows] != targets[rows]).any(axis=1)]
    if len(wrong):
        row = wrong[0]
        other = " | ".join(LABELS[index] for index in np.flatnonzero(targets[row])) or "none"
        raise ValueError(
            f"Expected the table's classes {' | '.join(labels_of[row])} for {videos[row]}, got "
            f"{other} in row {row}, and {len(wrong)} such rows in all. Received: path={path}"
        )


def _clips(
    tables: Mapping[int, Table], files: Mapping[str, _Around], rows: Mapping[str, _Row]
) -> tuple[tuple[Clip, ...], tuple[str, ...]]:
    """The clips, and the ids of those that are in no file and no pack."""
    clips, absent = [], []
    for fold, table in tables.items():
        for video, labels in table.items():
            if around := files.get(video):
                file, row = video.join(around), None
            elif (place := rows.get(video)) is not None:
                file, row = place
            else:
                absent.append(video)
                continue
            clips.append(Clip(video, file, labels, fold, video, _NO_ATTRIBUTES, row))
    return tuple(clips), tuple(absent)
