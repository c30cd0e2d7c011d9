"""Bring waveforms to whole seconds, as a network with a fixed frame rate needs them."""

import keras
from keras import ops

from keras_audio.layers.checks import at_least


@keras.saving.register_keras_serializable("keras_audio")
class PadSeconds(keras.layers.Layer):
    """Append zeros up to the next whole second, and up to `frames_per_second` frames in each.

    A centred STFT of `n` samples has `n // hop_length + 1` frames. At 44100 Hz with hops of 345
    that is 128 a second up to five seconds, and falls behind from six on: there the zeros go on
    until the last frame is there (Verbitskiy et al. 2022, section 3.1; eq. 1 is meant as a floor,
    since a ceiling gives 513 frames for four seconds where the text says 512).

    Args:
        sample_rate: Of the waveforms, in Hz.
        hop_length: Samples from a frame of the STFT to the next.
        frames_per_second: Frames that each begun second has.
        least_seconds: Seconds that the output has at least.

    Input shape:
        `(batch, samples, channels)`

    Output shape:
        `(batch, samples of t whole seconds, channels)`, float32 under every policy.

    Raises:
        ValueError: If an argument is not a positive whole number, or a second has more hops than
            `frames_per_second`.

    Example:
        >>> import numpy as np
        >>> layer = PadSeconds(44100, hop_length=345)
        >>> [layer(np.zeros((1, 44100 * t, 1))).shape[1] // 345 + 1 for t in (1, 5, 6, 10)]
        [128, 640, 768, 1280]
    """

    def __init__(
        self,
        sample_rate: int,
        hop_length: int,
        frames_per_second: int = 128,
        least_seconds: int = 1,
        name="pad_seconds",
        **kwargs,
    ):
        # A front end follows, and it needs the samples in full precision.
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)
        self.sample_rate = at_least("sample_rate", sample_rate, 1)
        self.hop_length = at_least("hop_length", hop_length, 1)
        self.frames_per_second = at_least("frames_per_second", frames_per_second, 1)
        self.least_seconds = at_least("least_seconds", least_seconds, 1)
        if self.hop_length * self.frames_per_second < self.sample_rate:
            raise ValueError(
                f"Expected frames_per_second to be at least the hops of {hop_length} samples in a "
                f"second of {sample_rate}. Received: frames_per_second={frames_per_second}"
            )

    def padded_samples(self, samples):
        """Give the length of a waveform of so many samples after padding.

        Example:
            >>> PadSeconds(44100, hop_length=345).padded_samples(44101)
            88200
        """
        # Plain numbers where the shape is static, tensors where it is not.
        larger = max if isinstance(samples, int) else ops.maximum
        seconds = larger(-(-samples // self.sample_rate), self.least_seconds)
        last_frame = (seconds * self.frames_per_second - 1) * self.hop_length
        return larger(seconds * self.sample_rate, last_frame)

    def call(self, inputs):
        """Compute the output; see the class for shapes."""
        x = ops.cast(inputs, "float32")
        samples = ops.shape(x)[1]
        return ops.pad(x, [[0, 0], [0, self.padded_samples(samples) - samples], [0, 0]])

    def compute_output_shape(self, input_shape):
        """Give the output shape; None stays None."""
        batch, samples, channels = input_shape
        return (batch, None if samples is None else self.padded_samples(samples), channels)

    def get_config(self):
        """Give the arguments that rebuild the layer."""
        return {
            **super().get_config(),
            "sample_rate": self.sample_rate,
            "hop_length": self.hop_length,
            "frames_per_second": self.frames_per_second,
            "least_seconds": self.least_seconds,
        }
