"""An audit finds what was planted in a data set, no more, and says what it is."""

import csv
import dataclasses
import json
import math
import re

import numpy as np
import pytest
import soundfile

import data_prep
from keras_audio.audit_settings import AuditSettings
from keras_audio.data import audit as audit_module
from keras_audio.data import open_records
from keras_audio.data.audit import audit
from keras_audio.data.audit_report import CLIP_COLUMNS, audit_dict, audit_text, clip_rows

RATE = 8000
FORM = {"sample_rate": RATE, "channels": 1}


def write_set(folder, clips, name, column="label", **form):
    """Prepare clips (name, sound, label, fold, source) as records."""
    with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", column, "fold", "source"])
        for clip, sound, label, fold, source in clips:
            soundfile.write(folder / f"{clip}.wav", sound, RATE, subtype="PCM_16")
            writer.writerow([f"{clip}.wav", label, fold, source])
    form = FORM | form
    data_prep.prepare(
        "audio_folder",
        source=folder / f"{name}.csv",
        dataset_name=name,
        data_dir=folder / "data",
        progress=False,
        **form,
    )
    return open_records(name, data_dir=folder / "data", **form)


def texture(seed, seconds=2.0, level=0.1):
    """A sound that is like no other."""
    return np.random.default_rng(seed).normal(0, level, round(seconds * RATE))


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Two folds of six plain clips each, and one of everything that an audit finds."""
    plain = [
        (f"plain{n}", texture(n), ("dog", "rain")[n % 2], 1 + n // 6, f"plain{n}")
        for n in range(12)
    ]
    loud = texture(50)
    loud[200:210] = 1.5
    loud[3000:3030] = -1.5
    shifted = np.concatenate([np.zeros(900), 0.3 * texture(3)])
    clips = [
        *plain,
        ("equal", texture(0), "rain", 2, "equal"),  # plain0, which is a dog of fold 1
        ("equal_too", texture(7), "rain", 2, "equal_too"),  # plain7, of the same fold and class
        ("near", shifted, "rain", 2, "near"),  # plain3, of fold 1
        ("near_too", -0.5 * texture(8), "dog", 2, "near_too"),  # plain8, of the same fold
        ("take_two", 0.2 * texture(9), "rain", 2, "plain9"),  # of the same recording
        ("silent", np.zeros(RATE), "dog", 1, "silent"),
        ("silent_too", np.zeros(RATE), "dog", 2, "silent_too"),
        ("constant", np.full(RATE, 0.25), "dog", 2, "constant"),
        ("hiss", texture(60, level=5e-5), "dog", 2, "hiss"),
        ("short", texture(61, seconds=0.04), "dog", 1, "short"),
        ("clipped", loud, "dog", 1, "clipped"),
        ("padded", np.concatenate([texture(62, 0.5), np.zeros(RATE)]), "dog", 1, "padded"),
    ]
    return write_set(tmp_path_factory.mktemp("planted"), clips, "planted")


@pytest.fixture(scope="module")
def found(planted):
    return audit(planted, AuditSettings(min_seconds=0.05), progress=False)


def names(found, numbers):
    return sorted(found.clips[number].clip_id.removesuffix(".wav") for number in numbers)


def counted(found):
    """The first table of the text: what follows each check."""
    table = audit_text(found).split("\n\n")[1].splitlines()[1:]
    return {line[0]: line[1:] for line in (re.split("  +", line) for line in table)}


def test_clips_with_the_same_samples(found):
    groups = sorted(names(found, group) for group in found.exact)
    assert groups == [["equal", "plain0"], ["equal_too", "plain7"]]
    folds = {names(found, group)[0]: found.in_folds(group) for group in found.exact}
    assert folds == {"equal": [1, 2], "equal_too": [2]}
    differ = {names(found, group)[0]: found.labels_differ(group) for group in found.exact}
    assert differ == {"equal": True, "equal_too": False}


def test_near_duplicates(found):
    pairs = {tuple(names(found, (pair.first, pair.second))): pair for pair in found.near}
    assert sorted(pairs) == [("near", "plain3"), ("near_too", "plain8"), ("plain9", "take_two")]
    assert found.leaking(pairs["near", "plain3"])
    assert not found.leaking(pairs["near_too", "plain8"])
    assert found.of_one_source(pairs["plain9", "take_two"])
    assert not found.of_one_source(pairs["near_too", "plain8"])
    pair = pairs["near", "plain3"]
    # The leak comes first.
    assert found.near[0] is pair
    first = names(found, [pair.first])
    assert pair.offset == pytest.approx(900 / RATE if first == ["plain3"] else -900 / RATE)
    assert pair.correlation > 0.9 and pair.similarity > 0.8
    assert (found.alike, found.not_compared) == ([], [])


def test_clips_that_cannot_be_used_and_others(found):
    assert names(found, found.silent) == ["constant", "hiss", "silent", "silent_too"]
    assert names(found, found.too_short) == ["short"]
    assert names(found, found.clipped) == ["clipped"]
    # What is silent is not "padded" unless it is zeros.
    assert names(found, found.padded) == ["padded", "silent", "silent_too"]
    assert (found.leaks, found.unusable, found.status) == (2, 5, 1)


def test_classes_of_each_fold(found):
    assert found.records.labels == ["dog", "rain"]
    assert found.class_counts.tolist() == [[7, 3], [7, 7]]


def test_without_thresholds_passed_by_it_is_the_defaults(planted):
    found = audit(planted, near=False, progress=False)
    assert found.settings == AuditSettings()
    assert (found.searched, found.near) == (False, [])
    assert names(found, found.too_short) == []
    assert (found.leaks, found.unusable) == (1, 4)
    assert "near-duplicates" not in audit_text(found)
    assert audit_dict(found)["near_duplicates"] is None


def test_thresholds_are_obeyed(planted):
    settings = AuditSettings(near=0.99, silent_peak=-100, silent_rms=-100, clipped=0.01, padded=0.7)
    found = audit(planted, settings, progress=False)
    assert names(found, found.silent) == ["constant", "silent", "silent_too"]
    assert names(found, found.clipped) == []
    assert names(found, found.padded) == ["silent", "silent_too"]
    assert all(pair.similarity >= 0.99 for pair in found.near)
    assert ["near", "plain3"] not in [names(found, (p.first, p.second)) for p in found.near]
    unsure = audit(planted, AuditSettings(confirm=1), progress=False)
    assert len(unsure.near) + len(unsure.alike) == 3 and len(unsure.alike) >= 1
    assert unsure.leaks == 1
    assert "\n\nalike in spectrum, but not in waveform:\nfolds " in audit_text(unsure)


def pairs_of(found, pairs):
    return [names(found, (pair.first, pair.second)) for pair in pairs]


def test_pairs_beyond_the_memory_for_waveforms_have_their_turn(planted, found, monkeypatch):
    # Two clips of two seconds, float32: one pair at a time.
    monkeypatch.setattr(audit_module, "_WAVEFORM_BYTES", 4 * 8000 * 4 + 4000)
    again = audit(planted, AuditSettings(min_seconds=0.05), progress=False)
    assert (again.near, again.not_compared) == (found.near, [])
    monkeypatch.setattr(audit_module, "_ROUNDS", 1)
    once = audit(planted, progress=False)
    # The leak is the first.
    assert pairs_of(once, once.near) == [["near", "plain3"]]
    assert len(once.not_compared) == 2 and once.unsure == 0
    assert all(pair.correlation is None for pair in once.not_compared)
    assert counted(once)["alike in spectrum, waveforms not compared"] == ["2"]
    assert "\n\nalike in spectrum, waveforms not compared:\nfolds " in audit_text(once)
    assert len(audit_dict(once)["alike_not_compared"]) == 2


def test_leaks_that_were_not_compared_are_not_passed_over(tmp_path, monkeypatch):
    clips = [
        (f"plain{n}", texture(n), ("dog", "rain")[n % 2], 1 + n // 3, f"plain{n}") for n in range(6)
    ]
    clips.append(("near", 0.3 * texture(0), "dog", 2, "near"))
    clips.append(("near_too", 0.3 * texture(1), "dog", 2, "near_too"))
    records = write_set(tmp_path, clips, "many")
    monkeypatch.setattr(audit_module, "_WAVEFORM_BYTES", 4 * 8000 * 4 + 4000)
    both = audit(records, progress=False)
    assert (both.leaks, both.unsure, both.status) == (2, 0, 1)
    # Not one fits.
    monkeypatch.setattr(audit_module, "_WAVEFORM_BYTES", 4 * 8000)
    none = audit(records, progress=False)
    assert (none.leaks, none.unsure, none.status) == (0, 2, 1)
    unsure = counted(none)["alike in spectrum, waveforms not compared, in two folds"]
    assert unsure == ["2", "may leak"]
    assert "0 leak(s) between folds, 2 pair(s) in two folds not compared" in audit_text(none)
    assert audit_dict(none)["unsure"] == 2


def test_folds_that_always_train_together_do_not_leak(tmp_path, monkeypatch):
    """As AudioSet's two tables to train on, with one to test on."""
    clips = [
        (f"plain{n}", texture(n), ("dog", "rain")[n % 2], 1 + n // 2, f"plain{n}") for n in range(6)
    ]
    clips += [
        ("equal", texture(2), "dog", 3, "equal"),  # of fold 2
        ("near", 0.3 * texture(3), "dog", 3, "near"),  # of fold 2
    ]
    records = write_set(tmp_path, clips, "tables")
    monkeypatch.setattr(records, "held_out_folds", [1])
    listed = [
        dataclasses.replace(clip, source="video") if clip.fold > 1 else clip
        for clip in records.clips(records.folds)
    ]
    monkeypatch.setattr(records, "clips", lambda folds: listed)
    found = audit(records, progress=False)
    assert (found.leaks, found.unsure, found.status) == (0, 0, 0)
    counts = counted(found)
    for what in ("recordings", "same samples", "near-duplicates"):
        assert counts[f"{what} in several training folds"] == ["1"]
    assert counts["recordings in several folds"] == counts["near-duplicates in two folds"] == ["0"]
    assert counts["near-duplicates in one fold, of different recordings"] == ["0"]
    said = audit_dict(found)
    assert [entry["leak"] for entry in said["near_duplicates"]] == [False]
    # What is not compared there may not leak, either.
    monkeypatch.setattr(audit_module, "_WAVEFORM_BYTES", 4)
    assert audit(records, progress=False).status == 0
    monkeypatch.setattr(records, "held_out_folds", [1, 3])
    assert audit(records, progress=False).unsure == 1
    monkeypatch.undo()
    monkeypatch.setattr(records, "held_out_folds", [3])
    found = audit(records, progress=False)
    assert (found.leaks, found.status) == (2, 1)


def test_recordings_in_several_folds(planted, monkeypatch):
    # A preparation refuses that, but records may come from elsewhere.
    clips = [
        dataclasses.replace(clip, source="field") if "plain" in clip.clip_id else clip
        for clip in planted.clips(planted.folds)
    ]
    monkeypatch.setattr(planted, "clips", lambda folds: clips)
    found = audit(planted, near=False, progress=False)
    assert found.split_sources == {"field": [1, 2]}
    assert found.leaks == 2
    assert counted(found)["recordings in several folds"] == ["1", "leak"]
    rows = list(clip_rows(found))
    assert sum("recording in folds 1, 2" in row["found"] for row in rows) == 12


def test_a_set_without_faults(tmp_path):
    clips = [
        (f"plain{n}", texture(n, 1.0), ("dog", "rain")[n % 2], 1 + n // 4, f"plain{n}")
        for n in range(8)
    ]
    found = audit(write_set(tmp_path, clips, "plain"), progress=False)
    assert (found.status, found.leaks, found.unusable) == (0, 0, 0)
    assert audit_text(found).endswith("no leaks between folds, and no clips that cannot be used")


def test_several_classes_two_channels_and_variants(tmp_path):
    clips = [
        ("one", np.stack([texture(1), texture(2)], 1), "siren|rain", 1, "one"),
        ("two", np.stack([texture(3), np.zeros(16000)], 1), "", 1, "two"),
        ("three", 0.4 * np.stack([texture(1), texture(2)], 1), "rain|dog", 2, "three"),
    ]
    form = {"channels": 2, "pitch_variants": 1}
    records = write_set(tmp_path, clips, "street", "labels", **form)
    assert records.multi_label
    found = audit(records, progress=False)
    assert dict(zip(records.labels, found.class_counts.T.tolist(), strict=True)) == {
        "siren": [1, 0],
        "rain": [1, 1],
        "dog": [0, 1],
    }
    (pair,) = found.near
    assert names(found, (pair.first, pair.second)) == ["one", "three"]
    assert (found.leaks, found.unusable) == (1, 0)
    text = audit_text(found)
    assert "fold 1 has no clips of 1 class(es): dog" in text
    assert counted(found)["duplicates of another class"] == ["1"]
    labels = {row["clip_id"]: row["labels"].split("|") for row in clip_rows(found)}
    assert sorted(map(len, labels.values())) == [1, 2, 2] and [""] in labels.values()


def test_rates_too_low_to_compare_sounds(tmp_path):
    clips = [
        (f"plain{n}", texture(n // 2), ("dog", "rain")[n % 2], n + 1, f"plain{n}") for n in range(2)
    ]
    found = audit(write_set(tmp_path, clips, "low", sample_rate=1000), progress=False)
    assert (found.searched, found.leaks) == (False, 1)


# --- records that are not what they say ----------------------------------------------------------


def test_a_list_that_is_not_that_of_the_samples(planted, monkeypatch):
    clips = list(planted.clips(planted.folds))
    other = dataclasses.replace(clips[4], hash=clips[5].hash)
    for wrong in (clips[::-1], clips[:-1], [*clips, clips[0]], [*clips[:4], other, *clips[5:]]):
        monkeypatch.setattr(planted, "clips", lambda folds, wrong=wrong: wrong)
        with pytest.raises(ValueError, match="that the records list.*--force. Received: path="):
            audit(planted, near=False, progress=False)


def test_damaged_samples(tmp_path):
    clips = [
        (f"plain{n}", texture(n, 0.5), ("dog", "rain")[n % 2], 1 + n // 2, f"plain{n}")
        for n in range(4)
    ]
    records = write_set(tmp_path, clips, "damaged")
    (path,) = records.path.glob("*fold2.tfrecord*")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="Expected whole records.*--force. Received: path="):
        audit(records, progress=False)


# --- reports -------------------------------------------------------------------------------------


def test_the_table_says_what_was_found(found):
    lines = audit_text(found).splitlines()
    head = "planted at 8000 Hz with 1 channel(s): 24 clips, 42.7 s, 2 classes, 2 fold(s)"
    assert lines[0] == head
    counts = counted(found)
    assert counts["same samples in several folds"] == ["1", "leak"]
    assert counts["same samples in one fold"] == ["1"]
    assert counts["near-duplicates in two folds"] == ["1", "leak"]
    assert counts["near-duplicates in one fold, of different recordings"] == ["1"]
    assert counts["near-duplicates in one fold, of one recording"] == ["1"]
    assert counts["alike in spectrum, but not in waveform"] == ["0"]
    assert counts["duplicates of another class"] == ["1"]
    assert counts["too short (under 0.05 s)"] == ["1", "cannot be used"]
    assert any(line.startswith("dog") and line.split()[1:] == ["14", "7", "7"] for line in lines)
    assert "the largest class has 1.4 times the clips of the smallest" in lines
    assert lines[-1] == "2 leak(s) between folds, 5 clip(s) that cannot be used"


def test_long_lists_are_cut(planted):
    text = audit_text(audit(planted, AuditSettings(min_seconds=100), near=False, progress=False))
    assert "... and 19 more (--csv or --json lists all)" in text


def test_json_holds_all_of_it(found):
    said = json.loads(json.dumps(audit_dict(found), allow_nan=False))
    assert (said["leaks"], said["unusable"], said["clips"]) == (2, 5, 24)
    assert said["settings"]["min_seconds"] == 0.05
    by_clips = {tuple(sorted(entry["clips"])): entry for entry in said["near_duplicates"]}
    entry = by_clips["near.wav", "plain3.wav"]
    assert sorted(entry["folds"]) == [1, 2] and entry["labels"] == [["rain"], ["rain"]]
    assert abs(entry["offset_seconds"]) == 0.1125
    assert said["duplicates_of_another_class"] in (
        [["equal.wav", "plain0.wav"]],
        [["plain0.wav", "equal.wav"]],
    )
    assert sorted(said["silent"]) == ["constant.wav", "hiss.wav", "silent.wav", "silent_too.wav"]
    assert said["folds"] == {"1": {"dog": 7, "rain": 3}, "2": {"dog": 7, "rain": 7}}


def test_a_row_for_every_clip(found):
    rows = {row["clip_id"].removesuffix(".wav"): row for row in clip_rows(found)}
    assert len(rows) == 24 and all(tuple(row) == CLIP_COLUMNS for row in rows.values())
    assert rows["plain1"]["found"] == ""
    assert rows["equal"]["found"] == "same as plain0.wav (fold 1)"
    assert rows["near"]["found"] == "near plain3.wav (fold 1)"
    assert rows["silent"]["found"] == "silent; padded"
    assert rows["constant"]["peak_db"] == "-inf" and rows["constant"]["mean"] == "0.250000"
    assert float(rows["clipped"]["clipped"]) == pytest.approx(40 / 16000)
    assert math.isclose(float(rows["padded"]["padding"]), 2 / 3, abs_tol=1e-3)
    assert rows["short"]["seconds"] == "0.0400"
