"""`keras-audio import` and `parity`: from an original file through every verb that takes a run."""

import json
import pathlib

import numpy as np
import pytest
import soundfile
from original_networks import config_with_code, plain, record, save, two_path
from resnet_files import random_state
from resnet_files import save as save_state

from keras_audio.cli import main
from keras_audio.data import open_records
from keras_audio.recipes import ProgressiveResizing, ResidualBlocks, TwoPath
from keras_audio.training import RunFolder


@pytest.fixture(scope="module")
def place(toy_data, tmp_path_factory):
    """A folder with m3.h5, its recording io.npz and the classes of the toy sounds, labels.txt."""
    folder = tmp_path_factory.mktemp("place")
    labels = open_records("toy_sounds", data_dir=toy_data, sample_rate=8000).labels
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in labels))
    x = np.random.default_rng(3).uniform(-0.5, 0.5, (2, 4000, 1)).astype("float32")
    net = plain("m3", len(labels), x)
    save(folder / "m3.h5", net)
    save(folder / "code.h5", net, config_with_code(folder / "ran"))
    record(folder / "io.npz", net, x)
    # The same layers at a twentieth of the work, for what trains.
    x = x[:, :2000]
    net = plain("m3", len(labels), x, first_stride=80)
    save(folder / "quick.h5", net)
    record(folder / "quick.npz", net, x)
    soundfile.write(folder / "noise.wav", x[0], 8000, subtype="FLOAT")
    return folder


@pytest.fixture
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


IMPORT = "import m3.h5 --as m3 --labels labels.txt"
QUICK = "import quick.h5 --as m3 --labels labels.txt --dataset toy_sounds --set duration=0.25 \
--set first_stride=80 --set normalization=none --set batch_size=8"


def test_every_verb_that_answers_takes_an_import(here, toy_data, capsys):
    data = ["--data-dir", str(toy_data)]
    assert main([*QUICK.split(), "--to", "run", *data]) == 0
    said = capsys.readouterr().out
    assert "for waveforms at 8000 Hz of 1 channel(s)" in said
    assert "to be measured on toy_sounds, fold 1 (its clips known)" in said

    assert main(["evaluate", "run", *data]) == 0
    assert "imported from            quick.h5" in capsys.readouterr().out
    assert json.loads(pathlib.Path("run/metrics.json").read_text())["imported_from"] == "quick.h5"

    with np.load("quick.npz") as recorded:
        expected = recorded["y"][0]
    labels = RunFolder("run").labels
    assert main(["export", "run", *data]) == 0
    assert main(["export", "run", "--format", "litert", *data]) == 0
    for model in ("run", "run/export", "run/export_litert"):
        capsys.readouterr()
        assert main(["predict", model, "noise.wav", "--json", "--top", str(len(labels))]) == 0
        answer = json.loads(capsys.readouterr().out)["classes"]
        found = {row["label"]: row["probability"] for row in answer}
        np.testing.assert_allclose([found[label] for label in labels], expected, atol=1e-4)

    again = ["train", "residual_blocks", "--run", "run", "--resume", "--dataset", "toy_sounds"]
    assert main([*again, *data]) == 2
    assert "--init-from starts a new one" in capsys.readouterr().err
    assert main([*QUICK.split(), "--to", "run", "--force", *data]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Received: run with export, export_litert, metrics.json, predictions.csv, report" in said


@pytest.mark.slow
def test_every_verb_that_trains_takes_an_import(here, toy_data, capsys):
    data = ["--data-dir", str(toy_data)]
    assert main([*QUICK.split(), "--to", "source", *data]) == 0
    assert main(["compress", "source", "--smoke", *data]) == 0
    assert "whole" in capsys.readouterr().out
    train = ["train", "--init-from", "source", "--dataset", "toy_sounds", "--smoke", *data]
    assert main(train) == 0
    assert "smoke test passed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--as m5", "Received: path=m3.h5 (conv1d_1/kernel has shape (80, 1, 256), expected "),
        ("--as binaural_a", "Expected for binaural_a a PyTorch state dict file"),
        ("--as m4", "there are original files of, such as m5, m3"),
        ("--as m34", "there are original files of, such as m3, m34_res. Received: m34"),
        ("--as erann_1_3", "there are original files of"),
        ("--labels none.txt", "labels=none.txt (No such file or directory)"),
        ("--labels io.npz", "labels=io.npz (no UTF-8 text)"),
        ("--labels two.txt", "labels, one a class of m3.h5. Received: 2 labels"),
        ("--set block=rb7", "Expected block to be"),
        ("--set network=m5", "Expected settings of m3, the network of --as. Received: those of m5"),
        ("--set first_stride=0", "Expected first_stride to be at least 1"),
        ("--set channels=2", "has shape (80, 1, 256), expected (80, 2, 256)"),
        ("--to labels.txt", "Expected a new folder for the import. Received: labels.txt, a file"),
        ("--to .", "Expected a new or empty folder for the import. Received: ."),
    ],
)
def test_what_does_not_fit_is_one_sentence(options, said, here, capsys):
    pathlib.Path("two.txt").write_text("a\nb\n")
    before = sorted(here.parent.rglob("*"))
    arguments = [*IMPORT.split(), "--to", "none", *options.split()]
    assert main(arguments) == 2
    text = capsys.readouterr().err
    assert said in text and text.count("\n") == 1
    assert sorted(here.parent.rglob("*")) == before


