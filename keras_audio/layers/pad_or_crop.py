"""Bring every clip to one length, or to a least length."""

import keras
from keras import ops

from keras_audio.layers.checks import at_least, one_of


@keras.saving.register_keras_serializable("keras_audio")
class PadOrCrop(keras.layers.Layer):
    """Append zeros to short clips and cut long ones, so that all have `samples` samples.

    Args:
        samples: Length of the output.
        crop: The part of a longer clip that is kept: `"start"`, the `"center"`, or `"none"` for
            all of it: `samples` is the least length then.

    Input shape:
        `(batch, any number of samples, channels)`

    Output shape:
        `(batch, samples, channels)`, float32 under every dtype policy; longer clips stay as long as
        they are with `crop="none"`.

    Raises:
        ValueError: If `samples` is not a positive whole number or `crop` is unknown.

    Example:
        >>> import numpy as np
        >>> clip = np.arange(1, 4, dtype="float32").reshape(1, 3, 1)
        >>> np.array(PadOrCrop(5)(clip)).ravel().tolist()
        [1.0, 2.0, 3.0, 0.0, 0.0]
        >>> np.array(PadOrCrop(1, crop="center")(clip)).ravel().tolist()
        [2.0]
        >>> np.array(PadOrCrop(1, crop="none")(clip)).ravel().tolist()
        [1.0, 2.0, 3.0]
    """

    def __init__(self, samples: int, crop: str = "start", name="pad_or_crop", **kwargs):
        # A front end may follow, and it needs the samples in full precision.
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)
        self.samples = at_least("samples", samples, 1)
        self.crop = one_of("crop", crop, ("start", "center", "none"))

    def call(self, inputs):
        """Compute the output; see the class for shapes."""
        x = ops.cast(inputs, "float32")
        batch, length, channels = ops.shape(x)
        # A length is a plain number where the shape is static, and a tensor where it is not.
        larger = max if isinstance(length, int) else ops.maximum
        if self.crop != "none":
            start = larger(length - self.samples, 0) // 2 if self.crop == "center" else 0
            x = x[:, start : start + self.samples]
        x = ops.pad(x, [[0, 0], [0, larger(self.samples - length, 0)], [0, 0]])
        kept = self.samples if self.crop != "none" else larger(self.samples, length)
        return ops.reshape(x, (batch, kept, channels))

    def compute_output_shape(self, input_shape):
        """Give the output shape; None stays None."""
        batch, length, channels = input_shape
        if self.crop == "none":
            return (batch, None if length is None else max(self.samples, length), channels)
        return (batch, self.samples, channels)

    def get_config(self):
        """Give the arguments that rebuild the layer."""
        return {**super().get_config(), "samples": self.samples, "crop": self.crop}
