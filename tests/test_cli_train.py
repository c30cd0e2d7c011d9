"""`keras-audio train`: the recipe that its options ask for, and what comes before and after it."""

import pathlib
import types

import numpy as np
import pytest
import soundfile

import keras_audio.training
from keras_audio import create_model
from keras_audio.cli import main
from keras_audio.files import write_json
from keras_audio.recipes import ERANN, ResidualBlocks, TwoPath


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """What the command line asks of training, which this stands in for."""
    asked = []

    def train(recipe, **arguments):
        asked.append(types.SimpleNamespace(recipe=recipe, **arguments))
        done = {"epochs": 3, "best_epoch": 2, "iterations": 30, "best_iteration": 20}
        done |= {"monitor": "val_accuracy", "best_value": 0.75, "seconds": 1.0}
        return types.SimpleNamespace(recipe=recipe, finished=done, path=pathlib.Path("runs/it"))

    monkeypatch.setitem(vars(keras_audio.training), "train", train)
    monkeypatch.chdir(tmp_path)
    return asked


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    for name in ("erann_3_1", "m3", "spectrogram_res_rb2"):
        create_model(name, 3).save(folder / f"{name}.keras")
    return folder


def write_sounds(folder, labels=("cat", "dog"), bad=False):
    for label in labels:
        (folder / label).mkdir(parents=True)
        for take in range(2):
            sound = np.random.default_rng([len(label), take]).uniform(-0.5, 0.5, 4410)
            soundfile.write(folder / label / f"{take}.wav", sound, 44100)
    if bad:
        (folder / labels[0] / "bad.wav").write_bytes(b"RIFF")
    return folder


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("residual_blocks", ResidualBlocks()),
        ("residual_blocks --dataset esc10", ResidualBlocks(dataset="esc10", fold=1)),
        ("residual_blocks --set dataset=mine", ResidualBlocks(dataset="mine", fold=1)),
        ("residual_blocks --dataset mine --fold 3", ResidualBlocks(dataset="mine", fold=3)),
        ("residual_blocks --dataset mine --set fold=4", ResidualBlocks(dataset="mine", fold=4)),
        ("erann --dataset ravdess --seed 2", ERANN.for_dataset("ravdess", seed=2)),
        (
            "erann --dataset urbansound8k --set crop_duration=2",
            ERANN.for_dataset("urbansound8k", crop_duration=2.0),
        ),
        (
            "--init-from SOURCES/erann_3_1.keras",
            ERANN.for_dataset(fine_tune=True, s_m=3, width=1),
        ),
        (
            "erann --init-from SOURCES/erann_3_1.keras --dataset mine --set width=2",
            ERANN.for_dataset("mine", fine_tune=True, s_m=3, width=2),
        ),
        (
            "--init-from SOURCES/m3.keras --dataset mine --set first_stride=8",
            ResidualBlocks(dataset="mine", fold=1, network="m3", first_stride=8),
        ),
        (
            "--init-from SOURCES/spectrogram_res_rb2.keras",
            ResidualBlocks(block="rb2", normalization="log_mel"),
        ),
    ],
)
def test_the_recipe_is_the_papers_but_for_what_is_asked(arguments, expected, sources, trained):
    arguments = arguments.replace("SOURCES", str(sources)).split()
    assert main(["train", *arguments]) == 0
    assert trained[0].recipe == expected
    if "--init-from" in arguments:
        assert trained[0].init_from == arguments[arguments.index("--init-from") + 1]
    else:
        assert trained[0].init_from is None


