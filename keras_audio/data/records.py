"""Reading what `keras-audio prepare` wrote: TFDS records, without the code that built them."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Sequence

import tensorflow as tf
import tensorflow_datasets as tfds

from keras_audio.files import read_json


@dataclasses.dataclass(frozen=True)
class Clip:
    """One clip of the records, without its samples.

    Args:
        clip_id: Unique name of the clip in its data set.
        source: The recording that the clip was cut from.
        fold: The official fold.
        label: Index into the class names.
        hash: Digest of the int16 samples.
        samples: Samples per channel.
    """

    clip_id: str
    source: str
    fold: int
    label: int
    hash: str
    samples: int


class Records:
    """A prepared data set at one sample rate and channel count.

    Args:
        path: The folder of one version, `<data_dir>/<name>/<config>/<version>`.

    Raises:
        ValueError: If the folder holds no complete records.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = pathlib.Path(path)
        metadata = read_json(self.path / "metadata.json")
        try:
            self.labels: list[str] = metadata["labels"]
            self.folds: list[int] = metadata["folds"]
            self.sample_rate: int = metadata["sample_rate"]
            self.channels: int = metadata["channels"]
        except (KeyError, TypeError) as error:
            raise ValueError(
                "Expected what `keras-audio prepare` writes, with labels, folds, sample_rate and "
                f"channels ({error!r}). Received: path={self.path / 'metadata.json'}"
            ) from error
        self.name = self.path.parent.parent.name
        self._builder = tfds.builder_from_directory(self.path)

    def dataset(self, folds: Sequence[int]) -> tf.data.Dataset:
        """The clips of `folds` in stored order, as dictionaries of tensors.

        Keys: `audio` int16 (samples, channels), `label` int64, `fold`, `source`, `clip_id`, `hash`.
        """
        self.check_folds(folds)
        return self._builder.as_dataset(
            split="+".join(f"fold{fold}" for fold in folds),
            shuffle_files=False,
            # One shard after the other, so that the order is that on disk, and no hidden cache.
            read_config=tfds.ReadConfig(try_autocache=False, interleave_cycle_length=1),
        )

    def clips(self, folds: Sequence[int]) -> list[Clip]:
        """The clips of `folds` in the order of `dataset`.

        Raises:
            ValueError: If a fold does not exist, or its records are damaged or cut short: this
                reads, and checks the sums of, all there is of them.
        """
        return [clip for fold in folds for clip in self._clips_of(fold)]

    @functools.cache  # noqa: B019 - one small list a fold, kept as long as the records are
    def _clips_of(self, fold: int) -> list[Clip]:
        def describe(example):
            samples = tf.shape(example.pop("audio"))[0]
            return example | {"samples": samples}

        try:
            return [
                Clip(
                    clip_id=example["clip_id"].decode(),
                    source=example["source"].decode(),
                    fold=int(example["fold"]),
                    label=int(example["label"]),
                    hash=example["hash"].decode(),
                    samples=int(example["samples"]),
                )
                for example in self.dataset([fold]).map(describe).as_numpy_iterator()
            ]
        except tf.errors.OpError as error:
            reason = error.message.partition("\n")[0]
            raise ValueError(
                f"Expected whole records, got damaged ones in fold {fold} ({reason}); prepare them "
                f"again with --force. Received: path={self.path}"
            ) from error

    def check_folds(self, folds: Sequence[int]) -> None:
        """Raise ValueError if one of `folds` is not a fold of this data set."""
        for fold in folds:
            if fold not in self.folds:
                raise ValueError(
                    f"Expected a fold of {self.name}, one of {', '.join(map(str, self.folds))}. "
                    f"Received: fold={fold}"
                )


def open_records(
    name: str,
    *,
    sample_rate: int,
    channels: int = 1,
    data_dir: str | os.PathLike = "data",
) -> Records:
    """Find the prepared records of a data set.

    Args:
        name: The data set, as `keras-audio prepare` was told.
        sample_rate: Samples per second, in Hz.
        channels: Audio channels.
        data_dir: The folder that `keras-audio prepare` wrote to.

    Raises:
        ValueError: If there are none; the message says what is there and how to prepare them.
    """
    root = pathlib.Path(data_dir) / name
    prepared = []
    for metadata in sorted(root.glob("*/*/metadata.json"), reverse=True):
        if (metadata.parent / "dataset_info.json").is_file():
            records = Records(metadata.parent)
            if (records.sample_rate, records.channels) == (sample_rate, channels):
                return records
            prepared.append(f"{records.sample_rate} Hz with {records.channels} channel(s)")
    there = f"; prepared there: {', '.join(prepared)}" if prepared else ""
    form = f"--sample-rate {sample_rate} --channels {channels}"
    # Which names are data sets and which a user's own is known to `prepare`, not here.
    raise ValueError(
        f"Expected records of {name} at {sample_rate} Hz with {channels} channel(s), made by "
        f"`keras-audio prepare {name} {form}` (and its --source), or, if they are sounds of your "
        f"own, by `keras-audio prepare audio_folder --source ... --name {name} {form}`{there}. "
        f"Received: data_dir={data_dir}"
    )
