"""Records to batches: cached int16 clips, a clip order drawn from (seed, epoch), the clip steps."""

import math
from collections.abc import Sequence

import numpy as np
import psutil
import tensorflow as tf

from keras_audio.data.records import Records


class TrainingBatches:
    """Batches of the clips of some folds, in an order of its own each epoch.

    The order of an epoch follows from `seed` and the epoch's number, so a training that goes on
    at any epoch and step sees what an unbroken one would have seen from there.

    Args:
        records: The prepared data set.
        folds: The folds to read.
        clip_steps: Keras model from waveforms (1, samples, channels) to what the network takes.
        batch_size: Clips a batch; the last one of an epoch may be smaller.
        seed: Draws the orders.
    """

    def __init__(
        self,
        records: Records,
        folds: Sequence[int],
        clip_steps,
        *,
        batch_size: int,
        seed: int,
    ) -> None:
        self._clips, self._buffer = _cached(records, folds)
        self._count = len(records.clips(folds))
        self._run = _runner(clip_steps, len(records.labels))
        self._batch_size, self._seed = batch_size, seed
        self.steps = math.ceil(self._count / batch_size)

    def epoch(self, number: int, first_step: int = 0) -> tf.data.Dataset:
        """The batches of one epoch: (inputs, one-hot labels (batch, classes) float32).

        Args:
            number: Of the epoch, from 0.
            first_step: Batches to leave out at its start.
        """
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        return (
            self._clips.shuffle(self._buffer, seed=seed, reshuffle_each_iteration=False)
            .skip(first_step * self._batch_size)
            .map(self._run, num_parallel_calls=tf.data.AUTOTUNE)
            .batch(self._batch_size)
            .prefetch(tf.data.AUTOTUNE)
        )


def evaluation_batches(
    records: Records, folds: Sequence[int], clip_steps, *, batch_size: int
) -> tf.data.Dataset:
    """The clips of `folds` once, in stored order, as batches of (inputs, one-hot labels)."""
    clips, _ = _cached(records, folds)
    return (
        clips.map(_runner(clip_steps, len(records.labels)), num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def clip_arrays(records: Records, folds: Sequence[int]):
    """Iterate over (clip id, float32 waveform (samples, channels)) of `folds`, in stored order."""
    for example in records.dataset(folds).as_numpy_iterator():
        yield example["clip_id"].decode(), example["audio"].astype(np.float32) / 32768


def _cached(records: Records, folds: Sequence[int]) -> tuple[tf.data.Dataset, int]:
    """(int16 audio, label) of each clip, and how many clips may be in memory at once.

    All of them if they take at most a quarter of the memory; they are then read once. A larger
    set is read anew each epoch, and shuffled through a buffer of that size.
    """
    clips = records.dataset(folds).map(
        lambda example: (example["audio"], example["label"]), num_parallel_calls=tf.data.AUTOTUNE
    )
    listed = records.clips(folds)
    size = sum(clip.samples for clip in listed) * records.channels * 2
    share = psutil.virtual_memory().total / 4 / size
    return (clips.cache(), len(listed)) if share >= 1 else (clips, int(share * len(listed)) + 1)


def _runner(clip_steps, num_classes: int):
    def run(audio: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        waveform = tf.cast(audio, tf.float32) / 32768.0
        inputs = clip_steps(waveform[tf.newaxis], training=False)[0]
        return inputs, tf.one_hot(label, num_classes)

    return run
