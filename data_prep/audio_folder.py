"""Your own sounds: a folder with a subfolder a class, or a CSV that lists files and labels."""

import collections
import hashlib
import pathlib
from collections.abc import Sequence

from data_prep.clips import (
    Clip,
    ClipList,
    DatasetCard,
    read_header,
    read_table,
    relative_file,
    walk,
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
    "files are relative to it; a column labels in place of label holds any number of classes, "
    "with | between them",
    labels=(),
    sample_rate=44100,
    protocol="A CSV may say the folds. Otherwise there are up to five, every class spread over "
    "them evenly, the same ones each time. A CSV may say of which recording a clip is, and "
    "recordings are kept whole; otherwise every file counts as one.",
)

_COLUMNS = ("filename", "label", "fold", "source")
_MULTI_LABEL_COLUMNS = ("filename", "labels", "fold", "source")
_FOLDS = 5
_SEED = 0
_SHOWN = 10


def list_clips(source: pathlib.Path) -> ClipList:
    """List the clips of a folder or of a CSV, by name and without opening them.

    Classes are in the order of their names. Without a `fold` column there are five folds (fewer
    if a class has fewer recordings), assigned once and for all the same way: every class spread
    evenly, clips that share a `source` together. In a folder every file counts as a recording of
    its own: if yours are cut from longer ones, say so in the `source` column of a CSV.

    A CSV whose column is `labels` is multi-label: any number of classes in a field, `|` between
    them; an empty field is a clip of none of the classes. Folds made for it are of about as many
    clips each, depend on the rows alone, not on their order, and spread the rarest classes first;
    a class may still be missing from folds, and a note names those that are in one alone.

    Args:
        source: The folder or the CSV.

    Raises:
        ValueError: If there are not two classes with two recordings each (for a multi-label CSV:
            two classes and two recordings), or a row of the CSV is not as expected.
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
    multi_label = "labels" in read_header(path)
    columns = _MULTI_LABEL_COLUMNS if multi_label else _COLUMNS
    files, classes, folds, sources = [], [], [], []
    for where, row in read_table(path, columns, optional=("fold", "source")):
        file = relative_file(row["filename"], where)
        if "source" in row and not row["source"].strip():
            raise ValueError(f"Expected a recording in {where}. Received: source={row['source']!r}")
        files.append(file)
        classes.append(_several(row["labels"], where) if multi_label else _one(row["label"], where))
        sources.append(row.get("source", file))
        if "fold" in row:
            folds.append(whole_number(row["fold"], where, "fold", 1, 1000))
    if folds and len(set(folds)) < 2:
        raise ValueError(f"Expected at least two folds, got only {folds[0]}. Received: path={path}")
    return _clip_list(
        path.parent, path, labels, files, classes, sources, folds, multi_label=multi_label
    )


def _one(text: str, where: str) -> tuple[str, ...]:
    if not text.strip():
        raise ValueError(f"Expected a class in {where}. Received: label={text!r}")
    return (text,)


def _several(text: str, where: str) -> tuple[str, ...]:
    """The classes of a field, by name; none if it is empty."""
    classes = text.split("|") if text else []
    if not all(name.strip() for name in classes) or len(set(classes)) < len(classes):
        raise ValueError(
            f"Expected different classes with | between them, or nothing, in {where}. "
            f"Received: labels={text!r}"
        )
    return tuple(sorted(classes))


def _from_folder(root: pathlib.Path) -> ClipList:
    files, classes, aside = [], [], []
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
        classes += [(entry.name,)] * len(sounds)
    notes = ()
    if aside:
        shown = ", ".join(aside[:_SHOWN]) + (", ..." if len(aside) > _SHOWN else "")
        notes = (f"left aside, no sound file of a class: {len(aside)} ({shown})",)
    return _clip_list(root, root, None, files, classes, files, [], notes)


def _clip_list(
    root: pathlib.Path,
    source: pathlib.Path,
    labels: Sequence[str] | None,
    files: list[str],
    classes: list[tuple[str, ...]],
    sources: list[str],
    folds: list[int],
    notes: tuple[str, ...] = (),
    multi_label: bool = False,
) -> ClipList:
    labels = tuple(labels or sorted({name for names in classes for name in names}))
    if not folds and len(labels) > 1:
        if multi_label:
            folds = _assign_multi_label_folds(source, classes, sources)
        else:
            folds = _assign_folds(source, [name for (name,) in classes], sources)
    clips = tuple(
        Clip(clip_id=file, file=file, labels=names, fold=fold, source=recording)
        for file, names, fold, recording in zip(
            files, classes, folds or [1] * len(files), sources, strict=True
        )
    )
    if multi_label:
        notes += _multi_label_notes(clips)
    return ClipList(root=root, labels=labels, clips=clips, notes=notes, multi_label=multi_label)


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


def _assign_multi_label_folds(
    source: pathlib.Path, classes: list[tuple[str, ...]], sources: list[str]
) -> list[int]:
    """Deal the recordings out over up to five folds: rarest class first, each to the emptiest."""
    classes_of, clips_of = collections.defaultdict(set), collections.Counter(sources)
    for names, recording in zip(classes, sources, strict=True):
        classes_of[recording].update(names)
    count = min(_FOLDS, len(classes_of))
    if count < 2:
        raise ValueError(
            f"Expected at least two recordings, to hold one out, got {count}. "
            f"Received: source={source}"
        )
    recordings = collections.Counter(name for names in classes_of.values() for name in names)

    def rarest(recording: str) -> tuple[int, str]:
        names = classes_of[recording]
        # Those without classes come last, to even out the folds.
        return min(((recordings[name], name) for name in names), default=(len(classes_of) + 1, ""))

    def order(recording: str) -> tuple[tuple[int, str], bytes]:
        text = recording.encode("utf-8", "surrogatepass")
        return rarest(recording), hashlib.blake2b(text, digest_size=16).digest()

    fold_of, clips_in, class_in = {}, collections.Counter(), collections.Counter()
    for recording in sorted(classes_of, key=order):
        _, name = rarest(recording)
        _, _, fold = min((class_in[name, i], clips_in[i], i) for i in range(1, count + 1))
        fold_of[recording] = fold
        clips_in[fold] += clips_of[recording]
        class_in.update((other, fold) for other in classes_of[recording])
    return [fold_of[recording] for recording in sources]


def _multi_label_notes(clips: Sequence[Clip]) -> tuple[str, ...]:
    notes, folds = [], collections.defaultdict(set)
    for clip in clips:
        for name in clip.labels:
            folds[name].add(clip.fold)
    if alone := sorted(name for name, places in folds.items() if len(places) == 1):
        shown = ", ".join(alone[:_SHOWN]) + (", ..." if len(alone) > _SHOWN else "")
        notes.append(f"classes with clips in one fold alone: {len(alone)} ({shown})")
    if none := sum(not clip.labels for clip in clips):
        notes.append(f"clips of none of the classes: {none}")
    return tuple(notes)


def _walk(folder: pathlib.Path, root: pathlib.Path) -> list[str]:
    """List the files below `folder`, relative to `root`, without hidden ones."""
    return [
        pathlib.Path(place, name).relative_to(root).as_posix()
        for place, names in walk(folder)
        for name in names
    ]
