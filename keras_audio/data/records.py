"""Reading what `keras-audio prepare` wrote: TFDS records, without the code that built them."""

import concurrent.futures
import contextlib
import functools
import os
import pathlib
import re
import struct
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tqdm import tqdm

from keras_audio.audio import check_resampling
from keras_audio.data.clip_table import Clip, ClipTable
from keras_audio.data.streams import Shard
from keras_audio.files import folder_name, read_json

# Ten seconds of mono at 32 kHz make 20 MB.
_CLIPS_IN_A_BLOCK = 32

# Bytes of records that are read once more to find the file that is damaged.
_MOST_SEARCHED = 10**10


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

    def clips(self, folds: Sequence[int]) -> ClipTable:
        """The clips of `folds` in the order of `dataset`.

        From the index that `keras-audio prepare` writes, without reading the samples. Where there
        is none, as there was none once, all there is of the records is read.

        Raises:
            ValueError: If a fold does not exist, or its files are lost, cut short, or not those of
                the index; without an index also if anything else in them is damaged.
        """
        self.check_folds(folds)
        return self._clips_of(tuple(folds))

    @functools.cache  # noqa: B019 - as long as the records are
    def _clips_of(self, folds: tuple[int, ...]) -> ClipTable:
        if len(folds) != 1:
            return ClipTable.concatenate([self._load_clips(fold) for fold in folds])
        return self._load_clips(*folds)

    def _load_clips(self, fold: int) -> ClipTable:
        index = self.path / f"fold{fold}.index.npz"
        if not index.is_file():
            return self._read_clips(fold)
        clips, shards = ClipTable.load(index), self.shards([fold])
        expected = np.repeat(np.arange(len(shards)), [shard.clips for shard in shards])
        # What TFRecord adds to each record are its length and two sums.
        size = int(self._builder.info.splits[f"fold{fold}"].num_bytes) + 16 * len(expected)
        with self.whole([fold]):
            if sum(os.path.getsize(shard.path) for shard in shards) != size:
                raise OSError("files of another size than was written")
            if not (np.array_equal(clips.shards, expected) and self._are_ours(clips, fold)):
                raise OSError(f"other clips than in {index.name}")
        return clips

    def _are_ours(self, clips: ClipTable, fold: int) -> bool:
        """Whether these may be the clips of the fold: the index may be that of another."""
        counts = np.diff(clips.label_ends, prepend=0)
        return bool(
            np.all(clips.folds == fold)
            and np.all((clips.labels >= 0) & (clips.labels < len(self.labels)))
            and (self.multi_label or np.all(counts == 1))
            and list(clips.attributes) == list(self.attributes)
        )

    @functools.cache  # noqa: B019 - for it takes as long as a pass
    def _read_clips(self, fold: int) -> ClipTable:
        def describe(example):
            samples = tf.shape(example.pop("audio"))[0]
            return example | {"samples": samples}

        listed = self.dataset([fold], pitch_shifted=False).map(describe)
        clips = (
            Clip(
                clip_id=example["clip_id"].decode(),
                source=example["source"].decode(),
                fold=int(example["fold"]),
                labels=tuple(np.atleast_1d(example["label"]).tolist()),
                hash=example["hash"].decode(),
                samples=int(example["samples"]),
                attributes={name: example["attributes"][name].decode() for name in self.attributes},
            )
            for example in listed.as_numpy_iterator()
        )
        shards = np.repeat(
            np.arange(len(self.shards([fold]))), [shard.clips for shard in self.shards([fold])]
        )
        with self.whole([fold]):
            return ClipTable.from_clips(clips, shards.tolist())

    @contextlib.contextmanager
    def whole(self, folds: Sequence[int]) -> Iterator[None]:
        """Say in one sentence that the records of `folds`, which the block reads, are damaged.

        Raises:
            ValueError: If the block raises an error of TensorFlow's, or OSError.
        """
        try:
            yield
        except (tf.errors.OpError, OSError) as error:
            reason = getattr(error, "message", str(error)).partition("\n")[0]
            reason = re.sub(r"\{\{.*?\}\} ?| ?\[Op:.*", "", reason)
            named = self._damaged_file(folds) if isinstance(error, tf.errors.DataLossError) else ""
            named = named or f"fold{'s' if len(folds) > 1 else ''} {', '.join(map(str, folds))}"
            raise ValueError(
                f"Expected whole records, got damaged ones in {named} ({reason}); prepare them "
                f"again with --force. Received: path={self.path}"
            ) from error

    def _damaged_file(self, folds: Sequence[int]) -> str:
        """The first file that cannot be read to its end, where looking for it takes no hours."""
        shards = self.shards(folds)
        if sum(os.path.getsize(shard.path) for shard in shards) <= _MOST_SEARCHED:
            for shard in shards:
                try:
                    for _ in tf.data.TFRecordDataset(shard.path):
                        pass
                except tf.errors.OpError:
                    return os.path.basename(shard.path)
        return ""

    def shards(self, folds: Sequence[int]) -> list[Shard]:
        """The files of `folds` in the order of `dataset`, with the number of clips in each."""
        self.check_folds(folds)
        splits = [self._builder.info.splits[f"fold{fold}"] for fold in folds]
        return [
            Shard(os.fspath(path), clips)
            for split in splits
            for path, clips in zip(split.filepaths, split.shard_lengths, strict=True)
        ]

    def offsets(self, folds: Sequence[int]) -> np.ndarray:
        """The byte at which each clip's record begins in its file, int64 (clips,).

        Where the index does not say it, the lengths of all records are read from the files.

        Raises:
            ValueError: If a file is lost, or is none of as many records as it is to have.
        """
        known = self.clips(folds).offsets
        if not np.any(known < 0):
            return known
        shards = self.shards(folds)
        # Each length is one small request, for which a disk elsewhere takes its time.
        with concurrent.futures.ThreadPoolExecutor(16) as pool, self.whole(folds):
            found = pool.map(_record_offsets, shards)
            bar = {"total": len(shards), "unit": "file", "delay": 3, "disable": None}
            return np.concatenate(list(tqdm(found, "records", **bar)))

    def sample_blocks(self, folds: Sequence[int], key: str = "audio") -> tf.data.Dataset:
        """The samples of all clips of `folds` one after the other, those of many clips at a time.

        Args:
            folds: The folds to read.
            key: `audio` or `pitch_shifted`, as of `dataset`.

        Returns:
            A data set of int16 (samples * channels,).
        """

        def samples(records: tf.Tensor) -> tf.Tensor:
            clips = tf.io.parse_example(records, _stored(key))[key]
            return tf.io.decode_raw(tf.strings.reduce_join(clips), tf.int16)

        # Clip by clip, as by `dataset`, takes thirty times as long where clips are short.
        paths = [shard.path for shard in self.shards(folds)]
        blocks = tf.data.TFRecordDataset(paths).batch(_CLIPS_IN_A_BLOCK)
        return blocks.map(samples, tf.data.AUTOTUNE).prefetch(1)

    def parse(self, record: tf.Tensor, key: str = "audio") -> tf.Tensor:
        """The samples in a stored record, a string: `audio` or `pitch_shifted`, as of `dataset`.

        Returns:
            int16 (samples * channels,): TensorFlow cuts a piece out of one dimension as a whole,
            out of two a row at a time, here a sample, which takes ten times as long.
        """
        return tf.io.decode_raw(tf.io.parse_single_example(record, _stored(key))[key], tf.int16)

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


def _stored(key: str) -> dict[str, tf.io.FixedLenFeature]:
    """What TensorFlow is to read of a record: the bytes of its samples alone."""
    return {key: tf.io.FixedLenFeature((), tf.string)}


def _record_offsets(shard: Shard) -> np.ndarray:
    """Where each record begins in a file: after the length, 8 bytes, come a sum, itself, a sum."""
    offsets = np.empty(shard.clips, np.int64)
    offset, size = 0, os.path.getsize(shard.path)
    with open(shard.path, "rb", buffering=0) as file:
        for place in range(shard.clips):
            header = os.pread(file.fileno(), 8, offset)
            offsets[place] = offset
            # At the end of the file, beyond which the next one is then sure to be.
            offset += 16 + (struct.unpack("<Q", header)[0] if len(header) == 8 else size)
    if offset != size:
        raise OSError(f"other records than {shard.clips} in {shard.path}")
    return offsets


def _form(sample_rate: int, channels: int, pitch_variants: int, resampling: str) -> str:
    shifted = f" and {pitch_variants} pitch variants" if pitch_variants else ""
    how = f" ({resampling})" if resampling != "soxr" else ""
    return f"{sample_rate} Hz{how} with {channels} channel(s){shifted}"
