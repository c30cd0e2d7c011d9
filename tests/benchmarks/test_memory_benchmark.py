"""The benchmark of memory runs, and measures the processes that it means."""

import csv
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"
# Holds so many MB and starts one that holds as many.
HOLDS = """
import subprocess, sys, time
held = b"1" * int(sys.argv[1]) * 10**6
if len(sys.argv) > 2:
    subprocess.run([sys.executable, "-c", sys.argv[2], sys.argv[1]], check=True)
time.sleep(0.5)
"""


@pytest.fixture(scope="module")
def processes():
    sys.path.insert(0, str(FOLDER))
    import processes

    return processes


def test_the_peak_is_of_a_process_and_of_those_it_starts(processes):
    peak = processes.peak_of([sys.executable, "-c", HOLDS, 200])
    assert 200 < peak < 260
    both = processes.peak_of([sys.executable, "-c", HOLDS, 200, HOLDS])
    assert 400 < both < 500


def test_a_command_that_fails_is_an_error_with_what_it_said(processes):
    for measure in (processes.peak_of, processes.seconds_of):
        with pytest.raises(RuntimeError, match="failed:\nnot today"):
            measure([sys.executable, "-c", "import sys; sys.exit('not today')"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--files", "100", "100"], "expected --files of two numbers that grow, not 100 100"),
        (["--minutes", "0", "3"], "expected --minutes of two numbers that grow, not 0 3"),
        (["--repeats", "0"], "expected --repeats of at least 1, not 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(processes, capsys, arguments, message):
    import memory

    with pytest.raises(SystemExit):
        memory.parse(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_quick_benchmark_measures_a_recipe_and_long_files(tmp_path):
    command = [sys.executable, FOLDER / "memory.py", "--quick", "--to", tmp_path]
    ended = subprocess.run([*command, "--work", tmp_path], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    with open(tmp_path / "memory_quick.csv", newline="", encoding="utf-8") as file:
        rows = {row["measured"]: row for row in csv.DictReader(file)}
    base = float(rows["TensorFlow and Keras, nothing else"]["median"])
    for verb in ("train", "predict"):
        assert float(rows[f"residual_blocks, {verb}"]["median"]) > base
    assert float(rows["residual_blocks, prepare"]["median"]) > 0
    asked = [row for row in rows.values() if row["asked"]]
    assert [row["asked"] for row in asked] == ["at most 1.1"] * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "memory_quick.csv",
        "memory_quick.md",
    ]
