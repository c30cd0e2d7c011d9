"""The command line: parse, call, print. TensorFlow is imported by the verbs that need it."""

import argparse
import io
import json
import os
import pathlib
import shutil
import sys
import textwrap
from collections.abc import Sequence

import keras_audio
from keras_audio.quiet import import_tensorflow
from keras_audio.recipes import describe_recipes, list_recipes, recipe_class, with_settings

EXAMPLES = """\
examples:
  keras-audio demo                                    see all of it on generated sounds
  keras-audio prepare esc10 --source ESC-10 --sample-rate 8000
  keras-audio train residual_blocks --dataset esc10 --fold 1 --set block=rb4
  keras-audio evaluate runs/residual_blocks/esc10-fold1-seed0
  keras-audio predict runs/residual_blocks/esc10-fold1-seed0 dog.wav

`keras-audio VERB --help` has more of them.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; the return value is the exit status.

    0: done. 1: done but for some files, which are listed. 2: wrong input, in one sentence.
    """
    options = build_parser().parse_args(arguments)
    try:
        if options.verb not in (datasets, demo):
            import_tensorflow()
        return options.verb(options) or 0
    except BrokenPipeError:  # `keras-audio predict ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError) as error:
        print(f"keras-audio: {error}", file=sys.stderr)
        return 2


def datasets(options: argparse.Namespace) -> None:
    """List the data sets that `prepare` knows."""
    import data_prep

    cards = data_prep.cards()
    if options.json:
        import dataclasses

        print(json.dumps([dataclasses.asdict(card) for card in cards], indent=2))
        return
    for card in cards:
        folds = f"{card.folds} folds" if card.folds else "folds made for you"
        size = f"{card.clips} clips, {card.classes} classes" if card.clips else "any sounds"
        print(f"{card.name:14} {card.title}: {size}, {folds}")
        facts = {"licence": card.licence, "get it": card.url, "layout": card.layout}
        for name, fact in facts.items():
            if fact:
                print(
                    textwrap.fill(
                        fact,
                        100,
                        initial_indent=f"{'':15}{name}: ",
                        subsequent_indent=" " * 25,
                        break_long_words=False,
                    )
                )
        print()


def prepare(options: argparse.Namespace) -> int:
    """Decode a data set once into records."""
    import data_prep

    result = data_prep.prepare(
        options.name,
        source=options.source,
        sample_rate=options.sample_rate,
        channels=options.channels,
        data_dir=options.data_dir,
        dataset_name=options.rename,
        allow_missing=options.allow_missing,
        force=options.force,
        jobs=options.jobs,
    )
    if not result.reused:  # otherwise `prepare` has said so, as it names what is missing
        print(f"{result.clips} clips in {result.path}")
    return 1 if result.missing else 0


def models(options: argparse.Namespace) -> None:
    """List the registered networks."""
    for name in keras_audio.list_models(options.pattern):
        info = keras_audio.model_info(name)
        print(f"{name:22} {info.sample_rate} Hz, {info.channels} channel(s), {info.paper}")


def train(options: argparse.Namespace) -> int:
    """Train a recipe."""
    cls = recipe_class(options.recipe)
    named = {name: getattr(options, name) for name in ("dataset", "fold", "seed")}
    recipe = cls(**{name: value for name, value in named.items() if value is not None})
    for setting in options.set:
        field = setting.partition("=")[0]
        if named.get(field) is not None:
            raise ValueError(f"Expected {field} once. Received: --{field} and --set {setting}")
    recipe = with_settings(recipe, options.set)
    runs_dir = options.runs
    if options.smoke:
        recipe = with_settings(recipe, ["epochs=2", f"batch_size={min(recipe.batch_size, 8)}"])
        runs_dir = pathlib.Path(options.runs) / "smoke"

    from keras_audio.training import Stopped
    from keras_audio.training import train as train_recipe

    try:
        run = train_recipe(
            recipe,
            data_dir=options.data_dir,
            runs_dir=runs_dir,
            run=options.run,
            resume=options.resume,
            # A smoke test may replace an earlier one, never a run that the user named.
            force=options.force or (options.smoke and options.run is None),
            deterministic=options.deterministic,
            strategy=options.strategy,
            max_steps=2 if options.smoke else None,
        )
    except Stopped as stopped:
        print(f"keras-audio: {stopped}", file=sys.stderr)
        return 128 + stopped.signal_number
    done = run.finished
    print(
        f"best {done['monitor']} {done['best_value']:.4f} in epoch {done['best_epoch']} of "
        f"{done['epochs']}, {done['seconds']:.0f} s: {run.path}"
    )
    if options.smoke:
        _smoke_the_rest(run, options.data_dir)
    else:
        print(f"next: keras-audio evaluate {run.path}")
    return 0


def _smoke_the_rest(run, data_dir: str) -> None:
    """What follows a training, on the little that a smoke test trained."""
    from keras_audio.evaluation import evaluate_run
    from keras_audio.serving import export_saved_model, load_classifier

    evaluate_run(run, data_dir=data_dir, progress=False)
    export = export_saved_model(
        run.model(),
        run.path / "export",
        labels=run.labels,
        sample_rate=run.sample_rate,
        overwrite=True,
    )
    silence = [[0.0] * run.channels] * run.sample_rate
    probabilities = load_classifier(export).predict(silence)
    print(f"smoke test passed: {len(probabilities)} classes from {export}")


