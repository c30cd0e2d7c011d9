"""The images of Colangelo et al. 2021 against librosa and NumPy, on real and on built clips."""

import importlib.util
import os
import subprocess
import sys
import warnings

import keras
import librosa
import numpy as np
import pytest
import soundfile
import soxr

from keras_audio.layers import LogMelImage

RATE = 22050
SMALL = {"num_mels": 64, "frames": 40}


def _expected(clip, num_mels=128, frames=300, trim_db=60.0, top_db=80.0):
    """Of a clip (samples, channels), by librosa and NumPy: (num_mels, frames, channels)."""
    sound = clip.T
    if trim_db is not None:
        sound, _ = librosa.effects.trim(sound, top_db=trim_db)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "n_fft=1024 is too large")
        power = librosa.feature.melspectrogram(
            y=sound, sr=RATE, n_fft=1024, hop_length=256, n_mels=num_mels, pad_mode="reflect"
        )
    image = librosa.power_to_db(power, top_db=top_db)
    low, high = image.min(), image.max()
    image = (image - low) / (high - low) if high > low else np.zeros_like(image)
    repeated = np.tile(image, (1, 1, -(-frames // image.shape[-1])))
    return repeated[..., :frames].transpose(1, 2, 0)


def _image(clip, **settings):
    return np.array(LogMelImage(RATE, **settings)(clip[None]))[0]


def _noise(samples, channels=1, seed=0):
    noise = np.random.default_rng(seed).normal(scale=0.1, size=(samples, channels))
    return noise.astype("float32")


def _silence(samples, channels=1):
    return np.zeros((samples, channels), "float32")


@pytest.mark.parametrize(("num_mels", "frames"), [(64, 128), (96, 214), (128, 300)])
def test_equals_librosa_on_real_clips(esc10_files, num_mels, frames):
    trimmed = 0
    for path in esc10_files[::25]:
        clip = soxr.resample(soundfile.read(path, dtype="float32")[0], 44100, RATE)[:, None]
        expected = _expected(clip, num_mels, frames)
        image = _image(clip, num_mels=num_mels, frames=frames)
        assert image.dtype == np.float32
        np.testing.assert_allclose(image, expected, atol=5e-5)
        assert 0 <= image.min() and image.max() <= 1
        trimmed += len(librosa.effects.trim(clip[:, 0])[0]) < len(clip)
    assert trimmed >= 3  # or the trimming was not tested


@pytest.mark.parametrize("samples", [1, 2, 3, 100, 511, 512, 513, 1025, 9984, 9985, 20000])
def test_clips_of_any_length(samples):
    # Below 513 samples the ends are reflected more than once; 9984 samples fill 40 frames.
    clip = _noise(samples)
    np.testing.assert_allclose(_image(clip, **SMALL), _expected(clip, **SMALL), atol=1e-5)


@pytest.mark.parametrize(
    ("before", "samples", "after"),
    [(5000, 3000, 7000), (2048, 4000, 0), (0, 700, 4096), (1025, 700, 1023), (9000, 1, 9000)],
)
def test_silent_ends(before, samples, after):
    sound = _noise(samples)
    clip = np.concatenate([_silence(before), sound / np.abs(sound).max(), _silence(after)])
    assert len(librosa.effects.trim(clip[:, 0])[0]) < len(clip)
    image = _image(clip, **SMALL)
    np.testing.assert_allclose(image, _expected(clip, **SMALL), atol=1e-5)
    # Where the ends are left in, they are a part of the image.
    whole = _image(clip, **SMALL, trim_db=None)
    np.testing.assert_allclose(whole, _expected(clip, **SMALL, trim_db=None), atol=1e-5)
    assert np.abs(whole - image).max() > 0.1


@pytest.mark.parametrize("trim_db", [10.0, 30.0, 60.0])
def test_how_soft_is_silent(trim_db):
    fading = _noise(12000) * np.logspace(-4, 0, 12000, dtype="float32")[:, None]
    image = _image(fading, **SMALL, trim_db=trim_db, top_db=50.0)
    expected = _expected(fading, **SMALL, trim_db=trim_db, top_db=50.0)
    np.testing.assert_allclose(image, expected, atol=1e-5)
    loud, (start, end) = librosa.effects.trim(fading[:, 0], top_db=trim_db)
    assert 0 < start < 12000 and end == 12000
    alone = _image(loud[:, None], **SMALL, trim_db=None, top_db=50.0)
    np.testing.assert_allclose(image, alone, atol=1e-5)


@pytest.mark.parametrize("samples", [1, 600, 30000])
def test_clips_without_sound_are_zeros(samples):
    np.testing.assert_array_equal(_image(_silence(samples), **SMALL), 0.0)
    # Softer than the floor of decibels.
    np.testing.assert_array_equal(_image(1e-9 * _noise(samples), **SMALL), 0.0)


def test_the_range_is_that_of_the_whole_clip():
    # Loudest behind the frames that are kept: these do not reach 1.
    clip = _noise(20000)
    clip[15000:] *= 8
    image = _image(clip, **SMALL)
    np.testing.assert_allclose(image, _expected(clip, **SMALL), atol=1e-5)
    assert image.max() < 0.9


def test_what_is_not_heard_does_not_count():
    clip = np.concatenate([_noise(8000), 5 * _noise(8000, seed=1)])
    heard = _image(clip, max_samples=8000, **SMALL)
    np.testing.assert_array_equal(heard, _image(clip[:8000], **SMALL))
    np.testing.assert_array_equal(heard, _image(clip[:8000], max_samples=9000, **SMALL))


def test_short_clips_repeat_from_their_start():
    image = _image(_noise(2560), **SMALL)
    np.testing.assert_allclose(image[:, 11:22], image[:, :11], atol=1e-6)
    np.testing.assert_allclose(image[:, 33:], image[:, :7], atol=1e-6)


def test_faint_sound_of_16_bits_is_sound():
    clip = np.sign(_noise(8000)) / 32768
    image = _image(clip, **SMALL)
    np.testing.assert_allclose(image, _expected(clip, **SMALL), atol=1e-4)
    assert image.max() == 1.0


def test_broken_samples_are_not_passed_off_as_silence():
    clips = np.stack([_noise(9000), _noise(9000, seed=1)])
    clips[0, 10] = np.nan
    images = np.array(LogMelImage(RATE, **SMALL)(clips))
    assert np.isnan(images[0]).all()
    assert np.isfinite(images[1]).all()


def test_channels_share_trim_and_range():
    clip = _noise(8000, channels=2) * np.array([1.0, 0.05], "float32")
    clip[:3000, 0] = 0  # The softer channel begins first: it is not silent there.
    clip[:1500] = 0
    image = _image(clip, **SMALL)
    np.testing.assert_allclose(image, _expected(clip, **SMALL), atol=1e-5)
    assert image[..., 0].max() == 1.0 > image[..., 1].max()


def _batch(channels=2):
    """Clips of one length whose silences, and so whose numbers of frames, differ."""
    clips = [_silence(16000, channels)]
    for seed, (start, end) in enumerate([(0, 16000), (4000, 15000), (0, 300), (15990, 16000)]):
        clip = _silence(16000, channels)
        clip[start:end] = _noise(end - start, channels, seed)
        clips.append(clip)
    return np.stack(clips)


def test_batches_equal_clips_one_by_one():
    clips = _batch()
    images = np.array(LogMelImage(RATE, **SMALL)(clips))
    for clip, image in zip(clips, images, strict=True):
        np.testing.assert_allclose(image, _image(clip, **SMALL), atol=1e-6)
        np.testing.assert_allclose(image, _expected(clip, **SMALL), atol=1e-5)


@pytest.mark.parametrize("n_fft", [400, 401])
def test_other_transforms(n_fft):
    # An odd number of points gives a frame less where the hops fill the clip; 41 of 42 are kept.
    settings = {"n_fft": n_fft, "hop_length": 100, "num_mels": 20}
    layer = LogMelImage(8000, **settings, frames=41, trim_db=None)
    assert layer.full_samples == 4000 + n_fft % 2
    for samples in (layer.full_samples, layer.full_samples - 1):
        clip = _noise(samples)
        power = librosa.feature.melspectrogram(
            y=clip[:, 0], sr=8000, n_fft=n_fft, hop_length=100, n_mels=20, pad_mode="reflect"
        )
        frames = 41 if samples == layer.full_samples else 40
        assert power.shape[1] == frames
        decibels = librosa.power_to_db(power)
        expected = (decibels - decibels.min()) / np.ptp(decibels)
        image = np.array(layer(clip[None]))[0, :, :, 0]
        np.testing.assert_allclose(image[:, :frames], expected, atol=1e-5)
        np.testing.assert_allclose(image[:, frames:], image[:, : 41 - frames], atol=1e-6)


def test_in_a_graph_of_unknown_length(tmp_path):
    tf = pytest.importorskip("tensorflow")
    inputs = keras.Input((None, 2))
    model = keras.Model(inputs, LogMelImage(RATE, **SMALL)(inputs))
    assert model.output_shape == (None, 64, 40, 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    graph = tf.function(loaded, input_signature=[tf.TensorSpec([None, None, 2])])
    for clips in (_batch()[1:], _batch()[:1, :5000], _noise(200, 2)[None], _noise(1, 2)[None]):
        output = graph(clips)
        assert output.shape == (len(clips), 64, 40, 2)
        for clip, image in zip(clips, np.array(output), strict=True):
            np.testing.assert_allclose(image, _expected(clip, **SMALL), atol=1e-5)
    assert graph.experimental_get_tracing_count() == 1


def test_in_tf_data_one_clip_of_any_length_at_a_time():
    tf = pytest.importorskip("tensorflow")
    layer = LogMelImage(RATE, **SMALL)
    clips = [_noise(samples) for samples in (700, 20000, 1)]
    data = tf.data.Dataset.from_generator(
        lambda: clips, output_signature=tf.TensorSpec([None, 1], "float32")
    ).map(lambda clip: layer(clip[None])[0])
    assert data.element_spec.shape == (64, 40, 1)
    for clip, image in zip(clips, data.as_numpy_iterator(), strict=True):
        np.testing.assert_allclose(image, _expected(clip, **SMALL), atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_float32_under_every_policy(policy):
    clips = _batch(channels=1)
    expected = np.array(LogMelImage(RATE, **SMALL)(clips))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        inputs = keras.Input((None, 1), dtype="float32")
        model = keras.Model(inputs, LogMelImage(RATE, **SMALL)(inputs))
        output = np.array(model(clips))
    finally:
        keras.config.set_dtype_policy(before)
    assert output.dtype == np.float32
    np.testing.assert_array_equal(output, expected)


def test_rebuilds_from_its_configuration():
    layer = LogMelImage(8000, 400, 100, num_mels=32, frames=50, trim_db=None, top_db=60, name="a")
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert again.get_config() == layer.get_config()
    assert (again.n_fft, again.hop_length, again.trim_db, again.top_db) == (400, 100, None, 60.0)
    clip = _noise(3000)[None]
    np.testing.assert_array_equal(np.array(again(clip)), np.array(layer(clip)))
    assert layer.compute_output_shape((None, None, 2)) == (None, 32, 50, 2)
    assert not layer.weights


ON_JAX = """
import sys, jax, keras, numpy as np
from keras_audio.layers import LogMelImage
assert keras.backend.backend() == "jax"
layer = LogMelImage(22050, num_mels=64, frames=40)
data = np.load(sys.argv[1])
for image in (layer(data["clips"]), jax.jit(layer)(data["clips"])):
    np.testing.assert_allclose(np.array(image), data["images"], atol=1e-5)
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs jax: pip install jax")
def test_on_jax(tmp_path):
    clips = _batch()
    images = [_expected(clip, **SMALL) for clip in clips]
    np.savez(tmp_path / "data.npz", clips=clips, images=images)
    done = subprocess.run(
        [sys.executable, "-c", ON_JAX, str(tmp_path / "data.npz")],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        {"sample_rate": 0},
        {"n_fft": 1},
        {"hop_length": 2.5},
        {"num_mels": 0},
        {"frames": 0},
        {"trim_db": 0},
        {"trim_db": True},
        {"top_db": -80.0},
        {"top_db": float("nan")},
    ],
)
def test_refuses_wrong_arguments(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"Expected {name} .*Received: {name}={value!r}"):
        LogMelImage(**{"sample_rate": RATE, **wrong})
