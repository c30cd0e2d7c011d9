"""The pages of the two-path experiment: Tables 1 to 4, ablations, matrices, and a real run."""

import pathlib
import shlex
import subprocess
import sys

import cells
import grid
import numpy as np
import pytest
import two_path_tables
import two_path_variants
from two_path_variants import build_recipe, scene_columns

import data_prep
from data_prep.toy_scenes import write_toy_scenes
from keras_audio.evaluation.metrics import classification_metrics
from keras_audio.evaluation.predictions import prediction_rows, write_predictions
from keras_audio.files import read_json, write_json, write_text
from keras_audio.recipes import TwoPath
from keras_audio.training.run_folder import RunFolder

SCRIPT = pathlib.Path(__file__).parents[2] / "experiments" / "two_path.py"
LABELS = ["airport", "bus", "park"]


@pytest.fixture(scope="module")
def experiment(load_experiment):
    return load_experiment("two_path")


def answers(predicted, labels):
    """Probabilities that decide for the given classes."""
    return 0.1 + 0.5 * np.eye(len(labels))[list(predicted)]


def result(name, dataset, metrics, fold=1, seed=0, settings=(), **values):
    recipe = build_recipe(name, dataset, [f"fold={fold}", f"seed={seed}", *settings])
    row = {
        "recipe": "two_path",
        "dataset": dataset,
        "fold": fold,
        "seed": seed,
        "variant": two_path_variants.variant_of(recipe).name,
        "num_filters": recipe.num_filters,
        "accuracy": f"{metrics['accuracy']:.4f}",
        "balanced_accuracy": f"{metrics['balanced_accuracy']:.4f}",
        "mean_average_precision": "0.8",
        "last_epoch_accuracy": "0.5",
        "epochs": recipe.epochs,
        "classes": 10,
        "parameters": 3_246_108,
        "seconds": 60,
        "hardware": "abacus",
        "backend": "tensorflow",
        "versions": "Keras 3",
        "command": shlex.join(["keras-audio", *cells.train_command(recipe)]),
    }
    return row | two_path_variants.class_columns(metrics) | values


def of_three(*predicted):
    return classification_metrics([0, 0, 1, 1, 2, 2], answers(predicted, LABELS), LABELS)


def lines_of(text, heading):
    """Lists of cells of the first table of the section that begins with `heading`."""
    section = text.partition(f"## {heading}")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


TASK_1A = "tau_urban_2019/1a"


def test_table_1_holds_the_reports_numbers_and_ours():
    rows = [
        result("two_paths", TASK_1A, of_three(0, 0, 1, 1, 2, 2)),
        result("two_paths", TASK_1A, of_three(0, 1, 1, 1, 2, 0), seed=1),
        result("no_deltas", TASK_1A, of_three(0, 0, 0, 0, 2, 2)),
        result(
            "two_paths",
            "tau_urban_2019/1b",
            of_three(0, 0, 0, 1, 2, 2),
            accuracy_a="0.9",
            accuracy_b_and_c="0.5",
        ),
    ]
    text = two_path_tables.markdown(rows, "tau_urban_2019")
    header, _, *lines = lines_of(text, "Table 1")
    assert header == [
        *("Task", "No deltas, report", "No deltas, ours"),
        *("Best single model, report", "Best single model, ours"),
    ]
    # The report's by hand; ours: the mean of 6 and 4 of 6.
    assert lines == [
        ["1a", "81.4", "**66.7** (1)", "82.3", "**83.3 ± 23.6 (seeds)** (2)"],
        ["1b (device A)", "78.5", "-", "80.0", "**90.0** (1)"],
        ["1b (device B and C)", "62.5", "-", "66.3", "**50.0** (1)"],
        ["1c (known classes)", "82.3", "-", "76.8", "-"],
        ["1c (unknown)", "59.0", "-", "63.9", "-"],
    ]
    assert "abacus; Keras 3, backend tensorflow" in text
    # The commands bring all tasks and seeds.
    assert "--dataset tau_urban_2019 --tasks 1a --variants two_paths --folds 1 --seeds 0,1" in text


