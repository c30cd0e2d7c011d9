"""Remove pruned kernels for real: a smaller and faster network with the same outputs."""

import collections
import dataclasses
from typing import NamedTuple

import keras
import numpy as np
from keras import layers, ops

from keras_audio.compress.channels import ELEMENTWISE, MERGES, ChannelGraph, Channels, Reader
from keras_audio.compress.kernels import flat_layers, kernel_of, l1_norms
from keras_audio.layers import ChannelPad
from keras_audio.tables import text_table

# What a representative of the constants has at least, as a share of the largest of them. The
# network's own rounding errors grow by no more than the inverse.
_LEAST_SHARE = 0.5


class ShrunkLayer(NamedTuple):
    """What became of the kernels, or of the scales, of one layer.

    Attributes:
        name: Of the layer.
        kind: `"kernel"`, or `"scale"` for those of a batch normalisation.
        before: Kernels that it had.
        after: Kernels that it has.
        dead: Of those before, how many no sound could get through.
        why: Why dead ones are still there, in words; empty where none are.
    """

    name: str
    kind: str
    before: int
    after: int
    dead: int
    why: str


@dataclasses.dataclass(frozen=True)
class ShrunkModel:
    """A smaller network, and what was removed.

    Attributes:
        model: The smaller network, not compiled.
        layers: A row for each convolution and Dense layer, in the order of the network, and one for
            each batch normalisation whose zeroed scales stay though no kernel before is to blame.
        parameters_before: Parameters of the network that it was made of, as `count_params` counts.
        parameters_after: Those of `model`.
    """

    model: keras.Model
    layers: tuple[ShrunkLayer, ...]
    parameters_before: int
    parameters_after: int

    def table(self) -> str:
        """Give the rows as a table of plain text, and the parameters below."""
        rows = (map(str, row) for row in self.layers)
        table = text_table(ShrunkLayer._fields, rows, right=(2, 3, 4))
        parameters = f"parameters: {self.parameters_before} before, {self.parameters_after} after"
        return f"{table}\n{parameters}"


def shrink(model: keras.Model) -> ShrunkModel:
    """Make a network without the dead kernels of another, and with the same outputs.

    A kernel is dead if no sound gets through it: all its weights are zero, or the scale of the
    batch normalisation behind it is. What is left of it is a constant, from its bias and the
    offsets of the normalisations. Dead kernels are removed with all that carries their channel on,
    up to and including the inputs of the layers that read it. There the constant moves into the
    bias; or, where zeros are padded around it or there is no bias, the dead channel with the
    largest constant stays and stands for all of them, which is exact at the borders too.

    Where paths meet in a sum, a channel goes only if it is dead on all of them. Every layer keeps
    at least one kernel, and the outputs of the network all stay. In front of and behind a layer
    that is not known here, all stays as well. `ShrunkModel.table()` says what stays, and why.

    Outside of training, outputs change by rounding errors alone. Names, dtype policies, inputs and
    regularizers are those of the model given, which is not changed. `embedding` may become a
    shorter vector, of those of its values that sound can change. The new network is not compiled
    and holds no zeros: call `hold_zeros` before it is trained on, if what stays of the dead kernels
    shall stay dead.

    Args:
        model: Functional or `Sequential`, built, of layers, such as any from `create_model`. A
            `Sequential` one becomes functional.

    Returns:
        The smaller network, and a row a layer.

    Raises:
        ValueError: If the model is not built or has no graph of layers.

    Example:
        >>> import keras_audio
        >>> model = keras_audio.create_model("m3", 10)
        >>> convolution = model.get_layer("group1_1_conv")
        >>> kernel, bias = convolution.get_weights()
        >>> kernel[..., :56] = 0
        >>> convolution.set_weights([kernel, bias])
        >>> shrunk = shrink(model)
        >>> shrunk.layers[0]
        ShrunkLayer(name='group1_1_conv', kind='kernel', before=256, after=200, dead=56, why='')
        >>> shrunk.parameters_before, shrunk.parameters_after
        (222218, 174450)
    """
    whole = _functional(model)
    graph = ChannelGraph(whole)
    removed, notes = _choose(graph)
    smaller = _rebuild(whole, graph, removed)
    return ShrunkModel(
        smaller,
        tuple(_Report(graph, removed, notes).rows()),
        model.count_params(),
        smaller.count_params(),
    )


