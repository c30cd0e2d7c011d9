"""Embedded sounds and pictures, decoded by soundfile and by TensorFlow."""

import base64
import io

import librosa
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from keras_audio.evaluation.media import audio_uri, spectrogram_uri


def decoded(uri, kind):
    prefix = f"data:{kind};base64,"
    assert uri.startswith(prefix)
    return base64.b64decode(uri[len(prefix) :], validate=True)


def picture(audio, rate, **arguments):
    data = decoded(spectrogram_uri(audio, rate, **arguments), "image/png")
    return tf.io.decode_png(data, channels=3).numpy().astype(int)


def tone(frequency, rate, seconds=1.0, channels=1):
    time = np.arange(int(rate * seconds)) / rate
    wave = 0.5 * np.sin(2 * np.pi * frequency * time)
    return np.repeat(wave[:, np.newaxis], channels, axis=1).astype(np.float32)


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44100, 2), (11024, 1)])
def test_sound_is_the_same_to_16_bit(rate, channels):
    audio = np.random.default_rng(0).uniform(-1, 1, (3001, channels)).astype(np.float32)
    data = decoded(audio_uri(audio, rate), "audio/flac")
    read, read_rate = soundfile.read(io.BytesIO(data), always_2d=True)
    assert read_rate == rate and read.shape == audio.shape
    np.testing.assert_allclose(read, audio, atol=1.01 / 32768)


def test_loud_sound_is_clipped_and_not_wrapped():
    data = decoded(audio_uri(np.full((100, 1), 1.5), 8000), "audio/flac")
    assert soundfile.read(io.BytesIO(data))[0].min() > 0.99


@pytest.mark.parametrize("rate", [8000, 44100])
@pytest.mark.parametrize("frequency", [300, 1000, 3000])
def test_tone_is_a_line_at_its_height(rate, frequency):
    pixels = picture(tone(frequency, rate, channels=2), rate).sum(axis=-1)
    assert pixels.shape[0] == 64 and 230 <= pixels.shape[1] <= 240
    heights = librosa.mel_frequencies(66, fmin=0, fmax=rate / 2)[1:-1][::-1]
    expected = np.argmin(np.abs(heights - frequency))
    assert abs(int(np.argmax(pixels[:, 120])) - expected) <= 1
    # 70 dB below the tone all is dark.
    assert pixels[5 if frequency < 2000 else 60, 120] < 60


def test_time_runs_to_the_right_and_level_does_not_matter():
    audio = np.concatenate([np.zeros((8000, 1), np.float32), tone(1000, 8000)])
    pixels = picture(audio, 8000)
    brightest = pixels.sum(axis=-1).max(axis=0)
    assert (brightest[:110] == brightest[0]).all() and brightest[130:].min() > 600
    quiet = picture(audio * 0.01, 8000)
    assert np.abs(quiet - pixels).max() <= 25


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("samples", [1, 7, 4000])
def test_silence_and_very_short_clips(samples):
    pixels = picture(np.zeros((samples, 1), np.float32), 8000)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) == 1 and pixels.max() < 10
    assert picture(np.ones((samples, 2), np.float32), 8000).shape[0] == 64


@pytest.mark.parametrize(
    "audio", [np.zeros(5), np.zeros((0, 1)), np.full((5, 1), np.nan)], ids=["1d", "empty", "nan"]
)
def test_bad_audio(audio):
    for function in (audio_uri, spectrogram_uri):
        with pytest.raises(ValueError, match=r"\(samples, channels\)"):
            function(audio, 8000)
