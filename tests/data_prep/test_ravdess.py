"""RAVDESS in the official layout: names, folds by actor, odd files, copies and lost ones."""

import collections
import itertools
import shutil
import struct

import numpy as np
import pytest
import soundfile
from sources import records, write_sound

import data_prep
from data_prep import ravdess
from keras_audio.data import make_split, open_records

# FACTS: the official files with two channels.
STEREO = (
    *("03-01-02-01-01-02-01", "03-01-08-01-02-02-01", "03-01-02-01-02-02-05"),
    *("03-01-03-01-02-01-20", "03-01-06-01-01-02-20"),
)
TWINS = ("03-01-03-01-02-01-07", "03-01-03-01-02-02-07")
TWIN_NOTE = (
    "one sound under two names, as published: 03-01-03-01-02-01-07.wav and "
    "03-01-03-01-02-02-07.wav; both are by one actor, and so in one fold"
)


def official_names():
    """The names of the archive by its own rules, as the read-me that comes with it gives them."""
    for actor in range(1, 25):
        for emotion in range(1, 9):
            for intensity in (1,) if emotion == 1 else (1, 2):
                for statement, repetition in itertools.product((1, 2), (1, 2)):
                    fields = (3, 1, emotion, intensity, statement, repetition, actor)
                    yield "-".join(f"{field:02}" for field in fields)


def add_odd_chunk(path):
    """Put a chunk of odd length before the samples, with its pad byte, as half the files have."""
    data = path.read_bytes()
    place = data.index(b"data")
    chunk = b"LIST" + struct.pack("<I", 5) + b"INFO\0" + b"\0"
    data = data[:place] + chunk + data[place:]
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """All 1440 files, each a tone of a few milliseconds at 48 kHz, twins and oddities included."""
    root = tmp_path_factory.mktemp("archive")
    for index, name in enumerate(official_names()):
        folder = root / f"Actor_{name[-2:]}"
        folder.mkdir(exist_ok=True)
        tone = 0.5 * np.sin(2 * np.pi * (200 + 5 * index) * np.arange(480 + index) / 48000)
        if name in STEREO:
            tone = np.stack([tone, -0.5 * tone], axis=1)
        soundfile.write(folder / f"{name}.wav", tone, 48000, subtype="PCM_16")
        if index % 2:
            add_odd_chunk(folder / f"{name}.wav")
    twins = [root / "Actor_07" / f"{name}.wav" for name in TWINS]
    shutil.copy(*twins)
    return root


def test_the_official_layout(archive):
    clip_list = ravdess.list_clips(archive)
    card = ravdess.CARD
    assert len(clip_list.clips) == card.clips == 1440
    assert clip_list.labels == card.labels and len(card.labels) == card.classes
    assert (clip_list.folds, clip_list.missing) == ((1, 2, 3, 4), ())
    assert clip_list.notes == (TWIN_NOTE,)
    counts = collections.Counter(clip.label for clip in clip_list.clips)
    assert counts.pop("neutral") == 96 and set(counts.values()) == {192} and len(counts) == 7
    by_id = {clip.clip_id: clip for clip in clip_list.clips}
    fearful = by_id["03-01-06-01-02-01-12"]
    assert (fearful.label, fearful.fold, fearful.source) == ("fearful", 2, "Actor_12")
    assert by_id["03-01-01-01-01-01-01"].label == "neutral"
    assert by_id["03-01-08-02-02-02-24"].label == "surprised"
    assert by_id[TWINS[0]].fold == by_id[TWINS[1]].fold


def test_folds_are_whole_actors_half_of_them_men():
    assert sorted(actor for actors in ravdess.FOLDS for actor in actors) == list(range(1, 25))
    for actors in ravdess.FOLDS:
        assert len(actors) == 6 and sum(actor % 2 for actor in actors) == 3


def test_records(archive, tmp_path):
    result = data_prep.prepare("ravdess", source=archive, data_dir=tmp_path, progress=False)
    assert result.path.parent.name == "44100hz_1ch"
    # The twins share a fold, so that none is due on clips in two of them.
    assert (result.clips, result.missing, result.notes) == (1440, (), (TWIN_NOTE,))
    examples, metadata = records(result.path)
    assert metadata["labels"] == list(ravdess.LABELS) and metadata["folds"] == [1, 2, 3, 4]
    assert {example["audio"].shape[1] for example in examples.values()} == {1}
    for index, name in enumerate(official_names()):
        assert abs(len(examples[name]["audio"]) - (480 + index) * 44100 / 48000) <= 1 or (
            name == TWINS[1]
        )
        # Mixed down, a stereo file here has a quarter of the level (resampling rings a little).
        peak = np.abs(examples[name]["audio"].astype(int)).max() / 32768
        assert peak == pytest.approx(0.125 if name in STEREO else 0.5, rel=0.2), name
    read = open_records("ravdess", sample_rate=44100, data_dir=tmp_path)
    for fold, actors in enumerate(ravdess.FOLDS, start=1):
        split = make_split(read, fold)
        assert (len(split.train), len(split.validation)) == (1080, 360)
        assert {clip.source for clip in split.validation} == {f"Actor_{a:02}" for a in actors}


