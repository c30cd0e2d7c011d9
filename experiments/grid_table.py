"""What a running grid shows: a live table on a terminal, else a line a change of state."""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Self

from grid_progress import (
    DONE,
    FAILED,
    RUNNING,
    STOPPED,
    WAITING,
    Entry,
    duration_text,
    estimate,
)
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

# How often the table is drawn, in seconds.
_BETWEEN = 0.5
_STYLES = {DONE: "green", FAILED: "red", STOPPED: "yellow", WAITING: "dim"}
# The columns that tell cells apart, and those that only a terminal of some width has.
_COLUMNS = {"variant": 0, "run": 0, "state": 0, "score": 50, "time": 80, "left": 80}


class PlainLines:
    """A line a change of state, for files, pipes and CI.

    Args:
        entries: The cells.
        jobs: How many run at a time.
    """

    def __init__(self, entries: Sequence[Entry], jobs: int) -> None:
        self.entries, self.jobs = entries, jobs

    def __enter__(self) -> Self:
        """Say what there is to do."""
        if self.entries:
            self.note(summary(self.entries))
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is left to say."""

    def note(self, text: str) -> None:
        """Say something of the whole grid."""
        print(text, flush=True)

    def changed(self, entry: Entry) -> None:
        """Say what an entry does now, or how it ended."""
        said = [f"{entry.variant}/{entry.run}: {entry.state}"]
        if entry.score is not None:
            said.append(f"score {entry.score:.4f}")
        if entry.state in (DONE, FAILED):
            said.append(duration_text(entry.seconds))
            for other in self.entries:
                if other.is_running:
                    other.look()
            left, _ = estimate(self.entries, self.jobs)
            said.append(summary(self.entries, left))
        print("; ".join(said), flush=True)

    def tick(self) -> None:
        """Let time pass."""


class LiveTable:
    """A table that is drawn anew in its place, with times that pass.

    Args:
        entries: The cells.
        jobs: How many run at a time.
        console: Where it is drawn.
    """

    def __init__(self, entries: Sequence[Entry], jobs: int, console: Console | None = None) -> None:
        self.entries, self.jobs, self.said = entries, jobs, ""
        self._live = Live(console=console or Console(), auto_refresh=False)
        self._began = self._drawn = time.monotonic()

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        self._draw()
        return self

    def __exit__(self, *error: object) -> None:
        """Draw how it ended; that stays."""
        self._draw()
        self._live.stop()

    def note(self, text: str) -> None:
        """Say something of the whole grid, below the table."""
        self.said = text
        self._draw()

    def changed(self, entry: Entry) -> None:
        """Show what an entry does now."""
        if entry.is_running:
            entry.look()
        self._draw()

    def tick(self) -> None:
        """Draw the table anew, if it is time for that."""
        if time.monotonic() - self._drawn >= _BETWEEN:
            for entry in self.entries:
                if entry.is_running:
                    entry.look()
            self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        size, passed = self._live.console.size, self._drawn - self._began
        table = render(self.entries, self.jobs, width=size.width, height=size.height, passed=passed)
        self._live.update(Group(table, _text(self.said)) if self.said else table, refresh=True)


def display(entries: Sequence[Entry], jobs: int) -> PlainLines | LiveTable:
    """The table where there is a terminal that can draw it, else lines."""
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown"):
        return LiveTable(entries, jobs)
    return PlainLines(entries, jobs)


def summary(
    entries: Iterable[Entry],
    left: float | None = None,
    *,
    others: Sequence[str] = ("running", FAILED, STOPPED, WAITING),
) -> str:
    """How many cells are in which state, and how long they take still.

    Args:
        entries: The cells.
        left: Seconds until all are done, if they are known.
        others: The states that are counted beside `DONE`.

    Example:
        >>> import pathlib
        >>> from cells import Cell
        >>> cell = Cell(None, pathlib.Path("runs/rb4/esc10-fold1-seed0"))
        >>> found = [Entry(cell, state=DONE), Entry(cell), Entry(cell, state="training")]
        >>> summary(found, 75.0)
        '1 of 3 done, about 1 min 15 s left, 1 running, 1 waiting'
    """
    entries = list(entries)
    counts = Counter("running" if entry.is_running else entry.state for entry in entries)
    parts = [f"{counts[DONE]} of {len(entries)} done"]
    if left is not None and left >= 1:
        parts.append(f"about {duration_text(left)} left")
    return ", ".join([*parts, *(f"{counts[state]} {state}" for state in others if counts[state])])


def render(
    entries: Sequence[Entry], jobs: int, *, width: int, height: int, passed: float
) -> RenderableType:
    """The table: a line a cell where there is the height for it.

    Else those that run or failed have one, and what is left of the height is for the variants.

    Args:
        entries: The cells.
        jobs: How many run at a time.
        width: Characters a line.
        height: Lines of the terminal.
        passed: Seconds since the grid began.
    """
    whole, lefts = estimate(entries, jobs)
    so_far = f", {duration_text(passed)} so far" if passed >= 1 else ""
    heading = _text(f"{summary(entries, whole)}{so_far}", "bold")
    # The heading, a header, a note below and the line of the cursor.
    room = max(1, height - 4)
    if len(entries) <= room:
        return Group(heading, _cells_table(entries, lefts, range(len(entries)), width))
    shown = [n for n, entry in enumerate(entries) if entry.is_running]
    shown += [n for n, entry in enumerate(entries) if entry.state == FAILED]
    shown = sorted(shown[: max(jobs, room // 2)])
    # Without an empty line, a header and the line that counts the others.
    rest = room - len(shown) - 3
    above = [_cells_table(entries, lefts, shown, width)] if shown else []
    return Group(heading, *above, *_variants_table(entries, rest))


def _cells_table(
    entries: Sequence[Entry],
    lefts: dict[int, float | None],
    shown: Iterable[int],
    width: int,
) -> Table:
    titles = [title for title, least in _COLUMNS.items() if width >= least]
    table = _table(*titles)
    for place in shown:
        entry = entries[place]
        style = _STYLES.get(entry.state, "cyan")
        state = entry.state
        if state == RUNNING["train"] and not entry.smoke:
            state += f" {entry.rounds}/{entry.rounds_at_most}"
        score = entry.best if entry.score is None else entry.score
        texts = [entry.variant, entry.run, state, "" if score is None else f"{score:.4f}"]
        texts += [duration_text(entry.elapsed or None), duration_text(lefts.get(place) or None)]
        table.add_row(*(_text(text, style) for text in texts[: len(titles)]))
    return table


def _variants_table(entries: Sequence[Entry], rest: int) -> list[RenderableType]:
    """A line a variant, those that run first, as many as `rest`; and how many more there are."""
    if rest < 1:
        return []
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.variant, []).append(entry)
    begun = [name for name, group in groups.items() if any(e.is_running for e in group)]
    open_ = [name for name, group in groups.items() if any(e.state == WAITING for e in group)]
    names = list(dict.fromkeys([*begun, *open_, *groups]))[:rest]
    table = _table("variant", "cells", "mean score")
    for name, group in groups.items():
        if name in names:
            scores = [entry.score for entry in group if entry.score is not None]
            mean = f"{sum(scores) / len(scores):.4f}" if scores else ""
            style = "dim" if all(entry.state == WAITING for entry in group) else ""
            counts = summary(group, others=("running", FAILED, STOPPED))
            table.add_row(*(_text(text, style) for text in (name, counts, mean)))
    more = len(groups) - len(names)
    return [Text(""), table, *([Text(f"and {more} variants more", "dim")] if more else [])]


def _table(*titles: str) -> Table:
    """A table without lines, whose first column gives way where the width does not do."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
    for number, title in enumerate(titles):
        right = title in ("score", "time", "left", "mean score")
        table.add_column(_text(title), no_wrap=number > 0, justify="right" if right else "left")
    return table


def _text(text: str, style: str = "") -> Text:
    """One line, cut where it is too long."""
    return Text(text, style, no_wrap=True, overflow="ellipsis")
