"""Cut another stretch out of a spectrogram each time it is trained on."""

import keras
from keras import ops

from keras_audio.layers.checks import at_least


@keras.saving.register_keras_serializable("keras_audio")
class RandomCropFrames(keras.layers.Layer):
    """Keep `frames` consecutive frames of each clip, from a random one on; all when not training.

    McDonnell and Gao 2019, section 3.5: clips are cropped independently of each other along time,
    before they are mixed, and inference sees them whole.

    Args:
        frames: Number of frames that are kept.
        seed: Of the draws; None is a random one.

    Input shape:
        `(batch, mels, at least `frames` frames, channels)`

    Output shape:
        `(batch, mels, frames, channels)` when training, else that of the input; float32 under every
        dtype policy.

    Raises:
        ValueError: If `frames` is not a positive whole number, or a training clip has fewer.

    Example:
        >>> import numpy as np
        >>> layer = RandomCropFrames(400, seed=1)
        >>> x = np.ones((2, 128, 461, 6))
        >>> tuple(layer(x, training=True).shape), tuple(layer(x).shape)
        ((2, 128, 400, 6), (2, 128, 461, 6))
    """

    def __init__(self, frames: int, seed: int | None = None, name="random_crop_frames", **kwargs):
        # A spectrogram loses its small differences in half precision.
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)
        self.frames = at_least("frames", frames, 1)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        """Compute the output; see the class for shapes."""
        if not training:
            return inputs
        batch, mels, length, channels = ops.shape(inputs)
        if isinstance(length, int) and length < self.frames:
            raise ValueError(
                f"Expected clips of at least {self.frames} frames to crop. "
                f"Received: frames={length}"
            )
        uniform = keras.random.uniform((batch,), dtype="float32", seed=self.seed_generator)
        starts = ops.cast(uniform * ops.cast(length - self.frames + 1, "float32"), "int32")
        # A product that rounds up to its bound would begin one frame too late.
        starts = ops.minimum(starts, length - self.frames)
        chosen = starts[:, None] + ops.arange(self.frames, dtype="int32")
        # In a graph of unknown length: too few frames do not fill the shape below, an error, where
        # they would otherwise be made up of the next clip's.
        chosen = chosen[:, : ops.minimum(length, self.frames)]
        # Frames first: a gather of whole rows is a copy.
        x = ops.transpose(inputs, (0, 2, 1, 3))
        rows = ops.reshape(x, (batch * length, mels, channels))
        offsets = ops.arange(batch, dtype="int32")[:, None] * length
        x = ops.take(rows, ops.reshape(chosen + offsets, (-1,)), axis=0)
        x = ops.reshape(x, (batch, self.frames, mels, channels))
        return ops.transpose(x, (0, 2, 1, 3))

    def compute_output_shape(self, input_shape):
        """Give the output shape; the number of frames is free, since it depends on training."""
        return (*input_shape[:2], None, input_shape[3])

    def get_config(self):
        """Give the arguments that rebuild the layer."""
        return {**super().get_config(), "frames": self.frames, "seed": self.seed}
