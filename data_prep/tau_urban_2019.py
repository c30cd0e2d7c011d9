"""TAU Urban Acoustic Scenes 2019: task 1a (one device), 1b (three devices) and 1c (open set)."""

import functools

from data_prep.clips import Dataset, DatasetCard
from data_prep.tau_layout import SCENES, UNKNOWN, Task, list_clips

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
    )
    return Dataset(card, functools.partial(list_clips, task, card))


DATASETS = tuple(_dataset(name, task) for name, task in TASKS.items())
