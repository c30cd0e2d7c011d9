"""The result files: a line a number, merged by run, and what is made of them is never stale."""

import pathlib
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import make_results
import numpy as np
import pytest
import result_files
from kinds import KINDS, result_files_of
from methods import Method, methods_table, read_methods
from not_run import PAPERS, unexplained
from reasons import reason
from result_files import COLUMNS, read_lines, read_rows, write_rows

from keras_audio.evaluation import aggregate
from keras_audio.recipes import ResidualBlocks, list_recipes, with_settings

REPOSITORY = pathlib.Path(__file__).parents[2]
RESULTS = REPOSITORY / "results"


def row(fold, accuracy, seed=0, block="rb4", **values):
    command = f"keras-audio train residual_blocks --set=dataset=esc10 --set=fold={fold}"
    command += f" --set=seed={seed} --set=block={block} --set=batch_size=16 --set=duration=5.0"
    command += " --set=batch_norm_momentum=0.9 --set=plateau_patience=5 --set=epochs=40"
    common = {
        "recipe": "residual_blocks",
        "dataset": "esc10",
        "fold": fold,
        "seed": seed,
        "accuracy": f"{accuracy:.4f}",
        "mean_average_precision": "0.9000",
        "last_epoch_accuracy": "",
        "best_epoch": 20,
        "epochs": 30,
        "parameters": 1234,
        "seconds": 60,
        "hardware": "abacus",
        "backend": "tensorflow",
        "versions": "Keras 3",
        "commit": "abc",
        "command": f"{command} --set=early_stopping_patience=12",
    }
    return common | values


def test_committed_files_have_every_column_that_says_where_a_number_is_from():
    files = [path for kind in KINDS.values() for _, path in result_files_of(kind, RESULTS)]
    assert len(files) >= 9
    lines = [line for path in files for line in read_lines(path)]
    assert len(lines) > 1000
    for line in lines:
        assert line["recipe"] in list_recipes() and line["fold"].isdecimal()
        for name in ("metric", "value", "hardware", "backend", "versions", "commit", "command"):
            assert line[name], line
        if not line["metric"].startswith(("reason", "labels")):
            assert np.isfinite(float(line["value"]))


def test_what_is_made_of_them_is_not_stale():
    script = REPOSITORY / "experiments" / "make_results.py"
    result = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.fixture
def repository(tmp_path):
    """A copy of what `make results` reads and writes."""
    shutil.copytree(RESULTS, tmp_path / "results")
    shutil.copytree(REPOSITORY / "docs", tmp_path / "docs")
    shutil.copyfile(REPOSITORY / "README.md", tmp_path / "README.md")
    return tmp_path


def test_a_changed_number_and_a_missing_reason_are_found(repository, capsys):
    path = repository / "results" / "erann_esc10.csv"
    text = path.read_text("utf-8")
    assert text.count(",accuracy,0.8375,") == 1
    path.write_text(text.replace(",accuracy,0.8375,", ",accuracy,0.9375,"), "utf-8")
    reasons = repository / "results" / "not_run.csv"
    lines = reasons.read_text("utf-8").splitlines(keepends=True)
    reasons.write_text("".join(line for line in lines if ",ravdess," not in line), "utf-8")
    before = (repository / "README.md").read_text("utf-8")
    capsys.readouterr()
    assert make_results.main(["--check", "--repository", str(repository)]) == 1
    said = capsys.readouterr().err
    assert "README.md is stale: run `make results`." in said
    assert "results/erann_esc10.md is stale" in said
    assert "erann on ravdess has neither a row nor a reason in not_run.csv." in said
    assert (repository / "README.md").read_text("utf-8") == before
    # Written, they are fresh; what is unexplained stays so.
    assert make_results.main(["--repository", str(repository)]) == 1
    assert "93.75" in (repository / "README.md").read_text("utf-8")
    capsys.readouterr()
    assert make_results.main(["--check", "--repository", str(repository)]) == 1
    assert "stale" not in capsys.readouterr().err


def test_every_recipe_is_in_an_experiment(repository):
    assert set(KINDS) == set(PAPERS) == set(list_recipes())
    results = repository / "results"
    assert list(unexplained(results)) == []
    (results / "two_path_esc10.csv").unlink()
    assert next(unexplained(results)) == "two_path has no row in any result file"


def test_a_reason_for_what_was_run_after_all_or_is_in_no_paper_is_found(repository):
    results = repository / "results"
    with open(results / "not_run.csv", "a", encoding="utf-8") as file:
        file.write("erann,fsd50k,,no time,python experiments/erann.py\n")
    rows = KINDS["residual_blocks"].read("esc10", results)[:1]
    moved = rows[0] | {"dataset": "urbansound8k"}
    result_files.update(KINDS["residual_blocks"], "urbansound8k", [moved], results)
    assert list(unexplained(results)) == [
        "erann on fsd50k in not_run.csv is nothing that its paper reports",
        "residual_blocks on urbansound8k was run: say in not_run.csv what is missing",
    ]


def test_the_page_of_a_family_has_the_reasons_of_its_tasks():
    text = reason(RESULTS, "two_path", "tau_urban_2019")
    assert [f"tau_urban_2019/{task}:" in text for task in ("1a", "1b", "1c")] == [True] * 3
    assert reason(RESULTS, "two_path", "toy_scenes") == ""
    # Of a set that it was run on it says what is missing.
    assert reason(RESULTS, "two_path", "esc10").startswith("not run: all 24 filters")


