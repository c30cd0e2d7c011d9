"""Records that are damaged, or not there: one sentence that names them and says what to do."""

import json
import shutil

import pytest

from keras_audio.data import open_records


@pytest.fixture
def folder(toy_data, tmp_path):
    """A copy of the toy sounds' records that a test may damage."""
    copy = tmp_path / "data" / "toy_sounds"
    shutil.copytree(toy_data / "toy_sounds", copy)
    (metadata,) = copy.glob("*/*/metadata.json")
    return metadata.parent


def open_copy(folder):
    return open_records("toy_sounds", sample_rate=8000, data_dir=folder.parents[2])


def cut(data):
    return data[: len(data) // 2]


def empty(data):
    return b""


def flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]


@pytest.mark.parametrize("damage", [cut, empty, flip])
def test_damaged_records_are_found_by_listing_their_clips(folder, damage):
    (path,) = folder.glob("*fold2.tfrecord*")
    path.write_bytes(damage(path.read_bytes()))
    records = open_copy(folder)
    assert records.clips([1])
    with pytest.raises(ValueError, match=r"fold 2 .*--force. Received: path=") as info:
        records.clips([1, 2])
    assert str(folder) in str(info.value) and "\n" not in str(info.value)


def test_a_lost_file_of_records_is_found(folder):
    (path,) = folder.glob("*fold2.tfrecord*")
    path.unlink()
    with pytest.raises(ValueError, match="fold 2 .*--force"):
        open_copy(folder).clips([2])


@pytest.mark.parametrize("content", [{"labels": [], "folds": [1], "channels": 1}, ["labels"]])
def test_metadata_of_another_kind_are_named(folder, content):
    (folder / "metadata.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="labels, folds, sample_rate") as info:
        open_copy(folder)
    assert str(folder / "metadata.json") in str(info.value)


def test_sounds_of_ones_own_are_prepared_by_another_command(tmp_path):
    command = "prepare audio_folder --source ... --name dogs --sample-rate 8000 --channels 2`"
    with pytest.raises(ValueError, match=command.replace(".", r"\.")):
        open_records("dogs", sample_rate=8000, channels=2, data_dir=tmp_path)
