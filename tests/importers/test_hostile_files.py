"""Files of strangers: cut, lying, leading elsewhere, with code. Refused in a sentence, none run."""

import base64
import io
import json
import marshal
import os
import pathlib
import types
import zipfile

import h5py
import numpy as np
import pytest
from original_networks import config_with_code, plain, save

from keras_audio.importers import load_keras2_h5, load_torch_state_dict, read_original
from keras_audio.models import create_model


@pytest.fixture(scope="module")
def net():
    return plain("m3", 3, np.ones((1, 4000, 1), "float32"))


@pytest.fixture(scope="module")
def model():
    return create_model("m3", 3)


@pytest.fixture
def path(net, tmp_path) -> pathlib.Path:
    return save(tmp_path / "m3.h5", net, "{}")


KERNEL = "model_weights/conv1d_1/conv1d_1/kernel:0"


def refuses(path, *parts, name="m3", model=None) -> str:
    """Both to tell what is in the file and to load it, in one sentence that names the file."""
    with pytest.raises(ValueError) as error:
        read_original(path, name)
    said = [str(error.value)]
    if model is not None:
        before = model.get_weights()
        with pytest.raises(ValueError) as error:
            load_keras2_h5(model, path)
        said.append(str(error.value))
        for weight, value in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(weight, value)
    for text in said:
        assert text.startswith("Expected ") and "\n" not in text and len(text) < 600
        for part in (f"path={path}", *parts):
            assert part in text
    return said[0]


# --- Code


def test_code_of_a_lambda_is_not_run(net, tmp_path):
    target = tmp_path / "ran"
    config = config_with_code(target)
    path = save(tmp_path / "m3.h5", net, config)
    # The trap works: whoever builds the layer runs the code.
    (layer,) = json.loads(config)["config"]["layers"]
    code = marshal.loads(base64.b64decode(layer["config"]["function"][0]))
    types.FunctionType(code, {})(None)
    assert target.exists()
    target.unlink()
    said = refuses(path, "its layer lambda_1 is a Lambda, which holds code")
    assert "; --arrays-only reads the arrays alone and never the code)" in said
    assert read_original(path, "m3", arrays_only=True).classes == 3
    load_keras2_h5(create_model("m3", 3), path)
    assert not target.exists()


@pytest.mark.parametrize(
    "config",
    [
        {"layers": [{"config": {"layers": [{"class_name": "Lambda", "config": {}}]}}]},
        {"layers": [{"config": {"activation": {"class_name": "__lambda__", "config": "x"}}}]},
        {"layers": [{"class_name": "Lambda", "config": {"name": "a\x1b[2J\nb"}}]},
    ],
    ids=["of a model in it", "of an activation", "of a strange name"],
)
def test_code_is_found_wherever_it_is(config, net, tmp_path):
    path = save(tmp_path / "m3.h5", net, json.dumps({"class_name": "Model", "config": config}))
    refuses(path, "its layer Lambda is a Lambda, which holds code")


@pytest.mark.parametrize("config", ["", "{", "[" * 100_000, '{"a": 1} {"class_name": "Lambda"}'])
def test_an_architecture_that_cannot_be_read_may_hold_code(config, net, tmp_path):
    path = save(tmp_path / "m3.h5", net, config)
    refuses(path, "its model_config cannot be read; --arrays-only reads the arrays alone")
    assert read_original(path, "m3", arrays_only=True).classes == 3


@pytest.mark.parametrize(
    "value",
    [np.arange(3), [b"{}", b"{}"], h5py.Empty("S10"), 3.5],
    ids=["numbers", "several", "empty", "number"],
)
def test_an_architecture_that_is_no_text_is_refused(value, path):
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = value
    refuses(path, "model_config is no text, or too large")


def test_a_huge_architecture_is_refused(path):
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = " " * (2**24 + 1)
    refuses(path, "model_config is no text, or too large")


def test_code_in_a_pickle_is_not_run(tmp_path):
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")
    target, path = tmp_path / "ran", tmp_path / "binaural_a.pt"

    class Code:
        def __reduce__(self):
            return pathlib.Path.touch, (target,)

    for new_format in (True, False):
        torch.save({"code": Code()}, path, _use_new_zipfile_serialization=new_format)
        torch.load(path, weights_only=False)
        assert target.exists()
        target.unlink()
        refuses(path, "code in a file is never run", name="binaural_a")
        assert not target.exists()


def test_a_torchscript_program_is_not_run(tmp_path):
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")
    path = tmp_path / "binaural_a.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(path)
    refuses(path, "a TorchScript program: code in a file is never run", name="binaural_a")


# --- HDF5 that leads elsewhere


@pytest.fixture
def secret(tmp_path, net) -> pathlib.Path:
    """A file that whoever made the hostile one cannot read."""
    return save(tmp_path / "secret.h5", net, "{}")


