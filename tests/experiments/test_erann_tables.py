"""The experiment on ERANN: its cells, its tables, and a few steps of it on real records."""

import pathlib
import shlex
import subprocess
import sys

import cells
import erann_tables
import erann_variants
import grid
import pytest
from erann_variants import Variant, build_recipe, published

from keras_audio.cli_parser import build_parser
from keras_audio.evaluation import published_results
from keras_audio.files import write_json, write_text
from keras_audio.recipes import ERANN, recipe_class, with_settings
from keras_audio.training import RunFolder

SCRIPT = pathlib.Path(__file__).parents[2] / "experiments" / "erann.py"


@pytest.fixture(scope="module")
def experiment(load_experiment):
    return load_experiment("erann")


@pytest.fixture
def sizes(monkeypatch):
    """Sizes by a formula of no meaning: building the networks takes a minute."""

    def numbers(network, classes, seconds):
        return classes * 1_000_000, round(seconds * 1e9)

    monkeypatch.setattr(erann_tables, "size", numbers)
    monkeypatch.setattr(erann_variants, "size", numbers)


def all_cells(experiment, *arguments):
    options = experiment.parse(arguments)
    return [c for name in experiment.datasets(options) for c in experiment.grid(name, options)]


def recipes(experiment, *arguments):
    return [cell.recipe for cell in all_cells(experiment, *arguments)]


@pytest.mark.parametrize(
    ("table", "scratch", "tuned", "folds"),
    # Two cells of Table 3 are also in Table 4.
    [("3,4", 8 + 6 - 2, 0, 1), ("6", 6, 5, 5), ("8", 6, 5, 10), ("9", 7, 5, 4)],
)
def test_the_cells_are_those_of_the_papers_tables(experiment, table, scratch, tuned, folds):
    found = all_cells(experiment, "--tables", table, "--seeds", "0")
    assert len(found) == scratch * folds == len({cell.path for cell in found})
    assert {cell.recipe.fold for cell in found} == set(range(1, folds + 1))
    # The paper repeats three times.
    found = all_cells(experiment, "--tables", table, "--init-from", "{system}.keras")
    assert len(found) == 3 * (scratch + tuned) * folds == len({cell.path for cell in found})
    for cell in found:
        name = f"{cell.recipe.s_m}-{cell.recipe.width}"
        assert cell.start in ((), ("--init-from", f"{name}.keras"))
        assert cell.path.parent.name.startswith(f"{name}-{cell.recipe.mixup}")
        tuned = cell.path.parent.name.endswith("-fine_tune")
        assert tuned == bool(cell.start) and cell.path.parts[:2] == ("runs", "erann")


def test_every_number_of_the_paper_is_a_cell():
    count, tables = 0, erann_variants.TABLES
    for row in published_results("verbitskiy_2022"):
        if row["source"] == "paper" and row["table"] in {f"Table {number}" for number in tables}:
            count += row["metric"] in ("accuracy", "mean_average_precision")
    assert (
        count == sum(len(published(table)) for table in erann_variants.TABLES) == 8 + 6 + 11 * 3 + 1
    )


def _one(table):
    """Options for a fold and a seed of a table."""
    return "--tables", table, "--folds", "1", "--seeds", "0"


def test_the_recipes_are_the_papers(experiment, capsys):
    for recipe in recipes(experiment):
        usual = ERANN.paper_settings(recipe.dataset)
        assert recipe.iterations == usual["iterations"] >= 20_000
        assert (recipe.batch_size, recipe.ema_decay) == (32, 0.999)
    (shifted, plain) = recipes(experiment, *_one("9"), "--systems", "0-4")
    assert (shifted.pitch_variants, plain.pitch_variants) in ((8, 0), (0, 8))
    on = recipes(experiment, *_one("9"), "--pitch-shift", "on")
    assert {recipe.pitch_variants for recipe in on} == {8} and len(on) == 5
    tuned = ["--tables", "6", "--starts", "fine_tune", "--init-from", "x.keras", "--folds", "1"]
    assert {recipe.learning_rate for recipe in recipes(experiment, *tuned)} == {1e-4}
    assert recipes(experiment, *tuned[:4]) == []
    said = "not run: ERANN-2-4, ERANN-2-5, ERANN-0-6, ERANN-1-6, ERANN-2-6 fine-tuned in Table 6"
    assert said in capsys.readouterr().out
    crops = {recipe.crop_duration for recipe in recipes(experiment, "--tables", "3")}
    assert crops == {4.0, 8.0, 10.0}


