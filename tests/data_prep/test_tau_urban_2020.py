"""TAU Urban Acoustic Scenes 2020 3Class: the official lists, and a part to validate with."""

import collections
import random
import shutil

import numpy as np
import pytest
import scipy.signal
import soundfile
from sources import records
from tau_lists import META_HEADER, TEST, TRAIN, clip_of, meta_of, write_lists, write_rows

import data_prep
from data_prep.tau_urban_2020 import DATASETS, TASKS
from data_prep.toy_scenes import write_toy_scenes
from keras_audio.cli import main
from keras_audio.data import make_split, open_records

(OFFICIAL,) = DATASETS

# Two locations for each of three scenes to train on, of three classes.
TRAIN_ROWS = [
    (f"audio/{scene}-{city}-{location}-{location}{take}-a.wav", label)
    for scene, label, places in (
        ("airport", "indoor", (("lyon", 1001), ("oulu", 1002))),
        ("park", "outdoor", (("lyon", 1003), ("oulu", 1004))),
        ("tram", "transportation", (("lyon", 1005), ("oulu", 1006))),
    )
    for city, location in places
    for take in range(2)
]
TEST_ROWS = [
    ("audio/metro_station-milan-1007-20-a.wav", "indoor"),
    ("audio/street_traffic-lyon-1008-21-a.wav", "outdoor"),
    ("audio/bus-oulu-1009-22-a.wav", "transportation"),
]


def write_small(root, train=TRAIN_ROWS, test=TEST_ROWS, meta=()):
    return write_lists(root, train, test, meta)


@pytest.fixture(scope="module")
def official(tmp_path_factory, shared):
    root = tmp_path_factory.mktemp("tau") / TASKS["3class"].folder
    shutil.copytree(shared / "datasets" / "metadata" / "tau2020_3class", root / "evaluation_setup")
    return root


def test_the_official_lists(official):
    clip_list = OFFICIAL.list_clips(official)
    assert clip_list.labels == ("indoor", "outdoor", "transportation")
    assert clip_list.notes == () and clip_list.held_out_folds == (1,)
    by_fold = {fold: [c for c in clip_list.clips if c.fold == fold] for fold in (1, 2, 3)}
    test, train = by_fold[1], by_fold[2] + by_fold[3]
    assert (len(train), len(test)) == (9185, 4185)
    # FACTS: clips to train on by class, and to test on by scene.
    assert collections.Counter(clip.label for clip in train) == {
        "indoor": 2704, "outdoor": 3757, "transportation": 2724,
    }  # fmt: skip
    assert collections.Counter(clip.label for clip in test) == {
        "indoor": 421 + 435 + 441,
        "outdoor": 386 + 387 + 429 + 402,
        "transportation": 415 + 433 + 436,
    }
    # The lists themselves, read here by hand.
    listed = {
        part: dict(line.split("\t") for line in (official / name).read_text().splitlines()[1:])
        for part, name in (("train", TRAIN), ("test", TEST))
    }
    assert {clip.file: clip.label for clip in train} == listed["train"]
    assert {clip.file: clip.label for clip in test} == listed["test"]

    places = {fold: {clip.source for clip in clips} for fold, clips in by_fold.items()}
    assert (len(places[1]), len(places[2] | places[3])) == (149, 325)
    assert not places[1] & places[2] and not places[1] & places[3] and not places[2] & places[3]
    assert len(clip_list.groups["scene"]) == 10 and len(clip_list.groups["city"]) == 10


def test_a_fifth_of_the_clips_to_train_on_validates_in_every_scene(official):
    clips = [clip for clip in OFFICIAL.list_clips(official).clips if clip.fold > 1]
    of_scene = collections.defaultdict(list)
    for clip in clips:
        for group in ("all", clip.label, clip.attributes["scene"]):
            of_scene[group].append(clip.fold == 2)
    assert len(of_scene) == 1 + 3 + 10
    shares = {group: np.mean(validates) for group, validates in of_scene.items()}
    assert all(0.18 < share < 0.22 for share in shares.values()), shares


