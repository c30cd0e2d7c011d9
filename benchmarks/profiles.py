"""What parts take, and what was tried: the numbers behind docs/performance.md.

On one core: log-mels up to each of their operations in turn, with one group of mel filters and with
four, compiled by XLA; and ways to take the power of a spectrum. On one core and on all: log-mels of
batches at once and clip by clip, by the length of the clips. On all cores: inference with batch
norms folded and without, with sounds padded apart and by the first convolution, compiled by XLA, in
bfloat16, with weights as constants; and the share of convolutions in the graphs of two large
networks. What is compared takes turns, once a round; ratios are those of a round.

Examples:
  python benchmarks/profiles.py
  python benchmarks/profiles.py --quick --to quick-benchmarks
"""

import argparse
import contextlib
import functools
import os
import pathlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from apart import apart, cores, measures
from log_mel import SETTINGS, bare_transforms
from options import new_parser, parsed
from timing import in_turn, over, write_results

from keras_audio.models import create_model, model_info

CLASSES = 10
SETTING = "progressive"
LAYER, BARE, ONE_GROUP = "the layer", "bare transforms", "the layer, one group of filters"
AT_ONCE, ONE_BY_ONE = "clips at once", "clips one by one"
POWER = "power by real and imaginary parts"
SERVED, UNFOLDED, HALF = "as served", "batch norms not folded", "bfloat16, not folded"
# Name and clips at once; ERANN and two paths on ten seconds, the largest.
NETWORKS = (
    *((name, 1) for name in ("binaural_b", "binaural_d", "m3", "m5", "m34_res_rb4")),
    *((name, 32) for name in ("binaural_b", "binaural_d", "m3", "m5", "m34_res_rb4")),
    ("spectrogram_res_rb4", 1),
    ("spectrogram_res_rb4", 32),
    ("erann_1_3", 1),
    ("two_path_resnet", 1),
)
GRAPHS = ("erann_1_3", "two_path_resnet")
LENGTHS = (1.0, 5.0, 10.0)  # seconds, of the log-mels of these settings
BY_LENGTH = ("erann", "two_path", "two_path_float32", "progressive")


def main() -> int:
    """Measure, print, and write the files."""
    options = parse()
    values: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        with cores(1):
            parts, _ = apart(stack, start_parts, options.batch_size, options.seconds)
        values |= in_turn(parts, options.repeats)
    for threads in sorted({1, len(os.sched_getaffinity(0))}):
        with contextlib.ExitStack() as stack:
            with cores(threads):
                arguments = (options.settings, options.lengths, options.batch_size, threads)
                lengths, _ = apart(stack, start_lengths, *arguments)
            values |= in_turn(lengths, options.repeats)
    for name, size in options.networks:
        with contextlib.ExitStack() as stack:
            ways, _ = apart(stack, start_network, name, size, options.seconds)
            values |= in_turn(ways, options.repeats)
    shares = {}
    for name in options.graphs:
        with contextlib.ExitStack() as stack:
            _, found = apart(stack, shares_of, name, options.seconds)
            shares |= {f"{name}, {kind}": [share] for kind, share in found.items()}
    about = (
        f"Medians of {options.repeats} rounds. Log-mels: batches of {options.batch_size} clips of "
        f"{options.seconds:g} s of noise, the setting {SETTING}, one core; every line up to "
        "decibels has the operations of those above it, of all clips at once. Networks: the graph "
        f"that an export holds, clips of {options.seconds:g} s, all cores. Shares of the "
        "operations' time in that graph of one clip, as TensorFlow traces them."
    )
    groups = {"ms a clip": values, "ratio": compare(values), "share of the time": shares}
    title = "What parts take, and what was tried"
    write_results(options.to / options.name, title, about, groups)
    return 0


