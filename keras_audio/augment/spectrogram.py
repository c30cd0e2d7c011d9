"""Masks on spectrograms."""

import keras
from keras import ops

from keras_audio.layers.checks import at_least, one_of

FILLS = ("mean", "floor")


@keras.saving.register_keras_serializable("keras_audio")
class SpecAugment(keras.layers.Layer):
    """Blot out stretches of time and bands of frequency, while training only.

    The masks of Park et al. 2019, "SpecAugment", without its time warping, as Verbitskiy et al.
    2022 use it behind the log-mel. Every mask of every clip has a width drawn from 0 to the
    largest, at most the whole axis, and a place where it fits; both whole numbers, uniform. Masks
    may overlap.

    SpecAugment's own masks are zeros, which is the mean of the normalised features there. Here the
    log-mel in dB is not normalised yet: the batch normalisation at the network's input does that,
    from what comes out of this layer. So the default fills with each clip's own mean. The floor of
    -100 dB would be an outlier that shifts that layer's statistics between training and inference,
    where there are no masks; the clip's mean hardly does.

    Args:
        max_time_width: Largest width of a time mask, in frames.
        max_frequency_width: Largest width of a frequency mask, in mel bins.
        time_masks: Time masks a clip.
        frequency_masks: Frequency masks a clip.
        fill: `"mean"` fills with the clip's mean over mels, frames and channels, `"floor"` with
            `floor`.
        floor: Decibels of silence.
        seed: Of the draws; None is a random one.

    Call arguments:
        inputs: `(batch, mels, frames, channels)`
        training: Masks are laid on if it is True.

    Returns:
        The same shape, float32 under every dtype policy.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import numpy as np
        >>> layer = SpecAugment(max_time_width=32, fill="floor", seed=1)
        >>> masked = np.array(layer(np.zeros((1, 128, 512, 1)), training=True))
        >>> np.unique(masked).tolist()
        [-100.0, 0.0]
    """

    def __init__(
        self,
        max_time_width: int,
        max_frequency_width: int = 16,
        time_masks: int = 2,
        frequency_masks: int = 2,
        fill: str = "mean",
        floor: float = -100.0,
        seed: int | None = None,
        name="spec_augment",
        **kwargs,
    ):
        # Keras casts an input before `call`: half precision has no tenths of a decibel.
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)
        self.max_time_width = at_least("max_time_width", max_time_width, 0)
        self.max_frequency_width = at_least("max_frequency_width", max_frequency_width, 0)
        self.time_masks = at_least("time_masks", time_masks, 0)
        self.frequency_masks = at_least("frequency_masks", frequency_masks, 0)
        self.fill = one_of("fill", fill, FILLS)
        self.floor = float(floor)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        """Compute the output; see the class for shapes."""
        x = ops.cast(inputs, "float32")
        if not training:
            return x
        batch, mels, frames, _ = ops.shape(x)
        bands = self._masks(batch, mels, self.frequency_masks, self.max_frequency_width)
        stretches = self._masks(batch, frames, self.time_masks, self.max_time_width)
        masked = ops.logical_or(bands[:, :, None, None], stretches[:, None, :, None])
        if self.fill == "floor":
            return ops.where(masked, self.floor, x)
        return ops.where(masked, ops.mean(x, axis=(1, 2, 3), keepdims=True), x)

    def _masks(self, batch, length, count: int, max_width: int):
        """Draw `count` masks a clip on an axis: True where any lies, `(batch, length)`."""
        uniform = keras.random.uniform(
            (2, batch, count, 1), dtype="float32", seed=self.seed_generator
        )
        position = ops.arange(length, dtype="float32")
        length = ops.cast(length, "float32")
        width = ops.floor(uniform[0] * (ops.minimum(length, max_width) + 1.0))
        start = ops.floor(uniform[1] * (length - width + 1.0))
        inside = ops.logical_and(position >= start, position < start + width)
        return ops.any(inside, axis=1)

    def compute_output_shape(self, input_shape):
        """Give the output shape: that of the input."""
        return input_shape

    def get_config(self):
        """Give the arguments that rebuild the layer."""
        return {
            **super().get_config(),
            "max_time_width": self.max_time_width,
            "max_frequency_width": self.max_frequency_width,
            "time_masks": self.time_masks,
            "frequency_masks": self.frequency_masks,
            "fill": self.fill,
            "floor": self.floor,
            "seed": self.seed,
        }
