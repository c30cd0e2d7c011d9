import json
import sys
import types
import warnings

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf
from small_model import CLIP, LABELS, RATE, build

import keras_audio
from keras_audio.augment import RandomFIRFilter, TemporalMask, WhiteNoise
from keras_audio.cli import main
from keras_audio.data import make_split, open_records
from keras_audio.files import write_json
from keras_audio.layers import LogMelSpectrogram, PadOrCrop
from keras_audio.models import create_model
from keras_audio.recipes import ResidualBlocks
from keras_audio.serving import litert, load_classifier
from keras_audio.serving.litert import UnsupportedByLiteRT, export_litert
from keras_audio.serving.litert_replay import open_litert

SCENES = ["indoor", "outdoor", "transportation"]


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("litert") / "small model"
    probe = np.random.default_rng(1).normal(0, 0.1, (CLIP + 500, 1))
    return export_litert(
        model, path, labels=LABELS, sample_rate=RATE, resampling="fourier", probe=[probe, probe[:9]]
    )


@pytest.fixture(scope="module")
def binaural():
    """Model A as its recipe builds it: ten seconds, and all that augments."""
    keras.utils.set_random_seed(0)
    steps = [PadOrCrop(180000), TemporalMask(18000), RandomFIRFilter(18000), WhiteNoise()]
    model = keras_audio.create_model("binaural_a", 3, clip_steps=steps)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape
            for weight in (layer.gamma, layer.moving_variance):
                weight.assign(random.uniform(0.5, 1.5, size))
            for weight in (layer.beta, layer.moving_mean):
                weight.assign(random.normal(0, 0.2, size))
        elif isinstance(layer, keras.layers.Conv1D):
            layer.bias.assign(random.normal(0, 0.1, layer.bias.shape))
    return model


@pytest.fixture(scope="module")
def exported_binaural(binaural, tmp_path_factory):
    path = tmp_path_factory.mktemp("litert") / "binaural"
    return export_litert(binaural, path, labels=SCENES, sample_rate=18000)


@pytest.fixture
def played_here(monkeypatch):
    """Files are played in this process: for tests of what does not depend on a fresh one."""

    def answers(script, files, clips, what):
        given = {"runtime": np.array("none")}
        for file in files:
            serve, _ = open_litert(str(file), threads=1)
            given[f"{file.stem}/seconds"] = np.array([0.25, 0.5, 0.75])
            for name, clip in clips.items():
                for output, value in serve(waveform=clip).items():
                    given[f"{file.stem}/{name}/{output}"] = value
        return given

    monkeypatch.setattr(litert, "answers_of_fresh_process", answers)


def interpreter(folder):
    with warnings.catch_warnings(action="ignore"):  # that it will be replaced
        opened = tf.lite.Interpreter(str(folder / "model.tflite"))
    opened.allocate_tensors()
    return opened


def operations(opened):
    return {operation["op_name"] for operation in opened._get_ops_details()}


def arrays(opened, dtype):
    """The constants of a type, whatever their names."""
    details = [each for each in opened.get_tensor_details() if each["dtype"] == dtype]
    return [opened.get_tensor(each["index"]) for each in details]


def test_batch_norms_are_part_of_convolutions():
    model = create_model("m5", 3)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    with warnings.catch_warnings(action="ignore"):  # that it will be replaced
        opened = tf.lite.Interpreter(model_content=litert._convert(model, 8000, half=False))
    opened.allocate_tensors()
    assert "CONV_2D" in operations(opened)
    assert not operations(opened) & {"MUL", "ADD", "SUB", "RSQRT"}


