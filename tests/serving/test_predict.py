import csv
import itertools
import json
import os
import pathlib
import threading
import weakref

import numpy as np
import pytest
import soundfile
from small_model import LABELS, RATE

from keras_audio import audio
from keras_audio.cli import main
from keras_audio.serving import (
    FilePrediction,
    find_audio_files,
    load_classifier,
    predict_files,
    to_json,
    top_classes,
    write_csv,
)


@pytest.fixture(scope="module")
def classifier(exported):
    return load_classifier(exported)


@pytest.fixture
def folder(tmp_path, random):
    """Mono and stereo, three rates, a long one, a bad one, and files that are no sounds."""

    def write(name, samples, channels, rate, **options):
        path = tmp_path / "sounds" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, random.uniform(-0.5, 0.5, (samples, channels)), rate, **options)

    write("a_mono.wav", 3000, 1, RATE)
    write("b_stereo.wav", 44100, 2, 44100, subtype="PCM_24")
    write("d_long.flac", 20 * RATE, 1, RATE)
    write("deep/er/e.ogg", 16000, 2, 16000)
    write(".hidden.wav", 100, 1, RATE)
    write(".hidden/f.wav", 100, 1, RATE)
    (tmp_path / "sounds/c_bad.WAV").write_bytes(b"this is no sound")
    (tmp_path / "sounds/notes.txt").write_text("nor is this")
    return tmp_path / "sounds"


def test_a_folder_with_a_bad_file(classifier, folder):
    predictions = list(predict_files(classifier, folder))
    names = [prediction.path.name for prediction in predictions]
    assert names == ["a_mono.wav", "b_stereo.wav", "c_bad.WAV", "d_long.flac", "e.ogg"]
    for prediction in predictions:
        if prediction.path.name == "c_bad.WAV":
            assert prediction.probabilities is None
            assert str(prediction.path) in prediction.error
            continue
        assert prediction.error is None
        waveform, rate = audio.read_audio(prediction.path, sample_rate=RATE, channels=1)
        assert rate == RATE
        # Through 16 bits, as in the records of a data set.
        alone = classifier.predict(audio.to_pcm16(waveform) / 32768)
        np.testing.assert_allclose(prediction.probabilities, alone, rtol=0, atol=1e-6)


def test_real_clips_of_all_formats(classifier, esc10_files, shared):
    others = shared / "data" / "urbansound8k_samples"
    predictions = list(predict_files(classifier, [*esc10_files[:40:8], others]))
    assert [prediction.error for prediction in predictions] == [None] * 11
    sums = [prediction.probabilities.sum() for prediction in predictions]
    np.testing.assert_allclose(sums, 1, rtol=0, atol=1e-5)
    assert len({prediction.probabilities.tobytes() for prediction in predictions}) > 5


def test_what_is_below_16_bits_is_silence_as_in_training(classifier, tmp_path, random):
    whisper = random.uniform(-1, 1, (3000, 1)) * 1e-5
    soundfile.write(tmp_path / "whisper.wav", whisper, RATE, subtype="FLOAT")
    (prediction,) = predict_files(classifier, tmp_path)
    silence = classifier.predict(np.zeros((3000, 1)))
    np.testing.assert_allclose(prediction.probabilities, silence, rtol=0, atol=1e-6)
    assert np.abs(prediction.probabilities - classifier.predict(whisper)).max() > 0.01


def test_results_come_in_order_before_the_last_file_is_read(classifier, folder, monkeypatch):
    """Reading stays a few files ahead: what is in memory does not grow with their number."""
    started, lock = [], threading.Lock()

    def read(path, sample_rate, channels, resampling):
        with lock:
            started.append(path)
        return np.full((500, channels), int(path.stem) % 7, np.float32), sample_rate

    monkeypatch.setattr("keras_audio.serving.predict.read_audio", read)
    paths = [folder / f"{index}.wav" for index in range(200)]
    predictions = predict_files(classifier, paths, batch_size=8)
    first = list(itertools.islice(predictions, 8))
    assert [prediction.path for prediction in first] == paths[:8]
    assert len(started) < 50
    assert [prediction.path for prediction in predictions] == paths[8:]
    assert len(started) == 200


def test_one_that_does_not_fit_the_model_does_not_stop_the_others(folder, classifier, monkeypatch):
    def refuse_short(batch, serve=classifier._serve):
        answers = serve(batch)
        if batch.shape[1] == 3000:
            return {"probabilities": np.full_like(answers["probabilities"], np.nan)}
        return answers

    monkeypatch.setattr(classifier, "_serve", refuse_short)
    short, *others = predict_files(classifier, [folder / "a_mono.wav", folder / "b_stereo.wav"])
    assert "that the model can take" in short.error and str(short.path) in short.error
    assert [other.error for other in others] == [None]


