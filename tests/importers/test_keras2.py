"""The importer against the original network, and against files that do not fit."""

import pathlib
import shutil

import h5py
import keras
import numpy as np
import pytest

from keras_audio.importers import load_keras2_h5
from keras_audio.models import create_model


@pytest.fixture(scope="module")
def original(shared) -> pathlib.Path:
    return shared / "reference" / "m34_res.h5"


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return create_model("m34_res_rb6", 10)


@pytest.fixture
def copy(original, tmp_path) -> pathlib.Path:
    path = tmp_path / "copy.h5"
    shutil.copyfile(original, path)
    path.chmod(0o644)
    return path


def test_answers_as_the_original_network(original, shared):
    model = create_model("m34_res_rb6", 10)
    load_keras2_h5(model, original)
    with np.load(shared / "reference" / "m34_res_io.npz") as io:
        difference = np.abs(model.predict(io["x"], verbose=0) - io["y"]).max()
    assert difference < 1e-5


def _refuses(model, path, *parts):
    before = [np.array(weight) for weight in model.weights]
    with pytest.raises(ValueError) as error:
        load_keras2_h5(model, path)
    for part in (str(path), *parts):
        assert part in str(error.value)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(np.array(weight), value)


def test_refuses_another_number_of_classes_naming_the_array(original):
    other = create_model("m34_res_rb6", 7)
    _refuses(other, original, "dense/kernel has shape (384, 10), expected (384, 7)")


@pytest.mark.parametrize(
    ("name", "named"),
    [
        # No batch normalisation after the addition, so the first of 96 channels comes early.
        ("m34_res_rb1", "bn12_branch2a/gamma has shape (48,), expected (96,)"),
        ("m34_res_rb5", "bn12_branch2b/gamma has shape (48,), expected (96,)"),
        ("m3", "conv1d/kernel has shape (80, 1, 48), expected (80, 1, 256)"),
    ],
)
def test_refuses_another_network(original, name, named):
    _refuses(create_model(name, 10), original, named)


def test_refuses_a_file_with_fewer_layers_than_the_model(copy, model):
    with h5py.File(copy, "r+") as file:
        root = file["model_weights"]
        root.attrs["layer_names"] = root.attrs["layer_names"][:-1]
    _refuses(model, copy, "no array for logits/kernel")


def test_refuses_a_layer_with_an_array_missing_or_too_many(copy, model):
    with h5py.File(copy, "r+") as file:
        group = file["model_weights/res21_branch2a"]
        names = [b"res21_branch2a/kernel:0", b"res21_branch2a/bias:0"]
        group.attrs["weight_names"] = names[:1]
    _refuses(model, copy, "res21_branch2a/bias is missing")
    with h5py.File(copy, "r+") as file:
        group = file["model_weights/res21_branch2a"]
        group["res21_branch2a/extra:0"] = np.zeros(3, "float32")
        group.attrs["weight_names"] = [*names, b"res21_branch2a/extra:0"]
    _refuses(model, copy, "res21_branch2a/extra has no counterpart")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_refuses_values_that_are_not_finite(copy, model, value):
    with h5py.File(copy, "r+") as file:
        file["model_weights/dense/dense/bias:0"][3] = value
    _refuses(model, copy, "dense/bias", "not finite")


def test_refuses_arrays_of_another_kind(copy, model):
    with h5py.File(copy, "r+") as file:
        group = file["model_weights/dense"]
        del group["dense/bias:0"]
        group["dense/bias:0"] = np.zeros(10, "int32")
    _refuses(model, copy, "dense/bias is no array of floating-point numbers")


def test_refuses_an_array_that_is_listed_but_not_there(copy, model):
    with h5py.File(copy, "r+") as file:
        del file["model_weights/dense/dense/bias:0"]
    _refuses(model, copy, "bias:0")


def test_refuses_what_is_no_keras_file(tmp_path, original, model):
    _refuses(model, tmp_path / "none.h5", "no such file")
    _refuses(model, tmp_path, "not a file")
    text = tmp_path / "text.h5"
    text.write_text("no HDF5")
    _refuses(model, text, "not HDF5")
    empty = tmp_path / "empty.h5"
    h5py.File(empty, "w").close()
    _refuses(model, empty, "layer_names")
    cut = tmp_path / "cut.h5"
    cut.write_bytes(original.read_bytes()[:100_000])
    _refuses(model, cut)


def test_never_looks_at_the_architecture(copy, model):
    with h5py.File(copy, "r+") as file:
        file.attrs["model_config"] = '{"class_name": "Lambda", "config": "not to be run"}'
    load_keras2_h5(model, copy)


def test_reads_a_file_of_weights_alone_in_an_order_that_is_given(tmp_path):
    inputs = keras.Input((4,))
    # Two paths: the order of the file need not be the order of model.layers.
    left = keras.layers.Dense(2, name="left")(inputs)
    right = keras.layers.Dense(2, name="right")(inputs)
    model = keras.Model(inputs, keras.layers.Add()([left, right]))
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"dense", b"dense_1"]
        for index, name in enumerate(["dense", "dense_1"]):
            group = file.create_group(name)
            group[f"{name}/kernel:0"] = np.full((4, 2), index + 1, "float32")
            group[f"{name}/bias:0"] = np.zeros(2, "float32")
            group.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
    load_keras2_h5(model, path, layers=["right", "left"])
    assert np.array(model.get_layer("right").kernel).max() == 1
    assert np.array(model.get_layer("left").kernel).max() == 2
    with pytest.raises(ValueError, match="Received: layers that differ=\\['left'\\]"):
        load_keras2_h5(model, path, layers=["right"])
