"""Official folds, and recordings that must not stand on both sides."""

import dataclasses
import json

import numpy as np
import pytest

from keras_audio.data import ClipTable, make_split, open_records, splits
from keras_audio.data.splits import check_leakage, part_classes
from keras_audio.data.strings import Strings


@pytest.fixture(scope="module")
def records(toy_data):
    return open_records("toy_sounds", sample_rate=8000, data_dir=toy_data)


def test_one_fold_is_held_out(records):
    split = make_split(records, 4)
    assert {clip.fold for clip in split.validation} == {4}
    assert {clip.fold for clip in split.train} == {1, 2, 3, 5}
    assert not set(split.to_dict()["train"]) & set(split.to_dict()["validation"])
    assert len(split.to_dict()["train"]) == len(split.train)


def test_the_next_fold_may_choose_the_best_round_and_then_does_not_train(records):
    for fold, following in ((4, 5), (5, 1)):
        split = make_split(records, fold, "next")
        assert (split.test_folds, split.validation_folds) == ([fold], [following])
        assert sorted(split.train_folds) == sorted({1, 2, 3, 4, 5} - {fold, following})
        assert {clip.fold for clip in split.test} == {fold}
        assert {clip.fold for clip in split.validation} == {following}
        assert {clip.fold for clip in split.train} == set(split.train_folds)
        stored = split.to_dict()
        assert list(stored) == ["train", "validation", "test"]
        assert sum(map(len, stored.values())) == len(set().union(*stored.values()))


def test_three_folds_are_needed_to_test_on_one_of_its_own(records, monkeypatch):
    monkeypatch.setattr(records, "folds", [1, 2])
    with pytest.raises(ValueError, match="at least three folds.*folds 1, 2 and validation='next'"):
        make_split(records, 1, "next")


def test_a_recording_on_both_sides_is_an_error(records):
    split = make_split(records, 1)
    stray = dataclasses.replace(split.train[0], source=split.validation[0].source)
    train = ClipTable.from_clips([*split.train, stray])
    with pytest.raises(ValueError, match=f"share no source recording.*{stray.source}"):
        check_leakage("toy_sounds", train, split.validation)


def test_recordings_are_compared_as_texts_where_their_digests_are_equal(records, monkeypatch):
    split = make_split(records, 1)
    monkeypatch.setattr(Strings, "digests", lambda strings: np.zeros(len(strings), np.uint64))
    check_leakage("toy_sounds", split.train, split.validation)
    with pytest.raises(ValueError, match="Received: .* and [0-9]+ more on both sides"):
        check_leakage("toy_sounds", split.train, split.train)


def test_of_a_large_part_digests_are_stored(records, monkeypatch):
    listed = make_split(records, 1).to_dict()
    monkeypatch.setattr(splits, "LISTED_CLIPS", len(listed["train"]) - 1)
    split = make_split(records, 1)
    stored = json.loads(json.dumps(split.to_dict()))
    assert stored == split.to_dict() and stored["validation"] == listed["validation"]
    train = stored["train"]
    assert set(train) == {"clips", "folds", "classes", "digest"}
    assert (train["clips"], train["folds"]) == (len(split.train), [2, 3, 4, 5])
    # Each of these changes makes another digest.
    first, *rest = split.train
    for change, of_classes in (
        ({"clip_id": "another"}, True),
        ({"labels": ((first.label + 1) % 3,)}, True),
        ({"hash": "00" * 16}, False),
    ):
        table = ClipTable.from_clips([dataclasses.replace(first, **change), *rest])
        other = dataclasses.replace(split, train=table).to_dict()["train"]
        assert other["digest"] != train["digest"]
        assert (other["classes"] != train["classes"]) == of_classes
        assert (part_classes(other) != part_classes(train)) == of_classes
    turned = dataclasses.replace(split, train=split.train[::-1]).to_dict()["train"]
    assert turned["digest"] != train["digest"]
    assert dataclasses.replace(split, train=split.train[:]).to_dict() == stored


def test_a_fold_that_does_not_exist_is_named(records):
    with pytest.raises(ValueError, match="fold=9"):
        make_split(records, 9)
