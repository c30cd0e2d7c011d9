"""Sounds padded before the convolution that hears them, for models that only answer."""

import keras
from keras import layers, ops

_MOST_CHANNELS = 2


def pad_sounds(model: keras.Model) -> keras.Model:
    """Give a model that answers alike, with zeros put around sounds before they are convolved.

    TensorFlow's CPU kernel is slow with a single sound, of one channel or two, where it pads by
    itself ("same"): M3 takes twice as long in all. With batches it is not (docs/performance.md).
    Numbers differ by rounding.

    Args:
        model: Functional model. It is left as it is; the new one has its layers, but for
            convolutions of one channel or two that pad: these have weights of their own, those of
            now.

    Returns:
        The new model; `model` itself if there are none.

    Example:
        >>> waveform = keras.Input((None, 1))
        >>> model = keras.Model(waveform, layers.Conv1D(4, 9, 4, padding="same")(waveform))
        >>> padded = pad_sounds(model)
        >>> padded.layers[-1].padding, padded.count_params()
        ('valid', 40)
    """
    zeros = {layer.name: _SamePadding(layer) for layer in model.layers if _hears(layer)}
    if not zeros:
        return model

    def clone(layer: layers.Layer) -> layers.Layer:
        if layer.name in zeros:
            return type(layer).from_config(layer.get_config() | {"padding": "valid"})
        return layer

    def call(layer: layers.Layer, *args, **kwargs):
        if layer.name in zeros:
            return layer(zeros[layer.name](*args, **kwargs))
        return layer(*args, **kwargs)

    clones = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for name in zeros:
        clones.get_layer(name).set_weights(model.get_layer(name).get_weights())
    return clones


def _hears(layer: layers.Layer) -> bool:
    return (
        # Exactly this kind: a layer that inherits from it may do anything.
        type(layer) is layers.Conv1D
        and layer.padding == "same"
        and layer.data_format == "channels_last"
        and layer.dilation_rate == (1,)
        and layer.groups == 1
        and layer.kernel_size >= layer.strides
        and layer.kernel.shape[1] <= _MOST_CHANNELS
    )


class _SamePadding(layers.Layer):
    """Adds the zeros that a convolution of "same" padding adds."""

    def __init__(self, conv: layers.Conv1D):
        # Not of the policy of now, which may be coarser than the convolution's.
        super().__init__(name=f"{conv.name}_padding", dtype=conv.dtype_policy)
        (self._kernel_size,), (self._stride,) = conv.kernel_size, conv.strides

    def call(self, inputs):
        # So many that the last step begins within the sound.
        zeros = self._kernel_size - 1 - (ops.shape(inputs)[1] - 1) % self._stride
        return ops.pad(inputs, [[0, 0], [zeros // 2, zeros - zeros // 2], [0, 0]])