def _functional(model: keras.Model) -> keras.Model:
    """Give the graph of a model, without what it is compiled with."""
    flat_layers(model)
    if isinstance(model, keras.Sequential):
        # It has no `input` and `output` of its own.
        ends = model.inputs[0], model.outputs[0]
    elif getattr(model, "operations", None):
        ends = model.input, model.output
    else:
        raise ValueError(
            f"Expected a functional or Sequential model. Received: {model.name!r}, "
            f"which is a {type(model).__name__}"
        )
    return keras.Model(*ends, name=model.name)


def _choose(graph: ChannelGraph) -> tuple[np.ndarray, dict[int, str]]:
    """Say which groups go, indexed by group, and why some that could go do not."""
    removed, notes = ~graph.fixed, {}
    for read in (*(reader.inputs for reader in graph.readers.values()), *graph.beside):
        removed[read.groups[read.varying]] = False
    for reader in graph.readers.values():
        groups, sizes = reader.inputs.groups, np.nan_to_num(np.abs(reader.inputs.values))
        going = np.where(removed[groups], sizes, 0.0)
        staying = np.where(removed[groups], 0.0, sizes)
        if not reader.folds and staying.max() < _LEAST_SHARE * going.max():
            kept = groups[going.argmax()]
            removed[kept] = False
            missing = "pads with zeros" if reader.pads else "has no bias"
            notes[kept] = f"one stands for all of them, since {reader.layer.name} {missing}"
    for groups in graph.made.values():
        if removed[groups].all():
            removed[groups[0]] = False
            notes[groups[0]] = "a layer keeps one"
    return removed, notes


def _rebuild(whole: keras.Model, graph: ChannelGraph, removed: np.ndarray) -> keras.Model:
    def clone(layer):
        config = layer.get_config()
        if layer.name in graph.made:
            counted = {layers.Dense: "units", ChannelPad: "channels"}.get(type(layer), "filters")
            config[counted] = int(np.count_nonzero(~removed[graph.made[layer.name]]))
        return type(layer).from_config(config)

    # Cloning by itself would name an unnamed input layer anew.
    names = {id(x.output): x.name for x in whole.layers if isinstance(x, layers.InputLayer)}
    inputs = keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=names[id(x)]), whole.input
    )
    smaller = keras.models.clone_model(whole, inputs, clone_function=clone)
    for layer in whole.layers:
        weights = layer.get_weights()
        if layer.name in graph.readers:
            weights = _folded(graph.readers[layer.name], removed)
            weights = [values[..., ~removed[graph.made[layer.name]]] for values in weights]
        elif layer.name in graph.normalised:
            kept = ~removed[graph.normalised[layer.name]]
            weights = [values[kept] for values in weights]
        smaller.get_layer(layer.name).set_weights(weights)
    return smaller


def _folded(reader: Reader, removed: np.ndarray) -> list[np.ndarray]:
    """Give the weights of a layer that no longer reads what is removed."""
    kernel, *bias = (values.astype("float64") for values in reader.layer.get_weights())
    values, gone = reader.inputs.values, removed[reader.inputs.groups]
    if reader.folds:
        constant = np.tensordot(values[gone], kernel[..., gone, :], (0, -2))
        bias[0] += constant.reshape(-1, kernel.shape[-1]).sum(axis=0)
    elif values[gone].any():
        first = np.where(gone, 0.0, np.nan_to_num(np.abs(values))).argmax()
        share = values[gone] / values[first]
        kernel[..., first, :] += np.tensordot(share, kernel[..., gone, :], (0, -2))
    return [kernel[..., ~gone, :], *bias]


