"""The benchmark behind the page on performance: each way beside what it is compared with."""

import csv
import importlib.util
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "profiles.py"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(SCRIPT.parent))
    spec = importlib.util.spec_from_file_location("profiles_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_way_that_takes_longer_is_above_one(benchmark):
    served, unfolded, half = (
        f"m5, 1 at once: {way}" for way in (benchmark.SERVED, benchmark.UNFOLDED, benchmark.HALF)
    )
    values = {
        "squares": [9.0, 9.0],
        benchmark.LAYER: [2.0, 4.0],
        benchmark.BARE: [1.0, 1.0],
        benchmark.ONE_GROUP: [3.0, 5.0],
        benchmark.POWER: [2.0, 2.0],
        "power by tf.abs": [3.0, 4.0],
        served: [2.0, 2.0],
        unfolded: [4.0, 3.0],
        half: [8.0, 9.0],
        "erann, 5 s, 1 core: clips at once": [3.0, 1.0],
        "erann, 5 s, 1 core: clips one by one": [2.0, 2.0],
    }
    assert benchmark.compare(values) == {
        f"{benchmark.ONE_GROUP} / {benchmark.LAYER}": [1.5, 1.25],
        f"power by tf.abs / {benchmark.POWER}": [1.5, 2.0],
        f"{unfolded} / {served}": [2.0, 1.5],
        f"{half} / {unfolded}": [2.0, 3.0],
        "erann, 5 s, 1 core: clips at once / erann, 5 s, 1 core: clips one by one": [1.5, 0.5],
        f"{benchmark.LAYER} / {benchmark.BARE}": [2.0, 4.0],
    }


@pytest.mark.slow
def test_a_quick_benchmark_measures_parts_ways_and_shares(tmp_path):
    command = [sys.executable, SCRIPT, "--quick", "--to", tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=SCRIPT.parents[1])
    assert ended.returncode == 0, ended.stderr
    with open(tmp_path / "profiles_quick.csv", newline="", encoding="utf-8") as file:
        rows = {row["measured"]: row for row in csv.DictReader(file)}
    # Each line up to decibels does what the ones above it do, and more.
    assert float(rows["ends reflected"]["least"]) < float(rows["decibels"]["most"])
    assert "erann, 1 s, 1 core: clips one by one" in rows
    assert "binaural_a, 2 at once: compiled by XLA" in rows
    shares = [float(row["median"]) for row in rows.values() if row["unit"].startswith("share")]
    assert "erann_3_1, convolutions" in rows and len(shares) == 4
    assert 0 < sum(shares) <= 1
