"""The three input normalisations of raw waveforms."""

import keras
from keras import ops

from keras_audio.layers.checks import one_of

MODES = ("none", "max_abs", "standard")


@keras.saving.register_keras_serializable("keras_audio")
class WaveformNormalization(keras.layers.Layer):
    """Scale every clip by itself: not at all, to a peak of one, or to mean 0 and deviation 1.

    The three raw inputs of Table II of Naranjo-Alcazar et al. 2019, "On the performance of
    residual block design alternatives in convolutional neural networks for end-to-end audio
    classification". It stands before padding, so that appended zeros do not enter the
    statistics. Samples and channels of a clip are taken together, which keeps the balance of a
    stereo recording.

    A clip without sound (digital silence, or any constant) comes out as zeros, never as NaN,
    in the modes `max_abs` and `standard`.

    Args:
        mode: `"none"` leaves the samples alone, `"max_abs"` divides by the largest absolute
            value, `"standard"` subtracts the mean and divides by the standard deviation.
        epsilon: A clip whose largest and smallest sample differ by no more than this counts as
            silent. The default is far below one step of 24-bit audio.

    Input shape:
        `(batch, samples, channels)`, samples at any scale.

    Output shape:
        The same, float32 under every dtype policy.

    Raises:
        ValueError: If `mode` is unknown or `epsilon` is negative.

    Example:
        >>> import numpy as np
        >>> clip = np.array([[[1.0], [3.0]]], "float32")
        >>> np.array(WaveformNormalization("standard")(clip)).ravel().tolist()
        [-1.0, 1.0]
    """

    def __init__(self, mode: str = "standard", epsilon: float = 1e-8, name="normalize", **kwargs):
        # Keras casts an input before `call`: half precision would be lost for good by then.
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)
        self.mode = one_of("mode", mode, MODES)
        if not epsilon >= 0:
            raise ValueError(f"Expected epsilon to be 0 or more. Received: epsilon={epsilon!r}")
        self.epsilon = float(epsilon)

    def call(self, inputs):
        """Compute the output; see the class for shapes."""
        x = ops.cast(inputs, "float32")
        if self.mode == "none":
            return x
        axes = (1, 2)
        if self.mode == "standard":
            centred = x - ops.mean(x, axes, keepdims=True)
            scale = ops.sqrt(ops.mean(ops.square(centred), axes, keepdims=True))
        else:
            centred = x
            scale = ops.max(ops.abs(x), axes, keepdims=True)
        # The mean of a constant is off by a rounding error, which dividing by the deviation of
        # those errors would blow up to full scale. The range of a constant is exactly zero.
        silent = ops.max(x, axes, keepdims=True) - ops.min(x, axes, keepdims=True) <= self.epsilon
        return ops.where(silent, 0.0, centred / ops.where(silent, 1.0, scale))

    def compute_output_shape(self, input_shape):
        """Give the output shape; None stays None."""
        return input_shape

    def get_config(self):
        """Give the arguments that rebuild the layer."""
        return {**super().get_config(), "mode": self.mode, "epsilon": self.epsilon}
