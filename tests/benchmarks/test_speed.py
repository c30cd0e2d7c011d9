"""The benchmark of the residual blocks runs, and its numbers hang together."""

import csv
import importlib.util
import pathlib
import subprocess
import sys

import pytest

from keras_audio.recipes import ResidualBlocks

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "residual_blocks.py"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(SCRIPT.parent))
    spec = importlib.util.spec_from_file_location("residual_blocks_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_training_step_is_measured(benchmark, toy_data, tmp_path):
    recipe = ResidualBlocks(
        dataset="toy_sounds", network="m3", first_stride=16, duration=0.5, batch_size=4
    )
    names, about = benchmark.start(recipe, toy_data, tmp_path, deterministic=False)
    assert names == [benchmark.FREE_STEP]
    assert benchmark.run(names[0]) > 0
    assert about.startswith("m3: 8000 Hz, clips of 0.5 s, batches of 4. toy_sounds: ")


@pytest.mark.parametrize(("slowest", "answer"), [(30.0, "met"), (29.0, "NOT met")])
def test_ratios_are_taken_round_by_round(benchmark, slowest, answer, tmp_path, capsys):
    raw, log_mel = benchmark.PIPELINES.values()
    step, free = benchmark.STEP, benchmark.FREE_STEP
    values = {step: [2.0, 4.0, 6.0], free: [4.0, 4.0, 4.0]}
    values |= {raw: [20.0, 40.0, 60.0], log_mel: [20.0, 18.0, slowest]}
    benchmark.conclude(values, "By hand.", tmp_path / "speed")
    with open(tmp_path / "speed.csv", newline="", encoding="utf-8") as file:
        rows = {row["measured"]: row for row in csv.DictReader(file)}
    shown = {name: (row["least"], row["median"], row["most"]) for name, row in rows.items()}
    assert shown[f"{raw} / {step}"] == ("10", "10", "10")
    assert shown[f"{step} / {free}"] == ("0.5", "1", "1.5")
    # The median of 10, 4.5, and 5 or less.
    assert shown[f"{log_mel} / {step}"][2] == "10" and rows[step]["unit"] == "clips/s"
    assert f"at least 5 times the training step: {answer}." in capsys.readouterr().out


@pytest.mark.slow
def test_a_quick_benchmark_measures_every_part_and_its_ratios(tmp_path):
    command = [sys.executable, SCRIPT, "--quick", "--to", tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=SCRIPT.parents[1])
    assert ended.returncode == 0, ended.stderr
    with open(tmp_path / "residual_blocks_toy_sounds.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for part in ("pipeline alone, log-mel", "training step", "SavedModel"):
        assert any(part in row["measured"] and row["unit"] == "clips/s" for row in rows), part
    for row in rows:
        assert 0 < float(row["least"]) <= float(row["median"]) <= float(row["most"])
    assert {row["command"] for row in rows} == {
        f"python benchmarks/residual_blocks.py --quick --to {tmp_path}"
    }
    assert [row["unit"] for row in rows].count("ratio") == 3
    assert "at least 5 times the training step: " in ended.stdout
    # Toy figures do not stand where those on real sounds do.
    text = (tmp_path / "residual_blocks_toy_sounds.md").read_text("utf-8")
    assert ended.stdout.strip() == text.strip()
    assert not (tmp_path / "residual_blocks.csv").exists()


def test_a_data_set_without_sounds_is_one_sentence(tmp_path):
    command = [sys.executable, SCRIPT, "--dataset", "esc10", "--to", tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=SCRIPT.parents[1])
    assert ended.returncode == 2
    assert ended.stderr.strip().startswith("error: Expected the source of esc10")
    assert not list(tmp_path.iterdir())
