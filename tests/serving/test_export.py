import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from fresh_process import answers_of
from small_model import CLIP, LABELS, RATE, build

from keras_audio.audio import read_audio
from keras_audio.layers import LogMelImage, LogMelSpectrogram, PadFrames
from keras_audio.recipes import ResidualBlocks
from keras_audio.serving import export, load_classifier
from keras_audio.serving.export import export_saved_model, serving_function, window_samples


def test_another_process_with_tensorflow_alone_gives_the_same(exported, model, tmp_path, random):
    """A check of the export's own check: another script, other sounds, other lengths."""
    lengths = (700, CLIP, 9001)
    clips = {str(n): random.normal(0, 0.3, (2, n, 1)).astype("float32") for n in lengths}
    answers = answers_of(exported, clips, tmp_path)
    embedding = keras.Model(model.input, model.get_layer("embedding").output)
    for n, batch in clips.items():
        np.testing.assert_allclose(answers[n + "probabilities"], model(batch), rtol=0, atol=1e-5)
        np.testing.assert_allclose(answers[n + "embedding"], embedding(batch), rtol=0, atol=1e-5)
        assert answers[n + "embedding"].shape == (2, 8)
    # The sounds are told apart: equal answers mean something.
    assert np.ptp(answers["700probabilities"], axis=0).max() > 1e-3


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"normalization": "log_mel", "block": "rb1"}, id="log_mel"),
        pytest.param({"block": "rb4"}, id="m34_res", marks=pytest.mark.slow),
    ],
)
def test_the_models_of_the_recipe(tmp_path, settings, esc10_files):
    recipe = ResidualBlocks(**settings)
    model = recipe.build_model(10)
    labels = [f"class {index}" for index in range(10)]
    waveform, _ = read_audio(esc10_files[0], sample_rate=8000, channels=1)
    path = export_saved_model(
        model, tmp_path / "model", labels=labels, sample_rate=8000, probe=[waveform[:20000]]
    )
    classifier = load_classifier(path)
    assert classifier.clip_samples == 32000
    # Five seconds: the first four and the last four.
    assert 40000 <= len(waveform) < 64000
    windows = [waveform[np.newaxis, :32000], waveform[np.newaxis, -32000:]]
    expected = np.mean([model(window)[0] for window in windows], axis=0)
    np.testing.assert_allclose(classifier.predict(waveform), expected, rtol=0, atol=1e-5)


def test_signatures_assets_and_figures(exported):
    loaded = tf.saved_model.load(str(exported))
    (waveform,) = loaded.signatures["serving_default"].structured_input_signature[1].values()
    assert waveform.name == "waveform" and waveform.shape.as_list() == [None, None, 1]
    assert waveform.dtype == tf.float32
    outputs = loaded.signatures["serving_default"].structured_outputs
    shapes = {name: (spec.shape.as_list(), spec.dtype) for name, spec in outputs.items()}
    assert shapes == {
        "probabilities": ([None, 3], tf.float32),
        "embedding": ([None, 8], tf.float32),
    }
    metadata = loaded.signatures["metadata"]()
    assert [label.decode() for label in metadata["labels"].numpy()] == LABELS
    assert (metadata["sample_rate"], metadata["channels"], metadata["clip_samples"]) == (
        RATE,
        1,
        CLIP,
    )
    assert (exported / "assets/labels.txt").read_text().splitlines() == LABELS
    stored = json.loads((exported / "assets/metadata.json").read_text())
    assert stored["labels"] == LABELS and stored["sample_rate"] == RATE
    assert stored["clip_samples"] == CLIP and stored["channels"] == 1
    assert metadata["resampling"].numpy() == b"soxr" and stored["resampling"] == "soxr"
    figures = json.loads((exported / "export.json").read_text())
    assert figures["optimized"] is True
    assert 0 <= figures["max_abs_difference"]["probabilities"] <= 1e-5
    assert figures["tolerance"] == 1e-5
    assert figures["versions"]["tensorflow"] == tf.__version__
    shapes = figures["shapes"].values()
    assert {batch for batch, _, _ in shapes} == {1, 3}
    lengths = {samples for _, samples, _ in shapes}
    assert CLIP in lengths and min(lengths) < CLIP < max(lengths)


def test_the_graph_of_serving_holds_no_optimizer(tmp_path):
    model = build()
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    model.fit(np.zeros((2, CLIP, 1), "float32"), np.eye(3)[:2], verbose=0)
    metadata = {"labels": LABELS, "sample_rate": RATE, "channels": 1, "clip_samples": CLIP}
    facts = metadata | {"resampling": "soxr"}
    export._write(model, tmp_path / "model", facts, optimized=True)
    variables = tf.train.list_variables(str(tmp_path / "model/variables/variables"))
    names = [name for name, _ in variables]
    stored = [name for name in names if name.startswith("served_variables/")]
    # Two convolutions, a dense layer and the four vectors of a batch normalisation.
    assert len(stored) == 10
    assert set(names) - set(stored) == {"_CHECKPOINTABLE_OBJECT_GRAPH"}


def test_one_trace_for_every_length(model):
    serve = serving_function(model)
    for batch, samples in ((1, 500), (2, 501), (3, CLIP), (1, 9000)):
        serve(np.zeros((batch, samples, 1), "float32"))
    assert serve.experimental_get_tracing_count() == 1


