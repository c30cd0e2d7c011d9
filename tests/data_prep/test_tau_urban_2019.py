"""TAU Urban Acoustic Scenes 2019 in the official layout: lists, names, places, odd and bad rows."""

import collections
import dataclasses
import shutil

import pytest
from sources import records, write_sound
from tau_lists import META_HEADER, TEST, TRAIN, clip_of, meta_of, write_lists, write_rows

import data_prep
from data_prep.tau_urban_2019 import DATASETS, TASKS

OFFICIAL = {dataset.card.name.partition("/")[2]: dataset for dataset in DATASETS}

# Two scenes, three cities; Milan is in the test list alone.
TRAIN_ROWS = [
    ("audio/bus-lyon-1001-40001-a.wav", "bus"),
    ("audio/bus-lyon-1001-40002-a.wav", "bus"),
    ("audio/park-paris-1002-40003-a.wav", "park"),
]
TEST_ROWS = [
    ("audio/bus-milan-1003-40004-a.wav", "bus"),
    ("audio/park-lyon-1004-40005-a.wav", "park"),
]


def write_layout(root, train=TRAIN_ROWS, test=TEST_ROWS, meta=(), newline="\n"):
    return write_lists(root, train, test, meta, newline)


def list_task(root, task="1a"):
    return OFFICIAL[task].list_clips(root)


# --- what is listed ------------------------------------------------------------------------------


def test_the_official_lists(tmp_path, shared):
    root = tmp_path / TASKS["1a"].folder
    shutil.copytree(shared / "datasets" / "metadata" / "tau2019_1a", root / "evaluation_setup")
    clip_list = list_task(root)
    test, train = ([clip for clip in clip_list.clips if clip.fold == fold] for fold in (1, 2))
    assert (len(train), len(test)) == (9185, 4185)
    places = [{clip.source for clip in clips} for clips in (train, test)]
    assert list(map(len, places)) == [325, 149] and not places[0] & places[1]
    # FACTS: clips to train on and to test on, by scene.
    counts = {
        "airport": (911, 421), "bus": (928, 415), "metro": (902, 433), "metro_station": (897, 435),
        "park": (946, 386), "public_square": (945, 387), "shopping_mall": (896, 441),
        "street_pedestrian": (924, 429), "street_traffic": (942, 402), "tram": (894, 436),
    }  # fmt: skip
    assert clip_list.labels == tuple(counts)
    by_scene = [collections.Counter(clip.label for clip in clips) for clips in (train, test)]
    assert {scene: tuple(each[scene] for each in by_scene) for scene in counts} == counts
    cities = [{clip.attributes["city"] for clip in clips} for clips in (train, test)]
    assert cities[1] - cities[0] == {"milan"} and len(cities[1]) == 10
    assert list(clip_list.groups) == ["city"] and len(clip_list.groups["city"]) == 10
    assert (clip_list.held_out_folds, clip_list.unknown_label) == ((1,), None)
    assert clip_list.notes == ()
    assert list_task(tmp_path).clips == clip_list.clips


def test_cards_say_what_is_official():
    facts = {
        name: (card.clips, card.classes, card.sample_rate, card.channels)
        for name, card in ((name, dataset.card) for name, dataset in OFFICIAL.items())
    }
    assert facts == {
        "1a": (13370, 10, 48000, 2), "1b": (15530, 10, 44100, 1), "1c": (14820, 11, 44100, 1),
    }  # fmt: skip
    assert OFFICIAL["1c"].card.labels[-1] == "unknown"
    assert {card.name for card in data_prep.cards()} >= {f"tau_urban_2019/{n}" for n in facts}


