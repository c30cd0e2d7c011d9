"""Records to batches: cached int16 clips, a clip order drawn from (seed, epoch), the clip steps."""

import math
from collections.abc import Sequence

import numpy as np
import psutil
import tensorflow as tf

from keras_audio.data.records import Records


def training_batches(
    records: Records,
    folds: Sequence[int],
    clip_steps,
    *,
    batch_size: int,
    seed: int,
    first_epoch: int = 0,
    first_step: int = 0,
) -> tf.data.Dataset:
    """Endless batches of the clips of `folds`, epoch after epoch, no batch across two epochs.

    The order of an epoch is a function of `seed` and the epoch's number alone, so a training that
    starts at any epoch and step sees what an unbroken one would have seen from there.

    Args:
        records: The prepared data set.
        folds: The folds to read.
        clip_steps: Keras model from waveforms (1, samples, channels) to what the network takes.
        batch_size: Clips a batch; the last one of an epoch may be smaller.
        seed: Draws the order.
        first_epoch: Number of the epoch to begin with.
        first_step: Batches of the first epoch to leave out.

    Returns:
        A data set of (inputs, one-hot labels (batch, classes) float32).
    """
    clips = _cached(records, folds)
    count = len(records.clips(folds))
    steps = math.ceil(count / batch_size)

    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        shuffle_seed = tf.random.experimental.stateless_fold_in(
            tf.constant([seed, 0], tf.int64), epoch
        )[0]
        return (
            clips.shuffle(count, seed=shuffle_seed, reshuffle_each_iteration=False)
            .map(_runner(clip_steps, len(records.labels)), num_parallel_calls=tf.data.AUTOTUNE)
            .batch(batch_size)
        )

    batches = tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(epoch_batches)
    if not 0 <= first_step <= steps:
        raise ValueError(f"Expected first_step from 0 to {steps}. Received: {first_step=}")
    return batches.skip(first_step).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(
    records: Records, folds: Sequence[int], clip_steps, *, batch_size: int
) -> tf.data.Dataset:
    """The clips of `folds` once, in stored order, as batches of (inputs, one-hot labels)."""
    return (
        _cached(records, folds)
        .map(_runner(clip_steps, len(records.labels)), num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def clip_arrays(records: Records, folds: Sequence[int]):
    """Iterate over (clip id, float32 waveform (samples, channels)) of `folds`, in stored order."""
    for example in records.dataset(folds).as_numpy_iterator():
        yield example["clip_id"].decode(), example["audio"].astype(np.float32) / 32768


def _cached(records: Records, folds: Sequence[int]) -> tf.data.Dataset:
    """(int16 audio, label) of each clip, kept in memory if it takes at most a quarter of it."""
    clips = records.dataset(folds).map(
        lambda example: (example["audio"], example["label"]), num_parallel_calls=tf.data.AUTOTUNE
    )
    size = sum(clip.samples for clip in records.clips(folds)) * records.channels * 2
    return clips.cache() if size <= psutil.virtual_memory().total / 4 else clips


def _runner(clip_steps, num_classes: int):
    def run(audio: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        waveform = tf.cast(audio, tf.float32) / 32768.0
        inputs = clip_steps(waveform[tf.newaxis], training=False)[0]
        return inputs, tf.one_hot(label, num_classes)

    return run
