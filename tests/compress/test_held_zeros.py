"""Pruned kernels that no optimizer brings back, in every family of networks."""

import importlib.util
import os
import pathlib
import subprocess
import sys
import zipfile

import harness
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from plain_ranking import PRUNED, kernels, reference_round
from small_network import CLASSES, arrays, batch, build

from keras_audio.compress import hold_zeros, prune_round
from keras_audio.models import create_model, list_models, model_info

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
# One of each family, as light as it comes.
FAMILIES = (
    "m3",
    "m34_res_rb4",
    "spectrogram_res_rb6",
    "erann_3_1",
    "two_path_resnet",
    "binaural_a",
    "binaural_d",
    "resnet10",
)

# ------------------------------------------------------------------------------- held at zero

OPTIMIZERS = {
    "Adam": lambda: keras.optimizers.Adam(0.01),
    "SGD": lambda: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
    "AdamW": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "Lion": lambda: keras.optimizers.Lion(0.01, weight_decay=0.1),
    "Adam with clipping, accumulated": lambda: keras.optimizers.Adam(
        0.01, global_clipnorm=1.0, gradient_accumulation_steps=2
    ),
    "scaled losses": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)),
}


def step(model, optimizer, seed):
    """One step of training, by hand."""
    x, y = batch(seed=seed)
    with tf.GradientTape() as tape:
        loss = keras.ops.mean(
            keras.losses.sparse_categorical_crossentropy(y, model(x, training=True))
        )
        scaled = optimizer.scale_loss(loss)
    gradients = tape.gradient(scaled, [v.value for v in model.trainable_variables])
    optimizer.apply(gradients, model.trainable_variables)


def zeros_of(model):
    """Where whole kernels and scales are zero."""
    return {
        weight.path: ~np.abs(kernels(weight.numpy())).any(axis=1)
        for weight in model.weights
        if weight.path in PRUNED
    }


def assert_same_zeros(model, expected):
    assert any(zeros.any() for zeros in expected.values())
    for path, zeros in zeros_of(model).items():
        np.testing.assert_array_equal(zeros, expected[path], err_msg=path)
    for weight in model.weights:
        if weight.path in PRUNED:
            held = kernels(weight.numpy())[expected[weight.path]]
            assert not np.signbit(held).any(), "-0, which is stored as another number"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_optimizer_brings_them_back(name):
    model, optimizer = build(), OPTIMIZERS[name]()
    for seed in range(6):
        step(model, optimizer, seed)  # so that momentum has a memory of the kernels
    prune_round(model, 0.4)
    zeros, before = zeros_of(model), arrays(model)
    for seed in range(10):
        step(model, optimizer, seed)
        assert_same_zeros(model, zeros)
    after = arrays(model)
    for path in ("conv1/kernel", "conv2/kernel", "bn1/gamma", "bn1/beta", "logits/kernel"):
        assert np.abs(after[path] - before[path]).max() > 1e-3, f"{path} was not trained"
    # The optimizer does try: without the constraints they come back.
    for weight in model.weights:
        weight.constraint = None
    step(model, optimizer, 0)
    step(model, optimizer, 1)
    assert sum(zeros_of(model)["bn1/gamma"]) < sum(zeros["bn1/gamma"])


def test_fit_holds_them_although_it_was_traced_before():
    keras.utils.set_random_seed(0)
    model = build()
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    x, y = batch(32)
    model.fit(x, y, batch_size=8, epochs=2, verbose=0)
    prune_round(model, 0.3)
    zeros, before = zeros_of(model), arrays(model)
    model.fit(x, y, batch_size=8, epochs=2, verbose=0)
    assert_same_zeros(model, zeros)
    assert np.abs(arrays(model)["conv2/kernel"] - before["conv2/kernel"]).max() > 1e-3
    traced = model.train_function
    hold_zeros(model)
    assert model.train_function is traced, "nothing changed, so nothing need be traced again"


def test_a_constraint_of_the_layers_own_still_holds():
    model = build(kernel_constraint=keras.constraints.NonNeg())
    conv = model.get_layer("conv1")
    own = conv.kernel.constraint
    conv.kernel.assign(np.abs(conv.kernel.numpy()))
    prune_round(model, 0.3)
    hold_zeros(model)
    prune_round(model, 0.3)
    assert conv.kernel.constraint.before is own, "once, however often zeros are held"
    zeros, optimizer = zeros_of(model), keras.optimizers.SGD(10.0)
    step(model, optimizer, 0)
    assert_same_zeros(model, zeros)
    assert conv.kernel.numpy().min() == 0
    alive = kernels(conv.kernel.numpy())[~zeros["conv1/kernel"]]
    assert (alive == 0).any() and (alive > 0).any(), "negative weights were cut off, not kept"


