"""Reading what `keras-audio prepare` wrote: TFDS records, without the code that built them."""

import functools
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_audio.audio import check_resampling
from keras_audio.data.clip_table import Clip
from keras_audio.files import folder_name, read_json


class Records:
    """A prepared data set at one sample rate and channel count.

    Args:
        path: The folder of one version, `<data_dir>/<name>/<config>/<version>`.

    Attributes:
        name: What the data set is called on disk.
        labels: The class names in order.
        folds: The folds, ascending.
        sample_rate: Samples per second, in Hz.
        channels: Audio channels.
        multi_label: Whether a clip may have several classes, or none.
        pitch_variants: How many pitch-shifted copies there are of each clip.
        resampling: How the clips got their sample rate; see `keras_audio.audio.read_audio`.
        attributes: The names of the clips' attributes.
        groups: For reports: of an attribute, the values of each group by the group's name.
        held_out_folds: The folds that may be held out: all, unless there is an official split.
        unknown_label: The class of everything that is none of the others; None if there is none.

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
            self.multi_label: bool = metadata.get("multi_label", False)
            self.pitch_variants: int = metadata.get("pitch_variants", 0)
            self.resampling: str = metadata.get("resampling", "soxr")
            self.attributes: list[str] = metadata.get("attributes", [])
            self.groups: dict[str, dict[str, list[str]]] = metadata.get("groups", {})
            self.held_out_folds: list[int] = metadata.get("held_out_folds", self.folds)
            self.unknown_label: str | None = metadata.get("unknown_label")
        except (KeyError, TypeError) as error:
            raise ValueError(
                "Expected what `keras-audio prepare` writes, with labels, folds, sample_rate and "
                f"channels ({error!r}). Received: path={self.path / 'metadata.json'}"
            ) from error
        self.name = self.path.parent.parent.name
        self._builder = tfds.builder_from_directory(self.path)

    def dataset(self, folds: Sequence[int], *, pitch_shifted: bool = True) -> tf.data.Dataset:
        """The clips of `folds` in stored order, as dictionaries of tensors.

        Keys: `audio` int16 (samples, channels), `label` int64, `fold`, `source`, `clip_id`, `hash`.
        Where clips have attributes, `attributes` is a dictionary of them.
        A multi-label set's `label` is a vector, (classes of the clip,). Where there are pitch
        variants, `pitch_shifted`, int16 (pitch_variants * samples, channels), holds them one after
        the other.

        Args:
            folds: The folds to read.
            pitch_shifted: Whether to read the pitch variants too, if there are any.
        """
        self.check_folds(folds)
        leave_out = self.pitch_variants and not pitch_shifted
        return self._builder.as_dataset(
            split="+".join(f"fold{fold}" for fold in folds),
            shuffle_files=False,
            decoders=self._without_pitch_shifted() if leave_out else None,
            # One shard after the other, so that the order is that on disk, and no hidden cache.
            read_config=tfds.ReadConfig(try_autocache=False, interleave_cycle_length=1),
        )

    def _without_pitch_shifted(self) -> tfds.decode.PartialDecoding:
        names = set(self._builder.info.features) - {"pitch_shifted"}
        return tfds.decode.PartialDecoding(dict.fromkeys(names, True))

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

        listed = self.dataset([fold], pitch_shifted=False)
        try:
            return [
                Clip(
                    clip_id=example["clip_id"].decode(),
                    source=example["source"].decode(),
                    fold=int(example["fold"]),
                    labels=tuple(np.atleast_1d(example["label"]).tolist()),
                    hash=example["hash"].decode(),
                    samples=int(example["samples"]),
                    attributes={
                        name: example["attributes"][name].decode() for name in self.attributes
                    },
                )
                for example in listed.map(describe).as_numpy_iterator()
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
    pitch_variants: int = 0,
    resampling: str = "soxr",
) -> Records:
    """Find the prepared records of a data set.

    Args:
        name: The data set, as `keras-audio prepare` was told, or its name on disk.
        sample_rate: Samples per second, in Hz.
        channels: Audio channels.
        data_dir: The folder that `keras-audio prepare` wrote to.
        pitch_variants: How many pitch-shifted copies of each clip the records hold.
        resampling: How their clips got that rate, "soxr" or "fourier".

    Raises:
        ValueError: If there are none; the message says what is there and how to prepare them.
    """
    root = pathlib.Path(data_dir) / folder_name(name)
    wanted = (sample_rate, channels, pitch_variants, check_resampling(resampling))
    prepared = []
    for metadata in sorted(root.glob("*/*/metadata.json"), reverse=True):
        if (metadata.parent / "dataset_info.json").is_file():
            records = Records(metadata.parent)
            form = (
                records.sample_rate,
                records.channels,
                records.pitch_variants,
                records.resampling,
            )
            if form == wanted:
                return records
            prepared.append(_form(*form))
    there = f"; prepared there: {', '.join(prepared)}" if prepared else ""
    options = f"--sample-rate {sample_rate} --channels {channels}"
    if pitch_variants:
        options += f" --pitch-variants {pitch_variants}"
    if resampling != "soxr":
        options += f" --resampling {resampling}"
    made_by = f"`keras-audio prepare {name} {options}` (with its --source, unless it is generated)"
    # Which names are data sets and which a user's own is known to `prepare`, not here; but no
    # user's own has a slash.
    if "/" not in name:
        made_by += (
            ", or, if they are sounds of your own, by "
            f"`keras-audio prepare audio_folder --source ... --name {name} {options}`"
        )
    raise ValueError(
        f"Expected records of {name} at {_form(*wanted)}, made by "
        f"{made_by}{there}. Received: data_dir={data_dir}"
    )


def _form(sample_rate: int, channels: int, pitch_variants: int, resampling: str) -> str:
    shifted = f" and {pitch_variants} pitch variants" if pitch_variants else ""
    how = f" ({resampling})" if resampling != "soxr" else ""
    return f"{sample_rate} Hz{how} with {channels} channel(s){shifted}"
