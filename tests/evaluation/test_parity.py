"""Parity of every original network there is a recording of, and recordings that are none."""

import io
import math
import zipfile

import numpy as np
import pytest
from original_networks import plain, record, save, two_path
from resnet_files import plain_pytorch

from keras_audio.evaluation.parity import RELATIVE_FLOOR, measure_parity
from keras_audio.importers import load_original, read_original
from keras_audio.models import create_model

REASON = "needs PyTorch: pip install torch"


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype("float32")


@pytest.fixture(scope="module")
def m3(tmp_path_factory):
    """An original, its recording, and what it is: 5 clips, 3 classes."""
    folder, x = tmp_path_factory.mktemp("m3"), noise(5, 4000, 1)
    net = plain("m3", 3, x)
    return save(folder / "m3.h5", net), record(folder / "io.npz", net, x), net, x


@pytest.mark.parametrize(
    ("file", "name", "recording", "output"),
    [
        ("m34_res.h5", "m34_res", "m34_res_io.npz", "predictions"),
        ("two_path_1b.h5", "two_path_resnet", "two_path_1b_io.npz", "predictions"),
        *((f"binaural_{n}.pt", f"binaural_{n}", "binaural_io.npz", "logits") for n in "abcd"),
    ],
)
def test_parity_of_the_reference_networks(file, name, recording, output, shared):
    if file.endswith(".pt"):
        pytest.importorskip("torch", reason=REASON)
    folder = shared / "reference"
    found = measure_parity(folder / file, name, folder / recording)
    (row,) = found.rows
    assert (row.output, found.model) == (output, read_original(folder / file, name).model)
    assert 0 <= row.absolute < 1e-5 and 0 <= row.relative < 1e-3
    if output == "logits":
        others = tuple(f"logits_{n}" for n in "abcd" if not name.endswith(n))
        assert row.array == f"logits_{name[-1]}" and found.not_compared == others


def test_every_recorded_output_is_compared(m3, tmp_path):
    file, recording, net, _ = m3
    found = measure_parity(file, "m3", recording, batch_size=2)
    assert [(row.output, row.array) for row in found.rows] == [
        ("embedding", "embedding"),
        ("logits", "logits"),
        ("predictions", "y"),
    ]
    assert [row.shape for row in found.rows] == [(5, 256), (5, 3), (5, 3)]
    assert max(row.absolute for row in found.rows) < 1e-5 and found.not_compared == ()


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_differences_are_the_largest_and_where_they_are(batch_size, m3, tmp_path):
    file, _, net, x = m3
    model = create_model("m3", 3)
    load_original(model, read_original(file, "m3"))
    logits = net.outputs["logits"].astype("float64")
    recorded = logits.copy()
    recorded[3, 1] += 0.5
    recorded[0, 2] = 0.0  # a small difference, but from nothing
    path = tmp_path / "io.npz"
    np.savez(path, x=x, logits=recorded)
    (row,) = measure_parity(file, "m3", path, batch_size=batch_size).rows
    difference = np.abs(logits - recorded)
    at = np.unravel_index(difference.argmax(), difference.shape)
    assert row.at == tuple(at) and row.absolute == pytest.approx(difference.max(), abs=1e-5)
    floor = RELATIVE_FLOOR * np.abs(recorded).max()
    expected = (difference / np.maximum(np.abs(recorded), floor)).max()
    assert row.relative == pytest.approx(expected, rel=1e-3)
    assert expected > 100 * difference.max()


def test_layers_are_named(m3, tmp_path):
    file, _, net, x = m3
    path = tmp_path / "io.npz"
    model = create_model("m3", 3)
    load_original(model, read_original(file, "m3"))
    inner = model.get_layer("group1_1_conv")
    first = np.array(inner(x[:, :]))
    np.savez(path, x=x, y=net.outputs["logits"], group1_1_conv=first, other=first + 1)
    rows = measure_parity(file, "m3", path, layers={"logits": "y"}).rows
    assert [(row.output, row.array) for row in rows] == [
        ("logits", "y"),
        ("group1_1_conv", "group1_1_conv"),
    ]
    assert max(row.absolute for row in rows) < 1e-5
    rows = measure_parity(file, "m3", path, layers={"group1_1_conv": "other"}).rows
    assert rows[0].absolute == pytest.approx(1, abs=1e-4)
    # What was asked for otherwise is not compared a second time.
    assert [row.output for row in rows] == ["group1_1_conv", "predictions"]


