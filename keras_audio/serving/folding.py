"""Batch normalisations as part of the convolutions before them, for models that only answer."""

import collections

import keras
import numpy as np
from keras import layers, ops

from keras_audio.layers import BatchNorm
from keras_audio.models.calls import layer_calls

_CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.Dense)


def fold_batch_norms(model: keras.Model) -> keras.Model:
    """Give a model that answers alike, without the batch norms that a convolution can do.

    At inference a batch norm multiplies each channel by a number and adds one, which the kernel and
    the bias of a convolution (or Dense layer) right before it can do for nothing. What a sum or an
    activation stands before stays as it is. Numbers differ by rounding.

    Args:
        model: Functional model. It is left as it is; the new one has its layers, but for
            convolutions of their own where a batch norm was folded, of the weights of now: it is
            to be made anew when the model was trained on.

    Returns:
        The new model, without the layers that were folded; `model` itself if there are none.

    Example:
        >>> waveform = keras.Input((None, 1))
        >>> x = layers.BatchNormalization(name="bn")(layers.Conv1D(4, 9)(waveform))
        >>> model = keras.Model(waveform, layers.ReLU()(x))
        >>> folded = fold_batch_norms(model)
        >>> [layer.name for layer in folded.layers if "bn" in layer.name], folded.count_params()
        ([], 40)
    """
    norms = _foldable(model)
    if not norms:
        return model
    folded = {norm.name for norm in norms.values()}

    def clone(layer: layers.Layer) -> layers.Layer:
        if layer.name in norms:
            return type(layer).from_config(layer.get_config() | {"use_bias": True})
        return layer

    def call(layer: layers.Layer, *args, **kwargs):
        return args[0] if layer.name in folded else layer(*args, **kwargs)

    clones = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for name, norm in norms.items():
        clones.get_layer(name).set_weights(_folded_weights(model.get_layer(name), norm))
    return clones


def _foldable(model: keras.Model) -> dict[str, layers.BatchNormalization]:
    """The batch norms that alone read what a convolution makes, by the convolution's name."""
    calls, outputs = layer_calls(model)
    called = collections.Counter(id(layer) for layer, *_ in calls)
    reads = collections.Counter(id(tensor) for _, read, *_ in calls for tensor in read)
    reads.update(map(id, outputs))
    makers = {
        id(made[0]): layer
        for layer, _, made, plain in calls
        if plain and called[id(layer)] == 1 and _can_take_it(layer)
    }
    return {
        makers[id(read[0])].name: layer
        for layer, read, _, plain in calls
        if type(layer) in (layers.BatchNormalization, BatchNorm)
        and plain
        and called[id(layer)] == 1
        and layer.axis in (-1, len(read[0].shape) - 1)
        and layer.compute_dtype == "float32"
        and id(read[0]) in makers
        and reads[id(read[0])] == 1
    }


def _can_take_it(layer: layers.Layer) -> bool:
    return (
        # Exactly these kinds: a layer that inherits from one may do anything.
        type(layer) in _CONVOLUTIONS
        and layer.activation is keras.activations.linear
        and getattr(layer, "data_format", "channels_last") == "channels_last"
        and layer.quantization_mode is None
        and layer.compute_dtype == "float32"
    )


def _folded_weights(conv: layers.Layer, norm: layers.Layer) -> list[np.ndarray]:
    """Kernel and bias of both, in 64 bits until they are done."""

    def numbers(variable, default: float) -> np.ndarray:
        value = default if variable is None else ops.convert_to_numpy(variable)
        return np.asarray(value, np.float64)

    scale = numbers(norm.gamma, 1.0) / np.sqrt(numbers(norm.moving_variance, 1.0) + norm.epsilon)
    bias = numbers(conv.bias, 0.0) - numbers(norm.moving_mean, 0.0)
    return [numbers(conv.kernel, 1.0) * scale, bias * scale + numbers(norm.beta, 0.0)]
