"""Clips in HDF5 packs: samples as they were packed, and packs that are none."""

import pickle

import h5py
import numpy as np
import pytest
from segments import write_pack

from data_prep.packs import read_pack_clip, read_pack_index
from keras_audio.audio import AudioFileError

ROWS = [("--4gqARaEJE", ["a", "c"]), ("", []), ("Y_bfvyPmVMo", ["b"])]


def pack_as_panns(waveform):
    """How the packs were made (FACTS): cut at full scale, times 32767, rounded towards zero."""
    return (np.clip(waveform, -1, 1) * 32767.0).astype(np.int16)


@pytest.fixture
def pack(tmp_path):
    rng = np.random.default_rng(0)
    waveforms = pack_as_panns(rng.uniform(-1.1, 1.1, (3, 320)))
    waveforms[1] = 0
    return write_pack(tmp_path / "eval.h5", ROWS, "abc", waveforms, rate=16000)


def test_rows_are_told_without_their_samples(pack):
    videos, targets = read_pack_index(pack, classes=3)
    assert videos == ["--4gqARaEJE", "", "Y_bfvyPmVMo"]
    assert targets.dtype == bool
    assert targets.tolist() == [[True, False, True], [False] * 3, [False, True, False]]


def test_a_clip_is_what_was_packed(pack):
    rng = np.random.default_rng(0)
    original = np.clip(rng.uniform(-1.1, 1.1, (3, 320)), -1, 1)
    for row in (0, 2):
        waveform, rate = read_pack_clip(pack, row)
        assert (waveform.shape, waveform.dtype, rate) == ((320, 1), np.float32, 16000)
        # Rounding towards zero loses up to one step, and brings nothing beyond the original.
        assert np.abs(waveform[:, 0] - original[row]).max() < 1.01 / 32767
        assert np.abs(waveform).max() == 1.0
        assert (np.abs(waveform[:, 0]) <= np.abs(original[row]) + 1e-7).all()


@pytest.mark.parametrize(
    ("row", "reason"),
    [(1, "its row 1 holds no clip"), (3, "3 rows, none of them row 3"), (-1, "none of them")],
)
def test_rows_without_a_clip(pack, row, reason):
    with pytest.raises(AudioFileError, match=reason) as info:
        read_pack_clip(pack, row)
    # It comes back from a worker process.
    assert str(pickle.loads(pickle.dumps(info.value))) == str(info.value)
    assert info.value.path == str(pack)


def _without(name):
    def change(file):
        del file[name]

    return change


def _instead(name, value):
    def change(file):
        del file[name]
        file[name] = value

    return change


def _no_rate(file):
    del file.attrs["sample_rate"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_without("audio_name"), "no data set 'audio_name'"),
        (_without("waveform"), "no data set 'waveform'"),
        (_without("target"), "no data set 'target'"),
        (_instead("audio_name", np.arange(3)), "no column of short texts"),
        (_instead("waveform", np.zeros((3, 4), np.float32)), "not int16"),
        (_instead("waveform", np.zeros(3, np.int16)), "not int16"),
        (_instead("waveform", np.zeros((3, 0), np.int16)), "not int16"),
        (_instead("waveform", np.zeros((2, 4), np.int16)), "3 rows of audio_name and 2 of"),
        (_no_rate, "its sample_rate is None"),
    ],
)
def test_packs_of_another_form(pack, change, reason):
    with h5py.File(pack, "r+") as file:
        change(file)
    with pytest.raises(AudioFileError, match=reason):
        read_pack_clip(pack, 0)
    with pytest.raises(ValueError, match=f"{reason}.*Received: path={pack}"):
        read_pack_index(pack, classes=3)


@pytest.mark.parametrize(
    "targets", [np.zeros((3, 4), bool), np.zeros((2, 3), bool), np.zeros((3, 3), np.uint8)]
)
def test_targets_of_another_form(pack, targets):
    with h5py.File(pack, "r+") as file:
        _instead("target", targets)(file)
    with pytest.raises(ValueError, match=r"not bool of \(3, 3\)\. Received: path="):
        read_pack_index(pack, classes=3)


@pytest.mark.parametrize("name", [b"--4gqARaEJE.wav", b"Yshort.wav", b"Y--4gqARaEJE.mp3", b"\xff"])
def test_names_of_another_form(pack, name):
    with h5py.File(pack, "r+") as file:
        file["audio_name"][1] = name
    with pytest.raises(ValueError, match=rf"in row 1 of {pack}\. Received: audio_name="):
        read_pack_index(pack, classes=3)


def test_files_that_are_no_packs(pack, tmp_path):
    whole = pack.read_bytes()
    files = {"none.h5": None, "text.h5": b"no pack", "cut.h5": whole[: len(whole) // 2]}
    for name, content in files.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        reason = "there is no such file" if content is None else "cannot be read"
        with pytest.raises(AudioFileError, match=reason):
            read_pack_clip(path, 0)
        with pytest.raises(ValueError, match=f"{reason}.*Received: path={path}"):
            read_pack_index(path, classes=3)
