"""The experiment on binaural waveforms: its cells and commands, and a real run."""

import dataclasses
import doctest
import os
import pathlib
import shlex
import shutil
import subprocess
import sys

import binaural_waveforms_cells
import binaural_waveforms_plot
import binaural_waveforms_tables
import cells
import grid
import pytest
from binaural_waveforms_cells import (
    compress_command,
    compression_of_row,
)
from compressed_runs import TAU, TOYS, all_cells, lines_of, stages, write_run

import data_prep
from data_prep.toy_scenes import write_toy_scenes
from keras_audio.cli_parser import build_parser
from keras_audio.files import read_json, write_json, write_text
from keras_audio.recipes import BinauralWaveforms, with_settings

SCRIPT = pathlib.Path(__file__).parents[2] / "experiments" / "binaural_waveforms.py"


@pytest.fixture(scope="module")
def experiment(load_experiment):
    return load_experiment("binaural_waveforms")


# The cells. -----------------------------------------------------------------------------------


def test_the_cells_are_the_networks_of_table_1_with_the_rules_of_section_4(experiment):
    found = all_cells(experiment)
    assert [cell.recipe.network for cell in found] == ["a", "b", "c", "d"]
    assert str(found[1].path) == f"runs/binaural_waveforms/b/{TAU}-fold1-seed0"
    for cell in found:
        usual = BinauralWaveforms.for_dataset(TAU)
        assert cell.recipe == dataclasses.replace(usual, network=cell.recipe.network)
        assert cell.compressed == cell.path / "compressed"
    rules = [(cell.compression.rate, cell.compression.until) for cell in found]
    assert rules == [
        (0.1, "accuracy=0.873"),
        (0.1, "drop=0.01"),
        (0.2, "accuracy=0.873"),
        (0.2, "size=500KB"),
    ]
    toys = all_cells(experiment, "--dataset", TOYS)
    assert [cell.compression for cell in toys] == [cell.compression for cell in found]
    for cell in all_cells(experiment, "--dataset", "esc10", "--folds", "1"):
        assert cell.compression.until == "drop=0.01"


@pytest.mark.parametrize(("dataset", "folds"), [("esc10", 5), (TAU, 1), (TOYS, 1), ("mine", 1)])
def test_data_sets_have_their_own_folds(experiment, dataset, folds):
    found = all_cells(experiment, "--dataset", dataset, "--networks", "b")
    assert [cell.recipe.fold for cell in found] == list(range(1, folds + 1))
    assert {cell.recipe.channels for cell in found} == {2 if dataset in (TAU, TOYS) else 1}


def test_settings_have_folders_of_their_own(experiment):
    arguments = ["--dataset", "esc10", "--folds", "3", "--networks", "b", "--seeds", "1"]
    (cell,) = all_cells(experiment, *arguments, "--set", "batch_size=16")
    folder = "runs/binaural_waveforms/b-batch_size=16/esc10-fold3-seed1"
    assert (str(cell.path), cell.compressed.name) == (folder, "compressed")
    # What is said and usual changes nothing.
    (same,) = all_cells(
        experiment, *arguments, "--set", "batch_size=16", "--set", "network=b", "--rate", "0.1"
    )
    assert same == cell
    asked = ["--until", "size=40KB", "--classifier", "--epochs", "7"]
    (other,) = all_cells(experiment, *arguments, "--set", "batch_size=16", *asked)
    assert (other.path, other.recipe) == (cell.path, cell.recipe)
    assert other.compressed.name == "compressed-until=size=40KB-classifier=True-epochs=7"
    # What --set makes one network of two is run once.
    both = ["--dataset", "esc10", "--folds", "1", "--networks", "a,b", "--set", "network=c"]
    assert len(all_cells(experiment, *both)) == 1


@pytest.mark.parametrize(
    "arguments",
    ["--networks e", "--folds 0", "--seeds x", "--until half", "--rate 1.5", "--max-rounds 0"],
)
def test_wrong_options_are_refused(experiment, arguments, capsys):
    with pytest.raises(SystemExit):
        experiment.parse(arguments.split())
    said = capsys.readouterr().err
    assert arguments.split()[0].strip("-").replace("-", "_") in said.replace("-", "_")


