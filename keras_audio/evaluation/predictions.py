"""predictions.csv of a run folder: a row a held-out clip, with the probability of every class."""

import csv
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_audio.files import replacing

# Between the names of several classes.
_BETWEEN = "|"
# The columns before and after the attributes that some data sets have.
_CLIP = ["clip_id", "fold", "source"]
_ANSWER = ["target", "predicted", "probability"]


def prediction_rows(
    clips: Sequence[dict[str, Any]],
    targets: Sequence[int] | np.ndarray,
    probabilities: np.ndarray,
    labels: Sequence[str],
    predicted: Sequence[int] | np.ndarray | None = None,
) -> list[dict[str, Any]]:
    """Rows of predictions.csv.

    Args:
        clips: One dictionary a clip with `clip_id`, `fold`, `source` (the source recording) and,
            if there are any, the same attributes of each, such as its `device`.
        targets: True class indices (clips,), or (clips, classes) with 1 for every class of a clip.
        probabilities: (clips, classes).
        labels: The class names, in the order of the columns.
        predicted: Predicted class indices (clips,). By default the most probable ones.

    Returns:
        One dictionary a clip: `clip_id`, `fold`, `source`, the attributes, `target` (the name of
        the class, or of all classes of the clip with `|` between them), `predicted` (that of the
        predicted class), `probability` (its own), then `p_<label>` for every class.

    Raises:
        ValueError: If the lengths do not agree, or clips may have several classes and a name
            holds a `|`.

    Example:
        >>> clips = [{"clip_id": "1-30226-A", "fold": 1, "source": "30226"}]
        >>> prediction_rows(clips, [0], [[0.25, 0.75]], ["dog", "rain"])[0]["predicted"]
        'rain'
    """
    targets, probabilities = np.asarray(targets), np.asarray(probabilities)
    if len(targets) != len(clips) or probabilities.shape != (len(clips), len(labels)):
        raise ValueError(
            "Expected one target and one row of probabilities a clip, one column a class. "
            f"Received: {len(clips)} clips, {len(labels)} labels, {len(targets)} targets, "
            f"probabilities of shape {probabilities.shape}"
        )
    tagging = targets.ndim == 2
    if tagging and any(_BETWEEN in label for label in labels):
        raise ValueError(f"Expected class names without {_BETWEEN}. Received: labels={labels}")
    if predicted is None:
        predicted = probabilities.argmax(axis=1)
    columns = [f"p_{label}" for label in labels]
    rows = []
    for clip, target, best, scores in zip(clips, targets, predicted, probabilities, strict=True):
        names = [labels[index] for index in (np.flatnonzero(target) if tagging else [target])]
        row = {
            "clip_id": str(clip["clip_id"]),
            "fold": int(clip["fold"]),
            "source": str(clip["source"]),
            **{name: str(value) for name, value in clip.items() if name not in _CLIP},
            "target": _BETWEEN.join(names),
            "predicted": labels[best],
            "probability": scores[best],
        }
        row.update(zip(columns, scores, strict=True))
        rows.append(row)
    return rows


def write_predictions(path: str | os.PathLike, rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows of `prediction_rows`, at least one, whole or not at all.

    Probabilities are written with the fewest digits that give the same number again.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "predictions.csv"
        >>> clips = [{"clip_id": "1-30226-A", "fold": 1, "source": "30226"}]
        >>> rows = prediction_rows(clips, [0], np.float32([[0.3, 0.7]]), ["dog", "rain"])
        >>> write_predictions(path, rows)
        >>> print(path.read_text(), end="")
        clip_id,fold,source,target,predicted,probability,p_dog,p_rain
        1-30226-A,1,30226,dog,rain,0.7,0.3,0.7
    """
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_predictions(path: str | os.PathLike) -> tuple[list[dict[str, Any]], list[str]]:
    """Read predictions.csv.

    Returns:
        The rows as `prediction_rows` makes them, and the class names.

    Raises:
        ValueError: If the file is missing, is not such a table, or holds a number that is none.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            columns = list(reader.fieldnames or [])
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"Expected a table of predictions. Received: path={path} ({error})") from (
            error
        )
    end = columns.index(_ANSWER[0]) if _ANSWER[0] in columns else 0
    begin = [*_CLIP, *columns[len(_CLIP) : end], *_ANSWER]
    scores = columns[len(begin) :]
    if columns[: len(begin)] != begin or any(name[:2] != "p_" for name in scores):
        raise ValueError(
            f"Expected the columns {','.join(_CLIP + _ANSWER)},p_<label>,... in {path}. "
            f"Received: columns={','.join(columns)}"
        )
    for number, row in enumerate(rows, start=2):
        try:
            row["fold"] = int(row["fold"])
            for name in ("probability", *scores):
                row[name] = float(row[name])
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"Expected numbers in {path}, line {number}. Received: {error}"
            ) from error
    return rows, [name[2:] for name in scores]
