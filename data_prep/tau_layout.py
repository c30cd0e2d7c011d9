"""Acoustic scenes as the DCASE challenges of Tampere University lay them out on disk.

A task is a folder with `audio/*.wav`, `meta.csv` and the lists of its one official split in
`evaluation_setup/`; all tables are tab-separated.
"""

import collections
import dataclasses
import hashlib
import pathlib
import re
from collections.abc import Mapping, Sequence

from data_prep.clips import Clip, ClipList, DatasetCard, find_root, read_table, relative_file

SCENES = (
    *("airport", "bus", "metro", "metro_station", "park"),
    *("public_square", "shopping_mall", "street_pedestrian", "street_traffic", "tram"),
)
# A class of open-set tasks, and what is put down of a place or device that nothing names.
UNKNOWN = "unknown"

TRAIN_LIST = "evaluation_setup/fold1_train.csv"
TEST_LIST = "evaluation_setup/fold1_evaluate.csv"
META = "meta.csv"
LIST_COLUMNS = ("filename", "scene_label")
META_COLUMNS = ("filename", "scene_label", "identifier", "source_label")

# What the folds are, for cards.
PROTOCOL = (
    "One official split: fold 1 is what it tests on, the only one that can be held out; fold 2 is "
    "what it trains on. A clip's recording is the location that it was recorded at, such as "
    "lyon-1162, and no location is on both sides. Device, city and location are recorded with "
    "every clip."
)

_TEST_FOLD = 1
_NAME = re.compile(
    r"audio/(?P<scene>[a-z_]+)-(?P<city>[a-z]+)-(?P<location>[0-9]+)-[0-9]+-(?P<device>[a-z])\.wav",
    re.ASCII,
)
_PLACE = re.compile(r"[a-z]+-[0-9]+", re.ASCII)
# Where in `meta.csv` each file stands, and its row.
_Meta = Mapping[str, tuple[str, dict[str, str]]]


@dataclasses.dataclass(frozen=True)
class Task:
    """One task of a challenge.

    Attributes:
        folder: What the folder of its archives is called.
        train_clips: How many clips it has to train on.
        test_clips: How many clips it has to test on.
        sample_rate: Of its files, in Hz.
        channels: Of its files.
        labels: The class names in order, `UNKNOWN` last where the task is open-set.
        device_groups: The letters of the recording devices that a report takes together, by the
            group's name.
        scenes: The scenes of each class, where the scenes are not the classes.
        validation: What part of the clips to train on is in a fold of its own.
    """

    folder: str
    train_clips: int
    test_clips: int
    sample_rate: int
    channels: int
    labels: tuple[str, ...] = SCENES
    device_groups: Mapping[str, tuple[str, ...]] = dataclasses.field(
        default_factory=lambda: {"A": ("a",)}, hash=False
    )
    scenes: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict, hash=False)
    validation: float = 0.0

    @property
    def devices(self) -> tuple[str, ...]:
        """The letters of all devices."""
        return tuple(device for group in self.device_groups.values() for device in group)

    @property
    def layout(self) -> str:
        """What the folder looks like, for the card."""
        return f"{self.folder}/ with audio/*.wav, {META} and {TRAIN_LIST}, fold1_evaluate.csv"


