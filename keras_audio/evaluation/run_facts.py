"""What a model card says of a run, as a dictionary that JSON can hold."""

import datetime
import math
import os
import shlex
from collections.abc import Mapping
from typing import Any

import keras

import keras_audio
from keras_audio.compress import count_weights
from keras_audio.evaluation.card_data import data_facts
from keras_audio.evaluation.citations import citations, network_description
from keras_audio.evaluation.compression import STAGES_FILE, read_stages
from keras_audio.evaluation.metrics import wilson_interval
from keras_audio.evaluation.speed import measure_speed, remembered_speed
from keras_audio.files import folder_name, read_json
from keras_audio.layers import PadOrCrop, PadSeconds
from keras_audio.models import model_info
from keras_audio.models.macs import count_macs
from keras_audio.recipes import Recipe
from keras_audio.serving.classifier import WINDOW_SECONDS
from keras_audio.serving.export import window_samples
from keras_audio.training.compression import CompressedRun
from keras_audio.training.compression_settings import Settings
from keras_audio.training.opening import COMPRESSION
from keras_audio.training.run_folder import RunFolder

_HEADLINES = (
    *("accuracy", "balanced_accuracy", "mean_average_precision", "mean_roc_auc", "log_loss"),
    "clips",
)
_PACKAGES = ("keras-audio", "keras", "tensorflow")
# A training measures what is evaluated later by the same weights; batches differ in rounding.
_SAME = 0.005


def card_facts(
    run: RunFolder | str | os.PathLike,
    *,
    data_dir: str | os.PathLike = "data",
    speed: bool = True,
    model: keras.Model | None = None,
) -> dict[str, Any]:
    """Gather what is known of a run; what is not known is None, and nothing is made up.

    Args:
        run: The run folder or its path, which is all that is needed.
        data_dir: Where the records may be. If those of the run are there, the numbers of their
            folds and recordings are told too.
        speed: Whether to time a clip on this machine, and remember it in the run. Otherwise what
            was remembered is told.
        model: The run's model, if it is at hand.

    Returns:
        `name`, `date`, `keras_audio`, `network`, `recipe`, `made`, `start`, `data`, `labels`,
        `input`, `chosen` (how the weights were), `metrics`, `sizes`, `compression`, `speed` and
        `citations`.

    Raises:
        ValueError: If `run` is no run folder, has no model yet, or a file of it cannot be read.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    recipe = folder.recipe
    model = folder.model() if model is None else model
    name = getattr(recipe, "model_name", model.name)
    samples = window_samples(model, recipe.max_samples)
    clip = samples or WINDOW_SECONDS * recipe.sample_rate
    start = _start(folder)
    data = data_facts(folder, data_dir, trained=start["kind"] != "imported")
    return {
        "name": f"{name} on {data['short_title']}, fold {recipe.fold}",
        "date": datetime.date.today().isoformat(),
        "keras_audio": keras_audio.__version__,
        "network": _network(name),
        "recipe": _recipe(recipe, start),
        "made": _made(folder, start),
        "start": start,
        "data": data,
        "labels": folder.labels,
        "input": _input(recipe, model, samples),
        "chosen": _chosen(folder),
        "metrics": _metrics(folder),
        "sizes": _sizes(folder, model, clip),
        "compression": _compression(folder, model),
        "speed": measure_speed(folder, model, clip) if speed else remembered_speed(folder),
        "citations": citations(recipe.name, name, folder_name(recipe.dataset)),
    }


def _network(name: str) -> dict[str, Any]:
    try:
        info = model_info(name)
    except ValueError:  # imported, or of a family that is gone
        return {"name": name, "what": network_description(name), "paper": None, "table": None}
    what = network_description(name)
    return {"name": name, "what": what, "paper": info.paper, "table": info.table}


def _recipe(recipe: Recipe, start: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe, and by which command it trains again."""
    start = start["origin"] or start
    source = start["source"] if start["kind"] == "fine_tuned" else None
    words = ["keras-audio", "train", recipe.name, "--dataset", recipe.dataset]
    words += ["--fold", str(recipe.fold)] + ([f"--seed={recipe.seed}"] if recipe.seed else [])
    words += [] if source is None else ["--init-from", source]
    named = {"dataset": recipe.dataset, "fold": recipe.fold, "seed": recipe.seed}
    paper = type(recipe).paper_settings(recipe.dataset, fine_tune=source is not None)
    usual = type(recipe)(**{**paper, **named})
    settings = {
        field: getattr(recipe, field)
        for field in recipe.field_types()
        if getattr(recipe, field) != getattr(usual, field)
    }
    for field, value in settings.items():
        words += ["--set", f"{field}={_setting(value)}"]
    return {
        "name": recipe.name,
        "paper": recipe.paper,
        "section": recipe.section,
        "seed": recipe.seed,
        "multi_label": recipe.multi_label,
        "settings": settings,
        "command": None if start["kind"] == "imported" else shlex.join(words),
    }


