"""Shards: what they are, what is written of them, and what a call that was stopped leaves."""

import hashlib
import json
import os
import shutil
import threading

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from sources import records, tree, write_sound, write_table

import data_prep
from data_prep import decoding, missing, shards
from data_prep.base import Content
from data_prep.clips import ClipList
from data_prep.form import Form
from keras_audio.audio import pcm16_hash
from keras_audio.data.clip_table import ClipTable

# Fold 1 has 7 clips and fold 2 has 5: with three in a shard that is 2, 2, 3 and 2, 3.
FOLD_1, FOLD_2 = 7, 5


@pytest.fixture(autouse=True)
def three_in_a_shard(monkeypatch):
    monkeypatch.setattr(shards, "CLIPS_IN_A_SHARD", 3)


@pytest.fixture
def sounds(tmp_path):
    """A table of twelve sounds, each of its own length."""
    rows = [
        (f"{i}.wav", "ab"[i % 2], 1 if i < FOLD_1 else 2, f"place {i // 2}" if i < 6 else f"{i}")
        for i in range(FOLD_1 + FOLD_2)
    ]
    for seed, (name, *_) in enumerate(rows):
        write_sound(tmp_path / "s" / name, seed=seed, seconds=0.1 + seed / 1000)
    return write_table(tmp_path / "s" / "t.csv", ("filename", "label", "fold", "source"), rows)


def _prepare(table, tmp_path, **arguments):
    arguments = {"sample_rate": 8000, "progress": False, "jobs": 1} | arguments
    return data_prep.prepare("audio_folder", source=table, data_dir=tmp_path / "data", **arguments)


def _shards_folder(tmp_path, form="8000hz_1ch"):
    return tmp_path / "data" / ".building" / "audio_folder" / "shards" / form


def _stored_ids(fold, ids):
    """The order of TFDS: by the MD5 of the split's name and the key."""
    return sorted(ids, key=lambda clip_id: hashlib.md5(f"fold{fold}{clip_id}".encode()).digest())


@pytest.fixture
def decoded(monkeypatch):
    """The ids of the clips that are decoded, as it happens."""
    ids, decode = [], decoding.decode_clip

    def watched(root, clip, form):
        ids.append(clip.clip_id)
        return decode(root, clip, form)

    monkeypatch.setattr(decoding, "decode_clip", watched)
    return ids


# --- what is written -----------------------------------------------------------------------------


def test_each_fold_is_cut_evenly_in_the_order_of_tfds(sounds, tmp_path):
    path = _prepare(sounds, tmp_path).path
    assert sorted(file.name for file in path.glob("*.tfrecord*")) == [
        "audio_folder-fold1.tfrecord-00000-of-00003",
        "audio_folder-fold1.tfrecord-00001-of-00003",
        "audio_folder-fold1.tfrecord-00002-of-00003",
        "audio_folder-fold2.tfrecord-00000-of-00002",
        "audio_folder-fold2.tfrecord-00001-of-00002",
    ]
    splits = tfds.builder_from_directory(path).info.splits
    assert splits["fold1"].shard_lengths == [2, 2, 3]
    assert splits["fold2"].shard_lengths == [2, 3]
    ids = {1: [f"{i}.wav" for i in range(7)], 2: [f"{i}.wav" for i in range(7, 12)]}
    for fold, members in ids.items():
        read = tfds.builder_from_directory(path).as_dataset(
            f"fold{fold}", read_config=tfds.ReadConfig(interleave_cycle_length=1)
        )
        order = [example["clip_id"].decode() for example in read.as_numpy_iterator()]
        assert order == _stored_ids(fold, members)


def test_the_index_says_of_each_clip_what_its_record_says_and_where_it_is(sounds, tmp_path):
    path = _prepare(sounds, tmp_path).path
    clips = 0
    for fold, files in ((1, 3), (2, 2)):
        index = ClipTable.load(path / f"fold{fold}.index.npz")
        rows = iter(zip(index, index.shards, index.offsets, strict=True))
        size = 0
        for number in range(files):
            name = f"audio_folder-fold{fold}.tfrecord-{number:05}-of-{files:05}"
            file = (path / name).read_bytes()
            for record in tf.data.TFRecordDataset(str(path / name)).as_numpy_iterator():
                clip, shard, offset = next(rows)
                # Eight bytes of length and four of its sum come before the record itself.
                assert int.from_bytes(file[offset : offset + 8], "little") == len(record)
                assert file[offset + 12 : offset + 12 + len(record)] == record
                fields = tf.train.Example.FromString(record).features.feature
                samples = np.frombuffer(fields["audio"].bytes_list.value[0], np.int16)
                assert shard == number and clip.fold == fold
                assert clip.clip_id == fields["clip_id"].bytes_list.value[0].decode()
                assert clip.source == fields["source"].bytes_list.value[0].decode()
                assert list(clip.labels) == list(fields["label"].int64_list.value)
                assert clip.hash == pcm16_hash(samples) and clip.samples == len(samples)
                clips, size = clips + 1, size + len(record)
        assert next(rows, None) is None
        assert tfds.builder_from_directory(path).info.splits[f"fold{fold}"].num_bytes == size
    assert clips == 12


