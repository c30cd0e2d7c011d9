"""Models that take any length, ERANN above all: exported, in windows, and with several classes."""

import json

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf
from fresh_process import answers_of
from small_model import LABELS, RATE, build

import keras_audio
from keras_audio.augment import SpecAugment
from keras_audio.files import write_json
from keras_audio.recipes import ERANN
from keras_audio.serving import (
    Classifier,
    export_saved_model,
    load_classifier,
    predict_files,
    top_classes,
)
from keras_audio.serving.export import serving_function
from keras_audio.serving.folding import fold_batch_norms

SECONDS = (2, 5, 7.3)


def sounds(random, channels=1):
    """Two clips of each length by its name, a noise and a noisy tone."""
    clips = {}
    for seconds in SECONDS:
        samples = round(seconds * 44100)
        noise = random.normal(0, 0.1, (2, samples, channels))
        noise[1] += 0.5 * np.sin(np.arange(samples) * (0.05 + 0.02 * seconds))[:, np.newaxis]
        clips[f"{seconds}"] = noise.astype("float32")
    return clips


def settle(model):
    """Weights under which sounds have answers of their own: new ones leave all logits alike."""
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape
            layer.gamma.assign(random.uniform(0.5, 1.5, size))
            layer.beta.assign(random.normal(0, 0.1, size))
            decibels = layer.name == "input_bn"
            layer.moving_mean.assign(random.normal(-20 if decibels else 0, 0.1, size))
            layer.moving_variance.assign(random.uniform(0.5, 1.5, size) * (400 if decibels else 1))
    return model


@pytest.fixture(scope="module")
def recipe():
    return ERANN(task="tagging", s_m=3, width=1, duration=2.5, crop_duration=1.0)


@pytest.fixture(scope="module")
def tagging_model(recipe):
    keras.utils.set_random_seed(0)
    return settle(recipe.build_model(3))


@pytest.fixture(scope="module")
def tagger(tagging_model, recipe, tmp_path_factory):
    return export_saved_model(
        tagging_model,
        tmp_path_factory.mktemp("export") / "tagger",
        labels=LABELS,
        sample_rate=44100,
        clip_samples=recipe.max_samples,
    )


def check_in_a_fresh_process(exported, model, tmp_path, random):
    clips = sounds(random)
    answers = answers_of(exported, clips, tmp_path)
    embedding = keras.Model(model.input, model.get_layer("embedding").output)
    for name, batch in clips.items():
        ours = answers[f"{name}probabilities"]
        np.testing.assert_allclose(ours, model(batch), rtol=0, atol=1e-5)
        expected = embedding(batch).numpy()
        scale = max(1, np.abs(expected).max())
        np.testing.assert_allclose(answers[f"{name}embedding"] / scale, expected / scale, atol=1e-5)
    # The sounds are told apart: equal answers mean something.
    every = np.concatenate([answers[f"{name}probabilities"] for name in clips])
    assert np.ptp(every, axis=0).max() > 1e-2
    return every


def test_erann_answers_for_any_length(tagger, tagging_model, tmp_path, random):
    every = check_in_a_fresh_process(tagger, tagging_model, tmp_path, random)
    # Sigmoids: as many classes as there are.
    assert np.abs(every.sum(axis=1) - 1).max() > 0.1


@pytest.mark.slow
def test_erann_1_3_answers_for_any_length(tmp_path, random):
    keras.utils.set_random_seed(0)
    model = settle(keras_audio.create_model("erann_1_3", 50))
    labels = [f"class {index}" for index in range(50)]
    path = export_saved_model(
        model, tmp_path / "model", labels=labels, sample_rate=44100, clip_samples=5 * 44100
    )
    every = check_in_a_fresh_process(path, model, tmp_path, random)
    np.testing.assert_allclose(every.sum(axis=1), 1, rtol=0, atol=1e-5)


