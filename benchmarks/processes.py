"""What the benchmarks of whole processes share: running them, their time and their memory."""

import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import psutil

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
CLI = (sys.executable, "-m", "keras_audio.cli")
POLL_SECONDS = 0.05


def alone(function, *arguments):
    """What a function answers in a process of its own, that ends with it."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn) as process:
        return process.submit(function, *arguments).result()


def seconds_of(command: Sequence[object]) -> float:
    """How long a command takes from its start to its end.

    Raises:
        RuntimeError: If it fails, with what it wrote.
    """
    started = time.perf_counter()
    with _started(command) as process:
        process.wait()
    return time.perf_counter() - started


def peak_of(command: Sequence[object]) -> float:
    """The most memory of a command and of the processes that it starts, in MB.

    It is the sum of what each of them had at most, though not all at the same time, and shared
    libraries are counted in each.

    Raises:
        RuntimeError: If it fails, with what it wrote.
    """
    peaks: dict[int, float] = {}
    with _started(command) as process:
        while process.poll() is None:
            peaks |= peaks_of(process.pid)
            time.sleep(POLL_SECONDS)
    return sum(peaks.values())


def peak_memory(pid: int | str = "self") -> float:
    """The most that a process had in memory so far, in MB; by default this one."""
    # Not getrusage, which counts what the process was before it became this program.
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1000
    raise ProcessLookupError(f"no VmHWM of process {pid}: it has ended")


class _started:  # noqa: N801 - reads as what it does
    """A running command, whose output is shown if it fails."""

    def __init__(self, command: Sequence[object]) -> None:
        self._command = [str(part) for part in command]

    def __enter__(self) -> subprocess.Popen:
        self._output = tempfile.TemporaryFile()
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        self._process = subprocess.Popen(
            self._command, stdout=self._output, stderr=subprocess.STDOUT, env=environment
        )
        return self._process

    def __exit__(self, kind, *exception) -> None:
        with self._output:
            if kind is not None:
                self._process.kill()
                self._process.wait()
            elif self._process.returncode:
                self._output.seek(0)
                said = self._output.read().decode(errors="replace")[-2000:]
                raise RuntimeError(f"{' '.join(self._command)} failed:\n{said}")


def peaks_of(pid: int) -> dict[int, float]:
    """The most that a process and each of those it started had in memory so far, in MB by pid.

    One that was forked and is yet the same program shares its memory with the other: it is left
    out.
    """
    found: dict[int, float] = {}
    try:
        first = psutil.Process(pid)
        programs: dict[int, list[str]] = {}
        for process in [first, *first.children(recursive=True)]:
            programs[process.pid] = process.cmdline()
            if process.pid == pid or programs[process.pid] != programs.get(process.ppid()):
                found[process.pid] = peak_memory(process.pid)
    except (OSError, psutil.Error):
        pass  # one of them has just ended
    return found