def replace_kernel(path, make):
    with h5py.File(path, "r+") as file:
        group, name = file["model_weights/conv1d_1/conv1d_1"], "kernel:0"
        shape = group[name].shape
        del group[name]
        make(group, name, shape)


def test_a_link_to_another_file_is_not_followed(path, secret, model):
    link = h5py.ExternalLink(str(secret), KERNEL)
    replace_kernel(path, lambda group, name, shape: group.__setitem__(name, link))
    # The trap works.
    with h5py.File(path) as file:
        assert np.ptp(file[KERNEL][()]) > 0
    refuses(path, "conv1d_1/kernel is a link, which may lead to another file", model=model)


@pytest.mark.parametrize("place", ["model_weights", "model_weights/conv1d_1"])
def test_a_group_behind_a_link_is_not_followed(place, path, secret, model):
    for link in (h5py.ExternalLink(str(secret), place), h5py.SoftLink("/elsewhere")):
        with h5py.File(path, "r+") as file:
            if "elsewhere" not in file:
                file.move(place, "elsewhere")
            else:
                del file[place]
            file[place] = link
        refuses(path, f"{place.rpartition('/')[2]} is a link", model=model)


def test_arrays_kept_in_another_file_are_not_read(path, tmp_path, model):
    raw = tmp_path / "passwords"
    raw.write_bytes(b"secret, " * 80 * 256)

    def make(group, name, shape):
        group.create_dataset(name, shape, "float32", external=[(str(raw), 0, h5py.h5f.UNLIMITED)])

    replace_kernel(path, make)
    with h5py.File(path) as file:
        assert file[KERNEL][0, 0, 0] == np.frombuffer(b"secr", "float32")[0]
    refuses(path, "conv1d_1/kernel is kept in another file", model=model)


def test_virtual_arrays_are_not_read(path, secret, model):
    def make(group, name, shape):
        layout = h5py.VirtualLayout(shape, "float32")
        layout[...] = h5py.VirtualSource(str(secret), KERNEL, shape)
        group.create_virtual_dataset(name, layout)

    replace_kernel(path, make)
    refuses(path, "conv1d_1/kernel is kept in another file", model=model)


# --- Files that claim more than they hold


def test_arrays_that_are_not_in_the_file_are_not_made_up(path, model):
    def make(group, name, shape):
        group.create_dataset(name, (10**6, 10**6, 256), "float32")

    replace_kernel(path, make)
    assert path.stat().st_size < 2**20
    refuses(path, "conv1d_1/kernel claims (1000000, 1000000, 256) numbers", model=model)


def test_compressed_arrays_are_not_inflated(path, model):
    def make(group, name, shape):
        data = np.zeros((80, 1, 256), "float32")
        group.create_dataset(name, data=data, compression="gzip")

    replace_kernel(path, make)
    refuses(path, "conv1d_1/kernel is compressed", model=model)


def test_a_layer_as_wide_as_a_file_claims_is_not_made(tmp_path):
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")
    path = tmp_path / "state.pt"
    huge = {"conv1.weight": (16, 2, 64), "fc.weight": (3, 64)}
    for key, shape in (
        ("fc.weight", (10**12, 64)),
        ("conv1.weight", (10**6, 2, 64)),
        ("conv1.weight", (16, 10**6, 64)),
    ):
        shapes = huge | {key: shape}
        torch.save({name: torch.ones(1).expand(own) for name, own in shapes.items()}, path)
        assert path.stat().st_size < 10_000
        refuses(path, "at most 100000, 64, 256 classes, input channels", name="binaural_a")


