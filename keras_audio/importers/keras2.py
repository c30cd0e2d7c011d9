"""Original Keras 2 HDF5 files, by `model.save` or `model.save_weights`."""

import os
from collections.abc import Iterator, Sequence

import h5py
import keras
import numpy as np

from keras_audio.importers.h5_file import StoredLayer, open_keras2, refused
from keras_audio.importers.untrusted import as_float32, shown, wrong_values


def load_keras2_h5(
    model: keras.Model, path: str | os.PathLike, *, layers: Sequence[str] | None = None
) -> None:
    """Load the weights of an original Keras 2 network into a model of ours.

    Only arrays are read. The `model_config` of such files can carry Python bytecode, and is not
    even looked at; what leads to another file is not followed. Every array is checked before the
    first is assigned, so a file that is refused leaves the model as it was.

    The original layer names mean nothing here, so layers are paired by order: the file lists
    its layers in the order of creation, and the first with a kernel belongs to the first
    layer with a kernel of the model, likewise those of batch normalisations. Within a layer
    arrays go by name. Blocks whose layers have the same shapes in the same order (RB1 to RB4)
    cannot be told apart by arrays: the model must be of the right kind.

    Args:
        model: Built, with the arrays of the original.
        path: The HDF5 file.
        layers: Names of the model's layers in the order of the file, for networks where it is not
            the order of `model.layers` (parallel paths). It must name all layers with weights.

    Raises:
        ValueError: If the file is missing, no such HDF5 file, or does not fit. The message names
            the first array that differs, with the expected and the received shape.

    Example:
        >>> import keras_audio
        >>> model = keras_audio.create_model("m34_res_rb6", 10)
        >>> load_keras2_h5(model, "m34.h5")
        Traceback (most recent call last):
        ValueError: Expected a Keras 2 HDF5 file that fits. Received: path=m34.h5 (no such file)
    """
    targets = _targets(model, layers)
    with open_keras2(path, arrays_only=True) as stored:
        values = [
            (variable, _values(dataset, variable, name, path))
            for variable, name, dataset in _pairs(targets, stored, path)
        ]
    for variable, value in values:
        variable.assign(value)


def _targets(model: keras.Model, order: Sequence[str] | None) -> list[keras.layers.Layer]:
    weighted = {layer.name: layer for layer in model.layers if layer.weights}
    order = list(weighted) if order is None else list(order)
    if sorted(order) != sorted(weighted):
        differing = sorted(set(order) ^ set(weighted)) or sorted(order)
        raise ValueError(
            f"Expected layers to name each layer of {model.name} that has weights, once. "
            f"Received: layers that differ={differing}"
        )
    return [weighted[name] for name in order]


def _pairs(
    targets: list[keras.layers.Layer], stored: list[StoredLayer], path
) -> Iterator[tuple[keras.Variable, str, h5py.Dataset]]:
    """Pair every variable of the model with an array of the file, in the order of the file."""
    waiting: dict[str, list[keras.layers.Layer]] = {"kernel": [], "normalization": []}
    for layer in targets:
        waiting[_kind(variable.name for variable in layer.weights)].append(layer)
    for source in stored:
        candidates = waiting[_kind(source.arrays)]
        if not candidates:
            array = shown(next(iter(source.arrays)))
            raise refused(path, f"{source.name}/{array} has no counterpart in the model")
        layer = candidates.pop(0)
        variables = {variable.name: variable for variable in layer.weights}
        for name in variables:
            if name not in source.arrays:
                raise refused(path, f"{source.name}/{name} is missing, for {layer.name}/{name}")
        for name, dataset in source.arrays.items():
            if name not in variables:
                array = f"{source.name}/{shown(name)}"
                raise refused(path, f"{array} has no counterpart in {layer.name}")
            yield variables[name], f"{source.name}/{name}", dataset
    for layer in sum(waiting.values(), []):
        raise refused(path, f"no array for {layer.name}/{layer.weights[0].name} of the model")


def _values(dataset: h5py.Dataset, variable: keras.Variable, name: str, path) -> np.ndarray:
    """Read one array, if it is what the variable needs."""
    # The shape first: reading allocates what the file claims.
    if dataset.shape != tuple(variable.shape):
        wanted = f"{tuple(variable.shape)} as {variable.path} of the model"
        raise refused(path, f"{name} has shape {dataset.shape}, expected {wanted}")
    value = as_float32(dataset[()])
    wrong = wrong_values(value, variable)
    if wrong is not None:
        raise refused(path, f"{name} {wrong}")
    return value


def _kind(names) -> str:
    return "kernel" if "kernel" in names else "normalization"
