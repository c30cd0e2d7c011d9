"""Whole seconds and whole frames, by the arithmetic of section 3.1 of Verbitskiy et al. 2022."""

import keras
import numpy as np
import pytest

from keras_audio.layers import LogMelSpectrogram, PadSeconds


@pytest.mark.parametrize(
    ("samples", "seconds"),
    [
        (1, 1),
        (2205, 1),
        (44100, 1),
        (44101, 2),
        (220500, 5),
        (220544, 6),
        (321930, 8),
        (441000, 10),
    ],
)
def test_each_begun_second_has_128_frames(samples, seconds):
    layer = PadSeconds(44100, hop_length=345)
    waveform = np.random.default_rng(0).uniform(-1, 1, (2, samples, 1)).astype("float32")
    padded = np.asarray(layer(waveform))
    assert padded.shape == layer.compute_output_shape(waveform.shape)
    assert padded.shape[1] // 345 + 1 == 128 * seconds
    # From six seconds on more zeros than up to the second, but less than a frame's.
    assert 0 <= padded.shape[1] - 44100 * seconds < 345 * seconds
    assert np.array_equal(padded[:, :samples], waveform)
    assert not padded[:, samples:].any()


def test_least_seconds_are_those_of_shorter_clips_only():
    layer = PadSeconds(44100, hop_length=345, least_seconds=4)
    assert [layer.padded_samples(n) for n in (1, 176400, 176401)] == [176400, 176400, 220500]


def test_frames_of_the_spectrogram_behind_it():
    waveform = keras.Input((None, 1))
    x = PadSeconds(44100, hop_length=345)(waveform)
    x = LogMelSpectrogram(44100, n_fft=1380, hop_length=345, fmin=50.0, fmax=14000.0)(x)
    model = keras.Model(waveform, x)
    for samples, frames in ((300, 128), (441000, 1280)):
        assert model(np.zeros((1, samples, 1), "float32")).shape == (1, 128, frames, 1)


def test_it_is_float32_under_mixed_precision_and_rebuilds():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = PadSeconds(8000, hop_length=100, frames_per_second=80, least_seconds=2)
        padded = layer(np.ones((1, 8000, 1), "float32"))
        assert keras.backend.standardize_dtype(padded.dtype) == "float32"
    finally:
        keras.config.set_dtype_policy("float32")
    again = PadSeconds.from_config(layer.get_config())
    assert again.padded_samples(1) == layer.padded_samples(1) == 16000


def test_more_hops_than_frames_are_refused():
    with pytest.raises(ValueError, match="at least the hops.*frames_per_second=100"):
        PadSeconds(44100, hop_length=345, frames_per_second=100)
    with pytest.raises(ValueError, match="hop_length=0"):
        PadSeconds(44100, hop_length=0)
