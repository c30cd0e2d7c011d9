"""A shortcut that widens without parameters."""

import keras
from keras import ops

from keras_audio.layers.checks import at_least


@keras.saving.register_keras_serializable("keras_audio")
class ChannelRepeat(keras.layers.Layer):
    """Repeat every channel in place: c0 c1 becomes c0 c0 c1 c1.

    The parameter-free shortcut where a residual block doubles the channels, in the original
    M34-res network of Dai et al. 2017 that Naranjo-Alcazar et al. 2019 build on.

    Args:
        repeats: How often each channel stands in the output.

    Input shape:
        `(batch, ..., channels)`

    Output shape:
        `(batch, ..., repeats * channels)`

    Raises:
        ValueError: If `repeats` is not a positive whole number.

    Example:
        >>> import numpy as np
        >>> np.array(ChannelRepeat(2)(np.array([[[1.0, 2.0]]], "float32"))).ravel().tolist()
        [1.0, 1.0, 2.0, 2.0]
    """

    def __init__(self, repeats: int = 2, **kwargs):
        super().__init__(**kwargs)
        self.repeats = at_least("repeats", repeats, 1)

    def call(self, inputs):
        """Compute the output; see the class for shapes."""
        # Stacked and folded: the channel count stays static in the graph, as the convolution
        # behind it needs.
        copies = ops.stack([inputs] * self.repeats, axis=-1)
        *leading, channels = ops.shape(inputs)
        return ops.reshape(copies, (*leading, channels * self.repeats))

    def compute_output_shape(self, input_shape):
        """Give the output shape; None stays None."""
        return (*input_shape[:-1], input_shape[-1] * self.repeats)

    def get_config(self):
        """Give the arguments that rebuild the layer."""
        return {**super().get_config(), "repeats": self.repeats}