def test_the_fields_of_a_record_have_one_order(sounds, tmp_path):
    path = _prepare(sounds, tmp_path, pitch_variants=1).path
    seen = 0
    for file in path.glob("*.tfrecord*"):
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            example = tf.train.Example.FromString(record)
            assert record == example.SerializeToString(deterministic=True)
            names = sorted(example.features.feature)
            places = [record.index(b"\n" + bytes([len(name)]) + name.encode()) for name in names]
            assert places == sorted(places)
            seen += 1
    assert seen == 12


def test_clips_with_attributes_keep_them_in_the_index(tmp_path):
    clip_list = _hand_made(tmp_path, attributes=({"city": "Lyon"}, {"city": "Milan"}))
    table = ClipTable.load(_prepared(tmp_path, clip_list).path / "fold1.index.npz")
    assert [clip.attributes for clip in table] == [{"city": "Lyon"}]


def test_a_shard_without_a_good_clip_leaves_no_gap(sounds, tmp_path):
    order = _stored_ids(1, [f"{i}.wav" for i in range(7)])
    for name in order[2:4]:  # all of the second shard
        (sounds.parent / name).write_bytes(b"")
    result = _prepare(sounds, tmp_path, allow_missing=True)
    assert result.clips == 10
    splits = tfds.builder_from_directory(result.path).info.splits
    assert splits["fold1"].shard_lengths == [2, 3]
    assert len(list(result.path.glob("*fold1.tfrecord-*-of-00002"))) == 2
    table = ClipTable.load(result.path / "fold1.index.npz")
    assert [clip.clip_id for clip in table] == order[:2] + order[4:]
    assert table.shards.tolist() == [0, 0, 1, 1, 1]
    assert (table.offsets == 0).tolist() == [True, False, True, False, False]
    assert len(records(result.path)[0]) == 10


# --- what is missing -----------------------------------------------------------------------------


def test_much_that_is_missing_is_in_a_file_of_its_own(sounds, tmp_path, monkeypatch, capsys):
    for number in range(4):
        (sounds.parent / f"{number}.wav").unlink()
    few = _prepare(sounds, tmp_path, allow_missing=True)
    assert len(records(few.path)[1]["missing"]) == 4
    assert not (few.path / "missing.txt").exists()

    monkeypatch.setattr(missing, "LISTED", 2)
    with pytest.raises(ValueError, match=r"got 4 missing .*0\.wav.*1\.wav.*; and 2 more\. Rec"):
        _prepare(sounds, tmp_path, force=True)
    result = _prepare(sounds, tmp_path, allow_missing=True, force=True, progress=True)
    assert f"missing: 2 more, all in {result.path}/missing.txt\n" in capsys.readouterr().err
    lines = [f"{number}.wav: there is no such file" for number in range(4)]
    assert result.missing == tuple(lines)
    assert (result.path / "missing.txt").read_text() == "".join(f"{line}\n" for line in lines)
    assert records(result.path)[1]["missing"] == lines[:2]
    assert records(result.path)[1]["clips"] == 8
    assert _prepare(sounds, tmp_path).missing == result.missing


def _hand_made(tmp_path, attributes=({}, {}), **arguments):
    """A list of two clips."""
    clips = []
    for number, values in enumerate(attributes):
        write_sound(tmp_path / "hand" / f"{number}.wav", seed=number)
        clips.append(
            data_prep.clips.Clip(
                clip_id=f"{number}",
                file=f"{number}.wav",
                labels=("ab"[number],),
                fold=1 + number,
                source=f"{number}",
                attributes=values,
            )
        )
    return ClipList(tmp_path / "hand", ("a", "b"), tuple(clips), **arguments)


def _prepared(tmp_path, clip_list, **arguments):
    """Prepare a list, as a data set that lists it would."""
    dataset = data_prep.registry.DATASETS["esc10"]
    with pytest.MonkeyPatch.context() as patch:
        made = data_prep.clips.Dataset(dataset.card, lambda source: clip_list)
        patch.setitem(data_prep.registry.DATASETS, "esc10", made)
        arguments = {"sample_rate": 8000, "progress": False, "jobs": 1} | arguments
        return data_prep.prepare(
            "esc10", source=clip_list.root, data_dir=tmp_path / "data", **arguments
        )