def test_spec_augment_is_the_identity_in_an_export(tagger, tagging_model, tmp_path, random):
    """Against the same network built without it; and its generator of masks is not stored."""
    assert any(isinstance(layer, SpecAugment) for layer in tagging_model.layers)
    bare = keras_audio.create_model("erann_3_1", 3, classifier_activation="sigmoid")
    for layer in bare.layers:
        layer.set_weights(tagging_model.get_layer(layer.name).get_weights())
    clips = sounds(random)["2"]
    serve = tf.saved_model.load(str(tagger)).signatures["serving_default"]
    answers = serve(waveform=tf.constant(clips))["probabilities"]
    np.testing.assert_allclose(answers, bare(clips), rtol=0, atol=1e-5)
    again = serve(waveform=tf.constant(clips))["probabilities"]
    np.testing.assert_array_equal(answers, again)
    # It does mask while training, so that this says something.
    steps = keras.Model(tagging_model.input, tagging_model.get_layer("spec_augment").output)
    assert np.abs(steps(clips, training=True) - steps(clips)).max() > 1
    variables = tf.train.list_variables(str(tagger / "variables/variables"))
    stored = [name for name, _ in variables if name.startswith("served_variables/")]
    assert len(stored) == len(fold_batch_norms(bare).variables) < len(bare.variables)


def test_longer_sounds_are_cut_into_windows_of_the_recipe(tagger, tagging_model, recipe, random):
    classifier = load_classifier(tagger)
    assert classifier.clip_samples == recipe.max_samples == 110250
    assert json.loads((tagger / "assets/metadata.json").read_text())["clip_samples"] == 110250
    waveforms = [clip for batch in sounds(random).values() for clip in batch]
    # A window of 2 s, two of 2.5 s each, and three, the last of which ends with the sound.
    assert [len(classifier.windows(waveform)) for waveform in waveforms] == [1, 1, 2, 2, 3, 3]
    expected = []
    for waveform in waveforms:
        windows = [tagging_model(part[np.newaxis])[0] for part in classifier.windows(waveform)]
        expected.append(np.mean(windows, axis=0))
    together = classifier.predict_batch(waveforms, batch_size=4)
    np.testing.assert_allclose(together, expected, rtol=0, atol=1e-5)
    assert np.ptp(together, axis=0).max() > 1e-2


def test_a_run_cuts_where_its_export_cuts(tagger, tagging_model, recipe, tmp_path, random):
    write_json(tmp_path / "recipe.json", recipe.to_dict())
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    tagging_model.save(tmp_path / "model.keras")
    run = load_classifier(tmp_path)
    assert (run.labels, run.clip_samples) == (LABELS, recipe.max_samples)
    waveforms = [batch[0] for batch in sounds(random).values()]
    expected = load_classifier(tagger).predict_batch(waveforms)
    np.testing.assert_allclose(run.predict_batch(waveforms), expected, rtol=0, atol=1e-5)


def test_classes_of_a_tagger_are_sorted_by_probability(tagger, tmp_path, random):
    soundfile.write(tmp_path / "a.wav", random.normal(0, 0.1, 30000), 44100)
    classifier = load_classifier(tagger)
    (prediction,) = predict_files(classifier, tmp_path)
    top = top_classes(prediction, classifier.labels, k=9)
    assert sorted(label for label, _ in top) == LABELS
    values = [value for _, value in top]
    assert values == sorted(values, reverse=True)
    assert values == sorted(prediction.probabilities.tolist(), reverse=True)


def test_nothing_known_of_the_length_means_ten_seconds(tmp_path, random):
    """What is short goes whole; an hour is never one batch of one clip."""
    model = build(clip_samples=None)
    path = export_saved_model(model, tmp_path / "model", labels=LABELS, sample_rate=RATE)
    metadata = tf.saved_model.load(str(path)).signatures["metadata"]()
    assert metadata["clip_samples"] == -1
    assert json.loads((path / "assets/metadata.json").read_text())["clip_samples"] is None
    direct = Classifier(serving_function(model), LABELS, sample_rate=RATE, channels=1)
    for classifier in (load_classifier(path), direct):
        assert classifier.clip_samples == 10 * RATE
        sound = random.normal(0, 0.3, (25 * RATE, 1)).astype("float32")
        assert len(classifier.windows(sound[: 10 * RATE])) == 1
        assert [len(window) for window in classifier.windows(sound)] == [10 * RATE] * 3
        short = model(sound[np.newaxis, : 10 * RATE])[0]
        np.testing.assert_allclose(classifier.predict(sound[: 10 * RATE]), short, atol=1e-5)
