"""Toy scenes: the official layout file by file, always the same, learnable but not too easily."""

import collections

import numpy as np
import pytest
import soundfile
from sources import tree

import data_prep
from data_prep import scene_synthesis, tau_urban_2019, tau_urban_2020
from data_prep.scene_synthesis import Place
from data_prep.tau_layout import SCENES
from data_prep.toy_scenes import DATASETS, write_toy_scenes
from keras_audio.data import make_split, open_records

TOYS = {dataset.card.name.partition("/")[2]: dataset for dataset in DATASETS}
TASKS = tau_urban_2019.TASKS | tau_urban_2020.TASKS
OFFICIAL = dict(zip(TASKS, tau_urban_2019.DATASETS + tau_urban_2020.DATASETS, strict=True))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """All tasks with two or three scenes, one of the open set's, of a fifth of a second."""
    folder = tmp_path_factory.mktemp("toy_scenes")
    for task in TOYS:
        scenes = ("bus", "park", "beach") if task == "1c" else ("bus", "park")
        write_toy_scenes(folder / task, task, scenes=scenes, seconds=0.2)
    return folder


@pytest.mark.parametrize("task", ["1a", "1b", "1c", "3class"])
def test_files_are_those_of_the_official_archives(sources, task):
    root = sources / task / TASKS[task].folder
    names = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    setup = {f"evaluation_setup/fold1_{part}.csv" for part in ("train", "evaluate", "test")}
    assert {name for name in names if not name.startswith("audio/")} == {"meta.csv", *setup}
    for path in root.glob("audio/*"):
        info = soundfile.info(path)
        assert (info.format, info.subtype, info.duration) == ("WAV", "PCM_24", 0.2)
        assert info.samplerate == TASKS[task].sample_rate
        assert info.channels == OFFICIAL[task].card.channels
    tables = {name: (root / name).read_text().splitlines() for name in names if ".csv" in name}
    assert tables["meta.csv"][0] == "filename\tscene_label\tidentifier\tsource_label"
    label = "transportation" if task == "3class" else "bus"
    first = f"audio/bus-barcelona-1000-40000-a.wav\t{label}\tbarcelona-1000\ta"
    assert first in tables["meta.csv"]
    assert tables["evaluation_setup/fold1_train.csv"][0] == "filename\tscene_label"
    test = [line.split("\t")[0] for line in tables["evaluation_setup/fold1_evaluate.csv"]]
    assert tables["evaluation_setup/fold1_test.csv"] == test


@pytest.mark.parametrize("task", ["1a", "1b", "1c"])
def test_they_are_read_as_the_official_ones(sources, task):
    ours, official = (each[task].list_clips(sources / task) for each in (TOYS, OFFICIAL))
    assert ours.clips == official.clips and ours.groups == official.groups
    assert ours.labels == official.labels == TOYS[task].card.labels
    counts = collections.Counter((clip.label, clip.fold) for clip in ours.clips)
    with_devices = {("bus", 1): 9, ("bus", 2): 8, ("park", 1): 9, ("park", 2): 8}
    plain = {key: 3 if key[1] == 1 else 6 for key in with_devices}
    unknown = {("unknown", 1): 3, ("unknown", 2): 6} if task == "1c" else {}
    assert counts == (with_devices if task == "1b" else plain | unknown)
    cities = [{c.attributes["city"] for c in ours.clips if c.fold == fold} for fold in (1, 2)]
    assert cities[0] - cities[1] == {"milan"}
    clips_at = collections.Counter(c.source for c in ours.clips if c.attributes["device"] == "a")
    assert set(clips_at.values()) == {1, 2}
    devices = {clip.attributes["device"] for clip in ours.clips}
    assert devices == ({"a", "b", "c"} if task == "1b" else {"a"})


def test_three_classes_have_places_to_validate_with(tmp_path):
    dataset = TOYS["3class"]
    assert (dataset.card.sample_rate, dataset.card.resampling) == (18000, "fourier")
    write_toy_scenes(tmp_path / "3class", "3class", seconds=0.01)
    clip_list = dataset.list_clips(tmp_path / "3class")
    assert clip_list.clips == OFFICIAL["3class"].list_clips(tmp_path / "3class").clips
    counts = collections.Counter((clip.attributes["scene"], clip.fold) for clip in clip_list.clips)
    # Of each scene one place of three, two clips each; half as many at the places of the test.
    assert counts == {(s, fold): n for s in SCENES for fold, n in ((1, 3), (2, 2), (3, 4))}
    assert {clip.label for clip in clip_list.clips if clip.fold == 2} == set(clip_list.labels)


