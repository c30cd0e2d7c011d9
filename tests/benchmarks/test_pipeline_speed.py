"""The benchmark of the input pipeline reads the same clips in all ways, and compares the right."""

import csv
import importlib.util
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from data_prep.toy_sounds import write_toy_sounds
from keras_audio.data import open_records

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(FOLDER))
    spec = importlib.util.spec_from_file_location("pipeline_benchmark", FOLDER / "pipeline.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_quick_benchmark_measures_every_way_at_both_rates(tmp_path):
    command = [sys.executable, FOLDER / "pipeline.py", "--quick", "--to", tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    with open(tmp_path / "pipeline_quick_toy_sounds.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["unit"] for row in rows].count("clips/s") == 2 * 6
    targets = [row["measured"] for row in rows if row["asked"]]
    assert targets[0] == "8000 Hz: streamed / librosa in tf.data" and len(targets) == 8
    for row in rows:
        assert 0 < float(row["least"]) <= float(row["median"]) <= float(row["most"])
    # Toy figures do not stand where those on real sounds do.
    assert not (tmp_path / "pipeline.csv").exists()


def test_every_way_reads_all_clips(benchmark, toy_data, tmp_path):
    records = open_records("toy_sounds", sample_rate=8000, data_dir=toy_data)
    paths = benchmark.write_raw(records, tmp_path)
    assert len(paths) == 5
    for by_batch in (False, True):
        assert benchmark.raw_pass(paths[:2] * 2, 8000, by_batch) == 4 * 44
    measures = benchmark.ours(records, [1, 2, 1])
    assert [measure() for measure in measures.values()] == [3 * 44] * 3


def test_librosa_reads_the_same_sounds(benchmark, tmp_path, monkeypatch):
    source = write_toy_sounds(tmp_path / "sounds")
    files = benchmark.list_files("toy_sounds", source)
    assert len(files) == 220 and all(pathlib.Path(file).is_file() for file in files)
    read = []
    monkeypatch.setattr(benchmark, "_clips", lambda dataset, size: read.extend(dataset) or 0)
    benchmark.librosa_pass(files[:2], 8000)
    assert [clip.shape for clip in read] == [(5 * 8000,)] * 2
    assert all(np.ptp(clip) > 0.01 for clip in read)


def test_what_is_asked_is_asked_of_reading_from_records(benchmark):
    values = {}
    for sample_rate, scale in ((8000, 1.0), (44100, 2.0)):
        numbers = {
            benchmark.LIBROSA: [10, 20],
            "bare TFRecords, clip by clip": [100, 400],
            "bare TFRecords, batch by batch": [200, 300],
            benchmark.STREAMED: [50, 100],
            benchmark.FIRST: [100, 400],
            benchmark.LATER: [400, 800],
        }
        for name, (first, second) in numbers.items():
            values[f"{sample_rate} Hz: {name}"] = [scale * first, scale * second]
    targets, ratios = benchmark.compare(values)
    found = {target.what: (list(target.values), target.met) for target in targets}
    for sample_rate in (8000, 44100):
        streamed = f"{sample_rate} Hz: {benchmark.STREAMED}"
        assert found[f"{streamed} / librosa in tf.data"] == ([5, 5], True)
        # The faster of the two ways in each round.
        assert found[f"{streamed} / bare TFRecords"] == ([0.25, 0.25], False)
        first = f"{sample_rate} Hz: {benchmark.FIRST}"
        assert found[f"{first} / bare TFRecords"] == ([0.5, 1], True)
    assert len(found) == 8 and len(ratios) == 4
    assert all(benchmark.LATER in name for name in ratios)


def test_a_folder_that_is_not_esc10_is_one_sentence(tmp_path):
    (tmp_path / "sounds").mkdir()
    options = ["--source", tmp_path / "sounds", "--to", tmp_path / "results"]
    command = [sys.executable, FOLDER / "pipeline.py", *options]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 2 and not (tmp_path / "results").exists()
    assert ended.stderr.strip().splitlines()[-1].startswith("error: Expected ")


@pytest.mark.parametrize("arguments", ["--clips 0", "--repeats 0"])
def test_wrong_options_are_refused(benchmark, arguments, capsys):
    with pytest.raises(SystemExit):
        benchmark.parse(arguments.split())
    assert arguments.split()[0] in capsys.readouterr().err
