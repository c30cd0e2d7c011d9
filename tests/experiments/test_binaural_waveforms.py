"""The experiment on binaural waveforms: its cells and commands, its page, and a real run."""

import csv
import dataclasses
import doctest
import os
import pathlib
import shlex
import subprocess
import sys
import xml.etree.ElementTree

import binaural_waveforms_cells
import binaural_waveforms_plot
import binaural_waveforms_tables
import cells
import pytest
from binaural_waveforms_cells import (
    COLUMNS,
    build_cell,
    build_recipe,
    compress_command,
    compression_of_row,
    read_runs,
)

import data_prep
from data_prep.toy_scenes import write_toy_scenes
from keras_audio.cli_parser import build_parser
from keras_audio.evaluation.compression import Stage, write_stages
from keras_audio.files import read_json, write_json, write_text
from keras_audio.recipes import BinauralWaveforms, with_settings
from keras_audio.training.trainer import file_digest

SCRIPT = pathlib.Path(__file__).parents[2] / "experiments" / "binaural_waveforms.py"
TAU = "tau_urban_2020_3class"
TOYS = "toy_scenes/3class"


@pytest.fixture(scope="module")
def experiment(load_experiment):
    return load_experiment("binaural_waveforms")


def all_cells(experiment, *arguments):
    return list(experiment.grid(experiment.parse(arguments)))


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
        assert compression_of_row({"compress_command": shlex.join(command)}) == cell.compression
        assert "--rate=" in command[3] and "--until=" in command[4]


# Folders of runs as training, `evaluate` and `compress` leave them, but for the weights. ---------

ENVIRONMENT = {
    "processor": "abacus",
    "cores": 2,
    "memory_gib": 8,
    "devices": ["CPU"],
    "packages": {"tensorflow": "2", "keras": "3"},
    "backend": "tensorflow",
    "commit": "abc",
}


def stage(name, accuracy, kilobytes, kept=True, **values):
    """A stage whose numbers follow from what its non-zero weights take."""
    non_zero = int(kilobytes * 512)
    usual = {
        "loss": 2 * (1 - accuracy),
        "total": 30_080,
        "non_zero": non_zero,
        "kilobytes": kilobytes,
        "stored": 30_700,
        "stored_kilobytes": 119.9,
        "macs": 45_000_000,
        "file": "keras",
        "file_bytes": 160 * 1024,
        "latency_ms": 8.0 if kept else None,
    }
    return Stage(name, kept, accuracy, **usual | values)


def stages(accuracy, rounds=2, smaller=1.0):
    """A network of 58 KB, a tenth less a round, of which the last is not good enough."""
    sizes = [58.0 * smaller * 0.9**number for number in range(rounds + 1)]
    found = [stage("whole", accuracy, sizes[0], kept=rounds == 0, latency_ms=8.0)]
    for number in range(1, rounds + 1):
        kept = number == max(rounds - 1, 1)
        found.append(stage(f"round {number}", accuracy - 0.01 * number, sizes[number], kept))
    kept = next(one for one in found if one.kept)
    small = {"stored": 24_000, "total": kept.non_zero + 300}
    found += [
        stage("shrunk", kept.accuracy, kept.kilobytes, **small, stored_kilobytes=93.8),
        stage("half", kept.accuracy - 0.0025, kept.kilobytes, **small, stored_kilobytes=46.9,
              file="fp16 npz", file_bytes=51_200),
        stage("litert", kept.accuracy, kept.kilobytes, **small, stored_kilobytes=46.9,
              file="fp16 LiteRT", file_bytes=56_320, latency_ms=3.25),
    ]  # fmt: skip
    return found