def test_other_data_sets_and_systems_follow_the_forms(experiment):
    (small,) = recipes(experiment, "--dataset", "esc10", "--folds", "3")
    assert small.model_name == "erann_3_1" and small.fold == 3
    assert small == with_settings(small, erann_variants.SETTINGS["esc10"])
    assert small.iterations < 20_000
    found = all_cells(experiment, "--dataset", "esc10", "--tables", "3", "--folds", "1")
    ablation = [cell.recipe for cell in found]
    paths = {str(cell.path) for cell in found}
    assert "runs/erann/3-1-between_class/esc10-fold1-seed0" in paths
    assert "runs/erann/3-1-none-no_spec_augment/esc10-fold1-seed0" in paths
    pairs = {(recipe.mixup, recipe.spec_augment) for recipe in ablation}
    assert len(ablation) == len(pairs) == 8
    (other,) = all_cells(experiment, "--dataset", "esc10", "--folds", "1", "--set", "iterations=9")
    assert other.path.parent.name == "3-1-between_class-iterations=9"
    asked = ["--dataset", "esc10", "--mixup", "none,standard", "--spec-augment", "off"]
    found = recipes(experiment, *asked, "--systems", "2-1,0-1", "--folds", "1", "--set", "width=2")
    assert [(recipe.model_name, recipe.mixup) for recipe in found] == [
        *(("erann_2_2", "none"), ("erann_2_2", "standard")),
        *(("erann_0_2", "none"), ("erann_0_2", "standard")),
    ]
    beyond = recipes(experiment, *_one("6"), "--systems", "1-3,3-1")
    assert [recipe.model_name for recipe in beyond] == ["erann_1_3", "erann_3_1"]
    plain = recipes(experiment, *_one("6"), "--mixup", "none")
    assert {recipe.mixup for recipe in plain} == {"none"} and len(plain) == 9


@pytest.mark.parametrize(
    "arguments",
    ["--tables 5", "--tables x", "--systems 4-1", "--systems 1-0", "--systems 13", "--mixup some",
     "--spec-augment yes", "--folds 0", "--seeds x", "--starts new"],
)  # fmt: skip
def test_wrong_options_are_refused(experiment, arguments, capsys):
    with pytest.raises(SystemExit):
        experiment.parse(arguments.split())
    assert arguments.split()[0] in capsys.readouterr().err


@pytest.mark.parametrize("dataset", ["esc10", "audioset", "ravdess"])
def test_the_command_trains_the_recipe(experiment, dataset):
    arguments = ["--dataset", dataset, "--init-from", "{system}.keras", "--folds", "1"]
    found = all_cells(experiment, *arguments, "--set", "batch_norm_momentum=0.95")
    assert {bool(cell.start) for cell in found} >= {False}
    for cell in found:
        words = cells.train_command(cell.recipe, cell.start)
        options = build_parser().parse_args(words)
        # However the command line comes by its defaults: none that matter are left out.
        for tuned in (False, True):
            for base in (None, dataset):
                recipe = recipe_class("erann").for_dataset(base, fine_tune=tuned)
                if tuned == bool(cell.start):
                    assert with_settings(recipe, options.set) == cell.recipe
        assert with_settings(ERANN(), options.set) == cell.recipe


