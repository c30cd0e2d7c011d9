"""What every data set's records look like to TFDS: features, examples, and the files about them."""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.example_serializer import ExampleSerializer

from data_prep.clips import RECORDS_VERSION, Clip, ClipList, DatasetCard
from data_prep.decoding import Decoded
from data_prep.form import Form


@dataclasses.dataclass(frozen=True)
class Content:
    """What is recorded of each clip beside its samples.

    Attributes:
        labels: The class names in order.
        multi_label: Whether a clip may have several classes, or none.
        attributes: The names of the clips' attributes.
    """

    labels: tuple[str, ...]
    multi_label: bool
    attributes: tuple[str, ...]

    @classmethod
    def of(cls, clip_list: ClipList) -> "Content":
        """What is recorded of the clips of a list."""
        return cls(clip_list.labels, clip_list.multi_label, clip_list.attributes)

    @functools.cached_property
    def _index_of(self) -> dict[str, int]:
        return {label: index for index, label in enumerate(self.labels)}

    def indices(self, clip: Clip) -> tuple[int, ...]:
        """The classes of a clip, as ascending indices into the labels."""
        return tuple(sorted(self._index_of[label] for label in clip.labels))


def features_of(content: Content, form: Form) -> tfds.features.FeaturesDict:
    """The features of records: int16 samples with label, fold, source recording, id and hash.

    The samples are stored as raw bytes (`Tensor(..., encoding="bytes")`), which reads several
    times faster than TFDS's `Audio`.
    """
    label = tfds.features.ClassLabel(names=list(content.labels))
    audio = tfds.features.Tensor(shape=(None, form.channels), dtype=np.int16, encoding="bytes")
    features = {
        "audio": audio,
        "label": tfds.features.Sequence(label) if content.multi_label else label,
        "fold": np.int32,
        "source": tfds.features.Text(),
        "clip_id": tfds.features.Text(),
        "hash": tfds.features.Text(),
    }
    # Only where it says something: records without are as they were before there was any.
    if content.attributes:
        features["attributes"] = {name: tfds.features.Text() for name in content.attributes}
    if form.pitch_variants:
        features["pitch_shifted"] = audio
    return tfds.features.FeaturesDict(features)


def serializer(content: Content, form: Form) -> Callable[[Clip, Decoded], bytes]:
    """What makes the bytes of a record of a decoded clip: the same ones in every process.

    TFDS's own lets the fields of a record come in the order of a hash table.
    """
    features = features_of(content, form)
    protos = ExampleSerializer(features.get_serialized_info())

    def serialize(clip: Clip, decoded: Decoded) -> bytes:
        indices = content.indices(clip)
        example = {
            "audio": decoded.samples,
            "label": list(indices) if content.multi_label else indices[0],
            "fold": clip.fold,
            "source": clip.source,
            "clip_id": clip.clip_id,
            "hash": decoded.hash,
        }
        if content.attributes:
            example["attributes"] = dict(clip.attributes)
        if form.pitch_variants:
            example["pitch_shifted"] = decoded.pitch_shifted
        proto = protos.get_tf_example(features.encode_example(example))
        return proto.SerializeToString(deterministic=True)

    return serialize


@dataclasses.dataclass(frozen=True)
class Stored:
    """The files of a fold's records.

    Attributes:
        lengths: How many records each file holds.
        record_bytes: The size of all of them.
    """

    lengths: Sequence[int]
    record_bytes: int


def file_name(dataset_name: str, fold: int, number: int, files: int) -> str:
    """What TFDS calls a file of a fold's records.

    Example:
        >>> file_name("esc10", 1, 0, 2)
        'esc10-fold1.tfrecord-00000-of-00002'
    """
    return f"{dataset_name}-fold{fold}.tfrecord-{number:05}-of-{files:05}"


def write_info(
    folder: str | os.PathLike,
    *,
    dataset_name: str,
    card: DatasetCard,
    clip_list: ClipList,
    fingerprint: str,
    form: Form,
    stored: Mapping[int, Stored],
    clips: int,
    missing: Sequence[str],
) -> None:
    """Write what `tfds.builder_from_directory` reads, and metadata.json, beside the records.

    Args:
        folder: The folder of the records.
        dataset_name: What the records are called.
        card: What the data set is.
        clip_list: Its clips.
        fingerprint: That of the list before its files were read.
        form: The form of the records.
        stored: The files of each fold.
        clips: How many clips are recorded.
        missing: What metadata.json lists of the files left out, and why.
    """
    folder = os.fspath(folder)
    metadata: dict[str, Any] = {
        "dataset": card.name,
        "sample_rate": form.sample_rate,
        "channels": form.channels,
        "labels": list(clip_list.labels),
        "folds": list(clip_list.folds),
        "source_fingerprint": fingerprint,
    }
    if clip_list.multi_label:
        metadata["multi_label"] = True
    if clip_list.attributes:
        metadata["attributes"] = list(clip_list.attributes)
    if clip_list.groups:
        metadata["groups"] = clip_list.groups
    if clip_list.held_out_folds:
        metadata["held_out_folds"] = list(clip_list.held_out_folds)
    if clip_list.unknown_label is not None:
        metadata["unknown_label"] = clip_list.unknown_label
    if form.pitch_variants:
        metadata["pitch_variants"] = form.pitch_variants
    if form.resampling != "soxr":
        metadata["resampling"] = form.resampling
    metadata["clips"] = clips
    metadata["missing"] = list(missing)
    if clip_list.absent:
        metadata["absent"] = len(clip_list.absent)
    info = tfds.core.DatasetInfo(
        builder=tfds.core.DatasetIdentity(
            name=dataset_name,
            version=tfds.core.Version(RECORDS_VERSION),
            data_dir=folder,
            module_name=__name__,
            config_name=form.name,
        ),
        description=f"{card.title} at {form.sample_rate} Hz.",
        features=features_of(Content.of(clip_list), form),
        homepage=card.url,
        license=card.licence,
        metadata=tfds.core.MetadataDict(metadata),
    )
    info.set_file_format("tfrecord")
    info.set_splits(
        tfds.core.SplitDict(
            [
                tfds.core.SplitInfo(
                    name=f"fold{fold}",
                    shard_lengths=list(files.lengths),
                    num_bytes=files.record_bytes,
                )
                for fold, files in stored.items()
            ]
        )
    )
    info.write_to_directory(folder)
