"""report.html of a run folder: one file that shows what a training is worth, without a network."""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from keras_audio.evaluation import curves, media, plots
from keras_audio.evaluation.metrics import wilson_interval
from keras_audio.files import write_text

# Lists of the page end here, so that a data set of thousands of clips still opens at once.
_MOST_CONFUSIONS = 10
_MOST_ROWS = 500
# More groups of clips, such as cities, are told by their accuracy alone.
_MOST_GROUPS_IN_FULL = 2


@dataclasses.dataclass(frozen=True, eq=False)
class Mistake:
    """A clip that was taken for something else, with its sound.

    Args:
        clip_id: As in the predictions.
        target: As in the predictions: the name of the true class, or of all of them.
        predicted: Name of the wrong class that has the highest probability.
        probability: Its probability.
        audio: (samples, channels) float32 in [-1, 1].
        sample_rate: Samples per second.
        missed: Where a clip may have several classes, the least probable of them.
    """

    clip_id: str
    target: str
    predicted: str
    probability: float
    audio: np.ndarray
    sample_rate: int
    missed: str | None = None


def worst_mistakes(
    predictions: Sequence[Mapping[str, Any]], count: int = 12
) -> list[Mapping[str, Any]]:
    """The rows whose wrong class has the highest probability, the surest first.

    Example:
        >>> rows = [{"target": "dog", "predicted": "rain", "probability": p} for p in (0.6, 0.9)]
        >>> [row["probability"] for row in worst_mistakes(rows)]
        [0.9, 0.6]
    """
    wrong = [row for row in predictions if row["target"] != row["predicted"]]
    return sorted(wrong, key=lambda row: -row["probability"])[:count]


def worst_rankings(
    predictions: Sequence[Mapping[str, Any]], count: int = 12
) -> list[dict[str, Any]]:
    """What `worst_mistakes` is where clips have several classes, without any threshold.

    A clip is a mistake if a class that it is not of is more probable than one that it is of. It is
    the worse, the wider these two are apart: the surest of the wrong classes and the least sure of
    the right ones. Clips of no class, or of all, have no such pair.

    Returns:
        Dictionaries with `clip_id`, `source` and `target` of the prediction, `predicted` and
        `probability` of the wrong class, `missed` and `missed_probability` of the right one.

    Example:
        >>> row = {"clip_id": "a", "source": "s", "target": "dog|rain"}
        >>> row |= {"p_dog": 0.25, "p_rain": 0.75, "p_siren": 0.5}
        >>> worst = worst_rankings([row])[0]
        >>> worst["predicted"], worst["missed"]
        ('siren', 'dog')
    """
    found = []
    for row in predictions:
        right = set(row["target"].split("|"))
        scores = {name[2:]: row[name] for name in row if name.startswith("p_")}
        wrong = [name for name in scores if name not in right]
        right = [name for name in scores if name in right]
        if not (right and wrong):
            continue
        predicted, missed = max(wrong, key=scores.get), min(right, key=scores.get)
        if scores[predicted] > scores[missed]:
            found.append(
                {key: row[key] for key in ("clip_id", "source", "target")}
                | {"predicted": predicted, "probability": scores[predicted]}
                | {"missed": missed, "missed_probability": scores[missed]}
            )
    return sorted(found, key=lambda row: row["missed_probability"] - row["probability"])[:count]


