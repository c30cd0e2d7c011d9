"""The benchmark of the command line runs the real one, and says what is asked of it."""

import csv
import pathlib
import subprocess
import sys

import pytest
import soundfile

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def inputs():
    sys.path.insert(0, str(FOLDER))
    import prediction_inputs

    return prediction_inputs


def test_generated_sounds_have_one_length_and_the_formats_of_the_toy_sounds(inputs, tmp_path):
    files = inputs.write_sounds(tmp_path, 12, 1.5)
    infos = [soundfile.info(path) for path in files]
    assert [info.duration for info in infos] == pytest.approx([1.5] * 12, abs=1e-4)
    assert len({info.samplerate for info in infos}) > 2
    assert {info.channels for info in infos} == {1, 2}


def test_real_sounds_are_taken_as_they_are_and_again_if_there_are_few(inputs, tmp_path):
    source = tmp_path / "real"
    source.mkdir()
    for number in range(3):
        soundfile.write(source / f"{number}.flac", [0.1 * number] * 800, 8000)
    files = inputs.write_sounds(tmp_path, 5, 9.0, source)
    assert [path.resolve().stem for path in files] == ["0", "1", "2", "0", "1"]
    assert len(set(files)) == 5 and all(path.suffix == ".flac" for path in files)


@pytest.mark.slow
def test_a_quick_benchmark_measures_help_and_predictions(tmp_path):
    command = [sys.executable, FOLDER / "command_line.py", "--quick", "--to", tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    with open(tmp_path / "command_line_quick.csv", newline="", encoding="utf-8") as file:
        rows = {row["measured"]: row for row in csv.DictReader(file)}
    asked = {name: row["asked"] for name, row in rows.items() if row["asked"]}
    assert asked == {
        "--help": "at most 0.5",
        "predict --help": "at most 0.5",
        "predict one file with m5": "at most 8",
        "10 files over one, predict with m5": "at most 3",
    }
    times = [float(rows[name]["median"]) for name in ("--help", "predict one file with m5")]
    assert 0 < times[0] < times[1]
