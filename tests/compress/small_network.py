"""A small network with all that pruning meets, for the tests of this folder."""

import keras
import numpy as np
from keras import layers

CLASSES = 3


def build(seed: int = 0, **conv) -> keras.Model:
    """A convolution, two beside each other, summed; kernels that are not pruned; the classes.

    Args:
        seed: Of the weights, all of them away from where layers begin.
        **conv: Arguments of the first convolution.
    """
    x = waveform = keras.Input((None, 2), name="waveform")
    x = layers.Conv1D(10, 8, name="conv1", **conv)(x)
    x = layers.BatchNormalization(name="bn1")(x)
    x = layers.ReLU(name="relu1")(x)
    y = layers.Conv1D(7, 3, padding="same", name="conv2")(x)
    y = layers.BatchNormalization(scale=False, name="bn2")(y)
    z = layers.Conv1D(7, 1, use_bias=False, name="shortcut_0")(x)
    z = layers.BatchNormalization(name="shortcut_1")(z)
    x = layers.Add(name="add")([y, z])
    x = layers.DepthwiseConv1D(3, name="depthwise")(x)
    x = layers.Dense(6, activation="relu", name="hidden")(x)
    x = layers.GlobalAveragePooling1D(name="embedding")(x)
    x = layers.Dense(CLASSES, name="logits")(x)
    model = keras.Model(waveform, layers.Activation("softmax", name="predictions")(x), name="small")
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values = rng.normal(size=weight.shape)
        weight.assign(np.abs(values) + 0.5 if weight.name == "moving_variance" else values)
    return model


def arrays(model: keras.Model) -> dict[str, np.ndarray]:
    """Copies of all weights by path."""
    return {weight.path: np.array(weight.numpy()) for weight in model.weights}


def batch(size: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise, and classes."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(size, 40, 2)).astype("float32"), np.arange(size) % CLASSES
