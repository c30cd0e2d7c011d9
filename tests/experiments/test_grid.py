"""The grid runner: what runs, what is skipped, what fails, how it is stopped and goes on."""

import json
import os
import pathlib
import re
import signal
import sys
import threading
import time

import grid
import grid_process
import grid_progress
import pytest
from cells import Cell
from grid import expand
from grids import call, cells_of

from keras_audio.files import write_json, write_text
from keras_audio.recipes import ResidualBlocks

HERE = pathlib.Path(__file__).parent


@pytest.fixture
def pretended(monkeypatch):
    """Commands are run by a script that only pretends to train."""
    monkeypatch.setattr(grid_process, "PROGRAM", (sys.executable, HERE / "pretended.py"))
    monkeypatch.setattr(grid.cells, "with_records", lambda found, _: (list(found), ""))
    monkeypatch.setenv("PYTHONPATH", str(HERE.parents[1]))


def starts(cell):
    """The verbs of the processes that a cell's log has."""
    log = grid_process.log_of(cell.path)
    return re.findall(r"^# .* keras-audio (\w+)", log.read_text(), re.M) if log.exists() else []


# What is run. -------------------------------------------------------------------------------------


def test_cells_are_variants_by_seeds_by_folds():
    variants = [
        Cell(ResidualBlocks(dataset=name, network="m3"), pathlib.Path(f"runs/r/{name[:4]}"))
        for name in ("esc10", "toy_scenes/1a")
    ]
    found = expand(variants, None, [0, 1])
    assert [(c.recipe.seed, c.recipe.fold) for c in found] == [
        *((seed, fold) for seed in (0, 1) for fold in range(1, 6)),
        *((0, 1), (1, 1)),
    ]
    assert found[-1].path.as_posix() == "runs/r/toy_/toy_scenes_1a-fold1-seed1"
    by_fold = expand(variants, [1, 2], [0], by_fold=True)
    assert [c.recipe.fold for c in by_fold] == [1, 1, 2, 2]


def test_all_is_run_once(pretended, tmp_path, capsys):
    found = cells_of(tmp_path)
    assert call(found) == (0, 1)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "0 of 3 done, 3 waiting"
    for fold in (1, 2, 3):
        states = [line.partition(": ")[2] for line in said if f"m3/toy_sounds-fold{fold}" in line]
        assert states[:2] == ["training", "evaluating"]
        assert states[2].startswith("done; score 0.7500; 5 s; ")
    assert said[-1].endswith("; 3 of 3 done")
    assert [starts(cell) for cell in found] == [["train", "evaluate"]] * 3
    logs = [grid_process.log_of(cell.path).read_text() for cell in found]
    assert all(text.count("exit 0 after") == 2 for text in logs)
    # Nothing is started for what is done.
    assert call(found) == (0, 1)
    assert capsys.readouterr().out == "3 of 3 done\n"
    assert [starts(cell) for cell in found] == [["train", "evaluate"]] * 3
    # What was trained anew since is measured again.
    (found[0].path / "done.json").touch()
    later = time.time() + 5
    os.utime(found[0].path / "done.json", (later, later))
    call(found)
    assert starts(found[0]) == ["train", "evaluate", "evaluate"]


def test_a_run_of_another_recipe_is_not_taken_for_done(pretended, tmp_path):
    (cell,) = cells_of(tmp_path, [1])
    call([cell])
    other = Cell(ResidualBlocks(dataset="toy_sounds", network="m3", epochs=3, fold=1), cell.path)
    assert next(other.commands("data"))[0] == "train"
    assert list(cell.commands("data")) == []
    # Nor is one that began with other weights.
    (tmp_path / "old.keras").write_text("weights")
    tuned = Cell(cell.recipe, cell.path, ("--init-from", str(tmp_path / "old.keras")))
    assert next(tuned.commands("data"))[-1] == "--resume"
    digest = "9b6e32d5be0fb5fe5be1d82dc2bcb7ebbd3d5d0f9e1e0e7e5e5b2cf4f6e1a0c5"
    write_json(cell.path / "initial.json", {"source": "old.keras", "sha256": digest})
    assert next(tuned.commands("data"))[0] == "train"
    from keras_audio.training.opening import file_digest

    digest = file_digest(tmp_path / "old.keras")
    write_json(cell.path / "initial.json", {"source": "old.keras", "sha256": digest})
    assert list(tuned.commands("data")) == []


def test_tables_alone_run_nothing(pretended, tmp_path, capsys):
    found = cells_of(tmp_path)
    assert call(found, tables_only=True) == (0, 1)
    assert capsys.readouterr().out == "" and not any(tmp_path.iterdir())