def write_run(runs, network, dataset, found, fold=1, seed=0, settings=(), **asked):
    """The folder of a run and its compression with stages that were measured."""
    recipe = build_recipe(network, dataset, [f"fold={fold}", f"seed={seed}", *settings])
    cell = build_cell(recipe, runs, asked)
    path, compressed = cell.path, cell.compressed
    for folder in (path, compressed):
        write_json(folder / "environment.json", ENVIRONMENT | {"commit": folder.name[:10]})
        write_json(folder / "recipe.json", recipe.to_dict())
        write_text(folder / "labels.txt", "bus\npark\nmetro")
        write_text(folder / "model.keras", f"weights {fold} {seed}")
    write_json(path / "done.json", {"epochs": 40, "best_epoch": 25, "seconds": 600})
    write_json(path / "metrics.json", {"accuracy": 0.5, "mean_average_precision": 0.95})
    rounds = [one for one in found if one.stage.split()[0] in ("whole", "round")]
    lines = ["round,total,non_zero,kilobytes,score,loss,epochs,seconds"]
    lines += [
        f"{number},30080,{one.non_zero},{one.kilobytes},0.75,0.5,{9 if number else 40},"
        f"{90.0 if number else 600.0}"
        for number, one in enumerate(rounds)
    ]
    write_text(compressed / "rounds.csv", "\n".join(lines) + "\n")
    kept = next(number for number, one in enumerate(rounds) if one.kept)
    stored = dataclasses.asdict(cell.compression) | {"kept": kept, "reason": "the score fell"}
    stored |= {"source": "..", "model": file_digest(path / "model.keras")}
    write_json(compressed / "compression.json", stored)
    write_stages(compressed / "stages.csv", found)
    return cell


@pytest.fixture
def no_weights(monkeypatch):
    """Counting the parameters of a network needs more of a model.keras than there is."""

    def count(path):
        return 24_100 if path.parent.name.startswith("compressed") else 30_272

    monkeypatch.setattr(binaural_waveforms_cells, "parameters", count)


def rows_of(runs, dataset):
    return list(read_runs(runs / "binaural_waveforms", dataset))


def lines_of(text, heading):
    """The first table of the section that begins with `heading`: its header and its lines."""
    section = text.partition(f"## {heading}")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    header, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return [dict(zip(header, line, strict=True)) for line in lines]


def test_a_row_a_stage(tmp_path, no_weights):
    write_run(tmp_path, "b", "esc10", stages(0.8), fold=2, settings=["batch_size=16"])
    rows = rows_of(tmp_path, "esc10")
    assert [row["stage"] for row in rows] == [
        *("whole", "round 1", "round 2", "shrunk", "half", "litert"),
    ]
    assert set().union(*rows) == set(COLUMNS)
    whole, first, second, shrunk, half, litert = rows
    # The stage's own accuracy, not that of metrics.json.
    assert (whole["accuracy"], whole["loss"], whole["kept"]) == ("0.8000", "0.4000", False)
    assert whole["mean_average_precision"] == "0.9500" and "mean_average_precision" not in half
    assert (whole["epochs"], whole["seconds"]) == (40, 600)
    assert (first["epochs"], first["seconds"], first["validation_accuracy"]) == (9, 90, "0.7500")
    assert [row["kept"] for row in (first, second, shrunk)] == [True, False, True]
    assert [row["parameters"] for row in (second, shrunk)] == [30_272, 24_100]
    assert (second["latency_ms"], litert["latency_ms"]) == ("", "3.25")
    # What was trained and what was compressed may be of two machines.
    assert whole["commit"] != half["commit"] == "compressed"
    assert whole["command"].startswith("keras-audio train binaural_waveforms --set=dataset=esc10")
    assert whole["compress_command"] == (
        "keras-audio compress runs/binaural_waveforms/esc10-fold2-seed0 --rate=0.1 "
        "--until=drop=0.01"
    )


def test_a_compression_from_before_a_setting_was_has_its_default(tmp_path, no_weights):
    cell = write_run(tmp_path, "b", "esc10", stages(0.8), until="size=9KB")
    file = cell.compressed / "compression.json"
    stored = {name: value for name, value in read_json(file).items() if name != "scales"}
    write_json(file, stored)
    written = (cell.compressed / "stages.csv").stat().st_mtime
    os.utime(file, (written, written))
    (row, *_) = rows_of(tmp_path, "esc10")
    assert compression_of_row(row) == cell.compression
    assert row["compress_command"].endswith(" --rate=0.1 --until=size=9KB")