def write_report(
    path: str | os.PathLike,
    *,
    title: str,
    metrics: Mapping[str, Any],
    predictions: Sequence[Mapping[str, Any]],
    history: Mapping[str, Sequence[float]] | None,
    recipe: Mapping[str, Any],
    environment: Mapping[str, Any],
    mistakes: Sequence[Mistake],
    split: Mapping[str, Mapping[str, Any]] | None = None,
    training: Mapping[str, Any] | None = None,
    compression: Mapping[str, Any] | None = None,
    kept: str = "best",
    learning_rates: Sequence[float] | None = None,
    snapshots: Sequence[int] = (),
    stages: Sequence[str] = (),
    images: Mapping[str, str] | None = None,
    audio_bytes: int = 2_000_000,
) -> None:
    """Write a self-contained page: nothing in it asks for another file or for a network.

    Args:
        path: The HTML file to write.
        title: Heading of the page.
        metrics: What `classification_metrics` or `tagging_metrics` returned, and what
            `evaluate_run` and `evaluate_ensemble` add to that.
        predictions: The rows of predictions.csv.
        history: Columns of history.csv, or None for a model that was not trained here.
        recipe: The configuration; nested dictionaries are welcome.
        environment: Versions, devices and the like; nested dictionaries are welcome.
        mistakes: Mistakes to hear and see, the worst first.
        split: For each split a dictionary of what to tell of it, such as `clips` and `recordings`.
        training: How the training ended; its `best_epoch` is marked in the curves.
        compression: How the model was compressed, if it was, and what it weighs.
        kept: Whether the weights measured are the `"best"` or the `"last"` ones.
        learning_rates: The learning rate of each step, (steps,), if it followed a schedule.
        snapshots: Epochs after which a copy of the weights was put aside.
        stages: Names of the stages of the training, if it had several.
        images: What the network is shown in its stages: `picture`, an SVG element, and `caption`.
        audio_bytes: Bytes of the page that sounds may take. A mistake whose sound would exceed
            them is shown without.

    Raises:
        ValueError: If metrics and predictions are not of the same clips.
    """
    # Imported here so that nobody who only reads metrics waits for the template engine.
    import jinja2

    if metrics["clips"] != len(predictions):
        raise ValueError(
            f"Expected predictions of the {metrics['clips']} clips that were measured. "
            f"Received: {len(predictions)} predictions"
        )
    training = dict(training or {})
    history = history or {}
    if tagging := "confusion_matrix" not in metrics:
        wrong = worst_rankings(predictions, len(predictions))
        of_task = _tagging_parts(metrics, wrong)
    else:
        wrong = worst_mistakes(predictions, len(predictions))
        of_task = _classification_parts(metrics)
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"percent": _percent, "number": _number, "names": _names, "plain": _plain}
    page = templates.get_template("report.html.j2").render(
        title=title,
        tagging=tagging,
        metrics=metrics,
        recordings=len({row["source"] for row in predictions}),
        time="iteration" if "iteration" in history else "epoch",
        curves=curves.learning_curves(
            history,
            training.get("best_epoch"),
            kept=kept,
            learning_rates=learning_rates,
            snapshots=snapshots,
            stages=stages,
        ),
        stages=curves.stage_rows(history, stages, learning_rates),
        images=images,
        snapshots=bool(snapshots),
        members=metrics.get("members", ()),
        open_set=metrics.get("open_set"),
        groups=[_grouping(name, own) for name, own in metrics.get("groups", {}).items()],
        mistakes=_mistake_cards(mistakes, predictions, audio_bytes),
        wrong=wrong[:_MOST_ROWS],
        wrong_count=len(wrong),
        tables=[
            [("Configuration", list(_flat(recipe)))],
            [
                ("Split", _splits(split or {})),
                ("Training", list(_flat(training))),
                ("Compression", list(_flat(compression or {}))),
            ],
            [("Environment", list(_flat(environment)))],
        ],
        **of_task,
    )
    write_text(path, page)


