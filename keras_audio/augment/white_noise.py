"""Add noise to a waveform."""

import math

import keras
from keras import ops

from keras_audio.augment.base import WaveformAugmentation


@keras.saving.register_keras_serializable("keras_audio")
class WhiteNoise(WaveformAugmentation):
    """Add white Gaussian noise to each clip at a random signal-to-noise ratio, while training.

    Pajusco et al. 2020, section 2.3: ratios from 6 to 32 dB in steps of 1 dB, all as likely.
    Decided here: the signal's power is the mean square over all samples and channels of the clip as
    it comes in, silence of masks included, as in the authors' code; the channels' noises are
    independent. Silence stays silence. Nothing is cut to [-1, 1].

    Args:
        min_snr: Least ratio, in dB.
        max_snr: Largest ratio, in dB; drawn if whole steps from the least lead to it.
        step: Between one ratio and the next, in dB.
        probability: With which a clip gets noise.
        seed: Of the draws; None is a random one.

    Input shape:
        `(batch, samples, channels)`

    Output shape:
        That of the input, which is returned as it is when not training; float32 under every dtype
        policy.

    Raises:
        ValueError: If an argument is out of its range, or a training input has other axes.

    Example:
        >>> import numpy as np
        >>> layer = WhiteNoise(20, 20, probability=1.0, seed=1)
        >>> noisy = layer(np.ones((1, 9000, 2)), training=True)
        >>> round(float(np.std(noisy)), 2)
        0.1
    """

    def __init__(
        self,
        min_snr: float = 6,
        max_snr: float = 32,
        step: float = 1,
        probability: float = 0.99,
        seed: int | None = None,
        name="white_noise",
        **kwargs,
    ):
        super().__init__(probability, seed, name, **kwargs)
        if not -math.inf < min_snr <= max_snr < math.inf:
            raise ValueError(
                "Expected min_snr and max_snr to be numbers, the first no larger than the second. "
                f"Received: min_snr={min_snr!r}, max_snr={max_snr!r}"
            )
        if not 0 < step < math.inf:
            raise ValueError(f"Expected step to be above 0. Received: step={step!r}")
        self.min_snr, self.max_snr, self.step = float(min_snr), float(max_snr), float(step)
        # Steps of 0.1 do not add up to whole numbers.
        self._ratios = math.floor((self.max_snr - self.min_snr) / self.step + 1e-6) + 1

    def draw(self, shape) -> tuple:
        """Draw which clips get noise; ratios in dB, `(batch,)`; noise of power 1, `shape`."""
        seed = self.seed_generator
        steps = keras.random.randint((shape[0],), 0, self._ratios, dtype="int32", seed=seed)
        ratios = self.min_snr + self.step * ops.cast(steps, "float32")
        noise = keras.random.normal(tuple(shape), dtype="float32", seed=seed)
        return *super().draw(shape), ratios, noise

    def augment(self, inputs, applied, ratios, noise):
        """Add noise to the clips as drawn; see `draw`."""
        power = ops.mean(ops.square(inputs), axis=(1, 2))
        scale = ops.sqrt(power * ops.exp(ratios * (-math.log(10.0) / 10.0)))
        scale = scale * ops.cast(applied, "float32")
        # In rows: a factor a row is by far faster than one a clip of two axes.
        batch, samples, channels = ops.shape(inputs)
        rows = ops.reshape(noise, (batch, samples * channels)) * scale[:, None]
        return inputs + ops.reshape(rows, (batch, samples, channels))

    def get_config(self):
        """Give the arguments that rebuild the layer."""
        return {
            **super().get_config(),
            "min_snr": self.min_snr,
            "max_snr": self.max_snr,
            "step": self.step,
        }
