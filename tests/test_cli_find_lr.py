"""`keras-audio find-lr`: its options, what it prints, and the command that it ends with."""

import pathlib
import shlex
import types

import numpy as np
import pytest

import keras_audio.training.range_test
from keras_audio.cli import main
from keras_audio.cli_parser import build_parser
from keras_audio.cli_recipe import asked_recipe
from keras_audio.recipes import ERANN, ProgressiveResizing, ResidualBlocks
from keras_audio.schedules import LossWatch
from keras_audio.training.range_test import RateCurve

TINY = ["network=m3", "first_stride=16", "duration=0.5", "batch_size=8"]


@pytest.fixture
def found(monkeypatch, tmp_path):
    """What is asked of the range test, which this stands in for; its losses are `losses`."""
    asked = types.SimpleNamespace(losses=[3.0, 2.9, 2.4, 1.7, 1.5, 9.0], diverged=True)

    def find(recipe, schedule, **arguments):
        vars(asked).update(recipe=recipe, schedule=schedule, **arguments)
        watch = LossWatch(beta=0.0)
        for loss in asked.losses:
            watch.add(loss)
        return RateCurve(schedule, watch, asked.diverged)

    monkeypatch.setattr(keras_audio.training.range_test, "find_learning_rate", find)
    monkeypatch.chdir(tmp_path)
    return asked


RATES = ["--start", "1e-5", "--end", "1e1", "--steps", "6"]


@pytest.mark.parametrize(
    ("arguments", "recipe", "ends"),
    [
        (
            "residual_blocks --dataset esc10 --set block=rb4 --set learning_rate=1",
            ResidualBlocks(dataset="esc10", fold=1, block="rb4", learning_rate=1.0),
            "residual_blocks --dataset esc10 --set block=rb4 --set learning_rate=0.01",
        ),
        (
            "erann --fold 2 --seed 5 --data-dir elsewhere",
            ERANN(fold=2, seed=5),
            "erann --fold 2 --seed 5 --data-dir elsewhere --set learning_rate=0.01",
        ),
        (
            "progressive_resizing --stage 2 --set stages=64x128:1:5e-3,128x300:3:1/3:constant",
            ProgressiveResizing(stages="64x128:1:5e-3,128x300:3:1/3:constant"),
            "progressive_resizing --set stages=64x128:1:0.005,128x300:3:0.01/3:constant",
        ),
    ],
)
def test_it_ends_with_the_training_to_run(arguments, recipe, ends, found, capsys):
    assert main(["find-lr", *arguments.split(), *RATES]) == 0
    assert found.recipe == recipe
    assert found.schedule.get_config() == {"start": 1e-5, "end": 10.0, "steps": 6}
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "the averaged loss diverged at a rate of 1, in step 6 of 6"
    assert lines[1:4] == [
        "steepest        0.001",
        "largest stable  0.01",
        "tenth of least  0.01",
    ]
    assert lines[-1] == f"next: keras-audio train {ends}"
    # That command is one, and asks for the recipe at that rate.
    options = build_parser().parse_args(shlex.split(lines[-1])[2:])
    again = asked_recipe(options)
    if isinstance(recipe, ProgressiveResizing):
        assert [stage.learning_rate for stage in again.plan] == [5e-3, 0.01]
    else:
        assert again.learning_rate == 0.01


def test_what_it_says_where_nothing_diverged_or_fell(found, capsys, tmp_path):
    found.losses, found.diverged = list(np.linspace(1.0, 1.1, 6)), False
    assert main(["find-lr", "erann", *RATES, "--to", "there"]) == 0
    printed = capsys.readouterr().out
    assert "did not diverge up to a rate of 1: a higher --end" in printed
    assert "did not fall anywhere: try a lower --start" in printed
    assert "next:" not in printed
    names = sorted(path.name for path in (tmp_path / "there").iterdir())
    assert names == ["range_test.csv", "range_test.svg"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("erann --start 1 --end 0.1", ["0 < start < end", "start=1.0, end=0.1"]),
        ("erann --set speed=1", ["field of the recipe erann", "speed"]),
        ("", ["Expected a recipe", "neither"]),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(arguments, words, found, capsys):
    assert main(["find-lr", *arguments.split()]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("/proc/x", "No such file or directory"),
        ("note.txt", "File exists"),
        ("note.txt/below", "Not a directory"),
        ("new/" + 300 * "x", "File name too long"),
    ],
)
def test_a_folder_that_cannot_be_made_is_refused_before_the_steps(to, reason, found, capsys):
    note = pathlib.Path("note.txt")
    note.write_text("mine")
    assert main(["find-lr", "erann", *RATES, "--to", to]) == 2
    error = capsys.readouterr().err
    assert f"Expected a folder to write to, got {reason}. Received: --to {to}" in error
    assert error.count("\n") == 1
    assert not hasattr(found, "recipe")  # nothing was asked of the test
    assert list(pathlib.Path().iterdir()) == [note] and note.read_text() == "mine"


@pytest.mark.parametrize("there", [None, "new", "new/folder"])
def test_a_test_that_fails_leaves_the_folder_as_it_was(there, found, monkeypatch, capsys):
    def fail(*arguments, **settings):
        raise ValueError("Expected records. Received: none")

    monkeypatch.setattr(keras_audio.training.range_test, "find_learning_rate", fail)
    if there:
        pathlib.Path(there).mkdir(parents=True)
    before = list(pathlib.Path().rglob("*"))
    assert main(["find-lr", "erann", "--to", "new/folder"]) == 2
    assert "Expected records" in capsys.readouterr().err
    assert list(pathlib.Path().rglob("*")) == before


@pytest.mark.parametrize("option", ["--start=0", "--end=inf", "--end=x", "--steps=0", "--stage=0"])
def test_numbers_that_are_none(option, capsys):
    with pytest.raises(SystemExit) as status:
        main(["find-lr", "erann", option])
    assert status.value.code == 2
    assert option.partition("=")[0] in capsys.readouterr().err


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as status:
        main(["find-lr", "--help"])
    assert status.value.code == 0
    text = capsys.readouterr().out
    assert "examples:\n  keras-audio find-lr" in text
    assert "largest value that achieves a stable reduction in loss" in text


def test_on_real_records(toy_data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = ["residual_blocks", "--dataset", "toy_sounds", "--data-dir", str(toy_data)]
    settings = [f"--set={setting}" for setting in TINY]
    assert main(["find-lr", *asked, *settings, "--steps", "12", "--end", "0.1"]) == 0
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert names == ["range_test", "range_test/range_test.csv", "range_test/range_test.svg"]
    printed = capsys.readouterr().out
    assert "next: keras-audio train residual_blocks --dataset toy_sounds" in printed
    assert len((tmp_path / names[1]).read_text().splitlines()) == 13