def _classification_parts(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows where every clip has one class."""
    counts = np.asarray(metrics["confusion_matrix"])
    labels = [row["label"] for row in metrics["per_class"]]
    return {
        "interval": wilson_interval(int(np.trace(counts)), int(counts.sum())),
        "matrix": plots.confusion_matrix(counts, labels),
        "confusions": _confusions(counts, labels),
        "classes": _class_rows(metrics),
    }


def _grouping(attribute: str, metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the template shows of the groups of an attribute: of a few also their classes."""
    in_full = metrics if len(metrics) <= _MOST_GROUPS_IN_FULL else {}
    return {
        "attribute": attribute,
        "metrics": metrics,
        "in_full": [
            {
                "name": name,
                "metrics": own,
                "matrix": plots.confusion_matrix(
                    own["confusion_matrix"], [row["label"] for row in own["per_class"]]
                ),
                "classes": _class_rows(own),
            }
            for name, own in in_full.items()
        ],
    }


def _class_rows(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Rows of classes, and of the means below them, as in McDonnell and Gao's Tables 2 to 4."""
    classes = metrics["per_class"]
    if "open_set" not in metrics:
        return {"classes": classes, "means": [_mean_row("Average", classes)]}
    unknown = [row for row in classes if row["label"] == metrics["open_set"]["unknown_label"]]
    known = [row for row in classes if row not in unknown]
    average, overall = (
        _mean_row("Known class average", known),
        _mean_row("Overall average", classes),
    )
    score = metrics["open_set"]["score"]
    return {"classes": known, "means": [average, *unknown, overall], "score": score}


def _mean_row(label: str, classes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over the classes that occur; None if none of them does."""
    present = [row for row in classes if row["support"]]
    measures = ("precision", "recall", "f1", "average_precision")
    means = {
        key: float(np.mean([row[key] for row in present])) if present else None for key in measures
    }
    return {"label": label, "support": sum(row["support"] for row in classes), **means}


def _tagging_parts(
    metrics: Mapping[str, Any], wrong: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What the template shows where a clip may have several classes."""
    supports = {row["label"]: row["support"] for row in metrics["per_class"]}
    pairs = collections.Counter((row["missed"], row["predicted"]) for row in wrong)
    present = [support for support in supports.values() if support]
    return {
        "measured": len(present),
        # The average precision of a ranking by chance is the share of the class.
        "chance": float(np.mean(present)) / metrics["clips"],
        "bars": plots.average_precision_bars(metrics["per_class"], metrics["clips"]),
        "confusions": [
            {"target": missed, "predicted": predicted, "count": count}
            | {"share": count / supports[missed]}
            for (missed, predicted), count in pairs.most_common(_MOST_CONFUSIONS)
        ],
    }


def _mistake_cards(
    mistakes: Sequence[Mistake], predictions: Sequence[Mapping[str, Any]], audio_bytes: int
) -> list[dict[str, Any]]:
    """What the template shows of each mistake; sounds come in as long as there is room."""
    rows = {row["clip_id"]: row for row in predictions}
    cards, left = [], audio_bytes
    for mistake in mistakes:
        missed = mistake.missed or mistake.target
        sound = media.audio_uri(mistake.audio, mistake.sample_rate)
        if fits := len(sound) <= left:
            left -= len(sound)
        cards.append(
            {
                "clip_id": mistake.clip_id,
                "target": mistake.target,
                "predicted": mistake.predicted,
                "probability": mistake.probability,
                "missed": missed,
                "missed_probability": rows.get(mistake.clip_id, {}).get(f"p_{missed}"),
                "seconds": len(mistake.audio) / mistake.sample_rate,
                "picture": media.spectrogram_uri(mistake.audio, mistake.sample_rate),
                "sound": sound if fits else None,
            }
        )
    return cards


def _confusions(counts: np.ndarray, labels: Sequence[str]) -> list[dict[str, Any]]:
    """The most frequent pairs of a true class and the wrong one it was taken for."""
    pairs = [
        {
            "target": labels[row],
            "predicted": labels[column],
            "count": int(counts[row, column]),
            "share": counts[row, column] / counts[row].sum(),
        }
        for row, column in np.argwhere(counts)
        if row != column
    ]
    return sorted(pairs, key=lambda pair: (-pair["count"], -pair["share"]))[:_MOST_CONFUSIONS]


def _splits(split: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [
        (f"{name} {what}", str(value))
        for name, facts in split.items()
        for what, value in facts.items()
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names and texts of a nested dictionary, `packages.keras` for what is inside `packages`."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{name}", ", ".join(map(_plain, value)) or "–"
        else:
            yield f"{prefix}{name}", _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "–" if value is None else str(value)


def _percent(value: float | None, digits: int = 1) -> str:
    # A narrow no-break space keeps number and sign together.
    return "–" if value is None else f"{100 * value:.{digits}f}\u202f%"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _names(target: str) -> str:
    # Room to break the line between names.
    return target.replace("|", " | ")
