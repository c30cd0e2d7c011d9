"""`keras-audio card`: on real trainings, through the commands, from the folder alone."""

import dataclasses
import json
import pathlib
import re
import shlex
import shutil

import numpy as np
import pytest
import soundfile
import yaml

from keras_audio.cli import main
from keras_audio.cli_parser import build_parser
from keras_audio.cli_recipe import asked_recipe
from keras_audio.evaluation import read_stages
from keras_audio.training import CompressionSettings, RunFolder

TINY = ["network=a", "duration=0.5", "epochs=2", "batch_size=8", "augmentation=none"]


def call(*arguments):
    assert main(list(map(str, arguments))) == 0


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Toy sounds, and a run on them that was trained, measured and exported."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        call("prepare", "toy_sounds", "--sample-rate", 18000, "--resampling", "fourier")
        settings = [f"--set={setting}" for setting in TINY]
        train = ["train", "binaural_waveforms", "--dataset", "toy_sounds", *settings]
        call(*train, "--run", "run", "--export")
        call("card", "run")
    return folder


@pytest.fixture
def card(home):
    return (home / "run" / "model_card.md").read_text(encoding="utf-8")


def test_the_card_says_what_the_run_holds(home, card):
    run = home / "run"
    done = json.loads((run / "done.json").read_text())
    metrics = json.loads((run / "metrics.json").read_text())
    environment = json.loads((run / "environment.json").read_text())
    head = yaml.safe_load(card.split("---\n")[1])
    measured = head["model-index"][0]["results"][0]["metrics"]
    assert measured[0]["value"] == round(metrics["accuracy"], 4)
    assert f"egun on {environment['date'][:10]}, {done['epochs']} epochs" in card
    assert f"tensorflow {environment['packages']['tensorflow']}" in card
    assert "has not ended" not in card and "may not be the metrics" not in card
    # Fold 1 is held out, and fold 2 chose the epoch.
    assert "| test | 1 | 44 |" in card and "| validation | 2 | 44 |" in card
    assert "These numbers flatter" not in card and "had no say" in card
    assert "the Fourier transform of the whole clip" in card


def test_speed_is_measured_and_kept(home, card, capsys):
    speed = json.loads((home / "run" / "speed.json").read_text())
    assert 0 < speed["latency_ms"] < 10_000 and speed["clip_samples"] == 9000
    assert f"**{speed['latency_ms']:.1f} ms** for a clip of 9,000 samples (0.5 s)" in card
    # Written again, without measuring anything, from a place where no records are.
    moved = shutil.copytree(home / "run", home / "elsewhere" / "moved")
    call("card", moved, "--no-speed", "--data-dir", "nowhere")
    assert capsys.readouterr().out == f"card: {moved / 'model_card.md'}\n"
    again = (moved / "model_card.md").read_text(encoding="utf-8")
    assert f"**{speed['latency_ms']:.1f} ms**" in again and "not known here" in again


def test_facts_as_json(home, capsys, monkeypatch):
    monkeypatch.chdir(home)
    call("card", "run", "--no-speed", "--json", "--to", "facts.md")
    facts = json.loads(capsys.readouterr().out)
    run = RunFolder("run")
    assert facts["labels"] == run.labels and facts["input"]["sample_rate"] == 18000
    assert (
        facts["metrics"]["accuracy"]
        == json.loads((run.path / "metrics.json").read_text())["accuracy"]
    )
    assert facts["sizes"]["parameters"] == run.model().count_params()
    assert sum(part["clips"] for part in facts["data"]["parts"]) == 220
    assert pathlib.Path("facts.md").is_file()


def test_the_export_has_a_card_and_what_it_says_works(home, tmp_path, monkeypatch, capsys):
    export = shutil.copytree(home / "run" / "export", tmp_path / "export")
    text = (export / "model_card.md").read_text(encoding="utf-8")
    assert "Not measured" in text and "keras-audio export" not in text
    assert yaml.safe_load(text.split("---\n")[1])["model-index"]
    monkeypatch.chdir(export)
    noise = np.random.default_rng(0).normal(0, 0.1, 20_000)
    soundfile.write("dog.wav", noise, 16000)
    named, plain = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(named, names)
    exec(plain, names)
    labels = RunFolder(home / "run").labels
    assert list(names["probabilities"]) == labels
    assert names["answer"]["probabilities"].shape == (1, len(labels))
    (command,) = re.findall(r"^keras-audio predict .*", text, re.MULTILINE)
    call(*shlex.split(command)[1:])
    best = max(names["probabilities"], key=names["probabilities"].get)
    assert capsys.readouterr().out.split()[1] == best
    # An export with a card in it is one that may be replaced.
    call("export", home / "run", "--to", export, "--force", "--data-dir", home / "data")
    assert (export / "model_card.md").is_file()
    assert main(["export", str(home / "run"), "--to", str(export)]) == 2


