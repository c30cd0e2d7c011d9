"""What the augmentations of waveforms share with each other, and the mixes with each other."""

import keras
from keras import ops


class WaveformAugmentation(keras.layers.Layer):
    """Changes each clip of a batch with a probability; see the classes for how.

    What is drawn and what is done with it are apart: a call while training is
    `augment(inputs, *draw(shape))`, where each class has an `augment` of its own, without state. A
    second layer with the same seed draws what the first one used.
    """

    def __init__(self, probability: float, seed: int | None, name: str, **kwargs):
        # Keras casts an input before `call`: a waveform has no 16 bits left in half precision.
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)
        self.probability = checked_probability(probability)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        """Compute the output; see the class for shapes."""
        if not training:
            return inputs
        if len(inputs.shape) != 3:
            raise ValueError(
                "Expected inputs (batch, samples, channels). "
                f"Received: inputs of shape {tuple(inputs.shape)}"
            )
        x = ops.cast(inputs, "float32")
        return self.augment(x, *self.draw(ops.shape(x)))

    def draw(self, shape) -> tuple:
        """Draw all that a call needs, and move the random state on.

        Args:
            shape: Of the inputs, `(batch, samples, channels)`, its numbers also as tensors.

        Returns:
            Which clips change, `(batch,)`, bool; then what the class adds.
        """
        return (chosen(shape[0], self.probability, self.seed_generator),)

    def compute_output_shape(self, input_shape):
        """Give the output shape: that of the input."""
        return input_shape

    def get_config(self):
        """Give the arguments that rebuild the layer."""
        return {**super().get_config(), "probability": self.probability, "seed": self.seed}


class Mixing(keras.layers.Layer):
    """Joins every clip with the one before it in the batch; see the classes for how."""

    def __init__(self, seed: int | None, name: str, **kwargs):
        # Keras casts an input before `call`; a cast inside would come too late.
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def compute_output_shape(self, inputs_shape, targets_shape):
        """Give the output shapes: those of the inputs and the targets."""
        return inputs_shape, targets_shape

    def get_config(self):
        """Give the arguments that rebuild the layer."""
        return {**super().get_config(), "seed": self.seed}


def checked_probability(probability: float) -> float:
    """Return the probability as a float.

    Raises:
        ValueError: If it is not from 0 to 1.
    """
    if isinstance(probability, bool) or not 0 <= probability <= 1:
        raise ValueError(
            f"Expected probability to be from 0 to 1. Received: probability={probability!r}"
        )
    return float(probability)


def checked_alpha(alpha: float) -> float:
    """Return the parameter of a Beta distribution as a float.

    Raises:
        ValueError: If it is not above 0.
    """
    if not alpha > 0:
        raise ValueError(f"Expected alpha to be above 0. Received: alpha={alpha!r}")
    return float(alpha)


def chosen(batch, probability: float, seed: keras.random.SeedGenerator):
    """Draw which clips change: `(batch,)`, True with this probability; 0 and 1 are certain."""
    return keras.random.uniform((batch,), dtype="float32", seed=seed) < probability


def beta(alpha: float, batch, seed: keras.random.SeedGenerator):
    """Draw from Beta(alpha, alpha): `(batch,)`, float32."""
    if alpha == 1.0:
        return keras.random.uniform((batch,), dtype="float32", seed=seed)
    # By way of logarithms: for an alpha of 0.1 or less `keras.random.beta` now and then divides
    # zero by zero. Gamma(a) is distributed as Gamma(a + 1) times U ** (1 / a).
    shape = (2, batch)
    gamma = keras.random.gamma(shape, alpha + 1.0, dtype="float32", seed=seed)
    uniform = keras.random.uniform(shape, minval=1e-7, dtype="float32", seed=seed)
    logarithms = ops.log(gamma) + ops.log(uniform) / alpha
    return ops.sigmoid(logarithms[0] - logarithms[1])


def blend(x, own, partner):
    """Add up each row of the batch and the row before it, times one factor each."""
    shape = (-1,) + (1,) * (len(x.shape) - 1)
    return x * ops.reshape(own, shape) + ops.roll(x, 1, axis=0) * ops.reshape(partner, shape)
