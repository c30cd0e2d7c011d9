"""Files of ImageNet's ResNets in the layout of PyTorch, with random weights."""

import pathlib

import numpy as np
import safetensors.numpy

BLOCKS = {"resnet10": (1, 1, 1, 1), "resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}


def layout(name: str, filters: int, classes: int) -> dict[str, tuple[int, ...]]:
    """Every array that torchvision's network has, but its counters of batches."""
    shapes: dict[str, tuple[int, ...]] = {}

    def batch_norm(key: str, channels: int) -> None:
        for array in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{key}.{array}"] = (channels,)

    shapes["conv1.weight"] = (filters, 3, 7, 7)
    batch_norm("bn1", filters)
    before = filters
    for stage, count in enumerate(BLOCKS[name]):
        channels = filters * 2**stage
        for block in range(count):
            key = f"layer{stage + 1}.{block}"
            shapes[f"{key}.conv1.weight"] = (channels, before, 3, 3)
            batch_norm(f"{key}.bn1", channels)
            shapes[f"{key}.conv2.weight"] = (channels, channels, 3, 3)
            batch_norm(f"{key}.bn2", channels)
            if before != channels:
                shapes[f"{key}.downsample.0.weight"] = (channels, before, 1, 1)
                batch_norm(f"{key}.downsample.1", channels)
            before = channels
    shapes["fc.weight"], shapes["fc.bias"] = (classes, before), (classes,)
    return shapes


def random_state(name="resnet10", filters=4, classes=6) -> dict[str, np.ndarray]:
    """Arrays of that layout."""
    rng = np.random.default_rng(0)
    return {
        key: rng.uniform(0.5, 1.5, shape).astype("float32")
        if key.endswith("running_var")
        else rng.normal(size=shape).astype("float32") * 0.3
        for key, shape in layout(name, filters, classes).items()
    }


def save(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> pathlib.Path:
    """Write them as a file of safetensors."""
    safetensors.numpy.save_file(arrays, path)
    return path