@pytest.mark.parametrize("length", [2, 3])
def test_chunks_as_the_official_files_have_them(tmp_path, length):
    """FACTS: `fmt `, `FLLR`, `data`, `LIST`, `bext`, `_PMX`, of odd length in half the files."""
    samples = np.random.default_rng(0).integers(-32768, 32768, 4800).astype("<i2")
    chunks = {
        b"fmt ": struct.pack("<HHIIHH", 1, 1, 48000, 96000, 2, 16),
        b"FLLR": bytes(4000 + length),
        b"data": samples.tobytes(),
        b"LIST": b"INFOISFT" + struct.pack("<I", 10 + length) + b"recorder".ljust(10 + length),
        b"bext": bytes(600 + length),
        b"_PMX": b"<x:xmpmeta>".ljust(60 + length),
    }
    body = b"WAVE"
    for name, content in chunks.items():
        body += name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    file = tmp_path / "Actor_12" / "03-01-06-01-02-01-12.wav"
    file.parent.mkdir()
    file.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    write_sound(tmp_path / "Actor_01" / "03-01-01-01-01-01-01.wav")  # another fold
    result = data_prep.prepare(
        "ravdess", source=tmp_path, sample_rate=48000, data_dir=tmp_path, progress=False,
        allow_missing=True,
    )  # fmt: skip
    examples, _ = records(result.path)
    assert (examples["03-01-06-01-02-01-12"]["audio"][:, 0] == samples).all()


def test_twins_that_differ_are_no_twins(tmp_path):
    for seed, name in enumerate(TWINS):
        write_sound(tmp_path / "Actor_07" / f"{name}.wav", seed=seed)
    assert ravdess.list_clips(tmp_path).notes == ()


@pytest.mark.parametrize("inner", ["", "Audio_Speech_Actors_01-24", "a/b"])
def test_found_below_any_folder(archive, tmp_path, inner):
    (tmp_path / inner).mkdir(parents=True, exist_ok=True)
    for folder in archive.iterdir():
        (tmp_path / inner / folder.name).symlink_to(folder)
    clip_list = ravdess.list_clips(tmp_path)
    assert len(clip_list.clips) == 1440
    assert {clip.file.startswith(inner) for clip in clip_list.clips} == {True}


def test_a_copy_that_holds_everything_twice(archive, tmp_path):
    for inner in ("", "audio_speech_actors_01-24"):
        (tmp_path / inner).mkdir(exist_ok=True)
        for folder in archive.iterdir():
            (tmp_path / inner / folder.name).symlink_to(folder)
    clip_list = ravdess.list_clips(tmp_path)
    assert len({clip.clip_id for clip in clip_list.clips}) == len(clip_list.clips) == 1440
    assert {clip.file.split("/")[0] for clip in clip_list.clips} == set(
        f"Actor_{actor:02}" for actor in range(1, 25)
    )
    assert clip_list.notes == ("files that lie there again, counted once: 1440", TWIN_NOTE)


def test_copies_that_differ_are_refused(tmp_path):
    name = "Actor_03/03-01-06-01-02-01-03.wav"
    write_sound(tmp_path / name)
    write_sound(tmp_path / "again" / name, seconds=0.3)
    with pytest.raises(ValueError, match=f"sizes that differ: {name} and again/{name}"):
        ravdess.list_clips(tmp_path)


def test_files_and_actors_that_are_lost(archive, tmp_path):
    root = tmp_path / "archive"
    shutil.copytree(archive, root)
    shutil.rmtree(root / "Actor_05")
    (root / "Actor_24" / "03-01-08-02-02-02-24.wav").unlink()
    (root / "Actor_23" / "03-01-08-02-02-02-23.wav").write_bytes(b"")
    # Song, video and what systems leave behind are no business of this data set.
    (root / "Actor_01" / "03-02-01-01-01-01-01.wav").write_bytes(b"song")
    (root / "Actor_01" / "01-01-01-01-01-01-01.mp4").write_bytes(b"video")
    (root / "__MACOSX" / "Actor_01").mkdir(parents=True)
    (root / "__MACOSX" / "Actor_01" / "._03-01-01-01-01-01-01.wav").write_bytes(b"fork")
    clip_list = ravdess.list_clips(root)
    assert len(clip_list.clips) == 1379
    assert clip_list.missing == (
        "Actor_05: none of its 60 clips are there",
        "Actor_24/03-01-08-02-02-02-24.wav: there is no such file",
    )
    arguments = {"source": root, "data_dir": tmp_path / "d", "progress": False}
    with pytest.raises(ValueError, match="got 3 missing or bad.*Actor_05.*it is empty"):
        data_prep.prepare("ravdess", sample_rate=8000, **arguments)
    result = data_prep.prepare("ravdess", sample_rate=8000, allow_missing=True, **arguments)
    assert (result.clips, len(result.missing)) == (1378, 3)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("Actor_01/03-01-09-01-01-01-01.wav", "file names like"),
        ("Actor_01/03-01-01-02-01-01-01.wav", "file names like"),
        ("Actor_01/03-01-02-03-01-01-01.wav", "file names like"),
        ("Actor_25/03-01-02-01-01-01-25.wav", "file names like"),
        ("Actor_00/03-01-02-01-01-01-00.wav", "file names like"),
        ("Actor_01/03-01-02-01-01-01-01 (1).wav", "file names like"),
        ("Actor_02/03-01-02-01-01-01-01.wav", "in the folder Actor_01"),
    ],
)
def test_files_that_are_not_of_the_archive_are_refused(tmp_path, file, message):
    write_sound(tmp_path / file)
    with pytest.raises(ValueError, match=message) as info:
        ravdess.list_clips(tmp_path)
    assert str(tmp_path / file) in str(info.value)


def test_a_folder_of_something_else_is_refused(tmp_path):
    write_sound(tmp_path / "audio" / "1.wav")
    with pytest.raises(ValueError, match=r"the folder of RAVDESS.*zenodo.*Received: source="):
        ravdess.list_clips(tmp_path)
