"""The average of the weights against eq. (6) of Verbitskiy et al. 2022 in plain NumPy."""

import keras
import numpy as np
import pytest

from keras_audio.training.averaging import WeightAverage


@pytest.fixture
def network():
    x = inputs = keras.Input((4,))
    x = keras.layers.Dense(3, name="dense")(x)
    x = keras.layers.BatchNormalization(name="bn")(x)
    x = keras.layers.Dropout(0.5, seed=1)(x)  # holds the state of a generator, which is no weight
    return keras.Model(inputs, keras.layers.Dense(2, name="logits")(x))


def drift(network, rng):
    for variable in network.variables:
        if "float" in str(variable.dtype):
            variable.assign(variable + rng.normal(size=variable.shape))


def test_the_average_follows_equation_6(network):
    rng = np.random.default_rng(0)
    average = WeightAverage(network, 0.9)
    expected = [weight.numpy().astype(np.float64) for weight in network.trainable_variables]
    for step in range(1, 8):
        drift(network, rng)
        average.update(step)
        expected = [
            0.9 * old + 0.1 * weight.numpy()
            for old, weight in zip(expected, network.trainable_variables, strict=True)
        ]
    for ours, theirs in zip(average.variables, expected, strict=False):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-5, atol=1e-6)


def test_statistics_are_averaged_without_where_they_start(network):
    rng = np.random.default_rng(1)
    average = WeightAverage(network, 0.9)
    seen = []
    for step in range(1, 8):
        drift(network, rng)
        average.update(step)
        seen.append(network.get_layer("bn").moving_variance.numpy().astype(np.float64))
    factors = 0.9 ** np.arange(len(seen))[::-1]
    expected = np.tensordot(factors / factors.sum(), seen, axes=1)
    with average.in_place():
        statistics = network.get_layer("bn").moving_variance.numpy()
    np.testing.assert_allclose(statistics, expected, rtol=1e-5)


def test_the_weights_come_back(network):
    rng = np.random.default_rng(2)
    average = WeightAverage(network, 0.5)
    drift(network, rng)
    average.update(1)
    before = [variable.numpy() for variable in network.variables]
    with pytest.raises(KeyError), average.in_place():
        kernel = network.get_layer("dense").kernel.numpy()
        raise KeyError
    assert not np.array_equal(kernel, network.get_layer("dense").kernel.numpy())
    after = [variable.numpy() for variable in network.variables]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert len(average.variables) == len(network.variables) - 1  # all but the generator's state