class _Report:
    """Says what became of each layer's kernels."""

    def __init__(self, graph: ChannelGraph, removed: np.ndarray, notes: dict[int, str]):
        self.graph, self.removed, self.notes = graph, removed, notes

    def rows(self):
        """Yield a row a layer; see `ShrunkModel.layers`."""
        told = set()
        for call in self.graph.calls:
            layer = call.layer
            if layer.name in self.graph.readers:
                groups, made = self.graph.made[layer.name], call.outputs[0]
                dead = self._zeros(layer) | self._dead(made)
                stay = groups[dead & ~self.removed[groups]]
                told.update(stay)
                why = [self._why(made, group) for group in stay]
                if (activation := layer.activation) not in ELEMENTWISE:
                    name = getattr(activation, "__name__", type(activation).__name__)
                    why = [f"its activation {name} needs them"] * len(stay)
                yield self._row(layer, "kernel", groups, dead, why)
            elif layer.name in self.graph.normalised and layer.scale:
                groups, read = self.graph.normalised[layer.name], call.inputs[0]
                dead = ops.convert_to_numpy(layer.gamma) == 0
                stay = groups[dead & ~self.removed[groups]]
                stay = [group for group in stay if group not in told]
                if stay:
                    why = [self._why(read, group, own=layer) for group in stay]
                    yield self._row(layer, "scale", groups, dead, why)
            elif isinstance(layer, layers.Layer) and kernel_of(layer) is not None:
                dead = self._zeros(layer)
                why = ["this layer is left as it is"] * np.count_nonzero(dead)
                yield self._row(layer, "kernel", np.zeros(0, int), dead, why)

    def _row(self, layer, kind: str, groups: np.ndarray, dead: np.ndarray, why: list[str]):
        reasons = collections.Counter(why).most_common()
        words = (f"{count} kept: {reason}" for reason, count in reasons)
        after = dead.size - np.count_nonzero(self.removed[groups])
        return ShrunkLayer(
            layer.name, kind, dead.size, int(after), int(np.count_nonzero(dead)), "; ".join(words)
        )

    def _zeros(self, layer) -> np.ndarray:
        return l1_norms(ops.convert_to_numpy(layer.kernel)) == 0

    def _dead(self, made: Channels) -> np.ndarray:
        """Whether a channel is a constant here, or behind each layer that takes it from here."""
        behind = [call for call in self.graph.calls if any(read is made for read in call.inputs)]
        passed = [
            ~call.outputs[0].varying
            if not call.barrier and np.array_equal(call.outputs[0].groups, made.groups)
            else np.zeros(made.groups.size, bool)
            for call in behind
        ]
        dead = ~made.varying | self.removed[made.groups]
        return dead | np.all(passed, axis=0) if passed else dead

    def _why(self, tensor: Channels, group: int, own=None) -> str:
        """Say what needs a dead channel.

        Args:
            tensor: Where the channel is. It is a constant there, or a layer behind makes it one.
            group: Of the channel.
            own: That layer; what else reads the channel is looked for.
        """
        if group in self.notes:
            return self.notes[group]
        reached = [tensor]
        for call in self.graph.calls:
            name, merges = call.layer.name, type(call.layer) in MERGES
            if name in self.graph.readers or call.layer is own:
                continue
            if not any(read is other for read in call.inputs for other in reached):
                continue
            made = call.outputs[0]
            revived = made.varying[made.groups == group].any() and (merges or own is None)
            if call.barrier or revived:
                return f"{'the sum ' * (type(call.layer) is layers.Add)}{name} needs them"
            reached.append(made)
        if any(output is other for output in self.graph.outputs for other in reached):
            return "the network gives them out"
        for name, reader in self.graph.readers.items():
            if reader.inputs.varying[reader.inputs.groups == group].any():
                return f"{name} reads the same channels"
        return "what comes before is left as it is"
