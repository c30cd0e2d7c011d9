"""Waveform normalisation, padding and cropping, and the parameter-free shortcut."""

import keras
import numpy as np
import pytest

from keras_audio.layers import ChannelRepeat, PadFrames, PadOrCrop, WaveformNormalization


def _noise(*shape, scale=0.1, offset=0.0) -> np.ndarray:
    noise = np.random.default_rng(sum(shape)).normal(size=shape)
    return (noise * scale + offset).astype("float32")


def test_standard_is_per_clip_over_samples_and_channels_together():
    clips = _noise(3, 1000, 2, offset=0.05) * np.array([1.0, 0.2], "float32")
    clips[1] *= 1e-4
    output = np.array(WaveformNormalization("standard")(clips))
    flat = clips.reshape(3, -1).astype("float64")
    expected = (flat - flat.mean(1, keepdims=True)) / flat.std(1, keepdims=True)
    np.testing.assert_allclose(output.reshape(3, -1), expected, atol=1e-4)


def test_max_abs_uses_the_absolute_value():
    clips = np.array([[[0.1], [-0.5], [0.2]], [[0.1], [0.05], [0.0]]], "float32")
    output = np.array(WaveformNormalization("max_abs")(clips))[..., 0]
    np.testing.assert_allclose(output, [[0.2, -1.0, 0.4], [1.0, 0.5, 0.0]], rtol=1e-6)


def test_none_changes_nothing():
    clips = _noise(2, 100, 1)
    np.testing.assert_array_equal(np.array(WaveformNormalization("none")(clips)), clips)


@pytest.mark.parametrize("mode", ["max_abs", "standard"])
@pytest.mark.parametrize("level", [0.0, 0.1, -0.7, 1.0, 1e-30])
@pytest.mark.parametrize("samples", [1, 7, 40000])
def test_clips_without_sound_come_out_as_zeros(mode, level, samples):
    # Beside a loud clip: silence is a matter of one clip, not of the batch.
    clips = np.full((2, samples, 2), level, "float32")
    clips[1] = _noise(samples, 2)
    output = np.array(WaveformNormalization(mode)(clips))
    assert np.all(output[0] == 0)
    assert np.abs(output[1]).max() > 0.5


@pytest.mark.parametrize("mode", ["max_abs", "standard"])
def test_one_step_of_16_bits_is_sound(mode):
    clip = np.zeros((1, 32000, 1), "float32")
    clip[0, 100] = 1 / 32768
    output = np.array(WaveformNormalization(mode)(clip))
    assert np.isfinite(output).all()
    assert output.max() == pytest.approx(1.0 if mode == "max_abs" else np.sqrt(32000), rel=1e-3)


def test_broken_samples_are_not_passed_off_as_silence():
    clip = np.full((1, 10, 1), np.nan, "float32")
    assert np.isnan(np.array(WaveformNormalization("standard")(clip))).all()


@pytest.mark.parametrize(
    ("crop", "samples", "expected"),
    [
        ("start", 5, [1, 2, 3, 4, 0]),
        ("center", 5, [1, 2, 3, 4, 0]),
        ("start", 4, [1, 2, 3, 4]),
        ("start", 2, [1, 2]),
        ("center", 2, [2, 3]),
        ("center", 1, [2]),
        ("none", 5, [1, 2, 3, 4, 0]),
        ("none", 4, [1, 2, 3, 4]),
        ("none", 1, [1, 2, 3, 4]),
    ],
)
def test_pad_or_crop(crop, samples, expected):
    clip = np.arange(1, 5, dtype="float32").reshape(1, 4, 1)
    layer = PadOrCrop(samples, crop=crop)
    output = layer(clip)
    assert tuple(output.shape) == layer.compute_output_shape(clip.shape)
    assert np.array(output).ravel().tolist() == expected


def test_pad_frames():
    features = _noise(2, 4, 3, 2)
    longer = np.array(PadFrames(5, value=-1.0)(features))
    np.testing.assert_array_equal(longer[:, :, :3], features)
    assert np.all(longer[:, :, 3:] == -1.0) and longer.shape == (2, 4, 5, 2)
    np.testing.assert_array_equal(np.array(PadFrames(2)(features)), features[:, :, :2])


def test_channel_repeat_interleaves_on_any_rank():
    for shape in [(2, 5, 3), (2, 4, 5, 3)]:
        x = _noise(*shape)
        layer = ChannelRepeat(2)
        np.testing.assert_array_equal(np.array(layer(x)), np.repeat(x, 2, axis=-1))
        assert layer.compute_output_shape((None, *shape[1:]))[-1] == 6