def test_a_saved_model_needs_nothing_of_ours_and_is_held_again(tmp_path):
    model = build(kernel_constraint="non_neg")
    prune_round(model, 0.3)
    zeros = zeros_of(model)
    model.save(tmp_path / "pruned.keras")
    with zipfile.ZipFile(tmp_path / "pruned.keras") as file:
        config = file.read("config.json").decode()
    assert "HeldZeros" not in config and "keras_audio" not in config and "NonNeg" in config
    loaded = keras.models.load_model(tmp_path / "pruned.keras")
    for path, array in arrays(model).items():
        np.testing.assert_array_equal(arrays(loaded)[path], array)
    assert type(loaded.get_layer("conv1").kernel.constraint) is keras.constraints.NonNeg
    hold_zeros(loaded)
    optimizer = keras.optimizers.Adam(0.1)
    for seed in range(3):
        step(loaded, optimizer, seed)
    assert_same_zeros(loaded, zeros)


def test_what_is_held_is_what_is_zero_now():
    model = build()
    prune_round(model, 0.3)
    first, weights = zeros_of(model), model.get_weights()
    prune_round(model, 0.3)
    second = zeros_of(model)
    for path in PRUNED:
        assert (second[path] >= first[path]).all() and second[path].sum() > first[path].sum()
    held = model.get_layer("conv1").kernel.constraint
    np.testing.assert_array_equal(held.zeros, second["conv1/kernel"])
    # The weights of the round before: its zeros are held, and those of the second are free.
    model.set_weights(weights)
    hold_zeros(model)
    optimizer = keras.optimizers.Adam(0.01)
    step(model, optimizer, 0)
    assert_same_zeros(model, first)
    # Nothing pruned at all: the constraints are gone.
    model.set_weights(build().get_weights())
    hold_zeros(model)
    assert all(weight.constraint is None for weight in model.weights)


def test_layers_that_begin_as_zeros_are_free():
    model = build()
    for weight in (model.get_layer("shortcut_1").gamma, model.get_layer("logits").kernel):
        weight.assign(np.zeros(weight.shape))
    done = prune_round(model, 0.3)
    assert [row.pruned for row in done.rows] == [3, 3, 2, 2, 0]
    assert model.get_layer("shortcut_1").gamma.constraint is None
    optimizer = keras.optimizers.Adam(0.01)
    for seed in range(3):
        step(model, optimizer, seed)
    assert np.count_nonzero(model.get_layer("logits").kernel.numpy()) == 6 * CLASSES
    # Two scales stand behind kernels that were pruned, where there is nothing to learn.
    assert np.count_nonzero(model.get_layer("shortcut_1").gamma.numpy()) == 7 - 2


def test_an_average_of_weights_is_refused():
    model = build()
    model.compile(keras.optimizers.Adam(use_ema=True), "mse")
    with pytest.raises(ValueError, match="does not average weights.*Adam with use_ema=True"):
        hold_zeros(model)


MIRRORED = """
import sys
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    # Loaded without the package: a pruned model is an ordinary one.
    model = keras.models.load_model(sys.argv[1])
    assert "keras_audio" not in sys.modules
    from keras_audio.compress import hold_zeros, prune_round
    hold_zeros(model)
    held = model.get_layer("conv1").kernel.constraint.zeros.sum()
    assert prune_round(model, 0.3).pruned
    assert model.get_layer("conv1").kernel.constraint.zeros.sum() > held > 0
    model.compile(keras.optimizers.AdamW(0.01, weight_decay=0.1), "sparse_categorical_crossentropy")
def zeros():
    weights = [w.numpy() for w in model.trainable_weights if w.name in ("kernel", "gamma")]
    return [(~w.any(axis=tuple(range(w.ndim - 1)))).tolist() for w in weights]
x, y = np.random.default_rng(0).normal(size=(32, 40, 2)).astype("float32"), np.arange(32) % 3
before, kernel = zeros(), model.get_layer("conv1").kernel.numpy()
model.fit(x, y, batch_size=8, epochs=2, verbose=0)
assert zeros() == before and any(map(any, before))
assert abs(model.get_layer("conv1").kernel.numpy() - kernel).max() > 1e-3
for weight in model.trainable_weights:
    one, two = (v.numpy() for v in weight.value.values)
    assert (one == two).all()
"""


