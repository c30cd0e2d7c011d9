"""The benchmark of the two-path network compares like with like, and its ratios are right."""

import csv
import importlib.util
import pathlib
import subprocess
import sys

import keras
import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(FOLDER))
    spec = importlib.util.spec_from_file_location("two_path_benchmark", FOLDER / "two_path.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_original_structure_is_the_same_network(benchmark):
    # Wide enough that no dead ReLU makes all answers alike.
    keras.utils.set_random_seed(0)
    ours, theirs = benchmark.our_structure(num_filters=4), benchmark.original_two_path(4)
    assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]
    kinds = [type(layer).__name__ for layer in theirs.layers]
    # As in the report's file: two for the halves, one for each shortcut that doubles the channels.
    assert (kinds.count("Lambda"), kinds.count("Concatenate")) == (2 + 6, 6 + 1)
    assert len(ours.losses) == len(theirs.losses) == 36
    benchmark.check_equal(ours, theirs)
    # Weights of the same shapes, but the halves parted elsewhere.
    with pytest.raises(ValueError, match="same probabilities.*Received: difference"):
        benchmark.check_equal(ours, benchmark.our_structure(num_filters=4, split=40))


def test_times_are_compared_round_by_round(benchmark):
    ours, again, original, one = (
        benchmark.OURS,
        benchmark.AGAIN,
        benchmark.ORIGINAL,
        benchmark.ONE,
    )
    values = {
        f"{ours}, training step": [10.0, 5.0, 20.0],
        f"{again}, training step": [10.0, 5.0, 19.0],
        f"{original}, training step": [10.0, 4.0, 20.0],
        f"{one}, training step": [5.0, 2.5, 5.0],
        f"{ours}, prediction": [10.0, 10.0, 10.0],
        f"{again}, prediction": [10.0, 10.0, 9.5],
        f"{original}, prediction": [11.0, 11.0, 10.0],
        f"{one}, prediction": [20.0, 20.0, 20.0],
        benchmark.WHOLE_STEP: [10.0, 10.0, 10.0],
        benchmark.FRONT_END: [100.0, 50.0, 40.0],
    }
    ratios, (text,) = benchmark.compare(values)
    assert ratios[f"{ours} / {original}, training step"].tolist() == [1.0, 0.8, 1.0]
    assert ratios["share of the front end in the training step"].tolist() == [0.1, 0.2, 0.25]
    # More clips a second are less time.
    assert f"{one} / {ours}, training step: 2.000 (2.000 to 4.000) of the time" in text
    assert f"{one} / {ours}, prediction: 0.500 (0.500 to 0.500) of the time" in text
    first, _, second, *_ = text.splitlines()
    assert "1.000 (0.800 to 1.000)" in first and first.endswith("takes 1.000 (1.000 to 1.053).")
    assert "1.100 (1.000 to 1.100)" in second and second.endswith("takes 1.000 (1.000 to 1.053).")


@pytest.mark.slow
def test_a_quick_benchmark_measures_every_part(tmp_path):
    command = [sys.executable, FOLDER / "two_path.py", "--quick", "--to", tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    with open(tmp_path / "two_path_quick.csv", newline="", encoding="utf-8") as file:
        rows = {row["measured"]: row for row in csv.DictReader(file)}
    assert [row["unit"] for row in rows.values()].count("clips/s") == 4 * 2 + 2
    assert [row["unit"] for row in rows.values()].count("ratio of times") == 3 * 2 + 1
    for row in rows.values():
        assert 0 < float(row["least"]) <= float(row["median"]) <= float(row["most"])
        assert row["command"] == f"python benchmarks/two_path.py --quick --to {tmp_path}"
    text = (tmp_path / "two_path_quick.md").read_text("utf-8")
    assert text.count("built again takes") == 2 and "features (128, 40, 3)" in text


@pytest.mark.parametrize(
    "arguments", ["--num-filters 0", "--batch-size 0", "--frames 0", "--repeats 0"]
)
def test_wrong_options_are_refused(benchmark, arguments, capsys):
    with pytest.raises(SystemExit):
        benchmark.parse(arguments.split())
    assert arguments.split()[0] in capsys.readouterr().err
