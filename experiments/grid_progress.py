"""Where the cells of a grid are, read from their run folders, and when they may be done."""

import csv
import dataclasses
import functools
import heapq
import math
import pathlib
import time
from collections.abc import Iterator, Sequence

from cells import Cell

from keras_audio.files import read_json
from keras_audio.recipes import Recipe

WAITING, DONE, FAILED, STOPPED = "waiting", "done", "failed", "stopped"
# What a cell is called while a command of that verb runs.
RUNNING = {"train": "training", "evaluate": "evaluating", "compress": "compressing"}


@dataclasses.dataclass
class Entry:
    """A cell of a grid and where it is.

    Args:
        cell: The cell.
        smoke: Whether a few steps are made only.
        state: One of `WAITING`, `DONE`, `FAILED`, `STOPPED`, or of the values of `RUNNING`.
        began: When its first process of this call was started, by `time.monotonic`.
        seconds: What it took; of one that an earlier call finished, its training alone.
        score: What it reached, once it is measured.
        failure: What went wrong, in a sentence.
        here: Whether it was run by this call.
        rounds: Rounds of its training that ended.
        best: The best score so far of its training.
        left: Seconds until the end of its training, as far as its rounds tell.
    """

    cell: Cell
    smoke: bool = False
    state: str = WAITING
    began: float | None = None
    seconds: float | None = None
    score: float | None = None
    failure: str = ""
    here: bool = False
    rounds: int = 0
    best: float | None = None
    left: float | None = None

    def __post_init__(self) -> None:
        self.folder = self.cell.folder(self.smoke)
        self.variant, self.run = self.cell.path.parts[-2:]
        self._read: float | None = None
        self._spent = 0.0

    @property
    def is_running(self) -> bool:
        """Whether a process of it runs."""
        return self.state in RUNNING.values()

    @property
    def elapsed(self) -> float:
        """Seconds since its first process of this call was started, or that it took."""
        if self.is_running and self.began is not None:
            return time.monotonic() - self.began
        return self.seconds or 0.0

    def commands(self, data_dir: str) -> Iterator[list[str]]:
        """The commands that are missing, as of the cell."""
        return self.cell.commands(data_dir, self.smoke)

    def end(self, state: str) -> None:
        """Note that no process of it is to follow in this call."""
        self.seconds = self.elapsed
        self.state = state
        if state == DONE and not self.smoke:
            # A part of it may have been trained by an earlier call.
            self.seconds = max(self.seconds, read_json(self.folder / "done.json")["seconds"])
            self.score = _score(self.folder / "metrics.json")

    @functools.cached_property
    def rounds_at_most(self) -> int:
        """The rounds of its training, unless it ends early."""
        return rounds_of(self.cell.recipe)

    def look(self) -> None:
        """Read how far its training is; only where that was written since the last time."""
        file = self.folder / "history.csv"
        if self.smoke or not file.is_file():  # the folder has what an earlier smoke test left
            return
        written = file.stat().st_mtime
        if written != self._read:
            self._read = written
            with open(file, newline="", encoding="utf-8") as lines:
                history = list(csv.DictReader(lines))
            self.rounds, self._spent = len(history), float(history[-1]["seconds"])
            self.best = best_score(history, self.cell.recipe.monitor)
        since = min(time.time() - written, self.elapsed)
        self.left = time_left(self._spent, self.rounds / self.rounds_at_most, since)


def rounds_of(recipe: Recipe) -> int:
    """The rounds that a recipe trains for at most, all stages together.

    Example:
        >>> from keras_audio.recipes import recipe_class
        >>> rounds_of(recipe_class("residual_blocks")(epochs=20))
        20
        >>> rounds_of(recipe_class("progressive_resizing")(method="mel"))
        170
    """
    lengths = (stage.length(1) for stage in recipe.stage_recipes())
    return max(1, sum(math.ceil(steps / round_) for steps, round_ in lengths))


def best_score(history: Sequence[dict[str, str]], monitor: str) -> float | None:
    """The best score of a history's last stage: those of stages before it are of other inputs.

    Example:
        >>> best_score([{"stage": "1", "acc": "0.9"}, {"stage": "2", "acc": "0.5"}], "acc")
        0.5
    """
    scores = [
        float(row[monitor])
        for row in history
        if monitor in row and row.get("stage") == history[-1].get("stage")
    ]
    return max(scores, default=None)


