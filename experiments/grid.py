"""Runs the cells of an experiment: recipes by folds by seeds, some at a time, each in processes.

A cell is trained and measured by commands of `keras-audio`, each in a process of its own, so that
its memory is given back and a crash ends nothing else. What is finished is not run again, and what
was stopped or failed goes on where it was, by the same command. What the processes print is in a
log beside each run folder.
"""

import argparse
import contextlib
import dataclasses
import itertools
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import cells
from cells import Cell
from grid_process import Process, exit_text, log_of, shares, usable_cores, visible_gpus
from grid_progress import DONE, FAILED, RUNNING, STOPPED, WAITING, Entry
from grid_table import display, summary

from keras_audio.files import folder_name, write_text
from keras_audio.quiet import import_tensorflow

# How often processes are asked whether they have ended, in seconds.
_BETWEEN = 0.1
# How long they may take to end where nobody is there to ask again.
_PATIENCE = 30.0
# What ends a grid, and what its processes then get: a training knows these two.
_ENDING = {
    signal.SIGINT: signal.SIGINT,
    signal.SIGTERM: signal.SIGTERM,
    signal.SIGHUP: signal.SIGTERM,
}
AnyCell = TypeVar("AnyCell", bound=Cell)


def expand(
    variants: Iterable[AnyCell],
    folds: Sequence[int] | None,
    seeds: Iterable[int],
    *,
    by_fold: bool = False,
) -> list[AnyCell]:
    """The cells of variants by seeds by folds, each once.

    Args:
        variants: Cells of any fold and seed, each with the folder of all runs of its variant as
            its path: `<runs>/<recipe>/<variant>`.
        folds: None for all official ones of the data set.
        seeds: The seeds.
        by_fold: Whether all variants of a fold come before the next, so that they can soon be
            compared.

    Returns:
        Cells with the paths `<runs>/<recipe>/<variant>/<data set>-fold<k>-seed<s>`.

    Example:
        >>> from keras_audio.recipes import ResidualBlocks
        >>> cell = Cell(ResidualBlocks(dataset="esc10"), Path("runs/residual_blocks/rb6-standard"))
        >>> found = expand([cell, cell], None, [0, 1])
        >>> len(found), found[1].path.as_posix()
        (10, 'runs/residual_blocks/rb6-standard/esc10-fold2-seed0')
    """
    found: dict[Path, AnyCell] = {}
    placed = [
        (variant, seed, fold)
        for variant, seed in itertools.product(variants, seeds)
        for fold in folds or range(1, cells.FOLDS.get(variant.recipe.dataset, 1) + 1)
    ]
    for variant, seed, fold in sorted(placed, key=lambda one: one[1:]) if by_fold else placed:
        recipe = dataclasses.replace(variant.recipe, fold=fold, seed=seed)
        path = variant.path / f"{folder_name(recipe.dataset)}-fold{fold}-seed{seed}"
        found.setdefault(path, dataclasses.replace(variant, recipe=recipe, path=path))
    return list(found.values())


def run_grid(
    options: argparse.Namespace,
    found: Iterable[Cell],
    write_page: Callable[[argparse.Namespace, str], None],
    *,
    prepare: Callable[[Sequence[Cell]], None] | None = None,
) -> int:
    """Run what is missing of a grid, then write its page; the exit status.

    Args:
        options: As of `grid_options.add_options`.
        found: The cells asked for; those whose records are not there are left out.
        write_page: Takes the options, and the sentence that says what was left out.
        prepare: Takes the cells that are to be run, before the first is.

    Returns:
        0: all done. 1: some failed, which are listed on stderr. 128 and the number of a signal:
        stopped by it.
    """
    import_tensorflow()
    ready, absent = cells.with_records(found, options.data_dir)
    if absent:
        print(absent, flush=True)
    if prepare is not None:
        prepare(ready)
    entries, stopped = [], None
    if not options.tables_only:
        entries, stopped = run_cells(ready, options)
    failed = [entry for entry in entries if entry.state == FAILED]
    if stopped is None and not options.smoke:
        write_page(options, absent)
    for entry in failed:
        print(f"failed: {entry.failure}", file=sys.stderr)
    if failed and not options.smoke:
        print("the same command tries again what failed", file=sys.stderr)
    if stopped is not None:
        print(f"stopped: {summary(entries)}; the same command goes on from there", file=sys.stderr)
        return 128 + stopped
    return 1 if failed else 0


def run_cells(
    ready: Sequence[Cell], options: argparse.Namespace
) -> tuple[list[Entry], signal.Signals | None]:
    """Run what is missing of cells, `options.jobs` at a time.

    Returns:
        Where all cells are then, and the signal that asked for an end, if one did.
    """
    entries = [Entry(cell, options.smoke) for cell in ready]
    for entry in entries:
        if _is_done(entry, options.data_dir):
            _end(entry, DONE)
    cores = usable_cores()
    if cores is not None and options.jobs > len(cores):
        print(f"note: {options.jobs} jobs share {len(cores)} CPU cores", flush=True)
    again = [entry for entry in entries if entry.state == WAITING and _marker(entry).is_file()]
    if again and not options.smoke:
        print("tried again, since they failed before:", flush=True)
        for entry in again:
            print(f"  {entry.folder}", flush=True)
    with _ending_signals() as signals, display(entries, options.jobs) as shown:
        jobs = [
            _Job(share, options.data_dir, shown.changed)
            for share in shares(options.jobs, cores, visible_gpus() if options.jobs > 1 else ())
        ]
        heard = 0
        try:
            while _go_on(jobs, entries, ending=bool(signals)):
                if len(signals) > heard:
                    _tell(jobs, signals)
                    if not heard and (running := sum(job.entry is not None for job in jobs)):
                        shown.note(f"stopping {running} of the cells; another Ctrl-C kills them")
                    heard = len(signals)
                shown.tick()
                time.sleep(_BETWEEN)
        finally:  # after an error of ours: a terminal that is gone, a pipe that nobody reads
            for job in jobs:
                job.stop()
    if options.smoke:
        passed = sum(entry.state == DONE for entry in entries)
        print(f"smoke test: {passed} of {len(entries)} passed")
    return entries, signals[0] if signals else None


