"""`keras-audio compress`: from real sounds to a LiteRT file that answers, through the commands."""

import csv
import dataclasses
import pathlib
import shutil

import numpy as np
import pytest

from keras_audio.audio import read_audio
from keras_audio.cli import main
from keras_audio.evaluation import compression, read_stages, stages_table
from keras_audio.evaluation.compression import Stage
from keras_audio.training import RunFolder

TRAIN = (
    "train binaural_waveforms --dataset mine --set network=a --set duration=1 --set epochs=1 "
    "--set batch_size=4 --run run"
)
COMPRESS = "compress run --smoke --rate 0.1 --until size=24KB --to run/compressed"


@pytest.fixture(scope="module")
def folder(esc10_files, tmp_path_factory):
    """A folder with real sounds, prepared, and a run on them that was compressed."""
    home = tmp_path_factory.mktemp("home")
    by_class = {}
    for file in esc10_files:
        by_class.setdefault(file.parent.name, []).append(file)
    for label in sorted(by_class)[:3]:
        (home / "sounds" / label).mkdir(parents=True)
        for file in by_class[label][::6][:6]:
            shutil.copy(file, home / "sounds" / label)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        prepare = "prepare audio_folder --source sounds --name mine --sample-rate 18000"
        assert main([*prepare.split(), "--resampling", "fourier"]) == 0
        assert main(TRAIN.split()) == 0

        assert main(COMPRESS.split()) == 0
    return home


def test_every_stage_is_measured(folder):
    stages = {stage.stage: stage for stage in read_stages(folder / "run/compressed/stages.csv")}
    assert list(stages) == ["whole", "round 1", "shrunk", "half", "litert"]
    whole, pruned, shrunk = stages["whole"], stages["round 1"], stages["shrunk"]
    # One channel in place of two: 1,024 weights fewer than the report's model A.
    assert (whole.total, whole.non_zero) == (12608, 12480)
    # 14 of 16, 14 of 16, 29 of 32 and 58 of 64 kernels, and the classifier.
    assert pruned.non_zero == 14 * 64 + 14 * 64 + 29 * 64 + 58 * 128 + 192
    assert pruned.kilobytes == pytest.approx(pruned.non_zero * 2 / 1024, abs=0.01)
    assert pruned.stored == whole.stored > shrunk.stored
    assert shrunk.macs < pruned.macs == whole.macs
    assert shrunk.accuracy == pruned.accuracy
    assert shrunk.loss == pytest.approx(pruned.loss, abs=1e-4)
    half, litert = stages["half"], stages["litert"]
    assert half.stored_kilobytes == pytest.approx(shrunk.stored_kilobytes / 2, abs=0.01)
    assert half.loss == pytest.approx(shrunk.loss, abs=1e-2)
    # Of clips of 5 s the LiteRT file hears the first second, too.
    assert litert.accuracy == half.accuracy
    assert litert.loss == pytest.approx(shrunk.loss, abs=1e-2)
    file = folder / "run/compressed/litert/model.tflite"
    assert litert.file_bytes == file.stat().st_size
    assert litert.latency_ms > 0


def test_the_test_clips_are_those_of_the_fold_held_out(folder):
    stages = read_stages(folder / "run/compressed/stages.csv")
    run = RunFolder(folder / "run/compressed")
    sounds = {path.stem: path for path in (folder / "sounds").rglob("*.ogg")}
    model, correct = run.model(), []
    for clip, facts in run.split["test"].items():
        waveform, _ = read_audio(
            sounds[pathlib.PurePath(clip).stem], 18000, 1, resampling="fourier"
        )
        correct.append(int(np.argmax(model(waveform[np.newaxis])[0])) == facts["label"])
    assert correct and not set(run.split["test"]) & set(run.split["validation"])
    assert stages[2].stage == "shrunk" and stages[2].accuracy == pytest.approx(
        np.mean(correct), abs=1e-4
    )


def test_the_folder_is_evaluated_and_its_file_predicts(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main("evaluate run/compressed".split()) == 0
    assert (folder / "run/compressed/report.html").is_file()
    sound = str(sorted((folder / "sounds").rglob("*.ogg"))[0])
    capsys.readouterr()
    answers = []
    for model in ("run/compressed", "run/compressed/litert"):
        assert main(["predict", model, sound, "--csv", "answer.csv"]) == 0
        with open("answer.csv", newline="") as file:
            row = next(csv.DictReader(file))
        answers.append([float(row[f"p_{label}"]) for label in RunFolder("run").labels])
    np.testing.assert_allclose(*answers, atol=0.02)


def test_a_finished_compression_is_measured_again_with_resume_alone(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(COMPRESS.split()) == 2
    assert "run/compressed, which is finished; --force makes it anew" in capsys.readouterr().err
    # Without the process that takes the time of Keras models.
    monkeypatch.setattr(compression, "clip_latencies", lambda models, _: dict.fromkeys(models))
    stages = folder / "run/compressed/stages.csv"
    before = [dataclasses.replace(stage, latency_ms=None) for stage in read_stages(stages)]
    stages.unlink()
    assert main([*COMPRESS.split(), "--resume"]) == 0
    again = [dataclasses.replace(stage, latency_ms=None) for stage in read_stages(stages)]
    # A file of a model holds the time at which it was written, so its bytes may differ by a few.
    assert [dataclasses.replace(stage, file_bytes=0) for stage in again] == [
        dataclasses.replace(stage, file_bytes=0) for stage in before
    ]
    assert [stage.file_bytes for stage in again] == pytest.approx(
        [stage.file_bytes for stage in before], rel=0.01
    )
    assert capsys.readouterr().out.splitlines()[-1] == (
        "next: keras-audio predict run/compressed/litert FILE"
    )


def test_rules_are_refused_in_a_sentence(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["compress", "run", "--until", "size=5"]) == 2
    error = capsys.readouterr().err
    assert error == (
        "keras-audio: Expected when to stop as size=500KB, accuracy=0.873 or drop=0.01. "
        "Received: 'size=5'\n"
    )


def test_the_table_names_each_stage_once():
    stage = Stage("round 1", True, 0.5, 1.0, 100, 90, 0.176, 120, 0.469, 1000, "keras", 4000, 1.25)
    header, line = stages_table([stage]).splitlines()
    assert header.split()[:3] == ["stage", "accuracy", "loss"]
    assert line.split() == [
        *("round", "1", "(kept)", "0.5000", "1.000", "100", "90", "0.2", "0.5"),
        *("keras", "4,000", "0.0", "1.2"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "rate, train",
    [
        (8000, "residual_blocks --set normalization=log_mel --set block=rb5"),
        (44100, "erann --set s_m=3 --set width=1"),
        (44100, "two_path --set num_filters=2 --set validation=next --fold 1"),
    ],
)
def test_runs_of_other_recipes_are_compressed(rate, train, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["prepare", "toy_sounds", "--sample-rate", str(rate)]) == 0
    assert main([*f"train {train} --dataset toy_sounds --smoke --run run".split()]) == 0
    assert main("compress run --smoke --rate 0.2 --until drop=0.99".split()) == 0
    stages = {stage.stage: stage for stage in read_stages("run/smoke_compressed/stages.csv")}
    assert {"whole", "round 1", "shrunk", "half"} <= stages.keys()
    assert stages["round 1"].non_zero < stages["whole"].non_zero
    assert stages["shrunk"].stored <= stages["round 1"].stored
    assert stages["shrunk"].loss == pytest.approx(stages["round 1"].loss, abs=1e-3)
    assert main("evaluate run/smoke_compressed".split()) == 0
