"""The memory that a process may use, as the machine and its control groups say."""

import psutil
import pytest

from keras_audio.data.memory import memory_share, usable_memory

TOTAL = psutil.virtual_memory().total


def system(root, cgroup, limits):
    """A root folder with the files of control groups."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, limit in limits.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{limit}\n")
    return usable_memory(root)


@pytest.mark.parametrize(
    ("cgroup", "limits", "usable"),
    [
        ("0::/\n", {"memory.max": 5_000_000}, 5_000_000),
        ("0::/\n", {"memory.max": "max"}, TOTAL),
        ("0::/\n", {}, TOTAL),
        # The limit of a group above counts, and the least of all.
        ("0::/a/b\n", {"a/memory.max": 7_000_000, "a/b/memory.max": "max"}, 7_000_000),
        ("0::/a/b\n", {"a/memory.max": 7_000_000, "a/b/memory.max": 6_000_000}, 6_000_000),
        # In a container the group's path is that outside.
        ("0::/outside/42\n", {"memory.max": 5_000_000}, 5_000_000),
        # Version 1, where no limit is a number beyond all memory.
        (
            "4:memory:/job\n2:cpu,cpuacct:/\n0::/\n",
            {"memory/job/memory.limit_in_bytes": 8_000_000},
            8_000_000,
        ),
        ("4:cpu,memory:/\n", {"memory/memory.limit_in_bytes": 2**63 - 4096}, TOTAL),
        ("", {}, TOTAL),
    ],
)
def test_the_least_limit_counts(tmp_path, cgroup, limits, usable):
    assert system(tmp_path, cgroup, limits) == usable


def test_without_control_groups_it_is_the_machines(tmp_path):
    assert usable_memory(tmp_path) == TOTAL


def test_samples_may_take_a_quarter_unless_told_otherwise():
    assert memory_share() == usable_memory() // 4
    assert (memory_share(0), memory_share(12)) == (0, 12)
