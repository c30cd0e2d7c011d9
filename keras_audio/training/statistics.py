"""Mean and variance of features per frequency channel, over the clips that train."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_audio.data import Records, clip_arrays


def feature_statistics(
    model: keras.Model, layer: str, records: Records, folds: Sequence[int]
) -> dict[str, list[float]]:
    """Mean and variance of a layer's outputs (batch, mels, frames, channels) for each mel bin.

    Clips pass one by one at their own length, so that no padding enters the statistics.

    Args:
        model: A full model, from waveform.
        layer: The layer whose outputs are measured.
        records: The prepared data set.
        folds: The folds that train.

    Returns:
        `mean` and `variance`, a number a mel bin.
    """
    features = keras.Model(model.input, model.get_layer(layer).output)
    # In a graph of any length, which takes a third of the time; it would say of a clip that is too
    # short for a frame no more than which of TensorFlow's operations failed.
    features.compute_output_shape((1, int(min(records.clips(folds).samples)), records.channels))
    measure = tf.function(features, input_signature=[tf.TensorSpec((1, None, records.channels))])
    count, total, squares = 0, 0.0, 0.0
    for _, waveform in clip_arrays(records, folds):
        frames = np.asarray(measure(waveform[np.newaxis])[0], np.float64)
        frames = frames.reshape(len(frames), -1)
        count += frames.shape[1]
        total += frames.sum(axis=1)
        squares += np.square(frames).sum(axis=1)
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0)
    return {"mean": mean.tolist(), "variance": variance.tolist()}