def test_a_model_that_draws_numbers_is_refused_and_nothing_is_left(tmp_path):
    class Noise(keras.layers.Layer):
        def build(self, input_shape):
            self.generator = keras.random.SeedGenerator(1)

        def call(self, inputs):
            shape = keras.ops.shape(inputs)
            return inputs + keras.random.normal(shape, seed=self.generator)

    waveform = keras.Input((None, 1))
    x = keras.layers.Conv1D(4, 9)(Noise()(waveform))
    x = keras.layers.GlobalMaxPooling1D(name="embedding")(x)
    model = keras.Model(waveform, keras.layers.Dense(3, activation="softmax")(x))
    with pytest.raises(ValueError, match=r"largest difference \d.*in probabilities"):
        export_saved_model(model, tmp_path / "model", labels=LABELS, sample_rate=500)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_does_not_load_is_refused_and_the_earlier_one_stays(
    exported, model, tmp_path, monkeypatch
):
    path = tmp_path / "model"
    path.mkdir()
    (path / "saved_model.pb").write_bytes(b"earlier")

    def write_half(model, folder, metadata, optimized):
        folder.mkdir()
        (folder / "saved_model.pb").write_bytes((exported / "saved_model.pb").read_bytes()[:1000])

    monkeypatch.setattr(export, "_write", write_half)
    with pytest.raises(ValueError, match="Expected the export to load.*TensorFlow only"):
        export_saved_model(model, path, labels=LABELS, sample_rate=RATE, overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["model"]
    assert (path / "saved_model.pb").read_bytes() == b"earlier"


@pytest.mark.parametrize("scale", [1.5, np.nan])
def test_other_answers_than_rounding_explains_are_refused(model, tmp_path, monkeypatch, scale):
    def wrong(model):
        other = keras.models.clone_model(model)
        other.set_weights([weight * scale for weight in model.get_weights()])
        return other

    monkeypatch.setattr(export, "fold_batch_norms", wrong)
    with pytest.raises(ValueError, match="Expected the export of .* to answer like the model"):
        export_saved_model(model, tmp_path / "model", labels=LABELS, sample_rate=RATE)
    assert not list(tmp_path.iterdir())


def test_half_precision_answers_float32_and_probe_is_checked(tmp_path, random):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build(channels=2)
    finally:
        keras.config.set_dtype_policy(policy)
    probe = random.normal(0, 0.1, (1234, 2))
    path = export_saved_model(
        model, tmp_path / "model", labels=LABELS, sample_rate=RATE, probe=[probe]
    )
    outputs = tf.saved_model.load(str(path)).signatures["serving_default"].structured_outputs
    assert {spec.dtype for spec in outputs.values()} == {tf.float32}
    assert json.loads((path / "export.json").read_text())["shapes"]["probe_0"] == [1, 1234, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": ["dog", "rain"]}, "Expected 3 labels"),
        ({"labels": ["dog", "dog", "rain"]}, "labels that differ"),
        ({"labels": ["dog", " ", "rain"]}, "labels that differ"),
        ({"labels": ["dog", "cat\nrain", "siren"]}, "one line each"),
        ({"sample_rate": 0}, "sample rate"),
        ({"sample_rate": 8000.5}, "sample rate"),
        ({"clip_samples": 0}, "clips of 1 sample or more"),
        ({"clip_samples": 0.5}, "clips of 1 sample or more"),
        ({"probe": [np.zeros((100, 2))]}, r"probe waveforms \(samples, 1\)"),
    ],
)
def test_arguments_that_do_not_fit(model, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        export_saved_model(
            model, tmp_path / "model", **{"labels": LABELS, "sample_rate": RATE} | arguments
        )
    assert list(tmp_path.iterdir()) == []


def test_models_that_do_not_fit(model, tmp_path):
    bare = keras.Model(model.input, model.get_layer("logits").output)
    fixed = keras.Sequential([keras.Input((100, 1)), keras.layers.Flatten(name="embedding")])
    unnamed = keras.Sequential([keras.Input((None, 1)), keras.layers.GlobalMaxPooling1D()])
    for wrong, message in (
        (bare, "probabilities, 0 to 1"),
        (fixed, "any number of samples"),
        (unnamed, "layer named 'embedding'"),
    ):
        labels = LABELS[: wrong.output_shape[-1]]
        if wrong is fixed:
            labels = [str(index) for index in range(100)]
        with pytest.raises(ValueError, match=message):
            export_saved_model(wrong, tmp_path / "model", labels=labels, sample_rate=RATE)


def test_a_taken_path_is_refused(exported, model, tmp_path):
    with pytest.raises(ValueError, match="where nothing is yet"):
        export_saved_model(model, exported, labels=LABELS, sample_rate=RATE)
    # `overwrite` is for exports: never for whatever else a mistyped path may name.
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(ValueError, match="earlier export"):
        export_saved_model(model, tmp_path, labels=LABELS, sample_rate=RATE, overwrite=True)
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_window_samples(model):
    assert window_samples(model) == CLIP
    # The model hears no more than it is cut to; less may be asked for.
    assert (window_samples(model, 2 * CLIP), window_samples(model, 100)) == (CLIP, 100)
    free = build(clip_samples=None)
    assert (window_samples(free), window_samples(free, 100)) == (None, 100)
    waveform = keras.Input((None, 1))
    for center, samples in ((False, 32000), (True, 198 * 160)):
        log_mel = LogMelSpectrogram(8000, 320, 160, num_mels=8, center=center)
        features = keras.Model(waveform, PadFrames(199)(log_mel(waveform)))
        assert window_samples(features) == samples
        assert log_mel.num_frames(samples) == 199 > log_mel.num_frames(samples - 1)
    images = keras.Model(waveform, LogMelImage(22050, frames=300)(waveform))
    # 299 hops of 256 samples lie between the middles of 300 frames.
    assert (window_samples(images), window_samples(images, 8000)) == (76544, 8000)
