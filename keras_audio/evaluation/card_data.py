"""What a model card says of the data: where they are from, and which of them did what."""

import collections
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_audio.data import Records, Split
from keras_audio.evaluation.citations import known_leak
from keras_audio.files import folder_name, read_json
from keras_audio.recipes import Recipe
from keras_audio.training.run_folder import RunFolder
from keras_audio.training.trainer import open_data

# The parts of split.json, and what the card calls them.
_PARTS = {"train": "training", "validation": "validation", "test": "test"}


def data_facts(
    run: RunFolder, data_dir: str | os.PathLike, *, trained: bool = True
) -> dict[str, Any]:
    """Describe the data of a run.

    Args:
        run: The run folder.
        data_dir: Where its records may be.
        trained: Whether it was trained here, and not imported: then all that is known is which
            clips it is measured on.

    Returns:
        `name`; `title`, `short_title`, `licence`, `url`, `protocol` and number of `folds` of the
        data set's own card, None for sounds of the user's own, whose titles are the name;
        `held_out`, the fold that is measured; `trained`, whether it is known on which clips the
        weights were trained; `parts`, each with `name`, `folds` and `recordings`
        (None where they are not known), `clips`, and `classes`, the clips of each class (None for
        parts too large to be listed); `leak`, what is known of a recording in two folds, with
        `between_parts` if these are on two sides of this split.
    """
    recipe, split = run.recipe, _split_of(run)
    held_out = list(split)[-1:]
    card = _card_of(recipe.dataset)
    records = _records_of(run, data_dir, split)
    parts = [
        {
            "name": _name(part, split) if trained else "test",
            "folds": _folds(part, clips, recipe, card, records),
            "clips": clips["clips"] if _is_summary(clips) else len(clips),
            "recordings": _recordings(part, records),
            "classes": None if _is_summary(clips) else _by_class(clips, len(run.labels)),
        }
        for part, clips in split.items()
        if trained or part in held_out
    ]
    own = card is None or card.name == "audio_folder"
    return {
        "name": recipe.dataset,
        "title": recipe.dataset if own else card.title,
        "short_title": recipe.dataset if own else card.title.partition(":")[0],
        "licence": None if own else card.licence,
        "url": None if own or not card.url else card.url,
        "protocol": None if own else card.protocol,
        "folds": None if own else card.folds,
        "held_out": recipe.fold,
        "trained": trained and bool(parts),
        "parts": parts,
        "leak": _leak(recipe, parts),
    }


def _card_of(dataset: str):
    """The card of a data set that `prepare` knows; None of others, which are the user's own."""
    # Here, since no other part of this room needs the builders of data sets.
    import data_prep

    cards = {folder_name(card.name): card for card in data_prep.cards()}
    return cards.get(folder_name(dataset))


def _split_of(run: RunFolder) -> dict[str, dict[str, Any]]:
    """The parts with clips; none where the weights came from elsewhere, without their clips."""
    path = run.path / "split.json"
    split = (read_json(path) if path.is_file() else None) or {}
    return {part: split[part] for part in _PARTS if split.get(part)}


def _records_of(
    run: RunFolder, data_dir: str | os.PathLike, split: Mapping[str, Any]
) -> tuple[Records, Split] | None:
    """The records that the run was trained with, if they are there."""
    if not split:
        return None
    try:
        records, parts = open_data(run.recipe, data_dir)
    except ValueError:
        return None
    same = parts.to_dict() == run.split and records.labels == run.labels
    return (records, parts) if same else None


def _is_summary(clips: Mapping[str, Any]) -> bool:
    """Whether this part of split.json was too large to name its clips."""
    return not all(isinstance(facts, Mapping) for facts in clips.values())


def _name(part: str, split: Mapping[str, Any]) -> str:
    if part == "validation" and "test" not in split:
        return "validation and test"
    return _PARTS[part]


def _folds(
    part: str,
    clips: Mapping[str, Any],
    recipe: Recipe,
    card,
    records: tuple[Records, Split] | None,
) -> list[int] | None:
    """The folds of a part: from the records, from what is stored, or by the number of folds."""
    if records is not None:
        return list(records[1].parts[part][0])
    if _is_summary(clips):
        return list(clips["folds"])
    held_out, of = recipe.fold, card.folds if card else None
    if part == "test" or (part == "validation" and recipe.validation == "held_out"):
        return [held_out]
    if of is None or of < 2:
        return None
    validation = held_out if recipe.validation == "held_out" else held_out % of + 1
    if part == "validation":
        return [validation]
    return [fold for fold in range(1, of + 1) if fold not in (held_out, validation)]


def _recordings(part: str, records: tuple[Records, Split] | None) -> int | None:
    if records is None:
        return None
    return len(np.unique(records[1].parts[part][1].sources.digests()))


def _by_class(clips: Mapping[str, Mapping[str, Any]], classes: int) -> list[int]:
    """How many clips are of each class; one of several classes counts for each."""
    counts: collections.Counter[int] = collections.Counter()
    for facts in clips.values():
        counts.update(facts["labels"] if "labels" in facts else [facts["label"]])
    return [counts[index] for index in range(classes)]


def _leak(recipe: Recipe, parts: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    found = known_leak(folder_name(recipe.dataset))
    if found is None or len(parts) < 2:
        return None
    folds, text = found
    touched = [part["name"] for part in parts if folds & set(part["folds"] or ())]
    return {"folds": sorted(folds), "text": text, "between_parts": len(touched) > 1}
