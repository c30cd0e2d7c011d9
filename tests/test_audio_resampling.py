"""Resampling of what read_audio reads, against SciPy and against sounds that are known."""

import numpy as np
import pytest
import scipy.signal
import soundfile

from keras_audio.audio import RESAMPLINGS, AudioFileError, read_audio


def _noise(samples=4000, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.9, 0.9, size=(samples, channels))


@pytest.mark.parametrize(("rate", "wanted"), [(44100, 8000), (11025, 8000), (8000, 44100)])
def test_resampling_agrees_with_scipy(tmp_path, rate, wanted):
    # Band-limited well below both Nyquist frequencies, where every good resampler agrees.
    times = np.arange(rate) / rate
    sound = sum(np.sin(2 * np.pi * f * times + f) for f in (110, 700, 1900, 2800)) / 5
    soundfile.write(tmp_path / "a.wav", sound, rate, subtype="FLOAT")
    waveform, new_rate = read_audio(tmp_path / "a.wav", sample_rate=wanted)
    expected = scipy.signal.resample_poly(sound, wanted, rate, window=("kaiser", 12.0))
    assert new_rate == wanted and len(waveform) == wanted
    inner = slice(wanted // 10, -wanted // 10)
    np.testing.assert_allclose(waveform[inner, 0], expected[inner], atol=2e-3)


def test_resampling_removes_what_cannot_be_kept(tmp_path):
    times = np.arange(44100) / 44100
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 9000 * times), 44100)
    waveform, _ = read_audio(tmp_path / "a.wav", sample_rate=8000)
    assert np.abs(waveform[400:-400]).max() < 1e-3


@pytest.mark.parametrize(
    ("rate", "wanted", "samples"),
    [(48000, 18000, 4800), (44100, 18000, 4411), (8000, 18000, 801), (48000, 18000, 4999)],
)
def test_fourier_resampling_equals_scipy(tmp_path, rate, wanted, samples):
    sound = np.float32(_noise(samples, channels=2))
    soundfile.write(tmp_path / "a.wav", sound, rate, subtype="FLOAT")
    waveform, new_rate = read_audio(tmp_path / "a.wav", wanted, 2, resampling="fourier")
    assert new_rate == wanted and waveform.dtype == np.float32
    assert waveform.shape == (round(samples * wanted / rate), 2)
    expected = scipy.signal.resample(np.float64(sound), len(waveform))
    np.testing.assert_allclose(waveform, expected, rtol=0, atol=1e-7)
    mono, _ = read_audio(tmp_path / "a.wav", wanted, 1, resampling="fourier")
    np.testing.assert_allclose(mono[:, 0], expected.mean(axis=1), rtol=0, atol=2e-7)


@pytest.mark.parametrize(("rate", "wanted"), [(48000, 18000), (8000, 18000)])
def test_fourier_resampling_of_whole_periods_is_the_sound_sampled_at_the_new_rate(
    tmp_path, rate, wanted
):
    def sound(sample_rate):
        times = np.arange(sample_rate // 10) / sample_rate
        return sum(np.sin(2 * np.pi * f * times + f) for f in (110, 700, 1900, 3990)) / 5

    # Above half of the lower rate: there before, gone after.
    beyond = 0.1 * np.sin(2 * np.pi * 9010 * np.arange(rate // 10) / rate) * (rate > wanted)
    soundfile.write(tmp_path / "a.wav", sound(rate) + beyond, rate, subtype="DOUBLE")
    waveform, _ = read_audio(tmp_path / "a.wav", sample_rate=wanted, resampling="fourier")
    # From the first sample to the last, where a filter would have its run-in.
    np.testing.assert_allclose(waveform[:, 0], sound(wanted), rtol=0, atol=2e-7)
    filtered, _ = read_audio(tmp_path / "a.wav", sample_rate=wanted)
    assert np.abs(filtered[:, 0] - sound(wanted)).max() > 1e-4


def test_without_another_rate_no_resampling_changes_a_sample(tmp_path):
    soundfile.write(tmp_path / "a.wav", _noise(), 18000, subtype="PCM_24")
    plain, _ = read_audio(tmp_path / "a.wav")
    for resampling in RESAMPLINGS:
        np.testing.assert_array_equal(
            read_audio(tmp_path / "a.wav", 18000, 1, resampling)[0], plain
        )


def test_too_short_to_resample_and_rates_beyond_reason(tmp_path):
    soundfile.write(tmp_path / "one.wav", np.zeros(1), 48000)
    for resampling in RESAMPLINGS:
        with pytest.raises(AudioFileError, match="1 samples at 48000 Hz are none at 8000 Hz"):
            read_audio(tmp_path / "one.wav", sample_rate=8000, resampling=resampling)
    soundfile.write(tmp_path / "slow.wav", np.zeros(100), 3)
    with pytest.raises(AudioFileError, match="sample rate of 3 Hz is beyond reason"):
        read_audio(tmp_path / "slow.wav", sample_rate=44100)


def test_an_unknown_resampling(tmp_path):
    soundfile.write(tmp_path / "a.wav", _noise(), 8000)
    for value in ("sinc", None, 3):
        with pytest.raises(ValueError, match="soxr or fourier. Received: resampling="):
            read_audio(tmp_path / "a.wav", resampling=value)