def test_table_1_has_the_reports_numbers_and_ours(tmp_path, no_weights):
    write_run(tmp_path, "b", TAU, stages(0.91))
    write_run(tmp_path, "b", TAU, stages(0.89, smaller=0.9), seed=1)
    text = binaural_waveforms_tables.markdown(rows_of(tmp_path, TAU), TAU)
    lines = lines_of(text, "Table 1")
    assert [(line["Model"], line["of"]) for line in lines] == [
        *(("A", "the report"), ("B", "the report"), ("B", "ours (2 runs)")),
        *(("C", "the report"), ("D", "the report")),
    ]
    report = [list(line.values())[:7] for line in lines if line["of"] == "the report"]
    # By hand from the report.
    assert report == [
        ["A", "the report", "87.6", "0.360", "13,632", "12,160", "23.8"],
        ["B", "the report", "90.9", "0.288", "30,080", "29,888", "58.4"],
        ["C", "the report", "87.6", "0.379", "398,400", "130,730", "255.3"],
        ["D", "the report", "91.2", "0.269", "373,696", "238,896", "466.6"],
    ]
    # Round 1 is kept, one point below the whole; half precision takes another quarter of a point.
    # Sizes: 58 * 0.9 = 52.2 and 46.98 KB, 26,726 and 24,053 weights of 2 bytes.
    assert lines[2] == {
        "Model": "B",
        "of": "ours (2 runs)",
        "Accuracy": "**88.8 ± 1.4 (seeds)**",
        "Loss": "0.225 ± 0.028 (seeds)",
        "Total params": "30,080",
        "Non-zero params": "25,390 ± 1,890 (seeds)",
        "Size (KB)": "49.6 ± 3.7 (seeds)",
        "Shrunk, all stored (KB)": "46.9",
        "16-bit .npz (KB)": "50.0",
        "LiteRT, 16 bits (KB)": "55.0",
        "ms a clip": "3.2",
    }
    assert "The report's numbers and ours are of the test clips" in text
    assert "Waveforms at 18 kHz, stereo." in text


def test_every_stage_has_its_sizes_three_ways(tmp_path, no_weights):
    for fold in (1, 2, 3):
        write_run(tmp_path, "b", "esc10", stages(0.7 + fold / 20), fold=fold)
    text = binaural_waveforms_tables.markdown(rows_of(tmp_path, "esc10"), "esc10")
    lines = lines_of(text, "Every stage")
    assert [line["stage"] for line in lines] == [
        *("whole", "pruned", "shrunk", "half precision", "LiteRT"),
    ]
    assert [line["accuracy"] for line in lines] == [
        *("80.0 ± 5.0", "79.0 ± 5.0", "79.0 ± 5.0", "78.8 ± 5.0", "79.0 ± 5.0"),
    ]
    columns = ("not zero", "KB", "stored", "stored KB", "file", "KB on disk", "ms a clip")
    assert [lines[0][name] for name in columns] == [
        *("29,696", "58.0", "30,700", "119.9", "keras", "160.0", "8.0"),
    ]
    assert [lines[1][name] for name in columns] == [
        *("26,726", "52.2", "30,700", "119.9", "keras", "160.0", "8.0"),
    ]
    assert [lines[4][name] for name in columns] == [
        *("26,726", "52.2", "24,000", "46.9", "fp16 LiteRT", "55.0", "3.2"),
    ]
    assert {line["MMACs"] for line in lines} == {"45.0"}
    runs = lines_of(text, "Runs")
    assert [line["fold"] for line in runs] == ["1", "2", "3"]
    assert runs[0] == {
        **{"Model": "B", "fold": "1", "seed": "0", "epochs": "40", "minutes": "10"},
        **{"rounds": "2", "minutes of them": "3", "kept": "round 1", "whole %": "75.00"},
        **{"pruned %": "74.00", "shrunk %": "74.00", "half precision %": "73.75"},
        **{"LiteRT %": "74.00", "why pruning ended": "the score fell"},
    }
    assert "The report has no numbers for esc10: those in Table 1 are of tau_urban_2020" in text
    assert "Waveforms at 18 kHz, mono." in text and "abacus" in text
    assert "![Accuracy against bytes](binaural_waveforms_esc10.svg)" in text
    of = [(line["Model"], line["of"]) for line in lines_of(text, "Table 1")]
    assert of[1:3] == [("B", f"the report, {TAU}"), ("B", "ours (3 runs)")]


