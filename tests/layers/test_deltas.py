"""Deltas against plain NumPy and librosa, and the whole two-path front end on real clips."""

import keras
import librosa
import numpy as np
import pytest
import soundfile
import soxr

from keras_audio.layers import Deltas
from keras_audio.models.two_path import two_path_front_end


def numpy_delta(x):
    """The regression through five frames, one frame after the other; (..., frames, channels)."""
    frames = []
    for t in range(2, x.shape[-2] - 2):
        slope = sum(n * (x[..., t + n, :] - x[..., t - n, :]) for n in (1, 2))
        frames.append(slope / (2 * (1**2 + 2**2)))
    return np.stack(frames, axis=-2)


def numpy_deltas(x):
    delta = numpy_delta(x)
    return np.concatenate([x[..., 4:-4, :], delta[..., 2:-2, :], numpy_delta(delta)], axis=-1)


def features(*shape) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32") * 5


@pytest.mark.parametrize("frames", [9, 10, 31])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_slope_through_five_frames_twice(frames, channels):
    x = features(3, 7, frames, channels)
    layer = Deltas()
    output = np.array(layer(x))
    assert output.shape == (3, 7, frames - 8, 3 * channels)
    assert output.shape == layer.compute_output_shape(x.shape)
    np.testing.assert_allclose(output, numpy_deltas(x.astype("float64")), atol=1e-5)


def test_librosas_inner_frames():
    x = features(1, 20, 40, 1)
    output = np.array(Deltas()(x))[0]
    delta = librosa.feature.delta(x[0, :, :, 0], width=5, axis=-1)
    # Not its order=2, which is the curvature of a parabola through the five frames.
    again = librosa.feature.delta(delta, width=5, axis=-1)
    np.testing.assert_allclose(output[..., 1], delta[:, 4:-4], atol=1e-5)
    np.testing.assert_allclose(output[..., 2], again[:, 4:-4], atol=1e-5)


def test_channels_are_log_mels_then_deltas_then_delta_deltas():
    # A level, a rise and a parabola tell the kinds apart, the factor tells left and right.
    t = np.arange(12.0)
    left = 5 + 3 * t + 2 * t**2
    x = np.stack([left, 10 * left], axis=-1)[None, None]
    output = np.array(Deltas()(x))[0, 0]
    inner = t[4:-4]
    expected = np.stack([5 + 3 * inner + 2 * inner**2, 3 + 4 * inner, np.full(4, 4.0)], axis=-1)
    np.testing.assert_allclose(output[:, ::2], expected, rtol=1e-5)
    np.testing.assert_allclose(output[:, 1::2], 10 * expected, rtol=1e-5)


def test_frames_may_be_unknown():
    assert Deltas().compute_output_shape((None, 128, None, 2)) == (None, 128, None, 6)
    inputs = keras.Input((4, None, 2))
    model = keras.Model(inputs, Deltas()(inputs))
    assert model.output_shape == (None, 4, None, 6) and not model.weights
    for frames in (9, 20):
        x = features(2, 4, frames, 2)
        np.testing.assert_allclose(model.predict_on_batch(x), np.array(Deltas()(x)), atol=1e-5)


@pytest.mark.parametrize("frames", [0, 8])
def test_too_few_frames_are_named(frames):
    with pytest.raises(ValueError, match=f"at least 9 frames .*Received: frames={frames}"):
        Deltas()(np.zeros((1, 4, frames, 1)))
    with pytest.raises(ValueError, match=f"Received: frames={frames}"):
        Deltas().compute_output_shape((None, 4, frames, 1))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_float32_under_mixed_precision_and_after_saving(policy, tmp_path):
    x = features(1, 4, 12, 1)
    keras.config.set_dtype_policy(policy)
    try:
        inputs = keras.Input((4, None, 1), dtype="float32")
        keras.Model(inputs, Deltas()(inputs)).save(tmp_path / "model.keras")
    finally:
        keras.config.set_dtype_policy("float32")
    output = keras.models.load_model(tmp_path / "model.keras")(x)
    np.testing.assert_array_equal(np.array(output), np.array(Deltas()(x)))


# The whole front end on real clips. ---------------------------------------------------------------

TASKS = {"1a": (48000, 2), "1b": (44100, 1)}


@pytest.fixture(scope="module")
def clips(esc10_files) -> list[np.ndarray]:
    """Pairs of real clips of different classes, 44.1 kHz, (samples, 2)."""
    chosen = [esc10_files[i * len(esc10_files) // 6] for i in range(6)]
    native = [soundfile.read(path, dtype="float32")[0][:220500] for path in chosen]
    return [np.stack(pair, axis=1) for pair in zip(native, native[1:] + native[:1], strict=True)]


def librosa_power(clip, sample_rate):
    """(mels, frames, channels) in float64."""
    power = librosa.feature.melspectrogram(
        y=clip.T.astype("float64"),
        sr=sample_rate,
        n_fft=2048,
        hop_length=1024,
        n_mels=128,
        htk=True,
        norm=None,
        pad_mode="reflect",
        dtype="float64",
    )
    return np.moveaxis(power, 0, -1)


@pytest.mark.parametrize("task", TASKS)
def test_front_end_equals_librosa_and_numpy_on_real_clips(task, clips):
    sample_rate, channels = TASKS[task]
    waveform = keras.Input((None, channels))
    front_end = keras.Model(waveform, two_path_front_end(waveform, sample_rate=sample_rate))
    for clip in clips:
        clip = np.ascontiguousarray(soxr.resample(clip, 44100, sample_rate)[:, :channels])
        output = np.array(front_end(clip[None]))[0]
        power = librosa_power(clip, sample_rate) + 1e-8
        expected = numpy_deltas(np.log(power))
        assert output.shape == expected.shape == (128, len(clip) // 1024 - 7, 3 * channels)
        # At all levels, also 100 dB below the peak of a frame.
        assert np.abs(output - expected).max() <= 1e-5
