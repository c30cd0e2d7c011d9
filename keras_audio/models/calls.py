"""The graph of a functional model as a list of its layers' calls."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras


class Call(NamedTuple):
    """A call of a layer in a graph.

    Attributes:
        layer: The layer.
        read: The tensors that it reads.
        made: The tensors that it makes.
        plain: Whether it is told nothing else, such as `training=True`.
    """

    layer: keras.Operation
    read: list[keras.KerasTensor]
    made: list[keras.KerasTensor]
    plain: bool


def _output_spec(layer: keras.Operation, *args, **kwargs) -> Any:
    return layer.compute_output_spec(*args, **kwargs)


def layer_calls(
    model: keras.Model,
    inputs: Sequence[keras.KerasTensor] | None = None,
    output_spec: Callable[..., Any] = _output_spec,
) -> tuple[list[Call], list[keras.KerasTensor]]:
    """Walk the graph of a functional model; nothing is built or changed.

    Args:
        model: Functional.
        inputs: What to put in, in place of tensors like the model's own.
        output_spec: What a layer makes of its arguments, `(layer, *args, **kwargs)`, where that is
            not what it says itself.

    Returns:
        The calls in the order of computation, and the tensors that the model gives.

    Example:
        >>> model = keras.Sequential([keras.Input((100, 2)), keras.layers.Conv1D(8, 5, name="c")])
        >>> calls, outputs = layer_calls(model)
        >>> [(call.layer.name, call.read[0].shape) for call in calls], outputs[0].shape
        ([('c', (None, 100, 2))], (None, 96, 8))
    """
    calls: list[Call] = []

    def note(layer, args, kwargs) -> Any:
        output = output_spec(layer, *args, **kwargs)
        told = keras.tree.flatten((args, kwargs))
        read = [value for value in told if keras.utils.is_keras_tensor(value)]
        # What else is said in the call may change what the layer does.
        plain = all(map(keras.utils.is_keras_tensor, keras.tree.flatten(args)))
        plain = plain and all(value is None or value is False for value in kwargs.values())
        calls.append(Call(layer, read, keras.tree.flatten(output), plain))
        return output

    # Cloning walks the graph; in place of layers it gets probes.
    clone = keras.models.clone_model(
        keras.Model(model.inputs, model.outputs),
        inputs,
        clone_function=lambda layer: _Probe(layer, note),
    )
    return calls, clone.outputs


class _Probe(keras.Operation):
    """Stands for a layer in a graph, and notes what it is called on."""

    def __init__(self, layer, note: Callable):
        super().__init__(name=layer.name)
        self._layer, self._note = layer, note

    def compute_output_spec(self, *args, **kwargs):
        """Give the output of the layer, and note what was asked."""
        return self._note(self._layer, args, kwargs)