def row(variant, dataset, fold, score, seed=0, settings=(), **values):
    recipe = build_recipe(variant, dataset, [f"fold={fold}", f"seed={seed}", *settings])
    start = ("--init-from", "source.keras") if variant.start == "fine_tune" else ()
    metric = recipe.monitor.removeprefix("val_")
    return {
        "dataset": dataset,
        "fold": fold,
        "seed": seed,
        "network": recipe.model_name,
        "start": variant.start,
        "mixup": recipe.mixup,
        "spec_augment": recipe.spec_augment,
        "crop_duration": recipe.crop_duration,
        "pitch_variants": recipe.pitch_variants,
        "mean_average_precision": "0.8",
        metric: f"{score}",
        f"last_epoch_{metric}": "0.5",
        "best_iteration": 300,
        "iterations": 400,
        "classes": 10,
        "seconds": 60,
        "hardware": "abacus",
        "backend": "tensorflow",
        "versions": "Keras 3",
        "command": shlex.join(["keras-audio", *cells.train_command(recipe, start)]),
    } | values


SMALL = Variant("erann_3_1", "scratch", "between_class", True, 0)


def cell_of(text, first, title):
    """The cell of the line that begins with `first`, in the column `title`."""
    (table,) = [block for block in text.split("\n\n") if title in block.partition("\n")[0]]
    header, _, *lines = [line.strip("| ").split(" | ") for line in table.splitlines()]
    (line,) = [line for line in lines if line[0] == first]
    return line[header.index(title)]


def test_a_table_holds_the_papers_numbers_and_ours(sizes):
    tuned = Variant("erann_2_5", "fine_tune", "between_class", True, 0)
    rows = [row(tuned, "esc50", fold, fold / 10, seed) for fold in (7, 9) for seed in (0, 1)]
    rows[0]["accuracy"] = "0.72"
    speeds = erann_tables.Speeds({("erann_2_5", 8): "3.5"}, "an abacus, by `hand`.")
    text = erann_tables.markdown(rows, "esc50", speeds)
    # Table 6 by hand: 37.9 million, 294 clips/s, 0.879 and 0.961. Ours: 70, 72, 90, 90; folds
    # 71 and 90, seeds 81 and 80.
    assert cell_of(text, "ERANN-2-5", "10^6 parameters, paper") == "37.9"
    assert cell_of(text, "ERANN-2-5", "clips/s, B=32, paper") == "294"
    assert cell_of(text, "ERANN-2-5", "clips/s, B=32, ours") == "3.5 (B=8)"
    assert cell_of(text, "ERANN-2-5", "from scratch, paper") == "87.9"
    assert cell_of(text, "ERANN-2-5", "fine-tuned, paper") == "96.1"
    ours = cell_of(text, "ERANN-2-5", "fine-tuned, ours")
    assert ours == "**80.5 ± 13.4 (folds) ± 0.7 (seeds)** (4)"
    assert cell_of(text, "ERANN-0-6", "fine-tuned, ours") == "-"
    assert "from scratch, ours" not in text and "abacus; Keras 3, backend tensorflow" in text
    assert "an abacus, by `hand`." in text and "not the paper's" not in text


def test_pitch_shift_has_a_column_and_tagging_its_metric(sizes):
    shifted = Variant("erann_1_3", "scratch", "between_class", True, 8)
    text = erann_tables.markdown([row(shifted, "ravdess", 1, 0.7)], "ravdess")
    lines = [line for line in text.splitlines() if line.startswith("| ERANN-1-3 |")]
    assert [line.split(" | ")[1] for line in lines] == ["no", "yes"]
    assert lines[0].endswith("| 66.9 | - | - |") and lines[1].endswith(
        "| 73.1 | **70.0** (1) | - |"
    )
    best = Variant("erann_2_6", "scratch", "between_class", True, 0)
    text = erann_tables.markdown([row(best, "audioset", 1, 0.44)], "audioset")
    assert "Mean average precision in percent, of the paper and ours" in text
    assert text.count("**44.0** (1)") == 2  # in Table 4, and in Table 3 beside the 45.0 there
    assert "| ERANN-2-6 | 8 s | yes | between class | 45.0 | **44.0** (1) |" in text


