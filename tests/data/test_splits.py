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


def test_a_recording_on_both_sides_is_an_error(records):
    split = make_split(records, 1)
    stray = dataclasses.replace(split.train[0], source=split.validation[0].source)
    with pytest.raises(ValueError, match=f"share no source recording.*{stray.source}"):
        check_leakage("toy_sounds", [*split.train, stray], split.validation)


def test_a_fold_that_does_not_exist_is_named(records):
    with pytest.raises(ValueError, match="fold=9"):
        make_split(records, 9)
