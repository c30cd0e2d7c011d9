"""`keras-audio check`: which records it takes, its options, what it prints, its exit status."""

import csv
import json
import pathlib
import shutil

import numpy as np
import pytest
import soundfile

import data_prep
from keras_audio.audit_settings import AuditSettings
from keras_audio.cli import main
from keras_audio.cli_check import find_records
from keras_audio.cli_parser import build_parser


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Eight sounds at three forms; one of fold 1 is in fold 2 again, 20 ms later and quieter."""
    folder = tmp_path_factory.mktemp("check")
    generator = np.random.default_rng(0)
    sounds = [generator.normal(0, 0.1, 6000) for _ in range(7)]
    sounds.append(np.concatenate([np.zeros(160), sounds[0] / 2]))
    rows = ["filename,label,fold,source"]
    for number, sound in enumerate(sounds):
        soundfile.write(folder / f"{number}.wav", sound, 8000)
        rows.append(f"{number}.wav,{('dog', 'rain')[number % 2]},{1 + number // 4},{number}")
    (folder / "sounds.csv").write_text("\n".join(rows) + "\n")
    for rate, channels in ((8000, 1), (4000, 2), (4000, 1)):
        data_prep.prepare(
            "audio_folder",
            source=folder / "sounds.csv",
            dataset_name="sounds",
            data_dir=folder / "data",
            sample_rate=rate,
            channels=channels,
            progress=False,
        )
    return folder / "data"


@pytest.mark.parametrize(
    ("asked", "form"),
    [
        ({}, (8000, 1)),
        ({"sample_rate": 4000}, (4000, 2)),
        ({"sample_rate": 4000, "channels": 1}, (4000, 1)),
        ({"channels": 2}, (4000, 2)),
        ({"channels": 1}, (8000, 1)),
    ],
)
def test_records_of_the_highest_rate_are_taken(asked, form, data):
    records = find_records("sounds", data, **asked)
    assert (records.sample_rate, records.channels) == form


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("sounds --sample-rate 44100", ["44100 Hz", "prepared there", "8000 Hz with 1 channel(s)"]),
        ("nothere", ["records of nothere", "keras-audio prepare"]),
        ("tau_urban_2019/1a", ["keras-audio prepare tau_urban_2019/1a --sample-rate 48000"]),
        ("sounds --near 65", ["Expected near from 0.55 to 1", "near=65"]),
        ("sounds --silent-peak nan", ["silent_peak"]),
        ("sounds --silent-peak=-inf --json", ["silent_peak from -1000", "silent_peak=-inf"]),
        ("sounds --clipped-run 0", ["Expected clipped_run from 1", "clipped_run=0"]),
        ("sounds --recipe nothing", ["Expected a recipe"]),
        ("sounds --recipe erann --set speed=1", ["field of the recipe erann", "speed"]),
        ("sounds --set width=1", ["Expected --recipe with --set"]),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(arguments, words, data, capsys):
    assert main(["check", *arguments.split(), "--data-dir", str(data)]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert error.count("\n") == 1


def test_damaged_records_are_wrong_input(data, tmp_path, capsys):
    shutil.copytree(data / "sounds", tmp_path / "sounds")
    for path in tmp_path.rglob("*fold1.tfrecord*"):
        path.write_bytes(path.read_bytes()[:-3])
    assert main(["check", "sounds", "--data-dir", str(tmp_path)]) == 2
    assert "--force" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["file.txt/clips.csv", "."])
def test_a_table_that_cannot_be_written_is_told_first(where, data, tmp_path, capsys, monkeypatch):
    (tmp_path / "file.txt").write_text("no folder")
    monkeypatch.setattr("keras_audio.data.audit.audit", lambda *_, **__: pytest.fail("audited"))
    table = str(tmp_path / where)
    assert main(["check", "sounds", "--data-dir", str(data), "--csv", table]) == 2
    error = capsys.readouterr().err
    assert f"Received: --csv {table}" in error and error.count("\n") == 1


def test_a_leak_is_found_and_the_status_is_1(data, tmp_path, capsys):
    table = tmp_path / "clips.csv"
    assert main(["check", "sounds", "--data-dir", str(data), "--csv", str(table)]) == 1
    printed = capsys.readouterr().out
    assert "sounds at 8000 Hz with 1 channel(s): 8 clips" in printed
    assert printed.endswith("1 leak(s) between folds, 0 clip(s) that cannot be used\n")
    (line,) = [line for line in printed.splitlines() if " ~ " in line]
    assert line.startswith("1, 2") and "0.020" in line
    assert "0.wav (dog)" in line and "7.wav (rain)" in line
    with open(table, newline="") as file:
        rows = {row["clip_id"]: row for row in csv.DictReader(file)}
    assert len(rows) == 8 and rows["0.wav"]["found"] == "near 7.wav (fold 2)"
    assert rows["1.wav"]["found"] == "" and rows["7.wav"]["seconds"] == "0.7700"


@pytest.mark.parametrize("rate", ["8000", "4000"])
def test_json_is_all_that_is_printed(rate, data, capsys):
    arguments = ["sounds", "--sample-rate", rate, "--json", "--data-dir", str(data)]
    assert main(["check", *arguments]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["leaks"], found["unusable"], found["sample_rate"]) == (1, 0, int(rate))
    (pair,) = found["near_duplicates"]
    assert sorted(pair["clips"]) == ["0.wav", "7.wav"]


def test_the_search_can_be_left_out(data, capsys):
    assert main(["check", "sounds", "--no-near", "--data-dir", str(data)]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith("no leaks between folds, and no clips that cannot be used\n")


@pytest.mark.parametrize(
    ("options", "short"),
    [
        ("--min-seconds 0.76", 7),
        ("--recipe erann", 0),
        ("--recipe residual_blocks --set normalization=log_mel", 0),
        ("--recipe erann --min-seconds 0.76", 7),
    ],
)
def test_what_is_too_short_for_a_recipe(options, short, data, capsys):
    arguments = ["sounds", *options.split(), "--no-near", "--json", "--data-dir", str(data)]
    assert main(["check", *arguments]) == (1 if short else 0)
    found = json.loads(capsys.readouterr().out)
    assert len(found["too_short"]) == found["unusable"] == short


def test_a_recipe_tells_the_clips_that_its_training_refuses(data, capsys, monkeypatch):
    from keras_audio.recipes import ERANN

    monkeypatch.setattr(ERANN, "min_samples", property(lambda recipe: 33_200))
    arguments = ["sounds", "--recipe", "erann", "--no-near", "--json", "--data-dir", str(data)]
    assert main(["check", *arguments]) == 1
    # 33200 samples at the recipe's 44.1 kHz are 753 ms.
    assert len(json.loads(capsys.readouterr().out)["too_short"]) == 7


def test_every_threshold_is_an_option_with_its_default():
    options = build_parser().parse_args(["check", "esc10"])
    asked = {name: getattr(options, name) for name in vars(AuditSettings())}
    assert asked == vars(AuditSettings())
    changed = [f"--{name.replace('_', '-')}=1" for name in asked]
    options = build_parser().parse_args(["check", "esc10", *changed])
    assert {getattr(options, name) for name in asked} == {1}


@pytest.mark.parametrize("option", ["--near=x", "--jobs=0", "--sample-rate=-1"])
def test_numbers_that_are_none(option, capsys):
    with pytest.raises(SystemExit) as status:
        main(["check", "esc10", option])
    assert status.value.code == 2
    assert option.partition("=")[0] in capsys.readouterr().err


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as status:
        main(["check", "--help"])
    assert status.value.code == 0
    text = capsys.readouterr().out
    assert "examples:\n  keras-audio check esc10" in text
    assert "Exit status: 0 nothing is wrong; 1 there are leaks" in text


def test_on_esc10(esc10_files, tmp_path, capsys):
    """The pairs of ESC-10 that are of one recording, among others of their classes."""
    pairs = [
        ("3-151080-A", "5-151085-A"),
        ("2-28314-A", "2-30322-A"),
        ("2-28314-B", "2-30322-B"),
    ]
    files = {path.stem: path for path in esc10_files}
    wanted = {name for pair in pairs for name in pair}
    wanted |= set(sorted(files)[::16])
    root = esc10_files[0].parent.parent
    rows = ["filename,label,fold,source"]
    for name in sorted(wanted):
        fold, source, _ = name.split("-")
        relative = files[name].relative_to(root).as_posix()
        rows.append(f"{relative},{files[name].parent.name},{fold},{source}")
        (tmp_path / relative).parent.mkdir(exist_ok=True)
        (tmp_path / relative).symlink_to(files[name])
    (tmp_path / "some.csv").write_text("\n".join(rows) + "\n")
    data = tmp_path / "data"
    data_prep.prepare(
        "audio_folder",
        source=tmp_path / "some.csv",
        dataset_name="some",
        sample_rate=8000,
        data_dir=data,
        progress=False,
    )
    assert main(["check", "some", "--json", "--data-dir", str(data)]) == 1
    found = json.loads(capsys.readouterr().out)
    stems = {
        tuple(sorted(pathlib.Path(clip).stem for clip in pair["clips"]))
        for pair in found["near_duplicates"]
    }
    assert stems == set(pairs)
    assert found["leaks"] == 1 and found["alike_but_other_waveforms"] == []
