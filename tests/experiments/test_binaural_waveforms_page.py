"""The page of the experiment on binaural waveforms: rows, tables, commands, figure."""

import os
import shlex
import xml.etree.ElementTree

import binaural_waveforms_tables
import pytest
import result_files
from binaural_waveforms_cells import COLUMNS, compression_of_row
from compressed_runs import TAU, TOYS, all_cells, lines_of, rows_of, stages, write_run
from methods import methods_table, read_methods

from keras_audio.files import read_json, write_json


@pytest.fixture(scope="module")
def experiment(load_experiment):
    return load_experiment("binaural_waveforms")


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
    assert whole["command"].endswith(
        " && keras-audio compress runs/binaural_waveforms/esc10-fold2-seed0 --rate=0.1 "
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
    assert row["command"].endswith(" --rate=0.1 --until=size=9KB")


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


def test_the_readmes_table_has_the_network_whole_and_as_a_file(tmp_path, no_weights):
    for fold in (1, 2):
        asked = {"until": "size=50KB"}
        write_run(tmp_path, "b", "esc10", stages(0.7 + fold / 10), fold=fold, **asked)
    rows = rows_of(tmp_path, "esc10")
    result_files.update(binaural_waveforms_tables.KIND, "esc10", rows, tmp_path)
    header, _, whole, small = methods_table(read_methods(tmp_path))
    assert header.endswith("| mAP % | trainable parameters |")
    assert whole == (
        "| `binaural_b` | waveform | ESC-10 | 1,2 | another fold | 85.00 ± 7.07 | "
        "21.5 to 100.0 | - | 95.00 ± 0.00 "
        "| 30,272 |"
    )
    assert small == (
        "| `binaural_b` | waveform, pruned, until=size=50KB, 16-bit LiteRT | ESC-10 | 1,2 | "
        "another fold | 84.00 ± 7.07 | 20.5 to 100.0 | - | - | 24,100 |"
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
