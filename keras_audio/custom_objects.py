"""Imported before Keras loads a model: it makes the layers and schedules here known to it."""

import keras_audio.augment
import keras_audio.compress
import keras_audio.layers
import keras_audio.schedules  # noqa: F401 - each registers its classes
