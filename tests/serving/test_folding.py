"""Batch norms folded into the convolutions before them: same answers, and only where they may."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_audio.models import create_model, model_info
from keras_audio.serving.checks import with_embedding
from keras_audio.serving.export import export_saved_model, serving_function
from keras_audio.serving.folding import fold_batch_norms


def random_norms(model):
    """Give the batch norms of a model something to do."""
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            for weight in layer.weights:
                weight.assign(random.uniform(0.5, 1.5, weight.shape))
    return model


def norms(model):
    """The names of its batch norms."""
    return [x.name for x in model.layers if isinstance(x, layers.BatchNormalization)]


# How many are left: those behind a sum, a padding or the input.
@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("m5", 0),
        ("m34_res_rb1", 0),
        ("m34_res_rb4", 0),
        ("m34_res_rb5", 16),
        ("binaural_d", 0),
        ("erann_3_1", 20),
        ("two_path_resnet", 19),
    ],
)
def test_networks_answer_alike_without_the_norms_that_a_convolution_can_do(name, left):
    info = model_info(name)
    model = with_embedding(random_norms(create_model(name, 4)))
    folded = fold_batch_norms(model)
    assert len(norms(folded)) == left
    sound = np.random.default_rng(1).uniform(-1, 1, (2, info.sample_rate, info.channels))
    answers, expected = folded(sound.astype("float32")), model(sound.astype("float32"))
    for output, value in expected.items():
        scale = max(1.0, float(np.abs(value).max()))
        assert np.abs(np.asarray(answers[output]) - value).max() < 1e-5 * scale, output


def test_the_model_that_is_served_is_left_as_it_is_and_its_graph_has_none():
    model = random_norms(create_model("m5", 4))
    before = [weight.copy() for weight in model.get_weights()]
    serve = serving_function(model).get_concrete_function()
    assert len(norms(model)) == 4
    assert all(map(np.array_equal, before, model.get_weights()))
    assert not any("moving" in variable.name for variable in serve.graph.variables)


def one(*path, name="bn", **settings):
    """A model of three features to `path`, then a batch norm."""
    x = inputs = keras.Input((6, 3))
    for layer in path:
        x = layer(x)
    return random_norms(keras.Model(inputs, layers.BatchNormalization(name=name, **settings)(x))), x


@pytest.mark.parametrize(
    ("path", "settings"),
    [
        ((layers.Conv1D(4, 3, activation="relu"),), {}),
        ((layers.Conv1D(4, 3), layers.ReLU()), {}),
        ((layers.Conv1D(4, 3),), {"axis": 1}),
        ((layers.SeparableConv1D(4, 3),), {}),
        ((), {}),
    ],
    ids=["activated", "behind an activation", "over time", "another kind", "first"],
)
def test_what_a_convolution_cannot_do_stays(path, settings):
    model, _ = one(*path, **settings)
    assert fold_batch_norms(model) is model


def test_what_others_read_stays_too():
    model, convolved = one(layers.Conv1D(4, 3))
    both = keras.Model(model.input, [model.output, convolved])
    assert fold_batch_norms(both) is both
    summed = keras.Model(model.input, layers.Add()([model.output, convolved]))
    assert fold_batch_norms(summed) is summed


class Halving(layers.BatchNormalization):
    """A norm of a user's, that is not Keras' formula."""

    def call(self, inputs, training=None, mask=None):
        """Normalise, and halve."""
        return super().call(inputs, training=training, mask=mask) / 2


def test_a_norm_of_another_kind_stays():
    inputs = keras.Input((6, 3))
    model = keras.Model(inputs, Halving()(layers.Conv1D(4, 3)(inputs)))
    assert fold_batch_norms(model) is model


def test_variances_near_zero_and_large_means_are_folded_to_rounding():
    model, _ = one(layers.Conv1D(4, 3), epsilon=1e-5)
    norm = model.get_layer("bn")
    norm.moving_variance.assign([1e-8, 1e-4, 1.0, 1e4])
    norm.moving_mean.assign([1e-3, 5.0, -50.0, 1e3])
    x = np.random.default_rng(1).normal(size=(2, 6, 3)).astype("float32")
    expected = np.asarray(model(x))
    largest = np.abs(expected).max(axis=(0, 1))
    assert np.all(np.abs(np.asarray(fold_batch_norms(model)(x)) - expected) <= 2e-6 * largest)


def around(offset):
    """A model whose convolution answers around a number that the batch norm takes away again."""
    waveform = keras.Input((None, 1))
    away = keras.initializers.Constant(offset)
    x = layers.Conv1D(8, 9, strides=4, bias_initializer=away)(waveform)
    x = layers.BatchNormalization(moving_mean_initializer=away)(x)
    x = layers.GlobalAveragePooling1D(name="embedding")(layers.ReLU()(x))
    return keras.Model(waveform, layers.Dense(3, activation="softmax", name="predictions")(x))


# Folded, the far number is never added: what its rounding takes away is no reason to refuse.
@pytest.mark.parametrize(("offset", "folded"), [(1.0, True), (3e4, False)])
def test_an_export_is_folded_where_that_leaves_the_answers_as_they_were(tmp_path, offset, folded):
    facts = {"labels": ["a", "b", "c"], "sample_rate": 8000}
    folder = export_saved_model(around(offset), tmp_path / "model", **facts)
    assert json.loads((folder / "export.json").read_text())["optimized"] is folded
    variables = tf.train.list_variables(str(folder / "variables/variables"))
    served = sum(name.startswith("served_variables/") for name, _ in variables)
    assert served == (4 if folded else 8)


def test_half_precision_stays():
    model, _ = one(layers.Conv1D(4, 3, dtype="mixed_bfloat16"), dtype="mixed_bfloat16")
    assert fold_batch_norms(model) is model


def test_a_layer_called_twice_stays():
    conv, norm = layers.Conv1D(3, 3, padding="same"), layers.BatchNormalization()
    inputs = keras.Input((6, 3))
    model = keras.Model(inputs, norm(conv(norm(conv(inputs)))))
    assert fold_batch_norms(model) is model


@pytest.mark.parametrize("settings", [{}, {"scale": False}, {"center": False}])
@pytest.mark.parametrize("use_bias", [True, False])
def test_bias_scale_and_offset_may_be_there_or_not(use_bias, settings):
    model, _ = one(layers.Conv1D(4, 3, use_bias=use_bias), **settings)
    x = np.random.default_rng(1).normal(size=(2, 6, 3)).astype("float32")
    folded = fold_batch_norms(model)
    assert norms(folded) == []
    np.testing.assert_allclose(folded(x), model(x), rtol=1e-5, atol=1e-6)
