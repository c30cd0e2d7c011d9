"""From a trained network and a folder of other sounds to an exported model, by one command."""

import csv
import dataclasses
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from keras_audio.cli import main
from keras_audio.training import RunFolder, train
from keras_audio.training.loop import TrainingLoop

RATE = 44100
# The smallest of its kind on clips of a second, with all that the paper does to them.
SETTINGS = ["batch_size=4", "crop_duration=0.8", "iterations=4", "evaluation_interval=2"]


def write_sounds(folder, kinds):
    """Four clips a class, of a second each: a tone, noise, or both, at a rate of their own."""
    for label, tone, noise in kinds:
        (folder / label).mkdir(parents=True)
        for take in range(4):
            rng = np.random.default_rng([len(label), take])
            times = np.arange(RATE + 100 * take) / RATE
            sound = tone and 0.4 * np.sin(2 * np.pi * (tone + 20 * take) * times)
            sound = sound + noise * rng.normal(size=len(times))
            soundfile.write(folder / label / f"{take}.wav", np.clip(sound, -1, 1), RATE)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with two folders of sounds, of three and of two classes."""
    folder = tmp_path_factory.mktemp("place")
    write_sounds(folder / "sounds", [("hum", 100, 0.01), ("hiss", 0, 0.1), ("beep", 2000, 0.01)])
    write_sounds(folder / "pets", [("cat", 600, 0.02), ("dog", 250, 0.05)])
    return folder


@pytest.fixture(scope="module")
def source(place):
    """The run of a network that was trained on the first folder."""
    status = main(
        ["train", "erann", "--dataset", "audio_folder", "--source", str(place / "sounds")]
        + ["--set=s_m=3", "--set=width=1", *(f"--set={setting}" for setting in SETTINGS)]
        + ["--data-dir", str(place / "data"), "--runs", str(place / "runs")]
    )
    assert status == 0
    return RunFolder(place / "runs" / "erann" / "audio_folder-fold1-seed0")


def command(place, source, run, *extra):
    """The one command, on the second folder, with the network that `source` settles."""
    settings = [f"--set={setting}" for setting in SETTINGS]
    arguments = ["train", "--init-from", source.path, "--dataset", "audio_folder", "--name", "pets"]
    arguments += ["--source", place / "pets", *settings, "--data-dir", place / "data"]
    return [str(argument) for argument in (*arguments, "--run", run, *extra)]


def stop_after_a_round(arguments, run):
    """Start a training and end it, as Ctrl-C does, once it has written its first round."""
    process = subprocess.Popen(
        [sys.executable, "-m", "keras_audio.cli", *arguments], stderr=subprocess.PIPE, text=True
    )
    while not (run / "history.csv").is_file():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def arrays(run):
    with np.load(run / "checkpoints" / "last.npz") as file:
        return {name: file[name] for name in file.files if name != "position"}


def scores(run):
    with open(run / "history.csv", newline="") as file:
        return [{**row, "seconds": None} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def tuned(place, source):
    """The run that the one command made, stopped on its way and gone on with."""
    run = place / "tuned"
    arguments = command(place, source, run, "--export", place / "model")
    status, errors = stop_after_a_round(arguments, run)
    assert status == 128 + signal.SIGTERM and "--resume goes on" in errors
    assert not (run / "done.json").exists() and not (place / "model").exists()
    assert main([*arguments, "--resume"]) == 0
    return RunFolder(run)


def test_one_command_leads_from_a_folder_to_a_model_of_its_classes(place, source, tuned, capsys):
    # Fine-tuned as the paper does.
    assert tuned.recipe.model_name == source.recipe.model_name == "erann_3_1"
    assert (tuned.recipe.learning_rate, source.recipe.learning_rate) == (1e-4, 2e-4)
    assert tuned.finished["iterations"] == 4 and tuned.finished["best_iteration"] in (2, 4)
    assert (tuned.path / "report.html").is_file()

    assert (source.labels, tuned.labels) == (["beep", "hiss", "hum"], ["cat", "dog"])
    capsys.readouterr()
    sound = place / "pets" / "dog" / "0.wav"
    assert main(["predict", str(place / "model"), str(sound), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {entry["label"] for entry in answer["classes"]} == {"cat", "dog"}


def test_stopped_and_gone_on_with_it_ends_where_an_unbroken_one_does(place, source, tuned):
    whole = place / "whole"
    assert main(command(place, source, whole)) == 0
    ours, theirs = arrays(tuned.path), arrays(whole)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert scores(tuned.path) == scores(whole) and len(scores(whole)) == 2


def test_it_goes_on_from_the_first_weights_only(place, source, tuned, tmp_path, capsys):
    other = tmp_path / "other.keras"
    other.write_bytes((source.path / "model.keras").read_bytes() + b"\0")
    # The run keeps a copy of the source, which may be gone by now.
    kept = tuned.path / "initial.keras"
    for path, status in ((other, 2), (kept, 0)):
        arguments = command(place, source, tuned.path, "--resume")
        arguments[arguments.index(str(source.path))] = str(path)
        assert main(arguments) == status
    assert f"begun with, from {source.path}" in capsys.readouterr().err


def test_training_and_its_average_begin_with_the_weights_of_the_source(
    place, source, tmp_path, monkeypatch
):
    class Begun(Exception):
        pass

    def begin(loop, *arguments, **keywords):
        raise Begun(loop)

    monkeypatch.setattr(TrainingLoop, "train", begin)
    recipe = dataclasses.replace(source.recipe, dataset="pets", seed=5)
    with pytest.raises(Begun) as begun:
        train(recipe, data_dir=place / "data", run=tmp_path / "run", init_from=source.path)
    loop, trained = begun.value.args[0], source.model()
    compared = [layer for layer in trained.layers if layer.weights and layer.name != "logits"]
    assert len(compared) > 50
    for layer in compared:
        pairs = zip(layer.weights, loop.full.get_layer(layer.name).weights, strict=True)
        assert all(np.array_equal(theirs.numpy(), ours.numpy()) for theirs, ours in pairs)
    assert loop.full.output_shape == (None, 2)
    raw = [weight.numpy() for weight in loop.full.weights]
    with loop.average.in_place():
        assert all(map(np.array_equal, raw, [weight.numpy() for weight in loop.full.weights]))


def test_a_network_of_another_size_is_refused_by_the_layers_name(place, source, tmp_path, capsys):
    assert main(command(place, source, tmp_path / "run", "--set=width=2")) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("keras-audio: Expected a source whose layers fit erann_3_2, layer ")
    assert "stage0_block1_conv1 " in error and "erann_3_1" in error
    assert not (tmp_path / "run").exists()  # the corrected command finds the place free