def list_clips(task: Task, card: DatasetCard, source: pathlib.Path) -> ClipList:
    """List the clips of the official split: fold 1 tests, fold 2 trains.

    A clip's class is that of the lists. Its source is the location it was recorded at, `<city>-
    <location>`, and its attributes are device, city and location: from its name, which must be of
    the class that the list says, and agree with `meta.csv` where that has the clip. Names of
    unknown scenes may be of any form; what neither their name nor `meta.csv` says is "unknown", and
    a clip without a location a recording of its own. Where classes are of several scenes, the scene
    is an attribute too.

    Of a task with a validation part, fold 2 is that part of the clips to train on, in each scene,
    and fold 3 the others. Whole locations are chosen, by a hash of their names: so the order of the
    list does not matter.

    Args:
        task: What is expected.
        card: What to tell a user who has it elsewhere.
        source: The folder of the task, or the one it was unpacked in.

    Raises:
        ValueError: If a list is missing, a row does not hold together, a location has clips in
            both lists, or there are too few locations for a validation part.
    """
    root = find_root(source, TRAIN_LIST, task.folder, card)
    meta = _read_meta(root)
    test = _read_list(task, root, TEST_LIST, _TEST_FOLD, meta)
    train = _read_list(task, root, TRAIN_LIST, _TEST_FOLD + 1, meta)
    _check_locations(root, train, test)
    if task.validation:
        train = _with_validation(task, root, train)
    clips = (*test, *train)
    return ClipList(
        root=root,
        labels=task.labels,
        clips=clips,
        notes=_notes(task, train, test, meta),
        groups=_groups(task, clips),
        held_out_folds=(_TEST_FOLD,),
        unknown_label=UNKNOWN if UNKNOWN in task.labels else None,
    )


def _read_meta(root: pathlib.Path) -> _Meta:
    if not (root / META).is_file():  # as in copies of the lists alone
        return {}
    rows = read_table(root / META, META_COLUMNS, ("identifier", "source_label"), delimiter="\t")
    return {relative_file(row["filename"], where): (where, row) for where, row in rows}


def _read_list(task: Task, root: pathlib.Path, table: str, fold: int, meta: _Meta) -> list[Clip]:
    rows = read_table(root / table, LIST_COLUMNS, delimiter="\t")
    clips = [_clip(task, where, row, fold, meta) for where, row in rows]
    if not clips:
        raise ValueError(f"Expected clips in {table}, got none. Received: source={root}")
    return clips


def _clip(task: Task, where: str, row: dict[str, str], fold: int, meta: _Meta) -> Clip:
    file, label = relative_file(row["filename"], where), row["scene_label"]
    if label not in task.labels:
        raise ValueError(
            f"Expected one of the classes {', '.join(task.labels)} in {where}. "
            f"Received: scene_label={label!r}"
        )
    name = _NAME.fullmatch(file)
    scenes = task.scenes.get(label, (label,))
    official = name and name["scene"] in scenes and name["device"] in task.devices
    if label != UNKNOWN and not official:
        of_class = f"{label} ({' or '.join(scenes)})" if task.scenes else label
        raise ValueError(
            f"Expected a file name like audio/{scenes[0]}-lisbon-1000-40000-a.wav (scene-city-"
            f"location-segment-device) of a clip of {of_class} by device "
            f"{' or '.join(task.devices)} in {where}. Received: filename={row['filename']!r}"
        )
    named = (f"{name['city']}-{name['location']}", name["device"]) if name else ("", "")
    # Where classes are of several scenes, `meta.csv` may say either.
    names = (label, name["scene"]) if task.scenes else (label,)
    identifier, device = _place(file, names, named, meta)
    city, _, location = identifier.rpartition("-")
    attributes = {"device": device, "city": city, "location": location}
    if task.scenes:
        attributes["scene"] = name["scene"]
    clip_id = file.removeprefix("audio/").removesuffix(".wav")
    return Clip(
        clip_id=clip_id,
        file=file,
        labels=(label,),
        fold=fold,
        source=identifier or clip_id,
        attributes={name: value or UNKNOWN for name, value in attributes.items()},
    )


def _place(
    file: str, labels: Sequence[str], named: tuple[str, str], meta: _Meta
) -> tuple[str, str]:
    """Location and device of a clip: those of its name, or those that `meta.csv` states."""
    if file not in meta:
        return named
    where, row = meta[file]
    identifier = row.get("identifier", "")
    # What stands there for all unknown scenes, such as "unknown", is no place that they share.
    unknown = UNKNOWN in labels
    if unknown and not _PLACE.fullmatch(identifier):
        identifier = ""
    stated = identifier or named[0], row.get("source_label") or named[1]
    if row["scene_label"] not in labels or (not unknown and stated != named):
        raise ValueError(
            f"Expected {where} to agree with the split's list and the file name. "
            f"Received: row={','.join(row.values())!r}"
        )
    return stated


