"""The verbs and options of the command line, with the examples by which `--help` teaches."""

import argparse
import shutil

import keras_audio
from keras_audio.recipes import describe_recipes, list_recipes

_EXAMPLES = """\
  keras-audio demo                                    see all of it on generated sounds
  keras-audio prepare esc10 --source ESC-10 --sample-rate 8000
  keras-audio train residual_blocks --dataset esc10 --fold 1 --set block=rb4
  keras-audio evaluate runs/residual_blocks/esc10-fold1-seed0
  keras-audio predict runs/residual_blocks/esc10-fold1-seed0 dog.wav

`keras-audio VERB --help` has more of them.
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all verbs; the one chosen is `verb` of what it parses."""
    parser = argparse.ArgumentParser(
        prog="keras-audio",
        description=keras_audio.__doc__.splitlines()[0],
        epilog=f"examples:\n{_EXAMPLES}",
        formatter_class=_formatter,
    )
    parser.add_argument("--version", action="version", version=keras_audio.__version__)
    verbs = parser.add_subparsers(metavar="VERB", dest="verb", required=True)
    for add in (_demo, _datasets, _prepare, _models, _train, _evaluate, _export, _predict):
        add(verbs)
    return parser


def _formatter(prog: str) -> argparse.HelpFormatter:
    width = min(100, shutil.get_terminal_size().columns)
    return argparse.RawDescriptionHelpFormatter(prog, width=width, max_help_position=28)


def _verb(
    verbs, name: str, summary: str, examples: str, description: str | None = None
) -> argparse.ArgumentParser:
    return verbs.add_parser(
        name,
        help=summary,
        description=description or f"{summary}.",
        epilog=f"examples:\n{examples}",
        formatter_class=_formatter,
    )


def _demo(verbs) -> None:
    verb = _verb(
        verbs,
        "demo",
        "The whole way, on generated sounds or your own",
        "  keras-audio demo\n  keras-audio demo --sounds my_sounds --to demo_mine",
    )
    verb.add_argument("--sounds", metavar="FOLDER", help="your own sounds, a subfolder a class")
    verb.add_argument("--to", default="demo", metavar="FOLDER", help="where all of it goes")


def _datasets(verbs) -> None:
    verb = _verb(
        verbs,
        "datasets",
        "List the data sets that `prepare` knows",
        "  keras-audio datasets\n  keras-audio datasets --json",
    )
    verb.add_argument("--json", action="store_true", help="print JSON")


def _prepare(verbs) -> None:
    verb = _verb(
        verbs,
        "prepare",
        "Decode a data set once into records",
        "  keras-audio prepare toy_sounds\n"
        "  keras-audio prepare esc10 --source ESC-50-master --sample-rate 8000\n"
        "  keras-audio prepare urbansound8k --source UrbanSound8K --sample-rate 8000\n"
        "  keras-audio prepare audio_folder --source my_sounds --name mine --sample-rate 8000",
        "Decode, mix down and resample every clip of a data set once, and write TFDS records.",
    )
    verb.add_argument("name", help="a data set of `keras-audio datasets`")
    verb.add_argument(
        "--source", metavar="DIR", help="where the data set lies (audio_folder: or a CSV)"
    )
    verb.add_argument(
        "--sample-rate", type=int, metavar="HZ", help="of the records (default: the data set's)"
    )
    verb.add_argument("--channels", type=int, default=1, metavar="N", help="1 mono, 2 stereo")
    verb.add_argument("--name", dest="rename", metavar="NAME", help="name of an audio_folder set")
    verb.add_argument("--allow-missing", action="store_true", help="go on without bad files")
    verb.add_argument("--force", action="store_true", help="prepare again")
    verb.add_argument("--jobs", type=int, metavar="N", help="processes (default: all cores)")
    _add_data_dir(verb)


def _models(verbs) -> None:
    verb = _verb(
        verbs,
        "models",
        "List the registered networks",
        "  keras-audio models\n  keras-audio models 'm34*'",
    )
    verb.add_argument("pattern", nargs="?", default="*", help="such as 'm34*'")


