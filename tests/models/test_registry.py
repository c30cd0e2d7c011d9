"""Finding networks by name, and what is said when there is none."""

import keras
import pytest

from keras_audio.models import create_model, list_models, model_info, register_model, registry


def test_lists_by_pattern_with_numbers_in_order():
    assert list_models("m?") + list_models("m??") == ["m3", "m5", "m11", "m18"]
    assert list_models("m34*") == [f"m34_res_rb{n}" for n in range(1, 7)]
    assert list_models("*_rb4") == ["m34_res_rb4", "spectrogram_res_rb4"]
    assert list_models("nothing*") == []
    names = list_models()
    assert len(names) == len(set(names)) and {"m3", "erann_1_3"} <= set(names)
    assert names.index("m5") < names.index("m11")


def test_unknown_names_are_answered_with_near_ones():
    for find in (model_info, lambda name: create_model(name, 10)):
        with pytest.raises(ValueError, match="m34_res_rb4.*Received: name='m34_rb4'"):
            find("m34_rb4")
    with pytest.raises(ValueError, match="one of .*m3, m5.*Received: name='zzz'"):
        model_info("zzz")


def test_unknown_arguments_are_answered_with_near_ones():
    with pytest.raises(ValueError, match="batch_norm_momentum.*Received: batchnorm_momentum=0.9"):
        create_model("m3", 10, batchnorm_momentum=0.9)
    with pytest.raises(ValueError, match="Received: frames=10"):
        create_model("m3", 10, frames=10)
    # The bare network has no front end to set.
    with pytest.raises(ValueError, match="on features.*Received: frames=10"):
        create_model("spectrogram_res_rb1", 10, input="features", frames=10)
    # What the name settles is no argument.
    with pytest.raises(ValueError, match="Received: block='rb1'"):
        create_model("m34_res_rb4", 10, block="rb1")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"num_classes": 0}, "num_classes=0"),
        ({"num_classes": 2.0}, "num_classes=2.0"),
        ({"num_classes": True}, "num_classes=True"),
        ({"num_classes": "10"}, "num_classes='10'"),
        ({"channels": 0}, "channels=0"),
        ({"input": "audio"}, "input='audio'"),
        ({"classifier_activation": "relu"}, "classifier_activation='relu'"),
        ({"first_stride": 0}, "first_stride=0"),
        ({"batch_norm_momentum": 1.0}, "batch_norm_momentum=1.0"),
        ({"batch_norm_epsilon": 0}, "batch_norm_epsilon=0"),
        ({"kernel_regularizer": -1e-4}, "kernel_regularizer=-0.0001"),
        ({"kernel_regularizer": "l2"}, "kernel_regularizer='l2'"),
    ],
)
def test_refuses_wrong_values(arguments, said):
    arguments = {"num_classes": 10, **arguments}
    with pytest.raises(ValueError, match=f"Expected .*Received: {said}"):
        create_model("m3", **arguments)


def test_clip_steps_need_a_waveform():
    step = keras.layers.Identity()
    with pytest.raises(ValueError, match='clip_steps with input="waveform"'):
        create_model("spectrogram_res_rb1", 10, input="features", clip_steps=[step])


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_classifier_activation(activation):
    model = create_model("m3", 4, classifier_activation=activation)
    logits = keras.Model(model.input, model.get_layer("logits").output)
    x = keras.random.normal((2, 1000, 1), seed=1)
    functions = {"softmax": keras.ops.softmax, "sigmoid": keras.ops.sigmoid, None: lambda x: x}
    expected = functions[activation](logits(x))
    difference = keras.ops.max(keras.ops.abs(model(x) - expected))
    assert float(difference) < 1e-6
    assert model.layers[-1].name == "predictions"


def test_info():
    info = model_info("m34_res_rb4")
    assert (info.sample_rate, info.channels, info.min_samples) == (8000, 1, 1021)
    assert info.feature_shape is None and "Naranjo" in info.paper and info.table == "Table II"
    assert info.arguments == {
        "first_stride": 4,
        "batch_norm_momentum": 0.99,
        "batch_norm_epsilon": 1e-3,
        "kernel_regularizer": None,
    }
    assert {"frames", "mean", "variance"} < set(model_info("spectrogram_res_rb4").arguments)
    info = model_info("two_path_resnet")
    assert (info.sample_rate, info.channels, info.min_samples) == (48000, 2, 8192)
    assert info.feature_shape == (128, None, 6) and "McDonnell" in info.paper
    assert {"num_filters", "paths", "deltas", "sample_rate"} < set(info.arguments)
    # Of any number of mel bins.
    assert model_info("resnet34").feature_shape == (None, None, 1)


def test_feature_channels_may_depend_on_an_argument_of_the_front_end():
    def shape(**arguments):
        network = {"num_filters": 1, "input": "features"}
        return create_model("two_path_resnet", 2, **network, **arguments).input_shape

    assert shape(channels=1) == (None, 128, None, 3)
    assert shape(deltas=False) == (None, 128, None, 2)
    assert shape(deltas=False, channels=1) == (None, 128, None, 1)
    # What else the front end alone knows is no argument of the bare network.
    with pytest.raises(ValueError, match="on features.*Received: sample_rate=44100"):
        shape(sample_rate=44100)


def test_a_family_without_end_and_with_a_front_end_of_several_channels(monkeypatch):
    monkeypatch.setattr(registry, "_FAMILIES", list(registry._FAMILIES))

    def parse(name):
        start, _, width = name.partition("wide_")
        return {"width": int(width)} if not start and width.isdigit() else None

    def front_end(x, *, mels=8):
        x = keras.ops.reshape(x, (-1, mels, 100, 1))
        return keras.ops.concatenate([x, x, x], axis=-1)

    @register_model(
        names={"wide_2": {"width": 2}},
        parse=parse,
        front_end=front_end,
        sample_rate=16000,
        min_samples=800,
        mels=8,
        features_per_channel=3,
        paper="A paper",
        table="1",
    )
    def wide(x, num_classes, *, width, depth=1):
        x = keras.layers.Dense(width, name="wide")(x)
        x = keras.layers.GlobalAveragePooling2D(name="embedding")(x)
        return keras.layers.Dense(num_classes, name="logits")(x)

    assert list_models("wide*") == ["wide_2"]
    model = create_model("wide_77", 5, mels=8, depth=2)
    assert model.get_layer("wide").units == 77 and model.name == "wide_77"
    assert create_model("wide_3", 5, input="features").input_shape == (None, 8, None, 3)
    assert create_model("wide_3", 5, input="features", channels=2).input_shape[-1] == 6
    assert model_info("wide_9").feature_shape == (8, None, 3)
    assert model_info("wide_9").arguments == {"depth": 1, "mels": 8}
    with pytest.raises(ValueError, match="wide_2"):
        model_info("wide_x")
    with pytest.raises(ValueError, match="not yet registered"):
        register_model(names={"m3": {}}, sample_rate=1, min_samples=1, paper="", table="")(wide)


def test_any_is_the_one_word_for_mel_bins():
    with pytest.raises(ValueError, match="Expected mels to be one of 'any'.*Received: mels='all'"):
        register_model(names={}, sample_rate=1, min_samples=1, mels="all", paper="", table="")
