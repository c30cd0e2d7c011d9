"""Clips a second of all that the residual-block paper needs: feed, train, predict.

The parts are measured in turn, once a round, so that a machine that is slow for a while is slow for
all of them; shown are medians over the rounds, with the least and the greatest. The input pipeline
alone has to feed at least 5 times what the training step takes. `residual_blocks.csv`, a row a
measurement, and `residual_blocks.md` are written, `residual_blocks_toy_sounds` without real sounds.

Examples:
  python benchmarks/residual_blocks.py
  python benchmarks/residual_blocks.py --dataset esc10 --source ESC-10-master
  python benchmarks/residual_blocks.py --dataset esc10 --data-dir data --batch-size 128
  python benchmarks/residual_blocks.py --quick --to quick-benchmarks
"""

import argparse
import contextlib
import dataclasses
import functools
import itertools
import multiprocessing
import os
import pathlib
import statistics
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Two processes share a GPU, and TensorFlow would give all its memory to the first.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

import numpy as np
from timing import TrainingStep, in_turn, rate, write_results

import data_prep
from keras_audio.recipes import ResidualBlocks

LEAST_RATIO = 5
STEP, FREE_STEP = "training step", "training step, --no-deterministic"
PIPELINES = {"standard": "pipeline alone, raw mean 0 std 1", "log_mel": "pipeline alone, log-mel"}

# In a process that trains: what it can measure, by name; each answers the clips that went through.
_measures: dict[str, Callable[[], int]] = {}


def main() -> int:
    """Measure, print, and write the files."""
    options = parse()
    try:
        with tempfile.TemporaryDirectory() as work:
            values, about = benchmark(options, pathlib.Path(work))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    # Toy figures do not take the place of those on real sounds.
    toy = "_toy_sounds" if options.dataset == "toy_sounds" else ""
    conclude(values, about, options.to / f"residual_blocks{toy}")
    return 0


def benchmark(options: argparse.Namespace, work: pathlib.Path) -> tuple[dict, str]:
    """Clips a second of each thing measured, a number a round; and a text on what it was."""
    data_dir = options.data_dir or work / "data"
    recipe = ResidualBlocks(dataset=options.dataset, block="rb4", batch_size=options.batch_size)
    if options.quick:
        recipe = dataclasses.replace(recipe, network="m3", duration=1.0)
    if options.data_dir is None:
        data_prep.prepare(
            recipe.dataset,
            source=options.source,
            sample_rate=recipe.sample_rate,
            data_dir=data_dir,
            progress=False,
        )
    rates: dict[str, Callable[[], float]] = {}
    with contextlib.ExitStack() as stack:
        # TensorFlow makes operations bit-equal for a whole process, so there are two.
        spawn = multiprocessing.get_context("spawn")
        processes = [stack.enter_context(ProcessPoolExecutor(1, spawn)) for _ in range(2)]
        for process, deterministic in zip(processes, (True, False), strict=True):
            names, about = process.submit(start, recipe, data_dir, work, deterministic).result()
            for name in names:
                rates[name] = lambda process=process, name=name: process.submit(run, name).result()
        values = in_turn(rates, options.repeats)
    return values, f"Medians of {options.repeats} rounds. {about}"


def run(name: str) -> float:
    """Clips a second of one measurement of this process."""
    return rate(_measures[name])


def start(
    recipe: ResidualBlocks, data_dir: pathlib.Path, work: pathlib.Path, deterministic: bool
) -> tuple[list[str], str]:
    """Make ready what this process is to measure; return the names, and a text on the data."""
    import keras
    import tensorflow as tf

    from keras_audio.data import TrainingBatches, open_records
    from keras_audio.serving import export_saved_model, load_classifier

    keras.utils.set_random_seed(recipe.seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    records = open_records(recipe.dataset, sample_rate=recipe.sample_rate, data_dir=data_dir)
    step = TrainingStep(recipe, records)

    def feed(batches: TrainingBatches, epochs: itertools.count) -> int:
        steps = batches.steps_per_pass
        passed = batches.steps(next(epochs) * steps, steps)
        return sum(len(targets) for _, targets in passed)

    def predict(model: Callable, sounds: np.ndarray, calls: int) -> int:
        for _ in range(calls):
            model(sounds)
        return calls * len(sounds)

    _measures[STEP if deterministic else FREE_STEP] = step
    if deterministic:
        for kind, name in PIPELINES.items():
            batches = step.batches
            if kind == "log_mel":
                variant = dataclasses.replace(recipe, network="m34_res", normalization=kind)
                batches = TrainingStep(variant, records).batches
            _measures[name] = functools.partial(feed, batches, itertools.count())
        about_labels = {"labels": records.labels, "sample_rate": recipe.sample_rate}
        exported = load_classifier(export_saved_model(step.full, work / "export", **about_labels))
        models = {"Keras model": step.full.predict_on_batch, "SavedModel": exported.predict_batch}
        samples = round(recipe.duration * recipe.sample_rate)
        sounds = np.random.default_rng(0).uniform(-1, 1, (32, samples, 1)).astype(np.float32)
        for (kind, model), (size, calls) in itertools.product(models.items(), [(1, 16), (32, 2)]):
            name = f"prediction, {kind}, batch {size}"
            _measures[name] = functools.partial(predict, model, sounds[:size], calls)
    for measure in _measures.values():
        measure()  # the first time builds graphs and fills caches
    clips = records.clips(records.folds)
    seconds = statistics.mean(clip.samples for clip in clips) / records.sample_rate
    return list(_measures), (
        f"{recipe.model_name}: {recipe.sample_rate} Hz, clips of {recipe.duration:g} s, batches of "
        f"{recipe.batch_size}. {recipe.dataset}: {len(clips)} clips of {seconds:.1f} s on average; "
        "the pipeline is timed over whole epochs, from the second on."
    )


def conclude(values: dict[str, list[float]], about: str, base: pathlib.Path) -> None:
    """Compare, and write the files."""
    # A ratio a round: both sides of it met the same noise.
    ratios = {
        f"{name} / {STEP}": np.divide(values[name], values[STEP]) for name in PIPELINES.values()
    }
    met = all(statistics.median(ratio) >= LEAST_RATIO for ratio in ratios.values())
    ratios[f"{STEP} / {FREE_STEP}"] = np.divide(values[STEP], values[FREE_STEP])
    answer = "met" if met else "NOT met"
    write_results(
        base,
        "Speed of the residual-block networks",
        about,
        {"clips/s": values, "ratio": ratios},
        [f"Each pipeline alone at least {LEAST_RATIO} times the training step: {answer}."],
    )


def parse() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="toy_sounds", help="default: toy_sounds, generated")
    parser.add_argument("--source", type=pathlib.Path, help="folder of its sounds, to prepare")
    parser.add_argument("--data-dir", type=pathlib.Path, help="records; default: prepared anew")
    parser.add_argument("--batch-size", type=int, default=32, help="default 32")
    parser.add_argument("--repeats", type=int, default=5, help="rounds; default 5")
    quick = "a small network, batches of 4, 2 rounds: to try the script"
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--to", type=pathlib.Path, default=pathlib.Path("results/benchmarks"))
    options = parser.parse_args()
    if options.quick:
        options.batch_size, options.repeats = 4, 2
    if options.repeats < 1:
        parser.error(f"expected --repeats of at least 1, not {options.repeats}")
    return options


if __name__ == "__main__":
    sys.exit(main())
