"""Bilinear resizing of spectrograms, as the first method of Colangelo et al. 2021 takes it.

Our layer against an implementation in NumPy that works with matrices: each output pixel is a
weighted mean of the two input pixels whose centres its own lies between, and nothing is smoothed
before.
"""

import keras
import numpy as np
import pytest

from keras_audio.layers import Resize


def _weights(size: int, new_size: int) -> np.ndarray:
    """How much each of `size` pixels counts in each of `new_size`: (new_size, size)."""
    centres = (np.arange(new_size) + 0.5) * size / new_size - 0.5
    # Before the first centre and behind the last one the image goes on as it is there.
    distances = np.abs(np.clip(centres, 0, size - 1)[:, None] - np.arange(size))
    return np.maximum(1 - distances, 0)


def _bilinear(images, mels, frames):
    rows, columns = _weights(images.shape[1], mels), _weights(images.shape[2], frames)
    by_channel = np.moveaxis(images.astype("float64"), -1, 1)
    return np.moveaxis(rows @ by_channel @ columns.T, 1, -1)


def test_the_reference_by_hand():
    # Centres of two of three pixels: at 0.25 and 1.75.
    np.testing.assert_allclose(_weights(3, 2), [[0.75, 0.25, 0], [0, 0.25, 0.75]])
    np.testing.assert_allclose(_weights(2, 4), [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])


@pytest.mark.parametrize(
    ("size", "new_size"),
    [
        ((128, 300), (96, 214)),
        ((128, 300), (64, 128)),
        ((96, 300), (96, 214)),
        ((64, 300), (64, 128)),
        ((128, 300), (128, 300)),
    ],
)
def test_equals_numpy(size, new_size):
    images = np.random.default_rng(0).uniform(size=(2, *size, 2)).astype("float32")
    layer = Resize(*new_size)
    resized = np.array(layer(images))
    assert resized.shape == (2, *new_size, 2)
    np.testing.assert_allclose(resized, _bilinear(images, *new_size), atol=1e-4)
    if size == new_size:
        np.testing.assert_array_equal(resized, images)


def test_a_straight_slope_stays_one():
    slope = np.add.outer(np.arange(128.0), 2 * np.arange(300.0)).astype("float32")[None, ..., None]
    layer = Resize(64, 128)
    resized = np.array(layer(slope))[0, :, :, 0]
    np.testing.assert_allclose(np.diff(resized, axis=0), 2.0, atol=1e-3)
    np.testing.assert_allclose(np.diff(resized, axis=1), 2 * 300 / 128, atol=1e-3)


def test_what_stands_behind_it_does_not_take_itself_for_training():
    # Keras' own layer has that effect: batch norms behind it would learn from each prediction.
    inputs = keras.Input((4, 6, 1))
    model = keras.Model(inputs, keras.layers.BatchNormalization()(Resize(2, 3)(inputs)))
    images = np.random.default_rng(0).normal(5, 2, size=(2, 4, 6, 1)).astype("float32")
    np.testing.assert_allclose(model(images), Resize(2, 3)(images) / np.sqrt(1.001), rtol=1e-5)
    np.testing.assert_array_equal(model.layers[-1].moving_mean, [0])
    again = keras.Model.from_config(model.get_config())
    assert again.output_shape == model.output_shape == (None, 2, 3, 1)
