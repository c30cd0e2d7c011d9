"""From a trained network and a folder of other sounds to an exported model, by one command."""

import csv
import dataclasses
import json
import signal

import numpy as np
import pytest
import soundfile
from broken_runs import stopping_at
from harness import randomize
from untrained_runs import untrained

from keras_audio.cli import main
from keras_audio.data import open_records
from keras_audio.recipes import ERANN
from keras_audio.training import RunFolder, train
from keras_audio.training.loop import TrainingLoop

RATE = 44100
# The smallest of their kinds on clips of a second, ERANN with all that the paper does to them.
ERANN_SETTINGS = ["batch_size=4", "crop_duration=0.8", "iterations=4", "evaluation_interval=2"]
M3_SETTINGS = ["batch_size=3", "duration=0.5", "epochs=2"]
NETWORKS = {
    "m3": ("residual_blocks", ["network=m3", "first_stride=16"], M3_SETTINGS),
    "erann_3_1": ("erann", ["s_m=3", "width=1"], ERANN_SETTINGS),
}


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


@pytest.fixture(scope="module", params=["m3", pytest.param("erann_3_1", marks=pytest.mark.slow)])
def source(request, place):
    """The run of a network that was trained on the first folder."""
    recipe, network, settings = NETWORKS[request.param]
    status = main(
        ["train", recipe, "--dataset", "audio_folder", "--source", str(place / "sounds")]
        + [f"--set={setting}" for setting in (*network, *settings)]
        + ["--data-dir", str(place / "data"), "--runs", str(place / "runs")]
    )
    assert status == 0
    return RunFolder(place / "runs" / recipe / "audio_folder-fold1-seed0")


def command(place, source, run, *extra):
    """The one command, on the second folder, with the network that `source` settles."""
    settings = [f"--set={setting}" for setting in NETWORKS[source.recipe.model_name][2]]
    arguments = ["train", "--init-from", source.path, "--dataset", "audio_folder", "--name", "pets"]
    arguments += ["--source", place / "pets", *settings, "--data-dir", place / "data"]
    return [str(argument) for argument in (*arguments, "--run", run, *extra)]


def arrays(run):
    with np.load(run / "checkpoints" / "last.npz") as file:
        return {name: file[name] for name in file.files if name != "position"}


def scores(run):
    with open(run / "history.csv", newline="") as file:
        return [{**row, "seconds": None} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def tuned(place, source):
    """The run that the one command made, stopped in its second round and gone on with."""
    model = source.path.parent / "model"
    path = source.path.parent / "tuned"
    arguments = command(place, source, path, "--export", model)
    with pytest.MonkeyPatch.context() as patch:
        stopping_at(patch, 5)
        assert main(arguments) == 128 + signal.SIGTERM
    run = RunFolder(path)
    assert len(scores(path)) == 1
    assert not (path / "done.json").exists() and not model.exists()
    assert main([*arguments, "--resume"]) == 0
    return run


def test_one_command_leads_from_a_folder_to_a_model_of_its_classes(place, source, tuned, capsys):
    assert tuned.recipe.model_name == source.recipe.model_name
    if source.recipe.name == "erann":  # fine-tuned as the paper does
        assert (tuned.recipe.learning_rate, source.recipe.learning_rate) == (1e-4, 2e-4)
        assert tuned.finished["iterations"] == 4 and tuned.finished["best_iteration"] in (2, 4)
    assert (tuned.path / "report.html").is_file()

    assert (source.labels, tuned.labels) == (["beep", "hiss", "hum"], ["cat", "dog"])
    capsys.readouterr()
    model, sound = source.path.parent / "model", place / "pets" / "dog" / "0.wav"
    assert main(["predict", str(model), str(sound), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {entry["label"] for entry in answer["classes"]} == {"cat", "dog"}


def test_stopped_and_gone_on_with_it_ends_where_an_unbroken_one_does(place, source, tuned):
    whole = source.path.parent / "whole"
    assert main(command(place, source, whole)) == 0
    ours, theirs = arrays(tuned.path), arrays(whole)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert scores(tuned.path) == scores(whole) and len(scores(whole)) == 2


def test_it_goes_on_from_the_first_weights_only(place, source, tuned, tmp_path, capsys):
    other = tmp_path / "other.keras"
    other.write_bytes((source.path / "model.keras").read_bytes() + b"\0")
    # The run keeps a copy of the source, which may be gone by now; what that settled is asked for.
    kept, settled = tuned.path / "initial.keras", NETWORKS[source.recipe.model_name][1]
    for path, status in ((other, 2), (kept, 0)):
        extra = [f"--set={setting}" for setting in settled]
        arguments = command(place, source, tuned.path, "--resume", *extra)
        arguments[arguments.index(str(source.path))] = str(path)
        assert main(arguments) == status
    assert f"begun with, from {source.path}" in capsys.readouterr().err


@pytest.fixture(scope="module")
def erann(place):
    """The run of an ERANN whose weights, and statistics, are unlike those of a new one."""
    for name in ("sounds", "pets"):
        arguments = ["audio_folder", "--source", place / name, "--name", name]
        arguments += ["--sample-rate", RATE, "--data-dir", place / "erann"]
        assert main(["prepare", *map(str, arguments)]) == 0
    records = open_records("sounds", sample_rate=RATE, data_dir=place / "erann")
    settings = {"s_m": 3, "width": 1, "batch_size": 4, "crop_duration": 0.8}
    recipe = ERANN.for_dataset("sounds", fold=1, **settings)
    run = RunFolder(untrained(recipe, records, place / "erann" / "run"))
    model = run.model()
    randomize(model)
    model.save(run.path / "model.keras")
    return run


def test_training_and_its_average_begin_with_the_weights_of_the_source(
    place, erann, tmp_path, monkeypatch
):
    class Begun(Exception):
        pass

    def begin(loop, *arguments, **keywords):
        raise Begun(loop)

    monkeypatch.setattr(TrainingLoop, "train", begin)
    recipe = dataclasses.replace(erann.recipe, dataset="pets", seed=5)
    with pytest.raises(Begun) as begun:
        train(recipe, data_dir=place / "erann", run=tmp_path / "run", init_from=erann.path)
    loop, trained = begun.value.args[0], erann.model()
    compared = [layer for layer in trained.layers if layer.weights and layer.name != "logits"]
    assert len(compared) > 50
    for layer in compared:
        pairs = zip(layer.weights, loop.full.get_layer(layer.name).weights, strict=True)
        assert all(np.array_equal(theirs.numpy(), ours.numpy()) for theirs, ours in pairs)
    assert loop.full.output_shape == (None, 2)
    raw = [weight.numpy() for weight in loop.full.weights]
    with loop.average.in_place():
        assert all(map(np.array_equal, raw, [weight.numpy() for weight in loop.full.weights]))


def test_a_network_of_another_size_is_refused_by_the_layers_name(place, erann, tmp_path, capsys):
    assert main(command(place, erann, tmp_path / "run", "--set=width=2")) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("keras-audio: Expected a source whose layers fit erann_3_2, layer ")
    assert "stage0_block1_conv1 " in error and "erann_3_1" in error
    assert not (tmp_path / "run").exists()  # the corrected command finds the place free
