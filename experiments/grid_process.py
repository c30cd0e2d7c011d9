"""The processes of a grid: each with its share of the machine, and a log beside its run folder."""

import contextlib
import dataclasses
import datetime
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

# What runs a command of `keras-audio`.
PROGRAM = (sys.executable, "-m", "keras_audio.cli")
# How much of the end of a log is looked at for what a process said last.
_TAIL = 20_000


@dataclasses.dataclass(frozen=True)
class Share:
    """What of the machine one of several jobs may use.

    Args:
        cores: Numbers of its CPU cores; None for those of this process.
        environment: Further variables of its environment.
    """

    cores: tuple[int, ...] | None = None
    environment: tuple[tuple[str, str], ...] = ()

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Keep this thread to the cores while the block runs: what it starts inherits them."""
        if self.cores is None:
            yield
            return
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.cores)
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)


def shares(jobs: int, cores: Sequence[int] | None, gpus: Sequence[str] = ()) -> list[Share]:
    """Divide the machine among so many jobs at a time.

    All get as many cores, since a training that goes on in another job ends bit for bit the same on
    as many only; so some may be left over. Where there are more jobs than cores or GPUs, some have
    the same ones.

    Args:
        jobs: How many.
        cores: Numbers of the cores; None where the system cannot keep a process to some.
        gpus: Names of the GPUs as CUDA_VISIBLE_DEVICES has them.

    Example:
        >>> [share.cores for share in shares(2, [0, 1, 2, 3, 4])]
        [(0, 1), (2, 3)]
        >>> [share.cores for share in shares(3, [4, 5])]
        [(4,), (5,), (4,)]
        >>> [dict(share.environment) for share in shares(2, None, ["0", "1"])]
        [{'CUDA_VISIBLE_DEVICES': '0'}, {'CUDA_VISIBLE_DEVICES': '1'}]
    """
    if jobs == 1:
        return [Share()]
    found = []
    for job in range(jobs):
        share, environment = None, {}
        if cores is not None:
            each = max(1, len(cores) // jobs)
            share = tuple(cores[(job * each + number) % len(cores)] for number in range(each))
        if len(gpus) > 1:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[job % len(gpus)]
        if 0 < len(gpus) < jobs:
            # TensorFlow takes all memory of a GPU at once otherwise.
            environment["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
        found.append(Share(share, tuple(environment.items())))
    return found


def usable_cores() -> list[int] | None:
    """The numbers of the cores that this process may use, where the system tells."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else None


def visible_gpus() -> list[str]:
    """The GPUs that TensorFlow sees, as CUDA_VISIBLE_DEVICES names them."""
    import tensorflow as tf

    number = len(tf.config.list_physical_devices("GPU"))
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named[:number] if len(named) >= number else [str(index) for index in range(number)]


def log_of(folder: pathlib.Path) -> pathlib.Path:
    """The log of the processes that write to a folder, beside it.

    Example:
        >>> log_of(pathlib.Path("runs/erann/0.5/esc10-fold1-seed0")).name
        'esc10-fold1-seed0.log'
    """
    return folder.with_name(f"{folder.name}.log")


class Process:
    """A command of `keras-audio` that runs, in a session of its own.

    A Ctrl-C on the terminal reaches it only by way of `send`.

    Args:
        command: The arguments of `keras-audio`.
        log: Where all that it prints is appended.
        share: What of the machine it may use.

    Raises:
        OSError: If it cannot be started, or the log not be written.
    """

    def __init__(self, command: Sequence[str], log: pathlib.Path, share: Share) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log, self._began = log, time.monotonic()
        self._note(f"keras-audio {shlex.join(command)}")
        self._offset = log.stat().st_size
        # What is not yet written is lost when a process is killed.
        environment = os.environ | {"PYTHONUNBUFFERED": "1"} | dict(share.environment)
        with open(log, "ab") as file, share.taken():
            self._process = subprocess.Popen(
                [*PROGRAM, *command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def poll(self) -> int | None:
        """The exit status, None while it runs; negative is the signal that killed it."""
        return self._process.poll()

    def send(self, number: int) -> None:
        """Send a signal to it and to what it started, as a terminal would."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """End it at once, and wait until it has."""
        self.send(signal.SIGKILL)
        self._process.wait()

    def stop(self, seconds: float) -> None:
        """Have it write a checkpoint and end; at once, if it takes longer than that."""
        self.send(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self.kill()

    def end(self, status: int) -> str:
        """Note in the log how it ended; what it said last."""
        with open(self.log, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._offset, size - _TAIL))
            said = file.read().decode("utf-8", errors="replace")
        took = f"{exit_text(status)} after {time.monotonic() - self._began:.1f} s"
        self._note(took, before="\n" if said and not said.endswith("\n") else "")
        return last_line(said)

    def _note(self, text: str, before: str = "") -> None:
        now = datetime.datetime.now().isoformat(" ", timespec="seconds")
        with open(self.log, "a", encoding="utf-8") as file:
            file.write(f"{before}# {now} {text}\n")


def exit_text(status: int) -> str:
    """How a process ended, in words.

    Example:
        >>> exit_text(2), exit_text(-9), exit_text(-15)
        ('exit 2', 'killed by SIGKILL, for want of memory maybe', 'killed by SIGTERM')
    """
    if status >= 0:
        return f"exit {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:  # of real time, which have no names
        name = f"signal {-status}"
    memory = ", for want of memory maybe" if -status == signal.SIGKILL else ""
    return f"killed by {name}{memory}"


def last_line(text: str) -> str:
    r"""What `keras-audio` says of an error, else the last line that says something.

    Example:
        >>> last_line("Traceback:\n  File x\nValueError: no clips\n\n")
        'ValueError: no clips'
        >>> last_line("round 1:  50%\rround 1: 100%\r\n ----- \n")
        'round 1: 100%'
        >>> last_line("keras-audio: No room for a kernel.\n\nArguments received:\n  x=1\n")
        'keras-audio: No room for a kernel.'
    """
    lines = [part.strip() for line in text.splitlines() for part in line.split("\r")]
    saying = [line for line in lines if any(map(str.isalnum, line))]
    errors = [line for line in saying if line.startswith("keras-audio: ")]
    return (errors or saying or [""])[-1]