def test_place_and_device_are_attributes(tmp_path):
    clip_list = list_task(write_layout(tmp_path, meta=meta_of(TRAIN_ROWS + TEST_ROWS)))
    clip = clip_of(clip_list, "bus-lyon-1001-40002-a")
    assert (clip.file, clip.label, clip.fold) == (TRAIN_ROWS[1][0], "bus", 2)
    assert clip.source == "lyon-1001"
    assert clip.attributes == {"device": "a", "city": "lyon", "location": "1001"}
    assert clip_of(clip_list, "bus-milan-1003-40004-a").fold == 1
    assert clip_list.attributes == ("device", "city", "location")
    (note,) = clip_list.notes
    assert note == (
        "the split lists 3 clips to train on and 2 to test on, the official one 9185 and 4185"
    )


def test_clips_in_neither_list_are_left_aside(tmp_path):
    aside = [("audio/tram-milan-1005-40006-a.wav", "tram")]
    root = write_layout(tmp_path, meta=meta_of(TRAIN_ROWS + aside + TEST_ROWS))
    clip_list = list_task(root)
    assert len(clip_list.clips) == 5
    assert clip_list.notes[1:] == ("clips of meta.csv in neither list of the split, left aside: 1",)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_lines_end_as_they_like(tmp_path, newline):
    meta = meta_of(TRAIN_ROWS + TEST_ROWS)
    plain = list_task(write_layout(tmp_path / "plain", meta=meta))
    other = list_task(write_layout(tmp_path / "other", meta=meta, newline=newline))
    assert other.clips == plain.clips


def test_devices_and_their_groups(tmp_path):
    extra = [("audio/bus-milan-1003-40004-b.wav", "bus"), (TRAIN_ROWS[0][0][:-5] + "c.wav", "bus")]
    root = write_layout(tmp_path, TRAIN_ROWS + extra[1:], TEST_ROWS + extra[:1])
    clip_list = list_task(root, "1b")
    assert clip_list.groups == {
        "device": {"A": ["a"], "B and C": ["b", "c"]},
        "city": {"lyon": ["lyon"], "milan": ["milan"], "paris": ["paris"]},
    }
    assert clip_of(clip_list, "bus-milan-1003-40004-b").attributes["device"] == "b"
    # All devices recorded the same sound, at the same place.
    assert clip_of(clip_list, "bus-lyon-1001-40001-c").source == "lyon-1001"
    root = write_layout(tmp_path / "A alone", TRAIN_ROWS[2:], [TEST_ROWS[1]])
    assert list(list_task(root, "1b").groups) == ["city"]


# --- unknown scenes ------------------------------------------------------------------------------

UNKNOWN_FORMS = [
    # Name, then identifier and device by meta.csv if it has it; source and attributes.
    ("unknown-lyon-7-8-a", None, "lyon-7", ("a", "lyon", "7")),
    ("beach-lyon-7-8-a", None, "lyon-7", ("a", "lyon", "7")),
    ("0123", None, "0123", ("unknown", "unknown", "unknown")),
    ("a/b c", None, "a/b c", ("unknown", "unknown", "unknown")),
    ("0123", ("lyon-9", "a"), "lyon-9", ("a", "lyon", "9")),
    # What is no city and number is no place.
    ("0123", ("lake", "a"), "0123", ("a", "unknown", "unknown")),
    ("0123", ("unknown", "-"), "0123", ("-", "unknown", "unknown")),
    ("unknown-lyon-7-8-a", ("-", "-"), "lyon-7", ("-", "lyon", "7")),
    ("0123", ("", ""), "0123", ("unknown", "unknown", "unknown")),
    ("unknown-lyon-7-8-a", ("", ""), "lyon-7", ("a", "lyon", "7")),
    ("unknown-lyon-7-8-a", ("oulu-3", "z"), "oulu-3", ("z", "oulu", "3")),
    # The class is what the list says, whatever the name.
    ("park-lyon-7-8-a", None, "lyon-7", ("a", "lyon", "7")),
]


