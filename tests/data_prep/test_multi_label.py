"""Sounds of several classes at once: the CSV, its folds, and the records that come of it."""

import collections

import numpy as np
import pytest
from sources import records, write_sound, write_table

import data_prep
from data_prep import audio_folder
from keras_audio.data import make_split, open_records

HEADER = ("filename", "labels", "fold", "source")


def _prepare(source, data_dir, **arguments):
    return data_prep.prepare(
        "audio_folder", source=source, sample_rate=8000, data_dir=data_dir, progress=False,
        jobs=1, **arguments,
    )  # fmt: skip


def _street(folder):
    """Two folds of short sounds with none to three of four classes."""
    rows = [
        ("a.wav", "tram|dog|rain", 1, "r1"),
        ("b.wav", "", 1, "r1"),
        ("c.wav", "rain", 1, "r2"),
        ("d.wav", "dog|horn", 2, "r3"),
        ("e.wav", "tram", 2, "r4"),
    ]
    for seed, row in enumerate(rows):
        write_sound(folder / row[0], seed=seed)
    return write_table(folder / "street.csv", HEADER, rows), rows


def test_records_of_several_classes_a_clip(tmp_path):
    table, rows = _street(tmp_path / "s")
    result = _prepare(table, tmp_path, dataset_name="street")
    examples, metadata = records(result.path)
    assert metadata["labels"] == ["dog", "horn", "rain", "tram"] and metadata["multi_label"] is True
    assert {name: example["label"] for name, example in examples.items()} == {
        name: sorted(labels.split("|")) if labels else [] for name, labels, _, _ in rows
    }
    assert result.notes == (
        "classes with clips in one fold alone: 2 (horn, rain)",
        "clips of none of the classes: 1",
    )
    assert _prepare(table, tmp_path, dataset_name="street").reused


def test_reading_them_back(tmp_path):
    table, _ = _street(tmp_path / "s")
    _prepare(table, tmp_path, dataset_name="street")
    read = open_records("street", sample_rate=8000, data_dir=tmp_path)
    assert read.multi_label and read.pitch_variants == 0
    assert {clip.clip_id: clip.labels for clip in read.clips([1, 2])} == {
        "a.wav": (0, 2, 3), "b.wav": (), "c.wav": (2,), "d.wav": (0, 1), "e.wav": (3,),
    }  # fmt: skip
    for example, clip in zip(read.dataset([1]).as_numpy_iterator(), read.clips([1]), strict=True):
        assert example["label"].dtype == np.int64 and example["label"].ndim == 1
        assert tuple(example["label"]) == clip.labels
    split = make_split(read, 2)
    assert split.multi_label
    stored = split.to_dict()
    assert {name: clip["labels"] for name, clip in stored["train"].items()} == {
        "a.wav": [0, 2, 3], "b.wav": [], "c.wav": [2],
    }  # fmt: skip
    assert set(stored["validation"]["d.wav"]) == {"labels", "hash"}


def test_any_order_of_classes_in_a_field_is_the_same_source(tmp_path):
    table, rows = _street(tmp_path / "s")
    _prepare(table, tmp_path)
    flipped = [(name, "|".join(reversed(labels.split("|"))), *rest) for name, labels, *rest in rows]
    write_table(table, HEADER, flipped)
    assert _prepare(table, tmp_path).reused
    write_table(table, HEADER, [("a.wav", "tram", 1, "r1"), *rows[1:]])
    with pytest.raises(ValueError, match="a changed one"):
        _prepare(table, tmp_path)


