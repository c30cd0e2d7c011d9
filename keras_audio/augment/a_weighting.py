"""How loud a clip is where it is loudest, to the ear."""

import functools
import math

import numpy as np
from keras import ops

from keras_audio.layers.checks import at_least

# No clip counts as quieter, so that silence has a level. As in the reference implementation of
# Tokozume et al. 2018; what it is relative to is decided in `a_weighted_level`.
LEVEL_FLOOR_DB = -80.0


def a_weights(frequencies: np.ndarray) -> np.ndarray:
    """Give the A-weighting of IEC 61672 as factors of power, 1 at 1 kHz.

    Args:
        frequencies: In Hz, of any shape.

    Example:
        >>> a_weights(np.array([0.0, 100.0, 1000.0])).round(4).tolist()
        [0.0, 0.0122, 1.0]
    """
    squared = np.square(np.asarray(frequencies, "float64"))
    amplitude = (12194.0**2 * squared**2) / (
        (squared + 20.6**2)
        * np.sqrt((squared + 107.7**2) * (squared + 737.9**2))
        * (squared + 12194.0**2)
    )
    return np.square(amplitude) * 10**0.2


def a_weighted_level(waveforms, sample_rate: int):
    """Measure the A-weighted level of each clip in its loudest frame, in dB.

    What Tokozume et al. 2018, "Learning from between-class examples for deep sound recognition",
    call the sound pressure level G of a clip: the maximum over short windows of about a tenth of a
    second. Hann windows that overlap by half, of the power of two next to a tenth of a second (4096
    samples at 44.1 kHz, 2048 at 16 kHz, as there). Decided here: 0 dB is a sine of full scale at
    1 kHz; nothing is quieter than -80 dB; channels are averaged; the frames are centred and zeros
    stand around the clip, so that clips shorter than a frame have a level, too.

    Args:
        waveforms: `(batch, samples, channels)`, at least one sample.
        sample_rate: In Hz.

    Returns:
        Levels `(batch,)`, float32, from -80 up.

    Example:
        >>> sine = np.sin(2 * np.pi * 1000 * np.arange(44100) / 44100)[None, :, None]
        >>> [round(float(a_weighted_level(x, 44100)[0]), 2) for x in (sine / 10, sine * 0)]
        [-20.0, -80.0]
    """
    window, weights = _constants(at_least("sample_rate", sample_rate, 1))
    half = len(window) // 2
    x = ops.transpose(ops.cast(waveforms, "float32"), (0, 2, 1))
    x = ops.pad(x, [[0, 0], [0, 0], [half, half]])
    real, imag = ops.stft(x, len(window), half, len(window), window, center=False)
    power = ops.matmul(ops.square(real) + ops.square(imag), weights)
    return level_in_db(ops.max(ops.mean(power, axis=1), axis=(1, 2)))


def level_in_db(power):
    """Give 10 log10 of the power, but no less than the floor."""
    return ops.log(ops.maximum(power, 10 ** (LEVEL_FLOOR_DB / 10))) * (10.0 / math.log(10.0))


@functools.cache
def _constants(sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """The window, and the weight of each bin's power, (bins, 1)."""
    samples = 2 ** max(round(math.log2(sample_rate / 10)), 1)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples)
    weights = a_weights(np.fft.rfftfreq(samples, 1 / sample_rate))
    # The sum over the bins of a sine of full scale.
    weights /= samples * np.square(window).sum() / 4
    return window.astype("float32"), weights[:, None].astype("float32")
