"""Training, validation and test clips by official folds, and that they share no recording."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_audio.data.clip_table import Clip, ClipTable
from keras_audio.data.records import Records

# Clips of a part that `split.json` names one by one; of more it keeps digests.
LISTED_CLIPS = 20_000


@dataclasses.dataclass(frozen=True)
class Split:
    """Which folds train, steer the training and test, with their clips in the order of the records.

    Args:
        train_folds: The folds that train.
        validation_folds: The folds that the best round is chosen by.
        test_folds: The folds held out, which may be the same.
        train: The clips that train.
        validation: The clips that the best round is chosen by.
        test: The clips held out.
        multi_label: Whether a clip may have several classes, or none.
    """

    train_folds: list[int]
    validation_folds: list[int]
    test_folds: list[int]
    train: ClipTable
    validation: ClipTable
    test: ClipTable
    multi_label: bool = False

    @property
    def parts(self) -> dict[str, tuple[list[int], ClipTable]]:
        """Folds and clips by name: `train`, `validation`, and `test` where it is one of its own."""
        parts = {
            "train": (self.train_folds, self.train),
            "validation": (self.validation_folds, self.validation),
        }
        if self.test_folds != self.validation_folds:
            parts["test"] = (self.test_folds, self.test)
        return parts

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Label and digest of the samples by part and clip id, as `split.json` stores them.

        A multi-label set has a list of `labels` in place of the `label`. A part of more than
        `LISTED_CLIPS` has, in place of its clips, their number (`clips`), its `folds`, and digests
        of ids and classes in order (`classes`) and of ids, classes and samples (`digest`).
        """
        return {
            name: self._listed(clips) if len(clips) <= LISTED_CLIPS else _summary(folds, clips)
            for name, (folds, clips) in self.parts.items()
        }

    def _listed(self, clips: ClipTable) -> dict[str, dict]:
        return {clip.clip_id: self._classes(clip) | {"hash": clip.hash} for clip in clips}

    def _classes(self, clip: Clip) -> dict[str, int | list[int]]:
        return {"labels": list(clip.labels)} if self.multi_label else {"label": clip.label}


def _summary(folds: list[int], clips: ClipTable) -> dict[str, Any]:
    digests = {"classes": clips.digest(samples=False), "digest": clips.digest()}
    return {"clips": len(clips), "folds": list(folds)} | digests


def part_classes(part: Mapping[str, Any]) -> Any:
    """What the clips of a part of `Split.to_dict` and their classes are, whatever the sample rate.

    Two parts are of the same clips with the same classes if this is equal.

    Example:
        >>> part_classes({"a.wav": {"label": 1, "hash": "0f"}, "b.wav": {"labels": [], "hash": ""}})
        {'a.wav': 1, 'b.wav': []}
    """
    if all(isinstance(facts, Mapping) for facts in part.values()):
        return {clip: facts.get("label", facts.get("labels")) for clip, facts in part.items()}
    return {name: part[name] for name in ("clips", "classes")}


def make_split(records: Records, fold: int, validation: str = "held_out") -> Split:
    """Hold one official fold out and train on the others.

    Args:
        records: The prepared data set.
        fold: The fold to hold out.
        validation: The clips that the best round is chosen by: `"held_out"`, those of that fold;
            `"next"`, those of the fold after it (after the last comes the first), which then does
            not train.

    Raises:
        ValueError: If the fold does not exist or is for training alone, nothing is left to train
            on, or a recording has clips in two parts.
    """
    records.check_folds([fold])
    if fold not in records.held_out_folds:
        raise ValueError(
            f"Expected a fold that the official split of {records.name} holds out "
            f"({', '.join(map(str, records.held_out_folds))}). Received: fold={fold}"
        )
    validation_fold = fold
    if validation == "next":
        validation_fold = records.folds[(records.folds.index(fold) + 1) % len(records.folds)]
    train_folds = [other for other in records.folds if other not in (fold, validation_fold)]
    if not train_folds:
        needed = "three folds, one to hold out, the next to choose the best round by"
        if validation == "held_out":
            needed = "two folds, one to hold out"
        raise ValueError(
            f"Expected at least {needed} and one to train on. "
            f"Received: {records.name} with the folds {', '.join(map(str, records.folds))} and "
            f"validation={validation!r}"
        )
    split = Split(
        train_folds,
        [validation_fold],
        [fold],
        records.clips(train_folds),
        records.clips([validation_fold]),
        records.clips([fold]),
        records.multi_label,
    )
    for (name, (_, clips)), (other, (_, others)) in itertools.combinations(split.parts.items(), 2):
        check_leakage(records.name, clips, others, f"{name} and {other}")
    return split


def check_leakage(
    name: str, clips: ClipTable, others: ClipTable, parts: str = "train and validation"
) -> None:
    """Raise ValueError if clips of one recording are in two parts of a split."""
    digests = [table.sources.digests() for table in (clips, others)]
    # Only those that may be the same are compared as texts.
    suspects = np.intersect1d(*digests)
    sources = [
        set(table.sources.take(np.flatnonzero(np.isin(own, suspects))))
        for table, own in zip((clips, others), digests, strict=True)
    ]
    shared = sorted(set.intersection(*sources))
    if shared:
        more = f" and {len(shared) - 3} more" if len(shared) > 3 else ""
        raise ValueError(
            f"Expected the {parts} clips of {name} to share no source recording. "
            f"Received: {', '.join(shared[:3])}{more} on both sides"
        )
