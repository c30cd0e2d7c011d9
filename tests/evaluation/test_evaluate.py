"""A run folder of an untrained network, measured, against the model called clip by clip."""

import csv
import json

import numpy as np
import pytest
import soundfile
from sklearn.metrics import confusion_matrix, recall_score
from untrained_runs import untrained, write_scenes

import data_prep
from keras_audio.data import clip_arrays, open_records
from keras_audio.evaluation import (
    classification_metrics,
    evaluate_run,
    evaluation_folder,
    read_predictions,
    tagging_metrics,
)
from keras_audio.evaluation.held_out import HeldOut
from keras_audio.files import write_json
from keras_audio.recipes import ERANN, ResidualBlocks
from keras_audio.training.run_folder import RunFolder

FOLD = 2


@pytest.fixture(scope="module")
def records(toy_data):
    return open_records("toy_sounds", sample_rate=8000, data_dir=toy_data)


@pytest.fixture
def run(records, tmp_path):
    """As training leaves it after its first epoch, but for the weights, which are random."""
    recipe = ResidualBlocks(dataset="toy_sounds", fold=FOLD, network="m3", duration=0.5)
    return untrained(recipe, records, tmp_path / "run")


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


@pytest.fixture(scope="module")
def tagged(tmp_path_factory):
    """Sounds of seven lengths around a second and of no, one or several classes."""
    folder = tmp_path_factory.mktemp("tagged")
    random = np.random.default_rng(0)
    table = ["filename,labels,fold,source"]
    classes = ["bells", "dog", "dog|rain", "", "rain", "bells|dog|rain", "dog"]
    lengths = [0.3, 1.7, 1.0, 0.6, 3.2, 1.0, 1.9]
    for fold in (1, 2):
        for index, (labels, seconds) in enumerate(zip(classes, lengths, strict=True)):
            name = f"{fold}-{index}.wav"
            sound = random.normal(0, 0.1 + 0.1 * index, round(seconds * 44100))
            soundfile.write(folder / name, np.clip(sound, -1, 1), 44100)
            table.append(f"{name},{labels},{fold},{name}")
    (folder / "table.csv").write_text("\n".join(table))
    data_prep.prepare(
        "audio_folder",
        source=folder / "table.csv",
        dataset_name="tagged",
        sample_rate=44100,
        data_dir=folder / "data",
        progress=False,
        jobs=1,
    )
    return folder / "data"


def test_tags_of_clips_of_all_lengths(tagged, tmp_path):
    """Clips of a length share batches, longer ones are cut, and rows are in stored order."""
    recipe = ERANN(
        dataset="tagged", task="tagging", s_m=3, width=1, duration=2.0, crop_duration=1.0
    )
    records = open_records("tagged", sample_rate=44100, data_dir=tagged)
    run = untrained(recipe, records, tmp_path / "run")
    RunFolder(run).write_history(
        [{"epoch": n, "iteration": 50 * n, "val_mean_average_precision": 0.5} for n in (1, 2)]
    )
    metrics = evaluate_run(run, data_dir=tagged, batch_size=2, progress=False)
    assert json.loads((run / "metrics.json").read_text()) == metrics

    rows, labels = read_predictions(run / "predictions.csv")
    assert labels == ["bells", "dog", "rain"]
    clips = records.clips([1])
    assert [row["clip_id"] for row in rows] == [clip.clip_id for clip in clips]
    targets = ["|".join(labels[index] for index in clip.labels) for clip in clips]
    assert [row["target"] for row in rows] == targets and "bells|dog|rain" in targets
    model = RunFolder(run).model()
    expected = [
        model(waveform[np.newaxis, :88200])[0].numpy() for _, waveform in clip_arrays(records, [1])
    ]
    written = np.array([[row[f"p_{label}"] for label in labels] for row in rows])
    np.testing.assert_allclose(written, expected, atol=1e-5)
    assert np.ptp(written, axis=0).max() > 0.1 and len(np.unique(written, axis=0)) == 7
    hot = np.array([[label in target.split("|") for label in labels] for target in targets])
    again = tagging_metrics(hot, np.float32(written), labels)
    assert again == metrics

    page = (run / "report.html").read_text(encoding="utf-8")
    assert f"{metrics['mean_average_precision']:.3f}" in page
    assert "best iteration 50" in page
    assert "heard in" in page and "<audio" in page and "Confusion matrix" not in page


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("scenes"), [8000])


