"""The benchmark of ERANN runs, its ratios are right, and it asks for the memory there is."""

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
    spec = importlib.util.spec_from_file_location("erann_benchmark", FOLDER / "erann.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_quick_benchmark_measures_every_part(tmp_path):
    command = [sys.executable, FOLDER / "erann.py", "--quick", "--to", tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    with open(tmp_path / "erann_quick.csv", newline="", encoding="utf-8") as file:
        rows = {row["measured"]: row for row in csv.DictReader(file)}
    networks = [f"erann_{s_m}_1, batch {size}" for s_m in (0, 3) for size in (1, 2)]
    for name in [*networks, "erann_3_1, front end alone, batch 2"]:
        assert rows[name]["unit"] == "clips/s"
    assert rows["erann_3_1, training step, batch 4 of 1 s"]["unit"] == "clips/s"
    assert rows["erann_3_1 / erann_0_1, batch 2"]["unit"] == "ratio"
    assert float(rows["erann_0_1"]["median"]) > float(rows["erann_3_1"]["median"])
    for row in rows.values():
        assert 0 < float(row["least"]) <= float(row["median"]) <= float(row["most"])
        assert row["command"] == f"python benchmarks/erann.py --quick --to {tmp_path}"
    text = (tmp_path / "erann_quick.md").read_text("utf-8")
    assert "by multiply-accumulates." in text and "of its time; at most a third: " in text


def test_ratios_stand_beside_the_papers(benchmark):
    systems = [(0, 6), (1, 6), (2, 6), (3, 1)]
    macs = {"erann_0_6": 120, "erann_1_6": 60, "erann_2_6": 40, "erann_3_1": 1}
    values = {f"erann_{s_m}_{w}, batch 32": [2.0 * s_m + 1, 4.0 * s_m + 1] for s_m, w in systems}
    values["erann_3_1, front end alone, batch 32"] = [28.0, 26.0]
    ratios, (text,) = benchmark.compare(systems, [32], values, macs)
    assert ratios["erann_1_6 / erann_0_6, batch 32"].tolist() == [3, 5]
    # Table 4: 108 / 74 and 124 / 74.
    assert "erann_1_6 / erann_0_6, batch 32: 4.00 here, 1.46 on the paper's V100, 2.00 by" in text
    assert "erann_2_6 / erann_0_6, batch 32: 7.00 here, 1.68 on the paper's V100, 3.00 by" in text
    assert "erann_3_1 / " not in text  # there is no erann_0_1 to compare it with
    # 7/28 and 13/26 of the time.
    assert "share of the front end, batch 32: 0.38 of its time; at most a third: NOT met." in text


def test_batches_are_halved_until_the_memory_holds_them(benchmark, monkeypatch):
    free = type("", (), {"available": 10e9 / benchmark.MEMORY_SHARE})
    monkeypatch.setattr(benchmark.psutil, "virtual_memory", lambda: free)
    assert [benchmark.fitting(32, needed) for needed in (0, 3e8, 4e8, 2e9, 2e10)] == [
        *(32, 32, 16, 4, 1),
    ]


@pytest.mark.parametrize(
    "arguments", ["--systems 4-1", "--batch-sizes 0", "--seconds 0", "--repeats 0"]
)
def test_wrong_options_are_refused(benchmark, arguments, capsys):
    with pytest.raises(SystemExit):
        benchmark.parse(arguments.split())
    assert arguments.split()[0] in capsys.readouterr().err
