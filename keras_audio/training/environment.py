"""What a run was made with."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import subprocess
from typing import Any

import tensorflow as tf

from keras_audio.data.memory import usable_memory

PACKAGES = (
    "keras-audio",
    "tensorflow",
    "keras",
    "numpy",
    "tensorflow-datasets",
    "librosa",
    "scipy",
    "soxr",
)


def describe_environment() -> dict[str, Any]:
    """Versions, devices, processor, memory and git commit, for environment.json."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "backend": "tensorflow",
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_gib": round(usable_memory() / 2**30, 1),
        "devices": [_device(device) for device in tf.config.list_physical_devices()],
        "commit": _commit(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _device(device: tf.config.PhysicalDevice) -> str:
    details = tf.config.experimental.get_device_details(device)
    return details.get("device_name") or device.device_type


def _processor() -> str:
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit of the checkout this package runs from, `+` if the tree has changes."""
    folder = pathlib.Path(__file__).parent
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + ("+" if _git(folder, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: pathlib.Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", folder, *arguments], capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()
