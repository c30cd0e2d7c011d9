"""The command line: what it prints, its exit status, and the whole way on real sound."""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
import soundfile

from keras_audio.cli import main

TINY = ["network=m3", "first_stride=16", "duration=1", "batch_size=16", "epochs=2"]


def run(*arguments):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "keras_audio.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def call(capsys):
    """The command in this process, with what it prints."""

    def call(*arguments):
        capsys.readouterr()
        status = main(list(map(str, arguments)))
        printed = capsys.readouterr()
        return types.SimpleNamespace(returncode=status, stdout=printed.out, stderr=printed.err)

    return call


@pytest.mark.parametrize(
    "verb", ["", "demo", "datasets", "prepare", "models", "train", "evaluate", "export", "predict"]
)
def test_help_teaches_by_examples(verb, capsys):
    with pytest.raises(SystemExit) as status:
        main([*verb.split(), "--help"])
    assert status.value.code == 0
    text = capsys.readouterr().out
    assert f"examples:\n  keras-audio {verb}" in text


def test_help_and_datasets_load_neither_tensorflow_nor_keras():
    script = """
import sys
from keras_audio.cli import main
assert main(["datasets"]) == 0
try:
    main(["train", "--help"])
except SystemExit:
    pass
heavy = {"tensorflow", "keras", "librosa", "sklearn", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_datasets_lists_licence_clips_classes_folds_and_origin(capsys):
    assert main(["datasets"]) == 0
    text = capsys.readouterr().out
    entry = text[text.index("urbansound8k") :].split("\n\n")[0]
    assert all(
        word in entry for word in ("8732 clips", "10 classes", "10 folds", "CC BY-NC", "http")
    )
    assert main(["datasets", "--json"]) == 0
    names = [card["name"] for card in json.loads(capsys.readouterr().out)]
    assert {"toy_sounds", "audio_folder", "esc10", "esc50", "urbansound8k"} <= set(names)


def test_models_are_listed_by_pattern(capsys):
    assert main(["models", "m34*"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [f"m34_res_rb{i}" for i in range(1, 7)]


def test_a_network_of_any_width_is_found_with_what_it_costs(capsys):
    assert main(["models", "erann_*"]) == 0
    printed = capsys.readouterr()
    assert "erann_2_5" in printed.out and "erann_2_1 " not in printed.out
    assert "any width W from 1" in printed.err
    costs = []
    for seconds in ("2", "4"):
        assert main(["models", "erann_3_1", "--macs", seconds]) == 0
        line = capsys.readouterr().out.splitlines()[1]
        costs.append(
            int(re.search(r"([0-9,]+) million multiply-accumulates", line)[1].replace(",", ""))
        )
    assert costs[1] == pytest.approx(2 * costs[0], rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["models", "erann_4_1"], ["erann_", "erann_4_1"]),
        (["prepare", "esc51"], ["esc50"]),
        (["prepare", "esc10", "--source", "nowhere"], ["nowhere"]),
        (["train", "residual_block"], ["residual_blocks"]),
        (["train", "residual_blocks", "--set", "block=rb9"], ["rb1", "rb9"]),
        (["train", "residual_blocks", "--data-dir", "nowhere"], ["urbansound8k", "nowhere"]),
        (["train", "residual_blocks", "--seed", "1", "--set", "seed=2"], ["--seed", "seed=2"]),
        (["train", "residual_blocks", "--seed", "99999999999"], ["2**32", "99999999999"]),
        (["evaluate", "nowhere"], ["recipe.json", "nowhere"]),
        (["evaluate", "nowhere", "nowhere/model.keras"], ["recipe.json", ".keras", "nowhere"]),
        (["evaluate", "nowhere", "--to", "mean"], ["recipe.json", "nowhere"]),
        (["export", "nowhere"], ["nowhere"]),
        (["predict", "nowhere", "dog.wav"], ["nowhere"]),
    ],
)
def test_wrong_input_is_one_sentence_and_status_2(arguments, words, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    errors = capfd.readouterr().err.strip()
    assert errors.startswith("keras-audio: ")
    assert "Traceback" not in errors and len(errors.splitlines()) == 1
    assert all(word in errors for word in words)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def trained(toy_data, tmp_path_factory):
    """A run trained through the command line, and what that printed."""
    path = tmp_path_factory.mktemp("cli") / "run"
    settings = [f"--set={setting}" for setting in TINY]
    result = run(
        *["train", "residual_blocks", "--dataset", "toy_sounds", "--fold", 1, *settings],
        *["--data-dir", toy_data, "--run", path],
    )
    assert result.returncode == 0, result.stderr
    return path, result


def test_train_prints_a_line_a_round_and_what_comes_next(trained):
    path, result = trained
    assert re.search(r"round 2/2 .*val_accuracy 0\.\d+", result.stdout + result.stderr)
    assert f"keras-audio evaluate {path}" in result.stdout
    # TensorFlow's own notes are not the user's business.
    assert "oneDNN" not in result.stderr and "cuda" not in result.stderr.lower()


def test_evaluate_export_and_predict(trained, toy_data, tmp_path, call):
    path, _ = trained
    result = call("evaluate", path, "--data-dir", toy_data)
    assert result.returncode == 0, result.stderr
    metrics = json.loads((path / "metrics.json").read_text())
    assert f"{metrics['accuracy']:.4f}" in result.stdout
    assert (path / "report.html").stat().st_size > 10_000

    export = tmp_path / "export"
    result = call("export", path, "--to", export)
    assert result.returncode == 0, result.stderr
    again = call("export", path, "--to", export)
    assert again.returncode == 2 and str(export) in again.stderr

    # The same clips through the run and through the export, with one that is no sound.
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    rng = np.random.default_rng(0)
    soundfile.write(sounds / "a.wav", rng.uniform(-0.5, 0.5, (44100, 2)), 44100)
    soundfile.write(sounds / "b.flac", rng.uniform(-0.5, 0.5, 4000), 16000)
    (sounds / "c.wav").write_bytes(b"not a sound")
    answers = []
    for model in (path, export):
        result = call("predict", model, sounds, "--json", "--top", 2, "--csv", tmp_path / "o.csv")
        assert result.returncode == 1
        assert "c.wav" in result.stderr and "1 of 3 files" in result.stderr
        answers.append([json.loads(line) for line in result.stdout.splitlines()])
    names = [pathlib.Path(answer["path"]).name for answer in answers[0]]
    assert names == ["a.wav", "b.flac", "c.wav"]
    assert ["error" in answer for answer in answers[0]] == [False, False, True]
    assert answers[0] == answers[1]
    header = (tmp_path / "o.csv").read_text().splitlines()[0]
    assert len(header.split(",")) >= 11


def test_evaluate_the_mean_of_models(trained, toy_data, tmp_path, capsys):
    path, _ = trained
    other = shutil.copytree(path, tmp_path / "other")
    (other / "snapshots").mkdir()
    snapshot = (other / "model.keras").rename(other / "snapshots" / "epoch-0002.keras")
    arguments = ["evaluate", path, snapshot, "--to", tmp_path / "mean", "--data-dir", toy_data]
    # The same weights twice are no mean.
    assert main(list(map(str, arguments))) == 2
    assert f"{path} and {snapshot} with equal prob" in capsys.readouterr().err
    model = keras.models.load_model(snapshot, compile=False)
    model.set_weights([0.99 * weight for weight in model.get_weights()])
    model.save(snapshot)
    assert main(list(map(str, arguments))) == 0
    printed = capsys.readouterr().out
    metrics = json.loads((tmp_path / "mean" / "metrics.json").read_text())
    assert [member["path"] for member in metrics["members"]] == [str(path), str(snapshot)]
    for member in metrics["members"]:
        assert f"{member['path']}: accuracy {member['accuracy']:.4f}, balanced" in printed
    assert f"report: {tmp_path / 'mean' / 'report.html'}" in printed
    # Snapshots, here but one, are measured beside their run.
    arguments = ["evaluate", str(snapshot.parent), "--data-dir", str(toy_data), "--json"]
    assert main(arguments) == 0
    assert len(json.loads(capsys.readouterr().out)["members"]) == 1
    assert sorted(file.name for file in (other / "ensemble").iterdir())[0] == "metrics.json"
    # One run goes elsewhere as it is.
    arguments = ["evaluate", str(path), "--data-dir", str(toy_data)]
    assert main([*arguments, "--to", str(tmp_path / "one")]) == 0
    assert f"report: {tmp_path / 'one' / 'report.html'}" in capsys.readouterr().out
    assert "Learning curves" in (tmp_path / "one" / "report.html").read_text(encoding="utf-8")
    # Toy sounds have no unknown class.
    assert main([*arguments, "--unknown-weight", "tune"]) == 2
    assert "unknown_weight='tune' for toy_sounds" in capsys.readouterr().err


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf", "best"])
def test_a_weight_is_a_number_above_zero_or_tune(weight, capsys):
    with pytest.raises(SystemExit) as status:
        main(["evaluate", "run", f"--unknown-weight={weight}"])
    assert status.value.code == 2
    assert f"a number above 0 or tune, got '{weight}'" in capsys.readouterr().err


def test_a_changed_recipe_is_refused(trained, toy_data, call):
    path, _ = trained
    settings = [f"--set={setting}" for setting in TINY]
    result = call(
        *["train", "residual_blocks", "--dataset", "toy_sounds", "--fold", 1, *settings],
        *["--set=l2=0", "--data-dir", toy_data, "--run", path, "--resume"],
    )
    assert result.returncode == 2
    assert "l2: 0.0001 there, 0.0 asked for" in result.stderr


def test_smoke_runs_a_few_steps_of_everything(toy_data, tmp_path, call):
    result = call(
        *["train", "residual_blocks", "--dataset", "toy_sounds", "--fold", 1, "--smoke"],
        *["--set=normalization=log_mel", "--set=duration=1"],
        *["--data-dir", toy_data, "--runs", tmp_path],
    )
    assert result.returncode == 0, result.stderr
    assert "smoke test passed: 10 classes" in result.stdout
    folder = tmp_path / "smoke" / "residual_blocks" / "toy_sounds-fold1-seed0"
    assert (folder / "report.html").is_file()
    assert (folder / "export" / "saved_model.pb").is_file()


def test_your_own_folder_becomes_a_data_set(tmp_path, call):
    rng = np.random.default_rng(0)
    for label in ("hum", "hiss"):
        (tmp_path / "mine" / label).mkdir(parents=True)
        for take in range(4):
            sound = rng.uniform(-0.1, 0.1, 8000)
            if label == "hum":
                sound = 0.3 * np.sin(2 * np.pi * 100 * np.arange(8000) / 8000) + 0.1 * sound
            soundfile.write(tmp_path / "mine" / label / f"{take}.wav", sound, 8000)
    (tmp_path / "mine" / "hum" / "broken.wav").write_bytes(b"RIFF")
    arguments = ["prepare", "audio_folder", "--source", tmp_path / "mine", "--name", "mine"]
    arguments += ["--sample-rate", 8000, "--data-dir", tmp_path / "data"]
    refused = call(*arguments)
    assert refused.returncode == 2 and "hum/broken.wav" in refused.stderr
    allowed = call(*arguments, "--allow-missing")
    assert allowed.returncode == 1
    assert "8 clips" in allowed.stdout and "hum/broken.wav" in allowed.stderr