def test_find_audio_files(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    wav = folder / "a_mono.wav"
    # One that is named is taken, whatever its suffix, and even if it is not there; none twice.
    named = [folder / "notes.txt", tmp_path / "missing.wav", wav]
    assert find_audio_files([*named, folder])[:4] == [*named, folder / "b_stereo.wav"]
    assert len(find_audio_files([*named, folder])) == 3 + 4
    assert find_audio_files(str(wav)) == [wav]
    with pytest.raises(ValueError, match="folder with sound files.*empty"):
        find_audio_files(tmp_path / "empty")


def test_a_missing_file_is_an_error_of_its_own(classifier, tmp_path, folder):
    missing, there = predict_files(classifier, [tmp_path / "no.wav", folder / "a_mono.wav"])
    assert "no.wav" in missing.error and there.error is None


def test_csv_json_and_top(tmp_path, folder):
    good = FilePrediction(folder / "a,b.wav", np.array([0.125, 0.625, 0.25], np.float32))
    bad = FilePrediction(folder / "c_bad.WAV", error='Expected a "sound".')
    assert top_classes(good, LABELS, k=2) == [("rain", 0.625), ("siren", 0.25)]
    assert len(top_classes(good, LABELS, k=9)) == 3
    assert top_classes(bad, LABELS) == []
    for k in (0, -1):
        with pytest.raises(ValueError, match="classes of 1 or more"):
            top_classes(good, LABELS, k=k)
    assert json.loads(to_json(good, LABELS, k=1)) == {
        "path": str(good.path),
        "classes": [{"label": "rain", "probability": 0.625}],
    }
    assert json.loads(to_json(bad, LABELS)) == {"path": str(bad.path), "error": bad.error}

    write_csv(tmp_path / "out.csv", iter([good, bad]), LABELS)
    with open(tmp_path / "out.csv", newline="") as file:
        first, second = csv.DictReader(file)
    assert first["path"] == str(good.path) and first["predicted"] == "rain"
    probabilities = [float(first[f"p_{label}"]) for label in LABELS]
    assert probabilities == good.probabilities.tolist()
    assert second["error"] == bad.error and second["predicted"] == ""

    def fails():
        yield good
        raise KeyboardInterrupt

    before = (tmp_path / "out.csv").read_text()
    with pytest.raises(KeyboardInterrupt):
        write_csv(tmp_path / "out.csv", fails(), LABELS)
    assert (tmp_path / "out.csv").read_text() == before
    assert {path.name for path in tmp_path.iterdir()} == {"out.csv", "sounds"}


def test_csv_asks_for_one_row_after_the_other(tmp_path):
    """Only the row being written is alive: a million files need no more memory than one."""
    alive = weakref.WeakSet()

    def predictions():
        for index in range(20):
            prediction = FilePrediction(pathlib.Path(f"{index}.wav"), error="bad")
            alive.add(prediction)
            yield prediction
            assert len(alive) <= 2

    write_csv(tmp_path / "out.csv", predictions(), LABELS)
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 21


def test_a_csv_that_cannot_be_written_is_said_before_any_prediction(tmp_path):
    def predictions():
        raise AssertionError("asked for a prediction")
        yield

    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    for name, message in (
        (".", "got a folder"),
        ("pipe", "got no regular file"),
        ("file/out.csv", "that can be written"),
        ("file/deeper/out.csv", "that can be written"),
        ("x" * 300, "File name too long"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            write_csv(tmp_path / name, predictions(), LABELS)
        assert str(error.value).endswith(f"Received: {tmp_path / name}")
        assert "partial" not in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "pipe"}


def test_predict_writes_names_that_are_not_utf8(exported, tmp_path, capfd, monkeypatch):
    good, bad = (os.fsdecode(os.fsencode(tmp_path / "caf") + end) for end in (b"\xe9", b"\xe8.wav"))

    def read(path, sample_rate, channels, resampling):
        if str(path) == bad:
            raise audio.AudioFileError(bad, "it is empty")
        return np.full((900, channels), 0.5, np.float32), sample_rate

    monkeypatch.setattr("keras_audio.serving.predict.read_audio", read)
    table = tmp_path / "out.csv"
    assert main(["predict", str(exported), good, bad, "--csv", str(table)]) == 1
    out, errors = capfd.readouterr()
    assert out.startswith(f"{tmp_path}/caf\\udce9  ") and "it is empty" in errors
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert [row["path"] for row in rows] == [
        f"{tmp_path}/caf\\udce9",
        f"{tmp_path}/caf\\udce8.wav",
    ]
    assert rows[0]["predicted"] in LABELS and "caf\\udce8.wav" in rows[1]["error"]

    # JSON gives the names back as they are; a bad file has its line too.
    assert main(["predict", str(exported), good, bad, "--json"]) == 1
    out, errors = capfd.readouterr()
    assert out.isascii() and "it is empty" in errors
    first, second = map(json.loads, out.splitlines())
    assert (first["path"], second["path"]) == (good, bad)
    assert len(first["classes"]) == 3 and bad in second["error"]


@pytest.mark.parametrize("top", ["0", "-1", "1.5", "all", ""])
def test_predict_top_is_a_whole_number_from_1(top, capsys):
    with pytest.raises(SystemExit) as status:
        main(["predict", "model", "dog.wav", f"--top={top}"])
    assert status.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith(f"argument --top: expected a whole number of 1 or more, got {top!r}")


def test_predict_says_what_it_hears_and_more_than_stereo_is_refused(exported, tmp_path, capfd):
    path = tmp_path / "three.wav"
    soundfile.write(path, np.ones((900, 3)) / 2, RATE)
    assert main(["predict", str(exported), str(path), "--top", "9"]) == 1
    out, errors = capfd.readouterr()
    assert out == "" and "three.wav" in errors and "3 channels" in errors
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    text = " ".join(capfd.readouterr().out.split())
    assert "mono or stereo" in text and "the two can differ for longer sounds" in text


def test_predict_with_a_folder_for_a_csv(exported, folder, tmp_path, capfd):
    status = main(["predict", str(exported), str(folder), "--csv", str(tmp_path)])
    assert status == 2
    out, errors = capfd.readouterr()
    assert out == "" and errors.strip().splitlines()[-1] == (
        f"keras-audio: Expected a CSV file to write, got a folder. Received: {tmp_path}"
    )
