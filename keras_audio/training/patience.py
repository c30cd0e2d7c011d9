"""Not waiting for ever for batches that nobody makes any more."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterable, Iterator

# Far longer than a batch takes, far shorter than TensorFlow waits for a worker that is gone.
PATIENCE_SECONDS = 300
_LOST = (
    "a worker of the tf.data service is gone; start again with --resume, from the last checkpoint"
)


def from_service(batches: Iterable, count: int) -> Iterator:
    """Give the batches of a tf.data service; end the process where it gives no more.

    TensorFlow waits where neither Python nor a signal reaches it, so that the process can but end:
    with status 75, as when another worker of a training is gone.

    Args:
        batches: What the service gives.
        count: How many they are to be.

    Raises:
        ValueError: If they are fewer: what a worker had taken on nobody makes again.
    """
    batches, given = iter(batches), 0
    while True:
        with _ended_after(PATIENCE_SECONDS):
            batch = next(batches, None)
        if batch is None:
            break
        given += 1
        yield batch
    if given < count:
        raise ValueError(f"Expected {count} batches, {_LOST}. Received: {given} batches")


@contextlib.contextmanager
def _ended_after(seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, _end, [seconds])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end(seconds: float) -> None:
    print(f"keras-audio: no batch for {seconds:g} s: {_LOST}", file=sys.stderr, flush=True)
    os._exit(os.EX_TEMPFAIL)
