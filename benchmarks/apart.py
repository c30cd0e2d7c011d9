"""Processes of their own, in which benchmarks measure: what one holds does not burden another."""

import contextlib
import functools
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

# In a process that measures: what it can measure, by name, a number a call.
measures: dict[str, Callable[[], float]] = {}


def use_threads(threads: int | None) -> int:
    """Keep this process, and those that it starts, to so many cores; None is all it has.

    TensorFlow takes a thread a core of those that it is allowed when it begins to compute, so this
    comes first.

    Returns:
        How many there are.
    """
    cores = sorted(os.sched_getaffinity(0))
    if threads is not None:
        os.sched_setaffinity(0, cores[:threads])
    return len(os.sched_getaffinity(0))


@contextlib.contextmanager
def cores(count: int) -> Iterator[None]:
    """Processes that are started meanwhile have so many cores, before they import anything."""
    available = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(available)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, available)


def apart(
    stack: contextlib.ExitStack, start: Callable, *arguments
) -> tuple[dict[str, Callable[[], float]], object]:
    """Call a function in a new process, which goes on until the stack is left.

    Args:
        stack: Ends the process.
        start: Fills `measures` there.
        *arguments: For it.

    Returns:
        What can be measured there now, by name, and what the function returned.
    """
    pool = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
    answer, names = pool.submit(_started, start, arguments).result()
    return {name: functools.partial(_remote, pool, name) for name in names}, answer


def _started(start: Callable, arguments: tuple) -> tuple[object, list[str]]:
    answer = start(*arguments)
    return answer, list(measures)


def _remote(pool: ProcessPoolExecutor, name: str) -> float:
    return pool.submit(_measured, name).result()


def _measured(name: str) -> float:
    return measures[name]()