def test_an_unknown_class_and_cities(scenes, tmp_path):
    """A weight that is given, and the best one, against scikit-learn on the CSV."""
    recipe = ResidualBlocks(dataset="tau_urban_2019/1c", fold=1, network="m3", duration=0.5)
    records = open_records("tau_urban_2019/1c", sample_rate=8000, data_dir=scenes)
    run = untrained(recipe, records, tmp_path / "run")
    by_recipe = evaluate_run(run, data_dir=scenes, progress=False)
    assert by_recipe["open_set"]["unknown_weight"] == recipe.unknown_weight
    probabilities = []
    for weight, name in ((1.5, "unknown_weight_1.5"), ("tune", "unknown_weight_tune")):
        metrics = evaluate_run(run, data_dir=scenes, progress=False, unknown_weight=weight)
        folder = run / name
        assert json.loads((folder / "metrics.json").read_text()) == metrics
        rows, labels = read_predictions(folder / "predictions.csv")
        used = metrics["open_set"]["unknown_weight"]
        assert (used == 1.5) == (weight == 1.5)
        scores = np.array([[row[f"p_{label}"] for label in labels] for row in rows])
        probabilities.append(scores.copy())
        scores[:, labels.index("unknown")] *= used
        predicted = [labels[index] for index in scores.argmax(axis=1)]
        assert [row["predicted"] for row in rows] == predicted
        assert [row["probability"] for row in rows] == [
            row[f"p_{label}"] for row, label in zip(rows, predicted, strict=True)
        ]
        targets = [row["target"] for row in rows]
        matrix = confusion_matrix(targets, predicted, labels=labels)
        assert metrics["confusion_matrix"] == matrix.tolist()
        assert list(metrics["groups"]) == ["city"]
        for city, own in metrics["groups"]["city"].items():
            of_city = [index for index, row in enumerate(rows) if row["city"] == city]
            assert own["clips"] == len(of_city) == 18
            expected = recall_score(
                [targets[index] for index in of_city],
                [predicted[index] for index in of_city],
                labels=["bus", "park", "unknown"],
                average="macro",
            )
            assert own["balanced_accuracy"] == pytest.approx(expected)
            assert own["open_set"]["unknown_weight"] == used
        assert ("cross_fitted" in metrics["open_set"]) == (weight == "tune")
        page = (folder / "report.html").read_text(encoding="utf-8")
        assert "Known class average" in page and ("flatters" in page) == (weight == "tune")
    # What the run says of itself is as its recipe says.
    assert json.loads((run / "metrics.json").read_text()) == by_recipe
    # Only what is decided depends on the weight, not what the network said.
    assert all((scores == probabilities[0]).all() for scores in probabilities)
    tuned = metrics["open_set"]
    assert tuned["score"] >= tuned["cross_fitted"]["score"]
    assert [row["device"] + row["location"] for row in rows] == [
        clip.attributes["device"] + clip.attributes["location"] for clip in records.clips([1])
    ]


@pytest.mark.parametrize("weight", ["tuned", "", 0, -1, np.nan, np.inf, [1.0]])
def test_a_bad_weight_is_seen_before_the_prediction(weight, scenes):
    recipe = ResidualBlocks(dataset="tau_urban_2019/1c", fold=1, network="m3", duration=0.5)
    held_out = HeldOut(recipe, scenes)
    with pytest.raises(ValueError, match="finite number above 0 or 'tune'. Received: unknown_wei"):
        held_out.unknown_weight(weight, recipe)


def test_folders_of_weights():
    names = [evaluation_folder("run", weight).name for weight in (None, 3, 3.0, 2.5, "tune")]
    weights = ["3", "3", "2.5", "tune"]
    assert names == ["run", *(f"unknown_weight_{weight}" for weight in weights)]


def test_the_same_report_at_another_place(run, toy_data, tmp_path):
    first = evaluate_run(run, data_dir=toy_data, progress=False)
    files = {name: (run / name).read_bytes() for name in ("predictions.csv", "report.html")}
    for file in (*files, "metrics.json"):
        (run / file).unlink()
    target = tmp_path / "there"
    assert evaluate_run(run, to=target, data_dir=toy_data, progress=False) == first
    assert json.loads((target / "metrics.json").read_text()) == first
    assert {name: (target / name).read_bytes() for name in files} == files
    assert not (run / "metrics.json").exists()
    with pytest.raises(ValueError, match=f"not of a run.*to={run}"):
        evaluate_run(run, to=run, data_dir=toy_data, progress=False)


def test_a_weight_needs_an_unknown_class(run, toy_data):
    with pytest.raises(ValueError, match="unknown sounds.*unknown_weight=5 for toy_sounds"):
        evaluate_run(run, data_dir=toy_data, progress=False, unknown_weight=5)
    assert not (run / "metrics.json").exists()


def test_history_is_drawn_and_a_second_time_replaces(run, toy_data):
    first = evaluate_run(run, data_dir=toy_data, progress=False)
    RunFolder(run).write_history(
        [
            {"epoch": n, "iteration": 9 * n, "seconds": n, "loss": 3.0 / n, "val_accuracy": 0.1 * n}
            for n in (1, 2, 3)
        ]
    )
    write_json(run / "done.json", {"epochs": 3, "best_epoch": 2, "monitor": "val_accuracy"})
    assert evaluate_run(RunFolder(run), data_dir=toy_data, progress=False) == first
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "best epoch 2" in page and "best iteration" not in page
    assert "Learning rate" not in page
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
