"""Windows of a sound of which only a part need be at hand."""

from collections.abc import Iterable, Iterator

import numpy as np


def cut_windows(
    blocks: Iterable[np.ndarray], size: int, hop: int | None = None
) -> Iterator[np.ndarray]:
    """Cut a waveform that comes in blocks into windows; a shorter one is the only window.

    Windows start at the multiples of `hop`. If samples remain after the last whole one, another
    window ends with the sound and overlaps its predecessor: padding a short rest would give the
    model mostly silence, whose answer would weigh as much as any other.

    Args:
        blocks: Each (samples, channels).
        size: Samples of a window.
        hop: Samples from the start of a window to the next, at most `size`, which is the default.

    Yields:
        Windows in order, that together hold every sample of the sound.

    Raises:
        ValueError: If `hop` is not from 1 to `size`.

    Example:
        >>> sound = np.arange(10)[:, np.newaxis]
        >>> [window[:, 0].tolist() for window in cut_windows([sound[:3], sound[3:]], 4)]
        [[0, 1, 2, 3], [4, 5, 6, 7], [6, 7, 8, 9]]
    """
    hop = check_hop(hop, size)
    held, start = None, 0  # `held` are the last samples; the next window starts at `start` in them
    for block in blocks:
        held = block if held is None else np.concatenate([held, block])
        while start + size <= len(held):
            yield held[start : start + size]
            start += hop
        if len(held) > size:  # the last window may need as many
            start -= len(held) - size
            held = held[-size:]
    if held is None:
        return
    if start == 0 or start - hop + size < len(held):
        yield held[-size:]


def check_hop(hop: int | None, size: int) -> int:
    """Return the hop of windows of so many samples, or raise ValueError if it leaves out some."""
    hop = size if hop is None else hop
    if not 1 <= hop <= size:
        raise ValueError(f"Expected a hop of 1 to {size} samples. Received: {hop=}")
    return hop
