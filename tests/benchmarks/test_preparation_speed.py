"""The benchmark of preparation writes the same clips as its peer, and compares the right ones."""

import csv
import importlib.util
import pathlib
import subprocess
import sys

import pytest

from data_prep.toy_sounds import write_toy_sounds

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(FOLDER))
    path = FOLDER / "preparation.py"
    spec = importlib.util.spec_from_file_location("preparation_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_quick_benchmark_measures_one_job_and_two_beside_librosa(tmp_path):
    command = [sys.executable, FOLDER / "preparation.py", "--quick", "--to", tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    with open(tmp_path / "preparation_quick_toy_sounds.csv", newline="", encoding="utf-8") as file:
        rows = {row["measured"]: row for row in csv.DictReader(file)}
    for name in ("librosa, one process", "preparation, 1 job", "preparation, 2 jobs"):
        assert rows[name]["unit"] == "clips/s" and float(rows[name]["least"]) > 0
    target = rows["preparation, 2 jobs / librosa, one process"]
    assert target["asked"] == "at least 1.8" and target["met"] in ("yes", "no")
    assert not (tmp_path / "preparation.csv").exists()


def test_both_write_all_clips(benchmark, tmp_path):
    import tensorflow as tf

    rates, about = benchmark.start("toy_sounds", write_toy_sounds(tmp_path / "sounds"), tmp_path)
    assert about.startswith("220 clips, to 8000 Hz")
    assert list(rates) == [benchmark.LIBROSA, benchmark.DECODING, *benchmark.JOBS]
    theirs = sum(1 for _ in tf.data.TFRecordDataset(str(tmp_path / "librosa.tfrecord")))
    prepared = [list((tmp_path / jobs).rglob("*.tfrecord-*")) for jobs in "12"]
    ours = [sum(1 for _ in tf.data.TFRecordDataset(list(map(str, paths)))) for paths in prepared]
    assert [theirs, *ours] == [220] * 3


def test_two_jobs_are_asked_for_more_than_librosa(benchmark):
    values = {
        benchmark.LIBROSA: [10.0, 20.0, 10.0],
        benchmark.DECODING: [20.0, 20.0, 20.0],
        benchmark.ONE_JOB: [10.0, 10.0, 10.0],
        benchmark.TWO_JOBS: [18.0, 30.0, 40.0],
    }
    (target,), ratios = benchmark.compare(values)
    assert target.values == [1.8, 1.5, 4.0] and target.met
    assert ratios["preparation, 2 jobs / preparation, 1 job"] == [1.8, 3.0, 4.0]
    assert ratios["preparation, 1 job / librosa, one process"] == [1.0, 0.5, 1.0]


def test_no_rounds_are_refused(benchmark, capsys):
    with pytest.raises(SystemExit):
        benchmark.parse(["--repeats", "0"])
    assert "--repeats" in capsys.readouterr().err
