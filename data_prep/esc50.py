"""ESC-50: 2000 environmental sounds of 5 s in 50 classes and 5 folds."""

import pathlib
import re

from data_prep.clips import Clip, ClipList, DatasetCard, find_root, read_table, whole_number

LABELS = (
    *("dog", "rooster", "pig", "cow", "frog", "cat", "hen", "insects", "sheep", "crow"),
    *("rain", "sea_waves", "crackling_fire", "crickets", "chirping_birds"),
    *("water_drops", "wind", "pouring_water", "toilet_flush", "thunderstorm"),
    *("crying_baby", "sneezing", "clapping", "breathing", "coughing"),
    *("footsteps", "laughing", "brushing_teeth", "snoring", "drinking_sipping"),
    *("door_wood_knock", "mouse_click", "keyboard_typing", "door_wood_creaks", "can_opening"),
    *("washing_machine", "vacuum_cleaner", "clock_alarm", "clock_tick", "glass_breaking"),
    *("helicopter", "chainsaw", "siren", "car_horn", "engine"),
    *("train", "church_bells", "airplane", "fireworks", "hand_saw"),
)

CARD = DatasetCard(
    name="esc50",
    title="ESC-50: Dataset for Environmental Sound Classification",
    clips=2000,
    classes=50,
    folds=5,
    licence="CC BY-NC 3.0",
    url="https://github.com/karolpiczak/ESC-50",
    layout="ESC-50-master/ with audio/*.wav and meta/esc50.csv",
    labels=LABELS,
    sample_rate=44100,
    protocol="Five official folds: hold each out in turn, and report the mean. A clip's recording "
    "is the one on Freesound that it was cut from; all clips of a recording are in one fold.",
    fold_clips=(400,) * 5,
    class_clips=(40,) * 50,
)

TABLE = "meta/esc50.csv"
_COLUMNS = ("filename", "fold", "target", "category", "esc10", "src_file", "take")
_NAME = re.compile(r"([1-5])-([0-9]+)-([A-Z])-([0-9]+)\.wav", re.ASCII)


def list_clips(source: pathlib.Path) -> ClipList:
    """List the clips of the official archive.

    Args:
        source: The folder `ESC-50-master`, or the one it was unpacked in.

    Raises:
        ValueError: If the table is missing, or a row of it does not hold together.
    """
    root = find_root(source, TABLE, "ESC-50-master", CARD)
    clips = tuple(clip for clip, _ in read_clips(root))
    notes = ()
    if len(clips) != CARD.clips:
        notes = (f"{TABLE} lists {len(clips)} clips, the official one {CARD.clips}",)
    return ClipList(root=root, labels=LABELS, clips=clips, notes=notes)


def read_clips(root: pathlib.Path) -> list[tuple[Clip, bool]]:
    """Read the table: every clip, and whether it belongs to ESC-10."""
    rows = []
    for where, row in read_table(root / TABLE, _COLUMNS):
        fold = whole_number(row["fold"], where, "fold", 1, CARD.folds)
        target = whole_number(row["target"], where, "target", 0, len(LABELS) - 1)
        match = _NAME.fullmatch(row["filename"])
        if match is None:
            raise ValueError(
                f"Expected a file name like 1-100032-A-0.wav (fold-source-take-target) in {where}. "
                f"Received: filename={row['filename']!r}"
            )
        if match.groups() != (str(fold), row["src_file"], row["take"], str(target)):
            raise ValueError(
                f"Expected fold, src_file, take and target to agree with the file name in {where}. "
                f"Received: row={','.join(row.values())!r}"
            )
        if row["category"] != LABELS[target]:
            raise ValueError(
                f"Expected the category {LABELS[target]!r} for target {target} in {where}. "
                f"Received: category={row['category']!r}"
            )
        if row["esc10"] not in ("True", "False"):
            raise ValueError(f"Expected True or False in {where}. Received: esc10={row['esc10']!r}")
        clip = Clip(
            clip_id=row["filename"].removesuffix(".wav"),
            file=f"audio/{row['filename']}",
            labels=(LABELS[target],),
            fold=fold,
            source=row["src_file"],
        )
        rows.append((clip, row["esc10"] == "True"))
    return rows
