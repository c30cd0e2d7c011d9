"""docs/results.md: published, original code, ours and their difference, from rows made by hand."""

import pathlib
import re
import shlex
import shutil
import xml.etree.ElementTree

import cells
import pytest
import result_files
import results_page
import results_plots
import sizes
import speed
from beside import Beside
from kinds import KINDS
from methods import read_methods
from results_plots import Point
from side_by_side import side_by_side

from keras_audio.evaluation import published_papers, published_results, published_tables
from keras_audio.recipes import (
    ERANN,
    BinauralWaveforms,
    ProgressiveResizing,
    ResidualBlocks,
    TwoPath,
)

REPOSITORY = pathlib.Path(__file__).parents[2]
RESULTS = REPOSITORY / "results"
MACHINE = {"hardware": "abacus", "backend": "tensorflow", "versions": "Keras 3", "commit": "abc"}


def add(results, recipe, ending="", **metrics):
    """Put a run of a recipe, with these metrics, into the result files."""
    kind = KINDS[recipe.name]
    dataset = recipe.dataset.partition("/")[0] if recipe.name == "two_path" else recipe.dataset
    command = shlex.join(["keras-audio", *cells.train_command(recipe)])
    row = {"recipe": recipe.name, "dataset": recipe.dataset, "fold": recipe.fold}
    row |= {"seed": recipe.seed, "seconds": 60, **MACHINE, "command": command + ending, **metrics}
    path = kind.path(dataset, results)
    rows = [*kind.read(dataset, results), row | kind.derived(row)]
    result_files.write_rows(path, rows, kind.derived(row), kind.part)


def lines_of(results, paper, name):
    """What stands beside the numbers of a table, by the line's titles and the number's."""
    (table,) = (table for table in published_tables(paper) if table.table == name)
    found = side_by_side(table, Beside(results)).lines
    width = len(table.down)
    return {(*list(line.values())[:width], line["number"]): line for line in found}


RAW = "raw, mean 0, deviation 1"


def test_ours_on_the_papers_data_has_a_difference_and_elsewhere_none(tmp_path):
    recipe = ResidualBlocks(block="rb4")
    add(tmp_path, recipe, accuracy="0.7611", train_accuracy="0.9900")
    for fold, accuracy in ((1, "0.8"), (2, "0.9")):
        settings = {"duration": 5.0, "batch_size": 16, "batch_norm_momentum": 0.9, "epochs": 40}
        settings |= {"plateau_patience": 5, "early_stopping_patience": 12}
        small = ResidualBlocks(block="rb4", dataset="esc10", fold=fold, **settings)
        add(tmp_path, small, accuracy=accuracy)
    lines = lines_of(tmp_path, "naranjo_2019", "Table II")
    assert lines[RAW, "validation accuracy", "RB4"] == {
        "input": RAW,
        "accuracy": "validation accuracy",
        "number": "RB4",
        "paper": "75.15%",
        "original code": "-",
        "ours": "76.11 % (1)",
        "difference": "+0.96 points",  # 76.11 - 75.15
        "ours, ESC-10": "85.00 ± 7.07 % (2)",
    }
    assert lines[RAW, "training accuracy", "RB4"]["difference"] == "-0.96 points"  # 99 - 99.96
    # The code of 2017 has a number for RB6, which is its M34, and ours none.
    assert lines[RAW, "validation accuracy", "RB6"]["original code"] == "0.725"
    assert len(lines) == 3


def test_another_method_is_not_put_beside_the_papers(tmp_path):
    add(tmp_path, ResidualBlocks(block="rb4", l2=0.5), accuracy="0.9")
    assert (RAW, "validation accuracy", "RB4") not in lines_of(tmp_path, "naranjo_2019", "Table II")


def test_erann_by_augmentation_start_and_pitch_shift(tmp_path):
    tagging = ERANN.for_dataset("audioset", s_m=2, width=5, mixup="standard")
    add(tmp_path, tagging, mean_average_precision="0.4500")
    for seed, accuracy in ((0, "0.9"), (1, "0.8")):
        for fold in range(1, 6):
            recipe = ERANN.for_dataset("esc50", s_m=1, width=3, seed=seed, fold=fold)
            add(tmp_path, recipe, accuracy=accuracy)
    tuned = ERANN.for_dataset("esc50", fine_tune=True, s_m=2, width=5)
    add(tmp_path, tuned, " --init-from erann_2_5.keras", accuracy="0.961")
    found = lines_of(tmp_path, "verbitskiy_2022", "Table 3")
    (line,) = found.values()
    assert (line["paper"], line["ours"], line["difference"]) == ("0.443", "0.450 (1)", "+0.007")
    lines = lines_of(tmp_path, "verbitskiy_2022", "Table 6")
    scratch = lines["ERANN-1-3", "from scratch, accuracy"]
    assert (scratch["paper"], scratch["difference"]) == ("0.892", "-0.042")
    assert scratch["ours"] == "0.850 ± 0.000 (10)"
    # One fold of five is no mean over them.
    tuned = lines["ERANN-2-5", "fine-tuned, accuracy"]
    assert (tuned["ours"], tuned["difference"]) == ("0.961 (1, 4 folds missing)", "-")
    assert len(lines) == 2


