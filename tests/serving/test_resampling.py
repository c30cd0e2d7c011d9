"""What is served hears a file as the records hold it, whichever way they were resampled."""

import json

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from small_model import LABELS, RATE

from data_prep import prepare
from keras_audio.data import open_records
from keras_audio.files import write_json
from keras_audio.recipes import ResidualBlocks
from keras_audio.serving import export_saved_model, load_classifier, predict_files


@pytest.fixture(scope="module")
def by_fourier(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("fourier") / "model"
    return export_saved_model(model, path, labels=LABELS, sample_rate=RATE, resampling="fourier")


def _heard(classifier, path, monkeypatch):
    """The windows of one file that reach the model."""
    windows = []

    def serve(batch):
        windows.extend(batch)
        return {"probabilities": np.full((len(batch), len(LABELS)), 1 / 3)}

    monkeypatch.setattr(classifier, "_serve", serve)
    (prediction,) = predict_files(classifier, path)
    assert prediction.error is None
    return windows


def test_a_file_reaches_the_model_as_it_is_in_the_records(by_fourier, tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    for name in ("dog", "rain"):
        for take in range(5):
            path = tmp_path / "sounds" / name / f"{take}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            # Longer than a window, and no whole number of samples at the new rate.
            soundfile.write(path, random.uniform(-0.5, 0.5, (40001, 2)), 44100, subtype="PCM_24")
    options = {"sample_rate": RATE, "data_dir": tmp_path / "data"}
    prepare(
        "audio_folder", source=tmp_path / "sounds", resampling="fourier", progress=False, **options
    )
    records = open_records("audio_folder", resampling="fourier", **options)
    stored = {
        example["clip_id"].decode().removesuffix(".wav"): example["audio"] / np.float32(32768)
        for example in records.dataset(records.folds).as_numpy_iterator()
    }
    classifier = load_classifier(by_fourier)
    for path in sorted((tmp_path / "sounds").glob("*/*.wav")):
        samples = stored.pop(f"{path.parent.name}/{path.stem}")
        first, last = _heard(classifier, path, monkeypatch)
        np.testing.assert_array_equal(first, samples[: classifier.clip_samples])
        np.testing.assert_array_equal(last, samples[-classifier.clip_samples :])
    assert not stored
    # By soxr it is another waveform.
    monkeypatch.setattr(classifier, "resampling", "soxr")
    assert np.abs(_heard(classifier, path, monkeypatch)[0] - first).max() > 1e-3


def test_an_export_says_how_and_one_that_does_not_is_older(by_fourier, exported, tmp_path):
    assert load_classifier(by_fourier).resampling == "fourier"
    assert load_classifier(exported).resampling == "soxr"
    assert json.loads((by_fourier / "assets/metadata.json").read_text())["resampling"] == "fourier"

    loaded = tf.saved_model.load(str(by_fourier))
    known = {name: value.numpy() for name, value in loaded.signatures["metadata"]().items()}
    assert known.pop("resampling") == b"fourier"

    @tf.function(input_signature=[])
    def describe():
        return {name: tf.constant(value) for name, value in known.items()}

    signatures = {"serving_default": loaded.signatures["serving_default"], "metadata": describe}
    tf.saved_model.save(loaded, str(tmp_path / "older"), signatures=signatures)
    older = load_classifier(tmp_path / "older")
    assert (older.resampling, older.labels) == ("soxr", LABELS)


def test_a_run_says_how(model, tmp_path):
    for resampling in ("soxr", "fourier"):
        recipe = ResidualBlocks(dataset="esc10", sample_rate=RATE, resampling=resampling)
        write_json(tmp_path / "recipe.json", recipe.to_dict())
        (tmp_path / "labels.txt").write_text("\n".join(LABELS))
        model.save(tmp_path / "model.keras")
        assert load_classifier(tmp_path).resampling == resampling


def test_an_unknown_way_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="soxr or fourier. Received: resampling='linear'"):
        export_saved_model(
            model, tmp_path / "model", labels=LABELS, sample_rate=RATE, resampling="linear"
        )
    assert list(tmp_path.iterdir()) == []
