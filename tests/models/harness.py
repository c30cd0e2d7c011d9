"""What every network must do, and what every way of running one must answer to.

A model's test is one call of `check_contract`. Everything here runs on every Keras backend, but
for the SavedModel, which is TensorFlow's.
"""

import contextlib
import json
import pathlib
import tempfile
from collections.abc import Callable

import keras
import numpy as np

from keras_audio.models import create_model, model_info

CLASSES = 7
# What makes a network light that is the same at any size.
LIGHT = {
    "two_path_resnet": {"num_filters": 2},
    **{f"resnet{layers}": {"num_filters": 4} for layers in (10, 18, 34)},
}


def check_contract(name: str, *, export: bool = False, **arguments) -> None:
    """Check all of the contract on small inputs.

    Args:
        name: Of the network.
        export: Check the SavedModel, too (seconds a network).
        **arguments: Of `create_model`, besides those of `LIGHT`.
    """
    arguments = LIGHT.get(name, {}) | arguments
    model = create_model(name, CLASSES, **arguments)
    randomize(model)
    check_names_and_shapes(model, name, **arguments)
    check_lengths_and_batches(model, name)
    check_gradients(model, name)
    check_saving(model, name)
    check_mixed_precision(name, **arguments)
    check_regularizer(name, **arguments)
    if export:
        check_export(model, name)


def waveforms(name: str, batch: int = 2, extra: int = 0, channels: int | None = None) -> np.ndarray:
    """Noise of about the least length that the network takes."""
    info = model_info(name)
    samples = info.min_samples + 500 + extra
    shape = (batch, samples, channels or info.channels)
    return (np.random.default_rng(samples).normal(size=shape) * 0.3).astype("float32")