def test_one_class_a_clip_is_multi_label_too_if_the_column_says_so(tmp_path):
    rows = [(f"{i}.wav", "ab"[i % 2]) for i in range(8)]
    single = audio_folder.list_clips(write_table(tmp_path / "1.csv", ("filename", "label"), rows))
    several = audio_folder.list_clips(write_table(tmp_path / "2.csv", ("filename", "labels"), rows))
    assert (single.multi_label, several.multi_label) == (False, True)
    assert single.fingerprint() != several.fingerprint()
    # In a single-label set the sign is a character like others.
    rows = [(f"{i}.wav", "a|b" if i % 2 else "c") for i in range(8)]
    single = audio_folder.list_clips(write_table(tmp_path / "3.csv", ("filename", "label"), rows))
    assert single.labels == ("a|b", "c")


def _random_rows(seed, sources, classes, clips):
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.01, 0.3, classes)
    return [
        (
            f"{index}.wav",
            "|".join(f"c{k}" for k in np.flatnonzero(rng.random(classes) < share)),
            f"s{rng.integers(sources)}",
        )
        for index in range(clips)
    ]


@pytest.mark.parametrize(("seed", "sources", "classes"), [(0, 500, 10), (1, 200, 20), (2, 300, 5)])
def test_folds_are_even_keep_sources_whole_and_spread_classes(tmp_path, seed, sources, classes):
    rows = _random_rows(seed, sources, classes, clips=1000)
    header = ("filename", "labels", "source")
    clip_list = audio_folder.list_clips(write_table(tmp_path / "t.csv", header, rows))
    assert clip_list.folds == (1, 2, 3, 4, 5)
    fold_of = collections.defaultdict(set)
    for clip in clip_list.clips:
        fold_of[clip.source].add(clip.fold)
    assert all(len(folds) == 1 for folds in fold_of.values())
    sizes = collections.Counter(clip.fold for clip in clip_list.clips)
    assert all(170 <= size <= 230 for size in sizes.values())
    counts = collections.Counter(
        (name, clip.fold) for clip in clip_list.clips for name in clip.labels
    )
    for name in clip_list.labels:
        share = [counts[name, fold] for fold in clip_list.folds]
        assert max(share) <= 2 * sum(share) / 5 or sum(share) < 15
    # The order of the rows is nobody's business.
    write_table(tmp_path / "t.csv", header, rows[::-1])
    assert audio_folder.list_clips(tmp_path / "t.csv").clips == clip_list.clips


def test_few_recordings_make_few_folds(tmp_path):
    header = ("filename", "labels", "source")
    rows = [(f"{i}.wav", "a|b" if i else "c", f"s{i % 3}") for i in range(9)]
    assert audio_folder.list_clips(write_table(tmp_path / "3", header, rows)).folds == (1, 2, 3)
    rows = [(f"{i}.wav", "a|b", "s") for i in range(9)]
    with pytest.raises(ValueError, match="at least two recordings, to hold one out, got 1"):
        audio_folder.list_clips(write_table(tmp_path / "1", header, rows))


@pytest.mark.parametrize("labels", ["|", "a|", "|a", "a||b", "a|a", " ", "a| "])
def test_fields_that_are_no_list_are_refused_with_their_line(tmp_path, labels):
    table = write_table(
        tmp_path / "t.csv", ("filename", "labels"), [("ok.wav", "b"), ("x.wav", labels)]
    )
    with pytest.raises(ValueError, match=r"different classes with \| .* line 3 of") as info:
        audio_folder.list_clips(table)
    assert str(info.value).endswith(f"labels={labels!r}")


def test_spaces_around_a_class_and_two_kinds_of_column_are_refused(tmp_path):
    rows = [("a.wav", "dog | rain"), ("b.wav", "dog")]
    with pytest.raises(ValueError, match="without spaces around them, got ' rain'"):
        audio_folder.list_clips(write_table(tmp_path / "1.csv", ("filename", "labels"), rows))
    rows = [("a.wav", "dog", "rain")]
    header = ("filename", "label", "labels")
    with pytest.raises(ValueError, match=r"Expected the header filename,labels\[,fold\]"):
        audio_folder.list_clips(write_table(tmp_path / "2.csv", header, rows))
