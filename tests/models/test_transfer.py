"""Weights from one network to another: which are taken, what is refused, and what is never run."""

import json
import zipfile

import keras
import numpy as np
import pytest
from models.harness import randomize

from keras_audio import create_model
from keras_audio.augment import SpecAugment
from keras_audio.models.transfer import load_source, model_name_of, transfer_weights


@pytest.fixture(scope="module")
def source():
    model = create_model("erann_3_1", 3)
    randomize(model)
    return model


@pytest.fixture(scope="module")
def source_file(source, tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "model.keras"
    source.save(path)
    return path


def test_all_layers_but_the_last_are_copied(source):
    target = create_model("erann_3_1", 5, classifier_activation="sigmoid")
    logits = [weight.copy() for weight in target.get_layer("logits").get_weights()]
    copied = transfer_weights(source, target)
    with_weights = [layer.name for layer in source.layers if layer.weights]
    assert copied == with_weights[:-1]
    assert with_weights[-1] == "logits" and "input_bn" in copied and "fc1" in copied
    for name in copied:
        pairs = zip(
            source.get_layer(name).get_weights(), target.get_layer(name).get_weights(), strict=True
        )
        assert all(np.array_equal(theirs, ours) for theirs, ours in pairs)
    assert all(map(np.array_equal, logits, target.get_layer("logits").get_weights()))
    noise = np.random.default_rng(0).uniform(-1, 1, (1, 8000, 1)).astype("float32")
    embeddings = [
        keras.Model(model.input, model.get_layer("embedding").output)(noise)
        for model in (source, target)
    ]
    assert np.array_equal(*map(keras.ops.convert_to_numpy, embeddings))


def test_all_but_the_two_last_layers_of_the_two_path_network_are_copied():
    narrow = {"num_filters": 1, "input": "features", "channels": 1}
    source = create_model("two_path_resnet", 3, **narrow)
    randomize(source)
    target = create_model("two_path_resnet", 5, **narrow)
    classifier = {
        name: [weight.copy() for weight in target.get_layer(name).get_weights()]
        for name in ("logits_conv", "logits_bn")
    }
    copied = transfer_weights(source, target)
    with_weights = [layer.name for layer in target.layers if layer.weights]
    assert copied == [name for name in with_weights if name not in classifier]
    assert {"path2_input_bn", "path1_stage4_block2_conv2", "embedding_bn"} < set(copied)
    for name, weights in classifier.items():
        assert all(map(np.array_equal, weights, target.get_layer(name).get_weights()))
    x = np.random.default_rng(0).normal(size=(1, 128, 20, 3)).astype("float32")
    embeddings = [
        keras.Model(model.input, model.get_layer("embedding").output)(x)
        for model in (source, target)
    ]
    assert np.array_equal(*map(keras.ops.convert_to_numpy, embeddings))
    other = create_model("two_path_resnet", 3, frequency_downsampling=True, **narrow)
    with pytest.raises(ValueError, match=r"path1_stem_conv .*\(1, 2\).*\(2, 2\)"):
        transfer_weights(other, target)


def test_half_precision_takes_the_weights_of_full_precision(source):
    with_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        target = create_model("erann_3_1", 5)
    finally:
        keras.config.set_dtype_policy(with_policy)
    transfer_weights(source, target)
    name = "stage1_block1_conv1"
    ours, theirs = (model.get_layer(name).kernel for model in (target, source))
    assert np.array_equal(*map(keras.ops.convert_to_numpy, (ours, theirs)))


def test_augmentation_has_no_weights_to_copy_or_to_miss(source, tmp_path):
    steps = [SpecAugment(max_time_width=8, seed=7)]
    augmented = create_model("erann_3_1", 5, feature_steps=steps)
    assert augmented.get_layer("spec_augment").variables
    assert "spec_augment" not in transfer_weights(source, augmented)
    # Here in a process that has its class at hand; in another one loading imports it.
    augmented.save(tmp_path / "model.keras")
    assert "spec_augment" not in transfer_weights(load_source(tmp_path / "model.keras"), source)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("erann_3_2", {}, ["stage0_block1_conv1 ", "(3, 3, 1, 8)", "(3, 3, 1, 16)", "erann_3_2"]),
        ("erann_0_1", {}, ["stage1_block1_conv1 ", "(3, 6, 8, 16)", "(3, 3, 8, 16)", "erann_0_1"]),
        ("erann_3_1", {"channels": 2}, ["stage0_block1_conv1 ", "(3, 3, 2, 8)", "(3, 3, 1, 8)"]),
        ("m3", {}, ["layer group1_1_conv ", "(80, 1, 256)", "not there", "m3", "erann_3_1"]),
    ],
)
def test_a_source_that_does_not_fit_is_refused_before_anything_changes(
    name, arguments, words, source
):
    target = create_model(name, 5, **arguments)
    before = target.get_weights()
    with pytest.raises(ValueError, match="^Expected a source whose layers fit") as error:
        transfer_weights(source, target)
    sentence = str(error.value)
    assert all(word in sentence for word in words), sentence
    assert "\n" not in sentence and "erann_3_1" in sentence
    assert all(map(np.array_equal, before, target.get_weights()))