def randomize(model: keras.Model, seed: int = 0) -> None:
    """Give batch normalisations statistics unlike their start, which would hide mix-ups."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.path.startswith("input_bn/moving"):
            # It normalises decibels: other statistics would drive every probability to 0 or 1.
            middle = -40.0 if weight.name == "moving_mean" else 400.0
            weight.assign(middle * rng.uniform(0.9, 1.1, weight.shape))
        elif weight.name in ("gamma", "moving_variance"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ("beta", "bias", "moving_mean"):
            weight.assign(rng.normal(size=weight.shape) * 0.1)


def run(model: keras.Model, x) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(x, training=False))


def check_names_and_shapes(model: keras.Model, name: str, **arguments) -> None:
    assert model.name == name
    names = [layer.name for layer in model.layers]
    assert len(names) == len(set(names))
    assert names[-1] == "predictions"
    embedding = model.get_layer("embedding").output
    assert len(embedding.shape) == 2 and embedding.shape[1] is not None
    assert model.get_layer("logits").output.shape == (None, CLASSES)
    assert model.output_shape == (None, CLASSES)
    assert model.input_shape == (None, None, model_info(name).channels)
    again = create_model(name, CLASSES, **arguments)
    assert [w.path for w in again.weights] == [w.path for w in model.weights], "unstable names"


def check_lengths_and_batches(model: keras.Model, name: str) -> None:
    for extra in (0, 777):
        x = waveforms(name, batch=3, extra=extra)
        together = run(model, x)
        assert together.shape == (3, CLASSES)
        assert_probabilities(together)
        alone = np.concatenate([run(model, x[i : i + 1]) for i in range(3)])
        np.testing.assert_allclose(together, alone, atol=1e-5)
    shortest = waveforms(name)[:, : model_info(name).min_samples]
    assert_probabilities(run(model, shortest))


def check_gradients(model: keras.Model, name: str) -> None:
    gradients = _gradients(model, waveforms(name, batch=4))
    assert len(gradients) == len(model.trainable_variables)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None, f"no gradient for {variable.path}"
        gradient = keras.ops.convert_to_numpy(gradient)
        assert np.isfinite(gradient).all(), variable.path
        # The bias of a convolution before a batch normalisation rightly gets none but noise.
        if variable.name != "bias":
            assert np.abs(gradient).max() > 0, f"zero gradient for {variable.path}"


def _gradients(model: keras.Model, x) -> list:
    # Of the logits: probabilities may be saturated, and have no slope there.
    network = keras.Model(model.input, model.get_layer("logits").output)
    assert [v.path for v in network.trainable_variables] == [
        v.path for v in model.trainable_variables
    ]
    targets = np.arange(len(x)) % CLASSES

    def loss(logits):
        losses = keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)
        return keras.ops.mean(losses)

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Training must not leave its batch statistics in the model for the checks to come.
        before = model.get_weights()
        with tf.GradientTape() as tape:
            value = loss(network(x, training=True))
        gradients = tape.gradient(value, [v.value for v in network.trainable_variables])
        model.set_weights(before)
        return gradients
    import jax

    others = [v.value for v in network.non_trainable_variables]

    def of_weights(weights):
        return loss(network.stateless_call(weights, others, x, training=True)[0])

    return jax.grad(of_weights)([v.value for v in network.trainable_variables])


def check_saving(model: keras.Model, name: str) -> None:
    x = waveforms(name)
    expected = run(model, x)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.keras"
        model.save(path)
        loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(run(loaded, x), expected)
    text = model.to_json()
    json.loads(text)
    rebuilt = keras.models.model_from_json(text)
    assert [w.path for w in rebuilt.weights] == [w.path for w in model.weights]
    rebuilt.set_weights(model.get_weights())
    np.testing.assert_array_equal(run(rebuilt, x), expected)


def check_mixed_precision(name: str, **arguments) -> None:
    x = waveforms(name, batch=4)
    with policy("mixed_float16"):
        model = create_model(name, CLASSES, **arguments)
    assert model.get_layer("embedding").dtype == "float32"
    assert any(layer.compute_dtype == "float16" for layer in model.layers)
    for training in (False, True):
        output = keras.ops.convert_to_numpy(model(x, training=training))
        assert output.dtype == np.float32
        assert_probabilities(output)


def check_regularizer(name: str, **arguments) -> None:
    model = create_model(name, CLASSES, kernel_regularizer=1e-4, **arguments)
    kernels = [w for w in model.trainable_weights if w.name == "kernel"]
    assert len(model.losses) == len(kernels)
    expected = sum(np.square(keras.ops.convert_to_numpy(w), dtype="float64").sum() for w in kernels)
    np.testing.assert_allclose(float(sum(model.losses)), 1e-4 * expected, rtol=1e-4)


def check_export(model: keras.Model, name: str) -> None:
    """Check the SavedModel of Keras: TensorFlow only, any batch and length."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, format="tf_saved_model", verbose=False)
        loaded = tf.saved_model.load(folder)
        for batch, extra in ((1, 0), (3, 901)):
            x = waveforms(name, batch=batch, extra=extra)
            np.testing.assert_allclose(loaded.serve(x).numpy(), run(model, x), atol=1e-5)


def check_model(
    predict: Callable[[np.ndarray], np.ndarray], sample_rate: int, channels: int, clip: np.ndarray
) -> None:
    """Play silence, noise, a tone and a real clip to a model, however it is run.

    Args:
        predict: Float32 `(batch, samples, channels)` -> probabilities `(batch, classes)`.
        sample_rate: Of the model.
        channels: Of the model.
        clip: A real recording at that rate, `(samples, channels)`.
    """
    time = np.arange(2 * sample_rate) / sample_rate
    shape = (len(time), channels)
    sounds = {
        "silence": np.zeros(shape),
        "a constant": np.full(shape, 0.3),
        "noise": np.random.default_rng(0).uniform(-1, 1, shape),
        "faint noise": np.random.default_rng(0).uniform(-1e-4, 1e-4, shape),
        "a tone": np.repeat(0.5 * np.sin(2 * np.pi * 440 * time)[:, None], channels, axis=1),
        "a real clip": clip,
    }
    answers = {}
    for what, sound in sounds.items():
        answers[what] = np.asarray(predict(sound[None].astype("float32")))
        assert_probabilities(answers[what], what)
    assert np.abs(answers["noise"] - answers["a real clip"]).max() > 0, "deaf: same answer to all"


def assert_probabilities(values: np.ndarray, what: str = "") -> None:
    assert np.isfinite(values).all(), what
    assert (values >= 0).all(), what
    np.testing.assert_allclose(values.sum(axis=-1), 1.0, atol=1e-5, err_msg=what)


@contextlib.contextmanager
def policy(name: str):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
