"""Bring every spectrogram to one number of frames."""

import keras
from keras import ops

from keras_audio.layers.checks import at_least


@keras.saving.register_keras_serializable("keras_audio")
class PadFrames(keras.layers.Layer):
    """Append frames of one value to short features and cut long ones to `frames` frames.

    Naranjo-Alcazar et al. 2019, section III, pad the spectrogram of a clip below four seconds
    "with zeros on the time axis": after the standardisation, so that the padding is the mean of
    every mel bin rather than a level that no sound has.

    Args:
        frames: Number of frames of the output.
        value: What the appended frames hold.

    Input shape:
        `(batch, mels, any number of frames, channels)`

    Output shape:
        `(batch, mels, frames, channels)`, float32 under every dtype policy.

    Raises:
        ValueError: If `frames` is not a positive whole number.

    Example:
        >>> import numpy as np
        >>> tuple(PadFrames(199)(np.ones((1, 64, 101, 1), "float32")).shape)
        (1, 64, 199, 1)
    """

    def __init__(self, frames: int, value: float = 0.0, name="pad_frames", **kwargs):
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)
        self.frames = at_least("frames", frames, 1)
        self.value = float(value)

    def call(self, inputs):
        """Compute the output; see the class for shapes."""
        batch, mels, length, channels = ops.shape(inputs)
        larger = max if isinstance(length, int) else ops.maximum
        missing = [[0, 0], [0, 0], [0, larger(self.frames - length, 0)], [0, 0]]
        x = ops.pad(inputs[:, :, : self.frames], missing, constant_values=self.value)
        return ops.reshape(x, (batch, mels, self.frames, channels))

    def compute_output_shape(self, input_shape):
        """Give the output shape; None stays None."""
        batch, mels, _, channels = input_shape
        return (batch, mels, self.frames, channels)

    def get_config(self):
        """Give the arguments that rebuild the layer."""
        return {**super().get_config(), "frames": self.frames, "value": self.value}
