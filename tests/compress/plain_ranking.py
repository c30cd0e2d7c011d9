"""Pruning in plain Python: what a round is to do."""

PRUNED = ("conv1/kernel", "bn1/gamma", "conv2/kernel", "shortcut_0/kernel", "shortcut_1/gamma")


def kernels(array):
    return array.reshape(-1, array.shape[-1]).T


def reference_round(array, rate):
    """Zero the least in plain Python; gives the array and the number zeroed."""
    array = array.copy()
    norms = [(float(sum(abs(float(w)) for w in k)), i) for i, k in enumerate(kernels(array))]
    alive = sorted(pair for pair in norms if pair[0] > 0)
    count = min(round(len(alive) * rate), len(alive) - 1)
    for _, index in alive[:count]:
        array[..., index] = 0
    return array, count
