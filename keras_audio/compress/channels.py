"""Which channels of a network are constant, and which can only be removed together.

The graph of a model is walked once, from its input on. Two things are known of a channel:

- its value, where no sound can change it. A kernel of zeros leaves its bias, a scale of zero leaves
  its offset, and elementwise layers and pools make constants of constants;
- its group. Channels that stand for each other on both sides of a layer, or meet in a sum, are in
  one group: they can be removed together or not at all.

A layer that is not known here is a barrier: it needs all that it reads, and nothing is known of
what it makes.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable

import keras
import numpy as np
from keras import activations, layers, ops

from keras_audio.layers import BatchNorm, ChannelPad, ChannelRepeat, KeepBeside
from keras_audio.models.calls import layer_calls


@dataclasses.dataclass(frozen=True, eq=False)
class Channels:
    """What is known of the last axis of a tensor.

    Attributes:
        groups: The number of every channel's group.
        values: Float64, NaN where a channel varies.
        padded: Whether zeros may stand around the values, along the other axes.
    """

    groups: np.ndarray
    values: np.ndarray
    padded: bool = False

    @property
    def steady(self) -> np.ndarray:
        """The values that hold at every position: where zeros stand around, zeros alone."""
        return np.where(self.values == 0, 0.0, np.nan) if self.padded else self.values

    @property
    def varying(self) -> np.ndarray:
        """Whether sound can change a channel, or nothing is known of it."""
        return np.isnan(self.values)


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """One layer in the graph.

    Attributes:
        layer: The layer (or an operation that is none).
        shapes: Of the inputs, with the batch axis.
        inputs: The tensors that it reads.
        outputs: The tensors that it makes.
        barrier: Whether it is not known.
    """

    layer: layers.Layer
    shapes: tuple[tuple[int | None, ...], ...]
    inputs: tuple[Channels, ...]
    outputs: tuple[Channels, ...] = ()
    barrier: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Reader:
    """A convolution or Dense layer: it makes new channels of those that it reads.

    Attributes:
        layer: The layer.
        inputs: What it reads.
        pads: Whether zeros stand around that, its own or those of a layer before.
    """

    layer: layers.Layer
    inputs: Channels
    pads: bool

    @property
    def folds(self) -> bool:
        """Whether a constant can move from what is read into the bias."""
        return self.layer.use_bias and not self.pads


class ChannelGraph:
    """What is known of all tensors of a functional model.

    Args:
        model: Functional, of layers.

    Attributes:
        calls: The layers, in the order of computation.
        readers: The convolutions and Dense layers that are known, by name.
        made: Groups of the channels that a setting of a layer counts, by the layer's name: those of
            the readers and of `ChannelPad`.
        normalised: Groups of the channels of the batch normalisations that are known, by name.
        beside: Tensors that the model keeps, though no output comes from them.
        outputs: Tensors that the model gives.
        fixed: Whether a group stays in any case, indexed by its number.

    Example:
        >>> dense = layers.Dense(2, kernel_initializer="zeros", bias_initializer="ones")
        >>> graph = ChannelGraph(keras.Sequential([keras.Input((3,)), dense, layers.ReLU()]))
        >>> graph.outputs[0].values.tolist()
        [1.0, 1.0]
    """

    def __init__(self, model: keras.Model):
        self.calls: list[Call] = []
        self.readers: dict[str, Reader] = {}
        self.made: dict[str, np.ndarray] = {}
        self.normalised: dict[str, np.ndarray] = {}
        self.beside: list[Channels] = []
        self._parents: list[int] = []
        self._fixed: set[int] = set()
        # By id: what was recorded keeps all tensors alive.
        self._tensors: dict[int, Channels] = {}
        recorded, outputs = layer_calls(model)
        called = [id(layer) for layer, *_ in recorded]
        for layer, read, made, plain in recorded:
            # The weights or the setting of a layer that is called twice would have to fit both.
            alone = called.count(id(layer)) == 1
            self._follow(layer, read, made, _HANDLERS.get(type(layer)) if plain and alone else None)
        self.outputs = [self._known(tensor) for tensor in outputs]
        for tensor in self.outputs:
            self.fix(tensor.groups)
        self._settle()

    def new_groups(self, count: int) -> np.ndarray:
        """Make so many groups of one channel each."""
        first = len(self._parents)
        self._parents += range(first, first + count)
        return np.arange(first, first + count)

    def unite(self, one: np.ndarray, other: np.ndarray) -> None:
        """Make one group of the two of each pair."""
        for left, right in zip(one, other, strict=True):
            self._parents[self._root(left)] = self._root(right)

    def fix(self, groups: Iterable[int]) -> None:
        """Say that these stay in any case."""
        self._fixed.update(groups)

    def _known(self, tensor) -> Channels:
        """Give what is known of a tensor; of those that come from outside, nothing."""
        if id(tensor) not in self._tensors:
            self._tensors[id(tensor)] = self._unknown(tensor)
        return self._tensors[id(tensor)]

    def _unknown(self, tensor) -> Channels:
        groups = self.new_groups((tensor.shape[-1] if tensor.shape else None) or 0)
        self.fix(groups)
        return Channels(groups, np.full(groups.size, np.nan))

    def _follow(self, layer, read: list, made: list, handler: Callable | None) -> None:
        inputs = tuple(self._known(tensor) for tensor in read)
        call = Call(layer, tuple(tuple(tensor.shape) for tensor in read), inputs)
        channels_last = getattr(layer, "data_format", "channels_last") == "channels_last"
        result = handler(self, call) if handler and channels_last else None
        if result is None:
            for tensor in inputs:
                self.fix(tensor.groups)
            outputs = tuple(self._unknown(tensor) for tensor in made)
        else:
            # Overflows and weights that are not finite make no constants to count on.
            values = np.where(np.isfinite(result.values), result.values, np.nan)
            outputs = (dataclasses.replace(result, values=values),)
        self._tensors.update(zip(map(id, made), outputs, strict=True))
        self.calls.append(dataclasses.replace(call, outputs=outputs, barrier=result is None))

    def _root(self, group: int) -> int:
        parents = self._parents
        while parents[group] != group:
            parents[group] = parents[parents[group]]
            group = parents[group]
        return group

    def _settle(self) -> None:
        """Give each group one number, in all tensors."""
        roots = np.array([self._root(group) for group in range(len(self._parents))], int)
        self.fixed = np.zeros(roots.size, bool)
        self.fixed[roots[list(self._fixed)]] = True
        everywhere = (tensor.groups for tensor in self._tensors.values())
        for groups in (*everywhere, *self.made.values(), *self.normalised.values()):
            # Tensors share arrays; the number of a number is itself.
            groups[:] = roots[groups]


# A handler says what is known of what a layer makes; None: nothing, the layer is a barrier.


def _same(graph: ChannelGraph, call: Call) -> Channels:
    return dataclasses.replace(call.inputs[0])


def _pool(graph: ChannelGraph, call: Call) -> Channels:
    # No pool of Keras counts the zeros that its own padding adds.
    return Channels(call.inputs[0].groups, call.inputs[0].steady)


def _zero_padding(graph: ChannelGraph, call: Call) -> Channels:
    return dataclasses.replace(call.inputs[0], padded=True)


def _elementwise(graph: ChannelGraph, call: Call) -> Channels:
    return Channels(call.inputs[0].groups, _map(call.layer.call, call.inputs[0].steady))


def _activation(graph: ChannelGraph, call: Call) -> Channels | None:
    known = call.layer.activation in ELEMENTWISE
    return _elementwise(graph, call) if known else None


def _batch_normalization(graph: ChannelGraph, call: Call) -> Channels | None:
    layer, read = call.layer, call.inputs[0]
    if layer.axis not in (-1, len(call.shapes[0]) - 1):
        return None
    graph.normalised[layer.name] = read.groups.copy()
    mean, variance = _float64(layer.moving_mean), _float64(layer.moving_variance)
    scale = _float64(layer.gamma) if layer.scale else np.ones(mean.size)
    offset = _float64(layer.beta) if layer.center else np.zeros(mean.size)
    values = (read.steady - mean) / np.sqrt(variance + layer.epsilon) * scale + offset
    return Channels(read.groups, np.where(scale == 0, offset, values))


def _convolution(graph: ChannelGraph, call: Call) -> Channels | None:
    layer, read = call.layer, call.inputs[0]
    # In groups, or with weights of another kind (quantised, low-rank): not known.
    weights = {weight.name for weight in layer.weights}
    if getattr(layer, "groups", 1) > 1 or not weights <= {"kernel", "bias"}:
        return None
    around = getattr(layer, "padding", "valid") != "valid" and max(layer.kernel_size) > 1
    graph.readers[layer.name] = reader = Reader(layer, read, around or read.padded)
    kernel = _float64(layer.kernel)
    kernel = kernel.reshape(-1, *kernel.shape[-2:])
    constant = np.einsum("c,pcf->pf", read.values[~read.varying], kernel[:, ~read.varying])
    steady = ~kernel[:, read.varying].any(axis=(0, 1))
    if reader.pads:
        # At the borders only some of the kernel's positions lie on the constants.
        steady &= ~constant.any(axis=0)
    bias = _float64(layer.bias) if layer.use_bias else 0.0
    values = np.where(steady, constant.sum(axis=0) + bias, np.nan)
    groups = graph.made[layer.name] = graph.new_groups(kernel.shape[-1])
    if layer.activation in ELEMENTWISE:
        return Channels(groups, _map(layer.activation, values))
    # Softmax and its like weigh the channels against each other.
    graph.fix(groups)
    return Channels(groups, np.full(groups.size, np.nan))


def _merge(ufunc: np.ufunc, graph: ChannelGraph, call: Call) -> Channels | None:
    if len({(len(shape), shape[-1]) for shape in call.shapes}) > 1:
        return None
    first, *others = call.inputs
    for other in others:
        graph.unite(first.groups, other.groups)
    values = functools.reduce(ufunc, (read.steady for read in call.inputs))
    return Channels(first.groups, values)


def _concatenate(graph: ChannelGraph, call: Call) -> Channels:
    groups = [read.groups for read in call.inputs]
    values = [read.steady for read in call.inputs]
    if call.layer.axis in (-1, len(call.shapes[0]) - 1):
        return Channels(np.concatenate(groups), np.concatenate(values))
    for other in groups[1:]:
        graph.unite(groups[0], other)
    equal = np.all([value == values[0] for value in values], axis=0)
    return Channels(groups[0], np.where(equal, values[0], np.nan))


def _channel_repeat(graph: ChannelGraph, call: Call) -> Channels:
    read, repeats = call.inputs[0], call.layer.repeats
    return Channels(np.repeat(read.groups, repeats), np.repeat(read.values, repeats), read.padded)


def _channel_pad(graph: ChannelGraph, call: Call) -> Channels:
    read = call.inputs[0]
    missing = call.layer.channels - read.groups.size
    groups = np.concatenate([read.groups, graph.new_groups(missing)])
    graph.made[call.layer.name] = groups
    return Channels(groups, np.concatenate([read.values, np.zeros(missing)]), read.padded)


def _keep_beside(graph: ChannelGraph, call: Call) -> Channels:
    graph.beside.append(call.inputs[1])
    return dataclasses.replace(call.inputs[0])


def _float64(variable: keras.Variable) -> np.ndarray:
    return ops.convert_to_numpy(variable).astype("float64")


def _map(function: Callable, values: np.ndarray) -> np.ndarray:
    """Apply a function of one number to those that are known."""
    result = np.full(values.shape, np.nan)
    known = ~np.isnan(values)
    if known.any():
        mapped = function(ops.convert_to_tensor(values[known], "float32"))
        result[known] = ops.convert_to_numpy(mapped)
    return result


# Of one number each, with the settings that a name stands for.
ELEMENTWISE = frozenset(
    getattr(activations, name)
    for name in (
        "celu elu exponential gelu hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid "
        "mish relu relu6 selu sigmoid silu softplus softsign squareplus tanh"
    ).split()
)

# Layers that join two paths channel by channel.
MERGES = {
    layers.Add: np.add,
    layers.Subtract: np.subtract,
    layers.Multiply: np.multiply,
    layers.Maximum: np.maximum,
    layers.Minimum: np.minimum,
}

# By exact type: a layer that inherits from one of these may do anything.
_HANDLERS = {
    **dict.fromkeys((layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.Dense), _convolution),
    **dict.fromkeys((layers.BatchNormalization, BatchNorm), _batch_normalization),
    **dict.fromkeys((layers.ReLU, layers.LeakyReLU, layers.ELU), _elementwise),
    layers.Activation: _activation,
    **{
        getattr(layers, f"{prefix}Pooling{rank}D"): _pool
        for prefix in ("Max", "Average", "GlobalMax", "GlobalAverage")
        for rank in (1, 2, 3)
    },
    **{getattr(layers, f"ZeroPadding{rank}D"): _zero_padding for rank in (1, 2, 3)},
    # What these do is done in training alone.
    **dict.fromkeys(
        (
            layers.Dropout,
            layers.SpatialDropout1D,
            layers.SpatialDropout2D,
            layers.SpatialDropout3D,
            layers.GaussianDropout,
            layers.GaussianNoise,
            layers.AlphaDropout,
            layers.ActivityRegularization,
            layers.Identity,
        ),
        _same,
    ),
    **{kind: functools.partial(_merge, ufunc) for kind, ufunc in MERGES.items()},
    layers.Concatenate: _concatenate,
    ChannelRepeat: _channel_repeat,
    ChannelPad: _channel_pad,
    KeepBeside: _keep_beside,
}
