"""Batch normalisation whose training step may be one operation of the backend's."""

from collections.abc import Callable

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_audio")
class BatchNorm(keras.layers.BatchNormalization):
    """Keras' BatchNormalization, with a place for a kernel that does a training step at once.

    Keras takes the mean, the variance and the normalised values one after the other, and their
    gradients likewise: a dozen passes over activations that do not fit in a cache. Backends have
    kernels that make two. `keras_audio.training` puts TensorFlow's in; without, and in everything
    but a training step in 32 bits on three or four axes with the channels last, the layer is
    Keras' own: in inference, over several devices, on other backends.

    Args:
        **kwargs: Of `keras.layers.BatchNormalization`.

    Attributes:
        fused: The kernel, or None. Of `inputs` (batch, ..., channels), `scale` and `offset`
            (channels,) and `epsilon` it gives the normalised values, and of each channel the mean
            and the variance of n values, over n. It is no part of the configuration.

    Example:
        >>> import numpy as np
        >>> x = np.array([[[1.0], [3.0]], [[5.0], [7.0]]], "float32")
        >>> layer = BatchNorm(momentum=0.5, epsilon=1e-3)
        >>> [round(value, 2) for value in np.array(layer(x, training=True))[0, :, 0].tolist()]
        [-1.34, -0.45]
        >>> float(np.array(layer.moving_variance)[0])
        3.0
    """

    fused: Callable | None = None

    def call(self, inputs, training=None, mask=None):
        """Normalise; see the class."""
        if not (training and self.trainable and mask is None and self._fuses(inputs)):
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        scale = self.gamma if self.scale else ops.ones((channels,))
        offset = self.beta if self.center else ops.zeros((channels,))
        outputs, mean, variance = self.fused(inputs, scale, offset, self.epsilon)
        self._move(self.moving_mean, mean)
        self._move(self.moving_variance, variance)
        return outputs

    def _fuses(self, inputs) -> bool:
        rank = len(inputs.shape)
        return (
            self.fused is not None
            and rank in (3, 4)
            and self.axis in (-1, rank - 1)
            and keras.backend.standardize_dtype(inputs.dtype) == self.compute_dtype == "float32"
            and not (self.synchronized or self.renorm)
        )

    def _move(self, running, value) -> None:
        running.assign(running * self.momentum + value * (1.0 - self.momentum))
