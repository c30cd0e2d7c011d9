"""Training, validation and test clips by official folds, and that they share no recording."""

import dataclasses
import itertools

from keras_audio.data.clip_table import Clip
from keras_audio.data.records import Records


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
    train: list[Clip]
    validation: list[Clip]
    test: list[Clip]
    multi_label: bool = False

    @property
    def parts(self) -> dict[str, tuple[list[int], list[Clip]]]:
        """Folds and clips by name: `train`, `validation`, and `test` where it is one of its own."""
        parts = {
            "train": (self.train_folds, self.train),
            "validation": (self.validation_folds, self.validation),
        }
        if self.test_folds != self.validation_folds:
            parts["test"] = (self.test_folds, self.test)
        return parts

    def to_dict(self) -> dict[str, dict[str, dict]]:
        """Label and digest of the samples by part and clip id, as `split.json` stores them.

        A multi-label set has a list of `labels` in place of the `label`.
        """
        return {
            name: {clip.clip_id: self._classes(clip) | {"hash": clip.hash} for clip in clips}
            for name, (_, clips) in self.parts.items()
        }

    def _classes(self, clip: Clip) -> dict[str, int | list[int]]:
        return {"labels": list(clip.labels)} if self.multi_label else {"label": clip.label}


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
    name: str, clips: list[Clip], others: list[Clip], parts: str = "train and validation"
) -> None:
    """Raise ValueError if clips of one recording are in two parts of a split."""
    shared = sorted({clip.source for clip in clips} & {clip.source for clip in others})
    if shared:
        more = f" and {len(shared) - 3} more" if len(shared) > 3 else ""
        raise ValueError(
            f"Expected the {parts} clips of {name} to share no source recording. "
            f"Received: {', '.join(shared[:3])}{more} on both sides"
        )
