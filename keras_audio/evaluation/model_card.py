"""model_card.md of a run: what a stranger needs to know before they use a trained network."""

import json
import os
import pathlib
import re
import shlex
from collections.abc import Mapping
from typing import Any

import keras

from keras_audio.evaluation.run_facts import card_facts
from keras_audio.files import folder_name, write_text
from keras_audio.training.run_folder import RunFolder

CARD_FILE = "model_card.md"
# What the hub's `metrics` and `model-index` list, and what they are called in words.
_HEADLINES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "mean_average_precision": "Mean average precision",
    "mean_roc_auc": "Mean area under the ROC curves",
}


def write_model_card(
    run: RunFolder | str | os.PathLike,
    *,
    to: str | os.PathLike | None = None,
    data_dir: str | os.PathLike = "data",
    speed: bool = True,
) -> tuple[pathlib.Path, dict[str, Any]]:
    """Write the model card of a run.

    Args:
        run: The run folder or its path.
        to: The Markdown file; by default `model_card.md` in the run. An earlier one is replaced.
        data_dir: Where the records may be, as of `card_facts`.
        speed: Whether to time a clip on this machine, as of `card_facts`.

    Returns:
        The file and the facts it was written from.

    Raises:
        ValueError: If `run` is no run folder, has no model yet, or a file of it cannot be read; or
            if `to` is no Markdown file.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    path = folder.path / CARD_FILE if to is None else pathlib.Path(to)
    if path.suffix.lower() != ".md" or path.is_dir():
        raise ValueError(
            f"Expected a Markdown file for the card, such as README.md. Received: {to=}"
        )
    facts = card_facts(folder, data_dir=data_dir, speed=speed)
    place = os.path.relpath(folder.path.resolve(), path.resolve().parent)
    write_text(path, render_card(facts, run=folder.path.resolve().name, place=place))
    return path, facts


def write_export_card(
    run: RunFolder, model: keras.Model, export: str | os.PathLike, *, data_dir: str | os.PathLike
) -> pathlib.Path:
    """Write the card of a run into the folder of its SavedModel; nothing is timed for it.

    Args:
        run: The run folder.
        model: Its model.
        export: The folder that `export_saved_model` wrote.
        data_dir: Where the records may be, as of `card_facts`.

    Returns:
        The file.
    """
    facts = card_facts(run, data_dir=data_dir, speed=False, model=model)
    path = pathlib.Path(export) / CARD_FILE
    write_text(path, render_card(facts, run=run.path.resolve().name, place=".", kind="export"))
    return path


def render_card(facts: Mapping[str, Any], *, run: str, place: str = ".", kind: str = "run") -> str:
    """The Markdown of a card, with metadata as the Hugging Face hub reads them.

    Args:
        facts: What `card_facts` gave.
        run: What the run is called.
        place: The folder to predict with, as seen from that of the card.
        kind: What that folder is: `"run"`, or `"export"` for a SavedModel.
    """
    # Imported here so that nobody who only reads metrics waits for the template engine.
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
        autoescape=False,  # noqa: S701 - Markdown; what others named stands in code spans
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "cell": lambda text: _code(text).replace("|", "\\|"),
        "code": _code,
        "count": lambda number: f"{number:,}",
        "folder": folder_name,
        "lower_first": lambda text: text[0].lower() + text[1:],
        "number": lambda value: "–" if value is None else f"{value:.3f}",
        "percent": _percent,
        "quoted": lambda text: json.dumps(text, ensure_ascii=False),
        "seconds": lambda samples, rate: f"{samples / rate:.3g}",
        "shell": shlex.quote,
        "words": lambda name: name.replace("_", " "),
    }
    data, metrics, parts = facts["data"], facts["metrics"], facts["data"]["parts"]
    counted = [part for part in parts if part["classes"]]
    text = templates.get_template("model_card.md.j2").render(
        **facts,
        run=run,
        place=place,
        kind=kind,
        tagging=_is_tagging(facts),
        # Nobody has heard of sounds of the user's own, and of a file's training nothing is known.
        known_data=data["trained"] and data["licence"] is not None,
        counted=counted,
        held_out=f"fold {facts['data']['held_out']}",
        open_set=metrics and metrics["open_set"],
        headlines=[
            (key, name, metrics[key])
            for key, name in _HEADLINES.items()
            if metrics and metrics.get(key) is not None
        ],
        how_made=_how_made(facts),
        origin=_origin(facts),
        notes=_notes(facts) if metrics else [],
        limits=_limits(facts),
        licence_of_weights=_licence_of_weights(facts),
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _code(text: Any) -> str:
    """A code span, in which no character means anything."""
    text = " ".join(str(text).split())
    fence = "`" * (1 + max((len(ticks) for ticks in re.findall("`+", text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def _is_tagging(facts: Mapping[str, Any]) -> bool:
    return facts["recipe"]["multi_label"]


def _how_made(facts: Mapping[str, Any]) -> str:
    """When, on what, in how long: as far as the run remembers."""
    made, parts = facts["made"], []
    if made["date"]:
        parts.append(f"begun on {made['date']}")
    if made["iterations"]:
        parts.append(f"{made['iterations']:,} iterations")
    elif made["epochs"]:
        parts.append(f"{made['epochs']} epoch{'' if made['epochs'] == 1 else 's'}")
    if made["seconds"] is not None:
        seconds = made["seconds"]
        took = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
        parts.append(f"{took} of training")
    if made["resumed"]:
        parts.append(f"taken up again {made['resumed']} time{'s' if made['resumed'] > 1 else ''}")
    if made["processor"]:
        devices = [name for name in made["devices"] or () if name != "CPU"]
        parts.append("on " + ", ".join(map(_code, [*devices, made["processor"]])))
    parts += [f"{name} {version}" for name, version in made["versions"].items() if version]
    if made["commit"]:
        changed = " with changes" if made["commit"].endswith("+") else ""
        parts.append(f"commit {_code(made['commit'].rstrip('+'))}{changed}")
    if not parts:
        return "When and with which versions is not recorded in the run."
    return f"{parts[0][0].upper()}{', '.join(parts)[1:]}."


def _origin(facts: Mapping[str, Any]) -> str:
    """Where the network is from: its paper, unless that is the recipe's, and the table there."""
    network, recipe = facts["network"], facts["recipe"]
    if not network["paper"]:
        return ""
    if network["paper"].split()[0] == recipe["paper"].split()[0].rstrip(","):
        return f"{network['table']} of its paper"
    return f"{network['paper']}, {network['table']}"


