"""Log-mel spectrograms of a batch: our layer, librosa, PyTorch, kapre, and the bare transforms.

The settings are those of ERANN, of the two-path network (with the Fourier transform in 64 bits, its
default, and in 32) and of progressive resizing; a batch is 32 clips of ten seconds of noise. All of
a setting run in one process that is kept to so many cores, and take turns, once a round; ratios are
those of a round. librosa takes clips one by one, on as many threads as there are cores; PyTorch is
torch.stft and a product with the matrix of mel filters, as torchaudio does it; kapre is Keras. The
bare transforms are SciPy's, in 32 bits, of frames that are ready: no framing, no window, no mels.
Before anything is measured, librosa's and PyTorch's answers have to be ours.

Examples:
  python benchmarks/log_mel.py
  python benchmarks/log_mel.py --settings erann --threads 1 --repeats 15
  python benchmarks/log_mel.py --quick --to quick-benchmarks
"""

import argparse
import contextlib
import functools
import importlib.util
import itertools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from apart import apart, cores, measures
from options import new_parser, parsed, whole_numbers
from targets import Target
from timing import in_turn, over, rate, repeated, write_results

OURS, LIBROSA, TORCH, KAPRE, FFT = "ours", "librosa", "PyTorch", "kapre", "bare transforms"
LIBROSA_FACTOR, TORCH_FACTOR, FFT_FACTOR = 1.7, 3.0, 1.6
TWO_PATH = {
    "sample_rate": 48000,
    "n_fft": 2048,
    "hop_length": 1024,
    "htk": True,
    "norm": None,
    "scale": "log",
    "offset": 1e-8,
}
SETTINGS = {
    "erann": {
        "sample_rate": 44100,
        "n_fft": 1380,
        "hop_length": 345,
        "fmin": 50.0,
        "fmax": 14000.0,
    },
    "two_path": TWO_PATH | {"fft_dtype": "float64"},
    "two_path_float32": TWO_PATH,
    "progressive": {"sample_rate": 22050, "n_fft": 1024, "hop_length": 256, "top_db": 80.0},
}


def main() -> int:
    """Measure, print, and write the files."""
    options = parse()
    values: dict[str, list[float]] = {}
    for threads, setting in itertools.product(options.threads, options.settings):
        # One process at a time: idle ones of another number of threads would still hold memory.
        with contextlib.ExitStack() as stack:
            arguments = (setting, threads, options.batch_size, options.seconds)
            with cores(threads):
                rates, _ = apart(stack, start, *arguments)
            values |= in_turn(rates, options.repeats)
    targets, ratios = compare(values)
    missing = [] if any(KAPRE in name for name in values) else ["kapre is not installed here."]
    about = (
        f"Medians of {options.repeats} rounds. Batches of {options.batch_size} clips of "
        f"{options.seconds:g} s of noise, mono, float32. two_path_float32 is the two-path setting "
        'with `fft_dtype="float32"`; the bare transforms are in 32 bits for all. kapre has '
        "neither the two-path network's logarithm nor its 64 bits, and takes decibels there."
    )
    groups = {"clips/s": values, "ratio": ratios}
    write_results(
        options.to / options.name, "Log-mel spectrograms", about, groups, missing, targets
    )
    return 0


def compare(values: Mapping[str, Sequence[float]]) -> tuple[list[Target], dict]:
    """What was asked, and the ratios that nothing was asked of."""
    targets, ratios = [], {}
    for name in values:
        setting, ours = name.rsplit(", ", 1)
        if ours != OURS:
            continue

        def times(other: str, setting=setting, name=name) -> list[float]:
            # More clips a second are less time.
            return over(values, name, f"{setting}, {other}")

        for other, factor in ((LIBROSA, LIBROSA_FACTOR), (TORCH, TORCH_FACTOR)):
            targets.append(Target(f"{other}'s time over ours, {setting}", times(other), factor))
        above = over(values, f"{setting}, {FFT}", name)
        title = f"our time over that of the bare transforms, {setting}"
        targets.append(Target(title, above, at_most=FFT_FACTOR))
        if f"{setting}, {KAPRE}" in values:
            ratios[f"kapre's time over ours, {setting}"] = times(KAPRE)
    return targets, ratios


# In the processes. ------------------------------------------------------------------------------


