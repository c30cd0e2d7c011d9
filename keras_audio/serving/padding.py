"""Sounds padded before the convolution that hears them, for models that only answer."""

import keras
import tensorflow as tf
from keras import layers

_MOST_CHANNELS = 2


def pad_sounds(model: keras.Model) -> keras.Model:
    """Give a model that answers alike, whose first convolution is handed zeros at both ends.

    For a single sound, of one channel or two, TensorFlow's CPU kernel takes several times as long
    where it pads by itself ("same"); from two sounds on it does not. docs/performance.md has the
    ratios. Numbers differ by rounding.

    Args:
        model: Functional model. It is left as it is; the new one has its layers, but for the
            convolution, which has weights of its own, those of now.

    Returns:
        The new model; `model` itself if nothing in it hears a sound and pads.

    Example:
        >>> waveform = keras.Input((None, 1))
        >>> model = keras.Model(waveform, layers.Conv1D(4, 9, 4, padding="same")(waveform))
        >>> padded = pad_sounds(model)
        >>> padded.layers[-1].padding, padded.count_params()
        ('valid', 40)
    """
    hearing = {layer.name for layer in model.layers if _hears(layer)}
    if not hearing:
        return model

    def clone(layer: layers.Layer) -> layers.Layer:
        if layer.name in hearing:
            return type(layer).from_config(layer.get_config() | {"padding": "valid"})
        return layer

    def call(layer: layers.Layer, *args, **kwargs):
        if layer.name in hearing:
            return layer(_SamePadding(*layer.kernel_size, *layer.strides)(args[0]))
        return layer(*args, **kwargs)

    clones = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for name in hearing:
        clones.get_layer(name).set_weights(model.get_layer(name).get_weights())
    return clones


def _hears(layer: layers.Layer) -> bool:
    return (
        # Exactly this kind: a layer that inherits from it may do anything.
        type(layer) is layers.Conv1D
        and layer.padding == "same"
        and layer.data_format == "channels_last"
        and layer.dilation_rate == (1,)
        and layer.kernel_size >= layer.strides
        and layer.kernel.shape[1] <= _MOST_CHANNELS
    )


class _SamePadding(layers.Layer):
    """Adds the zeros that a convolution of "same" padding adds."""

    def __init__(self, kernel_size: int, stride: int):
        super().__init__()
        self._kernel_size, self._stride = kernel_size, stride

    def call(self, inputs):
        # So many that the last step begins within the sound.
        zeros = self._kernel_size - 1 - (tf.shape(inputs)[1] - 1) % self._stride
        return tf.pad(inputs, [[0, 0], [zeros // 2, zeros - zeros // 2], [0, 0]])
