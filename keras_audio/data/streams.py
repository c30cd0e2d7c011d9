"""Clips read from their files as they are needed: in lanes, or one by one from anywhere."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

# Lanes at most, and files open at a time in all of them together.
_MOST_LANES = 16
_OPEN_FILES = 16


class Shard(NamedTuple):
    """One file of records.

    Args:
        path: Where it is.
        clips: How many records it has.
    """

    path: str
    clips: int


class Lanes:
    """All clips once a pass, in an order that is drawn, from files that are read from end to end.

    The files are dealt out to K lanes once and for all, as evenly as can be: K is the largest power
    of two that divides the batch, is at most 16, and leaves no lane without a file. Each batch has
    as many clips of each lane, so that several workers can have some lanes each, with their own
    files, and the joint batches do not depend on how many workers there are.

    In a pass each lane's files come in an order of its own, a few at a time, a record of each in
    turn, into a buffer that is shuffled when it is full and emptied while the next one is filled.
    A buffer and those before it depend on nothing else, so that a training that goes on in the
    middle of a pass reads no file that it is past.

    Args:
        shards: The files, in the order of the records.
        batch_size: Clips a batch, of all workers together.
        seed: Draws the orders.
        buffer_bytes: What the buffers of all lanes may take together.

    Attributes:
        count: K.
    """

    def __init__(
        self, shards: Sequence[Shard], batch_size: int, seed: int, buffer_bytes: int
    ) -> None:
        self._batch_size, self._seed = batch_size, seed
        most = min(_MOST_LANES, 1 << (len(shards).bit_length() - 1))
        self.count = min(batch_size & -batch_size, most)
        self._paths = tf.constant([shard.path for shard in shards])
        lengths = np.array([shard.clips for shard in shards], np.int64)
        # Mixed, for the folds may differ, and all lanes are to have clips of all folds.
        dealt = np.random.default_rng(0).permutation(len(shards))
        self._clips = int(lengths.sum())
        bounds = self._clips * np.arange(self.count + 1) // self.count
        first_clips = np.cumsum(lengths) - lengths
        self._pieces = [
            _pieces(dealt, lengths, first_clips, begin, end)
            for begin, end in zip(bounds[:-1], bounds[1:], strict=True)
        ]
        self._open = max(2, _OPEN_FILES // self.count)
        record_bytes = sum(os.path.getsize(shard.path) for shard in shards) / self._clips
        # Of each lane one buffer is filled and another emptied.
        self._buffer = max(1, int(buffer_bytes / (2 * self.count * record_bytes)))

    def batches(
        self, number: int, first: int, count: int, worker: int = 0, workers: int = 1
    ) -> tf.data.Dataset:
        """The clips of some batches of a pass, or a worker's part of each of them.

        Args:
            number: Of the pass, from 0.
            first: Batches of the pass to leave out.
            count: Batches to give; the pass's last one may be smaller.
            worker: Number of the worker, from 0.
            workers: How many there are; a divisor of the number of lanes.

        Returns:
            A data set of (index of the clip, its place in the pass, its record as it is stored). It
            raises an error of TensorFlow's if a file is damaged or has become shorter.
        """
        own = range(self.count * worker // workers, self.count * (worker + 1) // workers)
        share = self._batch_size // self.count
        plans = [self._plan(lane, number, first * share) for lane in own]
        # Lanes of fewer groups get some of no records.
        most = max(len(groups) for groups, _ in plans)
        fill = [(0, 0), (0, 0)]
        padded = [np.pad(groups, [(0, most - len(groups)), *fill]) for groups, _ in plans]
        groups = tf.constant(np.stack(padded))
        begins = tf.constant(np.array([begin for _, begin in plans], np.int64))
        # In turn, and one graph for all: each fills its next buffer meanwhile.
        clips = tf.data.Dataset.range(len(own)).interleave(
            lambda lane: self._read_lane(groups[lane], begins[lane]),
            cycle_length=len(own),
            block_length=share,
        )
        given = len(own) * share

        def place(position: tf.Tensor, clip: tuple[tf.Tensor, tf.Tensor]):
            start = position // given * self._batch_size + worker * given
            return clip[0], start + position % given, clip[1]

        total = min(count * given, self._clips // workers - first * given)
        # A file that has become shorter would make the pass shorter without a word.
        whole = clips.take(total).apply(tf.data.experimental.assert_cardinality(total))
        return whole.enumerate(first * given).map(place)

    def _plan(self, lane: int, number: int, given: int) -> tuple[np.ndarray, list[int]]:
        """What a lane reads in a pass of which it gave so many clips already.

        Returns:
            Pieces of files, int64 (groups, pieces, 4), those of a group to be read together; and
            how many records of the first group to leave out, the number of the buffer that those
            after them fill, how many clips of that to leave out, and the seed of the pass.
        """
        generator = np.random.default_rng([self._seed, number, lane])
        pieces = generator.permutation(self._pieces[lane])
        seed = int(generator.integers(2**62))
        pieces = np.pad(pieces, [(0, -len(pieces) % self._open), (0, 0)])
        groups = pieces.reshape(-1, self._open, pieces.shape[1])
        buffer, emptied = divmod(given, self._buffer)
        past = buffer * self._buffer
        ends = np.cumsum(groups[:, :, 2].sum(axis=1))
        done = int(np.searchsorted(ends, past, side="right"))
        return groups[done:], [past - (int(ends[done - 1]) if done else 0), buffer, emptied, seed]

    def _read_lane(self, groups: tf.Tensor, begin: tf.Tensor) -> tf.data.Dataset:
        """(index, record) of the clips that `_plan` said."""
        return (
            tf.data.Dataset.from_tensor_slices(groups)
            .flat_map(self._read_together)
            .skip(begin[0])
            .batch(self._buffer)
            .prefetch(1)
            .enumerate(begin[1])
            .flat_map(lambda buffer, clips: _shuffled(tf.stack([begin[3], buffer]), *clips))
            .skip(begin[2])
        )

    def _read_together(self, group: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(group).interleave(
            self._read,
            cycle_length=self._open,
            num_parallel_calls=self._open,
            deterministic=True,
        )

    def _read(self, piece: tf.Tensor) -> tf.data.Dataset:
        """(index, record) of the clips of a piece of a file."""
        # Not by `tf.unstack`: TensorFlow 2.21 crashes where the second output of an operation says
        # how many records to skip.
        records = tf.data.TFRecordDataset(tf.gather(self._paths, piece[0]))
        return records.skip(piece[1]).take(piece[2]).enumerate(piece[3])


def _pieces(
    order: np.ndarray, lengths: np.ndarray, first_clips: np.ndarray, begin: int, end: int
) -> np.ndarray:
    """What of each file is in `begin` to `end` of all records, the files being in that order.

    Returns:
        int64 (pieces, 4): file, first record in it, records, index of the first one's clip.
    """
    starts = np.cumsum(lengths[order]) - lengths[order]
    first = np.maximum(begin - starts, 0)
    count = np.minimum(end - starts, lengths[order]) - first
    pieces = np.stack([order, first, count, first_clips[order] + first], axis=1)
    return pieces[count > 0]


def _shuffled(seed: tf.Tensor, indices: tf.Tensor, records: tf.Tensor) -> tf.data.Dataset:
    # Not `Dataset.shuffle`, whose order depends on TensorFlow's global seed, too.
    keys = tf.random.stateless_uniform(tf.shape(indices), seed, None, None, tf.int64)
    order = tf.argsort(keys, stable=True)
    return tf.data.Dataset.from_tensor_slices(order).map(
        lambda place: (indices[place], records[place])
    )


class AnyRecord:
    """Any clip's record, read from its place in its file.

    Args:
        shards: The files, in the order of the records.
        offsets: The byte at which each clip's record begins in its file, int64 (clips,).
    """

    def __init__(self, shards: Sequence[Shard], offsets: np.ndarray) -> None:
        self._paths = tf.constant([shard.path for shard in shards])
        self._ends = tf.constant(np.cumsum([shard.clips for shard in shards]), tf.int64)
        self._offsets = tf.constant(offsets)

    def read(self, drawn: np.ndarray | tf.Tensor) -> tf.data.Dataset:
        """Read clips in the order in which they were drawn.

        Args:
            drawn: int64 (clips, ...): rows that begin with the index of a clip.

        Returns:
            A data set of (row, record). It raises an error of TensorFlow's if a file is damaged or
            has become shorter.
        """

        def record(row: tf.Tensor) -> tf.data.Dataset:
            shard = tf.searchsorted(self._ends, row[:1], side="right")[0]
            # What `TFRecordDataset` is made of, which itself begins with a file's first record.
            # Without a buffer, which would read more than the one.
            rest = tf.raw_ops.TFRecordDatasetV2(
                filenames=tf.gather(self._paths, shard),
                compression_type="",
                buffer_size=tf.constant(0, tf.int64),
                byte_offsets=tf.gather(self._offsets, row[0]),
            )
            rest = tf.data.experimental.from_variant(rest, tf.TensorSpec((), tf.string))
            return tf.data.Dataset.zip(tf.data.Dataset.from_tensors(row), rest.take(1))

        # As many data sets of one record each, and not a map: with deterministic operations
        # TensorFlow would have that read one record after the other.
        records = tf.data.Dataset.from_tensor_slices(drawn).interleave(
            record, cycle_length=_OPEN_FILES, num_parallel_calls=_OPEN_FILES, deterministic=True
        )
        count = tf.shape(drawn, tf.int64)[0]
        return records.apply(tf.data.experimental.assert_cardinality(count))
