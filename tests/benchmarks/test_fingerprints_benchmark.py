"""The benchmark of near-duplicates runs, and its copies are found."""

import csv
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "fingerprints.py"


@pytest.mark.slow
def test_a_quick_benchmark_measures_copies_and_others(toy_data, tmp_path):
    command = [sys.executable, SCRIPT, "--quick", "--to", tmp_path]
    command += ["--dataset", "toy_sounds", "--data-dir", toy_data]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    with open(tmp_path / "fingerprints_quick.csv", newline="", encoding="utf-8") as file:
        rows = {
            (row["measured"], row["unit"]): float(row["median"]) for row in csv.DictReader(file)
        }
    for way in ("12 dB quieter", "upside down", "6 ms earlier"):
        assert rows[way, "% found"] == 100
        assert rows[way, "correlation"] > rows["random pairs", "correlation"] + 0.5
    assert rows["400 generated clips: copies found", "pairs"] == 2
    assert rows["400 generated clips: others found", "pairs"] == 0
    assert "% found and confirmed" in (tmp_path / "fingerprints_quick.md").read_text("utf-8")
