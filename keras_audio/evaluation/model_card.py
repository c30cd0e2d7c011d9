"""model_card.md of a run: what a stranger needs to know before they use a trained network."""

import json
import os
import pathlib
import re
import shlex
from collections.abc import Mapping
from typing import Any

import keras

from keras_audio.evaluation.card_facts import card_facts
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
        "percent": lambda share: "–" if share is None else f"{100 * share:.1f} %",
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
        known_data=bool(parts) and data["licence"] is not None,
        counted=counted,
        held_out=f"fold {facts['data']['held_out']}",
        open_set=metrics and metrics["open_set"],
        headlines=[
            (key, name, metrics[key])
            for key, name in _HEADLINES.items()
            if metrics and metrics.get(key) is not None
        ],
        how_made=_how_made(facts),
        how_chosen=_how_chosen(facts),
        limits=_limits(facts),
        licence_of_weights=_licence_of_weights(facts),
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


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
        parts.append(f"{made['epochs']} epochs")
    if made["seconds"] is not None:
        parts.append(f"{made['seconds'] / 60:.1f} minutes of training")
    if made["resumed"]:
        parts.append(f"taken up again {made['resumed']} time{'s' if made['resumed'] > 1 else ''}")
    if made["processor"]:
        devices = [name for name in made["devices"] or () if name != "CPU"]
        parts.append("on " + ", ".join(map(_code, [*devices, made["processor"]])))
    parts += [f"{name} {version}" for name, version in made["versions"].items() if version]
    if made["commit"]:
        parts.append(f"commit {_code(made['commit'])}")
    if not parts:
        return "When and with which versions is not recorded in the run."
    return f"{parts[0][0].upper()}{', '.join(parts)[1:]}."


def _how_chosen(facts: Mapping[str, Any]) -> str:
    """Whether the clips that were measured had a say in which weights were kept."""
    chosen, monitor = facts["chosen"], facts["chosen"]["monitor"].replace("_", " ")
    if facts["start"]["kind"] == "imported" and not chosen["trained"]:
        return "How these weights were chosen is not known here."
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
    found.append(
        "The probabilities are as the network gives them; how far they can be trusted as "
        "probabilities was not measured."
    )
    if data["parts"]:
        found.append(
            f"Trained{' and measured' if metrics else ''} on {data['title']} alone: other places, "
            "microphones and mixtures of sounds may give other results."
        )
    if leak := data["leak"]:
        found.append(
            f"In {data['title']} {leak['text']}. "
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
    data, start, parts = facts["data"], facts["start"], []
    if not data["parts"]:
        parts.append("What they were trained on is not known here.")
    elif data["licence"] is None:
        parts.append("They were trained on sounds whose terms are the user's to state.")
    else:
        parts.append(f"They were trained on {data['title']}, which comes under: {data['licence']}.")
        if re.search(r"\bNC\b|non-commercial", data["licence"]):
            parts.append(
                "That excludes commercial use of the data; to use the weights commercially, ask "
                "whoever holds the rights."
            )
        elif "BY" in data["licence"]:
            parts.append("That asks to name the authors of the data.")
    if start["kind"] in ("fine_tuned", "imported"):
        verb = "began with" if start["kind"] == "fine_tuned" else "are"
        parts.append(f"They {verb} those of {_code(start['source'])}, whose terms count too.")
    return " ".join(parts)
