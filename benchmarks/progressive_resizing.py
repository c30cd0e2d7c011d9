"""What training on small images saves: steps at three resolutions, and the plans of Table 1.

All is measured in one process and in turn, once a round, so that a machine that is slow for a while
is slow for all of it; shown are medians over the rounds, with the least and the greatest, and of
ratios those of a round. A training step is the network's alone, with the recipe's optimizer: the
recipe makes images once a stage and keeps them, and what that takes stands beside.

A plan costs the sum over its stages of epochs times the time of a clip at that resolution. It is
compared with the baseline, and with as many epochs at full resolution, by times measured and by
multiply-accumulates.

Examples:
  python benchmarks/progressive_resizing.py
  python benchmarks/progressive_resizing.py --network resnet10 --num-filters 16
  python benchmarks/progressive_resizing.py --stages 64x128:10:5e-3,128x300:5:5e-3
  python benchmarks/progressive_resizing.py --quick --to quick-benchmarks
"""

import argparse
import dataclasses
import functools
import os
import pathlib
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from timing import in_turn, rate, repeated, write_results

from keras_audio.recipes import ProgressiveResizing

SECONDS = 5  # Of a clip of ESC-50.
METHODS = ("mel", "bilinear", "combined")


def main() -> int:
    """Measure, print, and write the files."""
    options = parse()
    rates, macs, about = prepare(options)
    values = in_turn(rates, options.repeats)
    ratios, conclusions = compare(values, macs, plans(options.recipe))
    groups = {"clips/s": values, "ratio of times": ratios}
    title = "What progressive resizing saves in training"
    write_results(options.to / options.name, title, about, groups, conclusions)
    return 0


def plans(recipe: ProgressiveResizing) -> dict[str, list[tuple[str, int]]]:
    """Resolution and epochs of the stages, by plan: the baseline's and the recipe's own."""
    baseline = dataclasses.replace(recipe, method="baseline", stages=None)
    return {
        name: [(stage.resolution, stage.epochs) for stage in found.plan]
        for name, found in {"baseline": baseline, "progressive": recipe}.items()
    }


def prepare(
    options: argparse.Namespace,
) -> tuple[dict[str, Callable[[], float]], dict[str, int], str]:
    """Make ready what is measured, clips a second by name; multiply-accumulates; what it is.

    Returns:
        What to measure, the multiply-accumulates of a clip by resolution, and a text.
    """
    import keras

    from keras_audio.models.macs import count_macs

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    recipe, batch = options.recipe, options.batch_size
    y = np.eye(options.classes, dtype="float32")[rng.integers(options.classes, size=batch)]
    waveforms = rng.uniform(-1, 1, (batch, SECONDS * recipe.sample_rate, 1)).astype("float32")
    steps, images, macs = {}, {}, {}
    for stage in resolutions(recipe):
        (last,) = stage.plan
        shape = (last.mels, last.frames, 1)
        model = network(recipe, options.classes)
        model.compile(stage.build_optimizer(steps_per_pass=100), "categorical_crossentropy")
        x = rng.uniform(size=(batch, *shape)).astype("float32")
        call = functools.partial(model.train_on_batch, x, y)
        steps[step_name(last.resolution)] = repeated(call, batch)
        macs[last.resolution] = count_macs(model, shape)
        # At full resolution the methods are one.
        small = last.resolution != f"{recipe.num_mels}x{recipe.frames}"
        for method in METHODS if small else ("baseline",):
            make = functools.partial(stage.build_front_end(method).predict_on_batch, waveforms)
            of = f", {method}" if small else ""
            images[f"making images, {last.resolution}{of}"] = repeated(make, batch)
    parameters = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    about = (
        f"Medians of {options.repeats} rounds. {recipe.network}, num_filters={recipe.num_filters}, "
        f"{options.classes} classes, {parameters:,} trainable parameters, batches of {batch}, "
        "float32. Multiply-accumulates of a clip: "
        + ", ".join(f"{count:,} at {name}" for name, count in macs.items())
        + f". Images are made of clips of {SECONDS} s, once a stage; a training step is measured "
        "without."
    )
    return {n: functools.partial(rate, m) for n, m in (steps | images).items()}, macs, about


def resolutions(recipe: ProgressiveResizing) -> list[ProgressiveResizing]:
    """A recipe of one stage for each resolution of the plan, full resolution last."""
    found = {stage.resolution: stage for stage in recipe.stage_recipes()}
    full = dataclasses.replace(
        recipe, stages=f"{recipe.num_mels}x{recipe.frames}:1:{recipe.plan[-1].learning_rate}"
    )
    return [*(r for name, r in found.items() if name != full.resolution), full]


