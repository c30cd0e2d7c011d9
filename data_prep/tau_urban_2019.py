"""TAU Urban Acoustic Scenes 2019: task 1a (one device), 1b (three devices) and 1c (open set)."""

import functools

from data_prep.clips import Dataset, DatasetCard
from data_prep.tau_layout import PROTOCOL, SCENES, UNKNOWN, Task, list_clips

TASKS = {
    "1a": Task(
        folder="TAU-urban-acoustic-scenes-2019-development",
        train_clips=9185,
        test_clips=4185,
        sample_rate=48000,
        channels=2,
    ),
    "1b": Task(
        folder="TAU-urban-acoustic-scenes-2019-mobile-development",
        train_clips=10265,
        test_clips=5265,
        sample_rate=44100,
        channels=1,
        # The challenge ranks by the devices of which there is little to train on.
        device_groups={"A": ("a",), "B and C": ("b", "c")},
    ),
    "1c": Task(
        folder="TAU-urban-acoustic-scenes-2019-openset-development",
        train_clips=10290,
        test_clips=4530,
        sample_rate=44100,
        channels=1,
        labels=(*SCENES, UNKNOWN),
    ),
}

_TITLES = {
    "1a": "one device, stereo",
    "1b": "three devices",
    "1c": "open set",
}
_PROTOCOLS = {
    "1a": "1030 clips are in neither list and left aside.",
    "1b": "Devices B and C recorded some of what A did; reports tell them apart.",
    "1c": "Clips of unknown scenes whose location is not known are recordings of their own.",
}
# By scene, to train on and to test on; what else the other tasks have is by other devices (1b, of
# which nothing says the scenes) or of unknown scenes (1c).
_SCENE_CLIPS = (
    *(911 + 421, 928 + 415, 902 + 433, 897 + 435, 946 + 386),
    *(945 + 387, 896 + 441, 924 + 429, 942 + 402, 894 + 436),
)
_CLASS_CLIPS = {"1a": _SCENE_CLIPS, "1b": (), "1c": (*_SCENE_CLIPS, 1105 + 345)}
_RECORDS = {"1a": 2589280, "1b": 2589332, "1c": 2591503}


def _dataset(name: str, task: Task) -> Dataset:
    card = DatasetCard(
        name=f"tau_urban_2019/{name}",
        title=f"TAU Urban Acoustic Scenes 2019, task {name} ({_TITLES[name]})",
        clips=task.train_clips + task.test_clips,
        classes=len(task.labels),
        folds=1,
        licence="Tampere University's own: experimental and non-commercial use, with citation",
        url=f"https://zenodo.org/record/{_RECORDS[name]}",
        layout=task.layout,
        labels=task.labels,
        sample_rate=task.sample_rate,
        channels=task.channels,
        protocol=f"{PROTOCOL} {_PROTOCOLS[name]}",
        fold_clips=(task.test_clips, task.train_clips),
        class_clips=_CLASS_CLIPS[name],
    )
    return Dataset(card, functools.partial(list_clips, task, card))


DATASETS = tuple(_dataset(name, task) for name, task in TASKS.items())
