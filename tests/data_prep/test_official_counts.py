"""What the cards say of folds and classes, against the real tables and FACTS.md."""

import collections
import shutil

import pytest
from segments import read_segments
from sources import read_rows, records, write_sound

import data_prep
from data_prep import esc10, toy_sounds
from data_prep.registry import DATASETS

CARDS = {card.name: card for card in data_prep.cards()}


def counted(name, clips):
    """Clips by fold and by class, as `card.fold_clips` and `card.class_clips` have them."""
    folds = collections.Counter(fold for fold, _ in clips)
    classes = collections.Counter(label for _, label in clips)
    return (
        tuple(folds[fold] for fold in sorted(folds)),
        tuple(classes[label] for label in CARDS[name].labels),
    )


@pytest.mark.parametrize("name", CARDS)
def test_counts_add_up(name):
    card = CARDS[name]
    for counts, parts in ((card.fold_clips, None), (card.class_clips, card.classes)):
        assert not counts or sum(counts) == card.clips
        assert not counts or parts is None or len(counts) == parts
    # Of an official split there is one, whatever its folds.
    assert not card.fold_clips or card.folds in (1, len(card.fold_clips))
    assert card.protocol.endswith(".")


def test_urbansound8k(shared):
    rows = read_rows(shared / "datasets" / "metadata" / "UrbanSound8K.csv")
    card = CARDS["urbansound8k"]
    clips = [(int(row["fold"]), row["class"]) for row in rows]
    assert counted("urbansound8k", clips) == (card.fold_clips, card.class_clips)


def test_esc50(shared):
    """The real table is of fold 4 and a few clips of others."""
    rows = read_rows(shared / "datasets" / "metadata" / "esc50.csv")
    card = CARDS["esc50"]
    clips = [(4, row["category"]) for row in rows if row["fold"] == "4"]
    assert counted("esc50", clips) == ((400,), (8,) * 50)
    assert (card.fold_clips, card.class_clips) == ((400,) * 5, (8 * 5,) * 50)
    assert all(row["category"] == card.labels[int(row["target"])] for row in rows)


def test_esc10(shared):
    clips = [(c.fold, c.label) for c in esc10.list_clips(shared / "data" / "esc10").clips]
    card = CARDS["esc10"]
    assert counted("esc10", clips) == (card.fold_clips, card.class_clips)


def test_ravdess():
    """FACTS: 24 actors of 60 clips, 96 of them neutral and 192 of each other emotion."""
    card = CARDS["ravdess"]
    assert card.fold_clips == (6 * 60,) * 4
    assert dict(zip(card.labels, card.class_clips, strict=True)) == {
        "neutral": 96, "calm": 192, "happy": 192, "sad": 192,
        "angry": 192, "fearful": 192, "disgust": 192, "surprised": 192,
    }  # fmt: skip


SCENES = {
    "tau_urban_2019/1a": ("tau2019_1a", "TAU-urban-acoustic-scenes-2019-development"),
    "tau_urban_2020_3class": (
        "tau2020_3class",
        "TAU-urban-acoustic-scenes-2020-3class-development",
    ),
}


def official_lists(shared, folder, name):
    """The real lists where they are unpacked."""
    lists, inner = SCENES[name]
    root = folder / inner
    shutil.copytree(shared / "datasets" / "metadata" / lists, root / "evaluation_setup")
    return root


@pytest.mark.parametrize("name", SCENES)
def test_acoustic_scenes(shared, tmp_path, name):
    official_lists(shared, tmp_path, name)
    clips = [(clip.fold, clip.label) for clip in DATASETS[name].list_clips(tmp_path).clips]
    assert counted(name, clips) == (CARDS[name].fold_clips, CARDS[name].class_clips)


@pytest.mark.parametrize("name", SCENES)
def test_generated_scenes_in_the_official_lists(shared, tmp_path, name):
    root = official_lists(shared, tmp_path, name)
    clips = DATASETS[name].list_clips(root).clips
    chosen = {clip.clip_id: clip for clip in clips[:: len(clips) // 20]}
    for seed, clip in enumerate(chosen.values()):
        write_sound(root / clip.file, rate=48000, channels=2, seed=seed, subtype="PCM_24")
    result = data_prep.prepare(
        name, source=root, sample_rate=8000, data_dir=tmp_path / "d", progress=False, jobs=1,
        allow_missing=True,
    )  # fmt: skip
    assert (result.clips, len(result.missing)) == (len(chosen), 13370 - len(chosen))
    examples, metadata = records(result.path)
    assert metadata["folds"] == [1, 2, 3][: len(CARDS[name].fold_clips)]
    assert {
        clip_id: (int(example["fold"]), example["label"], example["audio"].shape)
        for clip_id, example in examples.items()
    } == {clip_id: (clip.fold, clip.label, (1600, 2)) for clip_id, clip in chosen.items()}


def test_acoustic_scenes_whose_lists_are_not_here():
    """FACTS: 1b is 1a's clips and 540 by each of two more devices; 1c 1a's and unknown scenes."""
    assert CARDS["tau_urban_2019/1b"].fold_clips == (4185 + 2 * 540, 9185 + 2 * 540)
    open_set, scenes = CARDS["tau_urban_2019/1c"], CARDS["tau_urban_2019/1a"]
    assert open_set.fold_clips == (4185 + 345, 9185 + 1105)
    assert open_set.class_clips == (*scenes.class_clips, 345 + 1105)


def test_audioset(shared):
    rows = read_segments(shared / "datasets" / "metadata" / "audioset" / "eval_segments.csv")
    card = CARDS["audioset"]
    assert card.fold_clips == (len(rows), 22160, 2041789)
    # As its protocol says.
    counts = collections.Counter(mid for _, mids in rows for mid in mids)
    assert (counts["/m/04rlf"], counts["/m/09x0r"], min(counts.values())) == (5695, 5324, 59)
    assert "Music (5695 clips) and Speech (5324), the rarest one 59" in card.protocol
    assert {len(mids) for _, mids in rows} == set(range(1, 12))


def test_toy_sounds(tmp_path):
    toy_sounds.write_toy_sounds(tmp_path / "toys")
    clips = [(c.fold, c.label) for c in toy_sounds.list_clips(tmp_path / "toys").clips]
    card = CARDS["toy_sounds"]
    assert counted("toy_sounds", clips) == (card.fold_clips, card.class_clips)
