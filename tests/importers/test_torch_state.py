"""The PyTorch importer: the authors' networks, files that do not fit, files that carry code."""

import json
import pathlib
import struct
import sys
import warnings

import keras
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from torch_file import read_state_dict

from keras_audio.importers import load_torch_state_dict
from keras_audio.models import create_model

NAMES = ("binaural_a", "binaural_b", "binaural_c", "binaural_d")
REASON = "needs PyTorch: pip install torch"


@pytest.fixture
def torch():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("torch", reason=REASON)


@pytest.fixture
def reference(shared) -> pathlib.Path:
    return shared / "reference"


@pytest.fixture
def state(reference) -> dict[str, np.ndarray]:
    """The authors' model A."""
    return read_state_dict(reference / "binaural_a.pt")


def save(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> pathlib.Path:
    arrays = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
    safetensors.numpy.save_file(arrays, path)
    return path


def build(name="binaural_a", num_classes=3, **arguments) -> keras.Model:
    return create_model(name, num_classes, classifier_activation=None, **arguments)


def refuses(model, path, *parts) -> str:
    before = model.get_weights()
    with pytest.raises(ValueError) as error:
        load_torch_state_dict(model, path)
    said = str(error.value)
    for part in (f"path={path}", *parts):
        assert part in said
    assert "\n" not in said
    for weight, value in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, value)
    return said


def answers_as_the_original(model, name, reference):
    with np.load(reference / "binaural_io.npz") as io:
        x, expected = io["x"], io[f"logits_{name[-1]}"]
    answered = model.predict_on_batch(x)
    # The issue asks for 1e-4.
    np.testing.assert_allclose(answered, expected, rtol=0, atol=5e-6)
    # The comparison would see left and right swapped, and time reversed.
    for mixed_up in (x[..., ::-1], x[:, ::-1]):
        assert np.abs(model.predict_on_batch(mixed_up) - expected).max() > 0.05


@pytest.mark.parametrize("name", NAMES)
def test_answers_as_the_original_network(name, reference, tmp_path):
    path = save(tmp_path / "state.safetensors", read_state_dict(reference / f"{name}.pt"))
    model = build(name)
    load_torch_state_dict(model, path)
    answers_as_the_original(model, name, reference)


@pytest.mark.parametrize("name", ["binaural_a", "binaural_c"])
def test_answers_as_the_original_network_read_by_pytorch(name, torch, reference):
    model = build(name)
    load_torch_state_dict(model, str(reference / f"{name}.pt"))
    answers_as_the_original(model, name, reference)


@pytest.mark.parametrize("name", NAMES)
def test_the_reader_of_these_tests_reads_what_pytorch_reads(name, torch, reference):
    path = reference / f"{name}.pt"
    expected = torch.load(path, weights_only=True)
    found = read_state_dict(path)
    assert list(found) == list(expected)
    for key, array in found.items():
        np.testing.assert_array_equal(array, expected[key].numpy())


def test_every_kind_of_array_is_found_by_name(torch, tmp_path):
    """Kernels on two axes, groups, no bias, a batch norm without scale and offset."""
    modules = torch.nn.ModuleDict(
        {
            "conv1": torch.nn.Conv2d(3, 8, (5, 2), bias=False),
            "layer2": torch.nn.Sequential(torch.nn.Conv2d(8, 4, (1, 3), groups=2)),
            "bn": torch.nn.BatchNorm2d(4, affine=False),
            "fc": torch.nn.Linear(4, 7),
        }
    )
    with torch.no_grad():
        modules["bn"].running_mean.uniform_(-1, 1)
        modules["bn"].running_var.uniform_(0.5, 1.5)
    x = torch.randn(2, 3, 9, 10)
    modules.eval()
    y = modules["bn"](modules["layer2"](modules["conv1"](x)))
    expected = modules["fc"](y.mean((2, 3))).detach().numpy()

    inputs = z = keras.Input((9, 10, 3))
    z = keras.layers.Conv2D(8, (5, 2), use_bias=False, name="conv1")(z)
    z = keras.layers.Conv2D(4, (1, 3), groups=2, name="layer2_0")(z)
    z = keras.layers.BatchNormalization(epsilon=1e-5, center=False, scale=False, name="bn")(z)
    z = keras.layers.GlobalAveragePooling2D()(z)
    model = keras.Model(inputs, keras.layers.Dense(7, name="logits")(z))
    path = tmp_path / "network.pth"
    torch.save(modules.state_dict(), path)
    load_torch_state_dict(model, path)
    answered = model.predict_on_batch(x.numpy().transpose(0, 2, 3, 1))
    np.testing.assert_allclose(answered, expected, atol=1e-5)


