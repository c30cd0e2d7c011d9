"""The page of progressive resizing: tables by hand, paired comparisons, mixup, cost, box plots."""

import pathlib
import shlex
import subprocess
import sys
import xml.etree.ElementTree

import cells
import progressive_resizing_tables
import progressive_resizing_variants
import pytest
from progressive_resizing_variants import build_recipe
from result_files import parts

from keras_audio.files import write_json, write_text
from keras_audio.recipes import ProgressiveResizing
from keras_audio.training.run_folder import RunFolder

SCRIPT = pathlib.Path(__file__).parents[2] / "experiments" / "progressive_resizing.py"
PLANS = {"baseline": "128x300:30:0.005", "mel": "64x128:10:0.005,128x300:20:0.005/3"}


MEL_MACS = (3 * 10**9, 15 * 10**9)


def by_stage(metric, *values):
    return {f"{metric}:{number}": str(value) for number, value in enumerate(values, start=1)}


def run_row(method, fold, accuracy, labels="equal_epochs", mixup="none", **values):
    dataset = values.pop("dataset", "esc10")
    stages = values.pop("stages", PLANS.get(method, PLANS["mel"]))
    settings = [f"fold={fold}", *values.pop("settings", ["num_filters=8"])]
    recipe = build_recipe(method, dataset, mixup, stages, settings)
    return {
        "recipe": "progressive_resizing",
        "dataset": dataset,
        "fold": fold,
        "seed": 0,
        "method": method,
        "mixup": mixup,
        "labels": labels,
        "plan": ",".join(map(str, recipe.plan)),
        "accuracy": f"{accuracy:.4f}",
        "balanced_accuracy": "0.5",
        "mean_average_precision": "0.6",
        "last_epoch_accuracy": "0.4",
        "best_epoch": 20,
        "epochs": 30,
        "classes": 10,
        "parameters": 78_000,
        **by_stage("stage_macs", *([30 * 10**9] if method == "baseline" else MEL_MACS)),
        **by_stage("stage_seconds", *([100] if method == "baseline" else (20, 50))),
        "seconds": 100 if method == "baseline" else 70,
        "hardware": "abacus",
        "backend": "tensorflow",
        "versions": "Keras 3",
        "command": shlex.join(["keras-audio", *cells.train_command(recipe)]),
    } | values


