"""Statistics of features are those that the layers give clip by clip."""

import keras
import numpy as np
import pytest

from keras_audio.data import clip_arrays, open_records
from keras_audio.layers import LogMelSpectrogram
from keras_audio.training.statistics import feature_statistics


def model(n_fft):
    waveform = keras.Input((None, 1))
    layer = LogMelSpectrogram(8000, n_fft=n_fft, hop_length=160, num_mels=16, center=False)
    return keras.Model(waveform, layer(waveform))


@pytest.fixture(scope="module")
def records(toy_data):
    return open_records("toy_sounds", sample_rate=8000, data_dir=toy_data)


def test_a_graph_gives_the_statistics_that_the_layers_give(records):
    full = model(320)
    features = [np.asarray(full(clip[np.newaxis])[0]) for _, clip in clip_arrays(records, [2])]
    frames = np.concatenate(features, axis=1)[..., 0].astype(np.float64)
    found = feature_statistics(full, "log_mel", records, [2])
    np.testing.assert_allclose(found["mean"], frames.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(found["variance"], frames.var(axis=1), rtol=1e-9)


def test_a_clip_that_is_too_short_is_one_sentence(records):
    with pytest.raises(ValueError, match="Expected clips of at least 16384 samples"):
        feature_statistics(model(16384), "log_mel", records, [2])