def test_smoke_tests_of_a_variant_share_a_folder_one_after_the_other(pretended, tmp_path, capsys):
    found = cells_of(tmp_path, networks=("m3", "m5"))
    (tmp_path / "m5").mkdir()
    (tmp_path / "m5" / "smoke.does").write_text("die")  # once
    assert call(found, jobs=3, smoke=True) == (1, 0)
    printed = capsys.readouterr()
    assert "smoke test: 5 of 6 passed" in printed.out
    assert "killed by SIGKILL" in printed.err and "tries again" not in printed.err
    for name in ("m3", "m5"):
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["smoke", "smoke.log"]
        # No process was begun before the one before it had ended.
        notes = re.findall(r"^# \S+ \S+ (\S+)", (tmp_path / name / "smoke.log").read_text(), re.M)
        assert notes[::2] == ["keras-audio"] * 3 and "keras-audio" not in notes[1::2]


# The machine is shared. ---------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs cores that can be chosen")
def test_jobs_run_on_cores_of_their_own(pretended, tmp_path, capsys):
    cores = sorted(os.sched_getaffinity(0))
    found = cells_of(tmp_path, [1, 2])
    for cell in found:  # both at a time, until the grid is stopped
        write_text(cell.path.with_name(f"{cell.path.name}.does"), "wait")
    stop_when_begun(found)
    call(found)
    used = [
        json.loads(re.search(r"on cores (.*)", grid_process.log_of(cell.path).read_text())[1])
        for cell in found
    ]
    each = max(1, len(cores) // 2)
    assert [len(share) for share in used] == [each, each]
    assert len(cores) == 1 or not set(used[0]) & set(used[1])
    assert set(used[0] + used[1]) <= set(cores) == os.sched_getaffinity(0)
    capsys.readouterr()
    # More jobs than cores are a note. One alone may use all.
    call(found, jobs=len(cores) + 1)
    assert f"note: {len(cores) + 1} jobs share {len(cores)} CPU cores" in capsys.readouterr().out
    (cell,) = cells_of(tmp_path, [3])
    call([cell], jobs=1)
    assert f"on cores {cores}" in grid_process.log_of(cell.path).read_text()


def test_gpus_are_dealt_out(monkeypatch):
    def environments(jobs, gpus):
        return [dict(share.environment) for share in grid_process.shares(jobs, [0], gpus)]

    visible, growth = "CUDA_VISIBLE_DEVICES", {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    assert environments(2, ["4", "7"]) == [{visible: "4"}, {visible: "7"}]
    assert environments(3, ["4", "7"])[2] == {visible: "4"} | growth
    assert environments(2, ["0"]) == [growth, growth]
    assert environments(2, []) == [{}, {}]
    assert environments(1, ["0", "1"]) == [{}]


# What fails. --------------------------------------------------------------------------------------


def test_a_grid_goes_on_past_what_fails_and_tries_it_again(pretended, tmp_path, capsys):
    found = cells_of(tmp_path, [1, 2, 3])
    does = [cell.path.with_name(f"{cell.path.name}.does") for cell in found]
    write_text(does[0], "fail")
    write_text(does[1], "die")
    assert call(found) == (1, 1)
    printed = capsys.readouterr()
    first, second, last = printed.err.splitlines()
    log = grid_process.log_of(found[0].path)
    assert first == (f"failed: {found[0].path}: exit 1, ValueError: broken on purpose (log: {log})")
    assert f"{found[1].path}: killed by SIGKILL, for want of memory maybe, round 1" in second
    assert last == "the same command tries again what failed"
    assert "m3/toy_sounds-fold3-seed0: done" in printed.out and "2 failed" in printed.out
    markers = sorted(tmp_path.rglob(".*.failed"))
    assert len(markers) == 2 and "broken on purpose" in markers[0].read_text()
    # The next call says that it tries again; the one that died goes through now.
    assert call(found) == (1, 1)
    printed = capsys.readouterr()
    again = f"tried again, since they failed before:\n  {found[0].path}\n  {found[1].path}\n"
    assert again in printed.out and printed.err.count("failed:") == 1
    assert [path.name for path in tmp_path.rglob(".*.failed")] == [markers[0].name]
    assert starts(found[2]) == ["train", "evaluate"]
    does[0].unlink()
    assert call(found) == (0, 1)
    assert capsys.readouterr().err == "" and not list(tmp_path.rglob(".*.failed"))


def test_what_cannot_be_logged_or_started_fails_alone(pretended, tmp_path, capsys, monkeypatch):
    found = cells_of(tmp_path, [1, 2])
    grid_process.log_of(found[0].path).mkdir(parents=True)
    assert call(found) == (1, 1)
    printed = capsys.readouterr()
    assert "Is a directory" in printed.err and "fold2-seed0: done" in printed.out


# Stopping. ----------------------------------------------------------------------------------------


def stop_when_begun(found, *numbers):
    """Send signals to this process, once trainings of all cells wait for them."""

    def send():
        deadline = time.monotonic() + 30
        while not all((cell.path / "begun").exists() for cell in found):
            if time.monotonic() > deadline:
                return
            time.sleep(0.02)
        for number in numbers or (signal.SIGINT,):
            os.kill(os.getpid(), number)
            time.sleep(0.3)

    threading.Thread(target=send, daemon=True).start()


@pytest.fixture
def hearing_hangups():
    """A grid heeds SIGHUP but under `nohup`, where these tests may run too."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("number", "got"), [("SIGINT", 2), ("SIGTERM", 15), ("SIGHUP", 15)])
def test_a_signal_is_passed_on_and_the_same_command_goes_on(
    pretended, tmp_path, capsys, number, got, hearing_hangups
):
    found = cells_of(tmp_path, [1, 2, 3, 4])
    for cell in found[:2]:
        write_text(cell.path.with_name(f"{cell.path.name}.does"), "wait")
    stop_when_begun(found[:2], signal.Signals[number])
    assert call(found) == (128 + signal.Signals[number], 0)
    printed = capsys.readouterr()
    assert "stopping 2 of the cells; another Ctrl-C kills them" in printed.out
    (said,) = printed.err.splitlines()
    assert said == (
        "stopped: 0 of 4 done, 2 stopped, 2 waiting; the same command goes on from there"
    )
    for cell in found[:2]:
        assert (cell.path / "checkpoint").read_text() == f"[{got}]"
    assert [starts(cell) for cell in found] == [["train"], ["train"], [], []]
    assert not list(tmp_path.rglob(".*.failed"))
    assert call(found) == (0, 1)
    assert starts(found[0]) == ["train", "train", "evaluate"]


def test_a_second_signal_kills(pretended, tmp_path, capsys):
    found = cells_of(tmp_path, [1, 2])
    write_text(found[0].path.with_name(f"{found[0].path.name}.does"), "hang")
    write_text(found[1].path.with_name(f"{found[1].path.name}.does"), "hang")
    stop_when_begun(found, signal.SIGINT, signal.SIGINT)
    before = time.monotonic()
    assert call(found) == (130, 0)
    assert time.monotonic() - before < 30
    for cell in found:
        text = grid_process.log_of(cell.path).read_text()
        assert "killed by SIGKILL" in text
        with pytest.raises(ProcessLookupError):
            os.kill(int(re.search(r"train in (\d+)", text)[1]), 0)


def test_an_error_of_the_grid_leaves_nothing_running(pretended, tmp_path, monkeypatch):
    (cell,) = cells_of(tmp_path, [1])
    write_text(cell.path.with_name(f"{cell.path.name}.does"), "hang")

    def tick(self):
        if (cell.path / "begun").exists():
            raise RuntimeError("a bug")

    monkeypatch.setattr("grid_table.PlainLines.tick", tick)
    monkeypatch.setattr(grid, "_PATIENCE", 0.2)
    with pytest.raises(RuntimeError):
        call([cell])
    said = re.search(r"train in (\d+)", grid_process.log_of(cell.path).read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(int(said[1]), 0)


# How far it is. -----------------------------------------------------------------------------------


def test_a_training_is_followed_by_its_history(tmp_path):
    (cell,) = cells_of(tmp_path, [1])
    entry = grid_progress.Entry(cell, state="training", began=time.monotonic() - 100)
    entry.look()
    assert (entry.rounds, entry.rounds_at_most, entry.best, entry.left) == (0, 2, None, None)
    write_text(cell.path / "history.csv", "epoch,seconds,val_accuracy\n1,30.0,0.25\n")
    entry.look()
    assert (entry.rounds, entry.best) == (1, 0.25)
    assert entry.left == pytest.approx(30, abs=2)
    assert grid_progress.cell_left(entry, 500.0) == entry.left
    # One that is measured needs what others needed beyond.
    entry.state = "evaluating"
    assert grid_progress.cell_left(entry, 130.0) == pytest.approx(30, abs=2)


@pytest.mark.parametrize("jobs", ["0", "two", "-1"])
def test_wrong_jobs_are_refused(load_experiment, jobs, capsys):
    with pytest.raises(SystemExit):
        load_experiment("residual_blocks").parse([f"--jobs={jobs}"])
    assert "--jobs" in capsys.readouterr().err
