"""Small sources in every layout, and records read back without any builder code."""

import csv
import json
import pathlib

import numpy as np
import soundfile


def write_sound(path, seconds=0.2, rate=8000, channels=1, seed=0, **arguments):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    sound = rng.uniform(-0.5, 0.5, size=(round(seconds * rate), channels))
    soundfile.write(path, sound, rate, **arguments)
    return path


def write_table(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return path


def read_rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def records(path):
    """All examples by clip id, and the metadata, as someone without this package reads them."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(path)
    examples = {}
    for split in builder.info.splits:
        for example in tfds.as_numpy(builder.as_dataset(split)):
            assert f"fold{example['fold']}" == split
            feature = builder.info.features["label"]
            if example["label"].ndim:
                example["label"] = [feature.feature.int2str(label) for label in example["label"]]
            else:
                example["label"] = feature.int2str(example["label"])
            examples[example["clip_id"].decode()] = example
    return examples, json.loads((pathlib.Path(path) / "metadata.json").read_text())


def tree(folder):
    """Every file below a folder, by its relative path, with its bytes."""
    folder = pathlib.Path(folder)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write_pets(folder):
    """Two classes with six short sounds each."""
    for label in ("cat", "dog"):
        for take in range(6):
            write_sound(folder / label / f"{take}.wav", seed=sum(map(ord, label)) + take)
    return folder
