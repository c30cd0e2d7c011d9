"""Batch normalisation in one operation where TensorFlow trains."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_audio")
class BatchNorm(keras.layers.BatchNormalization):
    """Keras' BatchNormalization, whose training step TensorFlow computes in one operation.

    Keras takes the mean, the variance and the normalised values one after the other, and their
    gradients likewise: a dozen passes over activations that do not fit in a cache. TensorFlow's
    fused kernel makes two. The numbers are those of Keras but for rounding, the running variance
    too, which the kernel has of n - 1 values and Keras of n.

    That is while training, on TensorFlow, where the channels come last and three or four axes are
    normalised in 32 bits. Everything else is as Keras has it: inference, where the export can fold
    its two operations into a convolution; other backends; statistics over several devices.

    Args:
        **kwargs: Of `keras.layers.BatchNormalization`.

    Example:
        >>> import numpy as np
        >>> x = np.array([[[1.0], [3.0]], [[5.0], [7.0]]], "float32")
        >>> layer = BatchNorm(momentum=0.5, epsilon=1e-3)
        >>> [round(value, 2) for value in np.array(layer(x, training=True))[0, :, 0].tolist()]
        [-1.34, -0.45]
        >>> float(np.array(layer.moving_variance)[0])
        3.0
    """

    def call(self, inputs, training=None, mask=None):
        """Normalise; see the class."""
        if not (training and self.trainable and mask is None and self._fuses(inputs)):
            return super().call(inputs, training=training, mask=mask)
        # The one layer that has a kernel of its backend's own: imported here, where that is in use.
        import tensorflow as tf

        channels = inputs.shape[-1]
        scale = self.gamma if self.scale else ops.ones((channels,))
        offset = self.beta if self.center else ops.zeros((channels,))
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            # On one axis the kernel has none before it.
            x=inputs if len(inputs.shape) == 4 else tf.expand_dims(inputs, 1),
            scale=tf.convert_to_tensor(scale),
            offset=tf.convert_to_tensor(offset),
            mean=[],
            variance=[],
            epsilon=self.epsilon,
        )
        count = ops.cast(tf.size(inputs) // channels, "float32")
        self._move(self.moving_mean, mean)
        self._move(self.moving_variance, variance * ((count - 1) / count))
        return outputs if len(inputs.shape) == 4 else tf.squeeze(outputs, 1)

    def _fuses(self, inputs) -> bool:
        rank = len(inputs.shape)
        return (
            keras.config.backend() == "tensorflow"
            and rank in (3, 4)
            and self.axis in (-1, rank - 1)
            and keras.backend.standardize_dtype(inputs.dtype) == self.compute_dtype == "float32"
            and not (self.synchronized or self.renorm)
        )

    def _move(self, running, value) -> None:
        running.assign(running * self.momentum + value * (1.0 - self.momentum))