def start(setting: str, threads: int, batch_size: int, seconds: float) -> None:
    """Make all of a setting ready, in a process that has so many cores."""
    import tensorflow as tf
    import torch
    from peers.torch_front_ends import TorchLogMel

    from keras_audio.layers import LogMelSpectrogram

    torch.set_num_threads(threads)
    arguments = SETTINGS[setting]
    layer = LogMelSpectrogram(**arguments)
    shape = (batch_size, round(seconds * layer.sample_rate), 1)
    waveforms = np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")
    in_tensorflow, in_torch = tf.constant(waveforms), torch.from_numpy(waveforms)
    ours = tf.function(lambda batch: layer(batch), autograph=False)
    module = torch.inference_mode()(TorchLogMel(layer))
    calls = {
        OURS: lambda: ours(in_tensorflow).numpy(),
        LIBROSA: functools.partial(of_librosa, layer, waveforms, ThreadPoolExecutor(threads)),
        TORCH: lambda: module(in_torch).numpy(),
        FFT: bare_transforms(layer, waveforms, threads),
    }
    answer = calls[OURS]()[..., 0]
    np.testing.assert_allclose(calls[LIBROSA](), answer, atol=1e-2)
    np.testing.assert_allclose(calls[TORCH]()[:, 0], answer, atol=1e-2)
    if importlib.util.find_spec("kapre"):
        calls[KAPRE] = of_kapre(layer, in_tensorflow)
    on = f"{threads} core{'s' if threads > 1 else ''}"
    for kind, call in calls.items():
        measure = repeated(call, batch_size)
        measures[f"{setting}, {on}, {kind}"] = functools.partial(rate, measure)


def of_librosa(layer, waveforms: np.ndarray, pool: ThreadPoolExecutor) -> np.ndarray:
    """What librosa makes of the clips, (batch, mels, frames), a clip a thread at a time."""
    import librosa
    from threadpoolctl import threadpool_limits

    def one(waveform: np.ndarray) -> np.ndarray:
        mel = librosa.feature.melspectrogram(
            y=waveform[:, 0],
            sr=layer.sample_rate,
            n_fft=layer.n_fft,
            hop_length=layer.hop_length,
            n_mels=layer.num_mels,
            fmin=layer.fmin,
            fmax=layer.fmax,
            htk=layer.htk,
            norm=layer.norm,
            pad_mode=layer.pad_mode,
        )
        if layer.scale == "log":
            return np.log(mel + layer.offset)
        return librosa.power_to_db(mel, amin=layer.floor, top_db=layer.top_db)

    # A clip has a thread, so its matrix product gets no more.
    with threadpool_limits(1, user_api="blas"):
        return np.stack(list(pool.map(one, waveforms)))


def bare_transforms(layer, waveforms: np.ndarray, threads: int) -> Callable[[], object]:
    """SciPy's real transform of as many frames, which lie in memory one after the other."""
    import scipy.fft

    half = layer.n_fft // 2
    padded = np.pad(waveforms[..., 0], [(0, 0), (half, half)], mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, layer.n_fft, axis=1)
    frames = np.ascontiguousarray(frames[:, :: layer.hop_length])
    return lambda: scipy.fft.rfft(frames, workers=threads)


def of_kapre(layer, waveforms) -> Callable[[], object]:
    """Keras layers of kapre with the settings that it has too."""
    import tensorflow as tf
    from kapre.composed import get_melspectrogram_layer

    kapre = get_melspectrogram_layer(
        input_shape=waveforms.shape[1:],
        n_fft=layer.n_fft,
        hop_length=layer.hop_length,
        sample_rate=layer.sample_rate,
        n_mels=layer.num_mels,
        mel_f_min=layer.fmin,
        mel_f_max=layer.fmax,
        mel_htk=layer.htk,
        mel_norm=layer.norm,
        pad_begin=True,
        return_decibel=True,
    )
    call = tf.function(lambda batch: kapre(batch), autograph=False)
    return lambda: call(waveforms).numpy()


# The command line. ------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    quick = "two clips of a second, 2 rounds"
    parser = new_parser(__doc__, name="log_mel", repeats=5, quick=quick)
    available = len(os.sched_getaffinity(0))
    names = f"default {','.join(SETTINGS)}"
    parser.add_argument("--settings", type=_settings, default=list(SETTINGS), help=names)
    most = sorted({1, min(2, available)})
    text = f"cores, default {','.join(map(str, most))}"
    parser.add_argument("--threads", type=whole_numbers, default=most, help=text)
    parser.add_argument("--batch-size", type=int, default=32, help="clips; default 32")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a clip; default 10")
    small = {"batch_size": 2, "seconds": 1.0, "repeats": 2}
    options = parsed(parser, arguments, small, ["batch_size", "seconds"])
    if max(options.threads) > available:
        parser.error(f"expected --threads of at most {available}, the cores there are")
    return options


def _settings(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in SETTINGS:
            raise argparse.ArgumentTypeError(f"some of {', '.join(SETTINGS)}, not {name!r}")
    return names


if __name__ == "__main__":
    sys.exit(main())
