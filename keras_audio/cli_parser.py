"""The verbs and options of the command line, with the examples by which `--help` teaches."""

import argparse
import shutil

import keras_audio
from keras_audio import (
    cli_card,
    cli_check,
    cli_compress,
    cli_data_service,
    cli_fetch,
    cli_find_lr,
    cli_import,
    cli_parity,
    cli_prepare,
)
from keras_audio.cli_types import (
    add_data_dir,
    add_dataset,
    add_recipe,
    add_settings,
    count,
    seconds,
    size,
    unknown_weight,
)
from keras_audio.recipes import describe_recipes

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
    before = (_demo, _datasets, _fetch, _prepare, _check, _models, _find_lr, _originals)
    for add in (*before, _train, _evaluate, _card, _compress, _export, _predict, _data_service):
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
    summary = "List the data sets that `prepare` knows"
    verb = _verb(verbs, "datasets", summary, cli_prepare.DATASETS_EXAMPLES)
    cli_prepare.add_datasets(verb)


def _prepare(verbs) -> None:
    summary = "Decode a data set once into records"
    examples, description = cli_prepare.PREPARE_EXAMPLES, cli_prepare.PREPARE_DESCRIPTION
    cli_prepare.add_prepare(_verb(verbs, "prepare", summary, examples, description))


def _check(verbs) -> None:
    summary = "Find leaks between folds, and clips that cannot be used"
    verb = _verb(verbs, "check", summary, cli_check.EXAMPLES, cli_check.DESCRIPTION)
    cli_check.add_check(verb)


def _models(verbs) -> None:
    verb = _verb(
        verbs,
        "models",
        "List the registered networks",
        "  keras-audio models\n  keras-audio models 'm34*'\n"
        "  keras-audio models erann_2_1 --macs 5  # of ERANN, any width can be built",
    )
    verb.add_argument("pattern", nargs="?", default="*", help="such as 'm34*'")
    verb.add_argument(
        "--macs",
        type=seconds,
        metavar="SECONDS",
        help="also what a sound of this length costs",
    )


def _fetch(verbs) -> None:
    summary = "Download a data set, check it and unpack it"
    verb = _verb(verbs, "fetch", summary, cli_fetch.EXAMPLES, cli_fetch.DESCRIPTION)
    cli_fetch.add_fetch(verb)


def _data_service(verbs) -> None:
    summary = "Read clips for trainings on other machines"
    examples, description = cli_data_service.EXAMPLES, cli_data_service.DESCRIPTION
    cli_data_service.add_data_service(_verb(verbs, "data-service", summary, examples, description))


def _find_lr(verbs) -> None:
    summary = "Find the learning rate of a recipe by a range test"
    verb = _verb(verbs, "find-lr", summary, cli_find_lr.EXAMPLES, cli_find_lr.DESCRIPTION)
    cli_find_lr.add_find_lr(verb)


def _originals(verbs) -> None:
    for name, module in (("import", cli_import), ("parity", cli_parity)):
        verb = _verb(verbs, name, module.SUMMARY, module.EXAMPLES, module.DESCRIPTION)
        module.add_options(verb)


_TRAIN_EXAMPLES = """\
examples:
  keras-audio train residual_blocks --dataset esc10 --fold 1 --set block=rb4
  keras-audio train erann --dataset esc50 --fold 1 --set s_m=1 --set width=3
  keras-audio train erann --dataset esc50 --fold 1 --smoke               # does all of it run here?
  keras-audio train two_path --dataset toy_scenes/1a --set num_filters=4 --set epochs=6
  keras-audio train residual_blocks --set normalization=log_mel --strategy mirrored   # all GPUs

stopped? The same command goes on:
  keras-audio train erann --dataset esc50 --fold 1 --set s_m=1 --set width=3 --resume

from a folder of your own sounds, a subfolder a class, to a model that names them:
  keras-audio train --init-from runs/erann/esc50-fold1-seed0 \\
      --dataset audio_folder --source my_sounds --export my_model
  keras-audio predict my_model recordings/
It starts from the weights of that run, all but the last layer, so the classes may be others. RECIPE
may be left out: it is the one that trains such networks, with its paper's values for fine-tuning.
The sounds of a second folder need a name: --name more_sounds.

the same from nothing, with settings for a few hundred clips:
  keras-audio train residual_blocks --dataset audio_folder --source my_sounds --export my_model \\
      --set batch_size=16 --set batch_norm_momentum=0.9 --set early_stopping_patience=12

Fields that --set leaves out have the paper's values for the data set, and for fine-tuning where
there is --init-from. Those below are for the first data set of each paper, from nothing.
"""


