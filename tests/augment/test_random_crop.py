"""Where the random crop begins, and whose sides are swapped."""

import keras
import numpy as np
import pytest
from scipy.stats import chisquare

from keras_audio.augment import RandomChannelSwap, RandomCropFrames


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def counting(batch, mels, frames, channels=2) -> np.ndarray:
    """No value occurs twice."""
    shape = (batch, mels, frames, channels)
    return np.arange(np.prod(shape), dtype="float32").reshape(shape)


def stereo(batch, samples=7) -> np.ndarray:
    return np.random.default_rng(batch).normal(size=(batch, samples, 2)).astype("float32")


def starts(layer, batch, frames, calls=1):
    """First frames of the crops, each of which is checked to be one stretch of its own clip."""
    x = counting(batch, 3, frames)
    found = []
    for _ in range(calls):
        output = numpy(layer(x, training=True))
        assert output.shape == (batch, 3, layer.frames, 2)
        first = (output[:, 0, 0, 0] // 2 % frames).astype(int)
        for clip, crop, start in zip(x, output, first, strict=True):
            np.testing.assert_array_equal(crop, clip[:, start : start + layer.frames])
        found.append(first)
    return np.array(found)


def test_all_starts_are_as_likely_the_last_one_too():
    counts = np.bincount(starts(RandomCropFrames(5, seed=1), 1000, 9, calls=8).ravel())
    assert len(counts) == 5
    assert chisquare(counts).pvalue > 0.01


def test_clips_and_calls_draw_by_themselves():
    found = starts(RandomCropFrames(3, seed=2), 64, 34, calls=20)
    assert min(len(set(row)) for row in found) > 20, "clips of a batch share their starts"
    assert min(len(set(row)) for row in found.T) > 8, "calls share their starts"
    # Starts of neighbours go together no more than chance has it.
    pairs = found[:, :-1].ravel(), found[:, 1:].ravel()
    assert abs(np.corrcoef(*pairs)[0, 1]) < 0.1


def test_the_crop_of_the_report():
    found = starts(RandomCropFrames(400, seed=0), 32, 461)
    assert 0 <= found.min() < 15 and 45 < found.max() <= 61


def test_a_clip_of_just_the_frames_stays_whole():
    x = counting(3, 2, 6)
    np.testing.assert_array_equal(numpy(RandomCropFrames(6, seed=0)(x, training=True)), x)


LAYERS = {
    "crop": (lambda seed=1: RandomCropFrames(5, seed=seed), counting(6, 3, 20)),
    "swap": (lambda seed=1: RandomChannelSwap(seed=seed), stereo(6)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_only_while_training(name):
    build, x = LAYERS[name]
    layer = build()
    for arguments in ({}, {"training": False}):
        np.testing.assert_array_equal(numpy(layer(x, **arguments)), x)
    np.testing.assert_array_equal(numpy(layer.variables[0]), [1, 0])  # nothing was drawn
    inputs = keras.Input((*x.shape[1:-2], None, 2))
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, *x.shape[1:-2], None, 2) and not model.weights
    short = x[..., :3, :]  # shorter than the crop: inference takes any length
    np.testing.assert_array_equal(numpy(model(short, training=False)), short)


@pytest.mark.parametrize("name", LAYERS)
def test_draws_follow_from_the_seed_and_from_the_state(name):
    build, x = LAYERS[name]
    one, two, other = build(), build(), build(seed=4)
    first = numpy(one(x, training=True))
    np.testing.assert_array_equal(numpy(two(x, training=True)), first)
    assert np.abs(numpy(other(x, training=True)) - first).max() > 0
    assert len(one.variables) == 1  # what a checkpoint has to hold
    state = numpy(one.variables[0])
    second = numpy(one(x, training=True))
    assert np.abs(second - first).max() > 0
    other.variables[0].assign(state)
    np.testing.assert_array_equal(numpy(other(x, training=True)), second)


@pytest.mark.parametrize("name", LAYERS)
def test_in_a_graph_of_unknown_shape(name):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("needs the TensorFlow backend")
    import tensorflow as tf

    build, x = LAYERS[name]
    eager, layer = build(), build()
    graph = tf.function(
        lambda x: layer(x, training=True), input_signature=[tf.TensorSpec([None] * x.ndim)]
    )
    for batch, length in ((6, None), (3, -1), (1, -4)):
        part = x[:batch, ..., :length, :]
        np.testing.assert_array_equal(numpy(graph(part)), numpy(eager(part, training=True)))
    assert graph.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", LAYERS)
def test_the_same_draws_under_mixed_precision(name, policy):
    build, x = LAYERS[name]
    x = np.round(x % 7, 1)
    expected = numpy(build()(x, training=True))
    keras.config.set_dtype_policy(policy)
    try:
        layer = build()
    finally:
        keras.config.set_dtype_policy("float32")
    output = keras.ops.cast(layer(x, training=True), "float32")
    # Waveforms and log-mels stay in full precision.
    np.testing.assert_array_equal(numpy(output), expected)


@pytest.mark.parametrize("name", LAYERS)
def test_rebuilds_from_its_configuration(name, tmp_path):
    build, x = LAYERS[name]
    layer = build(seed=6)
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(numpy(again(x, training=True)), numpy(layer(x, training=True)))
    inputs = keras.Input((*x.shape[1:-2], None, 2))
    keras.Model(inputs, again(inputs)).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(loaded(x, training=False)), x)
    assert loaded.layers[1].get_config() == layer.get_config()


@pytest.mark.parametrize("frames", [0, 1.5, True, None])
def test_refuses_wrong_numbers_of_frames(frames):
    with pytest.raises(ValueError, match=f"Expected .*Received: frames={frames}"):
        RandomCropFrames(frames)


def test_a_clip_too_short_is_named_only_while_training():
    layer, x = RandomCropFrames(21, seed=0), counting(2, 3, 20)
    with pytest.raises(ValueError, match="at least 21 frames.*Received: frames=20"):
        layer(x, training=True)
    assert numpy(layer(x)).shape == x.shape


def test_a_clip_too_short_is_no_silent_repeat_in_a_graph_of_unknown_length():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("needs the TensorFlow backend")
    import tensorflow as tf

    layer = RandomCropFrames(21, seed=0)
    graph = tf.function(
        lambda x: layer(x, training=True), input_signature=[tf.TensorSpec([None] * 4)]
    )
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        graph(counting(2, 3, 20))


def test_half_of_the_clips_have_their_sides_swapped_each_by_itself():
    x, layer = stereo(1000), RandomChannelSwap(seed=3)
    rows = []
    for _ in range(4):
        output = numpy(layer(x, training=True))
        swapped = (output == x[..., ::-1]).all(axis=(1, 2))
        kept = (output == x).all(axis=(1, 2))
        np.testing.assert_array_equal(swapped, ~kept)
        rows.append(swapped)
    assert np.mean(rows) == pytest.approx(0.5, abs=0.03)
    # By itself: neighbours and calls agree in half of the cases.
    assert np.mean(rows[0] == rows[1]) == pytest.approx(0.5, abs=0.05)
    assert np.mean(rows[0][1:] == rows[0][:-1]) == pytest.approx(0.5, abs=0.05)


def test_mono_has_no_sides():
    x = stereo(4)[..., :1]
    np.testing.assert_array_equal(numpy(RandomChannelSwap(seed=0)(x, training=True)), x)


def test_samples_stay_in_full_precision():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        layer = RandomChannelSwap(seed=0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(layer(stereo(2), training=True).dtype) == "float32"
