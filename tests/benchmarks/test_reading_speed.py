"""The benchmark of reading measures real records in all ways, and compares the right sizes."""

import csv
import importlib.util
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from keras_audio.data import open_records

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(FOLDER))
    spec = importlib.util.spec_from_file_location("reading_benchmark", FOLDER / "reading.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_small_benchmark_measures_every_way_of_reading(tmp_path):
    asked = ["--clips", "600", "300", "--repeats", "1", "--to", tmp_path, "--work", tmp_path]
    command = [sys.executable, FOLDER / "reading.py", *asked]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    with open(tmp_path / "reading.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    ways = ["streamed", "streamed, balanced", "in memory"]
    for unit in ("clips/s", "MB at most", "s to the first batch"):
        names = [row["measured"] for row in rows if row["unit"] == unit]
        assert names[-6:] == [f"{number} clips, {way}" for number in (600, 300) for way in ways]
    assert all(float(row["median"]) > 0 for row in rows)
    text = (tmp_path / "reading.md").read_text("utf-8")
    assert "Streamed: 600 clips take " in text and " more than 300, " in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["reading.csv", "reading.md"]


def test_the_generated_records_are_those_of_prepare(benchmark, tmp_path):
    benchmark.write_noises(tmp_path, 700)
    records = open_records(benchmark.NAME, sample_rate=8000, data_dir=tmp_path)
    assert [shard.clips for shard in records.shards([1])] == [233, 233, 234]
    indexed = records.clips([1])
    (records.path / "fold1.index.npz").unlink()
    read = open_records(benchmark.NAME, sample_rate=8000, data_dir=tmp_path)
    assert list(indexed) == list(read.clips([1]))
    assert np.array_equal(indexed.shards, read.clips([1]).shards)
    assert np.array_equal(indexed.offsets, read.offsets([1])) and not np.any(indexed.offsets < 0)
    # The first class has the most clips by far, and hardly any clip is of the last.
    counts = np.bincount(indexed.labels, minlength=benchmark.CLASSES)
    assert counts[0] == counts.max() > 10 * counts[-1]


def test_the_largest_set_is_compared_with_the_smallest(benchmark):
    peaks = {f"{n} clips, {way}": [p, p] for way in ("streamed", "streamed, balanced")
             for n, p in (("1,000", 500), ("5,000", 540), ("11,000", 510))}  # fmt: skip
    rates = {f"{n} clips, {way}": [r] for way in ("streamed", "streamed, balanced")
             for n, r in (("1,000", 80), ("5,000", 1), ("11,000", 40))}  # fmt: skip
    first, second = benchmark.conclude(peaks, rates, [5000, 11_000, 1000])
    assert first == (
        "Streamed: 11,000 clips take 10 MB more than 1,000, 1000 bytes a clip, of which 4,000 are "
        "its samples; they are read 0.50 times as fast."
    )
    assert second.startswith("Streamed, balanced: 11,000")


def test_sizes_of_which_there_is_no_batch_are_refused(benchmark, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["reading.py", "--clips", "100"])
    with pytest.raises(SystemExit):
        benchmark.parse()
    assert "expected --clips of at least 256, not 100" in capsys.readouterr().err