def test_a_fine_tuned_run_says_of_what(home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    for label in ("low", "high"):
        pathlib.Path("mine", label).mkdir(parents=True)
        for take in range(4):
            times = np.arange(9000 + take) / 18000
            tone = np.sin(2 * np.pi * (200 if label == "low" else 3000) * times)
            soundfile.write(f"mine/{label}/{take}.wav", 0.5 * tone, 18000)
    settings = [f"--set={setting}" for setting in [*TINY, "batch_size=2", "epochs=1"]]
    call("train", "--init-from", "run", "--dataset", "audio_folder", "--source", "mine", *settings)
    (path,) = pathlib.Path("runs/binaural_waveforms").glob("*-fine_tuned")
    call("card", path, "--no-speed")
    printed = capsys.readouterr().out
    assert f"first keras-audio evaluate {path}" in printed and "without speed" in printed
    text = (path / "model_card.md").read_text(encoding="utf-8")
    assert "began with the weights of `run`" in text and "Not measured" in text
    assert "In training the best accuracy on the validation clips was" in text
    assert "the user's to state" in text and "model-index" not in text
    (command,) = re.findall(r"^keras-audio train .*", text, re.MULTILINE)
    options = build_parser().parse_args(shlex.split(command)[1:])
    assert asked_recipe(options) == RunFolder(path).recipe


def test_a_compressed_run_has_honest_bytes(home, monkeypatch):
    monkeypatch.chdir(home)
    call(*"compress run --smoke --rate 0.1 --until size=20KB --no-scales --to run/small".split())
    call("evaluate", "run/small")
    call("card", "run/small", "--no-speed")
    text = pathlib.Path("run/small/model_card.md").read_text(encoding="utf-8")
    for stage in read_stages("run/small/stages.csv"):
        (row,) = re.findall(rf"^\| {stage.stage}(?: \(kept\))? \|.*", text, re.MULTILINE)
        assert f"| {stage.file_bytes:,} |" in row and f"| {stage.non_zero:,} |" in row
    model = RunFolder("run/small").model()
    assert f"| numbers stored, all of them | {model.count_params():,} |" in text
    assert "kernels were pruned in rounds, of which round" in text
    assert "has not ended" not in text
    # Both commands that made it, and the settings that they ask for.
    train, compress = re.findall(r"^keras-audio (?:train|compress) .*", text, re.MULTILINE)
    options = build_parser().parse_args(shlex.split(train)[1:])
    assert asked_recipe(options) == RunFolder("run").recipe
    options = build_parser().parse_args(shlex.split(compress, comments=True)[1:])
    assert pathlib.Path("run/small", options.run).resolve() == pathlib.Path("run").resolve()
    asked = CompressionSettings(
        **{
            field.name: getattr(options, field.name)
            for field in dataclasses.fields(CompressionSettings)
        }
    )
    stored = CompressionSettings.from_stored(
        json.loads(pathlib.Path("run/small/compression.json").read_text())
    )
    assert asked == stored


def test_what_is_wrong_is_said_in_a_sentence(home, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(home / "run", "broken")
    pathlib.Path("broken/model.keras").unlink()
    for arguments, words in (
        (["nowhere"], ["recipe.json", "nowhere"]),
        (["broken"], ["trained for an epoch", "model.keras"]),
        ([str(home / "run"), "--to", "card.txt"], ["a Markdown file", "card.txt"]),
    ):
        assert main(["card", *arguments, "--no-speed"]) == 2
        error = capsys.readouterr().err.strip()
        assert error.startswith("keras-audio: Expected") and len(error.splitlines()) == 1
        assert all(word in error for word in words), error
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as status:
        main(["card", "--help"])
    assert status.value.code == 0
    text = capsys.readouterr().out
    assert "examples:\n  keras-audio card" in text and "--no-speed" in text
