"""Log-mel spectrograms as images: silence off, in [0, 1], and of one size whatever the clip."""

import keras
import numpy as np
from keras import ops

from keras_audio.layers.checks import at_least
from keras_audio.layers.log_mel_spectrogram import LogMelSpectrogram

# The frames whose level tells silence, librosa's own: not those of the spectrogram.
TRIM_FRAME, TRIM_HOP = 2048, 512
# Mean squares and mel powers below this count as this: librosa's floor of decibels.
FLOOR = 1e-10


@keras.saving.register_keras_serializable("keras_audio")
class LogMelImage(keras.layers.Layer):
    """Waveforms to log-mel images in [0, 1] of `num_mels` x `frames`.

    Section 2 of Colangelo et al. 2021, "Progressive training of convolutional neural networks for
    acoustic events classification", step by step, each clip by itself and its channels together:

    1. Silence is trimmed from both ends, as `librosa.effects.trim(top_db=trim_db)` does.
    2. The mel power spectrogram of what is left, centred frames, reflected at the new ends.
    3. Decibels, with nothing lower than `top_db` below the loudest bin.
    4. Min-max over the whole of it: the softest bin is 0 and the loudest 1. A clip without sound
       is all zeros.
    5. Of a clip with more frames the first `frames`; one with fewer is repeated from its start.

    The image of fewer bins and frames is the paper's mel method of resizing; a
    `Resize` behind it is the bilinear one. It computes in float32 under every dtype
    policy, and the shape of the output is known where that of the clip is not.

    Args:
        sample_rate: Of the waveforms, in Hz.
        n_fft: Points of the Fourier transform and of its Hann window.
        hop_length: Samples from one frame to the next.
        num_mels: Number of mel bins, from 0 Hz to half the sample rate.
        frames: Number of frames of the output.
        trim_db: Frames of 2048 samples this far below the loudest one are silent; None trims
            nothing. A clip that is silent throughout keeps its length.
        top_db: Range of the decibels before the min-max, in dB.
        max_samples: Samples from the start of a clip that are heard at most, before silence is cut
            off; None hears all of them.

    Input shape:
        `(batch, samples, channels)`, one sample or more.

    Output shape:
        `(batch, num_mels, frames, channels)`, float32.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import numpy as np
        >>> clip = np.sin(np.arange(22050, dtype="float32"))[None, :, None]
        >>> image = np.array(LogMelImage(22050, num_mels=64, frames=128)(clip))
        >>> image.shape, float(image.min()), float(image.max())
        ((1, 64, 128, 1), 0.0, 1.0)
    """

    def __init__(
        self,
        sample_rate: int,
        n_fft: int = 1024,
        hop_length: int = 256,
        num_mels: int = 128,
        frames: int = 300,
        trim_db: float | None = 60.0,
        top_db: float = 80.0,
        max_samples: int | None = None,
        name="log_mel_image",
        **kwargs,
    ):
        # Keras casts an input before `call`; a cast inside would come too late.
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)
        self.sample_rate = at_least("sample_rate", sample_rate, 1)
        self.n_fft = at_least("n_fft", n_fft, 2)
        self.hop_length = at_least("hop_length", hop_length, 1)
        self.num_mels = at_least("num_mels", num_mels, 1)
        self.frames = at_least("frames", frames, 1)
        self.trim_db = None if trim_db is None else _above_zero("trim_db", trim_db)
        self.top_db = _above_zero("top_db", top_db)
        self.max_samples = None if max_samples is None else at_least("max_samples", max_samples, 1)
        self._mel_power = LogMelSpectrogram(
            sample_rate,
            n_fft,
            hop_length,
            num_mels=num_mels,
            center=False,
            scale="power",
            name="mel_power",
        )

    @property
    def full_samples(self) -> int:
        """The least number of samples, silence trimmed, that fills the frames unrepeated."""
        return (self.frames - 1) * self.hop_length + self.n_fft % 2

    def build(self, input_shape):
        """Build the inner spectrogram, so that Keras does not take the layer for unbuilt."""
        self._mel_power.build(input_shape)
        self.built = True

    def call(self, inputs):
        """Compute the output; see the class for shapes."""
        x = ops.cast(inputs[:, : self.max_samples], "float32")
        batch, samples, channels = ops.shape(x)
        start, length = self._heard(x)
        frames = self._num_frames(samples)
        x = _gathered(x, self._positions(start, length, frames))
        power = ops.transpose(self._mel_power(x), (0, 2, 1, 3))

        # Frames past a clip's own end repeat its samples: they are no part of its range.
        own_frames = self._num_frames(length)
        own = (ops.arange(frames) < own_frames)[:, :, None, None]
        loudest = ops.max(ops.where(own, power, 0.0), axis=(1, 2, 3), keepdims=True)
        softest = ops.min(ops.where(own, power, np.inf), axis=(1, 2, 3), keepdims=True)
        loudest = ops.maximum(loudest, FLOOR)
        # Min-max of logarithms is a ratio of them, in which decibels and their zero cancel.
        floor = ops.maximum(loudest * 10.0 ** (-self.top_db / 10), FLOOR)
        softest = ops.maximum(softest, floor)
        power = _gathered(power, ops.mod(ops.arange(self.frames)[None], own_frames))
        silent = loudest <= softest
        full_range = ops.log(ops.where(silent, np.e, loudest / softest))
        image = ops.log(ops.maximum(power, softest) / softest) / full_range
        # Rounding of two equal logarithms may leave their ratio just above 1.
        image = ops.where(silent, 0.0, ops.minimum(image, 1.0))
        image = ops.transpose(image, (0, 2, 1, 3))
        return ops.reshape(image, (batch, self.num_mels, self.frames, channels))

    def _num_frames(self, samples):
        return (samples - self.n_fft % 2) // self.hop_length + 1

    def _heard(self, x):
        """First sample and number of samples that trimming leaves, each (batch, 1)."""
        batch, samples, channels = ops.shape(x)
        if self.trim_db is None:
            whole = ops.zeros((batch, 1), "int32")
            return whole, whole + samples
        # A frame of four hops, centred and padded with zeros, is four blocks of a hop.
        frames = samples // TRIM_HOP + 1
        ends = [2 * TRIM_HOP, (frames + 1) * TRIM_HOP - samples]
        blocks = ops.pad(ops.square(x), [[0, 0], ends, [0, 0]])
        blocks = ops.reshape(blocks, (batch, frames + 3, TRIM_HOP, channels))
        blocks = ops.sum(blocks, axis=2)
        level = sum(blocks[:, i : i + frames] for i in range(TRIM_FRAME // TRIM_HOP)) / TRIM_FRAME
        level = ops.maximum(ops.max(level, axis=2), FLOOR)
        threshold = ops.max(level, axis=1, keepdims=True) * 10.0 ** (-self.trim_db / 10)
        loud = ops.cast(level > threshold, "int32")
        first = ops.cast(ops.argmax(loud, axis=1, keepdims=True), "int32")
        last = frames - 1 - ops.cast(ops.argmax(ops.flip(loud, 1), axis=1, keepdims=True), "int32")
        start = ops.minimum(first * TRIM_HOP, samples - 1)
        return start, ops.maximum(ops.minimum((last + 1) * TRIM_HOP, samples) - start, 1)

    def _positions(self, start, length, frames):
        """Sample at each place of the padded clips: reflected at their ends, as often as needed."""
        places = ops.arange((frames - 1) * self.hop_length + self.n_fft) - self.n_fft // 2
        period = ops.maximum(2 * (length - 1), 1)
        places = ops.mod(places[None], period)
        return start + ops.minimum(places, ops.maximum(period - places, 0))

    def compute_output_shape(self, input_shape):
        """Give the output shape; None stays None."""
        batch, _, channels = input_shape
        return (batch, self.num_mels, self.frames, channels)

    def get_config(self):
        """Give the arguments that rebuild the layer."""
        return {
            **super().get_config(),
            "sample_rate": self.sample_rate,
            "n_fft": self.n_fft,
            "hop_length": self.hop_length,
            "num_mels": self.num_mels,
            "frames": self.frames,
            "trim_db": self.trim_db,
            "top_db": self.top_db,
            "max_samples": self.max_samples,
        }


def _gathered(x, places):
    """The entries of each clip at its own places (batch, n), along the axis behind the batch."""
    batch, length, *rest = ops.shape(x)
    # Of all clips as one long one: the general way to gather by clip is far slower.
    places = places + length * ops.arange(batch)[:, None]
    return ops.take(ops.reshape(x, (-1, *rest)), places, axis=0)


def _above_zero(name: str, value: float) -> float:
    if isinstance(value, bool) or not value > 0:
        raise ValueError(f"Expected {name} to be above 0. Received: {name}={value!r}")
    return float(value)
