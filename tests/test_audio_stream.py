"""stream_audio against read_audio: the same samples and the same complaints, a part at a time."""

import itertools
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile

from keras_audio import audio_stream
from keras_audio.audio import AudioFileError, read_audio
from keras_audio.audio_stream import is_long, stream_audio


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(audio_stream, "_BLOCK_FRAMES", 1000)


def _noise(samples, channels=1, seed=0):
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (samples, channels))


@pytest.mark.parametrize(
    ("form", "subtype"),
    [
        *(("WAV", subtype) for subtype in ("PCM_16", "PCM_24", "FLOAT", "IMA_ADPCM")),
        *(("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_blocks_are_the_whole_bit_for_bit(tmp_path, small_blocks, form, subtype, channels):
    path = tmp_path / "a.sound"
    # The last block is a short rest.
    soundfile.write(path, _noise(48017, channels), 48000, subtype, format=form)
    for rate, wanted in itertools.product((None, 8000, 44100, 48000, 50001), (None, 1, channels)):
        whole, _ = read_audio(path, rate, wanted)
        blocks = list(stream_audio(path, rate, wanted))
        assert len(blocks) > 5 and all(len(block) for block in blocks)
        np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_an_mp3_decoded_in_blocks_is_what_one_read_gives(tmp_path, small_blocks):
    """A seek after each block would let the decoder forget what the next one refers to."""
    soundfile.write(tmp_path / "a.mp3", _noise(100_000), 22050)
    at_once, _ = soundfile.read(tmp_path / "a.mp3", dtype="float32", always_2d=True)
    blocks = np.concatenate(list(stream_audio(tmp_path / "a.mp3")))
    np.testing.assert_allclose(blocks, at_once, rtol=0, atol=1e-6)


@pytest.mark.parametrize("samples", [6, 7, 999, 1000, 1001, 2000, 2003])
def test_short_sounds(tmp_path, small_blocks, samples):
    path = tmp_path / "a.wav"
    soundfile.write(path, _noise(samples, 2), 44100, "FLOAT")
    for rate, resampling in itertools.product((8000, 44100, 96000), ("soxr", "fourier")):
        whole, _ = read_audio(path, rate, 1, resampling)
        blocks = list(stream_audio(path, rate, 1, resampling))
        np.testing.assert_array_equal(np.concatenate(blocks), whole)


@pytest.mark.parametrize(("rate", "wanted"), [(400, 150), (441, 180), (300, 800)])
@pytest.mark.parametrize("samples", [50 * 300, 60.5 * 441, 90 * 441, 200.377 * 441])
def test_a_long_sound_by_fourier_is_transformed_in_parts(tmp_path, rate, wanted, samples):
    samples = round(samples)
    times = np.arange(samples) / rate
    rng = np.random.default_rng(0)
    # Nothing at half of the lower rate, and silence where the end goes over into the beginning.
    tones = sum(np.sin(2 * np.pi * (f * times + rng.uniform())) for f in (3.1, 17.3, 40, 60)) / 5
    tones *= np.minimum(1, np.minimum(times, times[::-1]) / 2) ** 2
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([tones, -tones], 1), rate, "FLOAT")
    whole, _ = read_audio(path, wanted, 2, "fourier")
    parts = np.concatenate(list(stream_audio(path, wanted, 2, "fourier")))
    assert parts.shape == whole.shape
    if samples <= 50 * rate:
        np.testing.assert_array_equal(parts, whole)
    elif (samples * wanted) % rate == 0:
        np.testing.assert_allclose(parts, whole, rtol=0, atol=2**-15)
    else:
        # The whole is stretched to a whole number of samples: by less than one until its end.
        slope = np.abs(np.diff(whole, axis=0)).max()
        np.testing.assert_allclose(parts, whole, rtol=0, atol=0.5 * slope + 2**-15)


def test_parts_of_noise_by_fourier_are_a_thousandth_beside_the_whole(tmp_path):
    soundfile.write(tmp_path / "a.wav", _noise(8000 * 150), 8000, "FLOAT")
    whole, _ = read_audio(tmp_path / "a.wav", 3000, 1, "fourier")
    parts = np.concatenate(list(stream_audio(tmp_path / "a.wav", 3000, 1, "fourier")))
    inside = slice(3000, -3000)
    np.testing.assert_allclose(parts[inside], whole[inside], rtol=0, atol=2e-3)
    assert (parts - whole)[inside].std() < 1e-3


@pytest.mark.parametrize("resampling", ["soxr", "fourier"])
def test_what_is_wrong_is_the_same_sentence(tmp_path, small_blocks, resampling):
    path = tmp_path / "bad.wav"

    def complaint(read):
        with pytest.raises(AudioFileError) as error:
            read(path, 8000, 1, resampling)
        assert str(error.value).endswith(f"path={path}") and "\n" not in str(error.value)
        return str(error.value)

    def complaints():
        said = complaint(read_audio)
        assert said == complaint(lambda *arguments: list(stream_audio(*arguments)))
        return said

    assert "no such file" in complaints()
    path.write_bytes(b"this is no sound\n" * 50)
    assert "cannot be decoded" in complaints()
    soundfile.write(path, _noise(4000, 3), 8000)
    assert "3 channels cannot become 1" in complaints()
    soundfile.write(path, _noise(1), 48000)
    assert "1 samples at 48000 Hz are none at 8000 Hz" in complaints()
    soundfile.write(path, _noise(1), 3)
    assert "beyond reason" in complaints()


@pytest.mark.parametrize("form", ["FLAC", "MP3", "WAV"])
def test_damage_further_on_is_said_when_it_is_reached(tmp_path, small_blocks, form):
    path = tmp_path / "damaged.sound"
    # WAV: not finite. The others: bytes are missing.
    sound = _noise(40000)
    if form == "WAV":
        sound[30000] = np.nan
        soundfile.write(path, sound, 16000, "FLOAT", format=form)
    else:
        soundfile.write(path, sound, 16000, format=form)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 3 // 4])
    blocks = stream_audio(path, 8000, 1)
    assert len(next(blocks))
    with pytest.raises(AudioFileError, match="damaged.sound") as error:
        list(blocks)
    with pytest.raises(AudioFileError) as whole:
        read_audio(path, 8000, 1)
    assert str(error.value) == str(whole.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("resampling", ["soxr", "fourier"])
def test_memory_does_not_grow_with_the_length(tmp_path, resampling):
    def peak(minutes):
        path = tmp_path / "long.wav"
        with soundfile.SoundFile(path, "w", 8000, 2, "PCM_16") as file:
            for minute in range(minutes):
                file.write(_noise(8000 * 60, 2, minute))
        tracemalloc.start()
        samples = sum(map(len, stream_audio(path, 4000, 1, resampling)))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert samples == minutes * 60 * 4000
        return most

    list(stream_audio(_tone(tmp_path), 4000, 1, resampling))  # imports
    assert peak(12) < 1.1 * peak(3)


def _tone(folder):
    path = folder / "tone.wav"
    soundfile.write(path, np.sin(np.arange(8000)), 8000)
    return path


def test_what_is_long(tmp_path):
    soundfile.write(tmp_path / "short.wav", _noise(100_000), 8000)
    assert not is_long(tmp_path / "short.wav")
    for name in ("long.flac", "long.wav"):
        soundfile.write(tmp_path / name, np.tile(_noise(8, 2), (2**19 + 1, 1)), 44100)
        assert is_long(tmp_path / name)
    (tmp_path / "text.wav").write_bytes(b"this is no sound\n" * 9999)
    assert not any(map(is_long, (tmp_path, tmp_path / "nothing.wav", tmp_path / "text.wav")))
    # A header that promises the moon is no reason to fail, nor to take more memory.
    form = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
    data = b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<I", 16) + form + b"data\xff\xff\xff\x7f"
    (tmp_path / "moon.wav").write_bytes(data + bytes(200_000))
    assert np.concatenate(list(stream_audio(tmp_path / "moon.wav"))).shape == (100_000, 1)


@pytest.mark.parametrize("arguments", [(0,), (8000, 0), (8000, 1, "sinc")])
def test_arguments_out_of_range(tmp_path, arguments):
    with pytest.raises(ValueError, match="Expected a .*Received: "):
        next(stream_audio(_tone(tmp_path), *arguments))
