"""What pruning, counting and shrinking look at: the kernels and scales of a model's layers."""

from collections.abc import Iterator

import keras
import numpy as np
from keras import layers

CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv3D)


def flat_layers(model: keras.Model) -> list[layers.Layer]:
    """List the layers of a functional or `Sequential` model that holds no other model.

    Raises:
        ValueError: If it is of another kind, is not built, or one of its layers is a model.

    Example:
        >>> flat_layers(keras.Sequential([layers.Dense(2, name="logits")]))
        Traceback (most recent call last):
        ValueError: Expected a model that is built. Received: model='sequential...'
    """
    if not model.built:
        raise ValueError(f"Expected a model that is built. Received: model={model.name!r}")
    if not hasattr(model, "inputs"):
        raise ValueError(
            "Expected a functional or Sequential model. "
            f"Received: {model.name!r}, which is a {type(model).__name__}"
        )
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            raise ValueError(
                f"Expected no model inside of {model.name!r}: build it of layers. "
                f"Received: {layer.name!r}, which is a {type(layer).__name__}"
            )
    return model.layers


def kernel_of(layer: layers.Layer) -> keras.Variable | None:
    """Give the kernel of a convolution or a Dense layer, whose last axis is that of the outputs.

    None for every other layer: a depthwise kernel has no such axis, that of a transposed
    convolution has it elsewhere, and a separable convolution has two kernels.
    """
    return _variable(layer, "kernel") if isinstance(layer, (*CONVOLUTIONS, layers.Dense)) else None


def scale_of(layer: layers.Layer) -> keras.Variable | None:
    """Give the scale (gamma) of a batch normalisation that learns one, else None."""
    return _variable(layer, "gamma") if isinstance(layer, layers.BatchNormalization) else None


def kernels_and_scales(model: keras.Model) -> Iterator[tuple[layers.Layer, str, keras.Variable]]:
    """Give every `(layer, "kernel" or "scale", variable)` of a model, in the order of its layers.

    Raises:
        ValueError: As `flat_layers`.
    """
    for layer in flat_layers(model):
        for kind, variable in (("kernel", kernel_of(layer)), ("scale", scale_of(layer))):
            if variable is not None:
                yield layer, kind, variable


def l1_norms(values: np.ndarray) -> np.ndarray:
    """Add up the magnitudes of each kernel; of a scale it is the magnitude itself.

    Args:
        values: Kernels on the last axis.

    Returns:
        Float64, one a kernel: exactly 0 where all of its weights are.

    Example:
        >>> l1_norms(np.array([[1, -2, 0], [3, 4, 0]]))
        array([4., 6., 0.])
    """
    return np.abs(np.asarray(values, "float64")).reshape(-1, values.shape[-1]).sum(axis=0)


def _variable(layer: layers.Layer, name: str) -> keras.Variable | None:
    return next((weight for weight in layer.weights if weight.name == name), None)