def test_prefix_of_data_parallel_training_is_dropped(state, tmp_path):
    prefixed = {f"module.{key}": array for key, array in state.items()}
    model, other = build(), build()
    load_torch_state_dict(model, save(tmp_path / "prefixed.safetensors", prefixed))
    load_torch_state_dict(other, save(tmp_path / "plain.safetensors", state))
    for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", ["float16", "float64", ml_dtypes.bfloat16])
def test_other_widths_of_floating_point_numbers_are_read(dtype, state, tmp_path):
    arrays = {key: array.astype(dtype) for key, array in state.items() if array.ndim}
    model = build()
    load_torch_state_dict(model, save(tmp_path / "state.safetensors", arrays))
    expected = arrays["conv1.weight"].astype("float32").transpose(2, 1, 0)
    np.testing.assert_array_equal(np.array(model.get_layer("conv1").kernel), expected)


@pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16"])
def test_other_widths_are_read_by_pytorch(dtype, torch, state, tmp_path):
    tensors = {
        key: torch.nn.Parameter(torch.tensor(array).to(getattr(torch, dtype)))
        for key, array in state.items()
        if array.ndim
    }
    torch.save(tensors, tmp_path / "state.pt")
    model = build()
    load_torch_state_dict(model, tmp_path / "state.pt")
    expected = tensors["fc1.weight"].detach().float().numpy().T
    np.testing.assert_array_equal(np.array(model.get_layer("logits").kernel), expected)


def test_refuses_another_number_of_classes_or_channels_naming_the_array(state, tmp_path):
    path = save(tmp_path / "state.safetensors", state)
    shape = "fc1.weight has shape (3, 64), expected (7, 64) for logits/kernel"
    refuses(build(num_classes=7), path, shape)
    shape = "conv1.weight has shape (16, 2, 64), expected (16, 1, 64) for conv1/kernel"
    refuses(build(channels=1), path, shape)


def test_refuses_another_network_naming_what_is_missing_and_left_over(reference, state, tmp_path):
    a = save(tmp_path / "a.safetensors", state)
    b = save(tmp_path / "b.safetensors", read_state_dict(reference / "binaural_b.pt"))
    said = refuses(build("binaural_b"), a)
    assert "conv5/kernel, conv5/bias, bn5/gamma, bn5/beta and 2 more" in said
    assert "counterpart" not in said
    said = refuses(build("binaural_a"), b)
    # In whatever order the package lists them.
    assert "no counterpart in the model for bn5." in said and " and 2 more" in said
    assert "no array" not in said


@pytest.mark.parametrize("key", ["conv2.bias", "bn3.running_var", "fc1.bias", "fc1.weight"])
def test_refuses_a_file_with_an_array_missing(key, state, tmp_path):
    del state[key]
    expected = {
        "conv2.bias": "no array for conv2/bias of the model",
        "bn3.running_var": "no array for bn3/moving_variance of the model",
        "fc1.bias": "no array for logits/bias of the model",
        # Without a matrix nothing says that it is the classifier.
        "fc1.weight": "no array for logits/kernel, logits/bias of the model; "
        "no counterpart in the model for fc1.bias",
    }[key]
    refuses(build(), save(tmp_path / "state.safetensors", state), f"({expected})")


def test_refuses_a_file_with_an_array_too_many(state, tmp_path):
    path = tmp_path / "state.safetensors"
    extra = {"conv1.weight_g": np.ones(3, "float32")}
    refuses(build(), save(path, state | extra), "no counterpart in the model for conv1.weight_g")
    # Two matrices: either could be the classifier.
    extra = {"other.weight": np.ones((3, 64), "float32")}
    refuses(build(), save(path, state | extra), "no array for logits/kernel", "other.weight")
    for key in ("module.conv1.bias", "fc1_.weight"):
        refuses(build(), save(path, state | {key: state["conv1.bias"]}), key)


