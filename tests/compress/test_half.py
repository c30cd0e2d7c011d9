"""Weights and inputs rounded to half precision, against NumPy's; the file of 16-bit weights."""

import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from small_network import arrays, batch, build

from keras_audio.compress import (
    RoundToHalf,
    count_weights,
    half_precision,
    load_half,
    prune_round,
    save_half,
    stored_bytes,
)
from keras_audio.models import create_model

# Ties, subnormal numbers, the least and the largest, and what int16 samples become.
NUMBERS = np.concatenate(
    [
        np.random.default_rng(0).normal(size=1000),
        np.arange(-32768, 32768, 37) / 32768,
        [1 + 2**-11, 1 + 3 * 2**-11, 2049, 2051, 65504, 65519, 2**-14, 2**-24, 2**-25, 1e-9, -0.0],
        np.linspace(0, 2**-13, 100),
    ]
).astype("float32")


def half(values):
    return values.astype("float16").astype("float32")


def logits(model, x):
    return keras.Model(model.input, model.get_layer("logits").output)(x).numpy()


def test_inputs_are_rounded_as_numpy_does():
    expected = half(NUMBERS)
    assert (expected != NUMBERS).mean() > 0.5
    layer = RoundToHalf()
    np.testing.assert_array_equal(layer(NUMBERS).numpy(), expected)
    # Nor may a compiler think that going down and up again is nothing.
    for compiled in (tf.function(layer), tf.function(layer, jit_compile=True)):
        np.testing.assert_array_equal(compiled(tf.constant(NUMBERS)).numpy(), expected)


def test_the_copy_is_the_network_with_rounded_weights_and_input():
    model = build()
    before, (x, _) = arrays(model), batch()
    copy = half_precision(model)
    for path, array in arrays(copy).items():
        np.testing.assert_array_equal(array, half(before[path]), err_msg=path)
        np.testing.assert_array_equal(arrays(model)[path], before[path])
    by_hand = build()
    by_hand.set_weights([half(array) for array in before.values()])
    expected = logits(by_hand, half(x))
    np.testing.assert_array_equal(logits(copy, x), expected)
    assert np.abs(expected - logits(by_hand, x)).max() > 1e-4
    unrounded = half_precision(model, inputs=False)
    np.testing.assert_array_equal(logits(unrounded, x), logits(by_hand, x))
    exact = logits(model, x)
    np.testing.assert_allclose(expected, exact, atol=5e-3 * np.abs(exact).max())


def test_the_copy_has_the_layers_of_the_network():
    model = build()
    copy = half_precision(model)
    names = [layer.name for layer in model.layers]
    assert [v.name for v in copy.layers] == [names[0], "round_to_half", *names[1:]]
    assert copy.name == "small" and copy.input.name == "waveform"
    assert [w.path for w in copy.weights] == [w.path for w in model.weights]
    assert all(weight.dtype == "float32" for weight in copy.weights)
    assert copy.get_layer("embedding").output.shape == (None, 6)
    # A copy of a copy rounds once.
    again = half_precision(copy)
    assert [v.name for v in again.layers] == [v.name for v in copy.layers]
    bare = half_precision(model, inputs=False)
    assert [v.name for v in bare.layers] == names


def test_the_copy_is_saved_and_loaded(tmp_path):
    copy, (x, _) = half_precision(build()), batch()
    copy.save(tmp_path / "half.keras")
    loaded = keras.models.load_model(tmp_path / "half.keras")
    np.testing.assert_array_equal(loaded(x), copy(x))


def test_pruned_kernels_stay_zero():
    model = build()
    prune_round(model, 0.3)
    paper = "conv1", "conv2", "shortcut_0"
    rows = {row.name: row for row in count_weights(model, "stored").layers}
    rounded = {row.name: row for row in count_weights(half_precision(model), "stored").layers}
    assert {name: rounded[name] for name in paper} == {name: rows[name] for name in paper}


@pytest.mark.parametrize("name", ["binaural_a", "binaural_d"])
def test_networks_answer_nearly_the_same(name):
    keras.utils.set_random_seed(0)
    model = create_model(name, 3, batch_norm_momentum=0.0)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name == "kernel":
            # Some channels all but silent: their variances are nothing in half precision.
            weight.assign(weight * np.where(rng.uniform(size=weight.shape[-1]) < 0.2, 1e-5, 1))
    x = (rng.normal(size=(2, 30_000, 2)) * 0.1).astype("float32")
    model(x, training=True)
    copy = half_precision(model)
    variances = [w.numpy() for w in copy.weights if w.name == "moving_variance"]
    assert min(map(np.min, variances)) == 0
    exact, rounded = logits(model, x), logits(copy, x)
    assert 0 < np.abs(rounded - exact).max() < 5e-3 * np.abs(exact).max()