def test_where_nothing_could_be_pruned_or_run_the_page_says_so(tmp_path, no_weights):
    # Whole, and no LiteRT file.
    write_run(tmp_path, "a", TOYS, stages(0.9, rounds=0)[:-1])
    text = binaural_waveforms_tables.markdown(rows_of(tmp_path, TOYS), TOYS)
    lines = lines_of(text, "Every stage")
    assert [line["stage"] for line in lines] == ["whole", "pruned", "shrunk", "half precision"]
    assert lines[1]["not zero"] == lines[0]["not zero"] == "29,696"
    (run,) = lines_of(text, "Runs")
    assert (run["kept"], run["rounds"]) == ("whole", "0") and "LiteRT %" not in run
    ours = lines_of(text, "Table 1")[1]
    assert ours["16-bit .npz (KB)"] == "50.0" and "LiteRT, 16 bits (KB)" not in ours


def test_several_settings_stand_apart(tmp_path, no_weights):
    write_run(tmp_path, "b", "esc10", stages(0.8))
    write_run(tmp_path, "b", "esc10", stages(0.7), settings=["batch_size=16"])
    write_run(tmp_path, "b", "esc10", stages(0.6), settings=["batch_size=16"], until="size=9KB")
    rows = rows_of(tmp_path, "esc10")
    text = binaural_waveforms_tables.markdown(rows, "esc10")
    ours = [line for line in lines_of(text, "Table 1") if line["of"] == "ours (1 run)"]
    settings = [(line["trained with"], line["compressed with"], line["Accuracy"]) for line in ours]
    assert settings == [
        ("-", "-", "**78.8**"),
        ("`batch_size=16`", "-", "**68.8**"),
        ("`batch_size=16`", "`until=size=9KB`", "**58.8**"),
    ]
    assert "All are" not in text
    for header in (lines_of(text, "Every stage")[0], lines_of(text, "Runs")[0]):
        assert "trained with" in header and "compressed with" in header
    svg = binaural_waveforms_tables.figure(rows, "esc10")
    assert ">B, batch_size=16, until=size=9KB<" in svg and "of 3 networks" in svg


def test_the_commands_make_the_rows(experiment, tmp_path, no_weights):
    arguments = [
        *(["--dataset", "esc10", "--networks", "a,b", "--folds", "1-3", "--set", "batch_size=16"],),
        *(["--dataset", "esc10", "--networks", "c", "--folds", "5", "--seeds", "0,2"],),
        ["--dataset", "esc10", "--networks", "b", "--folds", "1", "--set", "batch_size=16"]
        + ["--until", "size=9KB", "--classifier", "--no-deterministic", "--max-rounds", "3"],
    ]
    found = []
    for asked in arguments:
        options = experiment.parse(asked)
        for cell in experiment.grid(options):
            recipe = cell.recipe
            fields = experiment.compression_asked(options)
            write_run(
                *(tmp_path, recipe.network, "esc10", stages(0.8), recipe.fold, recipe.seed),
                [f"batch_size={recipe.batch_size}"],
                **fields,
            )
            found.append((cell.path, cell.compressed))
    prepare, *scripts = binaural_waveforms_tables.commands(rows_of(tmp_path, "esc10"), "esc10")
    assert prepare == (
        "keras-audio prepare esc10 --source ESC-10-master --sample-rate 18000 --resampling fourier"
    )
    assert len(scripts) == 3
    made = []
    for line in scripts:
        python, script, *asked = shlex.split(line)
        assert (python, script) == ("python", "experiments/binaural_waveforms.py")
        made += [(cell.path, cell.compressed) for cell in all_cells(experiment, *asked)]
    assert sorted(made) == sorted(found)