def in_a_process(script, *arguments, **environment):
    result = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_two_devices_keep_the_zeros(tmp_path):
    whole = build()
    x = whole.get_layer("relu1").output
    x = layers.GlobalAveragePooling1D(name="embedding")(x)
    model = keras.Model(whole.input, layers.Dense(3, activation="softmax", name="logits")(x))
    prune_round(model, 0.3)
    model.save(tmp_path / "pruned.keras")
    in_a_process(MIRRORED, tmp_path / "pruned.keras")


ON_JAX = """
import sys
import keras, numpy as np
from keras_audio.compress import count_weights, half_precision, hold_zeros, load_half, prune_round
from keras_audio.compress import save_half
assert keras.backend.backend() == "jax"
model = keras.models.load_model(sys.argv[1])
hold_zeros(model)
model.compile(keras.optimizers.AdamW(0.01, weight_decay=0.1), "sparse_categorical_crossentropy")
x, y = np.random.default_rng(0).normal(size=(32, 40, 2)).astype("float32"), np.arange(32) % 3
def zeros():
    return [np.argwhere(np.asarray(w) == 0).tolist() for w in model.trainable_weights]
before = count_weights(model, "stored").non_zero
kept = zeros()
model.fit(x, y, batch_size=8, epochs=2, verbose=0)
assert zeros() == kept and count_weights(model, "stored").non_zero == before
assert prune_round(model, 0.3).pruned
kept = zeros()
model.fit(x, y, batch_size=8, epochs=2, verbose=0)
assert zeros() == kept
half = half_precision(model)
save_half(model, sys.argv[2])
load_half(model, sys.argv[2])
rounded = x.astype("float16").astype("float32")
assert np.abs(np.asarray(half(x)) - np.asarray(model(rounded))).max() < 1e-6
compiled = half.predict(x, verbose=0)  # traced and compiled, which must not drop the rounding
assert np.abs(compiled - np.asarray(half(x))).max() < 1e-5
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs jax: pip install jax")
@pytest.mark.slow
def test_on_jax(tmp_path):
    model = build()
    prune_round(model, 0.3)
    model.save(tmp_path / "pruned.keras")
    paths = tmp_path / "pruned.keras", tmp_path / "half.npz"
    in_a_process(ON_JAX, *paths, KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")


# --------------------------------------------------------------------------------- every family


def test_each_family_has_one_here():
    assert {model_info(name).paper for name in FAMILIES} == {
        model_info(name).paper for name in list_models()
    }


@pytest.mark.parametrize("name", FAMILIES)
def test_a_round_of_any_network_and_a_step_behind_it(name):
    keras.utils.set_random_seed(0)
    model = create_model(name, harness.CLASSES, **harness.LIGHT.get(name, {}))
    harness.randomize(model)
    before = arrays(model)
    done = prune_round(model, 0.3)
    zeros = {path: array == 0 for path, array in arrays(model).items()}
    for row in done.rows:
        path = f"{row.name}/{'gamma' if row.kind == 'scale' else 'kernel'}"
        expected, count = reference_round(before[path], 0.3)
        np.testing.assert_array_equal(arrays(model)[path], expected)
        assert row.pruned == count == max(round(row.total * 0.3), 0)
    # All convolutions but those that give the classes, and every scale.
    convolutions = [v for v in model.layers if isinstance(v, layers.Conv1D | layers.Conv2D)]
    scales = [v for v in model.layers if isinstance(v, layers.BatchNormalization) and v.scale]
    assert {row.name for row in done.rows} == {
        layer.name for layer in (*convolutions, *scales) if not layer.name.startswith("logits")
    }
    x = harness.waveforms(name, batch=4)
    gradients = harness._gradients(model, x)
    revived = sum(
        np.count_nonzero(np.asarray(gradient)[zeros[variable.path]])
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
    )
    assert revived, "no gradient would bring anything back, so that nothing is shown"
    pruned = arrays(model)
    keras.optimizers.Adam(1e-3).apply(gradients, model.trainable_variables)
    for variable in model.trainable_variables:
        after, was_zero = variable.numpy(), zeros[variable.path]
        if variable.name in ("kernel", "gamma"):
            assert not after[was_zero].any(), variable.path
            assert np.abs(after - pruned[variable.path]).max() > 1e-4, variable.path
    harness.assert_probabilities(harness.run(model, x))
