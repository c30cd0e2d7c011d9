"""The grid runner with real trainings: refused, locked, stopped, killed, and bit-equal then."""

import csv
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from cells import Cell
from grid import expand
from grids import call

from keras_audio.files import locked, write_json
from keras_audio.recipes import ResidualBlocks
from keras_audio.training.opening import lock_of
from keras_audio.training.run_folder import RunFolder

REPOSITORY = pathlib.Path(__file__).parents[2]
SCRIPT = REPOSITORY / "experiments" / "residual_blocks.py"
SMALL = ResidualBlocks(
    dataset="toy_sounds", network="m3", epochs=1, duration=0.5, first_stride=16, batch_size=16
)


def test_a_run_and_one_of_another_recipe(toy_data, tmp_path, capsys):
    found = expand([Cell(SMALL, tmp_path)], [1, 2], [0])
    other = dataclasses.replace(found[1].recipe, epochs=3)
    write_json(found[1].path / "recipe.json", other.to_dict())
    write_json(found[1].path / "done.json", {"seconds": 1.0})
    assert call(found, data_dir=str(toy_data)) == (1, 1)
    printed = capsys.readouterr()
    assert re.search(r"fold1-seed0: done; score 0\.\d{4}; .* s; 1 of 2 done", printed.out)
    failed, _ = printed.err.splitlines()
    assert f"failed: {found[1].path}: exit 2, keras-audio: Expected the recipe of the run" in failed
    assert "Received: epochs: 3 there, 1 asked for" in failed
    cores = len(os.sched_getaffinity(0))
    assert RunFolder(found[0].path).environment["cores"] == max(1, cores // 2)


@pytest.mark.slow
def test_a_run_that_another_trains_fails_alone(toy_data, tmp_path, capsys):
    found = expand([Cell(SMALL, tmp_path)], [1, 2], [0])
    with locked(lock_of(found[0].path), "train this run"):
        assert call(found, data_dir=str(toy_data)) == (1, 1)
    printed = capsys.readouterr()
    failed, _ = printed.err.splitlines()
    assert "Expected to be the only process to train this run" in failed
    assert "fold2-seed0: done" in printed.out
    assert call(found, data_dir=str(toy_data)) == (0, 1)


def script(toy_data, tmp_path, *arguments):
    command = [sys.executable, SCRIPT, "--dataset", "toy_sounds", "--networks", "m3"]
    command += ["--inputs", "standard", "--data-dir", toy_data, "--runs", tmp_path / "runs"]
    command += ["--to", tmp_path / "results", "--jobs", "2", "--set", "first_stride=16"]
    command += ["--set", "duration=0.5", *arguments]
    return subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )


@pytest.mark.slow
def test_stopped_and_killed_runs_end_as_unbroken_ones(toy_data, tmp_path):
    arguments = ["--folds", "1,2", "--set", "epochs=8", "--set", "early_stopping_patience=8"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    unbroken = script(toy_data, whole, *arguments)
    said, errors = unbroken.communicate()
    assert (unbroken.returncode, errors) == (0, "")
    with open(whole / "results" / "residual_blocks_toy_sounds.csv", newline="") as file:
        assert {row["fold"] for row in csv.DictReader(file)} == {"1", "2"}
    folder = broken / "runs" / "residual_blocks" / "m3-standard"
    paths = [folder / f"toy_sounds-fold{fold}-seed0" for fold in (1, 2)]

    stopped = script(toy_data, broken, *arguments)
    _wait_for(lambda: all((path / "history.csv").is_file() for path in paths))
    stopped.send_signal(signal.SIGINT)
    _, errors = stopped.communicate()
    assert stopped.returncode == 130
    assert "stopped: 0 of 2 done, 2 stopped; the same command goes on from there" in errors
    assert all("stopped after round" in path.with_suffix(".log").read_text() for path in paths)

    killed = script(toy_data, broken, *arguments)
    begun = len(RunFolder(paths[0]).history()["epoch"])
    _wait_for(lambda: len(RunFolder(paths[0]).history()["epoch"]) > begun)
    _kill_training(paths[0])
    said, errors = killed.communicate()
    assert killed.returncode == 1
    assert f"failed: {paths[0]}: killed by SIGKILL" in errors
    assert "fold2-seed0: done" in said

    last = script(toy_data, broken, *arguments)
    said, errors = last.communicate()
    assert (last.returncode, errors) == (0, "")
    assert f"tried again, since they failed before:\n  {paths[0]}" in said
    for path in paths:
        run, unbroken = RunFolder(path), RunFolder(whole / path.relative_to(broken))
        for ours, theirs in zip(
            run.model().get_weights(), unbroken.model().get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
        history, expected = run.history(), unbroken.history()
        for name in set(expected) - {"seconds"}:
            np.testing.assert_array_equal(history[name], expected[name])


def _wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _kill_training(path):
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"keras_audio.cli" in words and str(path).encode() in words:
            os.kill(int(process.name), signal.SIGKILL)
