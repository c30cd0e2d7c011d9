"""prepare(): what is written, when it is refused, and that a kill leaves nothing half-made."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from sources import records, tree, write_pets, write_sound, write_table

import data_prep
from keras_audio.audio import pcm16_hash, read_audio, to_pcm16

REPOSITORY = pathlib.Path(__file__).parent.parent.parent


@pytest.fixture
def pets(tmp_path):
    return write_pets(tmp_path / "pets")


def _prepare(source, tmp_path, **arguments):
    arguments = {"sample_rate": 8000, "progress": False, "jobs": 1} | arguments
    return data_prep.prepare("audio_folder", source=source, data_dir=tmp_path / "data", **arguments)


def test_records_hold_every_clip_as_it_was_read(pets, tmp_path):
    result = _prepare(pets, tmp_path, dataset_name="pets")
    assert result.path == tmp_path / "data" / "pets" / "8000hz_1ch" / "1.0.0"
    assert (result.clips, result.missing, result.reused) == (12, (), False)
    examples, metadata = records(result.path)
    assert len(examples) == 12
    for clip_id, example in examples.items():
        expected = to_pcm16(read_audio(pets / clip_id)[0])
        np.testing.assert_array_equal(example["audio"], expected)
        assert example["audio"].dtype == np.int16
        assert example["hash"].decode() == pcm16_hash(expected)
        assert example["label"] == clip_id.split("/")[0]
        assert example["source"].decode() == clip_id
    assert metadata["labels"] == ["cat", "dog"] and metadata["folds"] == [1, 2, 3, 4, 5]
    assert (metadata["sample_rate"], metadata["channels"]) == (8000, 1)
    assert metadata["missing"] == []


def test_rates_and_channels_are_configurations_of_one_set(pets, tmp_path):
    write_sound(pets / "cat" / "stereo.flac", rate=44100, channels=2)
    for rate, channels in ((8000, 1), (16000, 2)):
        result = _prepare(pets, tmp_path, sample_rate=rate, channels=channels)
        assert result.path.parent.name == f"{rate}hz_{channels}ch"
        examples, _ = records(result.path)
        assert {example["audio"].shape for example in examples.values()} == {(rate // 5, channels)}


def test_the_same_source_gives_the_same_bytes_on_any_number_of_jobs_anywhere(pets, tmp_path):
    first = tree(_prepare(pets, tmp_path / "a", jobs=1).path)
    shutil.move(pets, tmp_path / "moved")
    second = tree(_prepare(tmp_path / "moved", tmp_path / "b", jobs=2).path)
    assert first.keys() == second.keys() and first == second


def test_a_second_prepare_does_nothing_and_says_so(pets, tmp_path, capsys):
    first = _prepare(pets, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in first.path.iterdir()}
    for source in (pets, None):
        again = _prepare(source, tmp_path, progress=True)
        assert again.reused and (again.path, again.clips) == (first.path, first.clips)
        assert "is there already" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in first.path.iterdir()}


def test_another_source_is_refused_until_forced(pets, tmp_path):
    _prepare(pets, tmp_path)
    write_sound(pets / "cat" / "new.wav")
    with pytest.raises(ValueError, match="got another or a changed one; force"):
        _prepare(pets, tmp_path)
    assert _prepare(pets, tmp_path, dataset_name="other").clips == 13
    assert _prepare(pets, tmp_path, force=True).clips == 13
    assert _prepare(pets, tmp_path).reused
    assert sorted(os.listdir(tmp_path / "data" / ".building")) == [
        "audio_folder.lock",
        "other.lock",
    ]


def test_a_failed_force_leaves_the_old_records(pets, tmp_path):
    old = tree(_prepare(pets, tmp_path).path)
    (pets / "cat" / "3.wav").write_bytes(b"")
    with pytest.raises(ValueError, match="1 missing or bad"):
        _prepare(pets, tmp_path, force=True)
    assert tree(tmp_path / "data" / "audio_folder" / "8000hz_1ch" / "1.0.0") == old


def test_all_bad_files_are_listed_and_no_records_are_left(pets, tmp_path):
    bad = {
        "cat/1.wav": b"",
        "cat/2.wav": b"no sound at all",
        "dog/4.wav": (pets / "dog" / "4.wav").read_bytes()[:-1000],
    }
    for name, data in bad.items():
        (pets / name).write_bytes(data)
    with pytest.raises(ValueError, match="got 3 missing or bad") as info:
        _prepare(pets, tmp_path, jobs=2)
    message = str(info.value)
    assert all(name in message for name in bad) and message.endswith(f"source={pets}")
    assert "it is empty (0 bytes)" in message and "it is truncated" in message
    assert os.listdir(tmp_path / "data") == [".building"]

    result = _prepare(pets, tmp_path, allow_missing=True)
    examples, metadata = records(result.path)
    assert (result.clips, len(examples), len(result.missing)) == (9, 9, 3)
    assert metadata["missing"] == list(result.missing) and metadata["clips"] == 9
    assert {line.split(":")[0] for line in result.missing} == set(bad)
    assert _prepare(pets, tmp_path).missing == result.missing
    assert os.listdir(tmp_path / "data" / ".building") == ["audio_folder.lock"]


def test_a_fold_without_a_readable_file_is_an_error_that_lists_all(tmp_path):
    rows = [(f"{label}{fold}.wav", label, fold) for label in "ab" for fold in (1, 2)]
    table = write_table(tmp_path / "s" / "t.csv", ("filename", "label", "fold"), rows)
    for name in ("a2.wav", "b2.wav"):
        write_sound(tmp_path / "s" / name)
    with pytest.raises(ValueError, match=r"none in fold 1 and 2 missing .*a1\.wav.*b1\.wav"):
        _prepare(table, tmp_path, allow_missing=True)


def test_the_same_samples_in_two_folds_are_noted(tmp_path):
    rows = [(f"{label}{take}.wav", label, 1 + take % 2) for label in "ab" for take in range(6)]
    table = write_table(tmp_path / "s" / "t.csv", ("filename", "label", "fold"), rows)
    for seed, (name, _, _) in enumerate(rows):
        write_sound(tmp_path / "s" / name, seed=seed)
    assert _prepare(table, tmp_path).notes == ()
    # Fold 1 holds even takes. Two of one fold are nobody's concern; a1 and b1 share fold 2.
    shutil.copy(tmp_path / "s" / "b3.wav", tmp_path / "s" / "b5.wav")
    shutil.copy(tmp_path / "s" / "a0.wav", tmp_path / "s" / "a1.wav")
    shutil.copy(tmp_path / "s" / "a0.wav", tmp_path / "s" / "b1.wav")
    (note,) = _prepare(table, tmp_path, force=True).notes
    assert "2 (a0.wav (fold 1) = a1.wav (fold 2), a0.wav (fold 1) = b1.wav (fold 2))" in note
    shutil.copy(tmp_path / "s" / "b2.wav", tmp_path / "s" / "b3.wav")
    shutil.copy(tmp_path / "s" / "b2.wav", tmp_path / "s" / "b5.wav")
    (note,) = _prepare(table, tmp_path, force=True).notes
    assert ": 4 (" in note and note.count(" = ") == 3 and note.endswith(", ...)")


def test_progress_shows_rate_and_time_left(pets, tmp_path, capsys):
    _prepare(pets, tmp_path, progress=True)
    error = capsys.readouterr()
    assert "12/12" in error.err and "clips/s" in error.err and error.out == ""


# --- kills ---------------------------------------------------------------------------------------

CHILD = """
import sys, data_prep
data_prep.prepare("audio_folder", source=sys.argv[1], data_dir=sys.argv[2], sample_rate=8000,
                  jobs=2, progress=False)
