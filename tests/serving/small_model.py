"""A small network with the contract of ours, for the tests of this folder."""

import keras
import numpy as np

from keras_audio.layers import PadOrCrop, WaveformNormalization

LABELS = ["dog", "rain", "siren"]
RATE = 8000
CLIP = 4000


def build(channels=1, clip_samples=CLIP, labels=LABELS):
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
    x = keras.layers.Dense(len(labels), name="logits")(x)
    model = keras.Model(
        waveform, keras.layers.Activation("softmax", name="predictions")(x), name="small_model"
    )
    # Weights that give each sound an answer of its own, and statistics away from their start.
    random = np.random.default_rng(0)
    model.get_layer("bn1").moving_mean.assign(random.uniform(0, 0.2, 8))
    model.get_layer("logits").kernel.assign(random.normal(0, 4, (8, len(labels))))
    return model