@pytest.mark.parametrize("dataset", [TAU, TOYS, "esc10", "mine"])
def test_the_commands_train_and_compress_the_cell(experiment, dataset):
    arguments = ["--dataset", dataset, "--folds", "1", "--set", "early_stopping_patience=none"]
    arguments += ["--classifier", "--no-deterministic", "--learning-rate", "1e-4"]
    for cell in all_cells(experiment, *arguments):
        options = build_parser().parse_args(cells.train_command(cell.recipe))
        assert with_settings(BinauralWaveforms(), options.set) == cell.recipe
        command = ["keras-audio", *compress_command("RUN", cell.compression)]
        assert (
            compression_of_row({"command": f"train && {shlex.join(command)}"}) == cell.compression
        )
        assert "--rate=" in command[3] and "--until=" in command[4]


# The script. ------------------------------------------------------------------------------------


def call(experiment, monkeypatch, tmp_path, *arguments):
    command = ["binaural_waveforms.py", "--data-dir", str(tmp_path / "data"), *arguments]
    command += ["--runs", str(tmp_path / "runs"), "--to", str(tmp_path / "results")]
    monkeypatch.setattr(sys, "argv", command)
    return experiment.main()


def test_what_is_not_measured_is_left_out(experiment, tmp_path, monkeypatch, capsys, no_weights):
    runs = tmp_path / "runs"
    whole = write_run(runs, "b", "esc10", stages(0.8))
    trained = write_run(runs, "b", "esc10", stages(0.8), fold=2)
    (trained.path / "model.keras").write_text("weights of another training")
    begun = write_run(runs, "b", "esc10", stages(0.8), fold=3)
    (begun.compressed / "stages.csv").unlink()
    bare = write_run(runs, "b", "esc10", stages(0.8), fold=4)
    (bare.compressed / "compression.json").unlink()
    arguments = ["--dataset", "esc10", "--networks", "b", "--tables-only"]
    assert call(experiment, monkeypatch, tmp_path, *arguments) == 0
    results = tmp_path / "results"
    rows = binaural_waveforms_tables.KIND.read("esc10", results)
    assert {row["fold"] for row in rows} == {"1"}
    said = capsys.readouterr().err
    for cell in (trained, begun):
        assert f"left out until its stages are measured: {cell.compressed}" in said
    assert f"left out until it is compressed: {bare.path}" in said
    assert str(whole.path) not in said
    assert (results / "binaural_waveforms_esc10.svg").read_text().startswith("<svg")


def test_a_compression_is_done_once_and_again_for_another_network(experiment, tmp_path):
    arguments = ["--dataset", "esc10", "--networks", "b", "--folds", "1", "--data-dir", "there"]
    options = experiment.parse([*arguments, "--runs", str(tmp_path)])
    (cell,) = experiment.grid(options)

    def missing():
        return list(cell.commands(options.data_dir))

    write_run(tmp_path, "b", "esc10", stages(0.8))
    assert missing() == []
    shutil.rmtree(cell.compressed)
    usual = ["compress", str(cell.path), "--rate=0.1", "--until=drop=0.01"]
    usual += ["--to", str(cell.compressed)]
    assert missing() == [[*usual, "--resume", "--data-dir", "there"]]
    write_run(tmp_path, "b", "esc10", stages(0.8))
    # Stages older than the end of the compression.
    write_json(
        cell.compressed / "compression.json", read_json(cell.compressed / "compression.json")
    )
    later = (cell.compressed / "compression.json").stat().st_mtime + 5
    os.utime(cell.compressed / "compression.json", (later, later))
    (command,) = missing()
    assert "--resume" in command
    write_text(cell.path / "model.keras", "weights of another training")
    (command,) = missing()
    assert "--force" in command and "--resume" not in command
    # A smoke test writes elsewhere, by a rule that a few steps meet.
    train, compress = cell.commands("there", smoke=True)
    assert train[-4:] == ["--run", str(cell.path.with_name("smoke")), "--smoke", "--force"]
    assert compress[1] == train[-3] and "--until=drop=0.99" in compress and "--force" in compress


