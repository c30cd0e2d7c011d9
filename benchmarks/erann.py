"""Clips a second through ERANN: whole networks, the front end alone, a training step.

Each network runs in a process of its own, and all are measured in turn, once a round, so that a
machine that is slow for a while is slow for all of them; shown are medians over the rounds, with
the least and the greatest. A batch is one call of the model on so many clips: where the largest
network has no memory for it, the batch is halved for all, and the files say so.

Examples:
  python benchmarks/erann.py
  python benchmarks/erann.py --systems 0-1,1-1,2-1,3-1 --name erann_speed_w1
  python benchmarks/erann.py --seconds 5 --classes 50 --batch-sizes 32 --no-training
  python benchmarks/erann.py --quick --to quick-benchmarks
"""

import argparse
import contextlib
import functools
import itertools
import multiprocessing
import os
import pathlib
import re
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Processes share a GPU, and TensorFlow would give all its memory to the first.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

import numpy as np
import psutil
from options import whole_numbers
from timing import TrainingStep, in_turn, rate, repeated, write_results

from keras_audio.evaluation import published_results
from keras_audio.recipes import ERANN

SYSTEMS = ((0, 6), (1, 6), (2, 6), (3, 1))
SAMPLE_RATE = 44100
FRONT_END_SHARE = 1 / 3  # at most, of the fastest network's time
MEMORY_SHARE = 0.7  # of what is free, that a batch may take

# In a process that measures: its models and what it can measure, by name; each measurement answers
# the clips that went through.
_models: dict = {}
_measures: dict[str, Callable[[], int]] = {}


def main() -> int:
    """Measure, print, and write the files."""
    options = parse()
    with tempfile.TemporaryDirectory() as work:
        groups, conclusions, about = benchmark(options, pathlib.Path(work))
    write_results(options.to / options.name, "Speed of ERANN", about, groups, conclusions)
    return 0


def benchmark(options: argparse.Namespace, work: pathlib.Path) -> tuple[dict, list[str], str]:
    """What was measured, a number a round, by unit and name; what follows; what it was."""
    names = [model_name(system) for system in options.systems]
    with contextlib.ExitStack() as stack:
        spawn = multiprocessing.get_context("spawn")

        def process() -> ProcessPoolExecutor:
            return stack.enter_context(ProcessPoolExecutor(1, spawn))

        processes = {name: process() for name in names}
        macs, needed = {}, 0
        for name, pool in processes.items():
            macs[name], bytes_a_clip = pool.submit(
                start, name, options.classes, options.seconds, name == names[-1]
            ).result()
            needed = max(needed, bytes_a_clip)
        sizes = {size: fitting(size, needed) for size in options.batch_sizes}
        rates: dict[str, Callable[[], float]] = {}
        for pool in processes.values():
            for measure in pool.submit(
                warm_up, options.seconds, sorted(set(sizes.values()))
            ).result():
                rates[measure] = functools.partial(_remote, pool, measure)
        if options.training:
            pool = process()
            measure = pool.submit(start_training, options.systems[-1], options.quick, work).result()
            rates[measure] = functools.partial(_remote, pool, measure)
        values = in_turn(rates, options.repeats)
    ratios, conclusions = compare(options.systems, sizes.values(), values, macs)
    about = (
        f"Medians of {options.repeats} rounds. Clips of {options.seconds:g} s of noise at "
        f"{SAMPLE_RATE} Hz, {options.classes} classes, float32; `predict_on_batch` of the model "
        "from waveform to probabilities."
    )
    for size, fitted in sizes.items():
        if fitted < size:
            about += (
                f" Batches of {size} clips found too little memory (the largest network takes "
                f"{needed / 2**30:.2g} GiB a clip): measured are batches of {fitted}."
            )
    counted = {name: [count / 1e9] for name, count in macs.items()}
    groups = {"clips/s": values, "ratio": ratios, "GMACs a clip": counted}
    return groups, conclusions, about


def model_name(system: tuple[int, int]) -> str:
    """The registered name of a system (s_m, w)."""
    return "erann_{}_{}".format(*system)


def fitting(size: int, bytes_a_clip: float) -> int:
    """The batch of at most `size` clips that the free memory holds: halved until it does."""
    room = MEMORY_SHARE * psutil.virtual_memory().available
    while size > 1 and size * bytes_a_clip > room:
        size //= 2
    return size


def compare(systems, sizes, values: dict, macs: dict) -> tuple[dict, list[str]]:
    """Ratios a round, and sentences on them with what the paper measured."""
    published = {
        (row["row"], row["metric"]): row["value"]
        for row in published_results("verbitskiy_2022")
        if row["table"] == "Table 4" and row["source"] == "paper"
    }
    ratios, sentences = {}, []
    for size, (s_m, width) in itertools.product(sorted(set(sizes)), systems):
        name, slowest = model_name((s_m, width)), model_name((0, width))
        if s_m == 0 or slowest not in macs:
            continue
        title = f"{name} / {slowest}, batch {size}"
        ratios[title] = _ratio(values, f"{name}, batch {size}", f"{slowest}, batch {size}")
        metric = f"clips_per_second_batch_{size}"
        theirs = published.get((name, metric)), published.get((slowest, metric))
        measured = f", {theirs[0] / theirs[1]:.2f} on the paper's V100" if all(theirs) else ""
        sentences.append(
            f"{title}: {statistics.median(ratios[title]):.2f} here{measured}, "
            f"{macs[slowest] / macs[name]:.2f} by multiply-accumulates."
        )
    for size in sorted(set(sizes)):
        name = model_name(systems[-1])
        # The time of the front end over that of the whole.
        title = f"{name}, share of the front end, batch {size}"
        whole, front_end = f"{name}, batch {size}", f"{name}, front end alone, batch {size}"
        ratios[title] = _ratio(values, whole, front_end)
        share = statistics.median(ratios[title])
        answer = "met" if share <= FRONT_END_SHARE else "NOT met"
        sentences.append(f"{title}: {share:.2f} of its time; at most a third: {answer}.")
    return ratios, ["\n".join(f"- {sentence}" for sentence in sentences)]