def test_sequential_compiled_and_several_inputs():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, name="logits")])
    model.compile("adam", "mse")
    x = NUMBERS[:400].reshape(-1, 4)
    copy = half_precision(model)
    assert not copy.compiled
    kernel = half(model.get_layer("logits").kernel.numpy())
    np.testing.assert_allclose(copy(x), half(x) @ kernel, rtol=1e-6, atol=1e-6)
    inputs = {
        "sound": keras.Input((4,), name="sound"),
        "place": keras.Input((1,), dtype="int32", name="place"),
        "noise": keras.Input((4,), name="noise"),
    }
    places = layers.Flatten()(layers.Embedding(70_000, 4, name="places")(inputs["place"]))
    model = keras.Model(
        inputs, {"sum": layers.Add()([*map(inputs.get, ("sound", "noise")), places])}
    )
    values = {"sound": x, "place": np.full((100, 1), 69_999), "noise": x[::-1]}
    given = half(model.get_layer("places").embeddings.numpy()[69_999])
    found = half_precision(model)(values)["sum"]
    np.testing.assert_allclose(found, half(x) + half(x)[::-1] + given, rtol=1e-6)


def test_dtype_policies_are_kept():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = create_model("binaural_a", 3)
    finally:
        keras.config.set_dtype_policy(before)
    copy = half_precision(model)
    assert copy.get_layer("conv1").compute_dtype == "float16"
    assert copy.get_layer("conv1").kernel.dtype == "float32"
    assert copy.get_layer("round_to_half").compute_dtype == "float32"
    x = np.random.default_rng(0).normal(size=(1, 20_000, 2)).astype("float32")
    np.testing.assert_allclose(copy(x), model(x), atol=5e-3)


@pytest.mark.parametrize("value", [65520.0, -1e9, np.nan, np.inf])
def test_what_half_precision_does_not_have_is_refused(value, tmp_path):
    model = build()
    bias = model.get_layer("conv1").bias
    bias.assign(np.where(np.arange(10) == 3, value, 0))
    for function in (half_precision, lambda m: save_half(m, tmp_path / "half.npz"), stored_bytes):
        with pytest.raises(ValueError, match="Expected finite .* 65504.*'conv1/bias', which holds"):
            function(model)
    assert not list(tmp_path.iterdir())
    bias.assign(np.full(10, 65519.0))  # rounds to 65504
    assert half_precision(model).get_layer("conv1").bias.numpy().max() == 65504


def test_models_that_do_not_fit_are_refused(tmp_path):
    inputs = keras.Input((None, 2))
    nested = keras.Model(inputs, build()(inputs))
    for function in (half_precision, lambda m: save_half(m, tmp_path / "half.npz")):
        with pytest.raises(ValueError, match="Expected no model inside"):
            function(nested)
    called = type("Called", (keras.Model,), {"call": lambda self, x: x})()
    called(np.zeros(3))
    for function in (half_precision, stored_bytes, count_weights, lambda m: prune_round(m, 0.1)):
        with pytest.raises(ValueError, match="Expected a functional or Sequential model.*a Called"):
            function(called)
    with pytest.raises(ValueError, match=r"Expected a path that ends in .npz. Received: path="):
        save_half(build(), tmp_path / "half.h5")


# ------------------------------------------------------------------------------------- the file


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "half.npz"
    save_half(build(seed=1), path)
    return path


def rewrite(path, **changes):
    """Write the file again with arrays replaced, or left out where None."""
    with np.load(path) as file:
        content = {**file, **changes}
    np.savez(path, **{name: array for name, array in content.items() if array is not None})


def test_the_file_is_loaded_into_the_same_architecture(stored):
    model = build(seed=2)
    load_half(model, stored)
    for path, array in arrays(build(seed=1)).items():
        np.testing.assert_array_equal(arrays(model)[path], half(array), err_msg=path)
    with np.load(stored, allow_pickle=False) as file:
        assert set(file) == set(arrays(model))
        assert {array.dtype.name for array in file.values()} == {"float16"}
    # Over what was there, with nothing left beside it.
    save_half(model, stored)
    assert [path.name for path in stored.parent.iterdir()] == ["half.npz"]


