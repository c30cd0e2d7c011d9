"""The command line: parse, call, print. TensorFlow is imported by the verbs that need it."""

import argparse
import io
import json
import math
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras_audio
from keras_audio.cli_card import card
from keras_audio.cli_check import check
from keras_audio.cli_compress import compress
from keras_audio.cli_data_service import data_service
from keras_audio.cli_fetch import fetch
from keras_audio.cli_find_lr import find_lr
from keras_audio.cli_import import import_
from keras_audio.cli_litert import export_run_to_litert
from keras_audio.cli_parity import parity
from keras_audio.cli_parser import build_parser
from keras_audio.cli_prepare import datasets, prepare
from keras_audio.cli_recipe import asked_recipe
from keras_audio.quiet import import_tensorflow
from keras_audio.recipes import Recipe

if TYPE_CHECKING:
    from keras_audio.training import RunFolder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; the return value is the exit status.

    0: done. 1: done but for some files, which are listed. 2: wrong input, in one sentence. 75:
    another worker of a training is gone; to be started again with --resume.
    """
    options = build_parser().parse_args(arguments)
    try:
        if options.verb not in ("datasets", "demo", "fetch"):
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


def models(options: argparse.Namespace) -> None:
    """List the registered networks."""
    # A name that is not listed may still be one: those of a family without end.
    names = keras_audio.list_models(options.pattern) or [options.pattern]
    for name in names:
        info = keras_audio.model_info(name)
        print(f"{name:22} {info.sample_rate} Hz, {info.channels} channel(s), {info.paper}")
        if options.macs is not None:
            print(f"{'':22} {_cost(name, info.sample_rate, options.macs)}", flush=True)
    if any(name.startswith("erann_") for name in names):
        print(
            "note: erann_S_W is found for S from 0 to 3 and any width W from 1, such as "
            "erann_2_1; listed are the paper's",
            file=sys.stderr,
        )


def _cost(name: str, sample_rate: int, seconds: float) -> str:
    from keras_audio.models.macs import count_macs

    model = keras_audio.create_model(name, num_classes=10)
    parameters = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    macs = count_macs(model, (round(seconds * sample_rate), model.input_shape[-1]))
    return (
        f"{parameters:,} parameters for 10 classes, {macs / 1e6:,.0f} million multiply-accumulates "
        f"for {seconds:g} s"
    )


def train(options: argparse.Namespace) -> int:
    """Train a recipe."""
    recipe = asked_recipe(options)
    export_to = None if options.smoke else _free_for_export(options)
    missing = _prepare_source(options, recipe)
    runs_dir = options.runs
    if options.smoke:
        recipe = recipe.smoke()
        runs_dir = pathlib.Path(options.runs) / "smoke"

    from keras_audio.training import Stopped
    from keras_audio.training import train as train_recipe
    from keras_audio.training.workers import WorkerLost, wait_for_all

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
            init_from=options.init_from,
            memory=options.memory,
            service=options.data_service,
        )
        if run is not None:  # of several workers this is the first
            _after_training(run, options, export_to)
        wait_for_all(options.strategy)
    except Stopped as stopped:
        print(f"keras-audio: {stopped}", file=sys.stderr)
        return 128 + stopped.signal_number
    except WorkerLost as lost:
        print(f"keras-audio: {lost}", file=sys.stderr)
        return os.EX_TEMPFAIL
    return 1 if missing else 0


def _after_training(
    run: "RunFolder", options: argparse.Namespace, export_to: pathlib.Path | None
) -> None:
    """Say how it ended, and do what was asked for next."""
    done = run.finished
    if run.recipe.counts_iterations:
        best = f"after iteration {done['best_iteration']} of {done['iterations']}"
    else:
        best = f"in epoch {done['best_epoch']} of {done['epochs']}"
    if run.recipe.keeps_last:
        best += " (kept are the weights of the last)"
    print(
        f"best {done['monitor']} {done['best_value']:.4f} {best}, {done['seconds']:.0f} s: "
        f"{run.path}"
    )
    if options.smoke:
        _smoke_the_rest(run, options.data_dir)
    elif options.export is None:
        print(f"next: keras-audio evaluate {run.path}")
    else:
        from keras_audio.evaluation import evaluate_run

        _print_metrics(evaluate_run(run, data_dir=options.data_dir), run.path)
        path = _export_run(
            run,
            export_to or run.path / "export",
            data_dir=options.data_dir,
            overwrite=export_to is None or options.force or options.resume,
        )
        print(f"next: keras-audio predict {path} FILE")


def _prepare_source(options: argparse.Namespace, recipe: Recipe) -> tuple[str, ...]:
    """Prepare the records of `--source` as the recipe wants them; gives the files left out."""
    if options.source is not None and options.strategy == "multiworker":
        raise ValueError(
            "Expected records prepared beforehand, by `keras-audio prepare`, for several workers. "
            f"Received: --source {options.source} with --strategy multiworker"
        )
    if options.source is None:
        if options.rename or options.allow_missing:
            given = "--name" if options.rename else "--allow-missing"
            raise ValueError(f"Expected --source with {given}. Received: no --source")
        return ()
    import data_prep

    maker = options.dataset or ("audio_folder" if options.rename else recipe.dataset)
    if maker not in [card.name for card in data_prep.cards()]:
        raise ValueError(
            "Expected with --source a data set of `keras-audio datasets`, such as --dataset "
            f"audio_folder --name {maker} for sounds of your own. Received: --dataset {maker}"
        )
    result = data_prep.prepare(
        maker,
        source=options.source,
        **recipe.records_form,
        data_dir=options.data_dir,
        dataset_name=options.rename,
        allow_missing=options.allow_missing,
        force=options.force,
    )
    return result.missing


def _free_for_export(options: argparse.Namespace) -> pathlib.Path | None:
    """Where `--export` says, None for inside the run; what is in the way is said at once."""
    if not options.export:
        return None
    path = pathlib.Path(options.export)
    if os.path.lexists(path):
        if not (path / "saved_model.pb").is_file():
            raise ValueError(f"Expected a new folder for the export. Received: --export {path}")
        if not (options.force or options.resume):
            raise ValueError(
                "Expected a new folder for the export, or --force or --resume to replace the "
                f"export there. Received: --export {path}"
            )
    return path


def _smoke_the_rest(run: "RunFolder", data_dir: str) -> None:
    """What follows a training, on the little that a smoke test trained."""
    from keras_audio.evaluation import evaluate_run
    from keras_audio.serving import load_classifier

    evaluate_run(run, data_dir=data_dir, progress=False)
    path = _export_run(run, run.path / "export", data_dir=data_dir, overwrite=True)
    silence = [[0.0] * run.channels] * run.sample_rate
    probabilities = load_classifier(path).predict(silence)
    print(f"smoke test passed: {len(probabilities)} classes from {path}")


def evaluate(options: argparse.Namespace) -> None:
    """Measure a run, or the mean of several, on the held-out fold."""
    from keras_audio.evaluation import (
        ensemble_folder,
        evaluate_ensemble,
        evaluate_run,
        evaluation_folder,
    )

    members, weight = options.runs, options.unknown_weight
    shared = {"to": options.to, "data_dir": options.data_dir, "unknown_weight": weight}
    if len(members) == 1 and (pathlib.Path(members[0]) / "recipe.json").is_file():
        metrics = evaluate_run(members[0], **shared)
        folder = evaluation_folder(members[0], weight)
    else:
        metrics = evaluate_ensemble(members, **shared)
        folder = ensemble_folder(members)
    _print_metrics(metrics, pathlib.Path(options.to or folder), as_json=options.json)


def _print_metrics(metrics: dict[str, Any], folder: pathlib.Path, as_json: bool = False) -> None:
    from keras_audio.evaluation import summary_lines

    if as_json:
        print(json.dumps(metrics, indent=2))
        return
    print(*summary_lines(metrics), f"report: {folder / 'report.html'}", sep="\n")


def export(options: argparse.Namespace) -> None:
    """Export a run as a SavedModel or a LiteRT file."""
    from keras_audio.training import RunFolder

    run = RunFolder(options.run)
    if options.format == "litert":
        export_run_to_litert(
            run,
            options.to or run.path / "export_litert",
            fp16=options.fp16,
            data_dir=options.data_dir,
            overwrite=options.force,
        )
        return
    if options.fp16:
        raise ValueError("Expected --fp16 with --format litert. Received: --format saved_model")
    _export_run(
        run,
        options.to or run.path / "export",
        data_dir=options.data_dir,
        overwrite=options.force,
    )


def _export_run(
    run: "RunFolder", path: str | os.PathLike, *, data_dir: str, overwrite: bool
) -> pathlib.Path:
    from keras_audio.evaluation import write_export_card
    from keras_audio.files import read_json
    from keras_audio.serving import export_saved_model

    model = run.model()
    path = export_saved_model(
        model,
        path,
        labels=run.labels,
        sample_rate=run.sample_rate,
        resampling=run.resampling,
        clip_samples=run.recipe.max_samples,
        overwrite=overwrite,
    )
    write_export_card(run, model, path, data_dir=data_dir)
    print(f"exported, reloaded in a fresh process and compared: {path}")
    if not read_json(path / "export.json")["optimized"]:
        print("note: not optimized, since this network makes too much of the other rounding")
    return path


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
    verb.__name__.strip("_").replace("_", "-"): verb
    for verb in (
        *(demo, datasets, fetch, prepare, check, models, find_lr, import_, parity),
        *(train, evaluate, card, compress, export, predict, data_service),
    )
}


if __name__ == "__main__":
    sys.exit(main())