def test_the_file_takes_a_clip_and_answers_like_the_model(exported, model, random):
    opened = interpreter(exported)
    assert list(opened.get_signature_list()) == ["serving_default"]
    runner = opened.get_signature_runner()
    (taken,) = runner.get_input_details().items()
    assert taken[0] == "waveform" and taken[1]["dtype"] == np.float32
    assert taken[1]["shape"].tolist() == [1, CLIP, 1]
    given = runner.get_output_details()
    assert {name: details["shape"].tolist() for name, details in given.items()} == {
        "probabilities": [1, 3],
        "embedding": [1, 8],
    }
    assert {details["dtype"] for details in given.values()} == {np.float32}
    embedding = keras.Model(model.input, model.get_layer("embedding").output)
    heard = []
    for scale in (0.1, 1):
        clip = (random.normal(0, scale, (1, CLIP, 1)).cumsum(1) * scale).astype("float32")
        answer = runner(waveform=clip)
        heard.append(answer["probabilities"])
        np.testing.assert_allclose(answer["probabilities"], model(clip), rtol=0, atol=2e-3)
        np.testing.assert_allclose(answer["embedding"], embedding(clip), rtol=0, atol=2e-3)
    # The sounds are told apart: equal answers mean something.
    assert np.abs(heard[0] - heard[1]).max() > 0.01


def test_weights_are_the_models_rounded_to_16_bits(exported, model):
    opened = interpreter(exported)
    stored = {array.shape: array for array in arrays(opened, np.float16)}
    # (size, inputs, outputs), stored as (outputs, 1, size, inputs). The batch norm comes later.
    kernel = np.array(model.get_layer("conv1").kernel).transpose(2, 0, 1)[:, np.newaxis]
    np.testing.assert_array_equal(stored[kernel.shape], kernel.astype("float16"))
    logits = np.array(model.get_layer("logits").kernel).T
    np.testing.assert_array_equal(stored[logits.shape], logits.astype("float16"))
    assert not any(name.startswith("Flex") for name in operations(opened))


def test_the_same_network_gives_the_same_bytes(exported, model):
    # Names that count up the models of a process would be in the file.
    assert litert._convert(model, CLIP, half=True) == (exported / "model.tflite").read_bytes()


def test_files_beside_the_model(exported):
    assert {file.name for file in exported.iterdir()} == {
        *("model.tflite", "labels.txt", "metadata.json", "export.json"),
    }
    assert (exported / "labels.txt").read_text().splitlines() == LABELS
    metadata = json.loads((exported / "metadata.json").read_text())
    assert metadata["versions"].pop("tensorflow") == tf.__version__
    assert metadata.pop("versions").keys() == {"keras", "numpy"}
    assert metadata == {
        "format": "litert",
        "model": "small_model",
        "labels": LABELS,
        "sample_rate": RATE,
        "resampling": "fourier",
        "channels": 1,
        "clip_samples": CLIP,
        "zero_padding": False,
        "fp16": True,
    }
    figures = json.loads((exported / "export.json").read_text())
    assert figures["bytes"] == (exported / "model.tflite").stat().st_size
    # In 16 bits there is a difference, and in 32 hardly any.
    assert 1e-7 < figures["max_abs_difference"]["embedding"] < 1e-2
    assert figures["max_abs_difference_in_float32"]["embedding"] < 1e-5
    assert figures["probe_clips"] == figures["probe_clips_of_same_class"] == 2
    assert 0 < figures["least_latency_ms"] <= figures["latency_ms"]
    assert figures["runtime"].split()[0] in ("tensorflow", "ai-edge-litert")


def test_model_a_is_at_most_40_kilobytes_and_nothing_of_augmentation_is_left(
    exported_binaural, binaural, random
):
    assert (exported_binaural / "model.tflite").stat().st_size <= 40_000
    opened = interpreter(exported_binaural)
    assert operations(opened) - {"DELEGATE"} == {
        *("DEQUANTIZE", "STRIDED_SLICE", "RESHAPE", "CONV_2D", "MAX_POOL_2D", "MEAN"),
        *("FULLY_CONNECTED", "SOFTMAX"),
    }
    # Batch normalisations are part of the four convolutions, each of a kernel and a bias.
    assert len(arrays(opened, np.float16)) == 2 * 4 + 1
    clip = random.uniform(-1, 1, (1, 180000, 2)).astype("float32")
    answer = opened.get_signature_runner()(waveform=clip)["probabilities"]
    np.testing.assert_allclose(answer, binaural(clip), rtol=0, atol=1e-3)


