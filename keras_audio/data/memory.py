"""How much memory this process may use: the machine's, or less where a container has a limit."""

import pathlib

import psutil

# What is read beside the samples, the network and the optimizer need room, too.
_SHARE = 4


def usable_memory(root: str = "/") -> int:
    """Bytes that this process may use: those of the machine, or its control group's limit.

    Args:
        root: Where the system's files are.

    Example:
        >>> 0 < usable_memory() <= psutil.virtual_memory().total
        True
    """
    system = pathlib.Path(root)
    limits = [psutil.virtual_memory().total]
    try:
        lines = (system / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2: one tree for all that can be limited
            mount, name = "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            mount, name = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        # A limit counts for all groups below. In a container the path may be that outside, of
        # which nothing but the root can be seen.
        group = system / mount / path.lstrip("/")
        for folder in (group, *group.parents):
            limits += _limit(folder / name)
            if folder == system / mount:
                break
    return min(limits)


def memory_share(memory: int | None = None) -> int:
    """Bytes that the samples of a data set may take: `memory`, or else a quarter of all there is.

    Example:
        >>> memory_share(1000), memory_share() == usable_memory() // 4
        (1000, True)
    """
    return usable_memory() // _SHARE if memory is None else memory


def _limit(path: pathlib.Path) -> list[int]:
    try:
        return [int(path.read_text())]
    except (OSError, ValueError):  # Not there, or no limit: "max".
        return []
