"""Clips a second of every network, beside PyTorch's, and the share of the machine's arithmetic.

Whole models from waveform to probabilities, front end included, answer batches of clips as long as
the papers'. Each of ours is the graph that an export holds; PyTorch's are eager, in inference mode,
with the weights of ours and the same logits, and the faster of two layouts of tensors counts. Ours
are in one process and PyTorch's in another, and all take turns, once a round, so that a machine
that is slow for a while is slow for all of them; ratios are those of a round. A product of two
float32 matrices is measured in each round too: it says how many operations a second there are.

A batch that would not fit in memory, or take too long, is halved, for PyTorch too.

Examples:
  python benchmarks/inference.py
  python benchmarks/inference.py --networks m34_res_rb4,erann_1_3 --seconds 10 --repeats 5
  python benchmarks/inference.py --threads 1 --name inference_1_thread
  python benchmarks/inference.py --quick --to quick-benchmarks
"""

import argparse
import contextlib
import functools
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Processes share a GPU, and TensorFlow would give all its memory to the first.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

import numpy as np
import psutil
from apart import apart, measures, use_threads
from options import new_parser, parsed, whole_numbers
from peers import TORCH, by_torch
from targets import Target
from timing import in_turn, over, rate, repeated, write_results

from keras_audio.models import create_model, list_models, model_info

CLASSES = 10
WITH_PEERS = ("m34_res_rb4", "two_path_resnet", "erann_1_3", "binaural_b")
QUICK = ("m3", "m34_res_rb4", "erann_3_1", "two_path_resnet")
LEVEL = 1.0
PRODUCT, MATRIX = "matrix product", 2048
SECONDS = 0.5  # that a measurement takes at least
MOST_SECONDS = 5.0  # that one batch may take
USUAL_SHARE = 0.75  # of the machine's arithmetic, by which the time of a batch is guessed
MEMORY_SHARE = 0.5  # of what is free, that a batch may take
# Tensors as large as the largest that a network holds at a time: input, padding, output, shortcut.
LARGEST_AT_ONCE = 4
LOWEST = 3


def main() -> int:
    """Measure, print, and write the files."""
    options = parse()
    threads = use_threads(options.threads)
    with contextlib.ExitStack() as stack:
        of_ours, (sizes, flops) = apart(stack, start_ours, options)
        peers = [name for name in options.networks if name in WITH_PEERS]
        of_peers, versions = apart(stack, start_peers, peers, sizes, options.seconds)
        # A network's own and its peer's one after the other.
        rates = dict(sorted((of_ours | of_peers).items()))
        values = in_turn(rates, options.repeats)
    targets, ratios, conclusions = compare(sizes, flops, values)
    product = {PRODUCT: [value / 1e9 for value in values.pop(PRODUCT)]}
    about = (
        f"Medians of {options.repeats} rounds; {threads} threads, float32, {CLASSES} classes, "
        "noise as long as the papers' clips"
        + (f", but {options.seconds:g} s" if options.seconds else "")
        + f". PyTorch {versions}, eager. Operations are two for each multiply-accumulate of "
        "convolutions, Dense layers and log-mels (the product with the mel filters, and n log2 n a "
        "frame for the Fourier transform); what else there is counts for nothing. They are shown "
        f"as a share of those of a product of two {MATRIX} x {MATRIX} matrices, the best of some "
        "in each round."
    )
    smaller = [
        f"{name} {size} for {asked}"
        for name, wanted in sizes.items()
        for asked, size in wanted
        if asked != size
    ]
    if smaller:
        about += f" Smaller batches, for want of memory or time: {'; '.join(smaller)}."
    groups = {"clips/s": values, "GFLOP/s": product, "ratio": ratios}
    title = "Inference of all networks, beside PyTorch's and the machine's arithmetic"
    write_results(options.to / options.name, title, about, groups, conclusions, targets)
    return 0


def compare(
    sizes: Mapping[str, Sequence[tuple[int, int]]],
    flops: Mapping[str, float],
    values: Mapping[str, Sequence[float]],
) -> tuple:
    """What was asked of those with peers, a share of the arithmetic of all, and the lowest.

    Args:
        sizes: By network: batches that were asked for, and what they became.
        flops: By network: operations a clip.
        values: What was measured.
    """
    targets, ratios, sentences = {}, {}, []
    shares: dict[int, dict[str, float]] = {}
    for name, wanted in sizes.items():
        for asked, size in wanted:
            ours = f"{name}, batch {size}"
            if layouts := by_torch(ours, values):
                # More clips a second are less time.
                what = f"PyTorch's time over ours, {ours}"
                targets[what] = Target(what, over(values, ours, layouts[0]), LEVEL)
            title = f"share of the arithmetic, {ours}"
            share = [flops[name] * quotient for quotient in over(values, ours, PRODUCT)]
            ratios[title] = share
            shares.setdefault(asked, {})[ours] = statistics.median(share)
    for asked, found in shares.items():
        lowest = sorted(found, key=found.get)[:LOWEST]
        listed = ", ".join(f"{ours} ({found[ours]:.3f})" for ours in lowest)
        sentences.append(f"- Lowest shares of the arithmetic where {asked} were asked: {listed}.")
    return list(targets.values()), ratios, ["\n".join(sentences)]


