"""Change the sides of a stereo recording."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_audio")
class RandomChannelSwap(keras.layers.Layer):
    """Swap left and right of every other clip, drawn at random, while training.

    Not in the report of McDonnell and Gao 2019, but in the authors' implementation. A scene does
    not change its name when its sides do.

    Args:
        seed: Of the draws; None is a random one.

    Input shape:
        `(batch, samples, channels)`; with more than two channels their order is reversed.

    Output shape:
        That of the input, which is returned as it is when not training.

    Example:
        >>> import numpy as np
        >>> stereo = np.tile([[[1.0, 2.0]]], (4, 1, 1))
        >>> np.array(RandomChannelSwap(seed=3)(stereo, training=True))[:, 0, 0].tolist()
        [2.0, 1.0, 1.0, 1.0]
    """

    def __init__(self, seed: int | None = None, name="random_channel_swap", **kwargs):
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        """Compute the output; see the class for shapes."""
        if not training:
            return inputs
        shape = (ops.shape(inputs)[0], 1, 1)
        swapped = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator) < 0.5
        return ops.where(swapped, ops.flip(inputs, axis=-1), inputs)

    def compute_output_shape(self, input_shape):
        """Give the output shape: that of the input."""
        return input_shape

    def get_config(self):
        """Give the arguments that rebuild the layer."""
        return {**super().get_config(), "seed": self.seed}