def _train(verbs) -> None:
    verb = verbs.add_parser(
        "train",
        help="Train a recipe, from nothing or from a trained network",
        description="Train a recipe on all folds but one. Ctrl-C or SIGTERM ends it at the next "
        "step; the same command\nwith --resume goes on from there, bit for bit.",
        epilog=f"{_TRAIN_EXAMPLES}\n{describe_recipes()}",
        formatter_class=_formatter,
    )
    add_recipe(verb, "with progressive_resizing also of a PyTorch state dict, resnet34.pth")
    data = verb.add_argument_group("what to train on")
    add_dataset(data)
    data.add_argument(
        "--source", metavar="DIR", help="where it lies: prepare it first, unless that is done"
    )
    data.add_argument("--name", dest="rename", metavar="NAME", help="name of an audio_folder set")
    data.add_argument("--allow-missing", action="store_true", help="go on without bad files")
    add_data_dir(data)

    how = verb.add_argument_group("how")
    add_settings(how, "below")
    how.add_argument(
        "--smoke", action="store_true", help="two rounds of two small steps, and all that follows"
    )
    how.add_argument(
        "--strategy",
        default="single",
        choices=["single", "mirrored", "multiworker"],
        help="mirrored: all GPUs of this machine; multiworker: of all processes that the "
        "environment variable TF_CONFIG names, each started with the same command",
    )
    how.add_argument(
        "--memory",
        type=size,
        metavar="SIZE",
        help="what the clips may take, such as 2GB; more are streamed from disk (default: a "
        "quarter of what there is)",
    )
    how.add_argument(
        "--data-service",
        metavar="ADDRESS",
        help="let the workers of `keras-audio data-service` read, grpc://HOST:PORT",
    )
    how.add_argument(
        "--deterministic",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="bit-equal results (default)",
    )

    run = verb.add_argument_group("where it goes")
    run.add_argument("--runs", default="runs", metavar="DIR", help="where run folders are made")
    run.add_argument("--run", metavar="DIR", help="the run folder itself, in place of --runs")
    run.add_argument("--resume", action="store_true", help="go on with a run that was begun")
    run.add_argument(
        "--force", action="store_true", help="delete the run (and prepare --source) anew"
    )
    run.add_argument(
        "--export",
        nargs="?",
        const="",
        metavar="DIR",
        help="then evaluate, and export a SavedModel (default: RUN/export)",
    )


def _evaluate(verbs) -> None:
    verb = _verb(
        verbs,
        "evaluate",
        "Measure a run, or the mean of several, on the held-out fold",
        "  keras-audio evaluate runs/residual_blocks/esc10-fold1-seed0\n"
        "  keras-audio evaluate runs/erann/esc50-fold1-seed0 runs/erann/esc50-fold1-seed1\n"
        "  keras-audio evaluate runs/two_path/esc10-fold1-seed0/snapshots --to mean_of_snapshots\n"
        "  keras-audio evaluate runs/two_path/tau_urban_2019_1c-fold1-seed0 --unknown-weight tune",
        "Measure a run on its held-out fold; writes metrics.json, predictions.csv, report.html.\n"
        "Of several runs, or snapshots of runs, the mean of their probabilities is measured.",
    )
    verb.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="a run folder; or RUN/snapshots/epoch-0126.keras, or RUN/snapshots for all of them",
    )
    verb.add_argument(
        "--to",
        metavar="DIR",
        help="where it writes to (default: RUN; for another weight `unknown_weight_W` in it; of "
        "several, or of snapshots, `ensemble` in the first)",
    )
    verb.add_argument(
        "--unknown-weight",
        type=unknown_weight,
        metavar="W",
        help="multiply the probability of an open set's unknown class by W (default: the "
        "recipe's; needed where the recipes of several differ); `tune` finds the best W for these "
        "clips and says what it is worth on others",
    )
    verb.add_argument("--json", action="store_true", help="print JSON")
    add_data_dir(verb)


def _card(verbs) -> None:
    summary = "Write the model card of a run"
    cli_card.add_card(_verb(verbs, "card", summary, cli_card.EXAMPLES, cli_card.DESCRIPTION))


def _compress(verbs) -> None:
    summary = "Prune a run in rounds, remove what is zero, and halve the rest"
    verb = _verb(verbs, "compress", summary, cli_compress.EXAMPLES, cli_compress.DESCRIPTION)
    cli_compress.add_compress(verb)


def _export(verbs) -> None:
    verb = _verb(
        verbs,
        "export",
        "Export a run as a SavedModel, or as a LiteRT file for phones and boards",
        "  keras-audio export runs/residual_blocks/esc10-fold1-seed0 --to dogs\n"
        "  keras-audio export runs/binaural_waveforms/esc10-fold1-seed0 --format litert --fp16",
        "Write a network from waveform to named probabilities, load it in a fresh process that\n"
        "has TensorFlow only, or a LiteRT interpreter, and compare. For a LiteRT file bytes and\n"
        "time for a clip on one thread are printed, and clips of the held-out fold are compared\n"
        "too, one of each class, where their records are found.",
    )
    verb.add_argument("run", help="a run folder")
    verb.add_argument(
        "--format",
        choices=("saved_model", "litert"),
        default="saved_model",
        help="saved_model (default): any batch and length, needs TensorFlow; litert: one clip",
    )
    verb.add_argument("--fp16", action="store_true", help="weights of 16 bits (litert)")
    verb.add_argument(
        "--to", metavar="DIR", help="the new folder (default: RUN/export, or RUN/export_litert)"
    )
    verb.add_argument("--force", action="store_true", help="replace the folder")
    add_data_dir(verb)


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
    verb.add_argument("model", help="a run folder, or what was exported of one")
    verb.add_argument("files", nargs="+", help="sound files or folders")
    verb.add_argument(
        "--top", type=count, default=3, metavar="K", help="classes shown, 1 or more (default 3)"
    )
    verb.add_argument("--csv", metavar="FILE", help="also write all probabilities")
    verb.add_argument(
        "--json", action="store_true", help="print a line of JSON a file, bad ones too"
    )