def test_rows_come_back_as_they_were(tmp_path):
    path = tmp_path / "residual_blocks_esc10.csv"
    kind = KINDS["residual_blocks"]
    rows = [row(1, 0.8) | kind.derived(row(1, 0.8)), row(2, 0.7) | kind.derived(row(2, 0.7))]
    write_rows(path, rows, kind.derived(rows[0]))
    assert path.read_text().splitlines()[0] == ",".join(COLUMNS)
    metrics = [line["metric"] for line in read_lines(path)]
    # Neither what nobody measured, nor what the command says.
    expected = ["accuracy", "mean_average_precision", "best_epoch", "epochs", "parameters"]
    assert metrics == expected * 2
    first, _ = kind.read("esc10", tmp_path)
    assert {name: value for name, value in first.items() if value != ""} == {
        name: str(value) for name, value in rows[0].items() if value != ""
    }


def test_new_runs_take_the_place_of_the_same_ones_and_others_stay(tmp_path, capsys):
    kind = KINDS["residual_blocks"]
    result_files.update(kind, "esc10", [row(1, 0.5), row(2, 0.6)], tmp_path)
    result_files.update(kind, "esc10", [row(1, 0.7, block="rb1"), row(2, 0.9)], tmp_path)
    rows = kind.read("esc10", tmp_path)
    assert [(r["block"], r["fold"], r["accuracy"]) for r in rows] == [
        ("rb1", "1", "0.7000"),
        ("rb4", "1", "0.5000"),
        ("rb4", "2", "0.9000"),
    ]
    page = (tmp_path / "residual_blocks_esc10.md").read_text("utf-8")
    assert "**70.0 ± 28.3** (2)" in page and page in capsys.readouterr().out


def test_grids_that_end_at_once_lose_nothing(tmp_path):
    """Each reads the file, adds a run, and writes it; the lock is one of open files."""
    kind = KINDS["residual_blocks"]
    result_files.update(kind, "esc10", [row(1, 0.5)], tmp_path)

    def end(fold):
        result_files.update(kind, "esc10", [row(fold, 0.5)], tmp_path)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(end, (2, 3, 4)))
    assert [found["fold"] for found in kind.read("esc10", tmp_path)] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("text", ["fold,accuracy\n1,0.5\n", ""], ids=["other columns", "empty"])
def test_what_is_no_result_file_is_refused(tmp_path, text):
    path = tmp_path / "wide.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match="Expected a result file with the columns recipe, .*wide"):
        read_rows(path)
    with pytest.raises(ValueError, match="Expected a result file. Received: path=.*none.csv"):
        read_rows(tmp_path / "none.csv")


def test_methods_have_their_runs_over_folds_and_seeds(tmp_path):
    kind = KINDS["residual_blocks"]
    rows = [row(fold, 0.5 + fold / 10, seed) for fold in (1, 2, 3) for seed in (0, 1)]
    rows.append(row(1, 0.9, block="rb1"))
    result_files.update(kind, "esc10", rows, tmp_path)
    methods = read_methods(tmp_path)
    words = ("waveform, standardised",)
    assert [len(found) for found in methods.values()] == [1, 6]
    assert list(methods) == [
        Method("residual_blocks", name, words, "esc10") for name in ("m34_res_rb1", "m34_res_rb4")
    ]
    *_, line = methods_table(methods)
    # t with 2 degrees of freedom: 4.3027 * 10 / sqrt(3) = 24.84.
    assert line == (
        "| `m34_res_rb4` | waveform, standardised | ESC-10 | 1-3 | these clips | "
        "70.00 ± 10.00 (folds) ± 0.00 (seeds) | 45.2 to 94.8 | - | "
        "90.00 ± 0.00 (folds) ± 0.00 (seeds) | 1,234 |"
    )


def test_settings_that_all_of_a_recipe_share_are_left_out():
    recipe = with_settings(ResidualBlocks(), ["block=rb4"])
    first, second = (
        Method(recipe.name, "m34_res_rb4", ("waveform", "l2=0", *more), "esc10")
        for more in ([], ["epochs=9"])
    )
    assert first.described([first, second]) == "waveform"
    assert second.described([first, second]) == "waveform, epochs=9"


def test_two_runs_of_one_fold_and_seed_are_refused(tmp_path):
    path = tmp_path / "residual_blocks_esc10.csv"
    write_rows(path, [row(1, 0.5), row(1, 0.6, seconds=70)])
    with pytest.raises(ValueError, match="two in .* for fold 1, seed 0"):
        read_methods(tmp_path)


@pytest.mark.parametrize("values", [{(1, 0): 0.8, (2, 0): 0.9, (3, 0): 0.7, (4, 0): 0.6}])
def test_the_interval_is_students(values):
    scores = np.array(list(values.values()))
    found = aggregate(values)
    # From a table: t of 3 degrees of freedom at 0.975.
    reach = 3.1824 * scores.std(ddof=1) / 2
    assert found.interval == pytest.approx((scores.mean() - reach, scores.mean() + reach), abs=1e-5)
    assert (found.folds, found.seeds, found.runs) == (4, 1, 4)


def test_an_interval_of_one_fold_is_of_its_seeds_and_of_several_of_their_means():
    seeds = aggregate({(1, 0): 0.8, (1, 1): 0.9})
    assert seeds.fold_deviation is None and seeds.seed_deviation == pytest.approx(0.0707107)
    assert seeds.interval == pytest.approx((0.85 - 12.7062 * 0.05, 0.85 + 12.7062 * 0.05), abs=1e-5)
    both = aggregate({(1, 0): 0.8, (1, 1): 0.9, (2, 0): 0.9, (2, 1): 1.0})
    # The folds' means are 0.85 and 0.95.
    assert both.interval == pytest.approx((0.9 - 12.7062 * 0.05, 0.9 + 12.7062 * 0.05), abs=1e-5)
    with pytest.raises(ValueError, match="Expected a run at least"):
        aggregate({})