def test_a_layer_too_many_in_the_source_is_named():
    source = create_model("m3", 4, feature_steps=[keras.layers.Conv1D(1, 1, name="more")])
    with pytest.raises(ValueError, match="layer more not there"):
        transfer_weights(source, create_model("m3", 5))


def test_equal_shapes_at_other_strides_are_another_network():
    with pytest.raises(ValueError, match=r"group1_1_conv .*strides \(4,\).*strides \(16,\)"):
        transfer_weights(create_model("m3", 4, first_stride=16), create_model("m3", 4))


def test_a_file_and_a_run_folder_are_loaded(source, source_file):
    assert model_name_of(source_file) == "erann_3_1"
    loaded = load_source(source_file)
    assert loaded.name == "erann_3_1"
    assert all(map(np.array_equal, loaded.get_weights(), source.get_weights()))
    run = source_file.parent
    with pytest.raises(ValueError, match="folder of a run, with recipe.json, or a .keras file"):
        load_source(run)
    (run / "recipe.json").write_text("{}")
    assert model_name_of(run) == "erann_3_1"
    assert load_source(run).name == "erann_3_1"


def rewritten(source_file, path, change):
    """A copy of a `.keras` file whose config.json was changed."""
    with zipfile.ZipFile(source_file) as archive, zipfile.ZipFile(path, "w") as copy:
        for name in archive.namelist():
            content = archive.read(name)
            copy.writestr(name, change(content) if name == "config.json" else content)
    return path


def named(name):
    def change(content):
        config = json.loads(content)
        config["config"]["name"] = name
        return json.dumps(config)

    return change


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda content: content[:1000], id="cut short"),
        pytest.param(lambda content: b"\xff\xfe\xfa", id="no text"),
        pytest.param(lambda content: b"[]", id="a list"),
        pytest.param(lambda content: b"{}", id="empty"),
        pytest.param(lambda content: b'{"config": 3}', id="no config"),
        pytest.param(lambda content: b"[" * 100_000, id="deep"),
        pytest.param(lambda content: b" " * (17 * 2**20), id="large"),
        pytest.param(named(None), id="no name"),
        pytest.param(named("a\nb"), id="two lines"),
        pytest.param(named("x" * 10_000), id="a long name"),
    ],
)
def test_a_hostile_configuration_is_one_sentence(change, source_file, tmp_path):
    path = rewritten(source_file, tmp_path / "hostile.keras", change)
    with pytest.raises(ValueError, match="hostile.keras") as error:
        model_name_of(path)
    assert len(str(error.value).splitlines()) == 1 and len(str(error.value)) < 600


@pytest.mark.parametrize("content", [b"", b"no zip", "half"])
def test_a_broken_file_is_one_sentence(content, source_file, tmp_path):
    path = tmp_path / "broken.keras"
    whole = source_file.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    for function in (model_name_of, load_source):
        with pytest.raises(ValueError, match="Expected a whole .keras file.*broken.keras"):
            function(path)


def test_weights_that_are_damaged_are_one_sentence(source_file, tmp_path):
    path = tmp_path / "damaged.keras"
    with zipfile.ZipFile(source_file) as archive, zipfile.ZipFile(path, "w") as copy:
        for name in archive.namelist():
            content = archive.read(name)
            copy.writestr(name, content[:4000] if name.endswith(".h5") else content)
    with pytest.raises(ValueError, match="Expected a whole model.*damaged.keras") as error:
        load_source(path)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("path", ["nowhere", "nowhere.keras", "empty"])
def test_what_is_no_source_is_said(path, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="folder of a run.*or a .keras file"):
        load_source(tmp_path / path)


def test_a_run_without_a_model_yet_is_said(tmp_path):
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(ValueError, match="kept a model already"):
        load_source(tmp_path)


def test_code_in_a_file_is_never_run(tmp_path):
    x = inputs = keras.Input((4,))
    x = keras.layers.Lambda(lambda x: x, name="harmless")(x)
    model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(x), name="m3")
    model.save(tmp_path / "code.keras")
    # As far as the name goes it is a network like any other.
    assert model_name_of(tmp_path / "code.keras") == "m3"
    with pytest.raises(ValueError, match="Lambda layer.*never run.*code.keras"):
        load_source(tmp_path / "code.keras")
