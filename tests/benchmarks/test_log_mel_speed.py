"""The benchmark of log-mel spectrograms measures what it says, each ratio the right way up."""

import csv
import importlib.util
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "log_mel.py"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(SCRIPT.parent))
    spec = importlib.util.spec_from_file_location("log_mel_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_more_clips_a_second_are_less_time(benchmark):
    values = {
        f"erann, 1 core, {kind}": rates
        for kind, rates in {
            benchmark.OURS: [10.0, 20.0],
            benchmark.LIBROSA: [5.0, 5.0],
            benchmark.TORCH: [2.0, 2.0],
            benchmark.FFT: [20.0, 20.0],
            benchmark.KAPRE: [10.0, 10.0],
        }.items()
    }
    targets, ratios = benchmark.compare(values)
    found = {target.what: (list(target.values), target.asked) for target in targets}
    assert found == {
        "librosa's time over ours, erann, 1 core": ([2.0, 4.0], "at least 1.7"),
        "PyTorch's time over ours, erann, 1 core": ([5.0, 10.0], "at least 3"),
        "our time over that of the bare transforms, erann, 1 core": ([2.0, 1.0], "at most 1.6"),
    }
    assert ratios == {"kapre's time over ours, erann, 1 core": [1.0, 2.0]}


@pytest.mark.parametrize("setting", ["erann", "two_path", "progressive"])
def test_the_settings_are_those_of_the_papers(benchmark, setting):
    from keras_audio.layers import LogMelImage, LogMelSpectrogram
    from keras_audio.models import create_model

    layer = LogMelSpectrogram(**benchmark.SETTINGS[setting])
    if setting == "progressive":
        theirs = LogMelImage(22050)
        names = ("n_fft", "hop_length", "num_mels", "top_db")
    else:
        network = {"erann": "erann_3_1", "two_path": "two_path_resnet"}[setting]
        theirs = create_model(network, 2).get_layer("log_mel")
        names = sorted(set(layer.get_config()) - {"name"})
    for name in names:
        assert getattr(layer, name) == getattr(theirs, name), name


@pytest.mark.slow
def test_a_quick_benchmark_measures_all(tmp_path):
    pytest.importorskip("torch", reason="needs torch: pip install torch")
    command = [sys.executable, SCRIPT, "--quick", "--threads", "1", "--to", tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=SCRIPT.parents[1])
    assert ended.returncode == 0, ended.stderr
    with open(tmp_path / "log_mel_quick.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sum(row["asked"] != "" for row in rows) == 3 * 4
    for row in rows:
        assert 0 < float(row["least"]) <= float(row["median"]) <= float(row["most"])