def test_answers_that_are_no_numbers_are_the_largest_difference(m3, tmp_path):
    file, _, net, x = m3
    x = x.copy()
    x[1] = 1e38
    path = tmp_path / "io.npz"
    np.savez(path, x=x, y=net.outputs["y"])
    for batch_size in (1, 8):
        (row,) = measure_parity(file, "m3", path, batch_size=batch_size).rows
        assert math.isnan(row.absolute) and math.isnan(row.relative) and row.at[0] == 1


def test_two_path_network_on_features_and_on_waveforms(tmp_path):
    x = noise(2, 128, 24, 6)
    net = two_path(11, x)
    file = save(tmp_path / "two.h5", net)
    (logits, predictions) = measure_parity(
        file, "two_path_resnet", record(tmp_path / "io.npz", net, x)
    ).rows
    assert max(logits.absolute, predictions.absolute) < 1e-5
    path = tmp_path / "waveforms.npz"
    np.savez(path, x=noise(2, 20_000, 2), y=net.outputs["y"])
    (row,) = measure_parity(file, "two_path_resnet", path).rows
    assert row.absolute > 1e-3  # other sounds


@pytest.mark.parametrize(("channels", "sample_rate"), [(1, 44100), (2, 48000)])
def test_waveforms_have_the_rate_of_the_task(channels, sample_rate, tmp_path):
    file = save(tmp_path / "two.h5", two_path(10, noise(1, 128, 16, 3 * channels)))
    x = noise(1, 20_000, channels)
    model = create_model("two_path_resnet", 10, channels=channels, sample_rate=sample_rate)
    load_original(model, read_original(file, "two_path_resnet"))
    np.savez(tmp_path / "io.npz", x=x, y=np.array(model(x)))
    (row,) = measure_parity(file, "two_path_resnet", tmp_path / "io.npz").rows
    assert row.absolute < 1e-6


@pytest.mark.parametrize("channels", [1, 3])
def test_resnet_on_one_channel_and_on_three(channels, tmp_path):
    torch = pytest.importorskip("torch", reason=REASON)
    network = plain_pytorch(torch, "resnet18", 4)
    torch.save(network.state_dict(), tmp_path / "r.pth")
    x = noise(2, 40, 64, channels)
    colors = np.broadcast_to(x, (2, 40, 64, 3)).transpose(0, 3, 1, 2).copy()
    with torch.no_grad():
        logits = network(torch.from_numpy(colors)).numpy()
    np.savez(tmp_path / "io.npz", x=x, logits=logits)
    (row,) = measure_parity(tmp_path / "r.pth", "resnet18", tmp_path / "io.npz").rows
    assert row.output == "logits" and row.absolute < 2e-5


@pytest.mark.parametrize(
    ("arrays", "layers", "said"),
    [
        ({"y": (5, 3)}, {}, r"the input x of m3, \(clips, samples, 1\), of 61 "),
        ({"x": (5, 60, 1), "y": (5, 3)}, {}, r"Received: x of shape \(5, 60, 1\)"),
        ({"x": (5, 4000), "y": (5, 3)}, {}, r"Received: x of shape \(5, 4000\)"),
        ({"x": (5, 4000, 2), "y": (5, 3)}, {}, r"Received: x of shape \(5, 4000, 2\)"),
        ({"x": (0, 4000, 1), "y": (0, 3)}, {}, r"Received: x of shape \(0, 4000, 1\)"),
        ({"x": (5, 8, 40, 1), "y": (5, 3)}, {}, r"Received: x of shape \(5, 8, 40, 1\)"),
        ({"x": (5, 4000, 1), "z": (5, 3)}, {}, "arrays of the names of layers of m3, or y. Rec"),
        ({"x": (5, 4000, 1), "y": (5, 4)}, {}, r"predictions of shape \(5, 3\). Received: y of"),
        ({"x": (5, 4000, 1), "y": (4, 3)}, {}, r"predictions of shape \(5, 3\). Received: y of"),
        ({"x": (5, 4000, 1), "y": (6, 3)}, {}, r"predictions of shape \(5, 3\). Received: y of"),
        ({"x": (5, 4000, 1), "y": (5,)}, {}, r"predictions of shape \(5, 3\). Received: y of"),
        ({"x": (5, 4000, 1), "y": ()}, {}, r"predictions of shape \(5, 3\). Received: y of"),
        ({"x": (5, 4000, 1), "y": (5, 3)}, {"logit": "y"}, "a layer of m3, such as logits"),
        ({"x": (5, 4000, 1), "y": (5, 3)}, {"logits": "z"}, "an array of .*, such as y. Rec"),
        ({"x": (5, 4000, 1), "y": (5, 3)}, {"waveform": "y"}, "a layer of m3"),
    ],
)
def test_recordings_of_something_else_are_refused(arrays, layers, said, m3, tmp_path):
    path = tmp_path / "io.npz"
    np.savez(path, **{name: np.zeros(shape, "float32") for name, shape in arrays.items()})
    with pytest.raises(ValueError, match=said) as error:
        measure_parity(m3[0], "m3", path, layers=layers)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"x": np.full((5, 4000, 1), 1e300)}, "x holds values that are beyond float32"),
        ({"y": np.full((5, 3), "1e4000", np.longdouble)}, "y holds values that are beyond float64"),
    ],
)
def test_numbers_that_are_too_large_are_refused_without_a_warning(
    changed, said, m3, tmp_path, recwarn
):
    path, (_, _, net, x) = tmp_path / "io.npz", m3
    np.savez(path, **{"x": x, "y": net.outputs["y"], **changed})
    refuses(m3, path, said)
    assert not recwarn.list