def test_refuses_two_names_of_one_array(reference, tmp_path):
    state = read_state_dict(reference / "binaural_c.pt")
    state["layer1_0.conv1.weight"] = state["layer1.0.conv1.weight"]
    path = save(tmp_path / "state.safetensors", state)
    refuses(build("binaural_c"), path, "layer1.0.conv1.weight", "layer1_0.conv1.weight")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_refuses_values_that_are_not_finite_as_float32(value, state, tmp_path):
    state["bn4.bias"] = state["bn4.bias"].astype("float64")
    state["bn4.bias"][5] = value
    path = save(tmp_path / "state.safetensors", state)
    refuses(build(), path, "bn4.bias holds values that are not finite")


def test_refuses_arrays_of_another_kind(state, tmp_path):
    state["conv1.bias"] = np.ones(16, "int32")
    path = save(tmp_path / "state.safetensors", state)
    refuses(build(), path, "conv1.bias is no array of floating-point numbers")


def test_refuses_a_model_with_layers_of_another_kind(tmp_path):
    inputs = keras.Input((8, 2))
    model = keras.Model(inputs, keras.layers.GRU(3, name="recurrent")(inputs))
    with pytest.raises(ValueError, match="Received: recurrent=GRU"):
        load_torch_state_dict(model, save(tmp_path / "state.safetensors", {}))


def test_refuses_what_is_no_such_file(tmp_path):
    model = build()
    refuses(model, tmp_path / "none.pt", "no such file")
    refuses(model, tmp_path, "not a file")
    other = tmp_path / "weights.bin"
    other.write_bytes(b"")
    refuses(model, other, "neither .pt nor .pth nor .safetensors")


def test_refuses_a_damaged_safetensors_file(state, tmp_path):
    path = save(tmp_path / "state.safetensors", state)
    whole = path.read_bytes()
    for damaged in (b"", b"no such thing", whole[:200], whole[:-1], b"\xff" * 100):
        path.write_bytes(damaged)
        refuses(build(), path, "damaged")


