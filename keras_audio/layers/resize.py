"""Bring spectrograms to another size."""

import keras
from keras import ops

from keras_audio.layers.checks import at_least


@keras.saving.register_keras_serializable("keras_audio")
class Resize(keras.layers.Layer):
    """Resize features bilinearly, as images are: corners apart, centres of bins on a common scale.

    Colangelo et al. 2021, section 2, the first method. Nothing is smoothed before it is made
    smaller, as in the common resizing of images in training.

    `keras.layers.Resizing` computes the same, but where a model with it is called without
    `training=False` all layers behind it behave as in training, and batch norms learn.

    Args:
        mels: Mel bins of the output.
        frames: Frames of the output.

    Input shape:
        `(batch, mels, frames, channels)`, of any size.

    Output shape:
        `(batch, mels, frames, channels)` of the given size, float32 under every dtype policy.

    Raises:
        ValueError: If a size is not a positive whole number.

    Example:
        >>> import numpy as np
        >>> tuple(Resize(64, 128)(np.ones((1, 128, 300, 1), "float32")).shape)
        (1, 64, 128, 1)
    """

    def __init__(self, mels: int, frames: int, name="resize", **kwargs):
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)
        self.mels = at_least("mels", mels, 1)
        self.frames = at_least("frames", frames, 1)

    def call(self, inputs):
        """Compute the output; see the class for shapes."""
        return ops.image.resize(
            inputs,
            (self.mels, self.frames),
            interpolation="bilinear",
            antialias=False,
            data_format="channels_last",
        )

    def compute_output_shape(self, input_shape):
        """Give the output shape; None stays None."""
        return (input_shape[0], self.mels, self.frames, input_shape[-1])

    def get_config(self):
        """Give the arguments that rebuild the layer."""
        return {**super().get_config(), "mels": self.mels, "frames": self.frames}
