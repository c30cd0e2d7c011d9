"""A preparation that cannot go on: a disk that is full, a pool that is stopped amid its clips."""

import os
import threading

import pytest
import tensorflow as tf
from sources import tree, write_pets

import data_prep
from data_prep import decoding, shards
from data_prep.clips import Clip
from data_prep.form import Form
from keras_audio.cli import main


def _arguments(pets, tmp_path):
    data = str(tmp_path / "data")
    options = ["--sample-rate", "8000", "--data-dir", data, "--jobs", "1"]
    return ["prepare", "audio_folder", "--source", str(pets), *options]


class _FullDisk:
    """What a writer of records does on a full disk: it fails when it writes, or when it ends."""

    def __init__(self, writer, when):
        self._writer, self._when = writer, when

    def __enter__(self):
        return self

    def write(self, record):
        if self._when == "write":
            self._fail()
        self._writer.write(record)

    def __exit__(self, *exception):
        self._writer.close()
        if self._when == "close" and exception[0] is None:
            self._fail()

    def _fail(self):
        raise tf.errors.ResourceExhaustedError(None, None, "x.partial;\nNo space left on device")


@pytest.mark.parametrize("when", ["write", "close"])
def test_a_full_disk_is_told_in_one_sentence(tmp_path, monkeypatch, capsys, when):
    pets, writer = write_pets(tmp_path / "pets"), tf.io.TFRecordWriter
    monkeypatch.setattr(tf.io, "TFRecordWriter", lambda path: _FullDisk(writer(path), when))
    assert main(_arguments(pets, tmp_path)) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("keras-audio: Expected a disk ") and "No space left on device" in told
    folder = tmp_path / "data" / ".building" / "audio_folder" / "shards" / "8000hz_1ch"
    assert f"Received: path={folder}{os.sep}" in told
    assert os.listdir(folder) == []  # nothing half-written is left
    monkeypatch.undo()
    assert main(_arguments(pets, tmp_path)) == 0
    anew = data_prep.prepare(
        "audio_folder", source=pets, sample_rate=8000, data_dir=tmp_path / "anew", progress=False
    )
    assert tree(anew.path) == tree(tmp_path / "data" / anew.path.relative_to(tmp_path / "anew"))


@pytest.mark.parametrize("name", [".tfrecord", ".json"])
def test_so_is_one_that_is_full_when_files_get_their_names(tmp_path, monkeypatch, name):
    pets, replace = write_pets(tmp_path / "pets"), os.replace

    def full(source, target):
        if str(target).endswith(name) and "shards" in str(target):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(shards.os, "replace", full)
    with pytest.raises(ValueError, match=rf"No space left on device\. .*path=.*fold\d.*{name}$"):
        data_prep.prepare(
            "audio_folder", source=pets, sample_rate=8000, data_dir=tmp_path / "d", progress=False
        )


def test_a_read_that_hangs_does_not_keep_a_stopped_build(monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(decoding, "decode_clip", lambda *_: released.wait())
    monkeypatch.setattr(decoding, "_SECONDS_TO_END", 0.1)
    clip = Clip(clip_id="0", file="0.wav", labels=("cat",), fold=1, source="0")
    try:
        with pytest.raises(KeyboardInterrupt), decoding.Decoder(Form(8000, 1), jobs=2) as decoder:
            decoder._waiting.extend(decoder._submit("", clip) for _ in range(4))
            raise KeyboardInterrupt
        assert not released.is_set()  # reached while two threads still hang
    finally:
        released.set()


@pytest.mark.parametrize("pitch_variants", [0, 1])  # by threads, by processes
def test_a_pool_that_is_stopped_amid_its_clips_ends_in_silence(
    tmp_path, monkeypatch, pitch_variants
):
    write_pets(tmp_path / "pets")
    clips = [
        Clip(clip_id=f"{number}", file="cat/0.wav", labels=("cat",), fold=1, source="0")
        for number in range(200)
    ]
    raised = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    monkeypatch.setattr(decoding, "_CLIPS_IN_FLIGHT", 50)
    form = Form(8000, 1, pitch_variants)
    with pytest.raises(KeyboardInterrupt), decoding.Decoder(form, jobs=2) as decoder:
        decoded = decoder.decode(tmp_path / "pets", clips)
        next(decoded)
        raise KeyboardInterrupt
    assert raised == []
