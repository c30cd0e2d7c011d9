"""What one clip costs: multiply-accumulates a layer, counted from the graph."""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import keras
from keras import layers

from keras_audio.augment.random_crop import RandomCropFrames
from keras_audio.layers import LogMelImage, LogMelSpectrogram
from keras_audio.models.calls import Call, layer_calls

Shape = tuple[int, ...]


class LayerMacs(NamedTuple):
    """What one layer costs a clip.

    Attributes:
        name: Of the layer.
        output_shape: Of its output, without the batch axis.
        macs: Multiply-accumulates.
    """

    name: str
    output_shape: Shape
    macs: int


def layer_macs(model: keras.Model, input_shape: Sequence[int]) -> list[LayerMacs]:
    """Count the multiply-accumulates of every layer of a model for one clip.

    Convolutions, Dense layers and log-mel spectrograms cost something. By the usual convention
    biases, normalisations, activations, pools, additions, resizing and padding cost nothing: a few
    operations an element, where a convolution has thousands. Zeros that were padded cost as much as
    sound.

    A log-mel spectrogram costs its mel product, over the FFT's bins between `fmin` and `fmax`, and
    `round(n log2 n)` a frame for the FFT of n points: FFTs differ by a small factor, and this is
    what they share. It is the one layer of the front ends that costs anything; the network's own
    count is the sum of all others, or that of the model on features (`input="features"`). That of a
    `LogMelImage` is taken of the whole clip, of which it may keep a part.

    Args:
        model: Functional, with one input, made of layers.
        input_shape: Of one input, without the batch axis: all of it whole numbers.

    Returns:
        The layers that cost something, in the order of the graph.

    Raises:
        ValueError: If the shape does not fit the model, or the model holds what is not known here:
            a layer that has weights or multiplies tensors, an operation outside of layers, a model
            as a layer.

    Example:
        >>> model = keras.Sequential([keras.Input((100, 2)), layers.Conv1D(8, 5, name="conv")])
        >>> layer_macs(model, (100, 2))
        [LayerMacs(name='conv', output_shape=(96, 8), macs=7680)]
    """
    expected = tuple(model.input_shape[1:])
    given = tuple(input_shape)
    if len(given) != len(expected) or not all(
        isinstance(size, int) and size > 0 and free in (None, size)
        for size, free in zip(given, expected, strict=True)
    ):
        raise ValueError(
            f"Expected input_shape to fit the input {expected} of {model.name!r}, with whole "
            f"numbers. Received: input_shape={input_shape!r}"
        )
    calls, _ = layer_calls(model, [keras.Input(given, dtype=model.inputs[0].dtype)], _answered)
    counted = [
        LayerMacs(call.layer.name, tuple(call.made[0].shape[1:]), _macs(call)) for call in calls
    ]
    return [layer for layer in counted if layer.macs]


def count_macs(model: keras.Model, input_shape: Sequence[int]) -> int:
    """Count the multiply-accumulates of a model for one clip; see `layer_macs`.

    Args:
        model: Functional, with one input, made of layers.
        input_shape: Of one input, without the batch axis.

    Example:
        >>> import keras_audio
        >>> model = keras_audio.create_model("erann_3_1", 10, input="features")
        >>> second, two, three = (count_macs(model, (128, 128 * t, 1)) for t in (1, 2, 3))
        >>> three - two == two - second  # the cost grows by the same for every second
        True
    """
    return sum(layer.macs for layer in layer_macs(model, input_shape))


def _answered(layer, *args, **kwargs):
    """What a layer makes of a clip that is answered for whole."""
    # A crop in training says that any length may come out.
    if isinstance(layer, RandomCropFrames):
        return keras.KerasTensor(args[0].shape, args[0].dtype)
    return layer.compute_output_spec(*args, **kwargs)


def _macs(call: Call) -> int:
    if isinstance(call.layer, keras.Model) or not isinstance(call.layer, layers.Layer):
        _refuse(call.layer)
    return _cost(call.layer, call.read[0].shape if call.read else None, call.made[0])


@functools.singledispatch
def _cost(layer: layers.Layer, input_shape, output) -> int:
    """The cost of any layer that is none of the kinds below."""
    if layer.weights:
        _refuse(layer)
    return 0


def _refuse(layer, *_) -> int:
    raise ValueError(
        f"Expected layers whose multiply-accumulates are known. "
        f"Received: {layer.name!r}, which is a {type(layer).__name__}"
    )


@_cost.register(layers.BatchNormalization)
@_cost.register(layers.Normalization)
def _free(layer, input_shape, output) -> int:
    return 0


@_cost.register(layers.Conv1D)
@_cost.register(layers.Conv2D)
@_cost.register(layers.Conv3D)
def _convolution(layer, input_shape, output) -> int:
    channel_axis = -1 if layer.data_format == "channels_last" else 1
    channels = input_shape[channel_axis] // layer.groups
    return math.prod(output.shape[1:]) * math.prod(layer.kernel_size) * channels


@_cost.register(layers.DepthwiseConv1D)
@_cost.register(layers.DepthwiseConv2D)
def _depthwise_convolution(layer, input_shape, output) -> int:
    return math.prod(output.shape[1:]) * math.prod(layer.kernel_size)


@_cost.register(layers.Dense)
def _dense(layer, input_shape, output) -> int:
    return math.prod(output.shape[1:]) * input_shape[-1]


@_cost.register(LogMelSpectrogram)
def _log_mel(layer, input_shape, output) -> int:
    _, mels, frames, channels = output.shape
    step = layer.sample_rate / layer.n_fft
    bins = sum(layer.fmin < bin * step < layer.fmax for bin in range(layer.n_fft // 2 + 1))
    return frames * channels * (_fft(layer.n_fft) + bins * mels)


@_cost.register(LogMelImage)
def _log_mel_image(layer, input_shape, output) -> int:
    _, samples, channels = input_shape
    samples = min(samples, layer.max_samples or samples)
    # Of the whole clip: how much of it is silence, and not looked at, only its sound can say.
    frames = (samples - layer.n_fft % 2) // layer.hop_length + 1
    # From above 0 Hz to below half the sample rate.
    bins = (layer.n_fft - 1) // 2
    return frames * channels * (_fft(layer.n_fft) + bins * layer.num_mels)


def _fft(points: int) -> int:
    return round(points * math.log2(points))


# Without weights, but they multiply tensors.
_cost.register(layers.Dot, _refuse)
_cost.register(layers.Attention, _refuse)