def compare(values: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Each way beside what it is compared with, in milliseconds: above 1 is slower."""
    beside = {name: LAYER for name in values if name.startswith(f"{LAYER},")}
    beside |= {name: POWER for name in values if name.startswith("power by ") and name != POWER}
    for name in values:
        network, _, way = name.rpartition(": ")
        if network and way not in (SERVED, ONE_BY_ONE):
            other = {HALF: UNFOLDED, AT_ONCE: ONE_BY_ONE}.get(way, SERVED)
            beside[name] = f"{network}: {other}"
    beside[LAYER] = BARE
    return {f"{name} / {other}": over(values, name, other) for name, other in beside.items()}


# In the processes. ------------------------------------------------------------------------------


def milliseconds(call: Callable[[], object], clips: int, seconds: float = 0.5) -> float:
    """The time of a clip, of as many calls as fill some time."""
    started, calls = time.perf_counter(), 0
    while (spent := time.perf_counter() - started) < seconds or not calls:
        call()
        calls += 1
    return 1000 * spent / (calls * clips)


def add(measured: Mapping[str, Callable[[], object]], clips: int) -> None:
    """Make calls ready, each called twice: the first time builds its graph."""
    for name, call in measured.items():
        call()
        call()
        measures[name] = functools.partial(milliseconds, call, clips)


def start_parts(batch_size: int, seconds: float) -> None:
    """Make log-mels ready up to each operation, and the ways that the layer could have."""
    import tensorflow as tf
    from keras import ops

    from keras_audio.layers import LogMelSpectrogram, log_mel_spectrogram

    layer = LogMelSpectrogram(**SETTINGS[SETTING])
    shape = (batch_size, round(seconds * layer.sample_rate), 1)
    waveforms = np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")
    operations = {
        "ends reflected": lambda x: layer._padded(ops.transpose(x, (0, 2, 1))),
        "frames cut": lambda x: ops.extract_sequences(x, layer.n_fft, layer.hop_length),
        "window": lambda x: x * layer._window_values,
        "transform": tf.signal.rfft,
        "real and imaginary parts": lambda x: (tf.math.real(x), tf.math.imag(x)),
        "squares": lambda parts: ops.square(parts[0]) + ops.square(parts[1]),
        "mel filters": lambda x: ops.concatenate(
            [ops.matmul(x[..., bins], weights) for bins, weights in layer._bands], axis=-1
        ),
        "channels in place": lambda x: ops.transpose(x, (0, 3, 2, 1)),
        "decibels": layer._scaled,
    }

    def graph(functions: Iterable[Callable], inputs, **options) -> Callable[[], object]:
        functions = tuple(functions)

        def run(x):
            for function in functions:
                x = function(x)
            return x

        return functools.partial(tf.function(run, autograph=False, **options), tf.constant(inputs))

    steps = list(operations.items())
    calls = {
        name: graph((step for _, step in steps[: number + 1]), waveforms)
        for number, (name, _) in enumerate(steps)
    }
    calls[LAYER] = graph([layer], waveforms)
    np.testing.assert_allclose(calls["decibels"](), calls[LAYER](), atol=1e-3)
    calls[BARE] = bare_transforms(layer, waveforms, threads=1)
    together = layer._spectrograms
    calls[f"{LAYER}, all clips in XLA"] = graph([together], waveforms, jit_compile=True)
    groups, log_mel_spectrogram.MEL_BANDS = log_mel_spectrogram.MEL_BANDS, 1
    calls[ONE_GROUP] = graph([LogMelSpectrogram(**SETTINGS[SETTING])], waveforms)
    log_mel_spectrogram.MEL_BANDS = groups
    spectrum = graph((step for _, step in steps[:4]), waveforms)()
    bits = functools.partial(tf.bitcast, type=tf.float32)
    parts = operations["real and imaginary parts"], operations["squares"]
    calls[POWER] = graph(parts, spectrum)
    calls["power by squares of bits, not added"] = graph((bits, ops.square), spectrum)
    calls["power by tf.abs"] = graph((tf.abs, ops.square), spectrum)
    add(calls, batch_size)


def start_lengths(
    settings: Sequence[str], lengths: Sequence[float], batch_size: int, threads: int
) -> None:
    """Make log-mels of clips of each length ready, at once and one by one."""
    import tensorflow as tf

    from keras_audio.layers import LogMelSpectrogram, log_mel_spectrogram

    rng, usual = np.random.default_rng(0), log_mel_spectrogram.LARGE_CLIP
    for setting in settings:
        layer = LogMelSpectrogram(**SETTINGS[setting])
        for seconds in lengths:
            shape = (batch_size, round(seconds * layer.sample_rate), 1)
            waveforms = tf.constant(rng.uniform(-1, 1, shape), tf.float32)
            on = f"{setting}, {seconds:g} s, {threads} core{'s' if threads > 1 else ''}"
            log_mel_spectrogram.LARGE_CLIP = 0
            one_by_one = tf.function(lambda x, layer=layer: layer(x), autograph=False)
            ways = {
                AT_ONCE: tf.function(layer._spectrograms, autograph=False),
                ONE_BY_ONE: one_by_one.get_concrete_function(waveforms),
            }
            log_mel_spectrogram.LARGE_CLIP = usual
            calls = {
                f"{on}: {way}": functools.partial(call, waveforms) for way, call in ways.items()
            }
            add(calls, batch_size)


def start_network(name: str, size: int, seconds: float) -> None:
    """Make a network ready as it is served and in other ways."""
    import keras
    import tensorflow as tf
    from weights import draw_weights

    from keras_audio.serving.checks import with_embedding
    from keras_audio.serving.export import serving_function
    from keras_audio.serving.folding import fold_batch_norms
    from keras_audio.serving.padding import pad_sounds

    keras.utils.set_random_seed(0)
    model = create_model(name, CLASSES)
    draw_weights(model)
    info = model_info(name)
    shape = (size, round(seconds * info.sample_rate), info.channels)
    clips = tf.constant(np.random.default_rng(0).uniform(-1, 1, shape), tf.float32)
    folded = fold_batch_norms(with_embedding(model))
    optimized = pad_sounds(folded)
    constants = [(variable, tf.constant(variable.numpy())) for variable in optimized.variables]

    def of_constants(x):
        with keras.StatelessScope(constants):
            return optimized(x, training=False)["probabilities"]

    def graph(function: Callable, **options) -> Callable[[], object]:
        call = tf.function(function, autograph=False, **options)
        return lambda: call(clips).numpy()

    def answers(model: keras.Model, **options) -> Callable[[], object]:
        return graph(lambda x: model(x, training=False)["probabilities"], **options)

    serve = serving_function(model)
    ways = {
        SERVED: lambda: serve(clips)["probabilities"].numpy(),
        UNFOLDED: answers(pad_sounds(with_embedding(model))),
        "weights as constants": graph(of_constants),
    }
    if optimized is not folded:
        ways["padded by the first convolution"] = answers(folded)
    if info.feature_shape is None:
        # XLA has no Fourier transforms of any length, and front ends are in 32 bits.
        ways["compiled by XLA"] = answers(optimized, jit_compile=True)
        keras.config.set_dtype_policy("mixed_bfloat16")
        half = create_model(name, CLASSES)
        half.set_weights(model.get_weights())
        ways[HALF] = answers(pad_sounds(with_embedding(half)))
    add({f"{name}, {size} at once: {way}": call for way, call in ways.items()}, size)


def shares_of(name: str, seconds: float) -> dict[str, float]:
    """The kinds of operations that take most of the time of one clip, as served; their shares."""
    import keras
    import tensorflow as tf
    from weights import draw_weights

    from keras_audio.serving import export_saved_model

    keras.utils.set_random_seed(0)
    model = create_model(name, CLASSES)
    # Networks of first weights may make too much of rounding for the graph of a trained one.
    draw_weights(model)
    info, runs = model_info(name), 3
    shape = (1, round(seconds * info.sample_rate), info.channels)
    clip = np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")
    labels = [f"class {number}" for number in range(CLASSES)]
    spent: Counter[str] = Counter()
    v1 = tf.compat.v1
    with tempfile.TemporaryDirectory() as work:
        export = export_saved_model(
            model,
            pathlib.Path(work) / "export",
            labels=labels,
            sample_rate=info.sample_rate,
        )
        with v1.Session(graph=tf.Graph()) as session:
            loaded = v1.saved_model.load(session, ["serve"], str(export))
            signature = loaded.signature_def["serving_default"]
            answer = signature.outputs["probabilities"].name
            feed = {signature.inputs["waveform"].name: clip}
            traced = v1.RunOptions(trace_level=v1.RunOptions.FULL_TRACE)
            session.run(answer, feed)
            for _ in range(runs):
                metadata = v1.RunMetadata()
                session.run(answer, feed, options=traced, run_metadata=metadata)
                for device in metadata.step_stats.dev_stats:
                    for node in device.node_stats:
                        # Such as `name = _MklNativeConv2D(inputs)`.
                        kind = node.timeline_label.partition(" = ")[2].partition("(")[0]
                        kind = "convolutions" if "Conv2D" in kind else kind
                        spent[kind] += node.op_end_rel_micros - node.op_start_rel_micros
    # Functions, whose time is that of the operations in them.
    total = sum(time for kind, time in spent.items() if "Call" not in kind)
    kinds = [kind for kind, _ in spent.most_common() if kind and "Call" not in kind]
    return {kind: spent[kind] / total for kind in kinds[:4]}


# The command line. ------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    quick = "one network, two clips of a second, 2 rounds"
    parser = new_parser(__doc__, name="profiles", repeats=7, quick=quick)
    parser.add_argument("--batch-size", type=int, default=32, help="of log-mels; default 32")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a clip; default 10")
    parser.set_defaults(networks=NETWORKS, graphs=GRAPHS, settings=BY_LENGTH, lengths=LENGTHS)
    small = {"batch_size": 2, "seconds": 1.0, "repeats": 2}
    small |= {"networks": (("binaural_a", 2),), "graphs": ("erann_3_1",)}
    small |= {"settings": BY_LENGTH[:1], "lengths": LENGTHS[:1]}
    return parsed(parser, arguments, small, ["batch_size", "seconds"])


if __name__ == "__main__":
    sys.exit(main())
