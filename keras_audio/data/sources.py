"""Samples and classes of the clips of some folds: in memory if they fit, else in their files."""

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_audio.data.clip_table import ClipTable
from keras_audio.data.memory import memory_share
from keras_audio.data.records import Records
from keras_audio.data.streams import AnyRecord


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
        ends = np.cumsum(self.lengths * self.variants)
        self.in_memory = int(ends[-1]) * records.channels * 2 <= self.memory
        self._classes = len(records.labels)
        # Tensors, since each data set would get copies of arrays.
        with tf.device("CPU:0"):
            self._labels = tf.constant(clips.labels, tf.int64)
            self._label_ends = tf.constant(np.append(0, clips.label_ends))
            if self.in_memory:
                self._ends = tf.constant(np.append(0, ends))
                self._samples = tf.constant(self._read(ends))

    @property
    def clips(self) -> ClipTable:
        """What is known of the clips."""
        return self._records.clips(self._folds)

    def __len__(self) -> int:
        return len(self.lengths)

    def _read(self, ends: np.ndarray) -> np.ndarray:
        samples = np.empty((ends[-1], self._records.channels), np.int16)
        clips = self._records.dataset(self._folds, pitch_shifted=self._key == "pitch_shifted")
        start = 0
        with self._records.whole(self._folds):
            for example, end in zip(clips.as_numpy_iterator(), ends, strict=True):
                samples[start:end] = example[self._key]
                start = end
        return samples

    def audio(self, index: tf.Tensor) -> tf.Tensor:
        """Samples (variants * samples, channels) int16 of a clip."""
        if self.in_memory:
            return self._samples[self._ends[index] : self._ends[index + 1]]
        return self.parse(self._any_record.read(index))

    def parse(self, record: tf.Tensor) -> tf.Tensor:
        """Samples (variants * samples, channels) int16 of a clip out of its record."""
        return self._records.parse(record, self._key)

    @functools.cached_property
    def _any_record(self) -> AnyRecord:
        with tf.init_scope(), tf.device("CPU:0"):  # Not within the graph that asks for it first.
            offsets = self._records.offsets(self._folds)
            return AnyRecord(self._records.shards(self._folds), offsets)

    def targets(self, index: tf.Tensor) -> tf.Tensor:
        """One or multi-hot (classes,) float32."""
        own = self._labels[self._label_ends[index] : self._label_ends[index + 1]]
        return tf.reduce_sum(tf.one_hot(own, self._classes), axis=0)
