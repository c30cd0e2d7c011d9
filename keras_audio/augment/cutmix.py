"""Put a stretch of one clip into another: CutMix along time."""

import keras
from keras import ops

from keras_audio.augment.base import Mixing, beta, blend, checked_alpha, checked_probability, chosen


@keras.saving.register_keras_serializable("keras_audio")
class CutMix(Mixing):
    """Replace a stretch of each clip by the same stretch of the one before it in the batch.

    Yun et al. 2019, "CutMix: Regularization strategy to train strong classifiers with localizable
    features", along time as Pajusco et al. 2020 use it (section 2.4). With lambda ~ Beta(alpha,
    alpha), one a clip, the stretch is 1 - lambda of the clip long; its middle lies anywhere in the
    clip, all places as likely, and what reaches over an end is cut off. The targets are weighted by
    the samples that are really there from either clip, after rounding and cutting.

    Batches are in random order, so the neighbour is a random partner; the first clip's is the last.
    A clip alone stays as it is. Pajusco et al. write of two segments of different categories, one
    after the other. Here, as Yun et al. and their equation 1 have it, partners may be of one class,
    whose label they then keep, and the stretch may lie inside of the clip.

    Args:
        alpha: lambda is drawn from Beta(alpha, alpha): 1 is uniform, less is nearer to one clip.
        probability: With which a clip gets a stretch of its neighbour.
        seed: Of the draws; None is a random one.

    Call arguments:
        inputs: `(batch, ..., time, channels)`: waveforms, or features with frames for time.
        targets: `(batch, classes)`, one- or multi-hot.

    Returns:
        The mixed inputs and the mixed targets, of the same shapes, float32 under every dtype
        policy.

    Raises:
        ValueError: If an argument is out of its range, or the inputs have too few axes.

    Example:
        >>> import numpy as np
        >>> mixed, targets = CutMix(seed=1)(np.array([[[1.0]] * 10, [[2.0]] * 10]), np.eye(2))
        >>> np.allclose(ops.mean(mixed == 1.0, axis=(1, 2)), targets[:, 0])
        True
    """

    def __init__(
        self,
        alpha: float = 1.0,
        probability: float = 0.99,
        seed: int | None = None,
        name="cutmix",
        **kwargs,
    ):
        super().__init__(seed, name, **kwargs)
        self.alpha = checked_alpha(alpha)
        self.probability = checked_probability(probability)

    def call(self, inputs, targets):
        """Compute the output; see the class for shapes."""
        if len(inputs.shape) < 3:
            raise ValueError(
                "Expected inputs (batch, ..., time, channels). "
                f"Received: inputs of shape {tuple(inputs.shape)}"
            )
        x, targets = ops.cast(inputs, "float32"), ops.cast(targets, "float32")
        mixed, share = self.mix(x, *self.draw(ops.shape(x)[0]))
        return mixed, blend(targets, share, 1.0 - share)

    def draw(self, batch) -> tuple:
        """Draw all that a call needs, and move the random state on.

        `call` draws once: a second layer with the same seed draws here what the first one used.

        Args:
            batch: Number of clips, also as a tensor.

        Returns:
            Which clips change, bool; lambda; and the middle of the stretch, from 0, the begin of
            the clip, to 1, its end. All `(batch,)`, the last two float32.
        """
        seed = self.seed_generator
        applied = chosen(batch, self.probability, seed)
        middle = keras.random.uniform((batch,), dtype="float32", seed=seed)
        return applied, beta(self.alpha, batch, seed), middle

    def mix(self, inputs, applied, share, middle):
        """Mix the clips as drawn.

        Args:
            inputs: As in the call, float32.
            applied: See `draw`.
            share: See `draw`.
            middle: See `draw`.

        Returns:
            The mixed clips, and the share of each that is its own, `(batch,)`, float32.
        """
        shape = ops.shape(inputs)
        batch, *others, length, channels = shape
        total = ops.cast(length, "float32")
        width = ops.cast((1.0 - share) * total, "int32")
        middle = ops.cast(middle * total, "int32")
        start = ops.maximum(middle - width // 2, 0)
        end = ops.minimum(middle - width // 2 + width, length)
        # A clip alone has no partner but itself.
        applied = ops.logical_and(applied, ops.greater(batch, 1))
        end = ops.where(applied, end, start)
        # Times in rows with their channels: the fastest way through memory by far.
        edges = (-1,) + (1,) * (len(others) + 1)
        place = ops.arange(length * channels, dtype="int32")
        inside = ops.logical_and(
            place >= ops.reshape(start * channels, edges),
            place < ops.reshape(end * channels, edges),
        )
        rows = ops.reshape(inputs, (batch, *others, length * channels))
        mixed = ops.reshape(ops.where(inside, ops.roll(rows, 1, axis=0), rows), shape)
        return mixed, 1.0 - ops.cast(end - start, "float32") / total

    def get_config(self):
        """Give the arguments that rebuild the layer."""
        return {**super().get_config(), "alpha": self.alpha, "probability": self.probability}
