"""Toy scenes: generated stand-ins for TAU Urban Acoustic Scenes, file by file in its layout.

They are there to run everything on without the 36 GB: the code that reads them is that of the real
ones. A network can learn the scenes, but is tested at places and in a city that it has not heard.
"""

import csv
import dataclasses
import functools
import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import soundfile

from data_prep import scene_synthesis, tau_urban_2019, tau_urban_2020
from data_prep.clips import Dataset
from data_prep.tau_layout import (
    LIST_COLUMNS,
    META,
    META_COLUMNS,
    SCENES,
    TEST_LIST,
    TRAIN_LIST,
    UNKNOWN,
    Task,
    list_clips,
)
from keras_audio.files import replacing

# As in the official split, one city is in the test list alone.
_TRAIN_CITIES = ("barcelona", "helsinki", "lyon")
_TEST_CITIES = ("barcelona", "lyon", "milan")
_UNKNOWN_SCENES = tuple(sorted(set(scene_synthesis.SCENES) - set(SCENES)))
# What `write_toy_scenes` writes unless it is told otherwise: clips to train on, and to test on.
_CLIPS = {"1a": (60, 30), "1b": (80, 90), "1c": (78, 39), "3class": (60, 30)}
_TASKS = tau_urban_2019.TASKS | tau_urban_2020.TASKS


@dataclasses.dataclass(frozen=True)
class _Recording:
    """Ten seconds at one location, and the devices that recorded them."""

    scene: str
    label: str
    city: str
    location: int
    segment: int
    devices: tuple[str, ...]
    train: bool

    @property
    def name(self) -> str:
        scene = self.scene if self.scene in SCENES else UNKNOWN
        return f"{scene}-{self.city}-{self.location}-{self.segment}"

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """A row of `meta.csv` for each device."""
        return [
            (f"audio/{self.name}-{device}.wav", self.label, f"{self.city}-{self.location}", device)
            for device in self.devices
        ]


def write_toy_scenes(
    folder: str | os.PathLike,
    task: str,
    *,
    scenes: Sequence[str] | None = None,
    segments: int = 2,
    seconds: float = 10.0,
) -> pathlib.Path:
    """Write the sounds, lists and `meta.csv` of a task as its archives unpack.

    The same files every time: a clip depends on its name alone. Every scene is heard at three
    locations to train on and at three others to test on. Where a task has devices B and C, they
    recorded the first clip of one of the former and of each of the latter.

    Args:
        folder: Where to; an existing folder is replaced once the new one is complete.
        task: Which of `tau_urban_2019.TASKS` and `tau_urban_2020.TASKS`.
        scenes: Which scenes; `None` for the ten, and in the open set those that are none of them.
        segments: Clips of each location to train on; those to test on have half as many, at least
            one.
        seconds: Length of the clips.

    Returns:
        The folder, which `prepare` takes as a source of the official data set too.
    """
    folder, form = pathlib.Path(folder), _TASKS[task]
    if scenes is None:
        scenes = SCENES + (_UNKNOWN_SCENES if UNKNOWN in form.labels else ())
    recordings = list(_recordings(form, scenes, segments))
    with replacing(folder) as temporary:
        root = temporary / form.folder
        for inner in ("audio", pathlib.PurePath(TRAIN_LIST).parent):
            (root / inner).mkdir(parents=True)
        for recording in recordings:
            _write_sounds(root, recording, form, seconds)
        train = [row for recording in recordings if recording.train for row in recording.rows]
        test = [row for recording in recordings if not recording.train for row in recording.rows]
        _write_table(root / META, META_COLUMNS, train + test)
        _write_table(root / TRAIN_LIST, LIST_COLUMNS, train)
        _write_table(root / TEST_LIST, LIST_COLUMNS, test)
        _write_table(root / TEST_LIST.replace("evaluate", "test"), LIST_COLUMNS[:1], test)
    return folder


def _recordings(form: Task, scenes: Sequence[str], segments: int) -> Iterator[_Recording]:
    location, segment = itertools.count(1000), itertools.count(40000)
    class_of = {scene: label for label, group in form.scenes.items() for scene in group}
    for train, cities in ((True, _TRAIN_CITIES), (False, _TEST_CITIES)):
        for scene, city in itertools.product(scenes, cities):
            here = next(location)
            label = class_of.get(scene, scene if scene in form.labels else UNKNOWN)
            for take in range(segments if train else max(1, segments // 2)):
                all_devices = take == 0 and (city == cities[0] or not train)
                devices = form.devices if all_devices else form.devices[:1]
                yield _Recording(scene, label, city, here, next(segment), devices, train)


def _write_sounds(root: pathlib.Path, recording: _Recording, form: Task, seconds: float) -> None:
    place = scene_synthesis.Place(recording.scene, recording.city, str(recording.location))
    sound = place.record(recording.name, form.sample_rate, form.channels, seconds)
    for device, (file, *_) in zip(recording.devices, recording.rows, strict=True):
        heard = scene_synthesis.recorded_by(device, sound, file, form.sample_rate)
        soundfile.write(root / file, heard, form.sample_rate, subtype="PCM_24")


def _write_table(path: pathlib.Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(columns)
        table.writerows(row[: len(columns)] for row in rows)


def _dataset(name: str, official: Dataset) -> Dataset:
    train, test = _CLIPS[name]
    task = dataclasses.replace(_TASKS[name], train_clips=train, test_clips=test)
    card = dataclasses.replace(
        official.card,
        name=f"toy_scenes/{name}",
        title=f"Toy scenes: generated stand-ins for {official.card.name}",
        clips=train + test,
        licence="CC0",
        url="",
        layout=f"generated into DATA_DIR/sources/toy_scenes/{name}; give no source",
        protocol=f"The folds are those of {official.card.name}, with other places on each side. "
        "Scores on generated scenes say nothing of real ones.",
        fold_clips=(),
        class_clips=(),
    )
    return Dataset(
        card,
        functools.partial(list_clips, task, card),
        functools.partial(write_toy_scenes, task=name),
    )


_OFFICIAL = (*tau_urban_2019.DATASETS, *tau_urban_2020.DATASETS)
DATASETS = tuple(map(_dataset, _TASKS, _OFFICIAL))
