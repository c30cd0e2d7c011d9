"""The table of downloads against the published facts, and what it says of the rest."""

import json
import re
import shlex

import pytest

import data_prep
from data_prep import downloads
from data_prep.tau_urban_2019 import TASKS as TASKS_2019
from data_prep.tau_urban_2020 import TASKS as TASKS_2020
from keras_audio.cli import build_parser

TAU = {
    "tau_urban_2019/1a": ("2019_DevelopmentSet", 23, 14400 * 2_880_000),
    "tau_urban_2019/1b": ("2019_Mobile_DevelopmentSet", 13, 16560 * 1.323e6),
    "tau_urban_2019/1c": (
        "2019_Openset_DevelopmentSet",
        13,
        15850 * 1.323e6,
    ),
    "tau_urban_2020_3class": ("2020_3Class_DevelopmentSet", 23, 14400 * 2_880_000),
}
EVERY = [download for name in downloads.names() for download in downloads.for_dataset(name)]


@pytest.mark.parametrize("name", TAU)
def test_the_archives_of_tau_urban_are_those_of_zenodos_list(shared, name):
    key, count, unpacked = TAU[name]
    facts = json.loads((shared / "datasets" / "metadata" / "tau_downloads.json").read_text())
    facts = facts[f"TAUUrbanAcousticScenes_{key}"]
    ours = downloads.for_dataset(name)
    assert [(file.url, file.bytes, file.digest) for file in ours] == [
        (file["remote_file"], file["remote_bytes"], file["remote_md5"]) for file in facts["files"]
    ]
    assert len(ours) == count and [file.part for file in ours][:3] == ["doc", "meta", "audio.1"]
    assert {file.algorithm for file in ours} == {"md5"}
    tasks = {f"tau_urban_2019/{task}": each for task, each in TASKS_2019.items()}
    tasks |= {f"tau_urban_2020_{task}": each for task, each in TASKS_2020.items()}
    assert {file.folder for file in ours} == {facts["base"]} == {tasks[name].folder}
    # Ten seconds a clip, at the task's rate, in 24 bits.
    assert sum(file.unpacked for file in ours) == pytest.approx(unpacked, rel=0.01)


@pytest.mark.parametrize("name", ["urbansound8k", "ravdess", "audioset"])
def test_the_other_files_are_those_of_the_facts(shared, name):
    facts = (shared / "datasets" / "FACTS.md").read_text()
    real = {file.name for file in (shared / "datasets/metadata/audioset").iterdir()}
    for file in downloads.for_dataset(name):
        assert file.digest in facts or file.name in real  # hashed where the real file is fetched
        folder, _, name = file.url.removeprefix("https://").rpartition("/")
        assert f"{folder}/" in facts and name.removesuffix(".csv") in facts
        if file.bytes:
            assert f" {file.bytes} " in facts or (file.name in real)


def test_every_row_is_one_that_can_be_fetched():
    assert len({file.url for file in EVERY}) == len({file.digest for file in EVERY}) == len(EVERY)
    assert len({(file.dataset, file.part) for file in EVERY}) == len(EVERY)
    for file in EVERY:
        assert file.url.startswith("https://") and re.fullmatch(r"[\w.-]+", file.name)
        length = {"md5": 32, "sha256": 64}[file.algorithm]
        assert re.fullmatch(f"[0-9a-f]{{{length}}}", file.digest)
        assert file.about > 0 and file.bytes in (None, file.about)
        assert file.unpacked >= file.about and re.fullmatch(r"[\w.-]+", file.folder)
        assert file.is_archive or file.unpacked == file.bytes
    for name in downloads.names():
        assert len({file.folder for file in downloads.for_dataset(name)}) == 1


def test_of_every_data_set_it_says_how_to_get_it():
    names = [card.name for card in data_prep.cards()]
    for name in names:
        assert downloads.for_dataset(name) or downloads.manual_steps(name), name
    assert {name for name in names if downloads.for_dataset(name)} <= set(downloads.names())
    assert set(downloads.names()) <= set(names)


@pytest.mark.parametrize("name", ["esc50", "esc10", "audioset", "audio_folder", "toy_scenes/1a"])
def test_the_commands_of_what_is_done_by_hand(name):
    steps = downloads.manual_steps(name)
    lines = [line.strip() for line in steps.splitlines()]
    commands = [shlex.split(line) for line in lines if line.startswith("keras-audio ")]
    for _, *arguments in commands:
        assert build_parser().parse_args(arguments).name == name
    assert commands and all(len(line) <= 100 for line in steps.splitlines())
    clones = [shlex.split(line) for line in lines if line.startswith("git clone")]
    # What is cloned is what is prepared.
    sources = [command[-1] for command in commands if "--source" in command]
    assert [clone[-1] for clone in clones] == (sources if clones else [])


def test_what_needs_nothing_by_hand():
    for name in ("urbansound8k", "ravdess", *TAU, "nonsense"):
        assert downloads.manual_steps(name) == ""
