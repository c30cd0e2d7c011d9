"""A shortcut to more channels without parameters: append channels of zeros."""

import keras
from keras import ops

from keras_audio.layers.checks import at_least


@keras.saving.register_keras_serializable("keras_audio")
class ChannelPad(keras.layers.Layer):
    """Append channels that hold zeros, up to `channels` of them.

    McDonnell and Gao 2019, section 3.4, where a residual path has more channels than its input.

    Args:
        channels: Number of channels of the output.

    Input shape:
        `(batch, ..., at most `channels` channels)`

    Output shape:
        `(batch, ..., channels)`

    Raises:
        ValueError: If `channels` is not a positive whole number, or the input has more.

    Example:
        >>> import numpy as np
        >>> np.array(ChannelPad(3)(np.array([[[1.0]]]))).tolist()
        [[[1.0, 0.0, 0.0]]]
    """

    def __init__(self, channels: int, name="channel_pad", **kwargs):
        super().__init__(name=name, **kwargs)
        self.channels = at_least("channels", channels, 1)

    def call(self, inputs):
        """Compute the output; see the class for shapes."""
        missing = self._missing(inputs.shape)
        return ops.pad(inputs, [[0, 0]] * (len(inputs.shape) - 1) + [[0, missing]])

    def compute_output_shape(self, input_shape):
        """Give the output shape; None stays None."""
        self._missing(input_shape)
        return (*input_shape[:-1], self.channels)

    def _missing(self, input_shape) -> int:
        if input_shape[-1] > self.channels:
            raise ValueError(
                f"Expected at most {self.channels} channels. "
                f"Received: inputs of shape {tuple(input_shape)}"
            )
        return self.channels - input_shape[-1]

    def get_config(self):
        """Give the arguments that rebuild the layer."""
        return {**super().get_config(), "channels": self.channels}