def test_scenes_by_device_class_and_deltas(tmp_path):
    metrics = {"accuracy": "0.80", "recall:bus": "0.91", "precision:average": "0.8"}
    recipe = TwoPath.for_dataset("tau_urban_2019/1a")
    add(tmp_path, recipe, **metrics)
    add(tmp_path, TwoPath.for_dataset("tau_urban_2019/1a", deltas=False), accuracy="0.824")
    add(tmp_path, TwoPath.for_dataset("tau_urban_2019/1a", num_filters=8), accuracy="0.5")
    add(tmp_path, TwoPath.for_dataset("tau_urban_2019/1c"), score="0.721")
    first = lines_of(tmp_path, "mcdonnell_2019", "Table 1")
    assert {key[-1]: line["difference"] for key, line in first.items()} == {
        "log-mels alone": "+1.00 points",
        "with deltas, best single model": "-2.30 points",
    }
    second = lines_of(tmp_path, "mcdonnell_2019", "Table 2")
    assert second["bus", "recall"]["difference"] == "+2.00 points"
    assert len(second) == 2  # The average precision, too.
    (score,) = lines_of(tmp_path, "mcdonnell_2019", "Table 4").values()
    assert score["paper"] == "71.1%" and score["difference"] == "+1.00 points"


def test_a_pruned_network_counts_in_half_precision_and_as_the_report_prunes(tmp_path):
    ending = " && keras-audio compress RUN --rate=0.1 --until={}"
    for until, accuracy in (("accuracy=0.873", "0.866"), ("size=9KB", "0.5")):
        for stage in ("whole", "half"):
            recipe = BinauralWaveforms(network="a", seed=len(until))
            value = {"whole": "0.9", "half": accuracy}[stage]
            add(tmp_path, recipe, ending.format(until), stage=stage, accuracy=value, kept=1)
    (line,) = lines_of(tmp_path, "pajusco_2020", "Table 1").values()
    assert (line["paper"], line["ours"], line["difference"]) == (
        *("87.6", "86.60 % (1)", "-1.00 points"),
    )


def test_splits_of_progressive_resizing_are_folds(tmp_path):
    scores = {5: "0.755", 4: "0.855", 3: "0.8", 2: "0.8", 1: "0.79"}
    imagenet = " --init-from resnet34.pth"
    for fold, accuracy in scores.items():
        recipe = ProgressiveResizing.for_dataset("esc50", method="mel", fold=fold)
        add(tmp_path, recipe, imagenet, accuracy=accuracy)
        # From new weights it is another method than the paper's.
        add(tmp_path, recipe, accuracy="0.4")
    lines = lines_of(tmp_path, "colangelo_2021", "Table 3")
    found = {key[0]: line["difference"] for key, line in lines.items() if "accuracy, %" in key[1]}
    assert found["0 (fold 5)"] == "+1.00 points"  # 74.5
    assert found["1 (fold 4)"] == "+2.00 points"  # 83.5
    means = {key[1]: line["difference"] for key, line in lines.items() if key[0] == "all"}
    # 80.0 where the paper's five are 76.8, 3.59 where it has 4.83.
    assert means == {"mean accuracy, %": "+3.20 points", "standard deviation, %": "-1.24 points"}


def test_a_deviation_is_none_of_one_fold_and_a_mean_of_some_is_no_mean_of_all(tmp_path):
    recipe = ProgressiveResizing.for_dataset("esc50", method="mel", fold=5)
    add(tmp_path, recipe, " --init-from resnet34.pth", accuracy="0.755")
    lines = lines_of(tmp_path, "colangelo_2021", "Table 3")
    assert {key[:2]: line["difference"] for key, line in lines.items()} == {
        ("0 (fold 5)", "accuracy, %"): "+1.00 points",
        ("all", "mean accuracy, %"): "-",
    }


def test_only_the_papers_fold_is_compared_with_its_numbers(tmp_path):
    for fold in (1, 2, 10):
        add(tmp_path, ResidualBlocks(block="rb4", fold=fold), accuracy=f"0.{fold}")
    (line,) = [
        line
        for line in lines_of(tmp_path, "naranjo_2019", "Table II").values()
        if line["ours"] != "-"
    ]
    assert line["ours"] == "10.00 % (1)"


def test_two_runs_beside_one_number_are_refused(tmp_path):
    imagenet = " --init-from {}.pth"
    recipe = ProgressiveResizing.for_dataset("esc50", method="mel", fold=5)
    for name in ("one", "other"):
        add(tmp_path, recipe, imagenet.format(name), accuracy="0.7")
    with pytest.raises(ValueError, match="Expected one run a fold and seed beside Table 3"):
        lines_of(tmp_path, "colangelo_2021", "Table 3")


TRAINED = ("accuracy, %", "loss")