def _train(verbs) -> None:
    verb = _verb(
        verbs,
        "train",
        "Train a recipe",
        "  keras-audio train residual_blocks --dataset esc10 --fold 1 --set block=rb4\n"
        "  keras-audio train residual_blocks --dataset esc10 --fold 1 --set block=rb4 --resume\n"
        "  keras-audio train residual_blocks --dataset toy_sounds --fold 1 --smoke\n"
        "  keras-audio train residual_blocks --set normalization=log_mel --strategy mirrored\n"
        "  keras-audio train residual_blocks --dataset mine --fold 1 --set batch_size=16 \\\n"
        "      --set batch_norm_momentum=0.9 --set early_stopping_patience=12  # small sets\n"
        f"\n{describe_recipes()}",
        "Train a recipe on all folds but one. Ctrl-C or SIGTERM ends it at the next step; the same "
        "command\nwith --resume goes on from there, bit for bit.",
    )
    verb.add_argument("recipe", help=f"one of {', '.join(list_recipes())}")
    verb.add_argument("--dataset", metavar="NAME", help="a prepared data set")
    verb.add_argument("--fold", type=int, metavar="K", help="the fold to hold out")
    verb.add_argument("--seed", type=int, metavar="S", help="draws weights and order (default 0)")
    verb.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="vary the recipe (below)"
    )
    verb.add_argument("--runs", default="runs", metavar="DIR", help="where run folders are made")
    verb.add_argument("--run", metavar="DIR", help="the run folder itself, in place of --runs")
    verb.add_argument("--resume", action="store_true", help="go on with a run that was begun")
    verb.add_argument("--force", action="store_true", help="delete the run and begin anew")
    verb.add_argument(
        "--smoke", action="store_true", help="two epochs of two small steps, and all that follows"
    )
    verb.add_argument(
        "--strategy", default="single", choices=["single", "mirrored"], help="mirrored: all GPUs"
    )
    verb.add_argument(
        "--deterministic",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="bit-equal results (default)",
    )
    _add_data_dir(verb)


def _evaluate(verbs) -> None:
    verb = _verb(
        verbs,
        "evaluate",
        "Measure a run on its held-out fold",
        "  keras-audio evaluate runs/residual_blocks/esc10-fold1-seed0",
        "Measure a run on its held-out fold; writes metrics.json, predictions.csv, report.html.",
    )
    verb.add_argument("run", help="a run folder")
    verb.add_argument("--json", action="store_true", help="print JSON")
    _add_data_dir(verb)


def _export(verbs) -> None:
    verb = _verb(
        verbs,
        "export",
        "Export a run as a SavedModel",
        "  keras-audio export runs/residual_blocks/esc10-fold1-seed0 --to dogs",
        "Write a SavedModel from waveform to named probabilities, load it in a fresh process that "
        "has TensorFlow only,\nand compare.",
    )
    verb.add_argument("run", help="a run folder")
    verb.add_argument("--to", metavar="DIR", help="the new folder (default: RUN/export)")
    verb.add_argument("--force", action="store_true", help="replace the folder")


def _predict(verbs) -> None:
    verb = _verb(
        verbs,
        "predict",
        "Name the sounds in files",
        "  keras-audio predict runs/residual_blocks/esc10-fold1-seed0 dog.wav\n"
        "  keras-audio predict dogs recordings/ --top 1 --csv named.csv\n"
        "  keras-audio predict dogs dog.ogg --json",
        "Name the sounds in files of any rate, mono or stereo; a folder means all sounds below.\n\n"
        "A sound longer than the training clips is heard whole, window by window, each normalised\n"
        "by itself, and the probabilities are averaged. `evaluate` cuts a clip to the training\n"
        "length: its first seconds, normalised as a whole. So the two can differ for longer sounds;"
        "\nfor sounds up to that length they are equal.",
    )
    verb.add_argument("model", help="a run folder or an exported SavedModel")
    verb.add_argument("files", nargs="+", help="sound files or folders")
    verb.add_argument(
        "--top", type=_count, default=3, metavar="K", help="classes shown, 1 or more (default 3)"
    )
    verb.add_argument("--csv", metavar="FILE", help="also write all probabilities")
    verb.add_argument(
        "--json", action="store_true", help="print a line of JSON a file, bad ones too"
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, got {text!r}")
    return int(text)


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", default="data", metavar="DIR", help="where records are kept")