def test_a_data_set_without_records_has_the_reports_numbers(
    experiment, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(grid, "Process", lambda *_: pytest.fail("there is nothing to train on"))
    assert call(experiment, monkeypatch, tmp_path) == 0
    results = tmp_path / "results"
    text = (results / f"binaural_waveforms_{TAU}.md").read_text("utf-8")
    assert f"Not run: {TAU} is not prepared in {tmp_path / 'data'}/" in text
    assert (
        f"`keras-audio prepare {TAU} --source TAU-urban-acoustic-scenes-2020-3class-development "
        "--sample-rate 18000 --channels 2 --resampling fourier`" in text
    )
    header = ["Model", "of", "Accuracy", "Loss", "Total params", "Non-zero params", "Size (KB)"]
    (*_, last) = lines_of(text, "Table 1")
    assert list(last) == header and list(last.values())[2:] == [
        *("91.2", "0.269", "373,696", "238,896", "466.6"),
    ]
    assert "none of ours yet" in text and "## Commands" not in text
    assert not list(results.glob("*.svg")) and "not run: tau" in capsys.readouterr().out


def test_the_examples():
    for module in (binaural_waveforms_cells, binaural_waveforms_plot):
        assert doctest.testmod(module).failed == 0 < doctest.testmod(module).attempted


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A data folder with toy scenes of one second."""
    folder = tmp_path_factory.mktemp("scenes")
    source = write_toy_scenes(folder / "source", "3class", segments=1, seconds=1.0)
    prepare = {"source": source, "data_dir": folder / "data", "progress": False}
    data_prep.prepare(TOYS, sample_rate=18000, channels=2, resampling="fourier", **prepare)
    return folder / "data"


def script(scenes, tmp_path, *arguments):
    command = [sys.executable, SCRIPT, "--dataset", TOYS, "--networks", "a", "--data-dir", scenes]
    command += ["--set", "duration=1", "--set", "batch_size=8", "--runs", tmp_path / "runs"]
    command += ["--to", tmp_path / "results", *arguments]
    found = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.mark.slow
def test_a_smoke_run_goes_all_the_way(scenes, tmp_path):
    said = script(scenes, tmp_path, "--smoke")
    assert "smoke test: 1 of 1 passed" in said and not (tmp_path / "results").exists()
    (run,) = (tmp_path / "runs").rglob("smoke")
    assert (run / "metrics.json").is_file()
    assert (run / "compressed" / "litert" / "model.tflite").is_file()


@pytest.mark.slow
def test_a_real_run_from_records_to_the_page(scenes, tmp_path):
    asked = ["--set", "epochs=1", "--until", "drop=0.9", "--epochs", "1", "--max-rounds", "2"]
    script(scenes, tmp_path, *asked)
    results = tmp_path / "results"
    rows = binaural_waveforms_tables.KIND.read(TOYS, results)
    rows = {row["stage"]: row for row in rows}
    assert list(rows) == ["whole", "round 1", "round 2", "shrunk", "half", "litert"]
    (metrics,) = (tmp_path / "runs").rglob("metrics.json")
    accuracy = read_json(metrics)["accuracy"]
    assert float(rows["whole"]["accuracy"]) == pytest.approx(accuracy, abs=1e-4)
    # Three classes of stereo sound: the counts of the report's Table 1.
    assert [rows[name]["total"] for name in ("whole", "round 1")] == ["13632", "13632"]
    assert [rows[name]["non_zero"] for name in ("whole", "round 1")] == ["13504", "12160"]
    kept = next(row for row in rows.values() if row["stage"] != "whole" and row["kept"] == "1")
    assert kept["stage"] == "round 2"
    # What is alive but feeds nothing alive is gone too.
    for column in ("total", "non_zero", "stored", "parameters", "macs"):
        assert int(rows["half"][column]) == int(rows["shrunk"][column]) < int(kept[column])
    assert int(rows["litert"]["file_bytes"]) < 40 * 1024
    text = (results / "binaural_waveforms_toy_scenes_3class.md").read_text("utf-8")
    assert len(lines_of(text, "Every stage")) == 5
    assert (results / "binaural_waveforms_toy_scenes_3class.svg").is_file()
    # Nothing is done twice.
    (model,) = (tmp_path / "runs").rglob("compressed*/stages.csv")
    written = model.stat().st_mtime_ns
    script(scenes, tmp_path, *asked)
    assert model.stat().st_mtime_ns == written
