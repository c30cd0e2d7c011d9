"""How often each clip comes in a pass."""

import numpy as np

from keras_audio.data.clip_table import ClipTable


def balanced_rates(clips: ClipTable) -> np.ndarray:
    """How often each clip comes in a pass if a class is drawn, then one of its clips.

    Args:
        clips: The clips; those without a class never come.

    Returns:
        float64 (clips,), whose sum is the number of clips.

    Example:
        >>> from keras_audio.data.clip_table import Clip
        >>> classes = [(0,), (0,), (0,), (1,)]
        >>> table = ClipTable.from_clips(
        ...     Clip(str(n), str(n), 1, own, "00" * 16, 8) for n, own in enumerate(classes)
        ... )
        >>> balanced_rates(table).round(2)
        array([0.67, 0.67, 0.67, 2.  ])
    """
    sizes = np.bincount(clips.labels)
    owner = np.repeat(np.arange(len(clips)), np.diff(clips.label_ends, prepend=0))
    weights = np.bincount(owner, 1 / sizes[clips.labels], len(clips))
    return weights * len(clips) / weights.sum()


def systematic_counts(rates: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Whole numbers with the means `rates` that always have the same sum: systematic sampling.

    Args:
        rates: float64 (clips,), whose sum is the number of clips.
        generator: Draws one number.

    Returns:
        int64 (clips,), each `rates` rounded up or down.
    """
    total = len(rates)
    ends = np.floor(np.cumsum(rates) + generator.random())
    # Rounding must not make the pass a clip longer or shorter.
    ends[-1] = total
    return np.diff(np.minimum(ends, total), prepend=0).astype(np.int64)
