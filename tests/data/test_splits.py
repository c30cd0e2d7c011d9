"""Official folds, and recordings that must not stand on both sides."""

import dataclasses

import pytest

from keras_audio.data import make_split, open_records
from keras_audio.data.splits import check_leakage


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
    with pytest.raises(ValueError, match=f"share no source recording.*{stray.source}"):
        check_leakage("toy_sounds", [*split.train, stray], split.validation)


def test_a_fold_that_does_not_exist_is_named(records):
    with pytest.raises(ValueError, match="fold=9"):
        make_split(records, 9)