def tables_of(text, heading):
    """Each table of the section that begins with `heading`, as lists of cells without the rule."""
    section = text.partition(f"## {heading}")[2].partition("\n## ")[0]
    tables, inside = [], False
    for line in section.splitlines():
        if line.startswith("|"):
            if not inside:
                tables.append([])
            tables[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        inside = line.startswith("|")
    return [[table[0], *table[2:]] for table in tables]


def page(rows, name="esc10", absent=""):
    return progressive_resizing_tables.markdown(rows, name, absent)


def test_accuracies_stand_beside_each_other_by_fold():
    rows = [
        run_row("mel", 1, 0.80),
        run_row("mel", 2, 0.90),
        run_row("baseline", 1, 0.75),
        run_row("baseline", 2, 0.80),
        run_row("baseline", 2, 0.60, seed=1),
    ]
    accuracies, paired, cost = tables_of(page(rows), "At equal epochs, `num_filters=8`")
    assert accuracies == [
        ["fold", "Baseline, ours", "Mel, ours"],
        ["1", "75.00", "80.00"],
        # The mean over the seeds.
        ["2", "70.00", "90.00"],
        ["Average", "**71.7 ± 3.5 (folds) ± 14.1 (seeds)** (3)", "**85.0 ± 7.1** (2)"],
    ]
    # Paired where both have fold and seed: 0.05 and 0.10.
    assert paired[1] == ["ours", "Mel", "Baseline", "2", "+7.50", "2 / 0 / 0", "0.5", "0.5"]
    costs = [dict(zip(cost[0], line, strict=True)) for line in cost[1:]]
    assert [line["seconds by stage"] for line in costs] == ["100", "20 + 50"]
    assert [line["by stage"] for line in costs] == ["30", "3 + 15"]
    assert [line["to the baseline's"] for line in costs] == ["1.00", "0.60"]
    assert [line["to the baseline's seconds"] for line in costs] == ["1.00", "0.70"]
    assert costs[1]["plan"] == f"`{PLANS['mel']}`" and costs[1]["epochs"] == "30"
    text = page(rows)
    assert "too few folds" in text and "The paper has no numbers for esc10." in text
    assert "abacus; Keras 3, backend tensorflow" in text
    assert "--plan baseline=128x300:30:0.005" in text and "--label equal_epochs" in text


def test_the_papers_numbers_stand_beside_ours():
    rows = [
        run_row("baseline", 5, 0.70, "", dataset="esc50", stages=None, settings=[]),
        run_row("combined", 5, 0.80, "", dataset="esc50", stages=None, settings=[]),
    ]
    accuracies, paired, _ = tables_of(page(rows, "esc50"), "Table 3: the paper's plans")
    assert accuracies[0] == [
        *("split", "fold", "Baseline, paper", "Baseline, ours", "Mel, paper"),
        *("Bilinear, paper", "Combined, ours"),
    ]
    # The splits of the paper in their order, the folds backwards.
    assert accuracies[1] == ["0", "5", "68.50", "70.00", "74.50", "71.74", "80.00"]
    assert accuracies[2] == ["1", "4", "81.25", "-", "83.50", "83.24", "-"]
    assert accuracies[-1][2:5] == ["72.40 ± 5.45", "**70.0** (1)", "76.80 ± 4.83"]
    # By hand: all five of the paper's differences between mel and baseline are positive.
    assert paired[1][:4] == ["the paper's", "Mel", "Baseline", "5"]
    assert paired[1][4:] == ["+4.40", "5 / 0 / 0", "0.0625", "0.0625"]
    assert [line[:4] for line in paired[2:]] == [
        ["the paper's", "Bilinear", "Baseline", "5"],
        ["the paper's", "Mel", "Bilinear", "5"],
        ["ours", "Combined", "Baseline", "1"],
    ]
    alone = page([], "urbansound8k", "not run: no sounds")
    assert "stands alone" in alone and "Not run: no sounds." in alone
    assert tables_of(alone, "Table 2: the paper's plans")[0][4][:3] == ["3", "7", "76.98"]
    assert "## Commands" not in alone and "29 of its 30" in alone


def test_a_run_is_in_the_sections_of_all_its_labels():
    rows = [
        run_row("baseline", 1, 0.7, "equal_epochs equal_wall_time"),
        run_row("mel", 1, 0.8, "equal_epochs"),
        run_row("mel", 1, 0.9, "equal_wall_time", stages="64x128:50:0.005,128x300:20:0.005/3"),
        run_row("mel", 1, 0.6, "", stages="64x128:5:0.005"),
        run_row("mel", 1, 0.5, "", stages="64x128:6:0.005"),
        run_row("mel", 1, 0.4, "my_try", stages="64x128:6:0.005"),
    ]
    text = page(rows)
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert [heading.split(",")[0] for heading in headings[:4]] == [
        *("At equal epochs", "At equal wall time", "My try", "Other plans"),
    ]
    assert tables_of(text, "At equal epochs")[0][1] == ["1", "70.00", "80.00"]
    assert tables_of(text, "At equal wall time")[0][1] == ["1", "70.00", "90.00"]
    # Two plans of a method in one section are two columns.
    accuracies, cost = tables_of(text, "Other plans")
    assert accuracies[:2] == [["fold", "Mel, ours", "Mel 2, ours"], ["1", "60.00", "50.00"]]
    assert [line[0] for line in cost[1:]] == ["Mel", "Mel 2"]
    assert "to the baseline's" not in cost[0]


def test_method_by_mixup_and_the_interaction():
    accuracies = {
        ("baseline", "none"): (0.70, 0.60),
        ("baseline", "standard"): (0.75, 0.63),
        ("mel", "none"): (0.80, 0.70),
        ("mel", "standard"): (0.82, 0.75),
        ("bilinear", "none"): (0.80, 0.70),
    }
    rows = [
        run_row(method, fold, values[fold - 1], mixup=mixup)
        for (method, mixup), values in accuracies.items()
        for fold in (1, 2)
    ]
    plain, mixed, paired, table, cost = tables_of(page(rows), "At equal epochs")
    assert plain[0] == ["fold", "Baseline, ours", "Mel, ours", "Bilinear, ours"]
    assert mixed[0] == ["fold", "Baseline, ours", "Mel, ours"]
    assert [line[0] for line in paired[1:]] == ["ours"] * 3 + ["ours, with mixup"]
    assert table == [
        ["", "without mixup", "with mixup", "gain of mixup", "interaction", "Wilcoxon p"],
        ["Baseline", "**65.0 ± 7.1** (2)", "**69.0 ± 8.5** (2)", "+4.00", "-", "-"],
        # Gains of 2 and 5 less those of 5 and 3.
        ["Mel", "**75.0 ± 7.1** (2)", "**78.5 ± 4.9** (2)", "+3.50", "-0.50", "1 (least 0.5)"],
    ]
    assert [line[:2] for line in cost[1:]] == [
        *(["Baseline", "-"], ["Baseline", "yes"], ["Mel", "-"], ["Mel", "yes"], ["Bilinear", "-"]),
    ]


def summary(svg):
    return xml.etree.ElementTree.fromstring(svg).attrib["aria-label"]


def test_the_papers_plans_stay_in_its_table_with_a_label_too():
    row = run_row("baseline", 1, 0.7, "equal_epochs", dataset="esc50", stages=None)
    text = page([row], "esc50")
    (line,) = (line for line in tables_of(text, "Table 3")[0] if line[1] == "1")
    assert "70.00" in line
    assert tables_of(text, "At equal epochs")[0][1] == ["1", "70.00"]


def test_box_plots_have_a_panel_a_section_and_the_papers():
    rows = [run_row(method, fold, 0.5 + fold / 10) for method in PLANS for fold in (1, 2, 3)]
    svg = progressive_resizing_tables.figure(rows, "esc10")
    title = "Ours: At equal epochs, num_filters=8"
    assert summary(svg).endswith(f"medians. {title}: Baseline 70.0 %, Mel 70.0 %")
    assert "prefers-color-scheme:dark" in svg and "var(--mel, #1d5fd3)" in svg
    assert "](progressive_resizing_esc10.svg)" in page(rows)
    theirs = summary(progressive_resizing_tables.figure([], "urbansound8k"))
    # The medians of Table 2 by hand: halves of 72.52 + 73.26, 78.48 + 79.7 and 75.65 + 78.73.
    assert theirs.endswith("The paper's Table 2: Baseline 72.9 %, Mel 79.1 %, Bilinear 77.2 %")
    assert progressive_resizing_tables.figure([], "esc10") == ""


def test_a_row_of_a_run(tmp_path):
    recipe = build_recipe("mel", "esc10", stages=PLANS["mel"], settings=["num_filters=4"])
    path = tmp_path / "mel" / "esc10-fold1-seed0"
    packages = {"tensorflow": "2", "keras": "3"}
    machine = {"processor": "abacus", "cores": 2, "memory_gib": 8, "devices": ["CPU"]}
    others = {"packages": packages, "backend": "tensorflow", "commit": "abc"}
    write_json(path / "environment.json", machine | others)
    write_json(path / "recipe.json", recipe.to_dict())
    write_text(path / "labels.txt", "dog\nrain")
    write_json(path / "done.json", {"seconds": 60, "epochs": 3, "best_epoch": 2, "kept": "best"})
    write_json(path / "metrics.json", {"accuracy": 0.7, "mean_average_precision": 0.8})
    history = "epoch,stage,val_accuracy,seconds\n1,1,0.5,10.0\n2,1,0.6,14.4\n3,2,0.75,40.0\n"
    write_text(path / "history.csv", history)
    progressive_resizing_variants.add_label(path.parent, "esc10", "equal_epochs")
    row = progressive_resizing_variants.read_run(RunFolder(path))
    row |= progressive_resizing_variants.derived(row)
    assert {name.partition(":")[0] for name in row} <= {
        *progressive_resizing_variants.COLUMNS,
        *("stage_macs", "stage_seconds"),
    }
    assert parts(row, "stage_seconds") == {"1": 14, "2": 26}
    assert (row["labels"], row["plan"]) == ("equal_epochs", recipe.stages)
    assert (row["last_epoch_accuracy"], row["epochs"], row["classes"]) == ("0.7500", 3, 2)
    one, other = (
        progressive_resizing_variants.macs_of("resnet34", 4, "plain", "repeat", 1, 2, *size)
        for size in ((64, 128), (128, 300))
    )
    assert parts(row, "stage_macs") == {"1": 10 * one, "2": 20 * other}
    assert cells.recipe_of(row) == recipe


def test_the_readme_names_method_mixup_and_plan():
    described = progressive_resizing_variants.describe
    row = run_row("mel", 1, 0.8, mixup="standard", settings=["network=resnet10", "num_filters=8"])
    words = ["log-mel images", "mel", "mixup standard", "num_filters=8"]
    assert described(row) == ("resnet10", [*words, "10 epochs of 64x128, 20 epochs of 128x300"])
    usual = run_row("baseline", 1, 0.8, stages=None, settings=[])
    assert described(usual) == ("resnet34", ["log-mel images", "baseline"])


@pytest.mark.slow
def test_a_smoke_run_of_the_methods_on_toy_sounds(tmp_path):
    import data_prep

    where = {"sample_rate": ProgressiveResizing.sample_rate, "data_dir": tmp_path / "data"}
    data_prep.prepare("toy_sounds", progress=False, **where)
    command = [sys.executable, SCRIPT, "--dataset", "toy_sounds", "--methods", "baseline,combined"]
    command += ["--set", "network=resnet10", "--set", "num_filters=2", "--set", "batch_size=8"]
    command += ["--plan", "progressive=16x32:1:5e-3,128x300:1:5e-3/3", "--label", "equal_epochs"]
    command += ["--data-dir", tmp_path / "data", "--runs", tmp_path / "runs"]
    command += ["--to", tmp_path / "results", "--smoke"]
    found = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "smoke test: 2 of 2 passed" in found.stdout and not (tmp_path / "results").exists()
