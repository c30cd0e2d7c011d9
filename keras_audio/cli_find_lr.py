"""`keras-audio find-lr`: the learning-rate range test of a recipe, and the setting that uses it."""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import shlex
import tempfile

from keras_audio.cli_recipe import asked_recipe
from keras_audio.cli_types import add_data_dir, add_dataset, add_recipe, add_settings, count, rate
from keras_audio.recipes import Recipe

EXAMPLES = """\
  keras-audio find-lr residual_blocks --dataset esc10 --set block=rb4
  keras-audio find-lr erann --dataset esc50 --set s_m=1 --steps 300 --end 1
  keras-audio find-lr progressive_resizing --dataset esc10 --stage 3   # its first at 96x214
  keras-audio find-lr --init-from runs/erann/esc50-fold1-seed0 --dataset mine --to mine_rates
"""
DESCRIPTION = """\
Train a recipe for some steps, each at a higher learning rate, until the loss diverges (Colangelo
et al. 2021, section 3). Writes range_test.csv and range_test.svg, and prints rates to train with:
 - steepest: where the averaged loss falls most for a given factor of the rate, by straight lines
   through a fifth of the steps each; careful
 - largest stable: up to it that loss falls without a break at least half as steeply; the paper's
   choice, "the largest value that achieves a stable reduction in loss"
 - tenth of least: a tenth of the rate at the least averaged loss; a rule of thumb, too high where
   the loss stays level for long
The weights are new or those of --init-from; they are not kept, and no run folder is made."""


def add_find_lr(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    # What `asked_recipe` asks for and this verb has not: records are prepared before.
    verb.set_defaults(rename=None)
    add_recipe(verb, "a stage after the first takes that too, where it fits")
    add_dataset(verb)
    add_settings(verb, "its fields: keras-audio train --help")
    verb.add_argument(
        "--stage",
        type=count,
        default=1,
        metavar="N",
        help="which stage of a recipe of several, from 1 (default 1)",
    )
    verb.add_argument(
        "--start", type=rate, default=1e-7, metavar="RATE", help="the first rate (default 1e-7)"
    )
    verb.add_argument(
        "--end", type=rate, default=10.0, metavar="RATE", help="the last rate (default 10)"
    )
    verb.add_argument(
        "--steps",
        type=count,
        default=100,
        metavar="N",
        help="batches from the first rate to the last (default 100)",
    )
    verb.add_argument(
        "--to",
        default="range_test",
        metavar="FOLDER",
        help="where it writes to (default: range_test)",
    )
    add_data_dir(verb)


def find_lr(options: argparse.Namespace) -> None:
    """Run the range test that the options ask for."""
    _check_folder(options.to)
    from keras_audio.schedules import RangeTest
    from keras_audio.training.range_test import find_learning_rate

    recipe = asked_recipe(options)
    found = find_learning_rate(
        recipe,
        RangeTest(options.start, options.end, options.steps),
        data_dir=options.data_dir,
        stage=options.stage,
        init_from=options.init_from,
    )
    plot = found.write(options.to)
    made = len(found.watch.losses)
    if found.diverged:
        print(
            f"the averaged loss diverged at a rate of {found.learning_rates[-1]:.2g}, in step "
            f"{made} of {options.steps}"
        )
    else:
        print(
            f"the loss did not diverge up to a rate of {found.learning_rates[-1]:.2g}: a higher "
            "--end may find a higher rate"
        )
    suggested = found.suggested
    if suggested is None:
        print("the loss did not fall anywhere: try a lower --start, or more --steps")
    else:
        print(f"steepest        {suggested.steepest:.2g}")
        print(f"largest stable  {suggested.stable:.2g}")
        print(f"tenth of least  {suggested.tenth:.2g}")
    print(f"plot: {plot}")
    if suggested is not None:
        print(f"next: {_next_command(options, recipe, suggested.stable)}")


def _check_folder(to: str) -> None:
    """Refuse, before the steps are made, a folder that cannot be written to; leaves no new one."""
    folder = pathlib.Path(to)
    new = [path for path in (folder, *folder.parents) if not os.path.isdir(path)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"Expected a folder to write to, got {error.strerror}. Received: --to {to}"
        ) from error
    finally:
        for path in new:
            with contextlib.suppress(OSError):
                path.rmdir()


def _next_command(options: argparse.Namespace, recipe: Recipe, learning_rate: float) -> str:
    """The training that was asked for, at another rate."""
    field, value = rate_setting(recipe, options.stage, learning_rate)
    words = ["keras-audio", "train", *([options.recipe] if options.recipe else [])]
    for name in ("init_from", "dataset", "fold", "seed"):
        if getattr(options, name) is not None:
            words += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    if options.data_dir != "data":
        words += ["--data-dir", options.data_dir]
    for setting in options.set:
        if setting.partition("=")[0] != field:
            words += ["--set", setting]
    return shlex.join([*words, "--set", f"{field}={value}"])


def rate_setting(recipe: Recipe, stage: int, learning_rate: float) -> tuple[str, str]:
    """The field and value, as of `--set`, by which a stage of a recipe trains at another rate.

    Example:
        >>> from keras_audio.recipes import ResidualBlocks
        >>> rate_setting(ResidualBlocks(), 1, 0.00123)
        ('learning_rate', '0.0012')
    """
    learning_rate = float(f"{learning_rate:.2g}")
    if "learning_rate" in recipe.field_types():
        return "learning_rate", repr(learning_rate)
    from keras_audio.recipes.stages import stages_text

    stages = list(recipe.plan)
    stages[stage - 1] = dataclasses.replace(stages[stage - 1], learning_rate=learning_rate)
    return "stages", stages_text(tuple(stages))
