"""The log-mel front end against librosa on real sounds, and its edges."""

import functools
from collections.abc import Callable

import keras
import librosa
import numpy as np
import pytest
import soundfile
import soxr

from keras_audio.layers import LogMelSpectrogram

# The settings of the papers; the fifth (Pajusco 2020) takes waveforms and has no front end.
COLANGELO = {"sample_rate": 22050, "n_fft": 1024, "hop_length": 256}
TWO_PATH = {"n_fft": 2048, "hop_length": 1024, "num_mels": 128, "htk": True, "norm": None}
PAPERS = {
    "naranjo": {
        "sample_rate": 8000,
        "n_fft": 320,
        "hop_length": 160,
        "num_mels": 64,
        "center": False,
    },
    "erann": {
        "sample_rate": 44100,
        "n_fft": 1380,
        "hop_length": 345,
        "num_mels": 128,
        "fmin": 50,
        "fmax": 14000,
    },
    "two_path_1a": {"sample_rate": 48000, **TWO_PATH},
    "two_path_1b": {"sample_rate": 44100, **TWO_PATH},
    "colangelo_64": {**COLANGELO, "num_mels": 64},
    "colangelo_96": {**COLANGELO, "num_mels": 96},
    "colangelo_128": {**COLANGELO, "num_mels": 128},
}


