"""The benchmark of the residual blocks runs, and its numbers hang together."""

import csv
import pathlib
import subprocess
import sys

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "residual_blocks.py"


def test_a_quick_benchmark_measures_every_part_and_its_ratios(tmp_path):
    command = [sys.executable, SCRIPT, "--quick", "--to", tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=SCRIPT.parents[1])
    assert ended.returncode == 0, ended.stderr
    with open(tmp_path / "residual_blocks_toy_sounds.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for part in ("preparation, 1 job", "pipeline alone, log-mel", "training step", "SavedModel"):
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
