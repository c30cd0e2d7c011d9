"""The verb `compress`: prune a run in rounds, shrink and halve it, and measure every stage."""

import argparse
import pathlib
import sys
from dataclasses import fields

from keras_audio.cli_types import add_data_dir, count
from keras_audio.training import CompressionSettings

EXAMPLES = (
    "  keras-audio compress runs/binaural_waveforms/esc10-fold1-seed0\n"
    "  keras-audio compress RUN --rate 0.2 --until size=500KB\n"
    "  keras-audio compress RUN --rate 0.2 --until accuracy=0.873 --to RUN/small\n"
    "  keras-audio evaluate RUN/compressed\n"
    "  keras-audio export RUN/compressed --format litert --fp16"
)
DESCRIPTION = (
    "Prune the least convolution kernels of every layer, fine-tune, and again (Pajusco et al.\n"
    "2020, section 4.1). Then remove what is zero for real, round to 16 bits, write a LiteRT\n"
    "file, and measure every stage on the held-out clips: accuracy, bytes, time a clip.\n"
    "The folder made is a run of its own: evaluate, export and predict take it."
)


def add_compress(verb: argparse.ArgumentParser) -> None:
    """Add the options."""
    settings = CompressionSettings()
    verb.add_argument("run", help="the folder of a finished run")
    verb.add_argument(
        "--rate",
        type=float,
        default=settings.rate,
        metavar="R",
        help=f"share of a layer's kernels alive that a round prunes (default {settings.rate})",
    )
    verb.add_argument(
        "--until",
        default=settings.until,
        metavar="RULE",
        help="when to stop: size=500KB of 16-bit weights that are not zero, accuracy=0.873 at "
        f"least, drop=0.01 at most, on the validation clips (default {settings.until})",
    )
    verb.add_argument(
        "--classifier",
        action="store_true",
        help="prune the classifier too, as the report's Table 1 has it: classes lose their weights",
    )
    verb.add_argument(
        "--scales",
        action=argparse.BooleanOptionalAction,
        default=settings.scales,
        help="prune scales of batch norms beside the kernels, as the authors do (default)",
    )
    tune = verb.add_argument_group("fine-tuning of a round")
    tune.add_argument(
        "--learning-rate",
        type=float,
        default=settings.learning_rate,
        metavar="RATE",
        help=f"of Adam (default {settings.learning_rate})",
    )
    for name, what in (
        ("epochs", "passes over the training clips at most"),
        ("patience", "epochs without a better validation loss until a round ends"),
        ("max-rounds", "rounds at most"),
    ):
        usual = getattr(settings, name.replace("-", "_"))
        tune.add_argument(
            f"--{name}", type=count, default=usual, metavar="N", help=f"{what} (default {usual})"
        )
    tune.add_argument(
        "--deterministic",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="bit-equal results (default)",
    )
    tune.add_argument(
        "--smoke",
        action="store_true",
        help="one round of one epoch of two batches, and the rest, in RUN/smoke_compressed",
    )
    verb.add_argument("--to", metavar="DIR", help="the new folder (default: RUN/compressed)")
    verb.add_argument("--resume", action="store_true", help="go on with one that was begun")
    verb.add_argument("--force", action="store_true", help="delete the folder and begin anew")
    add_data_dir(verb)


def compress(options: argparse.Namespace) -> int:
    """Prune, shrink and halve a run."""
    from keras_audio.evaluation import measure_compression, stages_table
    from keras_audio.training import Stopped, compress_run

    asked = {field.name: getattr(options, field.name) for field in fields(CompressionSettings)}
    asked |= {"epochs": 1, "max_rounds": 1} if options.smoke else {}
    try:
        run = compress_run(
            options.run,
            CompressionSettings(**asked),
            to=options.to
            or (pathlib.Path(options.run, "smoke_compressed") if options.smoke else None),
            data_dir=options.data_dir,
            resume=options.resume,
            # A smoke test may replace an earlier one, never a folder that the user named.
            force=options.force or (options.smoke and options.to is None),
            max_steps=2 if options.smoke else None,
        )
    except Stopped as stopped:
        print(f"keras-audio: {stopped}", file=sys.stderr)
        return 128 + stopped.signal_number
    stages = measure_compression(run, data_dir=options.data_dir)
    print(stages_table(stages))
    answers = stages[-1].stage == "litert"
    verb = f"predict {run.path / 'litert'} FILE" if answers else f"export {run.path}"
    print(f"next: keras-audio {verb}")
    return 0
