"""The stages of a compression: which there are, what they are named, and what reports say of it."""

import dataclasses

import numpy as np
import pytest
from report_page import Page
from untrained_runs import untrained

from keras_audio.compress import load_half, shrink
from keras_audio.data import open_records
from keras_audio.evaluation import (
    compression,
    evaluate_run,
    measure_compression,
    read_stages,
    stages_table,
)
from keras_audio.files import read_json, write_json, write_text
from keras_audio.recipes import ResidualBlocks
from keras_audio.serving import UnsupportedByLiteRT
from keras_audio.training import RunFolder

# Toy sounds are of a second, and this network normalises before it pads to two.
LONGER = ResidualBlocks(
    dataset="toy_sounds",
    fold=2,
    network="m3",
    first_stride=16,
    duration=2,
    normalization="standard",
)


@pytest.fixture
def compressed(toy_data, tmp_path):
    """As a compression leaves it that kept the whole network, of which a kernel was zero."""
    records = open_records("toy_sounds", sample_rate=8000, data_dir=toy_data)
    source = untrained(LONGER, records, tmp_path / "run")
    model = RunFolder(source).model()
    (first, *_) = [layer for layer in model.layers if type(layer).__name__ == "Conv1D"]
    kernel = first.kernel.numpy()
    kernel[..., 0] = 0
    first.kernel.assign(kernel)
    model.save(source / "model.keras")
    path = untrained(LONGER, records, source / "compressed")
    shrink(model).model.save(path / "model.keras")
    settings = {"source": "..", "rate": 0.1, "until": "size=500KB", "model": "0" * 64}
    write_json(path / "compression.json", settings | {"kept": 0, "reason": "it was small enough"})
    write_text(
        path / "rounds.csv",
        "round,total,non_zero,kilobytes,score,loss,epochs,seconds\n0,220928,220000,430,0.5,1,1,1\n",
    )
    return path


@pytest.fixture(autouse=True)
def not_timed(monkeypatch):
    """Without the process that takes the time."""
    monkeypatch.setattr(
        compression, "clip_latencies", lambda models, channels: dict.fromkeys(models)
    )


def test_clips_too_short_for_the_litert_file(compressed, toy_data, capsys):
    stages = measure_compression(compressed, data_dir=toy_data)
    assert [stage.stage for stage in stages] == ["whole", "shrunk", "half"]
    assert read_stages(compressed / "stages.csv")[2].file_bytes == stages[2].file_bytes
    # The file is there for sounds that are long enough.
    assert read_json(compressed / "litert/metadata.json")["clip_samples"] == 16000
    clips = len(RunFolder(compressed).held_out)
    said = f"{clips} of {clips} clips are shorter than its 16000 samples"
    captured = capsys.readouterr()
    assert said in captured.out + captured.err


def test_the_weights_of_16_bits_stay_beside_the_model(compressed, toy_data, monkeypatch):
    monkeypatch.setattr(compression, "export_litert", _unsupported)
    half = measure_compression(compressed, data_dir=toy_data, progress=False)[-1]
    assert half.stage == "half"
    file = compressed / "half.npz"
    assert half.file_bytes == file.stat().st_size
    expected, loaded = (RunFolder(compressed).model() for _ in range(2))
    for weight in loaded.weights:
        weight.assign(np.zeros(weight.shape))
    load_half(loaded, file)
    for ours, theirs in zip(loaded.weights, expected.weights, strict=True):
        rounded = theirs.numpy().astype("float16").astype("float32")
        np.testing.assert_array_equal(ours.numpy(), rounded)


def _unsupported(*args, **kwargs):
    raise UnsupportedByLiteRT("Expected operations. Received: others")


def test_a_wrong_file_is_an_error_and_the_stages_before_it_stay(compressed, toy_data, monkeypatch):
    def wrong(*args, **kwargs):
        raise ValueError("Expected the export to answer like the model. Received: otherwise")

    monkeypatch.setattr(compression, "export_litert", wrong)
    with pytest.raises(ValueError, match="to answer like the model"):
        measure_compression(compressed, data_dir=toy_data, progress=False)
    stages = read_stages(compressed / "stages.csv")
    assert [stage.stage for stage in stages] == ["whole", "shrunk", "half"]


def test_what_stands_in_place_of_accuracy_is_named(compressed, toy_data, monkeypatch):
    monkeypatch.setattr(compression, "export_litert", _unsupported)
    measured = {"mean_average_precision": 0.25, "log_loss": 1.5}
    monkeypatch.setattr(compression.HeldOut, "measure", lambda *args: (measured, []))
    stages = measure_compression(compressed, data_dir=toy_data, progress=False)
    assert read_stages(compressed / "stages.csv") == stages
    assert {stage.metric for stage in stages} == {"mean_average_precision"}
    assert {stage.accuracy for stage in stages} == {0.25}
    assert stages_table(stages).split()[:3] == ["stage", "mAP", "loss"]
    # As files were before the column.
    lines = (compressed / "stages.csv").read_text().splitlines()
    assert lines[0].endswith(",metric")
    text = "\n".join(line.rpartition(",")[0] for line in lines)
    (compressed / "stages.csv").write_text(f"{text}\n")
    earlier = read_stages(compressed / "stages.csv")
    assert earlier == [dataclasses.replace(stage, metric="accuracy") for stage in stages]
    assert stages_table(earlier).split()[1] == "accuracy"


def test_the_report_says_that_the_network_is_compressed(compressed, toy_data):
    evaluate_run(compressed, data_dir=toy_data, progress=False)
    page = Page((compressed / "report.html").read_text(encoding="utf-8"))
    title = "residual_blocks on toy_sounds, fold 2 held out, seed 0"
    assert page.words.count(f"{title}, compressed") == 2  # of the tab and the page
    rows = dict(page.tables["Compression"])
    assert (rows["until"], rows["kept"], rows["reason"]) == (
        "size=500KB",
        "0",
        "it was small enough",
    )
    assert "model" not in rows
    model = RunFolder(compressed).model()
    kernels = [layer.kernel.numpy() for layer in model.layers if hasattr(layer, "kernel")]
    weights = sum(np.count_nonzero(kernel) for kernel in kernels)
    assert int(rows["not zero"]) == weights
    assert float(rows["kilobytes in 16 bits"]) == pytest.approx(weights * 2 / 1024, rel=1e-4)
    assert int(rows["numbers stored"]) == sum(int(np.prod(w.shape)) for w in model.weights)
    assert rows["weights of the whole model"] == "220928"
    # Of the whole network nothing of the kind is said.
    evaluate_run(compressed.parent, data_dir=toy_data, progress=False)
    page = Page((compressed.parent / "report.html").read_text(encoding="utf-8"))
    assert page.words.count(f"{title}, unfinished") == 2 and "Compression" not in page.tables
