"""Networks with dead kernels, and what holds of every one that was shrunk."""

import keras
import numpy as np
from keras import layers

from keras_audio.compress import ShrunkModel, shrink


def network(inputs, outputs, **dead) -> keras.Model:
    """A model with random weights, so that no constant is zero by chance, and dead channels.

    Args:
        inputs: As of `keras.Model`.
        outputs: Likewise.
        **dead: By the layer's name the kernels (or the scales of a batch normalisation) to zero.
    """
    model = keras.Model(inputs, outputs, name="small")
    rng = np.random.default_rng(0)
    for weight in model.weights:
        values = rng.normal(size=weight.shape)
        weight.assign(np.abs(values) + 0.5 if weight.name == "moving_variance" else values)
    kill(model, **dead)
    return model


def kill(model: keras.Model, **dead) -> None:
    for name, channels in dead.items():
        weight = model.get_layer(name).weights[0]
        assert weight.name in ("kernel", "gamma"), weight.path
        values = np.array(weight.numpy())
        values[..., channels] = 0
        weight.assign(values)


def set_biases(model: keras.Model, **biases) -> None:
    for name, bias in biases.items():
        layer = model.get_layer(name)
        layer.bias.assign(np.broadcast_to(np.array(bias, "float32"), layer.bias.shape))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def assert_equal_outputs(model: keras.Model, smaller: keras.Model, x) -> None:
    """Within 1e-5 of their size."""
    both = [keras.tree.flatten(network(x, training=False)) for network in (model, smaller)]
    assert len(both[0]) == len(both[1])
    for expected, got in zip(*both, strict=True):
        expected, got = map(keras.ops.convert_to_numpy, (expected, got))
        assert expected.shape == got.shape and np.isfinite(expected).all()
        # Where all varies, or a network that is constant equals any other.
        assert np.ptp(expected) > 0
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def shrunk(model: keras.Model, x) -> ShrunkModel:
    """Shrink, and check what holds of every model."""
    weights, graph, layer_ids = model.get_weights(), model.to_json(), list(map(id, model.layers))
    result = shrink(model)
    smaller = result.model
    # The model itself is as it was.
    assert all(map(np.array_equal, weights, model.get_weights()))
    assert model.to_json() == graph and list(map(id, model.layers)) == layer_ids
    # The smaller one shares nothing with it, but its names.
    assert smaller.name == model.name
    assert [layer.name for layer in smaller.layers] == [layer.name for layer in model.layers]
    assert smaller.input_shape == model.input_shape
    assert not {id(weight) for weight in model.weights} & {id(weight) for weight in smaller.weights}
    assert_equal_outputs(model, smaller, x)
    assert result.parameters_before == model.count_params()
    assert result.parameters_after == smaller.count_params()
    for row in result.layers:
        layer = smaller.get_layer(row.name)
        assert layer.weights[0].shape[-1] == row.after <= row.before
        if row.kind == "kernel":
            assert row.before - row.after <= row.dead
            assert bool(row.why) == (row.before - row.after < row.dead), row
    # Nothing is left to remove.
    again = shrink(smaller)
    assert all(map(np.array_equal, smaller.get_weights(), again.model.get_weights()))
    return result


def widths(result: ShrunkModel) -> dict[str, int]:
    return {row.name: row.after for row in result.layers if row.kind == "kernel"}


def whys(result: ShrunkModel) -> dict[str, str]:
    return {row.name: row.why for row in result.layers if row.why}


def residual(**dead) -> keras.Model:
    inputs = keras.Input((None, 2))
    x = layers.Conv1D(6, 3, name="stem")(inputs)
    x = layers.ReLU(name="relu")(x)
    y = layers.Conv1D(5, 3, padding="same", name="inner")(x)
    y = layers.ReLU(name="inner_relu")(y)
    y = layers.Conv1D(6, 1, name="outer")(y)
    y = layers.BatchNormalization(name="outer_bn")(y)
    x = layers.Add(name="sum")([x, y])
    model = network(inputs, layers.Dense(3, name="reader")(x), **dead)
    # Of equal constants any can stand for the others.
    set_biases(model, stem=1, inner=1)
    return model
