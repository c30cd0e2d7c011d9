"""Leave a stretch of a waveform and silence the rest."""

import keras
from keras import ops

from keras_audio.augment.base import WaveformAugmentation
from keras_audio.layers.checks import at_least, one_of

MODES = ("keep", "erase")
# The square of one less has to fit 32 bits.
_MOST_POSITIONS = 46341


@keras.saving.register_keras_serializable("keras_audio")
class TemporalMask(WaveformAugmentation):
    """Multiply each clip by a rectangular window of random length and place, while training.

    Pajusco et al. 2020, section 2.1: window lengths from a Gaussian of 4 s and 1 s, places from a
    grid of 1000, and the clip is as long as before. Whether the window is what stays or what goes
    is left to the reader. Decided here: it stays (`mode="keep"`), because the report multiplies the
    signal by a rectangular window, which is 1 inside, and calls this the random crop of images made
    temporal; that the result still lasts 10 seconds only needs saying of a crop. The authors' code
    does the same.

    Decided too: lengths are cut to 0 and to the clip, the window always lies inside the clip, and
    the first and the last place of the grid touch its ends. All channels share the window.

    Args:
        sample_rate: Of the waveforms, in Hz.
        mean_seconds: Mean length of the window.
        deviation_seconds: Standard deviation of its length.
        positions: Places on the grid, at equal distances.
        probability: With which a clip is masked.
        mode: `"keep"` silences what is outside the window, `"erase"` what is inside.
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
        >>> layer = TemporalMask(1000, deviation_seconds=0.0, probability=1.0, seed=1)
        >>> masked = layer(np.ones((3, 10000, 2)), training=True)
        >>> np.sum(masked, axis=1).tolist()
        [[4000.0, 4000.0], [4000.0, 4000.0], [4000.0, 4000.0]]
    """

    def __init__(
        self,
        sample_rate: int,
        mean_seconds: float = 4.0,
        deviation_seconds: float = 1.0,
        positions: int = 1000,
        probability: float = 0.99,
        mode: str = "keep",
        seed: int | None = None,
        name="temporal_mask",
        **kwargs,
    ):
        super().__init__(probability, seed, name, **kwargs)
        self.sample_rate = at_least("sample_rate", sample_rate, 1)
        self.mean_seconds = _not_negative("mean_seconds", mean_seconds)
        self.deviation_seconds = _not_negative("deviation_seconds", deviation_seconds)
        self.positions = at_least("positions", positions, 2)
        if self.positions > _MOST_POSITIONS:
            raise ValueError(
                f"Expected positions to be at most {_MOST_POSITIONS}. "
                f"Received: positions={positions!r}"
            )
        self.mode = one_of("mode", mode, MODES)

    def draw(self, shape) -> tuple:
        """Draw the windows: which clips are masked; seconds, float32; places, from 0; `(batch,)`.

        The seconds are as the Gaussian gives them, not yet cut to the clip.
        """
        batch, seed = (shape[0],), self.seed_generator
        seconds = keras.random.normal(
            batch, self.mean_seconds, self.deviation_seconds, dtype="float32", seed=seed
        )
        places = keras.random.randint(batch, 0, self.positions, dtype="int32", seed=seed)
        return *super().draw(shape), seconds, places

    def augment(self, inputs, applied, seconds, places):
        """Mask the clips as drawn; see `draw`."""
        batch, samples, channels = ops.shape(inputs)
        total = ops.cast(samples, "float32")
        width = ops.cast(ops.clip(ops.round(seconds * self.sample_rate), 0.0, total), "int32")
        room = samples - width
        # places * room / (positions - 1), rounded down, where that product may exceed 32 bits.
        steps = self.positions - 1
        start = places * (room // steps) + places * (room % steps) // steps
        # Samples in rows with their channels: the fastest way through memory by far.
        place = ops.arange(samples * channels, dtype="int32")
        start, end = (edge[:, None] * channels for edge in (start, start + width))
        stays = ops.logical_and(place >= start, place < end)
        if self.mode == "erase":
            stays = ops.logical_not(stays)
        stays = ops.logical_or(stays, ops.logical_not(applied)[:, None])
        rows = ops.reshape(inputs, (batch, samples * channels))
        return ops.reshape(rows * ops.cast(stays, "float32"), (batch, samples, channels))

    def get_config(self):
        """Give the arguments that rebuild the layer."""
        return {
            **super().get_config(),
            "sample_rate": self.sample_rate,
            "mean_seconds": self.mean_seconds,
            "deviation_seconds": self.deviation_seconds,
            "positions": self.positions,
            "mode": self.mode,
        }


def _not_negative(name: str, value: float) -> float:
    if isinstance(value, bool) or not 0 <= value < float("inf"):
        raise ValueError(f"Expected {name} to be a number from 0. Received: {name}={value!r}")
    return float(value)