def test_an_archive_that_grows_is_not_unpacked(tmp_path):
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")
    whole, path = io.BytesIO(), tmp_path / "bomb.pt"
    torch.save({"fc.weight": torch.zeros(2**20, 4)}, whole)
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(path, "w") as bomb:
        for member in archive.namelist():
            bomb.writestr(member, archive.read(member), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**20
    assert torch.load(path, weights_only=True)["fc.weight"].nbytes == 2**24
    refuses(path, "its members claim more bytes than the file has", name="binaural_a")


# --- Numbers that no network has


def test_numbers_beyond_float32_are_refused_without_a_warning(path, model, recwarn):
    def make(group, name, shape):
        group[name] = np.full(shape, 1e300)

    replace_kernel(path, make)
    with pytest.raises(ValueError, match="conv1d_1/kernel holds values that are not finite") as e:
        load_keras2_h5(model, path)
    assert "\n" not in str(e.value) and not recwarn.list


def test_a_negative_variance_is_refused(path, model):
    for value, refused in ((-0.0, False), (-1e-6, True)):
        with h5py.File(path, "r+") as file:
            place = "model_weights/batch_normalization_1/batch_normalization_1/"
            file[place + "moving_mean:0"][3] = -5.0
            file[place + "moving_variance:0"][3] = value
        if not refused:
            load_keras2_h5(model, path)
            continue
        with pytest.raises(ValueError, match="_1/moving_variance holds a variance of -1e-06, whi"):
            load_keras2_h5(model, path)


# --- Lists of names


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (np.arange(4.0), "layer_names is no list of names"),
        (b"conv1d_1", "layer_names is no list of names"),
        (h5py.Empty("S8"), "layer_names is no list of names"),
        ([[b"conv1d_1"]], "layer_names is no list of names"),
        ([b"conv1d_1", b"conv1d_1"], "layer_names has a name twice"),
        ([b"nothing"], "nothing (nothing) is listed, but not there"),
        ([b"../conv1d_1"], "'../conv1d_1' is no name of an array"),
        ([b"/model_weights/conv1d_1"], "'/model_weights/conv1d_1' is no name of an array"),
        ([b""], "'' is no name of an array"),
        ([b"."], "'.' is no name of an array"),
        ([b"a\x1b[31m"], "is no name of an array"),
        ([b"conv1d_1/conv1d_1/kernel:0"], "is no group"),
        ([b"\xff\xfe"], "is no name of an array"),
        (np.full(20_000, b"a"), "layer_names is too large"),
    ],
)
def test_odd_lists_of_layers_are_refused(names, said, path, model):
    with h5py.File(path, "r+") as file:
        file["model_weights"].attrs.create("layer_names", names)
    refuses(path, said, model=model)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([1, 2], "weight_names is no list of names"),
        ([b"conv1d_1/kernel:0", b"x/kernel:0"], "conv1d_1 has several arrays called kernel"),
        ([b"../dense_1/dense_1/kernel:0"], "is no name of an array"),
        ([b"conv1d_1"], "conv1d_1/conv1d_1 is no array of floating-point numbers"),
        ([b"conv1d_1/kernel:0/more"], "conv1d_1/more is listed, but not there"),
    ],
)
def test_odd_lists_of_arrays_are_refused(names, said, path, model):
    with h5py.File(path, "r+") as file:
        file["model_weights/conv1d_1"].attrs["weight_names"] = names
    refuses(path, said, model=model)


def test_groups_that_hold_each_other_end(path, model):
    with h5py.File(path, "r+") as file:
        root = file["model_weights"]
        root["conv1d_1/again"] = root
        root.attrs["layer_names"] = [b"conv1d_1/again/" * 5 + b"conv1d_1"]
        root["conv1d_1"].attrs["weight_names"] = [b"again/conv1d_1/" * 9 + b"conv1d_1/kernel:0"]
    assert read_original(path, "m3").classes == 256
    with pytest.raises(ValueError, match="bias is missing, for group1_1_conv/bias"):
        load_keras2_h5(model, path)


def test_long_lists_in_pieces_are_read(path, model):
    with h5py.File(path, "r+") as file:
        attributes = file["model_weights"].attrs
        names = attributes["layer_names"]
        del attributes["layer_names"]
        attributes["layer_names0"], attributes["layer_names1"] = names[:3], names[3:]
    load_keras2_h5(model, path)
    assert read_original(path, "m3").classes == 3


# --- Cut and changed files


def test_cut_and_changed_hdf5_files_are_refused_or_loaded(path, model):
    """At every place; a change within an array is another number."""
    whole = path.read_bytes()
    with h5py.File(path) as file:
        data = file[KERNEL].id.get_offset()
    rng, refused = np.random.default_rng(0), 0
    broken = [whole[:size] for size in np.linspace(0, len(whole) - 1, 40).astype(int)]
    for place in rng.integers(0, min(data, 60_000), 150):
        changed = bytearray(whole)
        changed[place] ^= int(rng.integers(1, 256))
        broken.append(bytes(changed))
    for content in broken:
        path.write_bytes(content)
        try:
            original = read_original(path, "m3")
            load_keras2_h5(model, path)
        except ValueError as error:
            assert str(error).startswith("Expected ") and "\n" not in str(error)
            refused += 1
        else:
            assert original.classes == 3
    assert refused > 60


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "before 1.6"])
def test_cut_and_changed_pickles_are_refused_or_loaded(new_format, shared, tmp_path):
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")
    state = torch.load(shared / "reference" / "binaural_a.pt", weights_only=True)
    path, model = tmp_path / "a.pt", create_model("binaural_a", 3)
    torch.save(state, path, _use_new_zipfile_serialization=new_format)
    load_torch_state_dict(model, path)
    whole = path.read_bytes()
    rng, refused = np.random.default_rng(0), 0
    broken = [whole[:size] for size in np.linspace(0, len(whole) - 1, 40).astype(int)]
    for place in rng.integers(0, 5_000, 100):
        changed = bytearray(whole)
        changed[place] ^= int(rng.integers(1, 256))
        broken.append(bytes(changed))
    for content in broken:
        path.write_bytes(content)
        try:
            load_torch_state_dict(model, path)
        except ValueError as error:
            assert str(error).startswith("Expected a PyTorch state dict") and "\n" not in str(error)
            refused += 1
    assert refused > 50
    assert os.listdir(tmp_path) == ["a.pt"]