"""


def _kill_while_writing(source, data_dir):
    """Start a build in a process of its own, kill -9 it amid its shards; return its workers."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(source), str(data_dir)],
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
    )
    workshop = data_dir / ".building" / "audio_folder"
    deadline = time.monotonic() + 120
    while not any(workshop.rglob("fold*.json")):
        assert child.poll() is None, child.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    children = pathlib.Path(f"/proc/{child.pid}/task/{child.pid}/children")
    workers = children.read_text().split() if children.exists() else []
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stderr.close()
    return [int(worker) for worker in workers]


def _running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_killed_build_leaves_nothing_half_made_and_goes_on(pets, tmp_path):
    # Long enough that the kill arrives between the first fold's records and the last's.
    long = write_sound(tmp_path / "long.flac", seconds=10, rate=44100)
    for label in ("cat", "dog"):
        for take in range(20):
            shutil.copy(long, pets / label / f"long{take}.flac")
    data_dir = tmp_path / "data"
    folder = data_dir / "audio_folder" / "8000hz_1ch" / "1.0.0"

    workers = _kill_while_writing(pets, data_dir)
    assert not folder.exists() and not (data_dir / "audio_folder").exists()
    deadline = time.monotonic() + 30
    while any(map(_running, workers)):
        assert time.monotonic() < deadline, "worker processes outlived the build"
        time.sleep(0.1)

    result = _prepare(pets, tmp_path)
    assert re.search(r"taken over from a call that was stopped: [1-4] of 5", result.notes[-1])
    assert tree(_prepare(pets, tmp_path / "unbroken").path) == tree(result.path)
    assert os.listdir(data_dir / ".building") == ["audio_folder.lock"]


def test_a_kill_between_the_two_renames_is_put_right(pets, tmp_path):
    result = _prepare(pets, tmp_path)
    old = tree(result.path)
    previous = tmp_path / "data" / ".building" / "audio_folder" / "previous" / "8000hz_1ch"
    previous.mkdir(parents=True)
    os.rename(result.path, previous / "1.0.0")
    again = _prepare(None, tmp_path)
    assert again.reused and tree(again.path) == old
    assert os.listdir(tmp_path / "data" / ".building") == ["audio_folder.lock"]


