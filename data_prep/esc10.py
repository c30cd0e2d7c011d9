"""ESC-10: the 400 clips of ESC-50 in ten classes that people tell apart most easily."""

import pathlib
import re

from data_prep import esc50
from data_prep.clips import Clip, ClipList, DatasetCard

# In the order of ESC-50's targets: 0 1 10 11 12 20 21 38 40 41.
LABELS = (
    *("dog", "rooster", "rain", "sea_waves", "crackling_fire"),
    *("crying_baby", "sneezing", "clock_tick", "helicopter", "chainsaw"),
)

CARD = DatasetCard(
    name="esc10",
    title="ESC-10: the ten-class subset of ESC-50",
    clips=400,
    classes=10,
    folds=5,
    licence="CC BY 3.0",
    url="https://github.com/karolpiczak/ESC-50 or https://github.com/karolpiczak/ESC-10",
    layout="ESC-50-master/ with audio/*.wav and meta/esc50.csv, or the older ESC-10-master/ "
    'with "001 - Dog bark/*.ogg" and nine more folders',
    labels=LABELS,
    sample_rate=44100,
    protocol=f"{esc50.CARD.protocol} They are those of ESC-50.",
    fold_clips=(80,) * 5,
    class_clips=(40,) * 10,
)

# The older set has its own folders, in another order.
_FOLDERS = {
    "001 - Dog bark": "dog",
    "002 - Rain": "rain",
    "003 - Sea waves": "sea_waves",
    "004 - Baby cry": "crying_baby",
    "005 - Clock tick": "clock_tick",
    "006 - Person sneeze": "sneezing",
    "007 - Helicopter": "helicopter",
    "008 - Chainsaw": "chainsaw",
    "009 - Rooster": "rooster",
    "010 - Fire crackling": "crackling_fire",
}
_CLIPS_PER_FOLDER = 40
_NAME = re.compile(r"([1-5])-([0-9]+)-([A-Z])\.ogg", re.ASCII)


def list_clips(source: pathlib.Path) -> ClipList:
    """List the clips of the official ESC-50 archive's subset, or of the older ESC-10 folders.

    Both give a clip the same id, fold and source; the older files are Ogg and 44 samples longer.

    Args:
        source: The folder `ESC-50-master` or `ESC-10-master`, or the one it was unpacked in.

    Raises:
        ValueError: If the source is neither, or does not hold together.
    """
    for root in (source, source / "ESC-50-master"):
        if (root / esc50.TABLE).is_file():
            return _from_table(root)
    for root in (source, source / "ESC-10-master"):
        if any((root / folder).is_dir() for folder in _FOLDERS):
            return _from_folders(root)
    raise ValueError(
        f"Expected the folder of ESC-10 ({CARD.layout}; from {CARD.url}). Received: source={source}"
    )


def _from_table(root: pathlib.Path) -> ClipList:
    clips = tuple(clip for clip, in_esc10 in esc50.read_clips(root) if in_esc10)
    notes = ()
    if len(clips) != CARD.clips:
        notes = (f"{esc50.TABLE} lists {len(clips)} clips of ESC-10, not {CARD.clips}",)
    return ClipList(root=root, labels=LABELS, clips=clips, notes=notes)


def _from_folders(root: pathlib.Path) -> ClipList:
    clips, missing = [], []
    for folder, label in _FOLDERS.items():
        files = sorted(
            path.name for path in (root / folder).glob("*") if not path.name.startswith(".")
        )
        # No list comes with these folders, so that only the count tells of a lost file.
        if len(files) < _CLIPS_PER_FOLDER:
            missing.append(
                f"{folder}: {_CLIPS_PER_FOLDER - len(files)} of {_CLIPS_PER_FOLDER} "
                "clips are not there"
            )
        for name in files:
            match = _NAME.fullmatch(name)
            if match is None:
                raise ValueError(
                    f"Expected file names like 1-100032-A.ogg (fold-source-take), got {name!r}. "
                    f"Received: folder={root / folder}"
                )
            fold, source_id, take = match.groups()
            clips.append(
                Clip(
                    clip_id=f"{fold}-{source_id}-{take}-{esc50.LABELS.index(label)}",
                    file=f"{folder}/{name}",
                    labels=(label,),
                    fold=int(fold),
                    source=source_id,
                )
            )
    return ClipList(root=root, labels=LABELS, clips=tuple(clips), missing=tuple(missing))