def test_table_2_has_means_over_runs_and_a_matrix_of_their_sum():
    rows = [
        result("two_paths", TASK_1A, of_three(0, 0, 1, 1, 2, 2)),
        result("two_paths", TASK_1A, of_three(0, 1, 1, 1, 2, 0), seed=1),
        result("no_deltas", TASK_1A, of_three(1, 1, 1, 1, 2, 0)),
    ]
    text = two_path_tables.markdown(rows, "tau_urban_2019")
    header, _, *lines = lines_of(text, "Table 2: task 1a")
    assert header == [
        *("Class", "Recall, report", "Recall, ours", "Precision, report", "Precision, ours"),
    ]
    lines = {line[0]: line[1:] for line in lines}
    assert lines["airport"] == ["0.74", "0.75", "0.81", "0.75"]
    assert lines["bus"] == ["0.89", "1.00", "0.87", "0.83"]
    assert lines["public square"] == ["0.70", "-", "0.80", "-"]
    assert lines["Average"] == ["82.3%", "83.3%", "82.4%", "86.1%"]
    assert list(lines)[-1] == "Average"
    assert "Ours: the mean of 2 runs." in text
    assert "![Confusion matrix of task 1a](two_path_tau_urban_2019_1a.svg)" in text
    # Tables 3 and 4 stand there with the report's numbers alone.
    assert ["airport", "0.36", "0.68"] in lines_of(text, "Table 3: task 1b")
    found = two_path_tables.figures(rows)
    assert list(found) == ["two_path_tau_urban_2019_1a.svg"]
    (svg,) = found.values()
    assert "10 of 12 clips" in svg and svg.startswith("<svg") and len(svg) < 200_000


def test_task_1b_is_scored_on_devices_b_and_c():
    metrics = of_three(0, 0, 1, 1, 2, 2) | {
        "groups": {"device": {"A": of_three(0, 0, 1, 1, 2, 2), "B and C": of_three(*[0] * 6)}}
    }
    rows = [result("two_paths", "toy_scenes/1b", metrics, accuracy_a="1", accuracy_b_and_c="0.3")]
    text = two_path_tables.markdown(rows, "toy_scenes")
    assert "## Table 3: task 1b, best single model, devices B and C only" in text
    assert lines_of(text, "Table 3")[2:] == [
        ["airport", "1.00", "0.33"],
        ["bus", "0.00", "0.00"],
        ["park", "0.00", "0.00"],
        ["Average", "33.3%", "11.1%"],
    ]
    (svg,) = two_path_tables.figures(rows).values()
    assert "2 of 6 clips" in svg
    assert "The report has no numbers for toy_scenes." in text and "report |" not in text
    assert "## Table 2" not in text
    header, _, line = lines_of(text, "Variants")
    assert line[header.index("devices B and C")] == "30.0"


def test_task_1c_has_its_averages_and_its_score():
    labels = [*LABELS, "unknown"]
    metrics = classification_metrics(
        [0, 0, 1, 2, 3, 3, 3, 3],
        answers([0, 3, 1, 2, 3, 3, 3, 0], labels),
        labels,
        unknown_label="unknown",
        unknown_weight=1.0,
    )
    rows = [result("two_paths", "tau_urban_2019/1c", metrics, score="0.7917")]
    text = two_path_tables.markdown(rows, "tau_urban_2019")
    *_, known, unknown, overall, score = lines_of(text, "Table 4: task 1c")
    # By hand: known recall (0.5 + 1 + 1) / 3, precision (0.5 + 1 + 1) / 3; unknown 3 of 4, both.
    assert known == ["Known class average", "62.0%", "83.3%", "87.0%", "83.3%"]
    assert unknown == ["unknown", "80.3%", "75.0%", "17.6%", "75.0%"]
    assert overall == ["Overall average", "63.7%", "81.2%", "80.7%", "81.2%"]
    assert score == ["Evaluation score", "71.1%", "79.2%", "-", "-"]
    header, _, line = lines_of(text, "Variants")
    assert line[header.index("score")] == "79.2"


def test_other_data_sets_have_a_line_a_variant():
    small = ["num_filters=8", "epochs=62"]
    rows = [
        result("two_paths", "esc10", of_three(0, 0, 1, 1, 2, 2), settings=small),
        result("two_paths", "esc10", of_three(0, 1, 1, 1, 2, 0), fold=2, settings=small),
        result("one_path", "esc10", of_three(0, 0, 0, 0, 2, 2), settings=["num_filters=11"]),
    ]
    text = two_path_tables.markdown(rows, "esc10")
    header, _, *lines = lines_of(text, "Variants")
    lines = [dict(zip(header, line, strict=True)) for line in lines]
    assert lines[0] == {
        "variant": "two paths",
        "filters": "8",
        "other settings": "`epochs=62`",
        "parameters": "3,246,108",
        "folds": "1, 2",
        "accuracy, report": "none",
        "accuracy, ours": "**83.3 ± 23.6** (2)",
        "balanced accuracy": "83.3 ± 23.6",
    }
    assert (lines[1]["variant"], lines[1]["filters"]) == ("one path", "11")
    assert "The report has no numbers for esc10." in text and "Table" not in text
    assert len(lines_of(text, "Runs")) == 2 + 3
    (figure,) = two_path_tables.figures(rows)
    assert f"]({figure})" in text and figure == "two_path_esc10.svg"
    rows.append(result("two_paths", "esc10", of_three(0, 0, 1, 1, 2, 2)))
    assert list(two_path_tables.figures(rows)) == [
        "two_path_esc10-num_filters=8-epochs=62.svg",
        "two_path_esc10.svg",
    ]


