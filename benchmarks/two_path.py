"""The two-path network against its original structure, its front end, and one path for two.

All is measured in one process and in turn, once a round, so that a machine that is slow for a while
is slow for all of it; shown are medians over the rounds, with the least and the greatest, and of
ratios those of a round. The original structure is that of the report's code: Lambda layers cut the
mel bins and make the zeros that are concatenated to a shortcut. It has the same weights, and before
anything is measured it has to give the same probabilities. Our network is built twice, to show what
the same network takes of its own time.

Examples:
  python benchmarks/two_path.py
  python benchmarks/two_path.py --num-filters 8 --name two_path_8
  python benchmarks/two_path.py --quick --to quick-benchmarks
"""

import argparse
import functools
import os
import pathlib
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from peers.keras_originals import original_two_path
from timing import TrainingStep, in_turn, rate, repeated, write_results

from keras_audio.recipes import TwoPath

CLASSES, CHANNELS, BINS = 10, 1, 128
OURS, AGAIN = "two_path_resnet", "two_path_resnet, built again"
ORIGINAL, ONE = "the original structure", "one path, as many parameters"
STEP, PREDICTION = "training step", "prediction"
FRONT_END = "front end alone, stereo of 10 s"
WHOLE_STEP = "training step from waveforms, stereo of 10 s"


def main() -> int:
    """Measure, print, and write the files."""
    options = parse()
    with tempfile.TemporaryDirectory() as work:
        rates, about = prepare(options, pathlib.Path(work))
        values = in_turn(rates, options.repeats)
    ratios, conclusions = compare(values)
    groups = {"clips/s": values, "ratio of times": ratios}
    title = "Speed of the two-path network"
    write_results(options.to / options.name, title, about, groups, conclusions)
    return 0


def prepare(
    options: argparse.Namespace, work: pathlib.Path
) -> tuple[dict[str, Callable[[], float]], str]:
    """Make ready what is measured, clips a second by name; and a text on what it is."""
    import keras

    from keras_audio.models.two_path import equal_width

    keras.utils.set_random_seed(0)
    two, one = options.num_filters, equal_width(options.num_filters)
    models = {
        OURS: our_structure(num_filters=two),
        ORIGINAL: original_two_path(two, CLASSES, 3 * CHANNELS, BINS),
        AGAIN: our_structure(num_filters=two),
        ONE: our_structure(num_filters=one, paths=1),
    }
    check_equal(models[OURS], models[ORIGINAL])
    rng = np.random.default_rng(0)
    shape = (options.batch_size, BINS, options.frames, 3 * CHANNELS)
    x = rng.normal(size=shape).astype("float32")
    y = np.eye(CLASSES, dtype="float32")[rng.integers(CLASSES, size=options.batch_size)]
    measures: dict[str, Callable[[], int]] = {}
    for name, model in models.items():
        model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), "categorical_crossentropy")
        calls = {
            STEP: functools.partial(model.train_on_batch, x, y),
            PREDICTION: functools.partial(model.predict_on_batch, x),
        }
        for kind, call in calls.items():
            measures[f"{name}, {kind}"] = repeated(call, options.batch_size)
    measures |= from_waveforms(options, work)
    counts = {
        name: sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
        for name, model in models.items()
    }
    about = (
        f"Medians of {options.repeats} rounds. Batches of {options.batch_size}, features "
        f"{shape[1:]}, {CLASSES} classes, float32. Two paths: num_filters={two}, "
        f"{counts[OURS]:,} trainable parameters; one: num_filters={one}, {counts[ONE]:,}. "
        "The original structure gives the same probabilities with the same weights. From "
        "waveforms: the recipe's step on stereo clips at 48000 Hz, with padding left to the input "
        "pipeline, log-mels, deltas, random crop to 400 frames and mixup."
    )
    return {name: functools.partial(rate, measure) for name, measure in measures.items()}, about


def our_structure(**arguments):
    """The network of the package, on features."""
    from keras_audio.models import create_model

    arguments |= {"input": "features", "channels": CHANNELS, "kernel_regularizer": 1e-3}
    return create_model("two_path_resnet", CLASSES, **arguments)