def test_fine_tuning_a_run_takes_over_what_its_weights_depend_on(trained, tmp_path):
    source = TwoPath.for_dataset("esc10", num_filters=2, deltas=False, epochs=2)
    write_json(tmp_path / "source" / "recipe.json", source.to_dict())
    model = create_model("two_path_resnet", 3, num_filters=2, deltas=False, channels=1)
    model.save(tmp_path / "source" / "model.keras")
    asked = ["--init-from", str(tmp_path / "source"), "--dataset", "mine"]
    assert main(["train", *asked, "--set", "epochs=6"]) == 0
    expected = TwoPath.for_dataset("mine", num_filters=2, deltas=False, epochs=6)
    assert trained[0].recipe == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", ["erann, progressive_resizing, residual_blocks", "--init-from"]),
        ("--dataset mine", ["erann, progressive_resizing, residual_blocks", "--init-from"]),
        ("--init-from nowhere", ["folder of a run", ".keras", "nowhere"]),
        ("erann --init-from SOURCES/m3.keras", ["erann trains", "'m3'", "m3.keras"]),
        ("erann --dataset mine --set dataset=yours", ["dataset once", "--set dataset=yours"]),
        ("erann --name mine", ["--source", "--name"]),
        ("erann --allow-missing", ["--source", "--allow-missing"]),
        ("erann --source sounds --dataset mine", ["audio_folder --name mine", "--dataset mine"]),
        ("erann --source nowhere --dataset audio_folder", ["existing source", "nowhere"]),
        ("erann --source sounds --name esc10", ["no other data set has", "esc10"]),
        ("erann --export sounds", ["new folder", "sounds"]),
        ("erann --export sounds --force", ["new folder", "sounds"]),
        ("erann --export exported", ["--force or --resume", "exported"]),
    ],
)
def test_what_does_not_fit_is_said_before_training(
    arguments, words, sources, trained, tmp_path, capsys
):
    write_sounds(tmp_path / "sounds")
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported" / "saved_model.pb").touch()
    assert main(["train", *arguments.replace("SOURCES", str(sources)).split()]) == 2
    errors = capsys.readouterr().err.strip()
    assert len(errors.splitlines()) == 1 and all(word in errors for word in words), errors
    assert not trained
    # Nothing was prepared for it.
    assert not list((tmp_path / "data").glob("*/*/*/metadata.json"))


def test_the_summary_counts_what_the_recipe_counts(trained, capsys):
    assert main(["train", "erann"]) == 0
    assert "val_accuracy 0.7500 after iteration 20 of 30" in capsys.readouterr().out
    assert main(["train", "residual_blocks"]) == 0
    out = capsys.readouterr().out
    assert "val_accuracy 0.7500 in epoch 2 of 3" in out
    assert "next: keras-audio evaluate runs/it" in out


def test_a_folder_is_prepared_as_the_recipe_wants_it(trained, tmp_path, capsys):
    write_sounds(tmp_path / "sounds", bad=True)
    command = ["train", "erann", "--dataset", "audio_folder", "--source", "sounds"]
    assert main(command) == 2
    assert "cat/bad.wav" in capsys.readouterr().err and not trained
    assert main([*command, "--allow-missing"]) == 1
    assert "missing: cat/bad.wav" in capsys.readouterr().err
    assert (tmp_path / "data/audio_folder/44100hz_1ch").is_dir()
    assert trained[0].recipe == ERANN.for_dataset("audio_folder")

    # Once more, and at another rate for another recipe: neither replaces what is there.
    assert main([*command, "--resume"]) == 1
    assert main(["train", "residual_blocks", *command[2:], "--allow-missing"]) == 1
    assert (tmp_path / "data/audio_folder/8000hz_1ch").is_dir()


def test_two_folders_are_not_mixed_up(trained, tmp_path, capsys):
    write_sounds(tmp_path / "first")
    write_sounds(tmp_path / "second", ("rain", "wind"))
    command = ["train", "erann", "--dataset", "audio_folder", "--source"]
    assert main([*command, "first"]) == 0
    capsys.readouterr()
    assert main([*command, "second"]) == 2
    errors = capsys.readouterr().err
    assert "--name" in errors and "second" in errors and len(trained) == 1
    assert main([*command, "second", "--name", "weather"]) == 0
    assert trained[1].recipe == ERANN.for_dataset("weather")
    assert {path.name for path in (tmp_path / "data").iterdir() if path.name[0] != "."} == {
        *("audio_folder", "weather")
    }
    # --force begins all of it anew.
    assert main([*command, "second", "--force"]) == 0
    assert trained[2].force
    labels = (tmp_path / "data/audio_folder/44100hz_1ch").glob("*/metadata.json")
    assert '"rain"' in next(labels).read_text()


def test_pitch_variants_are_prepared_for_the_recipe_that_draws_them(trained, tmp_path):
    write_sounds(tmp_path / "sounds")
    command = ["train", "erann", "--name", "voices", "--source", "sounds"]
    assert main([*command, "--set", "pitch_variants=2"]) == 0
    assert (tmp_path / "data/voices/44100hz_1ch_2pitch").is_dir()