def _check_locations(root: pathlib.Path, train: list[Clip], test: list[Clip]) -> None:
    shared = sorted({clip.source for clip in train} & {clip.source for clip in test})
    if shared:
        more = f" and {len(shared) - 3} more" if len(shared) > 3 else ""
        raise ValueError(
            f"Expected {TRAIN_LIST} and {TEST_LIST} to share no location, got "
            f"{', '.join(shared[:3])}{more} in both. Received: source={root}"
        )


def _with_validation(task: Task, root: pathlib.Path, train: list[Clip]) -> list[Clip]:
    """Give `train` with the clips that do not validate moved to the next fold."""
    sizes = collections.Counter(clip.source for clip in train)
    scenes_at = collections.defaultdict(set)
    for clip in train:
        scenes_at[clip.source].add(clip.attributes.get("scene", clip.label))
    strata = collections.defaultdict(list)
    for location in sorted(sizes, key=_hash):
        strata[tuple(sorted(scenes_at[location]))].append(location)
    chosen = {
        location
        for locations in strata.values()
        for location in _about(task.validation, {place: sizes[place] for place in locations})
    }
    if not chosen:
        raise ValueError(
            f"Expected two locations of a scene in {TRAIN_LIST} at least, one to validate with. "
            f"Received: source={root}"
        )
    return [
        clip if clip.source in chosen else dataclasses.replace(clip, fold=clip.fold + 1)
        for clip in train
    ]


def _about(share: float, sizes: Mapping[str, int]) -> list[str]:
    """Choose locations with about a share of all clips: one of two or more, but never all."""
    wanted, chosen, taken = share * sum(sizes.values()), [], 0
    for location, size in sizes.items():
        if abs(taken + size - wanted) < abs(taken - wanted):
            chosen.append(location)
            taken += size
    return chosen or [min(sizes, key=sizes.get)] * (len(sizes) > 1)


def _hash(location: str) -> bytes:
    return hashlib.blake2b(location.encode(), digest_size=16).digest()


def _notes(task: Task, train: list[Clip], test: list[Clip], meta: _Meta) -> tuple[str, ...]:
    notes = []
    if (len(train), len(test)) != (task.train_clips, task.test_clips):
        notes.append(
            f"the split lists {len(train)} clips to train on and {len(test)} to test on, the "
            f"official one {task.train_clips} and {task.test_clips}"
        )
    if aside := len(meta.keys() - {clip.file for clip in (*train, *test)}):
        notes.append(f"clips of {META} in neither list of the split, left aside: {aside}")
    if placeless := sum(clip.attributes["location"] == UNKNOWN for clip in (*train, *test)):
        notes.append(
            f"clips of unknown scenes whose location is not known either: {placeless}; that the "
            "two lists share no location is not checked for them"
        )
    return tuple(notes)


def _groups(task: Task, clips: Sequence[Clip]) -> dict[str, dict[str, list[str]]]:
    """What a report tells apart; an attribute that has but one group says nothing."""
    devices = {clip.attributes["device"] for clip in clips}
    # What the names of unknown scenes give as a city need not be one.
    cities = {clip.attributes["city"] for clip in clips if clip.label != UNKNOWN}
    groups = {
        "device": {
            name: present
            for name, letters in task.device_groups.items()
            if (present := [letter for letter in letters if letter in devices])
        },
        "city": {city: [city] for city in sorted(cities)},
    }
    if task.scenes:
        scenes = {clip.attributes["scene"] for clip in clips}
        groups["scene"] = {scene: [scene] for scene in sorted(scenes)}
    return {attribute: by_name for attribute, by_name in groups.items() if len(by_name) > 1}
