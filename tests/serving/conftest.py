"""A small network with the contract of ours, and its export, for the tests of this folder."""

import keras
import numpy as np
import pytest

from keras_audio.layers import PadOrCrop, WaveformNormalization
from keras_audio.serving import export_saved_model

LABELS = ["dog", "rain", "siren"]
RATE = 8000
CLIP = 4000


def build(channels=1, clip_samples=CLIP):
    """Waveform -> clip steps -> two convolutions -> embedding -> predictions."""
    keras.utils.set_random_seed(0)
    waveform = keras.Input((None, channels), name="waveform")
    x = WaveformNormalization("standard")(waveform)
    if clip_samples is not None:
        x = PadOrCrop(clip_samples)(x)
    x = keras.layers.Conv1D(8, 80, strides=4, activation="relu", name="conv1")(x)
    x = keras.layers.BatchNormalization(name="bn1")(x)
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.Conv1D(8, 3, activation="relu", name="conv2")(x)
    x = keras.layers.GlobalAveragePooling1D(name="embedding")(x)
    x = keras.layers.Dense(len(LABELS), name="logits")(x)
    model = keras.Model(waveform, keras.layers.Activation("softmax", name="predictions")(x))
    # Weights that give each sound an answer of its own, and statistics away from their start.
    random = np.random.default_rng(0)
    model.get_layer("bn1").moving_mean.assign(random.uniform(0, 0.2, 8))
    model.get_layer("logits").kernel.assign(random.normal(0, 4, (8, len(LABELS))))
    return model


@pytest.fixture(scope="session")
def model():
    return build()


@pytest.fixture(scope="session")
def exported(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "small model"
    return export_saved_model(model, path, labels=LABELS, sample_rate=RATE)


@pytest.fixture
def random():
    return np.random.default_rng(0)
