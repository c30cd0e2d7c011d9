"""The benchmark of exports measures every file that there is, against `predict`."""

import importlib.util
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "exports.py"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(SCRIPT.parent))
    spec = importlib.util.spec_from_file_location("exports_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_file_is_compared_with_predict(benchmark):
    values = {
        "m5, predict": [30.0, 40.0],
        "m5, one graph": [10.0, 10.0],
        "m5, SavedModel": [10.0, 20.0],
    }
    targets, ratios = benchmark.compare(values)
    assert [(target.what, list(target.values), target.asked) for target in targets] == [
        ("time of predict over that of SavedModel, m5", [3.0, 2.0], "at least 3")
    ]
    assert ratios == {"time of predict over that of one graph, m5": [3.0, 4.0]}


@pytest.mark.slow
def test_what_litert_refuses_is_said(benchmark, tmp_path):
    from apart import measures

    measures.clear()
    refused = benchmark.start("erann_3_1", 1.0, 1, tmp_path)
    assert "LiteRT" in refused
    kinds = [benchmark.PREDICT, benchmark.GRAPH, benchmark.SAVED_MODEL]
    assert list(measures) == [f"erann_3_1, {kind}" for kind in kinds]
    assert all(measure() > 0 for measure in measures.values())
    measures.clear()


@pytest.mark.slow
def test_a_quick_benchmark_measures_every_file(tmp_path):
    command = [sys.executable, SCRIPT, "--quick", "--to", tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=SCRIPT.parents[1])
    assert ended.returncode == 0, ended.stderr
    for kind in ("SavedModel", "LiteRT fp32", "LiteRT fp16"):
        assert f"time of predict over that of {kind}, binaural_a" in ended.stdout