def check_equal(ours, theirs) -> None:
    """Give both the same weights, statistics of their own included, and compare what they answer.

    Raises:
        ValueError: If they are not the same network.
    """
    rng = np.random.default_rng(1)
    for weight in ours.non_trainable_weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    theirs.set_weights(ours.get_weights())
    x = rng.normal(size=(2, BINS, 40, 3 * CHANNELS)).astype("float32")
    difference = np.abs(np.subtract(ours(x), theirs(x))).max()
    if not difference < 1e-5:
        raise ValueError(f"Expected the same probabilities from both. Received: {difference=}")


def from_waveforms(options: argparse.Namespace, work: pathlib.Path) -> dict[str, Callable[[], int]]:
    """The front end alone, and the recipe's training step with it."""
    import data_prep
    from keras_audio.data import open_records
    from keras_audio.models import cut_model

    recipe = TwoPath(
        dataset="toy_sounds", num_filters=options.num_filters, batch_size=options.batch_size
    )
    where = {
        "sample_rate": recipe.sample_rate,
        "channels": recipe.channels,
        "data_dir": work / "data",
    }
    data_prep.prepare(recipe.dataset, progress=False, **where)
    step = TrainingStep(recipe, open_records(recipe.dataset, **where))
    step()  # builds the graph
    _, front_end, _ = cut_model(step.full, recipe.clip_boundary, "deltas")
    shape = (options.batch_size, 10 * recipe.sample_rate, recipe.channels)
    clips = np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")
    alone = functools.partial(front_end.predict_on_batch, clips)
    return {WHOLE_STEP: step, FRONT_END: repeated(alone, options.batch_size)}


def compare(values: dict) -> tuple[dict, list[str]]:
    """Ratios of times, a number a round, since both sides met the same noise; and sentences."""

    def times(name: str, other: str) -> np.ndarray:
        return np.divide(values[other], values[name])

    ratios, sentences = {}, []
    for kind in (STEP, PREDICTION):
        pairs = [(OURS, ORIGINAL), (AGAIN, OURS), (ONE, OURS)]
        compared = [times(f"{name}, {kind}", f"{other}, {kind}") for name, other in pairs]
        titles = [f"{name} / {other}, {kind}" for name, other in pairs]
        ratios |= zip(titles, compared, strict=True)
        spreads = [_spread(ratio) for ratio in compared]
        sentences += [
            f"{titles[0]}: {spreads[0]} of the time, where the same network built again takes "
            f"{spreads[1]}.",
            f"{titles[2]}: {spreads[2]} of the time.",
        ]
    title = "share of the front end in the training step"
    ratios[title] = times(FRONT_END, WHOLE_STEP)
    sentences.append(f"{title}: {_spread(ratios[title])}.")
    return ratios, ["\n".join(f"- {sentence}" for sentence in sentences)]


def _spread(ratio: np.ndarray) -> str:
    return f"{statistics.median(ratio):.3f} ({min(ratio):.3f} to {max(ratio):.3f})"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num-filters", type=int, default=24, help="default 24, the report's")
    parser.add_argument("--batch-size", type=int, default=32, help="default 32")
    parser.add_argument("--frames", type=int, default=400, help="of a clip; default 400")
    parser.add_argument("--repeats", type=int, default=5, help="rounds; default 5")
    quick = "narrow networks, small batches, few frames, 2 rounds: to try the script"
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--name", default="two_path", help="of the files; default two_path")
    parser.add_argument("--to", type=pathlib.Path, default=pathlib.Path("results/benchmarks"))
    options = parser.parse_args(arguments)
    if options.quick:
        options.num_filters, options.batch_size, options.frames = 2, 2, 40
        options.repeats, options.name = 2, "two_path_quick"
    for name in ("num_filters", "batch_size", "frames", "repeats"):
        if (value := getattr(options, name)) < 1:
            parser.error(f"expected --{name.replace('_', '-')} of at least 1, not {value}")
    return options


if __name__ == "__main__":
    sys.exit(main())
