"""Run folders of untrained networks, and a small data set with cities and an unknown class."""

import keras
import numpy as np
import soundfile

import data_prep
from keras_audio.data import make_split
from keras_audio.files import write_json, write_text

SCENES = ("bus", "park", "unknown")


def untrained(recipe, records, folder, seed=0):
    """As training leaves a run after its first epoch, but for the weights, which are random."""
    write_json(folder / "recipe.json", recipe.to_dict())
    write_text(folder / "labels.txt", "".join(f"{label}\n" for label in records.labels))
    write_json(folder / "environment.json", {"python": "3.11"})
    write_json(folder / "split.json", make_split(records, recipe.fold, recipe.validation).to_dict())
    keras.utils.set_random_seed(seed)
    recipe.build_model(len(records.labels)).save(folder / "model.keras")
    return folder


def write_scenes(folder, rates):
    """Prepare task 1c of short sounds: two scenes and unknown ones, of two cities."""
    source, random = folder / "source", np.random.default_rng(0)
    (source / "audio").mkdir(parents=True)
    (source / "evaluation_setup").mkdir()
    for part, places in (("evaluate", range(4)), ("train", range(4, 6))):
        rows = ["filename\tscene_label"]
        for index, scene in enumerate(SCENES):
            for place in places:
                city = ("lyon", "paris")[place % 2]
                for take in range(3):
                    name = f"audio/{scene}-{city}-{100 * index + place}-{take}-a.wav"
                    sound = random.normal(0, 0.05 + 0.1 * random.random(), 4000)
                    soundfile.write(source / name, np.clip(sound, -1, 1), 8000)
                    rows.append(f"{name}\t{scene}")
        (source / "evaluation_setup" / f"fold1_{part}.csv").write_text("\n".join(rows) + "\n")
    for rate in rates:
        data_prep.prepare(
            "tau_urban_2019/1c",
            source=source,
            sample_rate=rate,
            channels=1,
            data_dir=folder / "data",
            progress=False,
            jobs=1,
        )
    return folder / "data"