def test_rows_of_scenes_have_columns_of_their_own(tmp_path):
    labels = ["bus", "unknown"]
    clips = [{"clip_id": str(number), "fold": 1, "source": str(number)} for number in range(5)]
    probabilities = [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7], [0.7, 0.3]]
    rows = prediction_rows(clips, [0, 0, 0, 1, 1], probabilities, labels, [0, 1, 1, 1, 1])
    write_predictions(tmp_path / "predictions.csv", rows)

    score = {"unknown_weight": 5.0, "known_recall": 0.5, "unknown_recall": 0.75, "score": 0.625}
    devices = {"device": {"A": {"accuracy": 0.8}, "B and C": {"accuracy": 0.6}}}
    write_json(tmp_path / "metrics.json", {"open_set": score, "groups": devices})
    write_json(tmp_path / "recipe.json", TwoPath().to_dict())
    assert scene_columns(RunFolder(tmp_path)) == {
        "accuracy_a": "0.8000",
        "accuracy_b_and_c": "0.6000",
        "unknown_weight": "5.0000",
        "known_recall": "0.5000",
        "unknown_recall": "0.7500",
        "score": "0.6250",
        "known_accuracy": "0.6667",
        "unknown_accuracy": "0.5000",
    }


OPEN = ["bus", "unknown"]


def write_open_set_run(folder, metrics, **fields):
    """A run folder of task 1c as `evaluate` leaves it, without the weights."""
    recipe = TwoPath.for_dataset("toy_scenes/1c")
    write_json(folder / "recipe.json", recipe.to_dict() | {"num_filters": 1} | fields)
    write_json(folder / "done.json", {"epochs": 2, "best_epoch": 1, "seconds": 9, "kept": "last"})
    environment = {"processor": "abacus", "cores": 2, "memory_gib": 8, "devices": ["CPU"]}
    environment |= {"packages": {"tensorflow": "2", "keras": "3"}, "backend": "tensorflow"}
    write_json(folder / "environment.json", environment | {"commit": "abc"})
    write_text(folder / "labels.txt", "\n".join(OPEN))
    RunFolder(folder).write_history([{"epoch": epoch, "val_accuracy": 0.9} for epoch in (1, 2)])
    clips = [{"clip_id": str(number), "fold": 1, "source": str(number)} for number in range(4)]
    rows = prediction_rows(clips, [0, 0, 1, 1], answers([0, 0, 1, 1], OPEN), OPEN)
    write_predictions(folder / "predictions.csv", rows)
    write_json(folder / "metrics.json", metrics)


def test_a_weight_other_than_the_recipes_is_not_published(
    experiment, tmp_path, monkeypatch, capsys
):
    def measured(weight):
        options = {"unknown_label": "unknown", "unknown_weight": weight}
        return classification_metrics([0, 0, 1, 1], answers([0, 0, 1, 1], OPEN), OPEN, **options)

    tuned = measured(5)
    tuned["open_set"]["cross_fitted"] = None
    folder = tmp_path / "runs" / "two_path" / "small"
    for seed, metrics in enumerate([measured(5), measured(4.9), tuned]):
        write_open_set_run(folder / f"toy_scenes_1c-fold1-seed{seed}", metrics, seed=seed)
    asked = measured(3), {"seed": 3, "unknown_weight": 3.0}
    write_open_set_run(folder / "toy_scenes_1c-fold1-seed3", asked[0], **asked[1])
    command = ["two_path.py", "--dataset", "toy_scenes", "--tables-only"]
    command += ["--data-dir", str(tmp_path), "--runs", str(tmp_path / "runs")]
    monkeypatch.setattr(sys, "argv", [*command, "--to", str(tmp_path / "results")])
    monkeypatch.setattr(two_path_variants, "parameters", lambda *_: 1)  # Builds networks.
    assert experiment.main() == 0
    rows = two_path_tables.KIND.read("toy_scenes", tmp_path / "results")
    assert [(row["seed"], float(row["unknown_weight"])) for row in rows] == [("0", 5), ("3", 3)]
    # It is without any weight, where the accuracy beside it has one.
    assert {row["last_epoch_accuracy"] for row in rows} == {""}
    said = capsys.readouterr().out
    for seed in (1, 2):
        path = folder / f"toy_scenes_1c-fold1-seed{seed}"
        assert f"left out until `keras-audio evaluate {path}` has measured it with 5," in said
    assert said.count("left out") == 2


