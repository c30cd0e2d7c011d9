"""The benchmark of inference compares what it says, and names the lowest shares."""

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
    file = FOLDER / "inference.py"
    spec = importlib.util.spec_from_file_location("inference_benchmark", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_clips_are_compared_with_pytorch_and_with_the_machine(benchmark):
    sizes = {
        "m3": [(1, 1), (32, 32)],
        "erann_1_3": [(1, 1), (32, 8)],
        "m5": [(1, 1), (32, 32)],
        "m11": [(1, 1), (32, 32)],
    }
    flops = {"m3": 10.0, "erann_1_3": 100.0, "m5": 20.0, "m11": 30.0}
    values = {
        **{f"{name}, batch {size}": [2.0, 4.0] for name in sizes for size in (1, 32)},
        "erann_1_3, batch 8": [3.0, 3.0],
        "erann_1_3, batch 1, PyTorch": [4.0, 4.0],
        "erann_1_3, batch 1, PyTorch, channels last": [5.0, 5.0],
        "erann_1_3, batch 8, PyTorch": [1.5, 2.0],
        "erann_1_3, batch 8, PyTorch, channels last": [1.0, 1.0],
        benchmark.PRODUCT: [1000.0, 2000.0],
    }
    targets, ratios, (text,) = benchmark.compare(sizes, flops, values)
    assert [(target.what, target.values, target.asked, target.met) for target in targets] == [
        ("PyTorch's time over ours, erann_1_3, batch 1", [0.4, 0.8], "at least 1", False),
        ("PyTorch's time over ours, erann_1_3, batch 8", [2.0, 1.5], "at least 1", True),
    ]
    assert ratios["share of the arithmetic, m3, batch 32"] == pytest.approx([0.02, 0.02])
    assert ratios["share of the arithmetic, erann_1_3, batch 8"] == pytest.approx([0.3, 0.15])
    first, second = text.splitlines()
    assert first.endswith(
        "1 were asked: m3, batch 1 (0.020), m5, batch 1 (0.040), m11, batch 1 (0.060)."
    )
    assert "32 were asked: m3, batch 32 (0.020), m5, batch 32 (0.040), m11, batch 32" in second


def test_batches_are_halved_until_memory_and_time_hold_them(benchmark, monkeypatch):
    free = type("", (), {"available": 10e9 / benchmark.MEMORY_SHARE})
    monkeypatch.setattr(benchmark.psutil, "virtual_memory", lambda: free)
    assert [benchmark.fitting(32, needed, 0) for needed in (0, 3e8, 4e8, 2e10)] == [32, 32, 16, 1]
    seconds = benchmark.MOST_SECONDS / 10
    assert [benchmark.fitting(32, 0, part * seconds) for part in (0.3, 1, 20)] == [32, 8, 1]


@pytest.mark.slow
def test_a_quick_benchmark_measures_every_part(tmp_path):
    pytest.importorskip("torch", reason="PyTorch, a peer of the benchmark, is not installed")
    command = [sys.executable, FOLDER / "inference.py", "--quick", "--to", tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    with open(tmp_path / "inference_quick.csv", newline="", encoding="utf-8") as file:
        rows = {row["measured"]: row for row in csv.DictReader(file)}
    assert [row["unit"] for row in rows.values()].count("clips/s") == 2 * (4 + 1 + 2)
    assert [row["asked"] for row in rows.values() if row["asked"]] == ["at least 1"] * 2 * 2
    for row in rows.values():
        assert 0 < float(row["least"]) <= float(row["median"]) <= float(row["most"])
    for name in ("m3", "m34_res_rb4", "erann_3_1", "two_path_resnet"):
        for size in (1, 2):
            assert rows[f"share of the arithmetic, {name}, batch {size}"]["unit"] == "ratio"


@pytest.mark.parametrize(
    "arguments",
    ["--networks m4", "--batch-sizes 0", "--seconds 0", "--threads 0", "--repeats 0"],
)
def test_wrong_options_are_refused(benchmark, arguments, capsys):
    with pytest.raises(SystemExit):
        benchmark.parse(arguments.split())
    assert arguments.split()[0] in capsys.readouterr().err