@pytest.mark.parametrize(("name", "stated", "source", "attributes"), UNKNOWN_FORMS)
def test_names_of_unknown_scenes_are_of_any_form(tmp_path, name, stated, source, attributes):
    row = (f"audio/{name}.wav", "unknown")
    meta = [(*row, *stated)] if stated else []
    clip_list = list_task(write_layout(tmp_path, [*TRAIN_ROWS, row], meta=meta), "1c")
    clip = clip_of(clip_list, name)
    assert (clip.label, clip.source, clip.fold) == ("unknown", source, 2)
    assert tuple(clip.attributes.values()) == attributes
    assert clip_list.unknown_label == clip_list.labels[-1] == "unknown"
    # Its place is no city to report on.
    assert list(clip_list.groups["city"]) == ["lyon", "milan", "paris"]


@pytest.mark.parametrize("identifier", ["unknown", "-", "unknown-", "12"])
def test_what_stands_for_every_unknown_scene_is_no_place_in_both_lists(tmp_path, identifier):
    train = [(f"audio/{number}.wav", "unknown") for number in range(3)]
    test = [("audio/9.wav", "unknown"), ("audio/unknown-oulu-5-6-a.wav", "unknown")]
    meta = [(*row, identifier, "a") for row in (*train, *test)]
    root = write_layout(tmp_path, [*TRAIN_ROWS, *train], [*TEST_ROWS, *test], meta)
    clip_list = list_task(root, "1c")
    assert {clip_of(clip_list, name).source for name in "0129"} == set("0129")
    assert clip_list.notes[1:] == (
        "clips of unknown scenes whose location is not known either: 4; that the two lists share "
        "no location is not checked for them",
    )
    # A location that is known is checked.
    write_rows(root / "meta.csv", META_HEADER, [(*row, "oulu-5", "a") for row in train + test])
    with pytest.raises(ValueError, match="to share no location, got oulu-5 in both"):
        list_task(root, "1c")


def test_what_meta_says_of_unknown_scenes_is_part_of_the_source(tmp_path):
    row = ("audio/1.wav", "unknown")
    prints = {
        list_task(write_layout(tmp_path, [*TRAIN_ROWS, row], meta=[(*row, "x-1", device)]), "1c")
        .fingerprint()
        for device in "ab"
    }  # fmt: skip
    assert len(prints) == 2


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "row", "message"),
    [
        ("1a", ("audio/bus-lyon-1-2-a.wav", "park"), "of a clip of park"),
        ("1a", ("audio/bus-lyon-1-2-b.wav", "bus"), "by device a in line 5 of"),
        ("1b", ("audio/bus-lyon-1-2-d.wav", "bus"), "by device a or b or c in line 5 of"),
        ("1a", ("audio/bus-lyon-1-a.wav", "bus"), "scene-city-location-segment-device"),
        ("1a", ("bus-lyon-1-2-a.wav", "bus"), "file name like audio/bus-"),
        ("1a", ("audio/bus-lyon-1-2-a.wav", "bus "), "Expected one of the classes airport, "),
        ("1a", ("audio/x.wav", "unknown"), "scene_label='unknown'"),
        ("1c", ("audio/x.wav", "beach"), "tram, unknown in line 5 of"),
        ("1c", ("../audio/x.wav", "unknown"), "inside the source folder"),
        ("1a", ("audio/bus-lyon-1-2-a.wav",), "Expected 2 fields in line 5 of"),
    ],
)
def test_rows_that_do_not_hold_together(tmp_path, task, row, message):
    root = write_layout(tmp_path, [*TRAIN_ROWS, row])
    with pytest.raises(ValueError, match=message) as info:
        list_task(root, task)
    assert f"line 5 of {root / TRAIN}" in str(info.value) and "\n" not in str(info.value)


@pytest.mark.parametrize(
    ("column", "value"),
    [("scene_label", "park"), ("identifier", "lyon-1002"), ("source_label", "b")],
)
def test_a_table_that_disagrees_with_a_name_is_refused(tmp_path, column, value):
    rows = meta_of(TRAIN_ROWS)
    rows[1] = dict(zip(META_HEADER, rows[1], strict=True)) | {column: value}
    rows[1] = tuple(rows[1].values())
    with pytest.raises(ValueError, match=r"line 3 of .*meta\.csv to agree with .*Received: row="):
        list_task(write_layout(tmp_path, meta=rows))