def evaluate(options: argparse.Namespace) -> None:
    """Measure a run on its held-out fold."""
    from keras_audio.evaluation import evaluate_run
    from keras_audio.training import RunFolder

    run = RunFolder(options.run)
    metrics = evaluate_run(run, data_dir=options.data_dir)
    if options.json:
        print(json.dumps(metrics, indent=2))
        return
    for name in ("accuracy", "balanced_accuracy", "mean_average_precision", "clips"):
        value = metrics[name]
        print(f"{name:24} {value:.4f}" if isinstance(value, float) else f"{name:24} {value}")
    print(f"report: {run.path / 'report.html'}")


def export(options: argparse.Namespace) -> None:
    """Export a run as a SavedModel."""
    from keras_audio.serving import export_saved_model
    from keras_audio.training import RunFolder

    run = RunFolder(options.run)
    target = options.to or run.path / "export"
    path = export_saved_model(
        run.model(),
        target,
        labels=run.labels,
        sample_rate=run.sample_rate,
        overwrite=options.force,
    )
    print(f"exported, reloaded in a fresh process and compared: {path}")


def predict(options: argparse.Namespace) -> int:
    """Name the sounds in files."""
    from keras_audio.serving import (
        find_audio_files,
        load_classifier,
        predict_files,
        to_json,
        top_classes,
        write_csv,
    )

    files = find_audio_files(options.files)
    classifier = load_classifier(options.model)
    failed = 0
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may be any bytes

    def printed():
        nonlocal failed
        for prediction in predict_files(classifier, files):
            if prediction.error:
                failed += 1
                print(f"keras-audio: {prediction.error}", file=sys.stderr)
            if options.json:
                print(to_json(prediction, classifier.labels, options.top), flush=True)
            elif not prediction.error:
                best = top_classes(prediction, classifier.labels, options.top)
                named = "  ".join(f"{label} {probability:.3f}" for label, probability in best)
                print(f"{prediction.path}  {named}", flush=True)
            yield prediction

    if options.csv is not None:
        write_csv(options.csv, printed(), classifier.labels)
    else:
        for _ in printed():
            pass
    if failed:
        print(f"keras-audio: {failed} of {len(files)} files could not be read", file=sys.stderr)
    return 1 if failed else 0


def demo(options: argparse.Namespace) -> int:
    """The whole way, on generated sounds or your own."""
    from keras_audio.demo import run_demo

    return run_demo(options.to, sounds=options.sounds)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all verbs."""
    width = min(100, shutil.get_terminal_size().columns)

    def formatter(prog: str) -> argparse.HelpFormatter:
        return argparse.RawDescriptionHelpFormatter(prog, width=width, max_help_position=28)

    parser = argparse.ArgumentParser(
        prog="keras-audio",
        description=keras_audio.__doc__.splitlines()[0],
        epilog=EXAMPLES,
        formatter_class=formatter,
    )
    parser.add_argument("--version", action="version", version=keras_audio.__version__)
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def add(function, examples: str, description: str | None = None) -> argparse.ArgumentParser:
        verb = verbs.add_parser(
            function.__name__,
            help=function.__doc__.splitlines()[0].rstrip("."),
            description=description or function.__doc__,
            epilog=f"examples:\n{examples}",
            formatter_class=formatter,
        )
        verb.set_defaults(verb=function)
        return verb

    verb = add(demo, "  keras-audio demo\n  keras-audio demo --sounds my_sounds --to demo_mine")
    verb.add_argument("--sounds", metavar="FOLDER", help="your own sounds, a subfolder a class")
    verb.add_argument("--to", default="demo", metavar="FOLDER", help="where all of it goes")

    verb = add(datasets, "  keras-audio datasets\n  keras-audio datasets --json")
    verb.add_argument("--json", action="store_true", help="print JSON")

    verb = add(
        prepare,
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

    verb = add(models, "  keras-audio models\n  keras-audio models 'm34*'")
    verb.add_argument("pattern", nargs="?", default="*", help="such as 'm34*'")

    verb = add(
        train,
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

    verb = add(
        evaluate,
        "  keras-audio evaluate runs/residual_blocks/esc10-fold1-seed0",
        "Measure a run on its held-out fold; writes metrics.json, predictions.csv, report.html.",
    )
    verb.add_argument("run", help="a run folder")
    verb.add_argument("--json", action="store_true", help="print JSON")
    _add_data_dir(verb)

    verb = add(
        export,
        "  keras-audio export runs/residual_blocks/esc10-fold1-seed0 --to dogs",
        "Write a SavedModel from waveform to named probabilities, load it in a fresh process that "
        "has TensorFlow only,\nand compare.",
    )
    verb.add_argument("run", help="a run folder")
    verb.add_argument("--to", metavar="DIR", help="the new folder (default: RUN/export)")
    verb.add_argument("--force", action="store_true", help="replace the folder")

    verb = add(
        predict,
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
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, got {text!r}")
    return int(text)


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", default="data", metavar="DIR", help="where records are kept")


if __name__ == "__main__":
    sys.exit(main())
