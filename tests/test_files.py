"""Files are replaced whole or not at all, whatever happens on the way."""

import os

import pytest

from keras_audio.files import read_json, replacing, write_json


def test_a_file_is_left_as_it_was_when_the_block_raises(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def write_folder(path, text):
    with replacing(path) as temporary:
        temporary.mkdir()
        (temporary / "file").write_text(text)


def test_a_folder_takes_the_place_of_another(tmp_path):
    write_folder(tmp_path / "export", "old")
    write_folder(tmp_path / "export", "new")
    assert (tmp_path / "export" / "file").read_text() == "new"
    assert os.listdir(tmp_path) == ["export"]


def test_a_folder_whose_successor_cannot_be_put_in_place_comes_back(tmp_path, monkeypatch):
    path = tmp_path / "export"
    write_folder(path, "old")
    rename = os.replace

    def fail(source, target):
        if ".partial" in str(source):
            raise OSError("disk on fire")
        rename(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="fire"):
        write_folder(path, "new")
    assert (path / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["export"]


def test_a_kill_between_the_two_renames_is_undone_by_the_next_call(tmp_path):
    path = tmp_path / "export"
    write_folder(path, "old")
    # What a process leaves that dies there: the old one aside, the new one not yet in place.
    os.replace(path, tmp_path / ".export.previous")
    write_folder(tmp_path / ".export.partial", "half")
    with pytest.raises(RuntimeError), replacing(path):
        raise RuntimeError
    assert (path / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["export"]


@pytest.mark.parametrize("content", ["", "{", "\xff"])
def test_what_is_no_json_is_named(tmp_path, content):
    path = tmp_path / "recipe.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match="Expected a JSON file.*recipe.json"):
        read_json(path)
