"""The live table and the lines of a grid, at several widths and heights; the time left."""

import io
import pathlib
import re
import time

import pytest
from cells import Cell
from grid_progress import Entry, estimate, grid_left
from grid_table import LiveTable, PlainLines, render
from rich.console import Console

from keras_audio.recipes import ResidualBlocks

LONG = "mel-mixup=standard-num_filters=16-stages=64x128:10:0.005,128x300:20:0.0001_3"


def entry(variant, fold, state="waiting", **values):
    recipe = ResidualBlocks(dataset="esc10", fold=fold, epochs=20)
    found = Entry(Cell(recipe, pathlib.Path("runs/r") / variant / f"esc10-fold{fold}-seed0"))
    found.state = state
    for name, value in values.items():
        setattr(found, name, value)
    return found


def some():
    """Five cells, one a state; what runs has 5 of 20 rounds and 90 s to go."""
    training = entry("rb4-standard", 2, "training", rounds=5, best=0.5125, left=90.0)
    training.began = time.monotonic() - 30
    return [
        entry("rb4-standard", 1, "done", seconds=120.0, score=0.6875, here=True),
        training,
        entry(LONG, 1, "failed", seconds=3.0, failure="exit 2"),
        entry(LONG, 2),
        entry("rb6-[standard]", 3),
    ]


def drawn(entries, width, height=40, jobs=1, passed=150.0):
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(render(entries, jobs, width=width, height=height, passed=passed))
    return console.file.getvalue().rstrip("\n").splitlines()


def test_each_cell_has_a_line():
    heading, header, *lines = drawn(some(), 120)
    # 90 s of the one that runs, and two like the one that is done.
    assert heading == (
        "1 of 5 done, about 5 min 30 s left, 1 running, 1 failed, 2 waiting, 2 min 30 s so far"
    )
    assert header.split() == ["variant", "run", "state", "score", "time", "left"]
    done, training, failed, waiting, bracketed = (line.split() for line in lines)
    assert done[1:] == ["esc10-fold1-seed0", "done", "0.6875", "2", "min", "00", "s"]
    assert " ".join(training) == (
        "rb4-standard esc10-fold2-seed0 training 5/20 0.5125 30 s 1 min 30 s"
    )
    assert failed[1:] == ["esc10-fold1-seed0", "failed", "3", "s"]
    assert waiting[1:] == ["esc10-fold2-seed0", "waiting"]
    assert bracketed[0] == "rb6-[standard]"


@pytest.mark.parametrize("width", [40, 50, 64, 80, 100, 200])
def test_lines_are_as_long_as_the_terminal_is_wide(width):
    entries = some()
    lines = drawn(entries, width)
    assert len(lines) == 2 + len(entries) and max(map(len, lines)) <= width
    # The variant gives way; what tells runs apart and what they do does not.
    for line, found in zip(lines[2:], entries, strict=True):
        assert found.state in line
        assert width < 50 or found.run in line
    assert [title in lines[1] for title in ("score", "left")] == [width >= 50, width >= 80]
    assert (LONG in lines[4]) == (width == 200)


@pytest.mark.parametrize("height", [5, 8, 12, 24])
def test_a_large_grid_has_what_runs_and_a_line_a_variant(height):
    entries = [entry(f"v{number:02}", fold) for number in range(30) for fold in range(1, 6)]
    for found in entries[:10]:
        found.state, found.seconds, found.score, found.here = "done", 100.0, 0.5, True
    for found in entries[10:12]:
        found.state, found.began = "training", time.monotonic() - 50
    entries[13].state = "failed"
    lines = drawn(entries, 100, height, jobs=2)
    assert len(lines) <= height - 1
    assert re.match("10 of 150 done, about .* left, 2 running, 1 failed, 137 waiting", lines[0])
    text = "\n".join(lines)
    if height >= 8:
        assert text.count("training 0/20") == 2
    if height >= 12:
        assert "v02" in text and "0 of 5 done, 2 running, 1 failed  " in text
        assert lines[-1].endswith("variants more")
    if height >= 24:
        assert "v03" in text and "v00" not in text and "failed" in lines[4]
    # With room for all variants, all are there.
    lines = drawn(entries, 100, 45, jobs=2)
    assert "v00" in "\n".join(lines) and "0.5000" in "\n".join(lines)
    assert "more" not in lines[-1]


def test_nothing_to_run_is_a_line():
    assert drawn([], 80, passed=0.0)[0] == "0 of 0 done"


def test_the_table_is_drawn_in_its_place_and_stays():
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=90, height=30, color_system=None)
    entries = some()
    with LiveTable(entries, 1, console) as table:
        table.tick()
        entries[1].state, entries[1].seconds, entries[1].score = "done", 60.0, 0.75
        table.changed(entries[1])
        table.note("stopping: wait")
    # What is drawn over is erased line by line, and the last drawing is left.
    *before, last = written.getvalue().split("1 of 5 done")[1].split("2 of 5 done")
    assert "training 5/20" in before[0] and "\x1b[1A\x1b[2K" in before[0]
    assert "training" not in last and "0.7500" in last and "stopping: wait" in last


def test_lines_say_what_changed(capsys):
    entries = some()
    with PlainLines(entries, 1) as lines:
        lines.changed(entries[1])
        lines.changed(entries[0])
        lines.tick()
    first, training, done = capsys.readouterr().out.splitlines()
    assert first == "1 of 5 done, 1 running, 1 failed, 2 waiting"
    assert training == "rb4-standard/esc10-fold2-seed0: training"
    assert done == (
        "rb4-standard/esc10-fold1-seed0: done; score 0.6875; 2 min 00 s; "
        "1 of 5 done, about 5 min 30 s left, 1 running, 1 failed, 2 waiting"
    )


def test_time_left_is_that_of_jobs_side_by_side():
    assert grid_left([], [60.0] * 4, 1) == 240.0
    assert grid_left([], [60.0] * 4, 2) == 120.0
    assert grid_left([50.0], [10.0, 10.0], 4) == 50.0
    # What nobody knows yet is not guessed.
    assert estimate([entry("a", 1), entry("a", 2)], 2) == (None, {})
    # One that was finished by an earlier call tells, until this one has its own.
    before = entry("a", 1, "done", seconds=40.0)
    assert estimate([before, entry("a", 2), entry("b", 1)], 1)[0] == 80.0
    here = entry("a", 3, "done", seconds=70.0, here=True)
    assert estimate([before, here, entry("a", 2), entry("b", 1)], 1)[0] == 140.0