def _setting(value: Any) -> str:
    """A value as `--set` takes it."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _start(folder: RunFolder) -> dict[str, Any]:
    """What the weights were made of: nothing, another network, or a file of somebody else.

    Of a compression `origin` is that of the run compressed, None where this is not there any more.
    """
    nothing = {"source": None, "sha256": None, "origin": None}
    if (folder.path / COMPRESSION).is_file():
        run = CompressedRun(folder.path)
        source = run.settings["source"]
        there = (run.path / source / "recipe.json").is_file()
        origin = _start(run.round_folder(0)) if there else None
        return {"kind": "compressed", **nothing, "source": source, "origin": origin}
    for kind, file in (("imported", "import.json"), ("fine_tuned", "initial.json")):
        if (folder.path / file).is_file():
            facts = read_json(folder.path / file)
            source = facts.get("source") or facts.get("file") or "an unknown file"
            return {"kind": kind, **nothing, "source": source, "sha256": facts.get("sha256")}
    return {"kind": "new", **nothing}


def _made(folder: RunFolder, start: Mapping[str, Any]) -> dict[str, Any]:
    """When and by what, as far as the run remembers."""
    path = folder.path / "environment.json"
    here = read_json(path) if path.is_file() else {}
    packages, done = here.get("packages") or {}, folder.finished
    history = folder.history()
    rounds = len(next(iter(history.values()))) if history else None
    iterations = int(history["iteration"][-1]) if "iteration" in history else None
    return {
        "date": (here.get("date") or "")[:10] or None,
        "commit": here.get("commit"),
        "versions": {name: packages[name] for name in _PACKAGES if name in packages},
        "processor": here.get("processor"),
        "devices": here.get("devices"),
        "resumed": len(here.get("resumed", [])),
        "finished": start["kind"] in ("imported", "compressed") or done is not None,
        "epochs": None if folder.recipe.counts_iterations else rounds,
        "iterations": iterations if folder.recipe.counts_iterations else None,
        "seconds": done.get("seconds") if done else None,
    }


def _input(recipe: Recipe, model: keras.Model, samples: int | None) -> dict[str, Any]:
    """What the model takes, and what becomes of shorter and longer sounds."""
    layers = {type(layer): layer for layer in model.layers}
    crop = layers[PadOrCrop].crop if PadOrCrop in layers else None
    return {
        "sample_rate": recipe.sample_rate,
        "channels": recipe.channels,
        "resampling": recipe.resampling,
        "min_samples": recipe.min_samples,
        # Crops of it, or the whole clip where nothing is cropped.
        "training_samples": recipe.training_data.get("crop_samples") or samples,
        "clip_samples": samples,
        "pads_to": "whole seconds" if PadSeconds in layers else "clip_samples",
        # How `evaluate` hears a longer clip: whole, or its beginning.
        "whole": recipe.max_samples is None and crop == "none",
    }


def _chosen(folder: RunFolder) -> dict[str, Any]:
    """Which round's weights these are, and by which clips it was chosen."""
    recipe, done = folder.recipe, folder.finished or {}
    kept = done.get("kept", "last" if recipe.keeps_last else "best")
    return {
        "kept": kept,
        "by": "next" if recipe.validation == "next" else "held_out",
        "monitor": done.get("monitor", recipe.monitor).removeprefix("val_"),
        "best": done.get("best_value"),
        "best_epoch": done.get("best_epoch"),
        "best_iteration": done.get("best_iteration") if recipe.counts_iterations else None,
    }