def test_other_settings_are_lines_of_their_own(sizes):
    rows = [row(SMALL, "esc10", 1, 0.8), row(SMALL, "esc10", 1, 0.6, settings=["iterations=9"])]
    rows += [row(SMALL._replace(mixup="none", spec_augment=False), "esc10", 1, 0.7)]
    text = erann_tables.markdown(rows, "esc10")
    assert cell_of(text, "ERANN-3-1", "from scratch, ours") == "**80.0** (1)"
    assert cell_of(text, "ERANN-3-1 `iterations=9`", "from scratch, ours") == "**60.0** (1)"
    assert "| ERANN-3-1 | 4 s | no | none | **70.0** (1) |" in text
    assert "no numbers for esc10" in text and erann_variants.WHY_SETTINGS["esc10"] in text


def test_the_commands_make_the_rows(experiment):
    rows = [row(SMALL, "esc10", fold, 0.8, seed) for fold in (2, 1, 3) for seed in (0, 1)]
    for mixup in ("none", "standard"):
        for mask in (True, False):
            rows.append(row(SMALL._replace(mixup=mixup, spec_augment=mask), "esc10", 1, 0.7))
    rows += [row(SMALL._replace(network="erann_0_1"), "esc10", 1, 0.6, settings=["iterations=9"])]
    rows += [row(SMALL._replace(start="fine_tune"), "esc10", 1, 0.6)]
    prepare, *lines = erann_tables.commands(rows, "esc10")
    assert prepare == "keras-audio prepare esc10 --source ESC-10-master --sample-rate 44100"
    assert len(lines) == 4
    made = set()
    for line in lines:
        python, script, *arguments = shlex.split(line)
        assert (python, script) == ("python", "experiments/erann.py")
        for cell in all_cells(experiment, *arguments):
            made.add(shlex.join(["keras-audio", *cells.train_command(cell.recipe, cell.start)]))
    assert made == {line["command"] for line in rows}


def test_rows_without_records_say_so(experiment, sizes, tmp_path, monkeypatch, capsys):
    command = ["erann.py", "--tables", "9", "--data-dir", str(tmp_path / "data")]
    command += ["--runs", str(tmp_path / "runs"), "--to", str(tmp_path / "results")]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(grid, "Process", lambda *_: pytest.fail("there is nothing to train on"))
    assert experiment.main() == 0
    text = (tmp_path / "results" / "erann_ravdess.md").read_text("utf-8")
    assert f"Not run: ravdess is not prepared in {tmp_path / 'data'}/" in text
    assert "ravdess is not prepared with 8 pitch variants" in text
    assert "| 74.8 |" in text and "## Commands" not in text
    assert "not run: ravdess" in capsys.readouterr().out


def test_speeds_are_read_from_the_benchmarks_files(tmp_path):
    assert erann_tables.read_speeds(tmp_path / "none.csv") is None
    lines = ['"erann_3_1, batch 1",clips/s,9.5,abacus,1,by hand',
             '"erann_3_1, front end alone, batch 1",clips/s,90,abacus,1,by hand',
             '"erann_3_1 / erann_0_1, batch 1",ratio,2,abacus,1,by hand',
             "erann_3_1,GMACs a clip,1.5,abacus,1,by hand"]  # fmt: skip
    header = "measured,unit,median,hardware,cores,command"
    (tmp_path / "speed.csv").write_text("\n".join([header, *lines]) + "\n", "utf-8")
    speeds = erann_tables.read_speeds(tmp_path / "speed.csv")
    assert speeds.values == {("erann_3_1", 1): "9.5"} and "`by hand`" in speeds.about
    assert (speeds.of("erann_3_1", 1), speeds.of("erann_3_1", 32)) == ("9.5", "-")


