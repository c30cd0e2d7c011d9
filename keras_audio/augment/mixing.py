"""The mixes of two clips and of their labels: Table 3 of Verbitskiy et al. 2022, kinds 2 to 4."""

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_audio.augment.a_weighting import a_weighted_level, a_weights, level_in_db
from keras_audio.augment.base import Mixing, beta, blend, checked_alpha
from keras_audio.layers.checks import at_least


class _Mixup(Mixing):
    """Mixes every clip with the one before it in the batch; see the classes for the amounts."""

    # Axes of a batch of clips, None where any number will do.
    axes: tuple[str, ...] | None = None

    def draw(self, batch):
        """Draw the share that each clip's own label keeps, and move the random state on.

        `call` draws once: a second layer with the same seed draws here what the first one used.

        Args:
            batch: Number of clips, also as a tensor.

        Returns:
            Shares `(batch,)`, float32.
        """
        return keras.random.uniform((batch,), dtype="float32", seed=self.seed_generator)

    def call(self, inputs, targets):
        """Compute the output; see the class for shapes."""
        if self.axes is not None and len(inputs.shape) != len(self.axes):
            raise ValueError(
                f"Expected inputs ({', '.join(self.axes)}). "
                f"Received: inputs of shape {tuple(inputs.shape)}"
            )
        x, targets = ops.cast(inputs, "float32"), ops.cast(targets, "float32")
        batch = ops.shape(x)[0]
        # A clip alone has no partner but itself, whose mix would be the same sound, only louder.
        share = ops.where(ops.equal(batch, 1), 1.0, self.draw(batch))
        return self.mix(x, share), blend(targets, share, 1.0 - share)

    def mix(self, inputs, share):
        """Mix the clips in these shares; the between-class kinds ask how loud each is heard.

        Args:
            inputs: As in the call, float32.
            share: As `draw` gives it.

        Returns:
            As the inputs.
        """
        return blend(inputs, share, 1.0 - share)


@keras.saving.register_keras_serializable("keras_audio")
class StandardMixup(_Mixup):
    """Mix each clip with the one before it in the batch, in shares lambda and 1 - lambda.

    Zhang et al. 2018, "mixup: Beyond empirical risk minimization", on waveforms or features. One
    lambda a clip. Batches are in random order, so the neighbour is a random partner; the first
    clip's is the last.

    Args:
        alpha: lambda is drawn from Beta(alpha, alpha): 1 is uniform, less is nearer to one clip.
        seed: Of the draws; None is a random one.

    Call arguments:
        inputs: `(batch, ...)`
        targets: `(batch, classes)`, one- or multi-hot.

    Returns:
        The mixed inputs and the mixed targets, of the same shapes, float32 under every dtype
        policy.

    Raises:
        ValueError: If alpha is not above 0.

    Example:
        >>> layer = StandardMixup(seed=1)
        >>> mixed, targets = layer(np.array([[1.0], [2.0]]), np.eye(2))
        >>> tuple(mixed.shape), np.allclose(ops.sum(targets, axis=1), 1.0)
        ((2, 1), True)
    """

    def __init__(
        self, alpha: float = 1.0, seed: int | None = None, name="standard_mixup", **kwargs
    ):
        super().__init__(seed, name, **kwargs)
        self.alpha = checked_alpha(alpha)

    def draw(self, batch):
        """Draw lambda; see `StandardMixup`."""
        return beta(self.alpha, batch, self.seed_generator)

    def get_config(self):
        """Give the arguments that rebuild the layer."""
        return {**super().get_config(), "alpha": self.alpha}


@keras.saving.register_keras_serializable("keras_audio")
class BetweenClassMixup(_Mixup):
    """Mix each waveform with the one before it such that both are heard as the labels say.

    "Modified mixup on the waveform" of Verbitskiy et al. 2022 (Table 3): the mix of Tokozume et
    al. 2018, "Learning from between-class examples for deep sound recognition". With r ~ U(0, 1)
    and the levels G of `a_weighted_level`,

    `p = 1 / (1 + 10 ** ((G1 - G2) / 20) * (1 - r) / r)`,
    `x = (p x1 + (1 - p) x2) / sqrt(p ** 2 + (1 - p) ** 2)`, `y = r y1 + (1 - r) y2`.

    Multi-hot targets mix the same way (decided). One r a clip; the partner is as in
    `StandardMixup`. A silent clip counts as one of -80 dB: the formula lets its partner fade to
    match.

    Args:
        sample_rate: Of the waveforms, in Hz.
        seed: Of the draws; None is a random one.

    Call arguments:
        inputs: `(batch, samples, channels)`
        targets: `(batch, classes)`, one- or multi-hot.

    Returns:
        The mixed inputs and the mixed targets, of the same shapes, float32 under every dtype
        policy.

    Raises:
        ValueError: If the sample rate is no positive whole number, or the inputs have other axes.

    Example:
        >>> layer = BetweenClassMixup(44100, seed=1)
        >>> mixed, targets = layer(np.zeros((2, 44100, 1)), np.eye(2))
        >>> float(ops.max(ops.abs(mixed)))
        0.0
    """

    axes = ("batch", "samples", "channels")

    def __init__(
        self, sample_rate: int, seed: int | None = None, name="between_class_mixup", **kwargs
    ):
        super().__init__(seed, name, **kwargs)
        self.sample_rate = at_least("sample_rate", sample_rate, 1)

    def mix(self, inputs, share):
        """Mix the waveforms; see `BetweenClassMixup`."""
        return blend(inputs, *_gains(share, a_weighted_level(inputs, self.sample_rate)))

    def get_config(self):
        """Give the arguments that rebuild the layer."""
        return {**super().get_config(), "sample_rate": self.sample_rate}


