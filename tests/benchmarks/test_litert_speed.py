"""The benchmark of LiteRT files measures every file that it was asked for."""

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
    spec = importlib.util.spec_from_file_location("litert_benchmark", FOLDER / "litert.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_measurement_is_the_time_of_one_clip(benchmark, monkeypatch):
    clock, calls = iter([10.0, 10.5]), []
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: next(clock))
    milliseconds = benchmark._milliseconds(lambda waveform: calls.append(waveform), "clip")
    assert calls == ["clip"] * benchmark.CLIPS_A_ROUND
    assert milliseconds == 500 / benchmark.CLIPS_A_ROUND


@pytest.mark.slow
def test_a_quick_benchmark_measures_both_files(tmp_path):
    command = [sys.executable, FOLDER / "litert.py", "--quick", "--to", tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    with open(tmp_path / "litert_quick.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    measured = [(row["measured"], row["unit"]) for row in rows]
    names = [f"binaural_a, {bits} bits" for bits in (16, 32)]
    assert measured == [(name, unit) for unit in ("bytes", "ms a clip") for name in names]
    small, large = (int(row["median"]) for row in rows[:2])
    assert 1.5 * small < large < 2 * small < 80_000
    for row in rows[2:]:
        assert 0 < float(row["least"]) <= float(row["median"]) <= float(row["most"])


@pytest.mark.parametrize(
    "arguments", ["--networks m3", "--networks binaural_a,", "--seconds 0.5", "--repeats 0"]
)
def test_wrong_options_are_refused(benchmark, arguments, capsys):
    with pytest.raises(SystemExit):
        benchmark.parse(arguments.split())
    assert arguments.split()[0] in capsys.readouterr().err