def test_refuses_a_damaged_pt_file(torch, reference, tmp_path):
    whole = (reference / "binaural_a.pt").read_bytes()
    at = whole.index(b"_rebuild_tensor_v2")
    changed = whole[:at] + b"_rebuild_nothing_2" + whole[at + 18 :]
    path = tmp_path / "damaged.pt"
    for damaged in (b"", b"no such thing", whole[:200], whole[: len(whole) // 2], changed):
        path.write_bytes(damaged)
        refuses(build(), path, "(damaged, or ")


@pytest.mark.parametrize("package", ["torch", "safetensors"])
def test_says_how_to_install_what_is_missing(package, monkeypatch, tmp_path):
    path = tmp_path / {"torch": "state.pt", "safetensors": "state.safetensors"}[package]
    path.write_bytes(b"")
    model = build()
    monkeypatch.setitem(sys.modules, package, None)
    refuses(model, path, f"Expected the package {package}", f"pip install {package}. Received")


class Code:
    """Pickled, this is a call of `pathlib.Path.touch`, which unpickling executes."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return pathlib.Path.touch, (self.target,)


def test_code_in_a_file_is_not_run(torch, state, tmp_path):
    target = tmp_path / "ran"
    path = tmp_path / "state.pt"
    arrays = {key: torch.tensor(array) for key, array in state.items()}
    torch.save(arrays | {"code": Code(target)}, path)
    # The trap works: whoever unpickles the file as it asks to runs the code.
    torch.load(path, weights_only=False)
    assert target.exists()
    target.unlink()
    refuses(build(), path, "code in a file is never run")
    assert not target.exists()


def test_refuses_what_holds_no_state_dict(torch, state, tmp_path):
    path = tmp_path / "state.pt"
    bias = torch.tensor(state["conv1.bias"])
    arrays = {key: torch.tensor(array) for key, array in state.items()}
    cases = {
        "no state dict: list": [bias],
        "epoch is no array": arrays | {"epoch": 3},
        "a key is no text: int": arrays | {3: bias},
        "a key is no text: Tensor": {torch.ones(2, 2): bias},
        "conv1.bias is no array of floating-point numbers": arrays | {"conv1.bias": bias.cfloat()},
        "bn1.bias is no array of floating-point numbers": arrays | {"bn1.bias": bias.to_sparse()},
        "never run": torch.nn.Linear(2, 2),
    }
    for said, content in cases.items():
        torch.save(content, path)
        refuses(build(), path, said)
    with warnings.catch_warnings(action="ignore"):
        layouts = (torch.strided, torch.jagged)
        nested = [torch.nested.nested_tensor([bias, bias[:3]], layout=each) for each in layouts]
    for parts in nested:
        torch.save(arrays | {"bn2.bias": parts}, path)
        refuses(build(), path, "bn2.bias is no array")
    meta = arrays | {"bn2.bias": torch.empty(16, device="meta")}
    torch.save(meta, path)
    refuses(build(), path, "bn2.bias is no array of floating-point numbers")


HOSTILE = "a\n\x1b[31m" + 10_000 * "b"


def test_keys_do_not_write_to_the_terminal(torch, state, tmp_path):
    arrays = {key: torch.tensor(array) for key, array in state.items()}
    bias, path = arrays["conv1.bias"], tmp_path / "state.pt"
    contents = [
        arrays | {HOSTILE: 3},
        arrays | {HOSTILE: bias, "b": bias},
        {key: array for key, array in arrays.items() if "conv1" not in key} | {HOSTILE: bias},
        arrays | {f"{HOSTILE}.c_d.weight": bias, f"{HOSTILE}.c.d.weight": bias},
    ]
    for content in contents:
        torch.save(content, path)
        said = refuses(build(), path, "'a\\n\\x1b[31mbbb")
        assert said.isprintable() and len(said) < 600
        if HOSTILE in content and content[HOSTILE] is bias:
            arrays_alone = {key: array.numpy() for key, array in content.items()}
            other = save(tmp_path / "state.safetensors", arrays_alone)
            assert refuses(build(), other, "'a\\n\\x1b[31mbbb").isprintable()


def test_a_damaged_safetensors_header_does_not_write_to_the_terminal(tmp_path):
    path = tmp_path / "state.safetensors"
    info = {"dtype": "F32", "shape": [2], "data_offsets": [4, 8]}
    for header in ({HOSTILE: info}, {"a": info | {"dtype": HOSTILE}}):
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
        said = refuses(build(), path, "damaged")
        assert said.isprintable() and len(said) < 600


def test_pytorch_does_not_warn_beside_the_sentence(torch, state, tmp_path, recwarn):
    arrays = {key: torch.tensor(array) for key, array in state.items()}
    path = tmp_path / "state.pt"
    with warnings.catch_warnings(action="ignore"):
        codes = torch.quantize_per_tensor(arrays["conv1.bias"], 0.1, 0, torch.quint8)
        torch.save(arrays | {"conv1.bias": codes}, path)
    refuses(build(), path, "conv1.bias is no array of floating-point numbers")
    torch.save(arrays, path, pickle_protocol=4)
    refuses(build(), path, "damaged, or more than arrays")
    assert not recwarn.list


def test_a_negative_variance_is_refused(state, tmp_path):
    key = next(key for key in state if key.endswith("running_var"))
    state[key][2] = -0.25
    path = save(tmp_path / "state.safetensors", state)
    refuses(build(), path, f"{key} holds a variance of -0.25, which is below 0")


def test_an_array_that_claims_to_be_huge_is_not_read(torch, state, tmp_path):
    arrays = {key: torch.tensor(array) for key, array in state.items()}
    # One number that strides of 0 repeat: 4 bytes in the file, 4 TB once copied.
    arrays["conv1.bias"] = torch.ones(1, dtype=torch.float64).expand(10**12)
    path = tmp_path / "state.pt"
    torch.save(arrays, path)
    refuses(build(), path, "conv1.bias has shape (1000000000000,), expected (16,)")
