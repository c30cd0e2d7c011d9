"""Ending a training at the next step when the process is told to."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class Stopped(Exception):
    """The training was told to end, wrote a checkpoint and ended.

    Args:
        message: Where it stopped and how to go on.
        signal_number: The signal that asked for it.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class StopRequest:
    """Holds the number of the first signal received, or None."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def _receive(self, signal_number: int, frame) -> None:
        self.signal_number = signal_number


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Collect SIGTERM and SIGINT while the block runs, in place of dying of them at once.

    Outside the main thread, where Python lets nobody handle signals, nothing is collected.

    Example:
        >>> import os
        >>> with stop_requests() as request:
        ...     os.kill(os.getpid(), signal.SIGTERM)
        >>> request.signal_number == signal.SIGTERM
        True
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {
        number: signal.signal(number, request._receive)
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
