"""`keras-audio card`: the model card of a run."""

import argparse
import json
import shlex

from keras_audio.cli_types import add_data_dir

EXAMPLES = """\
  keras-audio card runs/residual_blocks/esc10-fold1-seed0
  keras-audio card runs/residual_blocks/esc10-fold1-seed0 --no-speed
  keras-audio card runs/erann/esc50-fold1-seed0 --to runs/erann/esc50-fold1-seed0/README.md
  keras-audio card runs/two_path/esc10-fold1-seed0/compressed --json
"""
DESCRIPTION = """\
Write model_card.md from the run folder: what it is, how to use it, data, folds and labels, input,
metrics as `evaluate` measured them, sizes, speed, limits, licence and citation, with the metadata
that the Hugging Face hub reads. What the run does not know is said to be unknown. A clip is timed
on one thread of the CPU, and the time is kept in speed.json of the run."""


def add_card(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    verb.add_argument("run", help="a run folder")
    verb.add_argument(
        "--to", metavar="FILE", help="the Markdown file (default: RUN/model_card.md); is replaced"
    )
    verb.add_argument(
        "--no-speed",
        dest="speed",
        action="store_false",
        help="time nothing: tell the time that is kept in the run, if there is one",
    )
    verb.add_argument("--json", action="store_true", help="print the facts as JSON")
    add_data_dir(verb)


def card(options: argparse.Namespace) -> None:
    """Write the model card, and say what is missing in it."""
    from keras_audio.evaluation import write_model_card

    path, facts = write_model_card(
        options.run, to=options.to, data_dir=options.data_dir, speed=options.speed
    )
    if options.json:
        print(json.dumps(facts, indent=2))
        return
    if not facts["metrics"] and facts["data"]["parts"]:
        print(f"without metrics: first keras-audio evaluate {shlex.quote(options.run)}")
    if not facts["speed"]:
        print("without speed: nothing is kept in the run of the model that it has now")
    print(f"card: {path}")
