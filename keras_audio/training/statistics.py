"""Mean and variance of features per frequency channel, over the clips that train."""

from collections.abc import Sequence

import keras
import numpy as np

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
    count, total, squares = 0, 0.0, 0.0
    for _, waveform in clip_arrays(records, folds):
        frames = np.asarray(features(waveform[np.newaxis])[0], np.float64)
        frames = frames.reshape(len(frames), -1)
        count += frames.shape[1]
        total += frames.sum(axis=1)
        squares += np.square(frames).sum(axis=1)
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0)
    return {"mean": mean.tolist(), "variance": variance.tolist()}