def test_sounds_of_any_length_where_padding_comes_first(exported_binaural, binaural, random):
    classifier = load_classifier(exported_binaural)
    assert (classifier.labels, classifier.sample_rate) == (SCENES, 18000)
    assert (classifier.channels, classifier.resampling) == (2, "soxr")
    sound = random.uniform(-1, 1, (400000, 2)).astype("float32")
    for samples in (1, 90001, 180000):
        short = sound[np.newaxis, :samples]
        ours = classifier.predict(short[0])
        np.testing.assert_allclose(ours, binaural(short)[0], rtol=0, atol=1e-3)
    # A long one in windows, the last of which ends with it; several at once.
    sound[180000:] *= 0.01
    windows = [sound[start : start + 180000] for start in (0, 180000, 220000)]
    each = np.concatenate([binaural(window[np.newaxis]) for window in windows])
    assert np.ptp(each, axis=0).max() > 0.01
    both = classifier.predict_batch([sound, sound[:180000]])
    np.testing.assert_allclose(both[0], each.mean(0), rtol=0, atol=1e-3)
    np.testing.assert_allclose(both[1], each[0], rtol=0, atol=1e-3)


def test_short_sounds_are_refused_where_zeros_would_change_the_answer(exported, model, random):
    classifier = load_classifier(exported)
    assert classifier.resampling == "fourier"
    sound = random.normal(0, 0.3, (2 * CLIP, 1)).astype("float32")
    mean = (model(sound[np.newaxis, :CLIP]) + model(sound[np.newaxis, CLIP:])) / 2
    np.testing.assert_allclose(classifier.predict(sound), mean[0], rtol=0, atol=2e-3)
    with pytest.raises(ValueError, match=rf"sound of {CLIP} samples or more.*samples={CLIP - 1}$"):
        classifier.predict(sound[: CLIP - 1])