def test_the_readmes_table_has_the_network_whole_and_as_a_file(
    load_experiment, tmp_path, no_weights
):
    for fold in (1, 2):
        asked = {"until": "size=50KB"}
        write_run(tmp_path, "b", "esc10", stages(0.7 + fold / 10), fold=fold, **asked)
    rows = rows_of(tmp_path, "esc10")
    cells.write_tables(rows, COLUMNS, "", tmp_path / "binaural_waveforms_esc10")
    header, _, whole, small = load_experiment("readme_results").table(tmp_path).splitlines()
    assert header.endswith("| mAP % | parameters |")
    assert whole == (
        "| `binaural_b` | waveform | ESC-10 | 1, 2 | 85.0 ± 7.1 | - | 95.0 ± 0.0 | 30,272 |"
    )
    assert small == (
        "| `binaural_b` | waveform, pruned (until=size=50KB), 16-bit LiteRT | ESC-10 | 1, 2 | "
        "84.0 ± 7.1 | - | - | 24,100 |"
    )


def test_settings_that_all_share_are_said_once(tmp_path, no_weights):
    for network in "ab":
        settings, asked = ["epochs=9", "batch_size=16"], {"until": "size=9KB", "epochs": 3}
        write_run(tmp_path, network, "esc10", stages(0.8), settings=settings, **asked)
    text = binaural_waveforms_tables.markdown(rows_of(tmp_path, "esc10"), "esc10")
    assert (
        "All are trained with `batch_size=16` `epochs=9`, and compressed with `until=size=9KB` "
        "`epochs=3`; what is not said is" in text
    )
    for heading in ("Table 1", "Every stage", "Runs"):
        assert not {"trained with", "compressed with"} & set(lines_of(text, heading)[0])


