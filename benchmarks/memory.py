"""The most memory of preparing, training and predicting, of every recipe; and what it depends on.

Every measurement is a fresh process. Each recipe prepares generated sounds of its own clip length,
trains two rounds of a step at its own batch size, and predicts what it prepared. Then one small
network hears a folder of 100 files and one of 10,000, and files of ten minutes and of three hours:
what is in memory is to be the same.

Examples:
  python benchmarks/memory.py
  python benchmarks/memory.py --recipes erann two_path --repeats 3
  python benchmarks/memory.py --quick --to quick-benchmarks
"""

import argparse
import dataclasses
import functools
import os
import pathlib
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence

import numpy as np
import soundfile
from options import new_parser, parsed
from prediction_inputs import CLASSES, export, write_classes, write_sounds
from processes import CLI, alone, peak_memory, peak_of
from targets import Target
from timing import in_turn, over, write_results

from keras_audio.recipes import Recipe, list_recipes, recipe_class

NETWORK = "m5"
ROUNDS, STEPS = 2, 1
# Format, sample rate and subtype of the long files.
LONG_FORMS = (("flac", 44100, "PCM_16"), ("wav", 8000, "PCM_16"))


def main() -> int:
    """Measure, print, and write the files."""
    options = parse()
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        work = pathlib.Path(work)
        recipes = {}
        for name in options.recipes:
            recipes |= of_recipe(name, work / name, options.batch_size)
        values = in_turn(recipes, options.repeats)
        constant, pairs = of_many_and_long(work, options)
        values |= in_turn(constant, options.repeats)
    base = alone(base_memory)
    targets = [
        Target(f"{above}, over {below}", over(values, above, below), at_most=1.1)
        for above, below in pairs
    ]
    groups = {"MB at most": {"TensorFlow and Keras, nothing else": [base]} | values}
    batches = "its own batch size" if options.batch_size is None else f"{options.batch_size} clips"
    about = (
        "Fresh processes; of preparing the sum over its processes, each of which counts the "
        f"libraries they share. Sounds of a recipe's clip length, a little more than {batches}, "
        f"kept in memory as the defaults have it; {ROUNDS} rounds of {STEPS} step a stage. Many "
        f"and long files: {NETWORK}, exported, {os.cpu_count()} cores."
    )
    conclusions = [
        f"{above} takes {difference:+.0f} MB against {below}."
        for above, below in pairs
        for difference in [statistics.median(values[above]) - statistics.median(values[below])]
    ]
    title = "Memory"
    write_results(options.to / options.name, title, about, groups, conclusions, targets)
    return 0


def of_recipe(
    name: str, work: pathlib.Path, batch_size: int | None
) -> dict[str, Callable[[], float]]:
    """Make the sounds of a recipe; its measurements, which have to run in their order."""
    recipe = small(name, batch_size)
    work.mkdir()
    alone(write_classes, work / "sounds", 5 * recipe.batch_size // 4 + CLASSES, recipe.duration)
    form = recipe.records_form
    prepare = [*CLI, "prepare", "audio_folder", "--source", work / "sounds", "--force"]
    prepare += ["--data-dir", work / "data", "--sample-rate", form["sample_rate"]]
    prepare += ["--channels", form["channels"], "--resampling", form["resampling"]]
    return {
        f"{name}, prepare": functools.partial(peak_of, prepare),
        f"{name}, train": functools.partial(alone, trained, name, batch_size, work),
        f"{name}, predict": functools.partial(
            peak_of, [*CLI, "predict", work / "run", work / "sounds"]
        ),
    }


def small(name: str, batch_size: int | None) -> Recipe:
    """A recipe as its paper has it, for two rounds of a set of sounds of ours."""
    recipe = dataclasses.replace(recipe_class(name)(), dataset="audio_folder", fold=1)
    return dataclasses.replace(recipe.smoke(), batch_size=batch_size or recipe.batch_size)


def trained(name: str, batch_size: int | None, work: pathlib.Path) -> float:
    """Train a few steps, and give the memory of this process."""
    from keras_audio.training import train

    train(
        small(name, batch_size),
        data_dir=work / "data",
        run=work / "run",
        force=True,
        max_steps=STEPS,
        progress=False,
    )
    return peak_memory()


def of_many_and_long(
    work: pathlib.Path, options: argparse.Namespace
) -> tuple[dict[str, Callable[[], float]], list[tuple[str, str]]]:
    """Measurements of predictions by name; and which is to take no more than which."""
    model = alone(export, NETWORK, work, 10.0)
    asked: dict[str, pathlib.Path] = {}
    pairs = []
    few, many = options.files
    folder = work / "short"
    folder.mkdir()
    short = alone(write_sounds, folder, 20, 1.0)
    names = [f"predict {count:,} files" for count in (few, many)]
    for name, count in zip(names, (few, many), strict=True):
        asked[name] = work / f"{count}_files"
        asked[name].mkdir()
        for number in range(count):
            os.link(short[number % len(short)], asked[name] / f"{number:06}.wav")
    pairs.append((names[1], names[0]))
    brief, long = options.minutes
    for suffix, rate, subtype in LONG_FORMS:
        kind = f"{suffix.upper()}, {rate} Hz"
        names = [f"predict a file of {minutes:g} minutes ({kind})" for minutes in (brief, long)]
        for name, minutes in zip(names, (brief, long), strict=True):
            asked[name] = work / f"{minutes:g}_minutes_{rate}.{suffix}"
            write_long(asked[name], minutes, rate, subtype)
        pairs.append((names[1], names[0]))
    measures = {
        name: functools.partial(peak_of, [*CLI, "predict", model, path])
        for name, path in asked.items()
    }
    return measures, pairs


def write_long(path: pathlib.Path, minutes: float, rate: int, subtype: str) -> None:
    """Write a long file of noise, ten seconds again and again, at another level each time."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 10 * rate).astype(np.float32)
    with soundfile.SoundFile(path, "w", rate, 1, subtype) as file:
        for number in range(round(minutes * 6)):
            file.write(noise * (0.1 + number % 10 / 10))


def base_memory() -> float:
    """What a process takes that has done nothing but imports."""
    import keras
    import tensorflow as tf

    keras.ops.sum(tf.zeros((2, 2)))
    return peak_memory()


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    quick = "a recipe with small batches, few files, short ones"
    parser = new_parser(__doc__, name="memory", repeats=1, quick=quick)
    known = list_recipes()
    parser.add_argument("--recipes", nargs="*", choices=known, default=known, metavar="NAME")
    parser.add_argument("--batch-size", type=int, help="default: each recipe's own")
    parser.add_argument(
        "--files", type=int, nargs=2, default=(100, 10_000), metavar=("FEW", "MANY")
    )
    parser.add_argument(
        "--minutes", type=float, nargs=2, default=(10, 180), metavar=("SHORT", "LONG")
    )
    parser.add_argument("--work", type=pathlib.Path, help="where to put files; default: /tmp")
    small = {"recipes": ["residual_blocks"], "batch_size": 16}
    small |= {"files": (40, 200), "minutes": (6, 12)}
    options = parsed(parser, arguments, small, ["batch_size"])
    for name, (least, most) in (("files", options.files), ("minutes", options.minutes)):
        if not 0 < least < most:
            parser.error(f"expected --{name} of two numbers that grow, not {least:g} {most:g}")
    return options


if __name__ == "__main__":
    sys.exit(main())