def test_scenes_without_records_say_so(experiment, tmp_path, monkeypatch, capsys):
    command = ["two_path.py", "--data-dir", str(tmp_path / "data"), "--tasks", "1a,1c"]
    command += ["--runs", str(tmp_path / "runs"), "--to", str(tmp_path / "results")]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(grid, "Process", lambda *_: pytest.fail("there is nothing to train on"))
    assert experiment.main() == 0
    text = (tmp_path / "results" / "two_path_tau_urban_2019.md").read_text("utf-8")
    assert f"Not run: tau_urban_2019/1a is not prepared in {tmp_path / 'data'}/" in text
    assert (
        "`keras-audio prepare tau_urban_2019/1a --source TAU-urban-acoustic-scenes-2019-development"
        " --sample-rate 48000 --channels 2`" in text
    )
    assert "| 1c (unknown) | 59.0 | 63.9 |" in text and "| Evaluation score | 71.1% |" in text
    assert "## Commands" not in text and "not run: tau" in capsys.readouterr().out


@pytest.mark.slow
def test_a_smoke_run_of_all_tasks_on_toy_scenes(tmp_path):
    data_dir = tmp_path / "data"
    for task in ("1a", "1b", "1c"):
        scenes = ("bus", "park", *(["office"] if task == "1c" else []))
        source = write_toy_scenes(tmp_path / task, task, scenes=scenes, segments=1, seconds=1.0)
        data_prep.prepare(f"toy_scenes/{task}", source=source, data_dir=data_dir, progress=False)
    command = [sys.executable, SCRIPT, "--dataset", "toy_scenes", "--smoke"]
    command += ["--variants", "two_paths", "--set", "num_filters=2", "--set", "duration=1"]
    command += ["--set", "crop_frames=20", "--data-dir", data_dir, "--runs", tmp_path / "runs"]
    command += ["--to", tmp_path / "results"]
    found = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "smoke test: 3 of 3 passed" in found.stdout and not (tmp_path / "results").exists()
    # Each was trained, measured, reported on and exported.
    (run,) = (tmp_path / "runs").rglob("smoke")
    assert {path.name for path in run.iterdir()} >= {"metrics.json", "report.html", "export"}
    assert "open_set" in read_json(run / "metrics.json")


@pytest.mark.slow
def test_a_run_on_scenes_of_an_open_set(tmp_path):
    write_toy_scenes(tmp_path / "scenes", "1c", scenes=("bus", "park", "office"), seconds=1.0)
    data = {"sample_rate": 44100, "data_dir": tmp_path / "data", "progress": False}
    data_prep.prepare("tau_urban_2019/1c", source=tmp_path / "scenes", **data)
    command = [sys.executable, SCRIPT, "--tasks", "1c", "--variants", "two_paths"]
    command += ["--set", "duration=1", "--set", "crop_frames=20", "--set", "batch_size=8"]
    command += ["--set", "num_filters=1", "--set", "epochs=1", "--data-dir", tmp_path / "data"]
    command += ["--runs", tmp_path / "runs", "--to", tmp_path / "results"]
    found = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    results = tmp_path / "results"
    (row,) = two_path_tables.KIND.read("tau_urban_2019", results)
    assert (row["variant"], row["dataset"]) == ("two_paths", "tau_urban_2019/1c")
    recalls = float(row["known_recall"]), float(row["unknown_recall"])
    assert float(row["score"]) == pytest.approx(sum(recalls) / 2, abs=1e-4)
    assert float(row["unknown_weight"]) == 5 and row["kept"] == "last"
    assert 0 <= float(row["known_accuracy"]) <= 1 and int(row["parameters"]) > 1000
    text = (results / "two_path_tau_urban_2019.md").read_text("utf-8")
    assert "## Table 4: task 1c" in text and "**" in lines_of(text, "Table 1")[-1][-1]
    (figure,) = results.glob("*.svg")
    assert f"]({figure.name})" in text