def test_what_is_absent_by_nature_is_counted_and_no_problem(tmp_path):
    result = _prepared(tmp_path, _hand_made(tmp_path, absent=("x-1", "x-2", "x-3")))
    assert result.missing == () and result.clips == 2
    assert records(result.path)[1]["absent"] == 3
    assert (result.path / "absent.txt").read_text() == "x-1\nx-2\nx-3\n"
    (note,) = result.notes
    assert "3 of 5 clips" in note
    none = _prepared(tmp_path, _hand_made(tmp_path), force=True)
    assert "absent" not in records(none.path)[1] and not (none.path / "absent.txt").exists()


def test_a_clip_may_be_a_row_of_a_pack(tmp_path):
    import h5py

    samples = np.random.default_rng(0).integers(-9000, 9000, (3, 16000)).astype(np.int16)
    with h5py.File(tmp_path / "eval.h5", "w") as pack:
        pack["audio_name"] = np.array([b"Yaaaaaaaaaaa.wav", b"", b"Yccccccccccc.wav"], "S20")
        pack["waveform"] = samples
        pack["target"] = np.zeros((3, 527), bool)
        pack.attrs["sample_rate"] = 16000
    clips = tuple(
        data_prep.clips.Clip(name, "eval.h5", (label,), fold, name, {}, row)
        for name, label, fold, row in (
            ("aaaaaaaaaaa", "a", 1, 0), ("bbbbbbbbbbb", "b", 1, 1), ("ccccccccccc", "b", 2, 2)
        )
    )  # fmt: skip
    clip_list = ClipList(tmp_path, ("a", "b"), clips)
    result = _prepared(tmp_path, clip_list, sample_rate=16000, channels=2, allow_missing=True)
    assert result.missing == ("eval.h5, row 1 (bbbbbbbbbbb): its row 1 holds no clip",)
    examples, _ = records(result.path)
    for name, row in (("aaaaaaaaaaa", 0), ("ccccccccccc", 2)):
        both = examples[name]["audio"].astype(int)
        np.testing.assert_array_equal(both[:, 0], both[:, 1])
        assert np.abs(both[:, 0] - samples[row]).max() <= 1
    lower = _prepared(tmp_path, clip_list, sample_rate=8000, allow_missing=True)
    assert records(lower.path)[0]["aaaaaaaaaaa"]["audio"].shape == (8000, 1)


# --- calls that were stopped ---------------------------------------------------------------------


def test_only_the_shard_of_a_file_that_was_mended_is_decoded_again(sounds, tmp_path, decoded):
    good = (sounds.parent / "3.wav").read_bytes()
    (sounds.parent / "3.wav").write_bytes(good[:-500])
    with pytest.raises(ValueError, match="1 missing or bad"):
        _prepare(sounds, tmp_path)
    assert len(decoded) == 12
    (sounds.parent / "3.wav").write_bytes(good)
    decoded.clear()
    result = _prepare(sounds, tmp_path)
    order = _stored_ids(1, [f"{i}.wav" for i in range(7)])
    place = order.index("3.wav")
    assert decoded == (order[:2] if place < 2 else order[2:4] if place < 4 else order[4:])
    assert result.notes == ("taken over from a call that was stopped: 4 of 5 shards",)
    assert tree(result.path) == tree(_prepare(sounds, tmp_path / "anew").path)
    assert os.listdir(tmp_path / "data" / ".building") == ["audio_folder.lock"]


def test_going_on_without_bad_files_decodes_no_good_one_again(sounds, tmp_path, decoded):
    (sounds.parent / "3.wav").write_bytes(b"")
    with pytest.raises(ValueError, match="what was decoded is kept"):
        _prepare(sounds, tmp_path)
    decoded.clear()
    assert _prepare(sounds, tmp_path, allow_missing=True).clips == 11
    assert decoded == ["3.wav"]


def test_a_file_that_was_out_of_reach_for_a_while_is_tried_again(sounds, tmp_path, decoded):
    path = sounds.parent / "3.wav"
    good, times = path.read_bytes(), path.stat()
    path.write_bytes(bytes(len(good)))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(ValueError, match=r"3\.wav: it cannot be decoded"):
        _prepare(sounds, tmp_path)
    path.write_bytes(good)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    decoded.clear()
    assert _prepare(sounds, tmp_path).missing == ()
    assert 3 <= len(decoded) <= 4  # the bad clip, then its shard


