import numpy as np
import pytest
import tensorflow as tf
from small_model import CLIP, LABELS, RATE, build

from keras_audio.files import write_json
from keras_audio.recipes import ResidualBlocks
from keras_audio.serving import load_classifier
from keras_audio.serving.classifier import Classifier
from keras_audio.serving.export import serving_function


@pytest.fixture(scope="module")
def classifier(exported):
    return load_classifier(exported)


def test_an_export_answers_like_the_model(classifier, model, random):
    assert classifier.labels == LABELS
    assert (classifier.sample_rate, classifier.channels) == (RATE, 1)
    assert classifier.clip_samples == CLIP
    for samples in (1, 700, CLIP):
        waveform = random.normal(0, 0.3, (samples, 1)).astype("float32")
        ours = classifier.predict(waveform)
        assert ours.shape == (3,) and ours.dtype == np.float32
        np.testing.assert_allclose(ours, model(waveform[np.newaxis])[0], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(classifier.predict(waveform[:, 0]), ours)


def test_a_long_sound_is_the_mean_of_its_windows(classifier, model, random):
    sound = random.normal(0, 1, (3 * CLIP + CLIP // 2, 1)).astype("float32")
    # Windows that differ, so that a window forgotten or taken twice is seen.
    sound[:CLIP] *= np.sin(np.arange(CLIP) / 3)[:, np.newaxis]
    sound[CLIP : 2 * CLIP] = np.cumsum(sound[CLIP : 2 * CLIP], axis=0)
    sound[2 * CLIP : 3 * CLIP, 0] = np.sin(np.arange(CLIP))
    starts = (0, CLIP, 2 * CLIP, 2 * CLIP + CLIP // 2)
    windows = [sound[start : start + CLIP] for start in starts]
    each = [model(window[np.newaxis])[0].numpy() for window in windows]
    assert np.ptp(each, axis=0).max() > 0.05
    mean = np.mean(each, axis=0)
    np.testing.assert_allclose(classifier.predict(sound), mean, rtol=0, atol=1e-5)
    halves = [sound[start : start + CLIP] for start in range(0, 3 * CLIP, CLIP // 2)]
    mean = np.mean([model(window[np.newaxis])[0].numpy() for window in halves], axis=0)
    overlapping = classifier.predict(sound, hop=CLIP // 2)
    np.testing.assert_allclose(overlapping, mean, rtol=0, atol=1e-5)
    # Evaluation gives the model the sound itself, which it cuts: documented to differ.
    assert np.abs(classifier.predict(sound) - model(sound[np.newaxis])[0]).max() > 0.01


def test_a_short_rest_is_not_heard_as_silence(random):
    """5 s of one sound in windows of 4 s answer like 4 s of it."""

    def loudness(batch):
        heard = np.zeros((len(batch), 400))
        heard[:, : batch.shape[1]] = np.abs(batch[:, :400, 0])
        return {"probabilities": np.stack([1 - heard.mean(1), heard.mean(1)], axis=1)}

    classifier = Classifier(loudness, ["no", "yes"], sample_rate=100, channels=1, clip_samples=400)
    np.testing.assert_allclose(classifier.predict(np.ones((500, 1))), [0, 1], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("length", "hop", "expected"),
    [
        (10, None, [(0, 10)]),
        (100, None, [(0, 100)]),
        (101, None, [(0, 100), (1, 101)]),
        (125, None, [(0, 100), (25, 125)]),
        (200, None, [(0, 100), (100, 200)]),
        (200, 50, [(0, 100), (50, 150), (100, 200)]),
        (210, 50, [(0, 100), (50, 150), (100, 200), (110, 210)]),
        (210, 7, [(start, start + 100) for start in (*range(0, 111, 7), 110)]),
        (1000, None, [(start, start + 100) for start in range(0, 1000, 100)]),
    ],
)
def test_windows(length, hop, expected):
    classifier = Classifier(None, LABELS, sample_rate=RATE, channels=1, clip_samples=100)
    sound = np.arange(length)[:, np.newaxis]
    windows = classifier.windows(sound, hop)
    assert [(window[0, 0], window[-1, 0] + 1) for window in windows] == expected


def test_a_batch_of_mixed_lengths_gives_each_its_own(classifier, random):
    lengths = (900, CLIP, 900, 3 * CLIP + 1500, 17, CLIP, 2 * CLIP)
    sounds = [
        random.normal(0, 0.3, (n, 1)) * np.linspace(0, i, n)[:, None]
        for i, n in enumerate(lengths, start=1)
    ]
    alone = np.stack([classifier.predict(sound) for sound in sounds])
    for batch_size in (1, 2, 32):
        together = classifier.predict_batch(sounds, batch_size=batch_size)
        np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)
    assert classifier.predict_batch([]).shape == (0, 3)


def test_a_model_of_any_length_takes_a_sound_whole(random):
    model = build(clip_samples=None, channels=2)
    classifier = Classifier(serving_function(model), LABELS, sample_rate=RATE, channels=2)
    sound = random.normal(0, 0.3, (5 * CLIP, 2)).astype("float32")
    expected = model(sound[np.newaxis])[0]
    np.testing.assert_allclose(classifier.predict(sound), expected, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="a sound that the model can take.*samples=30"):
        classifier.predict(sound[:30])


def test_a_run_folder_answers_like_its_export(classifier, model, tmp_path, random):
    recipe = ResidualBlocks(dataset="esc10", fold=1, sample_rate=RATE)
    write_json(tmp_path / "recipe.json", recipe.to_dict())
    with pytest.raises(ValueError, match="trained for an epoch"):
        load_classifier(tmp_path)
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    model.save(tmp_path / "model.keras")
    run = load_classifier(tmp_path)
    assert (run.labels, run.sample_rate, run.channels) == (LABELS, RATE, 1)
    assert run.clip_samples == CLIP
    sounds = [random.normal(0, 0.3, (n, 1)) for n in (700, 3 * CLIP + 1234)]
    expected = classifier.predict_batch(sounds)
    np.testing.assert_allclose(run.predict_batch(sounds), expected, rtol=0, atol=1e-5)


def test_waveforms_that_do_not_fit(classifier):
    for waveform, message in (
        (np.zeros((100, 2)), r"waveform \(samples, 1\)"),
        (np.zeros((0, 1)), "of a sample at least"),
        (np.full((100, 1), np.nan), "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            classifier.predict(waveform)
    for hop in (0, CLIP + 1):
        with pytest.raises(ValueError, match="Expected a hop of 1 to 4000"):
            classifier.predict(np.zeros((2 * CLIP, 1)), hop=hop)


def test_folders_that_are_neither(tmp_path, exported):
    with pytest.raises(ValueError, match="export .saved_model.pb or model.tflite. or of a run"):
        load_classifier(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes((exported / "saved_model.pb").read_bytes()[:999])
    with pytest.raises(ValueError, match="Expected a whole SavedModel"):
        load_classifier(tmp_path)
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    with pytest.raises(ValueError, match="without the signatures"):
        load_classifier(tmp_path / "other")