def _ratio(values: dict, above: str, below: str) -> np.ndarray:
    """A ratio a round: both sides of it met the same noise."""
    return np.divide(values[above], values[below])


def _remote(pool: ProcessPoolExecutor, name: str) -> float:
    return pool.submit(run, name).result()


# In the processes. ------------------------------------------------------------------------------


def run(name: str) -> float:
    """Clips a second of one measurement of this process."""
    return rate(_measures[name])


def start(name: str, classes: int, seconds: float, front_end: bool) -> tuple[int, float]:
    """Build a network, with its front end alone if asked; its MACs and bytes of memory a clip."""
    import tensorflow as tf

    import keras_audio
    from keras_audio.models import cut_model
    from keras_audio.models.macs import count_macs

    full = _models[name] = keras_audio.create_model(name, classes)
    if front_end:
        _models[f"{name}, front end alone"], _ = cut_model(full, "log_mel")
    full.predict_on_batch(_clips(1, seconds))
    before = _peak_bytes()
    full.predict_on_batch(_clips(4, seconds))
    on_cpu = not tf.config.list_physical_devices("GPU")
    samples = round(seconds * SAMPLE_RATE)
    return count_macs(full, (samples, 1)), (_peak_bytes() - before) / 3 if on_cpu else 0


def warm_up(seconds: float, sizes: list[int]) -> list[str]:
    """Call this process's models with each size of batch; the names of what can be measured."""
    for size, (name, model) in itertools.product(sizes, _models.items()):
        predict = functools.partial(model.predict_on_batch, _clips(size, seconds))
        _measures[f"{name}, batch {size}"] = repeated(predict, size)
    return list(_measures)


def start_training(system: tuple[int, int], quick: bool, work: pathlib.Path) -> str:
    """Make a training step ready, as the paper trains ESC-50; the name of the measurement."""
    import keras

    import data_prep
    from keras_audio.data import open_records

    size, crop = (4, 1.0) if quick else (32, 4.0)
    s_m, width = system
    recipe = ERANN.for_dataset(
        "toy_sounds", s_m=s_m, width=width, batch_size=size, crop_duration=crop
    )
    where = {"sample_rate": recipe.sample_rate, "data_dir": work / "data"}
    data_prep.prepare(recipe.dataset, progress=False, **where)
    records = open_records(recipe.dataset, **where)
    keras.utils.set_random_seed(recipe.seed)
    step = TrainingStep(recipe, records)
    step()  # builds the graph
    name = f"{recipe.model_name}, training step, batch {size} of {crop:g} s"
    _measures[name] = step
    return name


def _clips(size: int, seconds: float) -> np.ndarray:
    samples = round(seconds * SAMPLE_RATE)
    return np.random.default_rng(0).uniform(-1, 1, (size, samples, 1)).astype(np.float32)


def _peak_bytes() -> int:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# The command line. ------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--systems",
        type=_systems,
        default=list(SYSTEMS),
        help="s_m-w, such as 0-6,1-6 (default 0-6,1-6,2-6,3-1); the last is asked for its front "
        "end and its training step",
    )
    parser.add_argument("--batch-sizes", type=whole_numbers, default=[1, 32], help="default 1,32")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a clip; default 10")
    parser.add_argument("--classes", type=int, default=527, help="default 527, AudioSet's")
    parser.add_argument("--repeats", type=int, default=5, help="rounds; default 5")
    parser.add_argument("--training", action=argparse.BooleanOptionalAction, default=True)
    quick = "narrow networks, short clips, 2 rounds: to try the script"
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--name", default="erann_speed", help="of the files; default erann_speed")
    parser.add_argument("--to", type=pathlib.Path, default=pathlib.Path("results/benchmarks"))
    options = parser.parse_args(arguments)
    if options.quick:
        options.systems, options.batch_sizes = [(0, 1), (3, 1)], [1, 2]
        options.seconds, options.repeats, options.name = 1.0, 2, "erann_quick"
    if options.repeats < 1 or options.seconds <= 0 or options.classes < 1:
        parser.error("expected --repeats and --classes of at least 1, and --seconds above 0")
    return options


def _systems(text: str) -> list[tuple[int, int]]:
    found = [re.fullmatch(r"([0-3])-([1-9]\d*)", name) for name in text.split(",")]
    if not all(found):
        raise argparse.ArgumentTypeError(f"systems such as 0-6,1-6, not {text!r}")
    return [(int(match[1]), int(match[2])) for match in found]


if __name__ == "__main__":
    sys.exit(main())
