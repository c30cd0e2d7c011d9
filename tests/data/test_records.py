"""What records say of their clips; damaged or lost ones: one sentence that says what to do."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import data_prep
from data_prep.toy_scenes import write_toy_scenes
from keras_audio.data import ClipTable, TrainingBatches, make_split, open_records
from keras_audio.files import folder_name


@pytest.fixture
def folder(toy_data, tmp_path):
    """A copy of the toy sounds' records that a test may damage."""
    copy = tmp_path / "data" / "toy_sounds"
    shutil.copytree(toy_data / "toy_sounds", copy)
    (metadata,) = copy.glob("8000hz_1ch/*/metadata.json")
    return metadata.parent


def open_copy(folder):
    return open_records("toy_sounds", sample_rate=8000, data_dir=folder.parents[2])


def cut(data):
    return data[: len(data) // 2]


def empty(data):
    return b""


def flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]


@pytest.fixture(params=["with an index", "without"])
def indexed(folder, request):
    """Whether the records have an index, which those of earlier versions lack."""
    for fold, clips in [(fold, open_copy(folder).clips([fold])) for fold in (1, 2)]:
        index = folder / f"fold{fold}.index.npz"
        index.unlink(missing_ok=True)
        if request.param == "with an index":
            clips.save(index)
    return request.param == "with an index"


@pytest.mark.parametrize("damage", [cut, empty, flip])
def test_damaged_records_are_found_before_training(folder, indexed, as_they_are, damage):
    (path,) = folder.glob("*fold2.tfrecord*")
    path.write_bytes(damage(path.read_bytes()))
    records = open_copy(folder)
    assert records.clips([1])
    with pytest.raises(ValueError, match=r"(fold.* 2 |-fold2\.).*--force. Received: path=") as info:
        records.clips([1, 2])
        # The sums of samples that the index spares from being read are checked when they are.
        assert indexed and damage is flip
        TrainingBatches(records, [1, 2], as_they_are, batch_size=4, seed=0)
    assert str(folder) in str(info.value) and "\n" not in str(info.value)


def test_a_lost_file_of_records_is_found(folder, indexed):
    (path,) = folder.glob("*fold2.tfrecord*")
    path.unlink()
    with pytest.raises(ValueError, match="fold 2 .*--force"):
        open_copy(folder).clips([2])


@pytest.fixture
def as_they_are():
    waveform = keras.Input((None, 1))
    return keras.Model(waveform, keras.layers.Identity()(waveform))


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("damage", [cut, empty, flip])
def test_records_damaged_while_they_are_read_stop_a_stream(folder, as_they_are, damage, balanced):
    records = open_copy(folder)
    options = {"batch_size": 4, "seed": 0, "memory": 0, "balanced": balanced}
    data = TrainingBatches(records, [1, 2], as_they_are, crop_samples=100, **options)
    assert len(list(data.steps(0, 1))) == 1
    (path,) = folder.glob("*fold2.tfrecord*")
    path.write_bytes(damage(path.read_bytes()))
    kinds = (tf.errors.DataLossError, tf.errors.FailedPreconditionError, tf.errors.OutOfRangeError)
    with pytest.raises((*kinds, tf.errors.InvalidArgumentError)):
        for _ in data.steps(0, data.steps_per_pass):
            pass


@pytest.mark.parametrize("damage", [cut, empty])
def test_lengths_of_records_are_not_read_beyond_their_end(folder, damage):
    for fold in (1, 2):  # whose places an index would know
        (folder / f"fold{fold}.index.npz").unlink()
    records = open_copy(folder)
    records.clips([1, 2])
    (path,) = folder.glob("*fold2.tfrecord*")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="folds 1, 2 .other records than.*--force"):
        records.offsets([1, 2])


def test_an_index_says_what_the_records_do(folder):
    told = {}
    # As it was prepared, the index knows the places of the records.
    assert not np.any(open_copy(folder).clips([1, 2]).offsets < 0)
    for kind in ("index", "records"):
        records = open_copy(folder)
        told[kind] = list(records.clips([2, 1])), records.offsets([2, 1]).tolist()
        for fold in (1, 2):
            (folder / f"fold{fold}.index.npz").unlink(missing_ok=True)
    assert told["index"] == told["records"]