def network(recipe: ProgressiveResizing, classes: int):
    """The network of a recipe, on images of any size."""
    import keras_audio

    return keras_audio.create_model(
        recipe.network,
        classes,
        input="features",
        num_filters=recipe.num_filters,
        head=recipe.head,
        stem_channels=3 if recipe.stem == "repeat" else None,
        batch_norm_momentum=recipe.batch_norm_momentum,
    )


def step_name(resolution: str) -> str:
    """What the step at a resolution is called."""
    return f"training step, {resolution}"


def compare(
    values: Mapping[str, Sequence[float]],
    macs: Mapping[str, int],
    found: Mapping[str, Sequence[tuple[str, int]]],
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Ratios of times, a number a round, and sentences.

    Args:
        values: Clips a second by name, a number a round.
        macs: Multiply-accumulates of a clip by resolution, full resolution last.
        found: The plans.
    """
    seconds = {name: 1 / np.asarray(values[step_name(name)]) for name in macs}
    full = list(macs)[-1]
    ratios, sentences = {}, []
    for name in list(macs)[:-1]:
        title = f"training step, {name} / {full}"
        ratios[title] = seconds[name] / seconds[full]
        sentences.append(
            f"{title}: {_spread(ratios[title])} of the time, {macs[name] / macs[full]:.3f} of the "
            "multiply-accumulates."
        )
    plan, baseline = found["progressive"], found["baseline"]
    epochs = sum(number for _, number in plan)
    text = " + ".join(f"{number} at {name}" for name, number in plan)
    against = {
        f"the baseline of {sum(number for _, number in baseline)}": baseline,
        f"{epochs} epochs at {full}": [(full, epochs)],
    }
    for name, other in against.items():
        title = f"plan of {epochs} epochs / {name}"
        ratios[title] = _cost(plan, seconds) / _cost(other, seconds)
        counted = _cost(plan, macs) / _cost(other, macs)
        saved = 100 * (1 - statistics.median(ratios[title]))
        change = f"{abs(saved):.0f} % {'saved' if saved >= 0 else 'more'}"
        sentences.append(
            f"{title}: {_spread(ratios[title])} of the time of all training steps, {counted:.3f} "
            f"of the multiply-accumulates: {change}."
        )
    # What is made once beside what is done every epoch.
    slowest = min(statistics.median(v) for n, v in values.items() if n.startswith("making images"))
    share = len(plan) / slowest / statistics.median(_cost(plan, seconds))
    sentences.append(
        f"Making images anew in each of the {len(plan)} stages, by the slowest method: {share:.4f} "
        "of the time of the training steps."
    )
    lines = "\n".join(f"- {sentence}" for sentence in sentences)
    return ratios, [f"The plan: {text}.", lines]


def _cost(plan: Sequence[tuple[str, int]], of_clip: Mapping[str, np.ndarray | int]):
    """What a clip of the training set costs over all epochs."""
    return sum(epochs * of_clip[resolution] for resolution, epochs in plan)


def _spread(ratio: np.ndarray) -> str:
    return f"{statistics.median(ratio):.3f} ({min(ratio):.3f} to {max(ratio):.3f})"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line; `recipe` is that of the progressive plan."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="resnet34", help="default resnet34, the paper's")
    parser.add_argument("--num-filters", type=int, default=64, help="default 64, the paper's")
    parser.add_argument("--stages", help="the plan; default Table 1's of the progressive methods")
    parser.add_argument("--classes", type=int, default=50, help="default 50, of ESC-50")
    parser.add_argument("--batch-size", type=int, default=16, help="default 16")
    parser.add_argument("--repeats", type=int, default=5, help="rounds; default 5")
    quick = "a narrow network, small batches, 2 rounds: to try the script"
    parser.add_argument("--quick", action="store_true", help=quick)
    name = "progressive_resizing"
    parser.add_argument("--name", default=name, help=f"of the files; default {name}")
    parser.add_argument("--to", type=pathlib.Path, default=pathlib.Path("results/benchmarks"))
    options = parser.parse_args(arguments)
    if options.quick:
        options.network, options.num_filters, options.batch_size = "resnet10", 4, 4
        options.repeats, options.name = 2, f"{name}_quick"
    for field in ("classes", "batch_size", "repeats"):
        if (value := getattr(options, field)) < 1:
            parser.error(f"expected --{field.replace('_', '-')} of at least 1, not {value}")
    try:
        options.recipe = ProgressiveResizing(
            network=options.network, num_filters=options.num_filters, stages=options.stages
        )
    except ValueError as error:
        parser.error(str(error))
    return options


if __name__ == "__main__":
    sys.exit(main())