def clip_seconds(name: str) -> float:
    """How long the paper's clips are."""
    if name.startswith(("erann", "two_path", "binaural")):
        return 10.0
    # Of the progressive networks, 300 frames: 3.5 s.
    return 3.5 if name.startswith("resnet") else 4.0


def clip_shape(name: str, seconds: float | None) -> tuple[int, int]:
    """Samples and channels of a clip."""
    info = model_info(name)
    return round((seconds or clip_seconds(name)) * info.sample_rate), info.channels


# In the processes. ------------------------------------------------------------------------------


def start_ours(options: argparse.Namespace) -> tuple[dict, dict]:
    """Make all of ours ready; their batches, (asked, fitting), and operations a clip."""
    from keras_audio.models.macs import layer_macs

    measures[PRODUCT] = matrix_product()
    speed = measures[PRODUCT]()
    sizes, flops = {}, {}
    for name in options.networks:
        shape = clip_shape(name, options.seconds)
        model = create_model(name, CLASSES)
        costs = layer_macs(model, shape)
        flops[name] = 2 * sum(layer.macs for layer in costs)
        largest = max(int(np.prod(layer.output_shape)) for layer in costs)
        seconds = flops[name] / (USUAL_SHARE * speed)
        sizes[name] = [
            (asked, fitting(asked, LARGEST_AT_ONCE * 4 * largest, seconds))
            for asked in options.batch_sizes
        ]
        for size in {size for _, size in sizes[name]}:
            call = repeated(answering(model, noise(size, shape)), size, SECONDS)
            measures[f"{name}, batch {size}"] = functools.partial(rate, call)
    return sizes, flops


def start_peers(names: Sequence[str], sizes: Mapping, seconds: float | None) -> str:
    """Make PyTorch's ready, and see that they answer what ours do; PyTorch's version."""
    import torch
    from peers.alike import check_alike, for_torch
    from peers.torch_networks import torch_model
    from weights import draw_weights

    torch.set_num_threads(len(os.sched_getaffinity(0)))

    def answer(module, waveforms):
        with torch.inference_mode():
            return module(waveforms).softmax(dim=-1)

    for name in names:
        shape = clip_shape(name, seconds)
        model = create_model(name, CLASSES)
        draw_weights(model)
        layouts = list(TORCH)[: 2 if model_info(name).feature_shape else 1]
        for layout in layouts:
            module = torch_model(model).eval().to(memory_format=getattr(torch, layout))
            check_alike(noise(2, shape), model, module)
            for size in {size for _, size in sizes[name]}:
                call = functools.partial(answer, module, for_torch(noise(size, shape)))
                measure = functools.partial(rate, repeated(call, size, SECONDS))
                measures[f"{name}, batch {size}, {TORCH[layout]}"] = measure
    return torch.__version__


def fitting(size: int, bytes_a_clip: float, seconds_a_clip: float) -> int:
    """The batch of at most `size` clips that memory and time hold: halved until they do."""
    room = MEMORY_SHARE * psutil.virtual_memory().available
    while size > 1 and (size * bytes_a_clip > room or size * seconds_a_clip > MOST_SECONDS):
        size //= 2
    return size


def answering(model, waveforms: np.ndarray) -> Callable[[], object]:
    """A call of the graph that exports hold, which waits for its answer."""
    import tensorflow as tf

    from keras_audio.serving.export import serving_function

    batch, answer = tf.constant(waveforms), serving_function(model)
    return lambda: answer(batch)["probabilities"].numpy()


def matrix_product() -> Callable[[], float]:
    """A measurement of the operations a second of a product of two matrices, the best of some."""
    import tensorflow as tf

    matrix = tf.random.normal((MATRIX, MATRIX))

    def measure() -> float:
        times = []
        for _ in range(8):
            started = time.perf_counter()
            tf.matmul(matrix, matrix).numpy()
            times.append(time.perf_counter() - started)
        return 2 * MATRIX**3 / min(times)

    return measure


def noise(size: int, shape: tuple[int, int]) -> np.ndarray:
    """Waveforms."""
    return np.random.default_rng(0).uniform(-0.5, 0.5, (size, *shape)).astype("float32")


# The command line. ------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    quick = "four networks, clips of a second, batches of 1 and 2, 2 rounds"
    parser = new_parser(__doc__, name="inference", repeats=3, quick=quick)
    names = "such as m3,erann_1_6; default all that are listed"
    parser.add_argument("--networks", type=_networks, default=list_models(), help=names)
    text = "clips at once; default 1,32"
    parser.add_argument("--batch-sizes", type=whole_numbers, default=[1, 32], help=text)
    parser.add_argument("--seconds", type=float, help="of a clip; default those of the papers")
    parser.add_argument("--threads", type=int, help="and cores; default all")
    small = {"networks": list(QUICK), "batch_sizes": [1, 2], "seconds": 1.0, "repeats": 2}
    options = parsed(parser, arguments, small, ["threads"])
    if options.seconds is not None and options.seconds <= 0:
        parser.error("expected --seconds above 0")
    return options


def _networks(text: str) -> list[str]:
    names = text.split(",")
    try:
        for name in names:
            model_info(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return names


if __name__ == "__main__":
    sys.exit(main())