@pytest.mark.parametrize("seed", [0, 1])
def test_the_order_of_the_rows_does_not_matter(official, tmp_path, seed):
    for name in (TRAIN, TEST):
        header, *rows = (official / name).read_text().splitlines(keepends=True)
        random.Random(seed).shuffle(rows)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("".join([header, *rows]))
    assert OFFICIAL.list_clips(tmp_path).clips == OFFICIAL.list_clips(official).clips


def test_the_card_is_that_of_the_paper():
    card = OFFICIAL.card
    assert card.name == "tau_urban_2020_3class" and card in data_prep.cards()
    assert (card.clips, card.classes) == (13370, 3) and card.url.endswith("/3670185")
    assert (card.sample_rate, card.channels, card.resampling) == (18000, 2, "fourier")


def test_scene_and_place_are_attributes(tmp_path):
    meta = meta_of(TRAIN_ROWS + TEST_ROWS)
    clip_list = OFFICIAL.list_clips(write_small(tmp_path / "classes", meta=meta))
    clip = clip_of(clip_list, "metro_station-milan-1007-20-a")
    assert (clip.label, clip.fold, clip.source) == ("indoor", 1, "milan-1007")
    assert clip.attributes == {
        "device": "a", "city": "milan", "location": "1007", "scene": "metro_station",
    }  # fmt: skip
    # A table that names the scene agrees too.
    scenes = [(row[0], row[0][6:].split("-")[0], *row[2:]) for row in meta]
    assert (
        OFFICIAL.list_clips(write_small(tmp_path / "scenes", meta=scenes)).clips == clip_list.clips
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            ("audio/bus-lyon-1-2-a.wav", "indoor"),
            r"like audio/airport-lisbon-1000-40000-a\.wav .* of a clip of indoor \(airport or "
            r"metro_station or shopping_mall\) by device a in line 14 of",
        ),
        (("audio/indoor-lyon-1-2-a.wav", "indoor"), "of a clip of indoor"),
        (("audio/bus-lyon-1-2-b.wav", "transportation"), "by device a in"),
        (("audio/beach-lyon-1-2-a.wav", "outdoor"), "of a clip of outdoor"),
        (("audio/bus-lyon-1-2-a.wav", "bus"), "classes indoor, outdoor, transportation in line 14"),
    ],
)
def test_scenes_of_another_class_are_refused(tmp_path, row, message):
    with pytest.raises(ValueError, match=message):
        OFFICIAL.list_clips(write_small(tmp_path, [*TRAIN_ROWS, row]))


@pytest.mark.parametrize("label", ["outdoor", "park"])
def test_a_table_of_another_class_is_refused(tmp_path, label):
    meta = meta_of(TRAIN_ROWS)
    meta[1] = (meta[1][0], label, *meta[1][2:])
    with pytest.raises(ValueError, match=r"line 3 of .*meta\.csv to agree"):
        OFFICIAL.list_clips(write_small(tmp_path, meta=meta))


def test_of_two_locations_the_smaller_one_validates(tmp_path):
    # A third clip at one place of each scene.
    more = [
        (f"audio/{scene}-oulu-{location}-77-a.wav", label)
        for scene, location, label in (
            ("airport", 1002, "indoor"),
            ("park", 1004, "outdoor"),
            ("tram", 1006, "transportation"),
        )
    ]
    clips = OFFICIAL.list_clips(write_small(tmp_path, TRAIN_ROWS + more)).clips
    assert {clip.source for clip in clips if clip.fold == 2} == {
        "lyon-1001", "lyon-1003", "lyon-1005",
    }  # fmt: skip
    # A scene of one place trains.
    alone = ("audio/bus-lyon-1010-78-a.wav", "transportation")
    clip_list = OFFICIAL.list_clips(write_small(tmp_path / "alone", [*TRAIN_ROWS, alone]))
    assert clip_of(clip_list, "bus-lyon-1010-78-a").fold == 3


