"""Batch norms whose training step is one operation of TensorFlow's."""

import keras
import tensorflow as tf

from keras_audio.layers import BatchNorm


def fuse_batch_norms(network: keras.Model) -> None:
    """Let the `BatchNorm` layers of a network train by TensorFlow's fused kernel.

    The numbers are those of Keras but for rounding. The loop does it; whoever trains by a loop of
    their own, or by `fit`, may too.

    Args:
        network: The network; traced after this.

    Example:
        >>> from keras_audio.models import create_model
        >>> model = create_model("m3", 2)
        >>> fuse_batch_norms(model)
        >>> sum(isinstance(x, BatchNorm) and x.fused is not None for x in model.layers)
        2
    """
    for layer in network._flatten_layers():
        if isinstance(layer, BatchNorm):
            layer.fused = _fused


def _fused(inputs, scale, offset, epsilon: float):
    # On one axis the kernel has none before it.
    one_axis = len(inputs.shape) == 3
    images = tf.expand_dims(inputs, 1) if one_axis else inputs
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=images,
        scale=tf.convert_to_tensor(scale),
        offset=tf.convert_to_tensor(offset),
        mean=[],
        variance=[],
        epsilon=epsilon,
    )
    # The kernel has the variance over n - 1.
    count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
    variance *= (count - 1) / count
    return tf.squeeze(outputs, 1) if one_axis else outputs, mean, variance