def test_an_index_of_other_clips_is_refused(folder):
    clips = open_copy(folder).clips([2])
    own = list(clips)
    others = [
        [dataclasses.replace(clip, fold=1) for clip in own],
        [dataclasses.replace(clip, labels=(7 + clip.label,)) for clip in own],
        [dataclasses.replace(clip, labels=()) for clip in own],
        [dataclasses.replace(clip, attributes={"device": "a"}) for clip in own],
    ]
    tables = [ClipTable.from_clips(other, shards=0) for other in others]
    for other in (clips[:-1], ClipTable.from_clips(clips, shards=1), *tables):
        other.save(folder / "fold2.index.npz")
        with pytest.raises(ValueError, match="fold 2 .other clips than in fold2.index.npz.*--for"):
            open_copy(folder).clips([2])
    (folder / "fold2.index.npz").write_bytes(b"no index")
    with pytest.raises(ValueError, match="whole table of clips.*fold2.index.npz"):
        open_copy(folder).clips([2])


@pytest.mark.parametrize("content", [{"labels": [], "folds": [1], "channels": 1}, ["labels"]])
def test_metadata_of_another_kind_are_named(folder, content):
    (folder / "metadata.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="labels, folds, sample_rate") as info:
        open_copy(folder)
    assert str(folder / "metadata.json") in str(info.value)


def test_sounds_of_ones_own_are_prepared_by_another_command(tmp_path):
    command = "prepare audio_folder --source ... --name dogs --sample-rate 8000 --channels 2`"
    with pytest.raises(ValueError, match=command.replace(".", r"\.")):
        open_records("dogs", sample_rate=8000, channels=2, data_dir=tmp_path)


# --- attributes ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Records of the open set with a few clips of two scenes and an unknown one, with variants."""
    folder = tmp_path_factory.mktemp("scenes")
    source = write_toy_scenes(
        folder / "source", "1c", scenes=("bus", "park", "office"), segments=1, seconds=0.1
    )
    arguments = {"sample_rate": 8000, "channels": 2, "pitch_variants": 1, "data_dir": folder}
    data_prep.prepare("toy_scenes/1c", source=source, progress=False, **arguments)
    return open_records("toy_scenes/1c", **arguments)


def test_attributes_of_clips_and_what_reports_need(scenes):
    assert scenes.name == scenes.path.parent.parent.name == "toy_scenes_1c"
    assert scenes.attributes == ["device", "city", "location"]
    cities = ["barcelona", "helsinki", "lyon", "milan"]
    assert scenes.groups == {"city": {city: [city] for city in cities}}
    assert (scenes.held_out_folds, scenes.unknown_label) == ([1], "unknown")
    clips = scenes.clips([1, 2])
    assert len(clips) == 18
    for clip in clips:
        assert list(clip.attributes) == scenes.attributes
        city, location = clip.attributes["city"], clip.attributes["location"]
        assert clip.source == f"{city}-{location}" and f"-{city}-{location}-" in clip.clip_id
        assert clip.attributes["device"] == "a"
    example = next(iter(scenes.dataset([1]).as_numpy_iterator()))
    assert example["attributes"]["city"].decode() == clips[0].attributes["city"]


def test_only_what_the_official_split_holds_out_is_held_out(scenes):
    split = make_split(scenes, 1)
    assert (split.train_folds, len(split.train), len(split.validation)) == ([2], 9, 9)
    with pytest.raises(
        ValueError, match=r"official split of toy_scenes_1c holds out \(1\).*fold=2"
    ):
        make_split(scenes, 2)
    with pytest.raises(ValueError, match="fold=3"):
        make_split(scenes, 3)


def test_records_that_say_no_more_than_they_used_to(folder):
    metadata = json.loads((folder / "metadata.json").read_text())
    assert not {"attributes", "groups", "held_out_folds", "unknown_label"} & set(metadata)
    assert "attributes" not in (folder / "features.json").read_text()
    records = open_copy(folder)
    assert (records.attributes, records.groups, records.unknown_label) == ([], {}, None)
    assert records.held_out_folds == records.folds == [1, 2, 3, 4, 5]
    assert all(clip.attributes == {} for clip in records.clips([1]))


def test_names_of_families_are_folders_with_an_underscore(tmp_path):
    assert folder_name("tau_urban_2019/1a") == "tau_urban_2019_1a"
    assert folder_name("esc10") == "esc10"
    with pytest.raises(ValueError, match="prepare tau_urban_2019/1a --sample-rate 48000") as info:
        open_records("tau_urban_2019/1a", sample_rate=48000, channels=2, data_dir=tmp_path)
    assert "channels 2` (with its --source, unless it is generated)." in str(info.value)
    # No sounds of one's own can be called that.
    assert "audio_folder" not in str(info.value)
