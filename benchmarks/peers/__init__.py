"""What the package is measured against: the same networks and front ends as others write them."""

import statistics
from collections.abc import Mapping, Sequence

# By PyTorch's names of the layouts of tensors; `channels_last` is for two axes.
TORCH = {"contiguous_format": "PyTorch", "channels_last": "PyTorch, channels last"}


def by_torch(what: str, values: Mapping[str, Sequence[float]]) -> list[str]:
    """The names of what PyTorch did of something, in the layouts measured, the fastest first.

    Args:
        what: `<what>, <layout>` are the names.
        values: Clips a second by name, a number a round.
    """
    names = [f"{what}, {kind}" for kind in TORCH.values()]
    measured = [name for name in names if name in values]
    return sorted(measured, key=lambda name: statistics.median(values[name]), reverse=True)
