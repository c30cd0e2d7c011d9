"""Lists of names in HDF5 files that would fill the memory, and those that only look odd."""

import contextlib
import io
import json
import pathlib
import re
import struct
import subprocess
import sys

import h5py
import numpy as np
import pytest
from original_networks import plain, save

from keras_audio.importers import h5_file, h5_header, load_keras2_h5, read_original
from keras_audio.models import create_model

LONG, SHORT = 2_000_000, 777


@pytest.fixture(scope="module")
def net():
    return plain("m3", 3, np.ones((1, 4000, 1), "float32"))


@pytest.fixture
def path(net, tmp_path) -> pathlib.Path:
    return save(tmp_path / "m3.h5", net, "{}")


def refuses(path, said):
    with pytest.raises(ValueError) as error:
        read_original(path, "m3")
    text = str(error.value)
    assert text.startswith("Expected ") and said in text and "\n" not in text and len(text) < 600


def list_texts(path, count: int) -> None:
    with h5py.File(path, "r+") as file:
        file["model_weights"].attrs["layer_names"] = ["x" * SHORT] * count


def list_one_text_many_times(path, count: int) -> None:
    """List one long text under `layer_names`, whose place h5py would write as often as it is."""
    list_texts(path, count)
    with h5py.File(path, "r+") as file:
        file.attrs["long"] = "x" * LONG
    content = path.read_bytes()
    (long,) = references(content, LONG)
    short = references(content, SHORT)
    assert len(short) == count
    for at in short:
        content = content[:at] + content[long : long + 16] + content[at + 16 :]
    path.write_bytes(content)


def references(content: bytes, length: int) -> list[int]:
    """Where texts of a length are referred to, by length, place of the heap, and number there."""
    start = re.escape(struct.pack("<I", length))
    found = re.finditer(start + b"(........)", content, re.DOTALL)
    heaps = {each.start(): struct.unpack("<Q", each[1])[0] for each in found}
    return [at for at, heap in heaps.items() if content[heap : heap + 4] == b"GCOL"]


MEASURE = """
import json, resource, sys
from keras_audio.importers import read_original
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    said = str(read_original(sys.argv[1], "m3"))
except ValueError as error:
    said = str(error)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps({"said": said, "grown": 1024 * grown}))
"""


def test_a_text_that_is_listed_many_times_does_not_fill_the_memory(path):
    list_one_text_many_times(path, 3)
    with h5py.File(path) as file:  # the trap works
        assert file["model_weights"].attrs["layer_names"].tolist() == 3 * ["x" * LONG]
    list_one_text_many_times(path, 900)
    assert path.stat().st_size < 10_000_000
    command = [sys.executable, "-c", MEASURE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["said"].startswith("Expected a Keras 2 HDF5 file that fits. Received: path=")
    assert "(layer_names is too large)" in found["said"]
    assert "\n" not in found["said"] and found["grown"] < 2**29


@pytest.mark.parametrize("lie", [2**32 - 1, 777_777])
def test_a_text_that_claims_to_be_long_is_not_made_room_for(lie, path):
    list_texts(path, 2)
    content = bytearray(path.read_bytes())
    for at in references(bytes(content), SHORT):
        content[at : at + 4] = struct.pack("<I", lie)
    path.write_bytes(content)
    refuses(path, "(layer_names is too large)")
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = "{" + " " * SHORT + "}"
    content = bytearray(path.read_bytes())
    (at,) = references(bytes(content), SHORT + 2)
    content[at : at + 4] = struct.pack("<I", 2**32 - 1)
    path.write_bytes(content)
    refuses(path, "(model_config is no text, or too large)")


@pytest.mark.parametrize("version", ["earliest", "v108", "latest"])
@pytest.mark.parametrize("text", [bytes, str, "fixed"])
def test_names_of_every_kind_are_read(version, text, net, path, tmp_path):
    names = list(net.layers) if text is str else [name.encode() for name in net.layers]
    names = np.array(names) if text == "fixed" else names
    copy = tmp_path / "copy.h5"
    with h5py.File(path) as source, h5py.File(copy, "w", libver=(version, "latest")) as file:
        file.attrs["model_config"] = b"{}"
        root = file.create_group("model_weights")
        for name in source["model_weights"]:
            source.copy(f"model_weights/{name}", root)
        for number in range(5):  # a header of several pieces
            root.attrs[f"other_{number}"] = "x" * 300
        root.attrs["layer_names"] = names
    load_keras2_h5(create_model("m3", 3), copy)


@pytest.mark.parametrize("size", [0, 7, 8, 60, 2**40])
@pytest.mark.parametrize("version", [1, 2])
def test_headers_that_go_in_a_circle_end(version, size):
    if version == 1:
        start = struct.pack("<BxHIIxxxx", 1, 1, 1, 24)
        header = start + struct.pack("<HHBxxxQQ", 0x10, 16, 0, 16, size)
    else:
        start = b"OHDR\x02\x00" + bytes([20])
        header = start + struct.pack("<BHBQQ", 0x10, 16, 0, 3, size)
    with contextlib.suppress(ValueError, struct.error):
        for _ in h5_header._messages(io.BytesIO(header + bytes(100)), 0):
            pass


def test_a_long_name_is_not_read(path):
    for length, said in ((1_001, "layer_names is too large"), (1_000, "listed, but not there")):
        with h5py.File(path, "r+") as file:
            file["model_weights"].attrs["layer_names"] = [b"x" * length]
        refuses(path, said)


@pytest.mark.parametrize("fixed", [True, False])
def test_lists_in_pieces_and_of_all_layers_are_counted_together(fixed, path, monkeypatch):
    def written(names):
        return np.array(names) if fixed else names

    with h5py.File(path, "r+") as file:
        root = file["model_weights"]
        # One group under many names, each with the same list.
        names = [b"layer_%02d" % number for number in range(20)]
        root.attrs["layer_names"] = written(names)
        root["conv1d_1"].attrs["weight_names"] = written([b"conv1d_1/kernel:0"])
        for name in names:
            root[name] = root["conv1d_1"]
    listed = 20 * (64 + len(names[0]))
    weights = 20 * (64 + len("conv1d_1/kernel:0"))
    monkeypatch.setattr(h5_file, "_LARGEST_LISTS", listed + weights)
    with h5_file.open_keras2(path, arrays_only=True) as stored:
        assert len(stored) == 20
    monkeypatch.setattr(h5_file, "_LARGEST_LISTS", listed + weights - 1)
    refuses(path, "weight_names is too large")
    with h5py.File(path, "r+") as file:
        attributes = file["model_weights"].attrs
        del attributes["layer_names"]
        for number, name in enumerate(names):
            attributes[f"layer_names{number}"] = written([name])
    monkeypatch.setattr(h5_file, "_LARGEST_LISTS", listed - 1)
    refuses(path, "layer_names19 is too large")
