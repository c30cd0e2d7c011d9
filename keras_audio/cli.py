"""The command line: parse, call, print. TensorFlow is imported by the verbs that need it."""

import argparse
import io
import json
import os
import pathlib
import sys
import textwrap
from collections.abc import Sequence

import keras_audio
from keras_audio.cli_parser import build_parser
from keras_audio.quiet import import_tensorflow
from keras_audio.recipes import recipe_class, with_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; the return value is the exit status.

    0: done. 1: done but for some files, which are listed. 2: wrong input, in one sentence.
    """
    options = build_parser().parse_args(arguments)
    try:
        if options.verb not in ("datasets", "demo"):
            import_tensorflow()
        return _VERBS[options.verb](options) or 0
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


_VERBS = {
    verb.__name__: verb
    for verb in (demo, datasets, prepare, models, train, evaluate, export, predict)
}


if __name__ == "__main__":
    sys.exit(main())