def test_a_file_that_was_changed_since_is_read_again(sounds, tmp_path):
    (sounds.parent / "11.wav").write_bytes(b"")
    with pytest.raises(ValueError, match="1 missing or bad"):
        _prepare(sounds, tmp_path)
    size = (sounds.parent / "0.wav").stat().st_size
    write_sound(sounds.parent / "0.wav", seed=99, seconds=0.1)  # as long as it was
    assert (sounds.parent / "0.wav").stat().st_size == size
    after = tree(_prepare(sounds, tmp_path, allow_missing=True).path)
    assert after == tree(_prepare(sounds, tmp_path / "anew", allow_missing=True).path)


@pytest.mark.parametrize("damage", ["report", "records", "no records", "another's report"])
def test_a_shard_that_is_not_whole_is_made_again(sounds, tmp_path, decoded, damage):
    (sounds.parent / "0.wav").write_bytes(b"")
    with pytest.raises(ValueError, match="1 missing or bad"):
        _prepare(sounds, tmp_path)
    folder = _shards_folder(tmp_path)
    (file,) = folder.glob("fold2-00000-*.tfrecord")
    report = folder / "fold2-00000.json"
    if damage == "report":
        report.write_text(report.read_text()[:-5])
    elif damage == "records":
        file.write_bytes(file.read_bytes()[:-5])
    elif damage == "no records":
        file.unlink()
    else:
        shutil.copy(folder / "fold2-00001.json", report)
    decoded.clear()
    result = _prepare(sounds, tmp_path, allow_missing=True)
    order = _stored_ids(2, [f"{i}.wav" for i in range(7, 12)])
    assert decoded == ["0.wav", *order[:2]]
    assert tree(result.path) == tree(_prepare(sounds, tmp_path / "b", allow_missing=True).path)


def test_force_begins_anew_and_another_form_keeps_its_shards(sounds, tmp_path, decoded):
    bad = sounds.parent / "0.wav"
    good = bad.read_bytes()
    bad.write_bytes(b"")
    for rate in (8000, 16000):
        with pytest.raises(ValueError, match="1 missing or bad"):
            _prepare(sounds, tmp_path, sample_rate=rate)
    bad.write_bytes(good)
    decoded.clear()
    _prepare(sounds, tmp_path, force=True)
    assert len(decoded) == 12 and not _shards_folder(tmp_path).exists()
    decoded.clear()
    _prepare(sounds, tmp_path, sample_rate=16000)
    assert len(decoded) <= 3
    assert os.listdir(tmp_path / "data" / ".building") == ["audio_folder.lock"]


def test_a_kill_while_shards_get_their_names_is_put_right(sounds, tmp_path, monkeypatch):
    replace, moved = os.replace, []

    def killed(source, target):
        if ".tfrecord-" in str(target):
            moved.append(target)
            if len(moved) == 3:
                raise SystemExit
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(SystemExit):
        _prepare(sounds, tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(shards, "CLIPS_IN_A_SHARD", 3)
    assert not (tmp_path / "data" / "audio_folder").exists()
    result = _prepare(sounds, tmp_path)
    assert result.notes == ("taken over from a call that was stopped: 3 of 5 shards",)
    assert tree(result.path) == tree(_prepare(sounds, tmp_path / "anew").path)


def test_what_is_no_finished_shard_is_swept(sounds, tmp_path):
    (sounds.parent / "0.wav").write_bytes(b"")
    with pytest.raises(ValueError, match="1 missing or bad"):
        _prepare(sounds, tmp_path)
    folder = _shards_folder(tmp_path)
    (folder / ".0123.partial").write_bytes(b"half")
    (folder / "fold9-00000.json").write_text("{}")
    (folder / "plans").mkdir()
    before = {name for name in os.listdir(folder) if name.startswith("fold")} - {"fold9-00000.json"}
    with pytest.raises(ValueError, match="1 missing or bad"):
        _prepare(sounds, tmp_path)
    assert set(os.listdir(folder)) == before


def test_two_may_write_a_shard_at_once(tmp_path):
    clip_list = _hand_made(tmp_path)
    folder = tmp_path / "shards"
    folder.mkdir()
    job = shards.Job(str(clip_list.root), str(folder), Content.of(clip_list), Form(8000, 1))
    shard, _ = shards.plan(job, clip_list)
    ready = threading.Barrier(2)
    reports = []

    def write():
        ready.wait()
        sounds = [decoding.decode_clip(job.root, clip, job.form) for clip in shard.clips]
        reports.append(shards.write_shard(job, shard, sounds))

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reports) == 2 and reports[0] == reports[1] == shards.read_report(job, shard)
    assert sorted(os.listdir(folder)) == [reports[0].file, "fold1-00000.json"]
    assert json.loads((folder / "fold1-00000.json").read_text())["samples"] == [1600]