def _notes(facts: Mapping[str, Any]) -> list[str]:
    """What to know of the metrics, a sentence or two each."""
    metrics, monitor = facts["metrics"], facts["chosen"]["monitor"].replace("_", " ")
    found = [_how_chosen(facts)]
    if metrics["interval"]:
        low, high = map(_percent, metrics["interval"])
        found.append(
            f"{metrics['clips']:,} clips tell no more than that accuracy is from {low} to {high} "
            "(Wilson's 95 % interval, as if each clip were a recording of its own)."
        )
    if scores := metrics["open_set"]:
        unknown = _code(scores["unknown_label"])
        found.append(
            f"The score of an open set, the mean of the two recalls, is {_percent(scores['score'])}"
            f": {_percent(scores['known_recall'])} of the known classes and "
            f"{_percent(scores['unknown_recall'])} of {unknown}, whose probability was multiplied "
            f"by {scores['unknown_weight']:g} before the most probable class was chosen."
        )
    if not facts["made"]["finished"]:
        found.append(
            "They were measured while the training had not ended, maybe of earlier weights than "
            "these."
        )
    elif metrics["differs"] is not None:
        found.append(
            "**These may not be the metrics of these weights**: of them, training measured "
            f"{_percent(metrics['differs'])} {monitor} on its validation clips. After a smoke "
            "test, which validates on a few clips, the two differ; otherwise evaluate it again."
        )
    return found