@pytest.mark.parametrize(("mode", "expected"), [("none", True), ("max_abs", False)])
def test_padding_first_is_found_by_trying(mode, expected):
    waveform = keras.Input((None, 2))
    x = keras_audio.layers.WaveformNormalization(mode)(waveform)
    x = PadOrCrop(700)(x)
    x = keras.layers.Conv1D(4, 9, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling1D(name="embedding")(x)
    model = keras.Model(waveform, keras.layers.Dense(3, activation="softmax")(x))
    # Of max_abs only a constant is scaled otherwise if zeros stand behind it.
    assert litert._takes_zeros(model, 700, 2) is expected


def test_a_model_of_any_length_is_told_one(tmp_path, played_here):
    model = build(clip_samples=None)
    message = "Expected clip_samples for a model that takes any length"
    with pytest.raises(UnsupportedByLiteRT, match=message):
        export_litert(model, tmp_path / "model", labels=LABELS, sample_rate=RATE)
    path = export_litert(
        model, tmp_path / "model", labels=LABELS, sample_rate=RATE, clip_samples=1000, fp16=False
    )
    assert not arrays(interpreter(path), np.float16)
    metadata = json.loads((path / "metadata.json").read_text())
    assert (metadata["clip_samples"], metadata["zero_padding"]) == (1000, False)
    figures = json.loads((path / "export.json").read_text())
    assert figures["max_abs_difference"]["probabilities"] <= figures["tolerance"] == 1e-4
    assert figures["probe_clips"] == 0 and figures["latency_ms"] == 500


def _front_end(**settings):
    waveform = keras.Input((None, 1))
    x = LogMelSpectrogram(RATE, hop_length=160, num_mels=16, **settings)(waveform)
    x = keras.layers.GlobalAveragePooling2D(name="embedding")(x)
    return keras.Model(waveform, keras.layers.Dense(3, activation="softmax")(x))


def _refused(tmp_path, model, message, kind=UnsupportedByLiteRT):
    with pytest.raises(ValueError, match=message) as error:
        export_litert(model, tmp_path / "model", labels=LABELS, sample_rate=RATE, clip_samples=4000)
    assert error.type is kind
    assert str(error.value).endswith("; nothing was written")
    assert len(str(error.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_fourier_transform_that_fails_only_when_it_runs(tmp_path):
    _refused(tmp_path, _front_end(n_fft=400), "LiteRT interpreter only.*powers of two.*RFFT2D")


def test_an_operation_that_litert_lacks(tmp_path):
    model = _front_end(n_fft=512, fft_dtype="float64")
    _refused(tmp_path, model, "operations LiteRT has.*it lacks.*RFFT2D")


def test_a_constant_that_is_no_number_of_16_bits(tmp_path, played_here):
    # The floor of the logarithm becomes zero.
    message = r"with float16 weights.*difference nan.*\(without fp16 it does\)"
    _refused(tmp_path, _front_end(n_fft=512), message)


def _perturbed(model, monkeypatch, kind):
    """Have the file of one kind hold other weights than those of the model."""
    other = keras.models.clone_model(model)
    other.set_weights([np.array(weight) * 1.1 for weight in model.weights])
    convert = litert._convert

    def convert_another(model, samples, half):
        return convert(other if half == (kind == "float16") else model, samples, half)

    monkeypatch.setattr(litert, "_convert", convert_another)


def test_a_file_that_answers_otherwise_is_refused_and_the_earlier_one_stays(
    model, tmp_path, monkeypatch
):
    path = tmp_path / "model"
    path.mkdir()
    (path / "model.tflite").write_bytes(b"earlier")
    _perturbed(model, monkeypatch, "float16")
    message = "with float16 weights to answer like.*difference 0"
    with pytest.raises(ValueError, match=message) as error:
        export_litert(model, path, labels=LABELS, sample_rate=RATE, overwrite=True)
    assert error.type is ValueError  # LiteRT can run it; it is the file that is wrong
    assert [file.name for file in tmp_path.iterdir()] == ["model"]
    assert (path / "model.tflite").read_bytes() == b"earlier"


def test_the_file_of_32_bits_is_checked_too(model, tmp_path, monkeypatch, played_here):
    _perturbed(model, monkeypatch, "float32")
    message = "with float32 weights to answer like.*difference 0"
    _refused(tmp_path, model, message, kind=ValueError)


def test_arguments_and_paths_that_do_not_fit(model, exported, tmp_path):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    for path, arguments, message in (
        ("new", {"labels": ["dog"]}, "Expected 3 labels"),
        ("new", {"sample_rate": 0}, "sample rate"),
        ("new", {"probe": [np.zeros((100, 2))]}, r"probe waveforms \(samples, 1\)"),
        ("new", {"resampling": "linear"}, "soxr or fourier"),
        (exported, {}, "where nothing is yet"),
        # A SavedModel is no earlier export of this kind.
        ("saved", {"overwrite": True}, "earlier export"),
    ):
        with pytest.raises(ValueError, match=message):
            export_litert(
                model, tmp_path / path, **{"labels": LABELS, "sample_rate": RATE} | arguments
            )
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_files_that_are_not_whole(exported, tmp_path):
    whole = (exported / "model.tflite").read_bytes()
    metadata = json.loads((exported / "metadata.json").read_text())
    for model, facts, message in (
        (b"", metadata, "whole LiteRT file"),
        (b"no model" * 100, metadata, "whole LiteRT file"),
        (whole, {"labels": LABELS}, r"whole LiteRT file.*no 'clip_samples'"),
        (whole, None, "JSON file.*metadata.json"),
    ):
        (tmp_path / "model.tflite").write_bytes(model)
        (tmp_path / "metadata.json").unlink(missing_ok=True)
        if facts is not None:
            write_json(tmp_path / "metadata.json", facts)
        with pytest.raises(ValueError, match=message):
            load_classifier(tmp_path)


def test_the_interpreter_of_its_own_package_goes_before_that_of_tensorflow(exported, monkeypatch):
    opened = []

    class Interpreter:
        def __init__(self, path, num_threads):
            opened.append((path, num_threads))

        def allocate_tensors(self):
            pass

        def get_signature_runner(self, name):
            return name

    path = str(exported / "model.tflite")
    package = types.ModuleType("ai_edge_litert.interpreter")
    package.Interpreter = Interpreter
    monkeypatch.setitem(sys.modules, "ai_edge_litert", types.ModuleType("ai_edge_litert"))
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", package)
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"version of {name}")
    serve, runtime = open_litert(path, threads=3)
    assert opened == [(path, 3)]
    assert (serve, runtime) == ("serving_default", "ai-edge-litert version of ai-edge-litert")

    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    serve, runtime = open_litert(path)
    assert runtime == "tensorflow version of tensorflow"
    assert serve(waveform=np.zeros((1, CLIP, 1), np.float32))["probabilities"].shape == (1, 3)


def test_a_run_is_exported_and_its_file_names_sounds(toy_data, tmp_path, capsys, request):
    recipe = ResidualBlocks(dataset="toy_sounds", sample_rate=RATE, duration=0.5, fold=1)
    records = open_records("toy_sounds", sample_rate=RATE, channels=1, data_dir=toy_data)
    classes, split = records.labels, make_split(records, 1).to_dict()
    write_json(tmp_path / "recipe.json", recipe.to_dict())
    write_json(tmp_path / "split.json", split)
    (tmp_path / "labels.txt").write_text("\n".join(classes))
    build(labels=classes).save(tmp_path / "model.keras")
    export = ["export", str(tmp_path), "--data-dir", str(toy_data)]
    assert main([*export, "--fp16"]) == 2
    assert "Expected --fp16 with --format litert" in capsys.readouterr().err
    assert main([*export, "--format", "litert", "--fp16"]) == 0
    folder = tmp_path / "export_litert"
    found = json.loads((folder / "export.json").read_text())
    printed = capsys.readouterr().out
    times = f"{found['latency_ms']:.1f} ms for a clip on one thread (median of 30; the least is "
    assert f"{found['bytes']:,} bytes; {times}{found['least_latency_ms']:.1f}; " in printed
    assert found["probe_clips"] == len(classes) > 1
    same = found["probe_clips_of_same_class"]
    assert f"held-out fold given the same class: {same} of {len(classes)}\n" in printed
    sound = tmp_path / "noise.wav"
    soundfile.write(sound, np.random.default_rng(0).uniform(-0.5, 0.5, 2 * CLIP), RATE)
    assert main(["predict", str(folder), str(sound), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {each["label"] for each in answer["classes"]} <= set(classes)
    # Where the records are not found, that is said.
    request.getfixturevalue("played_here")
    assert main([*export[:2], "--format", "litert", "--force", "--data-dir", "nowhere"]) == 0
    printed = capsys.readouterr().out
    assert "no real sound was checked: Expected records of toy_sounds" in printed
    assert json.loads((folder / "metadata.json").read_text())["fp16"] is False
    # Clips that the run was trained with are none that it held out.
    split["train"] |= split["validation"]
    write_json(tmp_path / "split.json", split)
    assert main([*export, "--format", "litert", "--force"]) == 0
    printed = capsys.readouterr().out
    assert "no real sound was checked: Expected the clips and classes that" in printed
    assert json.loads((folder / "export.json").read_text())["probe_clips"] == 0
