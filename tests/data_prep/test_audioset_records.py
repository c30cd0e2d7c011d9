"""AudioSet's records: from files and packs, with several classes a clip, and a training on them."""

import shutil

import h5py
import numpy as np
import pytest
from segments import class_names, read_segments, write_pack, write_segments
from sources import records, write_sound

import data_prep
from keras_audio.cli import main
from keras_audio.data import make_split, open_records

RATE = 32000


@pytest.fixture(scope="module")
def source(tmp_path_factory, shared):
    """The official evaluation table with three clips, a training table with ten in a pack."""
    root, names = tmp_path_factory.mktemp("audioset"), class_names(shared)
    official = shared / "datasets" / "metadata" / "audioset"
    for name in ("eval_segments.csv", "class_labels_indices.csv"):
        shutil.copy(official / name, root)
    rows = read_segments(official / "eval_segments.csv")
    for index, (video, _) in enumerate(rows[:3]):
        path = root / "audios" / "eval_segments" / f"Y{video}.wav"
        write_sound(path, seconds=0.4 + index / 10, rate=RATE, channels=1 + index % 2, seed=index)
    # Other videos of the same classes as the last clips of the evaluation table.
    balanced = [(f"b{index:010}", mids) for index, (_, mids) in enumerate(rows[-12:])]
    write_segments(root, balanced=balanced)
    waveforms = np.random.default_rng(0).integers(-32767, 32768, (12, RATE // 2), np.int16)
    waveforms[[3, 7]] = 0
    packed = [("", []) if row in (3, 7) else balanced[row] for row in range(12)]
    write_pack(root / "waveforms" / "balanced_train.h5", packed, names, waveforms, RATE)
    return root


@pytest.fixture(scope="module")
def prepared(source, tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("data")
    result = data_prep.prepare("audioset", source=source, data_dir=data_dir, progress=False)
    return result, data_dir


def test_records_hold_what_files_and_packs_hold(prepared, source, shared):
    result, _ = prepared
    examples, metadata = records(result.path)
    assert (result.clips, result.missing) == (13, ())
    assert (metadata["folds"], metadata["held_out_folds"]) == ([1, 2], [1])
    assert metadata["multi_label"] and metadata["labels"] == list(class_names(shared).values())
    names = class_names(shared)
    rows = read_segments(source / "eval_segments.csv")[:3]
    rows += read_segments(source / "balanced_train_segments.csv")
    with h5py.File(source / "waveforms" / "balanced_train.h5") as pack:
        packed = {
            name.decode()[1:12]: samples
            for name, samples in zip(pack["audio_name"][:], pack["waveform"][:], strict=True)
        }
    for index, (video, mids) in enumerate(rows):
        if index - 3 in (3, 7):
            assert video not in examples
            continue
        example = examples[video]
        assert set(example["label"]) == {names[mid] for mid in mids}
        assert example["source"].decode() == video
        if index < 3:
            assert len(example["audio"]) == round((0.4 + index / 10) * RATE)
        else:
            # Full scale is 32767 in packs, 32768 in records: up to one step apart.
            exact = packed[video] * (32768 / 32767)
            assert np.abs(example["audio"][:, 0] - exact).max() <= 1


def test_clips_that_are_not_there_are_counted_and_no_error(prepared, source, tmp_path, capsys):
    result, _ = prepared
    absent = [video for video, _ in read_segments(source / "eval_segments.csv")[3:]]
    absent += ["b0000000003", "b0000000007"]
    _, metadata = records(result.path)
    assert metadata["absent"] == len(absent) == 20370
    assert (result.path / "absent.txt").read_text().split() == absent
    assert any("20370" in note for note in result.notes)
    # The sounds need not be decoded for the command to say so.
    arguments = ["prepare", "audioset", "--source", str(source), "--sample-rate", "8000"]
    assert main([*arguments, "--data-dir", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "13 clips in" in captured.out and "missing" not in captured.err


def test_a_split_has_the_classes_of_every_clip(prepared):
    _, data_dir = prepared
    read = open_records("audioset", sample_rate=RATE, data_dir=data_dir)
    split = make_split(read, 1)
    assert (len(split.train), len(split.validation), split.multi_label) == (10, 3, True)
    # The first clip is a squeaking dog, and the order that of the official indices.
    by_id = {clip.clip_id: [read.labels[label] for label in clip.labels] for clip in split.test}
    assert by_id["--4gqARaEJE"] == ["Animal", "Domestic animals, pets", "Dog", "Squeak"]
    with pytest.raises(ValueError, match="official split of audioset holds out"):
        make_split(read, 2)


def test_a_bad_file_is_one_still(source, tmp_path):
    root = tmp_path / "source"
    shutil.copytree(source, root)
    bad = next((root / "audios" / "eval_segments").iterdir())
    bad.write_bytes(b"")
    with pytest.raises(ValueError, match=f"{bad.name}: it is empty"):
        data_prep.prepare(
            "audioset", source=root, sample_rate=8000, data_dir=tmp_path, progress=False
        )


@pytest.mark.slow
def test_erann_trains_on_it(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["train", "erann", "--dataset", "audioset", "--source", str(source), "--smoke"]
    assert main([*arguments, "--fold", "1", "--set", "s_m=3", "--set", "width=1"]) == 0
    run = tmp_path / "runs" / "smoke" / "erann" / "audioset-fold1-seed0"
    assert len((run / "labels.txt").read_text().splitlines()) == 527