def test_two_builds_of_one_set_at_once_are_refused(pets, tmp_path):
    import fcntl

    building = tmp_path / "data" / ".building"
    building.mkdir(parents=True)
    with open(building / "audio_folder.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="only process to prepare audio_folder"):
            _prepare(pets, tmp_path)
    assert _prepare(pets, tmp_path).clips == 12


# --- arguments -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sample_rate": 0}, "sample_rate=0"),
        ({"sample_rate": 8000.5}, "sample_rate=8000.5"),
        ({"channels": 3}, "channels=3"),
        ({"channels": 0}, "channels=0"),
        ({"jobs": 0}, "jobs=0"),
        ({"dataset_name": "My Sounds"}, "dataset_name='My Sounds'"),
        ({"dataset_name": "../up"}, "dataset_name='../up'"),
        ({"dataset_name": "esc10"}, "dataset_name='esc10'"),
        ({"dataset_name": ""}, "dataset_name=''"),
    ],
)
def test_arguments_are_checked(pets, tmp_path, arguments, message):
    with pytest.raises(ValueError, match="Expected .* Received: ") as info:
        _prepare(pets, tmp_path, **arguments)
    assert message in str(info.value)
    assert not (tmp_path / "data").exists()


def test_unknown_names_answer_with_a_near_one(tmp_path):
    with pytest.raises(ValueError, match=r"did you mean esc10.*name='esc-10'"):
        data_prep.prepare("esc-10", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("toy_scenes", "toy_scenes/1a or toy_scenes/1b or toy_scenes/1c or toy_scenes/3class"),
        ("tau_urban2019", "tau_urban_2019/1a or tau_urban_2019/1b or tau_urban_2019/1c"),
        ("toy_scenes_1b", "toy_scenes/1b"),
        ("tau_urban_2019_1a", "tau_urban_2019/1a"),
    ],
)
def test_of_a_family_the_members_are_named(tmp_path, name, meant):
    with pytest.raises(ValueError, match=f"did you mean {meant}\\?.*name='{name}'"):
        data_prep.prepare(name, data_dir=tmp_path)


def test_a_source_is_needed_and_must_exist(tmp_path):
    with pytest.raises(ValueError, match=r"source of esc50 .*github.*source=None") as info:
        data_prep.prepare("esc50", data_dir=tmp_path)
    assert "--source: " in str(info.value) and "fetch" not in str(info.value)
    with pytest.raises(ValueError, match=r"--source: .*keras-audio fetch ravdess gets it.*None"):
        data_prep.prepare("ravdess", data_dir=tmp_path)
    with pytest.raises(ValueError, match="existing source.*nowhere"):
        data_prep.prepare("esc50", source=tmp_path / "nowhere", data_dir=tmp_path)


def test_a_folder_that_cannot_be_listed_is_named(pets, tmp_path, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ValueError, match=r"Permission denied at .*dog\. Received: source="):
        _prepare(pets, tmp_path)


def test_a_data_dir_that_is_a_file_is_refused(pets, tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(ValueError, match="Expected a folder to write to.*Received: .*data"):
        _prepare(pets, tmp_path)


def test_a_folder_that_is_not_records_is_refused(pets, tmp_path):
    folder = tmp_path / "data" / "audio_folder" / "8000hz_1ch" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "metadata.json").write_text(json.dumps({"labels": []}))
    with pytest.raises(ValueError, match="without their metadata; force"):
        _prepare(pets, tmp_path)
    assert _prepare(pets, tmp_path, force=True).clips == 12


def test_cards_and_listing_need_no_tensorflow():
    code = (
        "import sys, data_prep; assert len(data_prep.cards()) == 15;"
        "bad = {'tensorflow', 'tensorflow_datasets', 'keras', 'sklearn'} & set(sys.modules);"
        "sys.exit(repr(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


def test_cards_are_complete():
    for card in data_prep.cards():
        assert card.title and card.licence and card.layout and card.sample_rate > 0
        assert len(card.labels) == (card.classes or 0)


def test_stereo_sets_keep_their_sides(tmp_path):
    for label in "ab":
        for take in range(2):
            path = tmp_path / "s" / label / f"{take}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            left = np.linspace(-0.5, 0.5, 100) * (take + 1) / 2
            soundfile.write(path, np.stack([left, -left], axis=-1), 8000)
    examples, metadata = records(_prepare(tmp_path / "s", tmp_path, channels=2).path)
    assert metadata["folds"] == [1, 2]
    for example in examples.values():
        left, right = example["audio"].T.astype(int)
        assert np.abs(left + right).max() <= 1 and np.abs(left).max() > 8000