def test_what_some_share_is_said_once_and_the_rest_in_their_lines(tmp_path, no_weights):
    asked = {"until": "size=40KB", "learning_rate": 1e-4}
    write_run(tmp_path, "b", "esc10", stages(0.8), settings=["batch_size=16"], **asked)
    asked["scales"] = False
    write_run(tmp_path, "b", "esc10", stages(0.7), settings=["batch_size=16"], **asked)
    rows = rows_of(tmp_path, "esc10")
    text = binaural_waveforms_tables.markdown(rows, "esc10")
    assert (
        "All are trained with `batch_size=16`, and compressed with `until=size=40KB` "
        "`learning_rate=0.0001`; what is not said is" in text
    )
    for heading, count in (("Table 1", 2), ("Every stage", 10), ("Runs", 2)):
        lines = [line for line in lines_of(text, heading) if "report" not in line.get("of", "")]
        assert [line["compressed with"] for line in lines] == [
            *["-"] * (count // 2),
            *["`scales=False`"] * (count // 2),
        ]
        assert "trained with" not in lines[0]
    svg = binaural_waveforms_tables.figure(rows, "esc10")
    assert ">B<" in svg and ">B, scales=False<" in svg
    commands = text.partition("```bash")[2].splitlines()
    assert ["--no-scales" in line for line in commands if "experiments" in line] == [False, True]


def test_the_page_says_why_of_the_settings_that_were_used(tmp_path, no_weights):
    write_run(tmp_path, "b", "esc10", stages(0.8), settings=["batch_size=16"], until="size=40KB")
    write_run(tmp_path, "b", TOYS, stages(0.8), settings=["batch_size=16"])
    text = binaural_waveforms_tables.markdown(rows_of(tmp_path, "esc10"), "esc10")
    assert "15 batches of 16" in text and "less than one clip of the 80" in text
    assert "1e-4" not in text and "scales=False" not in text
    assert "batches of 16" not in binaural_waveforms_tables.markdown(rows_of(tmp_path, TOYS), TOYS)


# The figure. ----------------------------------------------------------------------------------


def test_the_figure_has_the_rounds_the_files_and_the_reports_points(tmp_path, no_weights):
    for seed in (0, 1):
        write_run(tmp_path, "b", TAU, stages(0.9 - seed / 20, rounds=3 - seed), seed=seed)
    write_run(tmp_path, "d", TAU, stages(0.9, smaller=12))
    svg = binaural_waveforms_tables.figure(rows_of(tmp_path, TAU), TAU)
    xml.etree.ElementTree.fromstring(svg)
    assert ">B<" in svg and ">D<" in svg and "limit, 500 KB" in svg
    assert "the same in the report" in svg and "file: 16-bit LiteRT" in svg
    # Colours by network follow the page; networks that were not run have none.
    assert "var(--b, #b3400d)" in svg and "var(--d," in svg and "var(--c," not in svg
    assert "prefers-color-scheme:dark" in svg and "from 90.0 % at 696.0 KB" in svg
    write_run(tmp_path, "b", "esc10", stages(0.9))
    other = binaural_waveforms_tables.figure(rows_of(tmp_path, "esc10"), "esc10")
    assert "the same in the report" not in other


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
    with open(results / "binaural_waveforms_esc10.csv", newline="") as file:
        assert {row["fold"] for row in csv.DictReader(file)} == {"1"}
    said = capsys.readouterr().err
    for cell in (trained, begun):
        assert f"left out until its stages are measured: {cell.compressed}" in said
    assert f"left out until it is compressed: {bare.path}" in said
    assert str(whole.path) not in said
    assert (results / "binaural_waveforms_esc10.svg").read_text().startswith("<svg")


def test_a_compression_is_done_once_and_again_for_another_network(
    experiment, tmp_path, monkeypatch
):
    commands = []
    monkeypatch.setattr(cells, "run_cell", lambda cell, options: True)
    monkeypatch.setattr(cells, "keras_audio", lambda *command: commands.append(command) or True)
    arguments = ["--dataset", "esc10", "--networks", "b", "--folds", "1", "--data-dir", "there"]
    options = experiment.parse([*arguments, "--runs", str(tmp_path)])
    (cell,) = experiment.grid(options)

    def run():
        commands.clear()
        assert binaural_waveforms_cells.run_cell(cell, options)
        return commands

    usual = ["compress", str(cell.path), "--rate=0.1", "--until=drop=0.01"]
    usual += ["--to", cell.compressed]
    (command,) = run()
    assert list(command) == [*usual, "--resume", "--data-dir", "there"]
    write_run(tmp_path, "b", "esc10", stages(0.8))
    assert run() == []
    # Stages older than the end of the compression.
    write_json(
        cell.compressed / "compression.json", read_json(cell.compressed / "compression.json")
    )
    later = (cell.compressed / "compression.json").stat().st_mtime + 5
    os.utime(cell.compressed / "compression.json", (later, later))
    (command,) = run()
    assert "--resume" in command
    write_text(cell.path / "model.keras", "weights of another training")
    (command,) = run()
    assert "--force" in command and "--resume" not in command


def test_a_data_set_without_records_has_the_reports_numbers(
    experiment, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(cells, "run_cell", lambda *_: pytest.fail("there is nothing to train on"))
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
    with open(results / "binaural_waveforms_toy_scenes_3class.csv", newline="") as file:
        rows = {row["stage"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["whole", "round 1", "round 2", "shrunk", "half", "litert"]
    (metrics,) = (tmp_path / "runs").rglob("metrics.json")
    accuracy = read_json(metrics)["accuracy"]
    assert float(rows["whole"]["accuracy"]) == pytest.approx(accuracy, abs=1e-4)
    # Three classes of stereo sound: the counts of the report's Table 1.
    assert [rows[name]["total"] for name in ("whole", "round 1")] == ["13632", "13632"]
    assert [rows[name]["non_zero"] for name in ("whole", "round 1")] == ["13504", "12160"]
    kept = next(row for row in rows.values() if row["stage"] != "whole" and row["kept"] == "True")
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