@keras.saving.register_keras_serializable("keras_audio")
class BetweenClassLogMelMixup(_Mixup):
    """Mix each log-mel spectrogram with the one before it by the between-class formula.

    Verbitskiy et al. 2022 say no more than "modified mixup on the log mel spectrogram" (Table 3).
    Decided here: the formula is that of `BetweenClassMixup`. The level G of a clip is the maximum
    over its frames of the sum of its mel powers, A-weighted at the mel centre frequencies, and no
    less than -80 dB; channels are averaged. The decibels are mixed as distances from `floor`, so
    that silence is the zero of the mix as it is in a waveform.

    Args:
        mel_frequencies: Centre of each mel bin in Hz, as
            `librosa.mel_frequencies(bins + 2, fmin=..., fmax=...)[1:-1]` gives them.
        floor: Decibels of silence: the least value that the front end gives.
        seed: Of the draws; None is a random one.

    Call arguments:
        inputs: `(batch, mels, frames, channels)` in dB of power.
        targets: `(batch, classes)`, one- or multi-hot.

    Returns:
        The mixed inputs and the mixed targets, of the same shapes, float32 under every dtype
        policy.

    Raises:
        ValueError: If the frequencies are not positive numbers, or the inputs have other axes or
            another number of mel bins.

    Example:
        >>> layer = BetweenClassLogMelMixup([100.0, 1000.0], seed=1)
        >>> mixed, targets = layer(np.full((2, 2, 50, 1), -100.0), np.eye(2))
        >>> np.unique(mixed).tolist()
        [-100.0]
    """

    axes = ("batch", "mels", "frames", "channels")

    def __init__(
        self,
        mel_frequencies: Sequence[float],
        floor: float = -100.0,
        seed: int | None = None,
        name="between_class_log_mel_mixup",
        **kwargs,
    ):
        super().__init__(seed, name, **kwargs)
        self.mel_frequencies = [float(frequency) for frequency in mel_frequencies]
        if not (self.mel_frequencies and all(0 < f < math.inf for f in self.mel_frequencies)):
            raise ValueError(
                "Expected mel_frequencies to be positive numbers in Hz. "
                f"Received: mel_frequencies={self.mel_frequencies}"
            )
        self.floor = float(floor)
        self._weights = a_weights(np.array(self.mel_frequencies)).astype("float32")

    def mix(self, inputs, share):
        """Mix the spectrograms; see `BetweenClassLogMelMixup`."""
        if inputs.shape[1] != len(self.mel_frequencies):
            raise ValueError(
                f"Expected inputs with {len(self.mel_frequencies)} mel bins, as mel_frequencies "
                f"has. Received: inputs of shape {tuple(inputs.shape)}"
            )
        own, partner = _gains(share, self._levels(inputs))
        # What the floors of both clips add up to, and the one floor of the mix.
        offset = self.floor * (1.0 - own - partner)
        return blend(inputs, own, partner) + ops.reshape(offset, (-1, 1, 1, 1))

    def _levels(self, decibels):
        power = ops.exp(decibels * (math.log(10.0) / 10.0))
        power = ops.sum(power * self._weights[:, None, None], axis=1)
        return level_in_db(ops.max(ops.mean(power, axis=-1), axis=1))

    def get_config(self):
        """Give the arguments that rebuild the layer."""
        return {
            **super().get_config(),
            "mel_frequencies": self.mel_frequencies,
            "floor": self.floor,
        }


def _gains(share, levels):
    """Factors of each clip and of its partner in the between-class mix, both `(batch,)`."""
    difference = levels - ops.roll(levels, 1)
    louder = ops.exp(difference * (math.log(10.0) / 20.0))
    # The formula times r / r: r may be 0.
    p = share / (share + (1.0 - share) * louder)
    norm = ops.sqrt(ops.square(p) + ops.square(1.0 - p))
    return p / norm, (1.0 - p) / norm