def _go_on(jobs: Sequence["_Job"], entries: Sequence[Entry], *, ending: bool) -> bool:
    """See to processes that ended and, but at the end, start others; whether some run."""
    for job in jobs:
        job.see(ending=ending)
        while job.entry is None and not ending:
            # Smoke tests of a variant have one folder.
            taken = {entry.folder for entry in entries if entry.is_running}
            waiting = (e for e in entries if e.state == WAITING and e.folder not in taken)
            entry = next(waiting, None)
            if entry is None:
                break
            job.take(entry)
    return any(job.entry is not None for job in jobs)


def _tell(jobs: Sequence["_Job"], signals: Sequence[signal.Signals]) -> None:
    """Pass on the signal that asked for an end; at a second one, end all at once."""
    for job in jobs:
        if len(signals) > 1:
            job.kill()
        elif job.process is not None:
            job.process.send(_ENDING[signals[0]])


class _Job:
    """Runs the commands of one cell after the other.

    Args:
        share: What of the machine they may use.
        data_dir: Where the records are.
        changed: Told of each entry that gets to another state.
    """

    def __init__(self, share, data_dir: str, changed: Callable[[Entry], None]) -> None:
        self.share, self.data_dir, self.changed = share, data_dir, changed
        self.entry: Entry | None = None
        self.process: Process | None = None
        self._commands: Iterator[list[str]] = iter(())

    def take(self, entry: Entry) -> None:
        """Begin with a cell."""
        self.entry, self._commands = entry, entry.commands(self.data_dir)
        entry.began, entry.here = time.monotonic(), True
        self._next()

    def see(self, *, ending: bool) -> None:
        """Where the process has ended, start the next, unless all is to end."""
        if self.process is None or (status := self.process.poll()) is None:
            return
        said = self.process.end(status)
        if status == 0:
            self._next(ending=ending)
        elif ending:
            self._end(STOPPED)
        else:
            reason = f"{exit_text(status)}, {said}" if said else exit_text(status)
            self._fail(f"{reason} (log: {self.process.log})")

    def kill(self) -> None:
        """End the process at once, if one runs."""
        if self.process is not None:
            self.process.kill()

    def stop(self) -> None:
        """End the process, if one runs, with time for a checkpoint."""
        if self.process is not None:
            self.process.stop(_PATIENCE)

    def _next(self, *, ending: bool = False) -> None:
        """Start the next command that is missing."""
        log = log_of(self.entry.folder)
        try:
            command = next(self._commands, None)
            if command is not None and not ending:
                self.process = Process(command, log, self.share)
        except (OSError, ValueError) as error:
            self._fail(f"{error} (log: {log})")
            return
        if command is None:
            self._end(DONE)
        elif ending:
            self._end(STOPPED)
        else:
            self.entry.state = RUNNING[command[0]]
            self.changed(self.entry)

    def _fail(self, reason: str) -> None:
        self.entry.failure = f"{self.entry.folder}: {reason}"
        self._end(FAILED)

    def _end(self, state: str) -> None:
        entry, self.entry, self.process = self.entry, None, None
        _end(entry, state)
        self.changed(entry)


def _is_done(entry: Entry, data_dir: str) -> bool:
    """Whether there is nothing to run for a cell; of what cannot be read its turn will tell."""
    try:
        return next(entry.commands(data_dir), None) is None
    except (OSError, ValueError):
        return False


def _end(entry: Entry, state: str) -> None:
    """Note how a cell ended, for the next call too."""
    entry.end(state)
    if entry.smoke:
        return
    if state == DONE:
        _marker(entry).unlink(missing_ok=True)
    elif state == FAILED:
        with contextlib.suppress(OSError):  # a full disk is what may have failed
            write_text(_marker(entry), f"{entry.failure}\n")


def _marker(entry: Entry) -> Path:
    """The file beside a run folder that says that the run failed, and why."""
    return entry.folder.with_name(f".{entry.folder.name}.failed")


@contextlib.contextmanager
def _ending_signals() -> Iterator[list[signal.Signals]]:
    """Collect the signals that ask for an end while the block runs."""
    received: list[signal.Signals] = []

    def receive(number: int, frame: object) -> None:
        # Of a terminal that closes several may tell; that is no second wish.
        if not received or number != signal.SIGHUP:
            received.append(signal.Signals(number))

    # A hang-up is ignored under `nohup`.
    heeded = [n for n in _ENDING if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]
    previous = {number: signal.signal(number, receive) for number in heeded}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
