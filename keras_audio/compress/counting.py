"""What a network weighs: by the count of Pajusco et al. 2020, and by everything that is stored."""

import dataclasses
from typing import NamedTuple

import keras
import numpy as np
from keras import layers, ops

from keras_audio.compress.kernels import flat_layers, kernel_of, l1_norms, scale_of
from keras_audio.layers.checks import at_least, one_of


class LayerCount(NamedTuple):
    """What one layer weighs.

    Attributes:
        name: Of the layer.
        total: Weights that the rule counts.
        non_zero: Those that it counts as not zero.
        kernels: Kernels of a convolution, outputs of a Dense layer, scales of a batch
            normalisation; 0 for a layer of another kind, or without scale.
        alive: Those that are not zero throughout, whatever the rule counts.
    """

    name: str
    total: int
    non_zero: int
    kernels: int
    alive: int


@dataclasses.dataclass(frozen=True)
class WeightCount:
    """What a network weighs.

    Attributes:
        total: Weights that the rule counts.
        non_zero: Those that it counts as not zero.
        kilobytes: Size in units of 1024 bytes, by the rule.
        layers: One row a layer with weights, in the order of the network; they add up to the
            numbers above.
    """

    total: int
    non_zero: int
    kilobytes: float
    layers: tuple[LayerCount, ...]


def count_weights(
    model: keras.Model, rule: str = "paper", bytes_per_weight: int = 2
) -> WeightCount:
    """Count the weights of a network.

    `rule="paper"` is how Pajusco et al. 2020 filled their Table 1. Biases, offsets and running
    statistics count nowhere. The total is that of the kernels of convolutions and Dense layers and
    the scales of batch normalisations. Non-zero are the weights of kernels, and the scales of the
    batch normalisations on shortcuts (those with "shortcut" in the layer's name): the authors leave
    out the others alone. The size is that of the non-zero ones, as if zeros needed no place.

    `rule="stored"` is what a file holds: every array of `model.weights`, zero or not.

    Args:
        model: Built, of layers.
        rule: `"paper"` or `"stored"`.
        bytes_per_weight: 2 for half precision, 4 for single.

    Returns:
        The counts, and a row a layer.

    Raises:
        ValueError: If the rule is unknown, the model holds another model, or the paper's rule meets
            a layer with weights of a kind that the paper does not know.

    Example:
        >>> import keras_audio
        >>> model = keras_audio.create_model("m3", 10)
        >>> count_weights(model).total, count_weights(model, "stored").total
        (220160, 222218)
    """
    one_of("rule", rule, ("paper", "stored"))
    at_least("bytes_per_weight", bytes_per_weight, 1)
    count = _paper if rule == "paper" else _stored
    rows = tuple(
        LayerCount(layer.name, *count(layer), *_kernels(layer))
        for layer in flat_layers(model)
        if layer.weights
    )
    total, non_zero = sum(row.total for row in rows), sum(row.non_zero for row in rows)
    sized = non_zero if rule == "paper" else total
    return WeightCount(total, non_zero, sized * bytes_per_weight / 1024, rows)


def _paper(layer: layers.Layer) -> tuple[int, int]:
    kernel, scale = kernel_of(layer), scale_of(layer)
    if kernel is not None:
        return _sizes(kernel)
    if scale is not None:
        total, non_zero = _sizes(scale)
        return total, non_zero if "shortcut" in layer.name else 0
    if isinstance(layer, layers.BatchNormalization | layers.Normalization):
        return 0, 0
    raise ValueError(
        "Expected convolutions, Dense layers and batch normalisations, which the paper's rule "
        f'counts; rule="stored" counts all. Received: {layer.name!r}, which is a '
        f"{type(layer).__name__}"
    )


def _stored(layer: layers.Layer) -> tuple[int, int]:
    sizes = [_sizes(weight) for weight in layer.weights]
    return sum(total for total, _ in sizes), sum(non_zero for _, non_zero in sizes)


def _sizes(variable: keras.Variable) -> tuple[int, int]:
    values = ops.convert_to_numpy(variable)
    return values.size, int(np.count_nonzero(values))


def _kernels(layer: layers.Layer) -> tuple[int, int]:
    """Count the kernels or scales of a layer, and those alive."""
    variable = kernel_of(layer)
    variable = scale_of(layer) if variable is None else variable
    if variable is None:
        return 0, 0
    norms = l1_norms(ops.convert_to_numpy(variable))
    return norms.size, int(np.count_nonzero(norms))