def test_code_is_refused_by_its_layer_and_never_run(here, capsys):
    command = ["import", "code.h5", "--as", "m3", "--labels", "labels.txt", "--to", "arrays"]
    for arguments in (command, ["parity", "code.h5", "io.npz", "--as", "m3"]):
        assert main(arguments) == 2
        text = capsys.readouterr().err
        assert "its layer lambda_1 is a Lambda" in text and text.count("\n") == 1
        assert main([*arguments, "--arrays-only"]) == 0
    assert not (here / "ran").exists()


def imported(file, model, classes, *options):
    pathlib.Path("labels.txt").write_text("".join(f"class {n}\n" for n in range(classes)))
    arguments = ["import", str(file), "--as", model, "--labels", "labels.txt", *options]
    assert main(arguments) == 0


def test_by_default_the_folder_is_named_after_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = np.ones((1, 4000, 1), "float32")
    imported(save(tmp_path / "best.weights.h5", plain("m5", 4, x)), "m5", 4)
    run = RunFolder("runs/residual_blocks/best.weights-imported")
    assert run.recipe == ResidualBlocks(network="m5") and run.split is None


@pytest.mark.parametrize(
    ("channels", "classes", "dataset", "sample_rate"),
    [
        (3, 10, "tau_urban_2019/1b", 44100),
        (3, 11, "tau_urban_2019/1c", 44100),
        (6, 10, "tau_urban_2019/1a", 48000),
    ],
)
def test_two_path_network_hears_what_its_task_records(
    channels, classes, dataset, sample_rate, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(1, 128, 16, channels)).astype("float32")
    imported(save(tmp_path / "two.h5", two_path(classes, x)), "two_path_resnet", classes)
    recipe = RunFolder("runs/two_path/two-imported").recipe
    assert recipe == TwoPath.for_dataset(dataset)
    assert (recipe.channels, recipe.sample_rate) == (channels // 3, sample_rate)


def test_resnet_keeps_its_classifier_and_its_width(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = random_state("resnet10", filters=4, classes=6)
    file = save_state(tmp_path / "r.safetensors", state)
    imported(file, "resnet10", 6, "--set", "frames=301", "--to", "run")
    run = RunFolder("run")
    assert run.recipe == ProgressiveResizing(network="resnet10", num_filters=4, frames=301)
    kernel = run.model().get_layer("logits").kernel
    np.testing.assert_array_equal(kernel, state["fc.weight"].T)


def test_an_answer_that_is_no_number_is_beyond_any_tolerance(here, capsys):
    with np.load("io.npz") as recorded:
        np.savez("loud.npz", x=np.full_like(recorded["x"], 1e38), y=recorded["y"])
    command = ["parity", "m3.h5", "loud.npz", "--as", "m3"]
    assert main(command) == 1
    assert "beyond any tolerance: predictions" in capsys.readouterr().out
    assert main([*command, "--tolerance", "1e9"]) == 1
    assert "beyond 1e+09: predictions" in capsys.readouterr().out
    assert main([*command, "--json"]) == 1

    def no_json(name):
        raise AssertionError(name)

    answer = json.loads(capsys.readouterr().out, parse_constant=no_json)
    (row,) = answer["rows"]
    assert answer["beyond"] == ["predictions"] and row["absolute"] is row["relative"] is None


def test_parity_is_a_table_and_a_status(here, capsys):
    command = ["parity", "m3.h5", "io.npz", "--as", "m3"]
    assert main([*command, "--tolerance", "1e-4"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == ["output", "array", "shape", "absolute", "relative", "largest", "at"]
    assert [line.split()[0] for line in said[1:4]] == ["embedding", "logits", "predictions"]
    assert said[4:] == ["all within 0.0001"]
    with np.load("io.npz") as recorded:
        np.savez("off.npz", **{**recorded, "y": recorded["y"] + 0.01, "noise": recorded["x"]})
    command[2] = "off.npz"
    assert main([*command, "--tolerance", "1e-4"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[4:] == ["not compared: noise", "beyond 0.0001: predictions"]
    assert main(command) == 0
    assert "within" not in capsys.readouterr().out
    assert main([*command, "--json", "--tolerance", "1e-4"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["model"], answer["beyond"], answer["not_compared"]) == (
        "m3",
        ["predictions"],
        ["noise"],
    )
    assert answer["rows"][2]["absolute"] == pytest.approx(0.01, rel=1e-2)
    assert main([*command, "--layer", "predictions=noise"]) == 2
    assert "Expected a recording of predictions" in capsys.readouterr().err
    assert main([*command, "--layer", "logits", "--layer", "logits=y"]) == 2
    assert "Expected a layer once" in capsys.readouterr().err
