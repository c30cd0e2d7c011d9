"""Take frequencies out of a waveform."""

import math

import keras
import numpy as np
from keras import ops

from keras_audio.augment.base import WaveformAugmentation
from keras_audio.layers.checks import at_least

# Lower and upper cut-off of each filter in Hz: Pajusco et al. 2020, section 2.2.
BANDS = (
    *((None, cutoff) for cutoff in (300, 1000, 2000)),
    *((cutoff, None) for cutoff in (300, 1000, 2000)),
    *((lower, 3400) for lower in (1200, 340)),
)
# A Hamming window of n taps leads from the pass to the stop band within 3.3 / n of the sample rate.
_TRANSITION_HZ = 240


@keras.saving.register_keras_serializable("keras_audio")
class RandomFIRFilter(WaveformAugmentation):
    """Filter each clip by one of eight filters, all as likely, while training.

    Pajusco et al. 2020, section 2.2: low-pass and high-pass filters with cut-offs of 300, 1000 and
    2000 Hz, and band-pass filters from 1200 and from 340 to 3400 Hz.

    Decided here: they are linear-phase filters of odd length, designed with a Hamming window
    (`scipy.signal.firwin`). Zeros stand around the clip, and the delay is taken out: the output is
    as long as the input and in step with it. All channels of a clip go through the same filter. By
    default there are as many taps as make the transition from pass to stop band 240 Hz wide, less
    than the lowest cut-off: 249 at 18 kHz. The low-pass at 300 Hz then takes 0.1 dB at 200 Hz, 6 dB
    at 300, 35 dB at 400 and more than 50 dB from 420 Hz on; with half the taps it would take 1.7 dB
    at 200 Hz and no more than 15 dB at 400.

    The convolution is done by FFT, by overlap and add in short blocks, which is faster than one FFT
    of the clip or a convolution sample by sample, and needs little memory beside the clips'.

    Args:
        sample_rate: Of the waveforms, in Hz, above 6800.
        taps: Length of the filters, odd; None is the least that makes transitions of 240 Hz.
        probability: With which a clip is filtered.
        seed: Of the draws; None is a random one.

    Attributes:
        filters: The eight filters, `(8, taps)`, in the order of `BANDS`.

    Input shape:
        `(batch, samples, channels)`

    Output shape:
        That of the input, which is returned as it is when not training; float32 under every dtype
        policy.

    Raises:
        ValueError: If an argument is out of its range, or a training input has other axes.

    Example:
        >>> layer = RandomFIRFilter(18000, probability=1.0, seed=1)
        >>> layer.filters.shape
        (8, 249)
        >>> tone = np.sin(2 * np.pi * 100 * np.arange(18000) / 18000)[None, :, None]
        >>> low, high = (layer.augment(tone, [True], [number]) for number in (0, 3))
        >>> [round(float(np.std(filtered)), 2) for filtered in (low, high)]
        [0.71, 0.0]
    """

    def __init__(
        self,
        sample_rate: int,
        taps: int | None = None,
        probability: float = 0.99,
        seed: int | None = None,
        name="random_fir_filter",
        **kwargs,
    ):
        super().__init__(probability, seed, name, **kwargs)
        self.sample_rate = at_least("sample_rate", sample_rate, 1)
        highest = max(upper or lower for lower, upper in BANDS)
        if self.sample_rate <= 2 * highest:
            raise ValueError(
                f"Expected sample_rate to be above {2 * highest} Hz, twice the highest cut-off. "
                f"Received: sample_rate={sample_rate!r}"
            )
        if taps is None:
            taps = math.ceil(3.3 * self.sample_rate / _TRANSITION_HZ) | 1
        self.taps = at_least("taps", taps, 3)
        if self.taps % 2 == 0:
            raise ValueError(f"Expected taps to be odd. Received: taps={taps!r}")
        self.filters = design_filters(self.sample_rate, self.taps)
        # The power of two of which a sixteenth at most is the filter's.
        self._size = 2 ** math.ceil(math.log2(16 * self.taps))
        self._response = _real_response(self.filters, self._size)

    def draw(self, shape) -> tuple:
        """Draw which clips are filtered, and by which of the eight; both `(batch,)`."""
        numbers = keras.random.randint(
            (shape[0],), 0, len(BANDS), dtype="int32", seed=self.seed_generator
        )
        return *super().draw(shape), numbers

    def augment(self, inputs, applied, numbers):
        """Filter the clips as drawn; see `draw`."""
        x = ops.convert_to_tensor(inputs, "float32")
        filtered = self._convolve(x, ops.convert_to_tensor(numbers, "int32"))
        batch, samples, channels = ops.shape(x)
        # In rows: a choice a row is by far faster than one a clip of two axes.
        rows = (batch, samples * channels)
        applied = ops.convert_to_tensor(applied, "bool")[:, None]
        chosen = ops.where(applied, ops.reshape(filtered, rows), ops.reshape(x, rows))
        return ops.reshape(chosen, (batch, samples, channels))

    def _convolve(self, x, numbers):
        """Filter all clips: blocks, zeros around them, and what reaches over adds up."""
        batch, samples, channels = ops.shape(x)
        half = self.taps // 2
        hop = self._size - 2 * half
        blocks = -(-samples // hop)
        x = ops.transpose(x, (0, 2, 1))
        x = ops.pad(x, [[0, 0], [0, 0], [0, blocks * hop - samples]])
        x = ops.reshape(x, (batch, channels, blocks, hop))
        x = ops.pad(x, [[0, 0], [0, 0], [0, 0], [half, half]])
        real, imaginary = ops.rfft(x)
        gains = ops.take(ops.convert_to_tensor(self._response), numbers, axis=0)[:, None, None]
        x = ops.irfft((real * gains, imaginary * gains), self._size)
        # Each block is longer than a hop by the filter: that part belongs to the next block.
        own = ops.pad(x[..., :hop], [[0, 0], [0, 0], [0, 1], [0, 0]])
        over = ops.pad(x[..., hop:], [[0, 0], [0, 0], [1, 0], [0, hop - 2 * half]])
        x = ops.reshape(own + over, (batch, channels, (blocks + 1) * hop))
        return ops.transpose(x[:, :, half : half + samples], (0, 2, 1))

    def get_config(self):
        """Give the arguments that rebuild the layer."""
        return {**super().get_config(), "sample_rate": self.sample_rate, "taps": self.taps}


def design_filters(sample_rate: int, taps: int) -> np.ndarray:
    """Design the eight filters of Pajusco et al. 2020, section 2.2, in the order of `BANDS`.

    Args:
        sample_rate: In Hz, above 6800.
        taps: Length of each, odd.

    Returns:
        Impulse responses `(8, taps)`, float64, symmetric.

    Example:
        >>> design_filters(18000, 249).sum(axis=1).round(2).tolist()[:3]
        [1.0, 1.0, 1.0]
    """
    from scipy.signal import firwin

    filters = []
    for lower, upper in BANDS:
        cutoffs = [edge for edge in (lower, upper) if edge is not None]
        filters.append(firwin(taps, cutoffs, pass_zero=lower is None, fs=sample_rate))
    return np.stack(filters)


def _real_response(filters: np.ndarray, size: int) -> np.ndarray:
    """Frequency responses of the filters without their delay: real, as they are symmetric."""
    half = filters.shape[1] // 2
    around_zero = np.zeros((len(filters), size))
    around_zero[:, : half + 1] = filters[:, half:]
    around_zero[:, -half:] = filters[:, :half]
    return np.fft.rfft(around_zero).real.astype("float32")
