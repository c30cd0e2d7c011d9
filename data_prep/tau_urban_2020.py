"""TAU Urban Acoustic Scenes 2020 3Class: indoor, outdoor, transportation (DCASE 2020, task 1B)."""

import functools

from data_prep.clips import Dataset, DatasetCard
from data_prep.tau_layout import PROTOCOL, Task, list_clips

SCENES = {
    "indoor": ("airport", "metro_station", "shopping_mall"),
    "outdoor": ("park", "public_square", "street_pedestrian", "street_traffic"),
    "transportation": ("bus", "metro", "tram"),
}

TASKS = {
    "3class": Task(
        folder="TAU-urban-acoustic-scenes-2020-3class-development",
        train_clips=9185,
        test_clips=4185,
        sample_rate=48000,
        channels=2,
        labels=tuple(SCENES),
        scenes=SCENES,
        # Pajusco et al. 2020, section 5.1, who do not say which clips.
        validation=0.2,
    ),
}


def _dataset(name: str, task: Task) -> Dataset:
    card = DatasetCard(
        name=f"tau_urban_2020_{name}",
        title="TAU Urban Acoustic Scenes 2020 3Class (ten scenes in three classes, stereo)",
        clips=task.train_clips + task.test_clips,
        classes=len(task.labels),
        folds=1,
        licence="Tampere University's own: experimental and non-commercial use, with citation",
        url="https://zenodo.org/record/3670185",
        layout=task.layout,
        labels=task.labels,
        # What Pajusco et al. make of the files' 48 kHz, and how.
        sample_rate=18000,
        channels=task.channels,
        resampling="fourier",
        protocol=f"{PROTOCOL} The scene is, too. Of the clips to train on about a fifth of each "
        "scene, by whole locations, stays fold 2, to validate with; the others are fold 3.",
        fold_clips=(4185, 1882, 7303),
        class_clips=(2704 + 1297, 3757 + 1604, 2724 + 1284),
    )
    return Dataset(card, functools.partial(list_clips, task, card))


DATASETS = tuple(_dataset(name, task) for name, task in TASKS.items())