def test_a_table_may_say_less(tmp_path):
    root = write_layout(tmp_path, meta=[(*row, "", "") for row in TRAIN_ROWS])
    full = list_task(root)
    write_rows(root / "meta.csv", META_HEADER[:2], TRAIN_ROWS)
    assert list_task(root).clips == full.clips
    assert clip_of(full, "park-paris-1002-40003-a").source == "paris-1002"


@pytest.mark.parametrize("table", [TRAIN, TEST, "meta.csv"])
def test_tables_with_commas_are_told(tmp_path, table):
    root = write_layout(tmp_path, meta=meta_of(TRAIN_ROWS))
    (root / table).write_text((root / table).read_text().replace("\t", ","))
    with pytest.raises(
        ValueError, match=r"the header filename\\tscene_label.*, got .*,scene_label"
    ):
        list_task(root)


def test_lists_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"the folder of TAU .*zenodo\.org/record/2589280"):
        list_task(tmp_path)
    root = write_layout(tmp_path)
    (root / TEST).unlink()
    with pytest.raises(ValueError, match="No such file.*fold1_evaluate"):
        list_task(root)
    write_rows(root / TEST, META_HEADER[:2], [])
    with pytest.raises(ValueError, match=r"Expected clips in evaluation_setup/fold1_evaluate\.csv"):
        list_task(root)


@pytest.mark.parametrize(
    "row", [("audio/bus-lyon-1001-49999-a.wav", "bus"), TRAIN_ROWS[0]], ids=["place", "clip"]
)
def test_a_location_in_both_lists_is_refused(tmp_path, row):
    root = write_layout(tmp_path, test=[*TEST_ROWS, row])
    with pytest.raises(ValueError, match="to share no location, got lyon-1001 in both") as info:
        list_task(root)
    assert TRAIN in str(info.value) and TEST in str(info.value)


def test_a_clip_twice_in_a_list_is_refused(tmp_path):
    root = write_layout(tmp_path, [*TRAIN_ROWS, TRAIN_ROWS[0]])
    with pytest.raises(ValueError, match="every clip once, got 'bus-lyon-1001-40001-a' 2 times"):
        list_task(root)


def test_files_that_are_lost(tmp_path):
    root = write_layout(tmp_path / "s")
    for seed, (name, _) in enumerate(TRAIN_ROWS[1:] + TEST_ROWS):
        write_sound(root / name, rate=8000, channels=2, subtype="PCM_24", seed=seed)
    arguments = {"source": root, "sample_rate": 8000, "data_dir": tmp_path, "progress": False}
    with pytest.raises(ValueError, match="got 1 missing.*bus-lyon-1001-40001-a.wav: there is no"):
        data_prep.prepare("tau_urban_2019/1a", **arguments)
    result = data_prep.prepare("tau_urban_2019/1a", allow_missing=True, **arguments)
    assert (result.clips, len(result.missing)) == (4, 1)
    # The card's channels, and its name as a folder.
    assert result.path == tmp_path / "tau_urban_2019_1a" / "8000hz_2ch" / "1.0.0"
    examples, metadata = records(result.path)
    assert metadata["dataset"] == "tau_urban_2019/1a" and metadata["held_out_folds"] == [1]
    assert metadata["attributes"] == ["device", "city", "location"]
    city = examples["park-lyon-1004-40005-a"]["attributes"]["city"]
    assert city.decode() == "lyon"
    with pytest.raises(ValueError, match="a name that no other data set has"):
        data_prep.prepare("audio_folder", **arguments | {"dataset_name": "tau_urban_2019_1b"})


def test_attributes_are_the_same_for_all_clips(tmp_path):
    clip_list = list_task(write_layout(tmp_path))
    *others, stray = clip_list.clips
    stray = dataclasses.replace(stray, attributes={"device": "a"})
    with pytest.raises(ValueError, match="the attributes device, city, location for every clip"):
        dataclasses.replace(clip_list, clips=(*others, stray))
