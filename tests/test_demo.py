"""The demo on a user's own sounds: what is asked of each verb, and which status stops it."""

import json
import pathlib

import numpy as np
import pytest
import soundfile

from keras_audio import cli, demo


@pytest.fixture
def calls(monkeypatch):
    """The commands of a demo, of which only `prepare` runs and `train` leaves a split."""
    made = []

    def run(*arguments):
        arguments = [str(argument) for argument in arguments]
        made.append(arguments)
        if arguments[0] == "prepare":
            return cli.main(arguments)
        if arguments[0] == "train":
            run, data = (
                pathlib.Path(arguments[arguments.index(x) + 1]) for x in ("--run", "--data-dir")
            )
            from keras_audio.data import make_split, open_records

            split = make_split(open_records("my_sounds", sample_rate=8000, data_dir=data), 1)
            run.mkdir(parents=True)
            (run / "recipe.json").write_text("{}")
            (run / "split.json").write_text(json.dumps(split.to_dict()))
        return 0

    monkeypatch.setattr(demo, "_keras_audio", run)
    return made


def write_sounds(folder):
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for take in range(4):
            sound = np.random.default_rng([len(label), take]).uniform(-0.5, 0.5, 800)
            soundfile.write(folder / label / f"{take}.wav", sound, 8000)
    return folder


def test_a_bad_file_is_listed_and_the_demo_goes_on(calls, tmp_path, capsys):
    sounds = write_sounds(tmp_path / "toy_sounds")
    (sounds / "cat" / "0.wav").write_bytes(b"")
    assert demo.run_demo(tmp_path / "demo", sounds=sounds) == 0
    assert [arguments[0] for arguments in calls] == [
        *("prepare", "train", "evaluate", "export", "predict")
    ]
    assert "missing: cat/0.wav" in capsys.readouterr().err
    # Sounds in a folder of that name are not taken for the generated ones.
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["own-toy_sounds"]
    assert pathlib.Path(calls[-1][2]).is_file()


def test_a_list_of_sounds_names_files_beside_it(calls, tmp_path):
    sounds = write_sounds(tmp_path / "sounds")
    lines = [f"{path.relative_to(sounds)},{path.parent.name}" for path in sounds.glob("*/*.wav")]
    (sounds / "list.csv").write_text("\n".join(["filename,label", *lines]))
    assert demo.run_demo(tmp_path / "demo", sounds=sounds / "list.csv") == 0
    assert pathlib.Path(calls[-1][2]).is_file()


def test_sounds_that_cannot_be_prepared_stop_it(calls, tmp_path, capsys):
    assert demo.run_demo(tmp_path / "demo", sounds=tmp_path / "nowhere") == 2
    assert len(calls) == 1
    assert "nowhere" in capsys.readouterr().err