def test_counts_are_those_of_our_networks():
    """The committed sizes against networks built anew, and beside the papers' to the digit."""
    rows = {row["dataset"]: row for row in result_files.read_rows(RESULTS / "sizes.csv")}
    weights = rows["tau_urban_2020_3class"]
    assert {name: weights[name] for name in weights if ":" in name} == {
        name: str(value) for name, value in sizes.binaural_waveforms().items()
    }
    assert rows["tau_urban_2019"]["parameters:3 channels"] == str(sizes.two_path(1))
    lines = lines_of(RESULTS, "pajusco_2020", "Table 1")
    counts = [line["difference"] for key, line in lines.items() if key[1] not in TRAINED]
    assert counts == ["0"] * 12
    lines = lines_of(RESULTS, "naranjo_2019", "Section III")
    assert [line["ours"] for line in lines.values()][-2:] == [
        "4,001,242",
        "4,165,786 to 4,171,930",
    ]
    lines = lines_of(RESULTS, "verbitskiy_2022", "Table 5")
    # The paper's own slip: these are of ESC-50.
    assert [(line["paper"], line["ours"]) for line in lines.values()] == [
        ("37.9", "38,197,303"),
        ("54.2", "54,530,751"),
    ]
    assert "0" not in {line["difference"] for line in lines.values()}


@pytest.fixture(scope="module")
def page():
    return (REPOSITORY / "docs" / "results.md").read_text("utf-8")


def test_every_table_and_every_number_of_the_papers_is_on_the_page(page):
    for paper in published_papers():
        for table in published_tables(paper.key):
            anchor = f"{paper.key}-{table.table.lower().replace(' ', '-')}"
            assert page.count(f"](#{anchor})") >= 1 and page.count(f'<a id="{anchor}"></a>') == 1
            section = page.partition(f'<a id="{anchor}"></a>')[2].partition("<a id=")[0]
            for result in published_results(paper.key):
                if result["table"] == table.table:
                    assert f"| {result['printed']} " in section, result
    # And what links lead to is there.
    for anchor in re.findall(r"\]\(#([^)]+)\)", page):
        assert f'id="{anchor}"' in page or f"## {anchor.replace('-', ' ').capitalize()}\n" in page


def test_what_was_not_run_says_why_at_its_table(page):
    section = page.partition('<a id="colangelo_2021-table-3"></a>')[2].partition("<a id=")[0]
    assert "Not run on ESC-50: neither the data set" in section
    assert "`python experiments/progressive_resizing.py --dataset esc50" in section
    assert "share a recording" in page


def test_plots_say_what_they_show(tmp_path):
    points = [
        Point("erann", "erann_3_1", "erann_3_1: log-mel", 1.5e6, [80.0], None),
        Point("two_path", "two_path_resnet", "two paths", 3e6, [90.0, 92.0, 94.0], 2.0),
    ]
    made = results_plots.plots({"parameters": points, "speed": points[:1]}, "esc10", "ESC-10")
    assert list(made) == [
        *("accuracy_by_parameters_esc10.svg", "accuracy_by_speed_esc10.svg", "folds_esc10.svg"),
    ]
    summaries = [
        xml.etree.ElementTree.fromstring(svg).attrib["aria-label"] for svg in made.values()
    ]
    assert summaries == [
        "Accuracy on ESC-10 against parameters: 2 methods, at best two paths with 92.0 %",
        "Accuracy on ESC-10 against clips a second: 1 methods, at best erann_3_1: log-mel with "
        "80.0 %",
        "Accuracy on ESC-10 over folds, medians: two paths 92.0 %",
    ]
    for svg in made.values():
        assert "prefers-color-scheme:dark" in svg
    assert results_plots.plots({"parameters": [], "speed": []}, "esc10", "ESC-10") == {}


def test_speeds_are_measured_once_a_network_and_drawn(tmp_path, capsys):
    for fold in (1, 2):
        settings = {"dataset": "esc10", "fold": fold, "first_stride": 16, "duration": 0.5}
        recipe = ResidualBlocks(network="m3", **settings)
        add(tmp_path, recipe, accuracy="0.8", parameters=220_000)
    command = ["--results", str(tmp_path), "--rounds", "2", "--batch-sizes", "1,32"]
    assert speed.main(command) == 0
    lines = result_files.read_lines(tmp_path / "speed.csv")
    found = {line["metric"]: float(line["value"]) for line in lines}
    part = ":m3/220000"
    for size in (1, 32):
        name = f"clips_per_second_batch_{size}"
        assert 0 < found[f"{name}_least{part}"] <= found[f"{name}{part}"]
        assert found[f"{name}{part}"] <= found[f"{name}_most{part}"]
    assert len(found) == 6 and "m3/220000" in capsys.readouterr().out
    for name in ("not_run.csv", "parity.csv"):
        shutil.copyfile(RESULTS / name, tmp_path / name)
    text, figures = results_page.page(read_methods(tmp_path), tmp_path)
    assert "accuracy_by_speed_esc10.svg" in figures and "accuracy_by_speed_esc10.svg" in text