def write_run(folder, recipe, source=None):
    """A run folder as `train` and `evaluate` leave it, without the weights."""
    write_json(folder / "recipe.json", recipe.to_dict())
    if source is not None:
        write_json(folder / "initial.json", {"source": str(source), "sha256": ""})
    done = {"iterations": 2, "best_iteration": 2, "best_epoch": 1, "epochs": 1, "seconds": 9}
    write_json(folder / "done.json", done)
    environment = {"processor": "abacus", "cores": 2, "memory_gib": 8, "devices": ["CPU"]}
    environment |= {"packages": {"tensorflow": "2", "keras": "3"}, "backend": "tensorflow"}
    write_json(folder / "environment.json", environment | {"commit": "abc"})
    write_text(folder / "labels.txt", "cat\ndog\n")
    RunFolder(folder).write_history([{"epoch": 1, "val_accuracy": 0.25}])
    write_json(folder / "metrics.json", {"accuracy": 0.75, "mean_average_precision": 0.5})


def test_rows_are_read_from_run_folders(experiment, tmp_path, monkeypatch):
    asked = ["--dataset", "toy_sounds", "--systems", "3-1", "--folds", "1", "--set", "duration=0.5"]
    asked += ["--init-from", "{system}.keras", "--data-dir", str(tmp_path / "data")]
    asked += ["--runs", str(tmp_path / "runs"), "--to", str(tmp_path / "results")]
    for cell in all_cells(experiment, *asked):
        write_run(cell.path, cell.recipe, *cell.start[1:])
    monkeypatch.setattr(sys, "argv", ["erann.py", *asked, "--tables-only"])
    assert experiment.main() == 0
    scratch, tuned = erann_tables.KIND.read("toy_sounds", tmp_path / "results")
    assert (scratch["start"], tuned["start"]) == ("scratch", "fine_tune")
    assert tuned["command"].endswith(" --init-from 3-1.keras")
    assert "--init-from" not in scratch["command"]
    assert float(scratch["accuracy"]) == 0.75 and float(scratch["last_epoch_accuracy"]) == 0.25
    assert int(scratch["parameters"]) > 1_000_000 and int(scratch["macs"]) > 1e8
    text = (tmp_path / "results" / "erann_toy_sounds.md").read_text("utf-8")
    assert "| fine-tune |" in text and "In the form of Table 6" in text


@pytest.mark.slow
def test_a_run_from_scratch_and_one_fine_tuned(toy_data_44100, tmp_path):
    command = [sys.executable, SCRIPT, "--dataset", "toy_sounds", "--systems", "3-1"]
    command += ["--folds", "1", "--data-dir", toy_data_44100, "--runs", tmp_path / "runs"]
    command += ["--to", tmp_path / "results", "--set", "iterations=2", "--set", "batch_size=4"]
    command += ["--set", "evaluation_interval=2", "--set", "crop_duration=1"]
    command += ["--set", "duration=0.5"]
    for start in ("scratch", "fine_tune"):
        if start == "fine_tune":
            (source,) = (tmp_path / "runs" / "erann").glob("3-1-*/toy_sounds-fold1-seed0")
            command += ["--starts", start, "--init-from", source]
        result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
    scratch, tuned = erann_tables.KIND.read("toy_sounds", tmp_path / "results")
    assert (scratch["start"], tuned["start"]) == ("scratch", "fine_tune")
    assert float(scratch["accuracy"]) >= 0 and scratch["iterations"] == "2"
    assert "--init-from" in tuned["command"] and "--init-from" not in scratch["command"]
    assert int(scratch["parameters"]) > 1_000_000 and int(scratch["macs"]) > 1e8
    text = (tmp_path / "results" / "erann_toy_sounds.md").read_text("utf-8")
    assert "| fine-tune |" in text and "In the form of Table 6" in text
