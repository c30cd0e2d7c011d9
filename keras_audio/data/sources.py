"""Samples and classes of the clips of some folds: in memory if they fit, else in their files."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from keras_audio.data.clip_table import ClipTable
from keras_audio.data.memory import memory_share
from keras_audio.data.records import Records
from keras_audio.data.streams import AnyRecord

# Bytes of clips that are read ahead, at most; more mixes hardly better, and takes longer to fill.
MOST_BUFFERED = 2**28


class Source:
    """The clips of some folds, by index in the order of the records.

    Args:
        records: The prepared data set.
        folds: The folds to read.
        variants: Whether the pitch variants stand for the clips, where there are any.
        memory: Bytes that the samples may take to be kept in memory; None for a quarter of what
            this process may use.

    Attributes:
        lengths: Samples per channel of each clip, int64 (clips,).
        variants: How many variants stand for a clip.
        memory: Bytes that the samples may take.
        in_memory: Whether they are kept in memory.
    """

    def __init__(
        self,
        records: Records,
        folds: Sequence[int],
        *,
        variants: bool = True,
        memory: int | None = None,
    ) -> None:
        self._records, self._folds = records, folds
        clips = self.clips
        shifted = variants and records.pitch_variants > 0
        self.variants = records.pitch_variants if shifted else 1
        self._key = "pitch_shifted" if shifted else "audio"
        self.memory = memory_share(memory)
        self.lengths = clips.samples
        ends = np.cumsum(self.lengths * self.variants * records.channels)
        self.in_memory = int(ends[-1]) * 2 <= self.memory
        self._classes = len(records.labels)
        # Tensors, since each data set would get copies of arrays.
        with tf.device("CPU:0"):
            self._labels = tf.constant(clips.labels, tf.int64)
            self._label_ends = tf.constant(np.append(0, clips.label_ends))
            if self.in_memory:
                self._ends = tf.constant(np.append(0, ends))
                self._samples = self._read(int(ends[-1]))

    @property
    def clips(self) -> ClipTable:
        """What is known of the clips."""
        return self._records.clips(self._folds)

    def __len__(self) -> int:
        return len(self.lengths)

    def _read(self, total: int) -> tf.Tensor:
        """The samples of all clips, int16 (samples * channels,)."""
        with self._records.whole(self._folds):
            # Joined as tensors: one that is made of an array takes the memory of three meanwhile.
            samples = tf.concat(list(self._records.sample_blocks(self._folds, self._key)), axis=0)
            if len(samples) != total:
                raise OSError(f"{len(samples)} samples, not {total}")
        return samples

    def load(self, drawn: np.ndarray | tf.Tensor, load: Callable) -> tf.data.Dataset:
        """What `load` makes of clips.

        Args:
            drawn: int64 (clips, ...): rows that begin with the index of a clip.
            load: From a row, and the samples of its clip, int16 (variants * samples * channels,).
        """
        if self.in_memory:
            return tf.data.Dataset.from_tensor_slices(drawn).map(
                lambda row: load(row, self.audio(row[0])), tf.data.AUTOTUNE
            )
        return self._any_record.read(drawn).map(
            lambda row, record: load(row, self.parse(record)), tf.data.AUTOTUNE
        )

    def audio(self, index: tf.Tensor) -> tf.Tensor:
        """Samples (variants * samples * channels,) int16 of a clip in memory."""
        return self._samples[self._ends[index] : self._ends[index + 1]]

    def parse(self, record: tf.Tensor) -> tf.Tensor:
        """Samples (variants * samples * channels,) int16 of a clip out of its record."""
        return self._records.parse(record, self._key)

    @functools.cached_property
    def _any_record(self) -> AnyRecord:
        with tf.init_scope(), tf.device("CPU:0"):  # Not within the graph that asks for it first.
            offsets = self._records.offsets(self._folds)
            return AnyRecord(self._records.shards(self._folds), offsets)

    def options(self) -> tf.data.Options:
        """How TensorFlow is to treat data sets of the clips."""
        options = tf.data.Options()
        # What a worker reads is settled when its data set is made. TensorFlow would have each skip
        # what it believes to be the others' files, or else their batches.
        off = tf.data.experimental.AutoShardPolicy.OFF
        options.experimental_distribute.auto_shard_policy = off
        if not self.in_memory:
            # Else buffers may grow up to half of the machine's memory.
            options.autotune.ram_budget = max(self.memory, MOST_BUFFERED)
        return options

    def targets(self, index: tf.Tensor) -> tf.Tensor:
        """One or multi-hot (classes,) float32."""
        own = self._labels[self._label_ends[index] : self._label_ends[index + 1]]
        return tf.reduce_sum(tf.one_hot(own, self._classes), axis=0)
