"""Deltas and delta-deltas of a spectrogram, as further channels."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_audio")
class Deltas(keras.layers.Layer):
    """Append the first and the second derivative along time to the channels.

    McDonnell and Gao 2019, sections 2.1 and 3.1. A delta is the slope of the regression line
    through five frames, `sum(n (x[t + n] - x[t - n]) for n in (1, 2)) / 10`, taken without padding;
    the delta-delta is the delta of the delta. Only frames that have both are kept: four are lost
    at either end. The values equal the inner frames of `librosa.feature.delta(width=5)`.

    Input shape:
        `(batch, mels, frames, channels)`, with at least 9 frames.

    Output shape:
        `(batch, mels, frames - 8, 3 * channels)`, float32: the channels as they are, then the
        deltas of all channels, then their delta-deltas.

    Raises:
        ValueError: If there are fewer than 9 frames.

    Example:
        >>> import numpy as np
        >>> squares = np.arange(9.0).reshape(1, 1, 9, 1) ** 2
        >>> np.array(Deltas()(squares)).ravel().tolist()
        [16.0, 8.0, 2.0]
    """

    LOST_FRAMES = 8

    def __init__(self, name="deltas", **kwargs):
        # As the spectrogram before it: half precision has no tenths of a decibel.
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)

    def call(self, inputs):
        """Compute the output; see the class for shapes."""
        self._check_frames(inputs.shape[2])
        delta = _delta(inputs)
        return ops.concatenate([inputs[:, :, 4:-4], delta[:, :, 2:-2], _delta(delta)], axis=-1)

    def compute_output_shape(self, input_shape):
        """Give the output shape; None stays None."""
        batch, mels, frames, channels = input_shape
        self._check_frames(frames)
        frames = None if frames is None else frames - self.LOST_FRAMES
        return (batch, mels, frames, 3 * channels)

    def _check_frames(self, frames: int | None) -> None:
        if frames is not None and frames <= self.LOST_FRAMES:
            raise ValueError(
                f"Expected at least {self.LOST_FRAMES + 1} frames for deltas without padding. "
                f"Received: frames={frames}"
            )


def _delta(x):
    """The slope through five frames; four frames shorter."""
    return (x[:, :, 3:-1] - x[:, :, 1:-3] + 2.0 * (x[:, :, 4:] - x[:, :, :-4])) / 10.0
