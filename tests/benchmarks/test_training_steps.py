"""The benchmark of training steps compares what it says, and takes PyTorch's faster layout."""

import csv
import importlib.util
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(FOLDER))
    file = FOLDER / "training_steps.py"
    spec = importlib.util.spec_from_file_location("training_steps_benchmark", file)
    module = importlib.util.module_from_spec(spec)
    # Where dataclasses look for the module of a class.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_times_are_compared_round_by_round_with_the_faster_layout(benchmark):
    values = {
        "erann_1_3, ours": [10.0, 20.0, 12.0],
        "erann_1_3, ours, built again": [10.0, 16.0, 12.0],
        "erann_1_3, the original": [5.0, 20.0, 16.0],
        "erann_1_3, PyTorch": [20.0, 4.0, 5.0],
        "erann_1_3, PyTorch, channels last": [8.0, 10.0, 8.0],
        "binaural_b, ours": [3.0, 3.0, 3.0],
        "binaural_b, ours, built again": [3.0, 3.0, 3.0],
        "binaural_b, the original": [4.0, 4.0, 4.0],
        "binaural_b, PyTorch": [2.0, 3.0, 2.0],
    }
    targets, ratios, (text,) = benchmark.compare(["erann_1_3", "binaural_b"], values)
    assert [(target.what, target.values, target.asked, target.met) for target in targets] == [
        ("original's time over ours, erann_1_3", [2.0, 1.0, 0.75], "at least 1", True),
        ("PyTorch's time over ours, erann_1_3", [1.25, 2.0, 1.5], "at least 1.2", True),
        ("original's time over ours, binaural_b", [0.75, 0.75, 0.75], "at least 1", False),
        ("PyTorch's time over ours, binaural_b", [1.5, 1.0, 1.5], "at least 1.2", True),
    ]
    assert ratios["erann_1_3, ours / PyTorch"] == [0.5, 5.0, 2.4]
    assert ratios["erann_1_3, ours / built again"] == [1.0, 1.25, 1.0]
    first, second = text.splitlines()
    assert "1.000 (0.750 to 2.000) times the original's" in first
    assert first.endswith("1.500 (1.250 to 2.000) times those of PyTorch, channels last.")
    assert second.endswith("1.500 (1.000 to 1.500) times those of PyTorch.")


@pytest.mark.slow
def test_a_quick_benchmark_measures_every_part(tmp_path):
    pytest.importorskip("torch", reason="PyTorch, a peer of the benchmark, is not installed")
    command = [sys.executable, FOLDER / "training_steps.py", "--quick", "--to", tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    with open(tmp_path / "training_steps_quick.csv", newline="", encoding="utf-8") as file:
        rows = {row["measured"]: row for row in csv.DictReader(file)}
    assert [row["unit"] for row in rows.values()].count("clips/s") == 4 * 4 + 2
    asked = [row["asked"] for row in rows.values() if row["asked"]]
    assert asked == ["at least 1", "at least 1.2"] * 4
    for row in rows.values():
        assert 0 < float(row["least"]) <= float(row["median"]) <= float(row["most"])
    text = (tmp_path / "training_steps_quick.md").read_text("utf-8")
    assert "erann_1_3 2 x 128 x 128 x 1" in text


@pytest.mark.parametrize(
    "arguments", ["--networks m3", "--batch-size 0", "--threads 0", "--repeats 0"]
)
def test_wrong_options_are_refused(benchmark, arguments, capsys):
    with pytest.raises(SystemExit):
        benchmark.parse(arguments.split())
    assert arguments.split()[0] in capsys.readouterr().err
