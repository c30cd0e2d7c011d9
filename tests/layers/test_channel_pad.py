"""The shortcut to more channels, and the value that is kept beside."""

import keras
import numpy as np
import pytest

from keras_audio.layers import ChannelPad, KeepBeside


def noise(*shape) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("shape", [(2, 3), (2, 5, 3), (2, 4, 5, 3)])
@pytest.mark.parametrize("channels", [3, 8])
def test_zeros_stand_behind_the_channels(shape, channels):
    x = noise(*shape)
    layer = ChannelPad(channels)
    output = np.array(layer(x))
    assert output.shape == layer.compute_output_shape(shape) == (*shape[:-1], channels)
    np.testing.assert_array_equal(output[..., :3], x)
    assert not output[..., 3:].any()


def test_padding_in_a_model_of_any_size(tmp_path):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, ChannelPad(5, name="more")(inputs))
    assert model.output_shape == (None, None, None, 5) and not model.weights
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = noise(1, 2, 7, 3)
    np.testing.assert_array_equal(np.array(loaded(x)), np.array(ChannelPad(5)(x)))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_padding_keeps_half_precision(policy):
    layer = ChannelPad(4, dtype=policy)
    output = layer(keras.ops.cast(noise(1, 2, 3), layer.compute_dtype))
    assert keras.backend.standardize_dtype(output.dtype) == layer.compute_dtype


@pytest.mark.parametrize("channels", [0, 1.5, True, "4"])
def test_refuses_wrong_numbers_of_channels(channels):
    with pytest.raises(ValueError, match=f"Expected .* Received: channels={channels!r}"):
        ChannelPad(channels)


def test_refuses_too_many_channels():
    with pytest.raises(ValueError, match=r"at most 2 channels.*Received: .*\(1, 2, 3\)"):
        ChannelPad(2)(noise(1, 2, 3))
    with pytest.raises(ValueError, match="at most 2 channels"):
        keras.Model(inputs := keras.Input((None, 3)), ChannelPad(2)(inputs))


def test_what_is_beside_is_saved(tmp_path):
    inputs = keras.Input((4,))
    beside = keras.layers.Dense(2, name="beside")(inputs)
    outputs = KeepBeside()([keras.layers.Dense(3, name="main")(inputs), beside])
    model = keras.Model(inputs, outputs)
    x = noise(5, 4)
    main = keras.Model(inputs, model.get_layer("main").output)
    np.testing.assert_array_equal(np.array(model(x)), np.array(main(x)))
    assert KeepBeside().compute_output_shape([(None, 3), (None, 7)]) == (None, 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [weight.path for weight in loaded.weights] == [weight.path for weight in model.weights]
    np.testing.assert_array_equal(np.array(loaded(x)), np.array(model(x)))
    again = keras.Model(loaded.input, loaded.get_layer("beside").output)
    np.testing.assert_array_equal(np.array(again(x)), np.array(keras.Model(inputs, beside)(x)))