def _metrics(folder: RunFolder) -> dict[str, Any] | None:
    """What `evaluate` measured, if it did."""
    path = folder.path / "metrics.json"
    if not path.is_file():
        return None
    metrics = read_json(path)
    known = {name: metrics[name] for name in _HEADLINES if name in metrics}
    interval = None
    if "accuracy" in metrics and metrics["clips"]:
        right = round(metrics["accuracy"] * metrics["clips"])
        interval = list(wilson_interval(right, metrics["clips"]))
    groups = {
        attribute: {
            name: {key: own[key] for key in ("clips", "accuracy", "balanced_accuracy")}
            for name, own in groups.items()
        }
        for attribute, groups in metrics.get("groups", {}).items()
    }
    return known | {
        "interval": interval,
        "per_class": metrics["per_class"],
        "groups": groups,
        "open_set": metrics.get("open_set"),
        "differs": _differs(folder, metrics),
    }


def _differs(folder: RunFolder, metrics: Mapping[str, Any]) -> float | None:
    """What training measured on the very clips with these weights, if that is another number."""
    done, recipe = folder.finished, folder.recipe
    if not done or "best_value" not in done or done.get("kept", "best") != "best":
        return None
    if recipe.validation != "held_out":
        return None
    name = done["monitor"].removeprefix("val_")
    if name not in metrics or "open_set" in metrics:  # there accuracy follows the weight
        return None
    return None if abs(metrics[name] - done["best_value"]) <= _SAME else done["best_value"]


def _sizes(folder: RunFolder, model: keras.Model, samples: int) -> dict[str, Any]:
    try:
        macs = count_macs(model, (samples, model.input_shape[-1]))
    except ValueError:  # layers that are none of ours
        macs = None
    return {
        "parameters": _numbers(model.weights),
        "trainable": _numbers(model.trainable_weights),
        "bytes": (folder.path / "model.keras").stat().st_size,
        "macs": macs,
        "clip_samples": samples,
    }


def _numbers(weights: list) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def _compression(folder: RunFolder, model: keras.Model) -> dict[str, Any] | None:
    """How a run was compressed, and what it weighs by each way of counting."""
    if not (folder.path / COMPRESSION).is_file():
        return None
    run = CompressedRun(folder.path)
    settings, paper = run.settings, count_weights(model)
    usual = vars(Settings())
    words = ["keras-audio", "compress", settings["source"]]
    for name, value in usual.items():
        if (asked := settings.get(name, value)) != value:
            option = name.replace("_", "-")
            words += [f"--{'' if asked else 'no-'}{option}"] if isinstance(asked, bool) else []
            words += [] if isinstance(asked, bool) else [f"--{option}", str(asked)]
    stages = folder.path / STAGES_FILE
    return {
        "command": shlex.join(words),
        "round": settings["kept"],
        "reason": settings["reason"],
        "weights_before": run.rounds()[0]["total"],
        "weights": paper.total,
        "non_zero": paper.non_zero,
        "kilobytes": paper.kilobytes,
        "stored": count_weights(model, "stored").total,
        "stages": [vars(stage) for stage in read_stages(stages)] if stages.is_file() else [],
    }