class Trap:
    """Pickled, this is a call, which unpickling executes."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return self.target.touch, ()


def refuses(m3, path, said):
    with pytest.raises(ValueError, match=said) as error:
        measure_parity(m3[0], "m3", path)
    text = str(error.value)
    assert text.startswith("Expected a recording, an .npz file of arrays. Received: path=")
    assert "\n" not in text and str(path) in text


def test_recordings_with_code_are_not_unpickled(m3, tmp_path):
    target, path = tmp_path / "ran", tmp_path / "io.npz"
    np.savez(path, x=np.array([Trap(target)]), allow_pickle=True)
    _ = np.load(path, allow_pickle=True)["x"]
    assert target.exists()  # the trap works
    target.unlink()
    refuses(m3, path, "x is no array of numbers")
    assert not target.exists()


def test_broken_recordings_are_refused(m3, tmp_path):
    path = tmp_path / "io.npz"
    refuses(m3, path, "no such file")
    refuses(m3, tmp_path, "not a file")
    whole = m3[1].read_bytes()
    for content in (b"", b"text", whole[:100], whole[: len(whole) // 2]):
        path.write_bytes(content)
        refuses(m3, path, "damaged, or no .npz file")
    changed = bytearray(whole)
    changed[300] ^= 1  # a sample, of which the archive has a checksum
    path.write_bytes(changed)
    refuses(m3, path, "x is damaged")
    np.savez(path, x=noise(1, 4000, 1), y=np.array([[0, np.nan, 1]]))
    refuses(m3, path, "y holds values that are not finite")
    np.savez(path, x=noise(1, 4000, 1), y=np.array(["a"]))
    refuses(m3, path, "y is no array of numbers")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"no array")
    refuses(m3, path, "'x' is no array of NumPy")


@pytest.mark.parametrize(("shape", "held"), [((10**6, 10**6), 100), ((10,), 100), ((100,), 10)])
def test_arrays_of_another_size_than_they_say_are_not_read(shape, held, m3, tmp_path):
    header = io.BytesIO()
    facts = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, facts)
    path = tmp_path / "io.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header.getvalue() + bytes(4 * held))
    refuses(m3, path, "x of shape .* is larger than 4 GiB, or not as large")


def test_a_recording_that_grows_is_not_unpacked(m3, tmp_path, monkeypatch):
    import keras_audio.evaluation.recording

    path = tmp_path / "io.npz"
    np.savez_compressed(path, x=np.zeros((5, 4000, 1), "float32"), y=np.zeros((5, 3)))
    monkeypatch.setattr(keras_audio.evaluation.recording, "_LARGEST", 79_999)
    refuses(m3, path, "x of shape .* is larger than 4 GiB")
    monkeypatch.setattr(keras_audio.evaluation.recording, "_LARGEST", 80_000)
    assert len(measure_parity(m3[0], "m3", path).rows) == 1
