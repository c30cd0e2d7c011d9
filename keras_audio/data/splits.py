"""Training and validation clips by official folds, and the check that they share no recording."""

import dataclasses

from keras_audio.data.records import Clip, Records


@dataclasses.dataclass(frozen=True)
class Split:
    """Which folds train and which are held out, with their clips.

    Args:
        train_folds: The folds that train.
        validation_folds: The folds held out.
        train: The clips that train, in the order of the records.
        validation: The clips held out, in the order of the records.
        multi_label: Whether a clip may have several classes, or none.
    """

    train_folds: list[int]
    validation_folds: list[int]
    train: list[Clip]
    validation: list[Clip]
    multi_label: bool = False

    def to_dict(self) -> dict[str, dict[str, dict]]:
        """Label and digest of the samples by clip id, as `split.json` stores them.

        A multi-label set has a list of `labels` in place of the `label`.
        """
        return {
            name: {clip.clip_id: self._classes(clip) | {"hash": clip.hash} for clip in clips}
            for name, clips in (("train", self.train), ("validation", self.validation))
        }

    def _classes(self, clip: Clip) -> dict[str, int | list[int]]:
        return {"labels": list(clip.labels)} if self.multi_label else {"label": clip.label}


def make_split(records: Records, fold: int) -> Split:
    """Hold one official fold out and train on all others.

    Raises:
        ValueError: If the fold does not exist or is for training alone, nothing is left to train
            on, or a recording has clips on both sides.
    """
    records.check_folds([fold])
    if fold not in records.held_out_folds:
        raise ValueError(
            f"Expected a fold that the official split of {records.name} holds out "
            f"({', '.join(map(str, records.held_out_folds))}). Received: fold={fold}"
        )
    train_folds = [other for other in records.folds if other != fold]
    if not train_folds:
        raise ValueError(
            f"Expected at least two folds, one to hold out and one to train on. "
            f"Received: {records.name} with fold {fold} alone"
        )
    split = Split(
        train_folds,
        [fold],
        records.clips(train_folds),
        records.clips([fold]),
        records.multi_label,
    )
    check_leakage(records.name, split.train, split.validation)
    return split


def check_leakage(name: str, train: list[Clip], validation: list[Clip]) -> None:
    """Raise ValueError if clips of one recording are on both sides of a split."""
    shared = sorted({clip.source for clip in train} & {clip.source for clip in validation})
    if shared:
        more = f" and {len(shared) - 3} more" if len(shared) > 3 else ""
        raise ValueError(
            f"Expected the training and validation clips of {name} to share no source recording. "
            f"Received: {', '.join(shared[:3])}{more} on both sides"
        )
