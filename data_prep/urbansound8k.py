"""UrbanSound8K: 8732 urban sounds of up to 4 s in ten classes and ten folds."""

import pathlib
import re

from data_prep.clips import Clip, ClipList, DatasetCard, find_root, read_table, whole_number

LABELS = (
    *("air_conditioner", "car_horn", "children_playing", "dog_bark", "drilling"),
    *("engine_idling", "gun_shot", "jackhammer", "siren", "street_music"),
)

CARD = DatasetCard(
    name="urbansound8k",
    title="UrbanSound8K",
    clips=8732,
    classes=10,
    folds=10,
    licence="CC BY-NC 3.0",
    url="https://urbansounddataset.weebly.com/urbansound8k.html",
    layout="UrbanSound8K/ with audio/fold1..fold10/*.wav and metadata/UrbanSound8K.csv",
    labels=LABELS,
    sample_rate=44100,
    protocol="Ten official folds: hold each out in turn, and report the mean; other folds give "
    "other, better scores. A clip's recording is the one on Freesound that it was cut from, and "
    "its class: five recordings have clips of a second class in a second fold, which a note "
    "names.",
    fold_clips=(873, 888, 925, 990, 936, 823, 838, 806, 816, 837),
    class_clips=(1000, 429, 1000, 1000, 1000, 1000, 374, 1000, 929, 1000),
)

_TABLE = "metadata/UrbanSound8K.csv"
_COLUMNS = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")
_NAME = re.compile(r"([0-9]+)-([0-9])-([0-9]+)-([0-9]+)\.wav", re.ASCII)
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)


def list_clips(source: pathlib.Path) -> ClipList:
    """List the clips of the official archive, in its own ten folds.

    A clip's source recording is its Freesound id and class: that is what the published folds keep
    whole. Five recordings hold two classes that lie in two folds; a note names them.

    Args:
        source: The folder `UrbanSound8K`, or the one it was unpacked in.

    Raises:
        ValueError: If the table is missing or its header is not the official one, if a row does
            not agree with its file name, or if a file lies in another fold than its row says.
    """
    root = find_root(source, _TABLE, "UrbanSound8K", CARD)
    clips = tuple(_clip(where, row, root) for where, row in read_table(root / _TABLE, _COLUMNS))
    _check_folders(root, clips)
    notes = ()
    if len(clips) != CARD.clips:
        notes = (f"{_TABLE} lists {len(clips)} clips, the official one {CARD.clips}",)
    if split := _split_recordings(clips):
        notes += (
            f"recordings with clips of two classes in two folds, as published: {', '.join(split)}",
        )
    return ClipList(root=root, labels=LABELS, clips=clips, notes=notes)


def _clip(where: str, row: dict[str, str], root: pathlib.Path) -> Clip:
    name = row["slice_file_name"]
    fold = whole_number(row["fold"], where, "fold", 1, CARD.folds)
    class_id = whole_number(row["classID"], where, "classID", 0, len(LABELS) - 1)
    whole_number(row["salience"], where, "salience", 1, 2)
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(
            f"Expected a file name like 100032-3-0-0.wav (fsID-classID-occurrence-slice) in "
            f"{where}. Received: slice_file_name={name!r}"
        )
    if match.group(1, 2) != (row["fsID"], str(class_id)):
        raise ValueError(
            f"Expected fsID and classID to agree with the file name in {where}. "
            f"Received: row={','.join(row.values())!r}"
        )
    if row["class"] != LABELS[class_id]:
        raise ValueError(
            f"Expected the class {LABELS[class_id]!r} for classID {class_id} in {where}. "
            f"Received: class={row['class']!r}"
        )
    times = row["start"], row["end"]
    if not all(map(_SECONDS.fullmatch, times)) or float(times[0]) >= float(times[1]):
        raise ValueError(
            f"Expected seconds, start before end, in {where}. "
            f"Received: start={times[0]!r}, end={times[1]!r}"
        )
    return Clip(
        clip_id=name.removesuffix(".wav"),
        file=f"audio/fold{fold}/{name}",
        labels=(LABELS[class_id],),
        fold=fold,
        # The folds keep a recording's clips of one class together; five of the 1297 recordings
        # have clips of a second class, in another fold.
        source=f"{row['fsID']}-{class_id}",
    )


def _split_recordings(clips: tuple[Clip, ...]) -> list[str]:
    """The Freesound ids that occur in more than one fold."""
    folds = {}
    for clip in clips:
        folds.setdefault(clip.source.split("-")[0], set()).add(clip.fold)
    return sorted(recording for recording, places in folds.items() if len(places) > 1)


def _check_folders(root: pathlib.Path, clips: tuple[Clip, ...]) -> None:
    """Refuse files that lie in another fold than the table says: one of the two was changed."""
    listed = {pathlib.PurePosixPath(clip.file).name: clip for clip in clips}
    for fold in range(1, CARD.folds + 1):
        for path in sorted((root / "audio" / f"fold{fold}").glob("*.wav")):
            clip = listed.get(path.name)
            if clip is not None and clip.fold != fold:
                raise ValueError(
                    f"Expected {path.name} in fold {clip.fold}, as {_TABLE} says, got it in "
                    f"fold {fold}. Received: source={root}"
                )