@pytest.mark.parametrize("crop", ["start", "center"])
def test_in_tf_data_one_clip_of_any_length_at_a_time(crop):
    tf = pytest.importorskip("tensorflow")
    steps = [WaveformNormalization("standard"), PadOrCrop(500, crop=crop)]
    clips = [_noise(samples, 2) for samples in (300, 500, 800, 1)]
    data = tf.data.Dataset.from_generator(
        lambda: clips, output_signature=tf.TensorSpec([None, 2], "float32")
    )

    def prepare(clip):
        clip = clip[None]
        for step in steps:
            clip = step(clip)
        return clip[0]

    data = data.map(prepare)
    assert data.element_spec.shape == (500, 2)
    for clip, output in zip(clips, data.as_numpy_iterator(), strict=True):
        np.testing.assert_allclose(output, np.array(prepare(clip)), atol=1e-5)


def test_a_least_length_in_a_graph_of_unknown_length(tmp_path):
    tf = pytest.importorskip("tensorflow")
    inputs = keras.Input((None, 2))
    model = keras.Model(inputs, PadOrCrop(500, crop="none")(inputs))
    assert model.output_shape == (None, None, 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    graph = tf.function(loaded, input_signature=[tf.TensorSpec([None, None, 2])])
    for samples in (0, 300, 500, 800):
        clips = _noise(3, samples, 2)
        expected = np.pad(clips, [(0, 0), (0, max(0, 500 - samples)), (0, 0)])
        for output in (model(clips), loaded(clips), graph(clips)):
            np.testing.assert_array_equal(np.array(output), expected)
    assert graph.experimental_get_tracing_count() == 1
    assert PadOrCrop(5, crop="none").compute_output_shape((None, 7, 1)) == (None, 7, 1)


def test_frames_in_a_graph_of_unknown_length():
    tf = pytest.importorskip("tensorflow")
    signature = [tf.TensorSpec([None, 4, None, 1])]
    graph = tf.function(PadFrames(5), input_signature=signature)
    for frames in (3, 5, 9):
        assert graph(_noise(1, 4, frames, 1)).shape == (1, 4, 5, 1)


@pytest.mark.parametrize(
    "layer",
    [
        WaveformNormalization("max_abs", epsilon=1e-6),
        PadOrCrop(100, crop="center"),
        PadOrCrop(20, crop="none"),
        PadFrames(7, value=-3.0),
        ChannelRepeat(3),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_rebuilds_from_its_configuration(layer):
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert again.get_config() == layer.get_config()
    x = _noise(1, 3, 4, 2) if isinstance(layer, PadFrames) else _noise(2, 50, 2)
    np.testing.assert_array_equal(np.array(again(x)), np.array(layer(x)))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_clip_steps_keep_float32_under_mixed_precision(policy):
    clips = _noise(2, 400, 1)
    keras.config.set_dtype_policy(policy)
    try:
        layers = [WaveformNormalization("standard"), PadOrCrop(300), PadOrCrop(500)]
        frames = PadFrames(7)
    finally:
        keras.config.set_dtype_policy("float32")
    x = clips
    for layer in layers:
        x = layer(x)
        assert keras.backend.standardize_dtype(x.dtype) == "float32"
    expected = (clips - clips.mean((1, 2), keepdims=True)) / clips.std((1, 2), keepdims=True)
    np.testing.assert_allclose(np.array(x)[:, :300], expected[:, :300], atol=1e-5)
    assert keras.backend.standardize_dtype(frames(_noise(1, 2, 3, 1)).dtype) == "float32"


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: WaveformNormalization("peak"), "mode='peak'"),
        (lambda: WaveformNormalization(epsilon=-1), "epsilon=-1"),
        (lambda: PadOrCrop(0), "samples=0"),
        (lambda: PadOrCrop(1.5), "samples=1.5"),
        (lambda: PadOrCrop(True), "samples=True"),
        (lambda: PadOrCrop(5, crop="end"), "crop='end'"),
        (lambda: PadFrames("9"), "frames='9'"),
        (lambda: ChannelRepeat(0), "repeats=0"),
    ],
)
def test_refuses_wrong_arguments(build, name):
    with pytest.raises(ValueError, match=f"Expected .* Received: {name}"):
        build()
