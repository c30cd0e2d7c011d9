"""Log-mel spectrograms inside the graph, equal to librosa's."""

import keras
import numpy as np
from keras import ops

from keras_audio.layers.checks import at_least, one_of

# A filter weighs few bins. Multiplied in groups of neighbours, a power spectrum meets a quarter of
# the weights, nearly all others being zero; more groups gain no more (docs/performance.md).
MEL_BANDS = 4
# Bytes of a clip's frames from which on a batch is a loop over its clips on CPU: what a clip needs
# then stays in a cache. Shorter ones gain by being many. Of two cores; see docs/performance.md.
LARGE_CLIP = 1 << 21


@keras.saving.register_keras_serializable("keras_audio")
class LogMelSpectrogram(keras.layers.Layer):
    """Waveforms to mel spectrograms: power, natural logarithm or decibels.

    The front end of four of the five papers, whose settings differ only in the arguments:

    | paper | settings |
    | --- | --- |
    | Naranjo-Alcazar 2019, III | 8000 Hz, 320/160, 64 mels, not centred, dB, `top_db=80` |
    | Verbitskiy 2022, 3.1 | 44100 Hz, 1380/345, 128 mels from 50 to 14000 Hz, dB |
    | McDonnell 2019, 3 | 48000 or 44100 Hz, 2048/1024, 128 mels, HTK, `norm=None`, log, 1e-8 |
    | Colangelo 2021, 3 | 22050 Hz, 1024/256, 64, 96 or 128 mels, dB, `top_db=80` |

    It computes in float32 or better under every dtype policy: half precision is off by tens of dB.
    On CPU TensorFlow loops over long clips of known length, which changes numbers by rounding.

    Args:
        sample_rate: Of the waveforms, in Hz.
        n_fft: Points of the Fourier transform, any number.
        hop_length: Samples from one frame to the next.
        win_length: Samples of the window, centred in the `n_fft` points; None is `n_fft`.
        window: `"hann"` or `"hamming"`, periodic.
        num_mels: Number of mel bins.
        fmin: Lowest frequency in Hz.
        fmax: Highest frequency in Hz; None is half the sample rate.
        htk: The HTK mel formula instead of Slaney's.
        norm: `"slaney"` divides each triangle by its width in Hz, None leaves a peak of one.
        center: Pad `n_fft // 2` samples on both sides, so that frame t is centred on sample
            `t * hop_length`. Without, the first frame starts at sample 0.
        pad_mode: `"reflect"` or `"constant"` (zeros), for `center`.
        power: Exponent of the magnitude: 2 is power, 1 is magnitude.
        scale: `"log"` is `ln(max(p + offset, floor))`, `"db"` is
            `10 log10(max(p + offset, floor))`, `"power"` is p as it is.
        offset: Added before the logarithm.
        floor: The least value that enters the logarithm.
        top_db: With `scale="db"`: nothing lies further than this below the loudest value of
            the same clip (all its channels together). None sets no such floor.
        fft_dtype: `"float32"`, or `"float64"` for windowing and transform alone, as librosa does
            inside. In float32 rounding leaves noise far below the peak of a frame: no matter to
            decibels with a floor, but it shifts the logarithms of faint bins. JAX takes it for
            float32 unless its 64-bit mode is on; LiteRT has float32 only.

    Input shape:
        `(batch, samples, channels)`

    Output shape:
        `(batch, num_mels, frames, channels)`, float32, with
        `frames = (samples + 2 * (n_fft // 2) * center - n_fft) // hop_length + 1`

    Raises:
        ValueError: If an argument is out of its range, or a clip is too short for one frame
            (reflect padding needs more than `n_fft // 2` samples).

    Example:
        >>> import numpy as np
        >>> layer = LogMelSpectrogram(8000, n_fft=320, hop_length=160, num_mels=64, center=False)
        >>> tuple(layer(np.zeros((1, 32000, 1), "float32")).shape)
        (1, 64, 199, 1)
    """

    def __init__(
        self,
        sample_rate: int,
        n_fft: int,
        hop_length: int,
        win_length: int | None = None,
        window: str = "hann",
        num_mels: int = 128,
        fmin: float = 0.0,
        fmax: float | None = None,
        htk: bool = False,
        norm: str | None = "slaney",
        center: bool = True,
        pad_mode: str = "reflect",
        power: float = 2.0,
        scale: str = "db",
        offset: float = 0.0,
        floor: float = 1e-10,
        top_db: float | None = None,
        fft_dtype: str = "float32",
        name="log_mel",
        **kwargs,
    ):
        # Keras casts an input before `call`; a cast inside would come too late.
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)
        self.sample_rate = at_least("sample_rate", sample_rate, 1)
        self.n_fft = at_least("n_fft", n_fft, 2)
        self.hop_length = at_least("hop_length", hop_length, 1)
        self.win_length = at_least("win_length", n_fft if win_length is None else win_length, 1)
        self.window = one_of("window", window, ("hann", "hamming"))
        self.num_mels = at_least("num_mels", num_mels, 1)
        self.fmin = float(fmin)
        self.fmax = self.sample_rate / 2 if fmax is None else float(fmax)
        self.htk = bool(htk)
        self.norm = one_of("norm", norm, ("slaney", None))
        self.center = bool(center)
        self.pad_mode = one_of("pad_mode", pad_mode, ("reflect", "constant"))
        self.power = float(power)
        self.scale = one_of("scale", scale, ("log", "db", "power"))
        self.offset = float(offset)
        self.floor = float(floor)
        self.top_db = None if top_db is None else float(top_db)
        self.fft_dtype = one_of("fft_dtype", fft_dtype, ("float32", "float64"))
        self._check()
        self._bands = self._mel_bands()
        # Not by name: TensorFlow's own periodic windows are symmetric where the length is odd.
        angles = 2 * np.pi * np.arange(self.win_length) / self.win_length
        mean = {"hann": 0.5, "hamming": 0.54}[self.window]
        values = (mean - (1 - mean) * np.cos(angles)).astype(self.fft_dtype)
        before = (self.n_fft - self.win_length) // 2
        self._window_values = np.pad(values, (before, self.n_fft - self.win_length - before))

    def _check(self) -> None:
        if self.win_length > self.n_fft:
            raise ValueError(
                f"Expected win_length to be at most n_fft={self.n_fft}. "
                f"Received: win_length={self.win_length}"
            )
        if not 0 <= self.fmin < self.fmax <= self.sample_rate / 2:
            raise ValueError(
                f"Expected 0 <= fmin < fmax <= {self.sample_rate / 2:g} (half the sample rate). "
                f"Received: fmin={self.fmin:g}, fmax={self.fmax:g}"
            )
        if not self.power > 0:
            raise ValueError(f"Expected power to be above 0. Received: power={self.power!r}")
        if self.scale != "power" and not (self.floor > 0 and self.offset >= 0):
            raise ValueError(
                "Expected floor above 0 and offset of 0 or more, for a finite logarithm. "
                f"Received: floor={self.floor!r}, offset={self.offset!r}"
            )
        if self.top_db is not None and not (self.scale == "db" and self.top_db > 0):
            raise ValueError(
                'Expected top_db to be above 0 and scale to be "db" with it. '
                f"Received: top_db={self.top_db!r}, scale={self.scale!r}"
            )

    def _mel_bands(self) -> list[tuple[slice, np.ndarray]]:
        """Give the mel filters in groups: the bins that a group weighs, and its weights there."""
        # Imported here: librosa takes a second, and a bare network has no use for it.
        import librosa

        weights = librosa.filters.mel(
            sr=self.sample_rate,
            n_fft=self.n_fft,
            n_mels=self.num_mels,
            fmin=self.fmin,
            fmax=self.fmax,
            htk=self.htk,
            norm=self.norm,
        ).T
        bands = []
        for filters in np.array_split(np.arange(self.num_mels), min(MEL_BANDS, self.num_mels)):
            heard = np.flatnonzero(weights[:, filters].any(axis=1))
            first, last = (heard[0], heard[-1]) if len(heard) else (0, 0)
            bins = slice(int(first), int(last) + 1)
            bands.append((bins, weights[bins][:, filters].astype("float32")))
        return bands

    @property
    def min_samples(self) -> int:
        """The least number of samples that gives a frame."""
        half = self.n_fft // 2
        if not self.center:
            return self.n_fft
        return half + 1 if self.pad_mode == "reflect" else max(self.n_fft - 2 * half, 1)

    def num_frames(self, samples):
        """Give the number of frames of so many samples.

        Example:
            >>> LogMelSpectrogram(44100, n_fft=1380, hop_length=345).num_frames(4 * 44100)
            512
        """
        padding = 2 * (self.n_fft // 2) if self.center else 0
        return (samples + padding - self.n_fft) // self.hop_length + 1

    def call(self, inputs):
        """Compute the output; see the class for shapes."""
        _, samples, channels = ops.shape(inputs)
        if isinstance(samples, int):
            self._check_length(samples)
            many = inputs.shape[0] not in (0, 1)
            if many and self._is_large(samples, channels) and _on_cpu():
                return ops.map(lambda clip: self._spectrograms(clip[None])[0], inputs)
        return self._spectrograms(inputs)

    def _spectrograms(self, inputs):
        batch, samples, channels = ops.shape(inputs)
        x = ops.transpose(ops.cast(inputs, "float32"), (0, 2, 1))
        if self.center:
            x = self._padded(x)
        framed = ops.extract_sequences(ops.cast(x, self.fft_dtype), self.n_fft, self.hop_length)
        real, imag = (ops.cast(part, "float32") for part in ops.rfft(framed * self._window_values))
        power = ops.square(real) + ops.square(imag)
        if self.power != 2.0:
            power = ops.power(power, self.power / 2)
        bands = [ops.matmul(power[..., bins], weights) for bins, weights in self._bands]
        mel = ops.transpose(ops.concatenate(bands, axis=-1), (0, 3, 2, 1))
        frames = self.num_frames(samples)
        if not isinstance(frames, int):
            # In a graph of unknown length this makes a clip too short for a frame an error at
            # run time, instead of an empty spectrogram that padding would pass off as silence.
            frames = ops.maximum(frames, 1)
        mel = ops.reshape(mel, (batch, self.num_mels, frames, channels))
        return self._scaled(mel)

    def _padded(self, x):
        half = self.n_fft // 2
        if self.pad_mode == "constant":
            return ops.pad(x, [[0, 0], [0, 0], [half, half]])
        # Reflecting is slow, so what is reflected are the ends alone.
        start = ops.pad(x[..., : half + 1], [[0, 0], [0, 0], [half, 0]], mode="reflect")
        end = ops.pad(x[..., -half - 1 :], [[0, 0], [0, 0], [0, half]], mode="reflect")
        return ops.concatenate([start[..., :half], x, end[..., -half:]], axis=-1)

    def _scaled(self, mel):
        if self.scale == "power":
            return mel
        logarithm = ops.log(ops.maximum(mel + self.offset, self.floor))
        if self.scale == "log":
            return logarithm
        decibels = logarithm * (10.0 / np.log(10.0))
        if self.top_db is None:
            return decibels
        loudest = ops.max(decibels, axis=(1, 2, 3), keepdims=True)
        return ops.maximum(decibels, loudest - self.top_db)

    def _is_large(self, samples: int, channels) -> bool:
        if not isinstance(channels, int):
            return False
        floats = samples * channels * self.n_fft / self.hop_length
        return floats * np.dtype(self.fft_dtype).itemsize >= LARGE_CLIP

    def _check_length(self, samples: int) -> None:
        if samples < self.min_samples:
            raise ValueError(
                f"Expected clips of at least {self.min_samples} samples for n_fft={self.n_fft}, "
                f"center={self.center}, pad_mode={self.pad_mode!r}, got shorter ones. "
                f"Received: samples={samples}"
            )

    def compute_output_shape(self, input_shape):
        """Give the output shape; None stays None."""
        batch, samples, channels = input_shape
        if samples is not None:
            self._check_length(samples)
            samples = self.num_frames(samples)
        return (batch, self.num_mels, samples, channels)

    def get_config(self):
        """Give the arguments that rebuild the layer."""
        return {
            **super().get_config(),
            "sample_rate": self.sample_rate,
            "n_fft": self.n_fft,
            "hop_length": self.hop_length,
            "win_length": self.win_length,
            "window": self.window,
            "num_mels": self.num_mels,
            "fmin": self.fmin,
            "fmax": self.fmax,
            "htk": self.htk,
            "norm": self.norm,
            "center": self.center,
            "pad_mode": self.pad_mode,
            "power": self.power,
            "scale": self.scale,
            "offset": self.offset,
            "floor": self.floor,
            "top_db": self.top_db,
            "fft_dtype": self.fft_dtype,
        }


def _on_cpu() -> bool:
    """Whether TensorFlow computes, and on nothing faster."""
    if keras.config.backend() != "tensorflow":
        return False
    return all(device.startswith("cpu") for device in keras.distribution.list_devices())