@pytest.fixture(scope="module")
def clips(esc10_files) -> Callable[[int], list[np.ndarray]]:
    """32 real clips from all classes, at the sample rate that is asked for."""
    chosen = [esc10_files[i * len(esc10_files) // 32] for i in range(32)]
    native = [soundfile.read(path, dtype="float32")[0] for path in chosen]
    return functools.cache(lambda rate: [soxr.resample(clip, 44100, rate) for clip in native])


def _librosa(clip, settings):
    names = {"sample_rate": "sr", "num_mels": "n_mels"}
    arguments = {names.get(name, name): value for name, value in settings.items()}
    return librosa.feature.melspectrogram(
        y=clip, pad_mode="reflect", **{"norm": "slaney", **arguments}
    )


@pytest.mark.parametrize("paper", PAPERS)
def test_power_equals_librosa_on_real_clips(clips, paper):
    settings = PAPERS[paper]
    layer = LogMelSpectrogram(**settings, scale="power")
    for clip in clips(settings["sample_rate"]):
        expected = _librosa(clip, settings)
        ours = np.array(layer(clip[None, :, None]))[0, :, :, 0]
        assert ours.shape == expected.shape
        assert np.abs(ours - expected).max() <= 2e-6 * expected.max()


@pytest.mark.parametrize("window", ["hann", "hamming"])
@pytest.mark.parametrize(("n_fft", "win_length"), [(512, 400), (512, 301), (401, 401)])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_windows_of_any_length(window, n_fft, win_length, power):
    noise = np.random.default_rng(0).normal(size=5000).astype("float32")
    settings = {"n_fft": n_fft, "hop_length": 128, "win_length": win_length, "window": window}
    expected = librosa.feature.melspectrogram(
        y=noise, sr=16000, n_mels=40, power=power, pad_mode="constant", **settings
    )
    layer = LogMelSpectrogram(
        16000, num_mels=40, power=power, pad_mode="constant", scale="power", **settings
    )
    ours = np.array(layer(noise[None, :, None]))[0, :, :, 0]
    assert np.abs(ours - expected).max() <= 2e-6 * expected.max()


def _tones(*levels) -> np.ndarray:
    time = np.arange(8000) / 8000
    waves = [level * np.sin(2 * np.pi * 440 * time) for level in levels]
    return np.stack(waves)[:, :, None].astype("float32")


SMALL = {"sample_rate": 8000, "n_fft": 320, "hop_length": 160, "num_mels": 64, "center": False}


def test_decibels_have_a_floor_per_clip_not_per_batch():
    clips = _tones(1.0, 1e-4)
    layer = LogMelSpectrogram(**SMALL, top_db=30.0)
    both = np.array(layer(clips))
    for index in range(2):
        alone = np.array(layer(clips[index : index + 1]))[0]
        np.testing.assert_allclose(both[index], alone, atol=1e-5)
        expected = librosa.power_to_db(_librosa(clips[index, :, 0], SMALL), top_db=30.0)
        np.testing.assert_allclose(both[index, :, :, 0], expected, atol=1e-3)
        assert both[index].max() - both[index].min() == pytest.approx(30.0, abs=1e-4)


def test_logarithms():
    clips = _tones(0.5, 0.0)
    power = np.array(LogMelSpectrogram(**SMALL, scale="power")(clips), "float64")
    natural = np.array(LogMelSpectrogram(**SMALL, scale="log", offset=1e-8)(clips))
    np.testing.assert_allclose(natural, np.log(power + 1e-8), atol=2e-5)
    decibels = np.array(LogMelSpectrogram(**SMALL)(clips))
    np.testing.assert_allclose(decibels, 10 * np.log10(np.maximum(power, 1e-10)), atol=1e-4)
    assert np.all(natural[1] == np.float32(np.log(1e-8)))
    np.testing.assert_allclose(decibels[1], -100.0, atol=1e-4)


def test_channels_stay_apart():
    clips = np.concatenate([_tones(1.0), _tones(0.25)], axis=2)
    layer = LogMelSpectrogram(**SMALL)
    both = np.array(layer(clips))
    assert both.shape == (1, 64, 49, 2)
    for channel in range(2):
        alone = np.array(layer(clips[:, :, channel : channel + 1]))
        np.testing.assert_allclose(both[..., channel : channel + 1], alone, atol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_float32_under_every_policy(policy):
    clips = _tones(0.5, 1e-3)
    expected = np.array(LogMelSpectrogram(**SMALL)(clips))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        inputs = keras.Input((None, 1), dtype="float32")
        model = keras.Model(inputs, LogMelSpectrogram(**SMALL)(inputs))
        output = np.array(model(clips))
    finally:
        keras.config.set_dtype_policy(before)
    assert output.dtype == np.float32
    np.testing.assert_array_equal(output, expected)


@pytest.mark.parametrize(
    ("settings", "least"),
    [
        ({"center": False}, 320),
        ({"center": True, "pad_mode": "reflect"}, 161),
        ({"center": True, "pad_mode": "constant"}, 1),
    ],
)
def test_short_clips(settings, least):
    layer = LogMelSpectrogram(**{**SMALL, **settings})
    assert layer.min_samples == least
    shortest = np.ones((1, least, 1), "float32")
    assert layer(shortest).shape == layer.compute_output_shape(shortest.shape)
    short = shortest[:, 1:]
    with pytest.raises(ValueError, match=f"at least {least} samples.*Received: samples"):
        layer(short)
    with pytest.raises(ValueError, match="Received: samples"):
        keras.Model(inputs := keras.Input((least - 1, 1)), layer(inputs))


@pytest.mark.parametrize("pad_mode", ["reflect", "constant", None])
def test_in_a_graph_of_unknown_length(pad_mode):
    tf = pytest.importorskip("tensorflow")
    center = {"center": pad_mode is not None, "pad_mode": pad_mode or "reflect"}
    layer = LogMelSpectrogram(**{**SMALL, **center})
    graph = tf.function(layer, input_signature=[tf.TensorSpec([None, None, 2])])
    for samples in (320, 479, 480, 4001):
        clip = np.random.default_rng(samples).normal(size=(2, samples, 2)).astype("float32")
        np.testing.assert_allclose(np.array(graph(clip)), np.array(layer(clip)), atol=1e-4)
    if pad_mode == "constant":
        return  # Padding alone fills a frame: no clip is too short.
    # Never an empty spectrogram, which padding would turn into silence.
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        graph(np.ones((1, layer.min_samples - 1, 2), "float32"))


def test_declared_frames_are_the_real_ones():
    for center in (False, True):
        layer = LogMelSpectrogram(8000, n_fft=321, hop_length=100, num_mels=20, center=center)
        for samples in range(321, 640, 7):
            clip = np.zeros((1, samples, 1), "float32")
            assert tuple(layer(clip).shape) == layer.compute_output_shape(clip.shape)
    assert layer.compute_output_shape((None, None, 2)) == (None, 20, None, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"win_length": 321},
        {"fmax": 4001},
        {"fmin": -1},
        {"fmin": 3000, "fmax": 2000},
        {"norm": "l1"},
        {"window": "kaiser"},
        {"pad_mode": "edge"},
        {"scale": "bel"},
        {"floor": 0.0},
        {"top_db": 80.0, "scale": "log"},
        {"hop_length": 0},
        {"num_mels": 2.5},
        {"power": 0},
    ],
)
def test_refuses_wrong_arguments(wrong):
    with pytest.raises(ValueError, match="Expected .*Received: .*" + next(iter(wrong))):
        LogMelSpectrogram(**{**SMALL, **wrong})


def test_rebuilds_from_its_configuration():
    layer = LogMelSpectrogram(**SMALL, scale="log", offset=1e-8, htk=True, norm=None, fmin=20)
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert again.get_config() == layer.get_config()
    clips = _tones(0.3)
    np.testing.assert_array_equal(np.array(again(clips)), np.array(layer(clips)))