def time_left(spent: float, fraction: float, since: float = 0.0) -> float | None:
    """Seconds until an end, at the pace so far; None where nothing is known.

    Args:
        spent: What the fraction done took.
        fraction: Of the whole.
        since: Seconds since that was so.

    Example:
        >>> time_left(30.0, 0.25), time_left(30.0, 0.25, since=10.0), time_left(0.0, 0.0)
        (90.0, 80.0, None)
    """
    if fraction <= 0 or spent <= 0:
        return None
    return max(0.0, spent / fraction * (1 - min(fraction, 1.0)) - since)


def cell_left(entry: Entry, whole: float | None) -> float | None:
    """Seconds until a cell is done.

    Args:
        entry: A cell that runs or waits.
        whole: What all of a cell like it takes, or None.

    Example:
        >>> entry = Entry(Cell(None, pathlib.Path("runs/rb4/esc10-fold1-seed0")))
        >>> cell_left(entry, 60.0), cell_left(entry, None)
        (60.0, None)
    """
    if entry.state == RUNNING["train"] and entry.left is not None:
        return entry.left
    return None if whole is None else max(0.0, whole - entry.elapsed)


def whole_seconds(entries: Sequence[Entry]) -> dict[str, float]:
    """What a cell takes, by variant, as far as anything tells.

    That is the mean over the cells of the variant that this call finished, else over what its
    running ones tell, else over those finished earlier; else the same of all variants.

    Example:
        >>> def finished(path, seconds, here=True):
        ...     cell = Cell(None, pathlib.Path(path))
        ...     return Entry(cell, state=DONE, seconds=seconds, here=here)
        >>> found = [finished("a/1", 50.0), finished("a/2", 70.0), finished("a/3", 9.0, here=False)]
        >>> found += [finished("b/1", 20.0, here=False), Entry(Cell(None, pathlib.Path("c/1")))]
        >>> whole_seconds(found)
        {'a': 60.0, 'b': 20.0, 'c': 60.0}
    """
    told: dict[tuple[str, int], list[float]] = {}
    for entry in entries:
        if entry.state == DONE:
            kind, seconds = (0 if entry.here else 2), entry.seconds
        elif entry.is_running and entry.left is not None:
            kind, seconds = 1, entry.elapsed + entry.left
        else:
            continue
        for group in (entry.variant, ""):
            told.setdefault((group, kind), []).append(seconds)
    found = {}
    for variant in dict.fromkeys(entry.variant for entry in entries):
        keys = [(group, kind) for group in (variant, "") for kind in range(3)]
        values = next((told[key] for key in keys if key in told), None)
        if values:
            found[variant] = sum(values) / len(values)
    return found


def grid_left(
    running: Sequence[float | None], waiting: Sequence[float | None], jobs: int
) -> float | None:
    """Seconds until all cells are done; None where it cannot be told.

    Args:
        running: What each of the running cells needs still.
        waiting: What each of the waiting ones needs, in their order.
        jobs: How many run at a time.

    Example:
        >>> grid_left([30.0, 10.0], [60.0, 60.0], 2)
        90.0
        >>> grid_left([30.0], [], 2), grid_left([None], [60.0], 2), grid_left([], [], 2)
        (30.0, None, 0.0)
    """
    if None in running or None in waiting:
        return None
    free = [*running, *[0.0] * (jobs - len(running))]
    heapq.heapify(free)
    for seconds in waiting:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def estimate(entries: Sequence[Entry], jobs: int) -> tuple[float | None, dict[int, float | None]]:
    """Seconds until the whole grid is done, and until each of the running cells is.

    The latter are by the place in `entries`.
    """
    whole = whole_seconds(entries)
    lefts = {
        place: cell_left(entry, whole.get(entry.variant))
        for place, entry in enumerate(entries)
        if entry.is_running or entry.state == WAITING
    }
    running = {place: left for place, left in lefts.items() if entries[place].is_running}
    waiting = [left for place, left in lefts.items() if place not in running]
    return grid_left(list(running.values()), waiting, jobs), running


def duration_text(seconds: float | None) -> str:
    """A duration for people, empty where it is not known.

    Example:
        >>> [duration_text(seconds) for seconds in (None, 7.4, 75, 3 * 3600 + 310, 3e5)]
        ['', '7 s', '1 min 15 s', '3 h 05 min', '3 d 11 h']
    """
    if seconds is None:
        return ""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def _score(metrics: pathlib.Path) -> float | None:
    """What an evaluation says first of a run."""
    found = read_json(metrics)
    return next(
        (found[name] for name in ("accuracy", "mean_average_precision") if name in found), None
    )