def test_whole_numbers_stay_whole(tmp_path):
    class Counting(layers.Layer):
        def build(self, _):
            self.count = self.add_weight(name="count", dtype="int32", trainable=False)

        def call(self, x):
            return x

    inputs = keras.Input((2,))
    model = keras.Model(inputs, Counting(name="counting")(inputs))
    model.get_layer("counting").count.assign(70_001)
    save_half(model, tmp_path / "half.npz")
    model.get_layer("counting").count.assign(0)
    load_half(model, tmp_path / "half.npz")
    assert int(model.get_layer("counting").count.numpy()) == 70_001


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"conv1/kernel": None}, r"conv1/kernel is missing"),
        ({"conv9/kernel": np.zeros(3)}, r"conv9/kernel has no counterpart in the model"),
        ({"bn1/beta": np.zeros(9, "float16")}, r"is float16 of shape \(9,\), expected .* \(10,\)"),
        ({"bn1/beta": np.zeros(10)}, r"bn1/beta is float64 of shape \(10,\), expected float16"),
        ({"bn1/beta": np.full(10, np.inf, "float16")}, r"bn1/beta holds values that are not fin"),
        ({"bn1/beta": np.array([{}] * 10)}, r"bn1/beta is object of shape"),
    ],
)
def test_files_that_do_not_fit_are_refused_before_anything_changes(stored, changes, said):
    rewrite(stored, **changes)
    model = build(seed=2)
    with pytest.raises(ValueError, match=f"Expected a half-precision file.*path={stored} .*{said}"):
        load_half(model, stored)
    for path, array in arrays(build(seed=2)).items():
        np.testing.assert_array_equal(arrays(model)[path], array)


def test_what_is_no_such_file_is_refused(tmp_path):
    text, lone = tmp_path / "text.npz", tmp_path / "array.npz"
    text.write_text("no arrays")
    with open(lone, "wb") as file:
        np.save(file, np.zeros(3, "float16"))
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as file:
        for path in arrays(build()):
            file.writestr(f"{path}.npy", "no array")
    for name, said in [
        ("none.npz", "no such file"),
        ("", "not a file"),
        ("text.npz", "damaged: File is not a zip file"),
        ("array.npz", "damaged"),
        ("zip.npz", "bn1/beta is damaged|conv1/kernel is damaged"),
    ]:
        with pytest.raises(ValueError, match=f"Expected a half-precision file .*({said})"):
            load_half(build(), tmp_path / name)


def test_damaged_files_are_refused_or_hold_what_they_held(stored):
    whole = stored.read_bytes()
    rng = np.random.default_rng(0)
    model = build(seed=2)
    before = arrays(model)
    after = {path: half(array) for path, array in arrays(build(seed=1)).items()}
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= int(rng.integers(1, 256))
        end = len(whole) if rng.random() < 0.7 else int(rng.integers(len(whole)))
        stored.write_bytes(damaged[:end])
        try:
            load_half(model, stored)
        except ValueError as error:
            refused += 1
            assert str(error).startswith("Expected a half-precision file that fits.")
            expected = before
        else:
            expected = after
        for path, array in arrays(model).items():
            np.testing.assert_array_equal(array, expected[path])
        for weight in model.weights:
            weight.assign(before[weight.path])
    assert refused > 50


def test_bytes_on_disk(tmp_path):
    model = create_model("binaural_a", 3)
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    sizes = stored_bytes(model)
    save_half(model, tmp_path / "half.npz")
    assert sizes["npz"] == (tmp_path / "half.npz").stat().st_size
    weights = count_weights(model, "stored").total
    assert 2 * weights * 0.8 < sizes["npz"] < 2 * weights * 1.4
    assert 4 * weights < sizes["keras"] < 4 * weights + 100_000
    model.save(tmp_path / "with_optimizer.keras")
    assert sizes["keras"] + 8 * weights < (tmp_path / "with_optimizer.keras").stat().st_size
    # Zeros are compressed: what is pruned is not stored.
    for _ in range(4):
        prune_round(model, 0.3)
    assert stored_bytes(model)["npz"] < 0.7 * sizes["npz"]