def test_cards_count_what_is_written_unless_told_otherwise(tmp_path):
    for task, dataset in TOYS.items():
        write_toy_scenes(tmp_path / task, task, seconds=0.01)
        clip_list = dataset.list_clips(tmp_path / task)
        assert len(clip_list.clips) == dataset.card.clips <= 170 and clip_list.notes == ()


def test_the_same_files_every_time(sources, tmp_path):
    again = write_toy_scenes(tmp_path / "1b", "1b", scenes=("bus", "park"), seconds=0.2)
    assert tree(again) == tree(sources / "1b")
    assert len(set(tree(sources / "1b").values())) == 34 + 4


def test_sides_differ_and_devices_colour_the_same_sound():
    name, rate = "bus-lyon-1-2", 48000
    place = Place("bus", "lyon", "1")
    sound = place.record(name, rate, 2, 1.0)
    assert sound.dtype == np.float32 and sound.shape == (rate, 2)
    assert 0.01 < np.abs(sound).max() <= 0.9
    assert 0 < np.corrcoef(sound.T)[0, 1] < 0.99
    heard = {
        device: scene_synthesis.recorded_by(device, sound, name, rate)[:, 0] for device in "abc"
    }
    np.testing.assert_allclose(heard["a"], sound[:, 0], atol=1e-3)
    for device in "bc":
        power, reference = (
            np.abs(np.fft.rfft(x)).reshape(-1)[:24000] ** 2 for x in (heard[device], sound[:, 0])
        )
        # Telephones take the low end; in the middle it is the same recording.
        assert power[20:80].sum() < 0.2 * reference[20:80].sum()
        middle = slice(400, 600)
        assert np.corrcoef(power[middle], reference[middle])[0, 1] > 0.9
    assert not np.array_equal(sound, place.record(name + "x", rate, 2, 1.0))


def test_scenes_can_be_told_apart_at_other_places_by_their_spectrum_alone():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    bands = np.geomspace(40, 15000, 25)
    features, labels, train = [], [], []
    for scene in SCENES:
        for location, city in enumerate(
            ("barcelona", "helsinki", "lyon", "paris", "milan", "lyon")
        ):
            sound = Place(scene, city, str(location)).record(f"{scene}-{location}", 32000, 1, 3.0)
            power = np.abs(np.fft.rfft(sound[:, 0].reshape(-1, 3200), axis=1)) ** 2
            edges = np.searchsorted(np.fft.rfftfreq(3200, 1 / 32000), bands)
            levels = np.log(np.add.reduceat(power, edges, axis=1)[:, :-1])
            features.append(np.concatenate([levels.mean(axis=0), levels.std(axis=0)]))
            labels.append(scene)
            train.append(location < 4)
    features, labels, train = np.array(features), np.array(labels), np.array(train)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    model.fit(features[train], labels[train])
    assert 0.4 < model.score(features[~train], labels[~train]) < 0.98


def test_they_need_no_source_and_no_options(tmp_path, monkeypatch):
    dataset = TOYS["1b"]
    monkeypatch.setitem(dataset.generate.keywords, "scenes", ("bus", "park"))
    monkeypatch.setitem(dataset.generate.keywords, "seconds", 0.2)
    result = data_prep.prepare("toy_scenes/1b", data_dir=tmp_path, progress=False)
    assert result.path == tmp_path / "toy_scenes_1b" / "44100hz_1ch" / "1.0.0"
    assert (result.clips, result.missing) == (34, ())
    source = tmp_path / "sources" / "toy_scenes" / "1b"
    other = data_prep.prepare("tau_urban_2019/1b", source=source, data_dir=tmp_path, progress=False)
    assert other.clips == 34 and "the official one 10265 and 5265" in other.notes[0]
    read = open_records("toy_scenes/1b", sample_rate=44100, data_dir=tmp_path)
    assert read.name == "toy_scenes_1b" and read.held_out_folds == [1]
    split = make_split(read, 1)
    assert (len(split.train), len(split.validation)) == (16, 18)
    assert collections.Counter(clip.attributes["device"] for clip in split.validation) == {
        "a": 6, "b": 6, "c": 6,
    }  # fmt: skip
