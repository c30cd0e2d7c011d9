"""A run folder of an untrained network, measured, against the model called clip by clip."""

import csv
import json

import keras
import numpy as np
import pytest

from keras_audio.data import clip_arrays, make_split, open_records
from keras_audio.evaluation import classification_metrics, evaluate_run, read_predictions
from keras_audio.files import write_json, write_text
from keras_audio.recipes import ResidualBlocks
from keras_audio.training.run_folder import RunFolder

FOLD = 2


@pytest.fixture(scope="module")
def records(toy_data):
    return open_records("toy_sounds", sample_rate=8000, data_dir=toy_data)


@pytest.fixture
def run(records, tmp_path):
    """As training leaves it after its first epoch, but for the weights, which are random."""
    recipe = ResidualBlocks(dataset="toy_sounds", fold=FOLD, network="m3", duration=0.5)
    folder = tmp_path / "run"
    write_json(folder / "recipe.json", recipe.to_dict())
    write_text(folder / "labels.txt", "".join(f"{label}\n" for label in records.labels))
    write_json(folder / "environment.json", {"python": "3.11"})
    write_json(folder / "split.json", make_split(records, FOLD).to_dict())
    keras.utils.set_random_seed(0)
    recipe.build_model(len(records.labels)).save(folder / "model.keras")
    return folder


def test_three_files_that_agree(run, records, toy_data):
    metrics = evaluate_run(run, data_dir=toy_data, batch_size=7, progress=False)
    assert json.loads((run / "metrics.json").read_text()) == metrics
    rows, labels = read_predictions(run / "predictions.csv")
    assert labels == records.labels
    clips = records.clips([FOLD])
    assert [(row["clip_id"], row["source"], row["fold"]) for row in rows] == [
        (clip.clip_id, clip.source, clip.fold) for clip in clips
    ]
    assert [labels.index(row["target"]) for row in rows] == [clip.label for clip in clips]

    # The full model on one whole clip at a time: no cut, no batches, no pipeline.
    model = RunFolder(run).model()
    expected = [
        model(waveform[np.newaxis])[0].numpy() for _, waveform in clip_arrays(records, [FOLD])
    ]
    written = np.array([[row[f"p_{label}"] for label in labels] for row in rows])
    np.testing.assert_allclose(written, expected, atol=1e-5)
    again = classification_metrics([clip.label for clip in clips], written, labels)
    assert again["confusion_matrix"] == metrics["confusion_matrix"]
    assert again["mean_average_precision"] == pytest.approx(metrics["mean_average_precision"])

    page = (run / "report.html").read_text(encoding="utf-8")
    assert f"residual_blocks on toy_sounds, fold {FOLD} held out, seed 0" in page
    assert f"{100 * metrics['accuracy']:.1f}\u202f%" in page
    assert "<audio" in page and "Learning curves" not in page


def test_history_is_drawn_and_a_second_time_replaces(run, toy_data):
    first = evaluate_run(run, data_dir=toy_data, progress=False)
    RunFolder(run).write_history(
        [{"epoch": n, "seconds": n, "loss": 3.0 / n, "val_accuracy": 0.1 * n} for n in (1, 2, 3)]
    )
    write_json(run / "done.json", {"epochs": 3, "best_epoch": 2, "monitor": "val_accuracy"})
    assert evaluate_run(RunFolder(run), data_dir=toy_data, progress=False) == first
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "best epoch 2" in page
    with open(run / "predictions.csv", newline="") as file:
        assert len(list(csv.reader(file))) == 1 + first["clips"]


def test_other_clips_are_refused(run, toy_data):
    split = json.loads((run / "split.json").read_text())
    clip = next(iter(split["validation"]))
    write_json(run / "split.json", split | {"validation": split["validation"] | {clip: "0" * 32}})
    with pytest.raises(ValueError, match="trained with.*toy_sounds"):
        evaluate_run(run, data_dir=toy_data, progress=False)
    assert not (run / "metrics.json").exists()


def test_no_run_no_model_no_records(run, tmp_path, toy_data):
    with pytest.raises(ValueError, match="folder of a run"):
        evaluate_run(tmp_path / "nothing", data_dir=toy_data)
    with pytest.raises(ValueError, match="keras-audio prepare toy_sounds"):
        evaluate_run(run, data_dir=tmp_path / "nothing")
    (run / "model.keras").unlink()
    with pytest.raises(ValueError, match="model.keras"):
        evaluate_run(run, data_dir=toy_data, progress=False)