def test_a_location_of_two_scenes_is_kept_whole(tmp_path):
    both = [
        (f"audio/{scene}-paris-{location}-{take}-a.wav", label)
        for location in range(2000, 2010)
        for take, (scene, label) in enumerate((("metro", "transportation"), ("airport", "indoor")))
    ]
    clips = OFFICIAL.list_clips(write_small(tmp_path, TRAIN_ROWS + both)).clips
    validating = [clip for clip in clips if clip.fold == 2 and clip.attributes["city"] == "paris"]
    assert len(validating) == 4 and len({clip.source for clip in validating}) == 2


def test_too_few_locations_to_validate_with(tmp_path):
    with pytest.raises(ValueError, match=r"two locations of a scene in .*fold1_train\.csv"):
        OFFICIAL.list_clips(write_small(tmp_path, TRAIN_ROWS[:2] + TRAIN_ROWS[4:6]))
    root = write_small(tmp_path)
    write_rows(root / TRAIN, META_HEADER[:2], TRAIN_ROWS + TEST_ROWS[:1])
    with pytest.raises(ValueError, match="share no location, got milan-1007 in both"):
        OFFICIAL.list_clips(root)


def test_toy_scenes_go_all_the_way_at_18_khz(tmp_path, capsys):
    scenes = ("airport", "park", "street_traffic", "tram")
    source = write_toy_scenes(tmp_path / "toys", "3class", scenes=scenes, seconds=0.25)
    options = ["--source", str(source), "--data-dir", str(tmp_path), "--jobs", "1"]
    assert main(["prepare", "tau_urban_2020_3class", *options]) == 0
    # Without the data set's own way they are others, beside them.
    assert main(["prepare", "tau_urban_2020_3class", *options, "--resampling", "soxr"]) == 0
    folder = tmp_path / "tau_urban_2020_3class"
    fourier, soxr = (folder / name / "1.0.0" for name in ("18000hz_2ch_fourier", "18000hz_2ch"))
    assert capsys.readouterr().out.splitlines() == [
        f"36 clips in {path}" for path in (fourier, soxr)
    ]
    (examples, metadata), (others, plain) = map(records, (fourier, soxr))
    assert metadata.pop("resampling") == "fourier" and metadata == plain
    assert metadata["attributes"] == ["device", "city", "location", "scene"]
    assert metadata["groups"]["scene"] == {scene: [scene] for scene in scenes}
    for clip_id, example in examples.items():
        (path,) = source.rglob(f"{clip_id}.wav")
        sound, rate = soundfile.read(path)
        assert rate == 48000 and example["audio"].shape == (4500, 2)
        expected = np.rint(scipy.signal.resample(sound, 4500) * 32768)
        # A value that lies half-way may be rounded either way.
        assert np.abs(example["audio"] - expected).max() <= 1
        assert np.mean(example["audio"] == expected) > 0.999
        assert not np.array_equal(example["audio"], others[clip_id]["audio"])

    form = {"sample_rate": 18000, "channels": 2, "data_dir": tmp_path}
    read = open_records("tau_urban_2020_3class", resampling="fourier", **form)
    assert (read.path, read.resampling) == (fourier, "fourier")
    assert open_records("tau_urban_2020_3class", **form).resampling == "soxr"
    split = make_split(read, 1, "next")
    parts = {name: clips for name, (_, clips) in split.parts.items()}
    assert {name: len(clips) for name, clips in parts.items()} == {
        "train": 16, "validation": 8, "test": 12,
    }  # fmt: skip
    for clips in parts.values():
        assert {clip.label for clip in clips} == {0, 1, 2}
    shutil.rmtree(fourier.parent)
    with pytest.raises(
        ValueError,
        match=r"at 18000 Hz \(fourier\) with 2 .* --resampling fourier.*; prepared there: 18000 Hz",
    ):
        open_records("tau_urban_2020_3class", resampling="fourier", **form)
