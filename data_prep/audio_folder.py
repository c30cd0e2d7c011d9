"""Your own sounds: a folder with a subfolder a class, or a CSV that lists files and labels."""

import os
import pathlib
from collections.abc import Sequence

from data_prep.clips import (
    Clip,
    ClipList,
    DatasetCard,
    read_table,
    relative_file,
    whole_number,
)
from keras_audio.audio import AUDIO_SUFFIXES

CARD = DatasetCard(
    name="audio_folder",
    title="Your own sounds",
    clips=None,
    classes=None,
    folds=None,
    licence="yours",
    url="",
    layout="a folder with a subfolder a class, or a CSV with filename,label[,fold,source] whose "
    "files are relative to it",
    labels=(),
    sample_rate=44100,
)

_COLUMNS = ("filename", "label", "fold", "source")
_FOLDS = 5
_SEED = 0
_SHOWN = 10


def list_clips(source: pathlib.Path) -> ClipList:
    """List the clips of a folder or of a CSV, by name and without opening them.

    Classes are in the order of their names. Without a `fold` column there are five folds (fewer
    if a class has fewer recordings), assigned once and for all the same way: every class spread
    evenly, clips that share a `source` together. In a folder every file counts as a recording of
    its own: if yours are cut from longer ones, say so in the `source` column of a CSV.

    Args:
        source: The folder or the CSV.

    Raises:
        ValueError: If there are not two classes with two recordings each, or a row of the CSV is
            not as expected.
    """
    if source.is_dir():
        return _from_folder(source)
    return from_table(source)


def from_table(path: pathlib.Path, labels: Sequence[str] | None = None) -> ClipList:
    """List the clips of a CSV.

    Args:
        path: The CSV.
        labels: The classes in their order; `None` for those of the CSV by name.
    """
    files, names, folds, sources = [], [], [], []
    for where, row in read_table(path, _COLUMNS, optional=("fold", "source")):
        file = relative_file(row["filename"], where)
        if not row["label"].strip():
            raise ValueError(f"Expected a class in {where}. Received: label={row['label']!r}")
        if "source" in row and not row["source"].strip():
            raise ValueError(f"Expected a recording in {where}. Received: source={row['source']!r}")
        files.append(file)
        names.append(row["label"])
        sources.append(row.get("source", file))
        if "fold" in row:
            folds.append(whole_number(row["fold"], where, "fold", 1, 1000))
    if folds and len(set(folds)) < 2:
        raise ValueError(f"Expected at least two folds, got only {folds[0]}. Received: path={path}")
    return _clip_list(path.parent, path, labels, files, names, sources, folds)


def _from_folder(root: pathlib.Path) -> ClipList:
    files, names, aside = [], [], []
    for entry in sorted(root.iterdir()):
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            aside.append(entry.name)
            continue
        found = _walk(entry, root)
        sounds = [file for file in found if pathlib.PurePath(file).suffix.lower() in AUDIO_SUFFIXES]
        aside += sorted(set(found) - set(sounds)) if sounds else [f"{entry.name}/"]
        files += sounds
        names += [entry.name] * len(sounds)
    notes = ()
    if aside:
        shown = ", ".join(aside[:_SHOWN]) + (", ..." if len(aside) > _SHOWN else "")
        notes = (f"left aside, no sound file of a class: {len(aside)} ({shown})",)
    return _clip_list(root, root, None, files, names, files, [], notes)


def _clip_list(
    root: pathlib.Path,
    source: pathlib.Path,
    labels: Sequence[str] | None,
    files: list[str],
    names: list[str],
    sources: list[str],
    folds: list[int],
    notes: tuple[str, ...] = (),
) -> ClipList:
    labels = tuple(labels or sorted(set(names)))
    if not folds and len(labels) > 1:
        folds = _assign_folds(source, names, sources)
    clips = tuple(
        Clip(clip_id=file, file=file, label=label, fold=fold, source=recording)
        for file, label, fold, recording in zip(
            files, names, folds or [1] * len(files), sources, strict=True
        )
    )
    return ClipList(root=root, labels=labels, clips=clips, notes=notes)


def _assign_folds(source: pathlib.Path, names: list[str], sources: list[str]) -> list[int]:
    """Spread every class evenly over up to five folds, keeping recordings whole."""
    # Its import takes a second, which the other data sets need not wait for.
    from sklearn.model_selection import StratifiedGroupKFold

    recordings = {label: set() for label in names}
    for label, recording in zip(names, sources, strict=True):
        recordings[label].add(recording)
    scarcest = min(sorted(recordings), key=lambda label: len(recordings[label]))
    largest = min(_FOLDS, len(recordings[scarcest]))
    for count in range(largest, 1, -1):
        splitter = StratifiedGroupKFold(n_splits=count, shuffle=True, random_state=_SEED)
        folds = [0] * len(names)
        for fold, (_, held_out) in enumerate(splitter.split(names, names, sources), start=1):
            for index in held_out:
                folds[index] = fold
        # Recordings that hold several classes can leave a fold without clips.
        if set(folds) == set(range(1, count + 1)):
            return folds
    raise ValueError(
        f"Expected at least two recordings of every class, to hold one out, got "
        f"{len(recordings[scarcest])} of {scarcest!r}. Received: source={source}"
    )


def _walk(folder: pathlib.Path, root: pathlib.Path) -> list[str]:
    """List the files below `folder`, relative to `root`, without hidden ones."""
    found, seen = [], set()
    for place, folders, files in os.walk(folder, onerror=_raise, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # A link back up would otherwise be followed for ever.
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                found.append(pathlib.Path(place, name).relative_to(root).as_posix())
    return found


def _raise(error: OSError) -> None:
    raise error  # os.walk would pass over a folder that cannot be read.
