"""The batch normalisation of one operation: Keras' numbers, its gradients and its statistics."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_audio.data import open_records
from keras_audio.layers import BatchNorm
from keras_audio.models import create_model
from keras_audio.recipes import ResidualBlocks
from keras_audio.training.fitting import Plan, set_up
from keras_audio.training.fused_batch_norms import fuse_batch_norms

SETTINGS = {"momentum": 0.9, "epsilon": 1e-5}
SHAPES = [(4, 7, 5), (3, 6, 4, 5)]


def pair(shape, **settings):
    """A layer of Keras and one of ours, fused, with the same weights that do something."""
    random = np.random.default_rng(0)
    layers = keras.layers.BatchNormalization(**settings), BatchNorm(**settings)
    for layer in layers:
        layer.build(shape)
    fuse(layers[1], shape)
    for variables in zip(*(layer.weights for layer in layers), strict=True):
        value = random.uniform(0.5, 1.5, variables[0].shape)
        for variable in variables:
            variable.assign(value)
    return layers


def fuse(layer, shape):
    """Fuse a layer in a network of its own."""
    inputs = keras.Input(shape[1:])
    fuse_batch_norms(keras.Model(inputs, layer(inputs)))


def trained(layer, x, weights):
    """Outputs of a training step, all gradients, and the statistics after it."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, training=True)
        loss = tf.reduce_sum(outputs * weights)
    gradients = tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])
    statistics = [v.numpy() for v in layer.non_trainable_variables]
    return [outputs.numpy(), *(gradient.numpy() for gradient in gradients), *statistics]


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_training_step_is_that_of_keras(shape, learned):
    random = np.random.default_rng(1)
    x = random.normal(3, 2, shape).astype("float32")
    weights = random.normal(size=shape).astype("float32")
    theirs, ours = pair(shape, **SETTINGS, center=learned, scale=learned)
    expected, found = trained(theirs, x, weights), trained(ours, x, weights)
    assert len(found) == (6 if learned else 4)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_one_operation_in_training_and_keras_own_otherwise(shape):
    _, ours = pair(shape, **SETTINGS)

    def kinds(training, layer=ours):
        graph = tf.function(lambda x: layer(x, training=training)).get_concrete_function(
            tf.TensorSpec(shape)
        )
        return {operation.type for operation in graph.graph.get_operations()}

    assert "FusedBatchNormV3" in kinds(True) and "SquaredDifference" not in kinds(True)
    assert "FusedBatchNormV3" not in kinds(False)
    ours.trainable = False
    assert "FusedBatchNormV3" not in kinds(True)
    synchronized = BatchNorm(synchronized=True)
    fuse(synchronized, shape)
    assert "FusedBatchNormV3" not in kinds(True, synchronized)


def test_a_layer_that_is_not_fused_is_bit_equal_to_keras():
    x = np.random.default_rng(1).normal(size=(4, 7, 5)).astype("float32")
    theirs, ours = pair(x.shape, **SETTINGS)
    ours.fused = None
    assert np.array_equal(theirs(x, training=True), ours(x, training=True))
    assert all(map(np.array_equal, theirs.get_weights(), ours.get_weights()))


@pytest.mark.parametrize("name", ["m3", "spectrogram_res_rb4", "erann_3_1", "binaural_c"])
def test_all_norms_of_a_network_over_its_channels_are_fused(name):
    model = create_model(name, 2)
    fuse_batch_norms(model)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert norms and all(type(norm) is BatchNorm and norm.fused is not None for norm in norms)


def test_the_loop_trains_by_the_kernel(toy_data):
    records = open_records("toy_sounds", sample_rate=8000, data_dir=toy_data)
    recipe = ResidualBlocks(
        dataset="toy_sounds", network="m3", first_stride=16, duration=0.5, batch_size=4
    )
    full = recipe.build_model(len(records.labels))
    loop, batches, _ = set_up(full, records, records.folds, Plan.of(recipe)[-1])
    step = loop.train_step.get_concrete_function(batches.element_spec)
    assert {"FusedBatchNormV3", "FusedBatchNormGradV3"} <= {
        operation.type for operation in step.graph.get_operations()
    }


def test_inference_is_bit_equal_to_keras():
    x = np.random.default_rng(1).normal(size=(4, 7, 5)).astype("float32")
    theirs, ours = pair(x.shape, **SETTINGS)
    assert np.array_equal(theirs(x), ours(x))


@pytest.mark.parametrize("axis", [1, 2])
def test_another_axis_is_normalised_as_keras_does(axis):
    x = np.random.default_rng(1).normal(size=(3, 6, 4, 5)).astype("float32")
    theirs, ours = pair(x.shape, **SETTINGS, axis=axis)
    assert np.array_equal(theirs(x, training=True), ours(x, training=True))


def test_half_precision_is_that_of_keras():
    x = np.random.default_rng(1).normal(size=(4, 7, 5)).astype("float32")
    theirs, ours = pair(x.shape, **SETTINGS, dtype="mixed_bfloat16")
    answers = [layer(x, training=True) for layer in (theirs, ours)]
    assert answers[0].dtype == answers[1].dtype == tf.bfloat16
    assert np.array_equal(*(tf.cast(answer, "float32") for answer in answers))


def test_a_single_value_a_channel_has_no_variance():
    _, ours = pair((1, 1, 5), **SETTINGS)
    before = ours.moving_variance.numpy()
    x = np.ones((1, 1, 5), "float32")
    assert np.allclose(ours(x, training=True), ours.beta)
    np.testing.assert_allclose(ours.moving_variance, 0.9 * before, rtol=1e-6)


def test_it_comes_back_from_a_file(tmp_path):
    inputs = keras.Input((7, 5))
    model = keras.Model(inputs, BatchNorm(name="bn")(inputs))
    model.layers[-1].moving_mean.assign(np.arange(5))
    model.save(tmp_path / "model.keras")
    x = np.ones((2, 7, 5), "float32")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again.layers[-1]) is BatchNorm and np.array_equal(again(x), model(x))