def _how_chosen(facts: Mapping[str, Any]) -> str:
    """Whether the clips that were measured had a say in which weights were kept."""
    chosen, monitor = facts["chosen"], facts["chosen"]["monitor"].replace("_", " ")
    if facts["start"]["kind"] == "imported":
        return (
            "How these weights were chosen, and whether these very clips trained them, is not "
            "known here."
        )
    if chosen["kept"] == "last":
        return (
            "The weights are those of the last epoch: which to keep did not depend on these clips."
        )
    if chosen["by"] == "next":
        return (
            f"Which weights to keep was chosen by {monitor} on the validation clips, which did not "
            "train either: the clips measured here had no say."
        )
    which = "the best round of training"
    if chosen["best_iteration"] is not None:
        which = f"the best evaluation, after iteration {chosen['best_iteration']:,}"
    elif chosen["best_epoch"] is not None:
        which = f"the best epoch, number {chosen['best_epoch']} of {facts['made']['epochs']}"
    if facts["compression"]:
        which = "the round of pruning that was kept, and of its best epoch"
    return (
        f"**These numbers flatter**: the weights are those of {which}, chosen by {monitor} on "
        "these very clips. On other sounds it is to be expected to do worse."
    )


def _limits(facts: Mapping[str, Any]) -> list[str]:
    """What the network does not know, and what the numbers do not say."""
    data, metrics, rate = facts["data"], facts["metrics"], facts["input"]["sample_rate"]
    classes, found = len(facts["labels"]), []
    if facts["recipe"]["multi_label"]:
        found.append(
            f"It knows these {classes} classes and no others. Each probability stands for itself; "
            "which is high enough to count as present is not settled here."
        )
    elif metrics and metrics["open_set"]:
        found.append(
            f"It knows these {classes} classes. Unknown sounds are only those like the ones that "
            f"trained as {_code(metrics['open_set']['unknown_label'])}."
        )
    else:
        found.append(
            f"It knows these {classes} classes and no others: whatever it hears, silence and noise "
            "too, it names one of them."
        )
    training = next((part for part in data["parts"] if part["name"] == "training"), None)
    if training and training["classes"]:
        unheard = [
            _code(label)
            for label, clips in zip(facts["labels"], training["classes"], strict=True)
            if not clips
        ]
        if unheard:
            found.append(f"It has heard no clip of these in training: {', '.join(unheard)}.")
    found.append(
        "The probabilities are as the network gives them; how far they can be trusted as "
        "probabilities was not measured."
    )
    if data["trained"] or metrics:
        done = " and ".join(["trained"] * data["trained"] + ["measured"] * bool(metrics))
        found.append(
            f"{done.capitalize()} on {data['short_title']} alone: other places, microphones and "
            "mixtures of sounds may give other results."
        )
    if leak := data["leak"]:
        found.append(
            f"In {data['short_title']} {leak['text']}. "
            + (
                "Here they are on two sides of the split, so that a clip may have been remembered "
                "rather than recognised."
                if leak["between_parts"]
                else "Here both are on one side of the split, so that it does not matter."
            )
        )
    if facts["input"]["min_samples"] > 1:
        least = facts["input"]["min_samples"]
        found.append(f"Sounds of fewer than {least:,} samples ({least / rate:.3g} s) are refused.")
    if not facts["made"]["finished"]:
        found.append("The training has not ended.")
    return found


def _licence_of_weights(facts: Mapping[str, Any]) -> str:
    """What is known to bear on the licence of the weights: that of the data, and of first weights.

    Whether weights are bound by the licence of what they learned from is not for us to say.
    """
    data, start, parts = facts["data"], facts["start"]["origin"] or facts["start"], []
    licence = data["licence"]
    if not data["trained"]:
        parts.append("What they were trained on is not known here.")
    elif licence is None:
        parts.append("They were trained on sounds whose terms are the user's to state.")
    else:
        parts.append(f"They were trained on {data['short_title']}, whose licence is: {licence}.")
        if re.search(r"\bNC\b|non-commercial", licence):
            parts.append(
                "That excludes commercial use of the data; to use the weights commercially, ask "
                "whoever holds the rights."
            )
        elif "BY" in licence:
            parts.append("That asks to name the authors of the data.")
    if start["kind"] in ("fine_tuned", "imported"):
        verb = "are" if facts["start"]["kind"] == "imported" else "began with"
        parts.append(f"They {verb} those of {_code(start['source'])}, whose terms count too.")
    return " ".join(parts)
