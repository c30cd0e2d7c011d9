"""read_audio against the wave module, scipy and plain NumPy; every way a file can be bad."""

import os
import pathlib
import pickle
import struct
import subprocess
import sys
import wave

import numpy as np
import pytest
import scipy.io.wavfile
import scipy.signal
import soundfile

from keras_audio.audio import AudioFileError, pcm16_hash, read_audio, to_pcm16


def _noise(samples=4000, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.9, 0.9, size=(samples, channels))


def _wav_bytes(data, *, bits=16, channels=1, rate=8000, declared=None, before=b"", order="<"):
    """A PCM WAV by hand, with any size declared for its data and any chunks before it."""
    align = channels * bits // 8
    form = struct.pack(f"{order}HHIIHH", 1, channels, rate, rate * align, align, bits)
    declared = len(data) if declared is None else declared
    chunks = b"fmt " + struct.pack(f"{order}I", 16) + form + before
    chunks += b"data" + struct.pack(f"{order}I", declared) + data
    size = struct.pack(f"{order}I", (4 + len(chunks)) & 0xFFFFFFFF)
    return (b"RIFF" if order == "<" else b"RIFX") + size + b"WAVE" + chunks


def _write(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_pcm_widths_equal_the_wave_module(tmp_path, width, channels):
    rng = np.random.default_rng(width)
    data = rng.integers(0, 256, size=500 * channels * width, dtype=np.uint8).tobytes()
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(11025)
        file.writeframes(data)
    if width == 1:
        expected = (np.frombuffer(data, np.uint8).astype(np.float64) - 128) / 128
    else:
        rows = np.frombuffer(data, np.uint8).reshape(-1, width)
        padded = np.zeros((len(rows), 4), np.uint8)
        padded[:, 4 - width :] = rows
        expected = padded.view("<i4")[:, 0] / 2.0**31
    waveform, rate = read_audio(path)
    assert rate == 11025 and waveform.dtype == np.float32
    np.testing.assert_array_equal(waveform, expected.reshape(-1, channels).astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_wav_equals_scipy(tmp_path, dtype):
    sound = (1.5 * _noise(channels=2)).astype(dtype)
    scipy.io.wavfile.write(tmp_path / "a.wav", 22050, sound)
    waveform, rate = read_audio(tmp_path / "a.wav")
    assert rate == 22050
    np.testing.assert_array_equal(waveform, sound.astype(np.float32))


LOSSLESS = [
    *[("WAVEX", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT")],
    *[("FLAC", subtype) for subtype in ("PCM_16", "PCM_24")],
    *[("AIFF", "PCM_16"), ("RF64", "PCM_24"), ("W64", "PCM_16"), ("AU", "PCM_16")],
]


@pytest.mark.parametrize(("form", "subtype"), LOSSLESS)
def test_lossless_formats(tmp_path, form, subtype):
    sound = _noise(channels=2)
    path = tmp_path / f"a.{form.lower()}"
    soundfile.write(path, sound, 16000, format=form, subtype=subtype)
    waveform, rate = read_audio(path)
    step = {"PCM_U8": 2**-7, "PCM_16": 2**-15}.get(subtype, 2**-23)
    assert (rate, waveform.shape) == (16000, (4000, 2))
    np.testing.assert_allclose(waveform, sound, atol=step, rtol=0)


@pytest.mark.parametrize(
    ("form", "subtype", "suffix", "least"),
    [
        ("OGG", "VORBIS", "ogg", 0.99),
        ("OGG", "OPUS", "opus", 0.99),
        ("MP3", "MPEG_LAYER_III", "mp3", 0.99),
        ("WAV", "IMA_ADPCM", "wav", 0.99),
        ("WAV", "MS_ADPCM", "wav", 0.99),
        ("WAV", "ULAW", "wav", 0.99),
    ],
)
def test_lossy_formats_sound_alike(tmp_path, form, subtype, suffix, least):
    times = np.arange(48000) / 48000
    sound = 0.5 * np.sin(2 * np.pi * 440 * times)[:, None] * [1.0, 0.5]
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, sound, 48000, format=form, subtype=subtype)
    waveform, rate = read_audio(path)
    assert rate == 48000 and waveform.shape[1] == 2
    assert abs(len(waveform) - 48000) < 3000
    shared_length = min(len(waveform), 48000)
    correlation = scipy.signal.correlate(waveform[:shared_length, 0], sound[:shared_length, 0])
    power = np.linalg.norm(waveform[:shared_length, 0]) * np.linalg.norm(sound[:shared_length, 0])
    assert correlation.max() / power > least


def test_stereo_becomes_mono_by_averaging_and_mono_stereo_only_when_asked(tmp_path):
    sound = _noise(channels=2)
    soundfile.write(tmp_path / "s.wav", sound, 8000, subtype="DOUBLE")
    soundfile.write(tmp_path / "m.wav", sound[:, :1], 8000, subtype="DOUBLE")
    mono, _ = read_audio(tmp_path / "s.wav", channels=1)
    np.testing.assert_allclose(mono[:, 0], sound.mean(axis=1), atol=1e-7)
    assert read_audio(tmp_path / "m.wav")[0].shape == (4000, 1)
    both, _ = read_audio(tmp_path / "m.wav", channels=2)
    np.testing.assert_array_equal(both[:, 0], both[:, 1])
    np.testing.assert_allclose(both[:, 0], sound[:, 0], atol=1e-7)


@pytest.mark.parametrize(("present", "wanted"), [(3, 1), (4, 2), (1, 3), (2, 4), (6, 1)])
def test_other_channel_counts_are_refused_by_name(tmp_path, present, wanted):
    soundfile.write(tmp_path / "many.wav", _noise(channels=present), 8000)
    assert read_audio(tmp_path / "many.wav", channels=present)[0].shape == (4000, present)
    with pytest.raises(ValueError, match=rf"{present} channels cannot become {wanted} .*many\.wav"):
        read_audio(tmp_path / "many.wav", channels=wanted)


def test_real_clips(shared):
    expected = {
        "100032-3-0-0.wav": (44100, 2),
        "103074-7-0-0.wav": (48000, 2),
        "40722-8-0-0.wav": (11025, 1),
        "43786-3-1-0.wav": (48000, 2),
        "54858-3-2-0.wav": (44100, 2),
        "9031-3-1-0.wav": (44100, 1),
    }
    for name, (rate, channels) in expected.items():
        path = shared / "data" / "urbansound8k_samples" / name
        waveform, native = read_audio(path)
        assert (native, waveform.shape[1]) == (rate, channels)
        assert 0.01 < np.abs(waveform).max() <= 1.0
        mono, _ = read_audio(path, sample_rate=8000, channels=1)
        assert abs(len(mono) - len(waveform) * 8000 / rate) <= 1


def test_esc10_lengths(esc10_files):
    waveforms = [read_audio(path)[0] for path in esc10_files[::20]]
    assert {waveform.shape[1] for waveform in waveforms} == {1}
    assert np.median([len(waveform) for waveform in waveforms]) == 220544


# --- what is bad ---------------------------------------------------------------------------------


def _refused(path, reason):
    with pytest.raises(AudioFileError) as info:
        read_audio(path)
    message = str(info.value)
    assert reason in message and message.endswith(f"Received: path={path}")
    assert "\n" not in message
    assert info.value.reason in message and str(path) not in info.value.reason
    return message


def test_missing_folder_empty_and_unreadable(tmp_path):
    _refused(tmp_path / "nothing.wav", "there is no such file")
    _refused(tmp_path, "it is a folder")
    _refused(_write(tmp_path / "zero.wav", b""), "it is empty (0 bytes)")
    _refused(_write(tmp_path / "none.wav", _wav_bytes(b"")), "it is empty (0 samples)")
    _refused(_write(tmp_path / "text.wav", b"this is no sound\n" * 50), "it cannot be decoded")
    _refused(_write(tmp_path / "riff.wav", b"RIFF\x10\0\0\0WAVE"), "it cannot be decoded")
    os.mkfifo(tmp_path / "pipe.wav")
    _refused(tmp_path / "pipe.wav", "it is not a regular file")
    _refused(tmp_path / "riff.wav" / "a.wav", "it cannot be read (Not a directory)")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(tmp_path, value):
    sound = _noise().astype(np.float32)
    sound[1234] = value
    scipy.io.wavfile.write(tmp_path / "a.wav", 8000, sound)
    _refused(tmp_path / "a.wav", "not finite")


def test_a_double_beyond_float32_is_not_finite(tmp_path):
    sound = _noise()
    sound[7] = 1e300
    scipy.io.wavfile.write(tmp_path / "a.wav", 8000, sound)
    _refused(tmp_path / "a.wav", "not finite")


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        *[(form, "it is truncated") for form in ("WAV", "WAVEX", "RF64", "OGG", "MP3")],
        ("FLAC", "it cannot be decoded (Error : flac decoder lost sync)"),
    ],
)
@pytest.mark.parametrize("kept", [0.8, 0.5])
def test_truncated(tmp_path, form, reason, kept):
    path = tmp_path / "a.sound"
    soundfile.write(path, _noise(samples=40000), 8000, format=form)
    assert abs(len(read_audio(path)[0]) - 40000) < 2
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    _refused(path, reason)


def test_an_mp3_without_a_length_is_read_to_its_end(tmp_path):
    # Silence, then noise, at a variable bit rate: libsndfile guesses far too many samples.
    sound = np.concatenate([np.zeros(160000), _noise(samples=80000)[:, 0]])
    soundfile.write(tmp_path / "a.mp3", sound, 44100, bitrate_mode="AVERAGE", compression_level=0.5)
    data = (tmp_path / "a.mp3").read_bytes()
    bare = _write(tmp_path / "bare.mp3", data[data.index(b"\xff\xfb", data.index(b"Xing")) :])
    assert soundfile.info(bare).frames > 500000
    assert abs(len(read_audio(bare)[0]) - 240000) < 3000
    tagged = _write(tmp_path / "tagged.mp3", b"ID3\x04\0\0\0\0\x02\0" + bytes(256) + data)
    assert len(read_audio(tagged)[0]) == 240000
    tagged.write_bytes(tagged.read_bytes()[:-20000])
    _refused(tagged, "it is truncated")


def test_a_wav_that_lacks_one_sample_is_truncated_one_that_lacks_a_part_is_not(tmp_path):
    data = np.arange(100, dtype="<i2").tobytes()
    short = _write(tmp_path / "short.wav", _wav_bytes(data[:-2], declared=200))
    _refused(short, "it is truncated (2 bytes are missing at its end)")
    cut = _write(tmp_path / "cut.wav", _wav_bytes(data[:-1], declared=200))
    assert len(read_audio(cut)[0]) == 99


@pytest.mark.parametrize("declared", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x80000000])
def test_streamed_wav_does_not_know_its_size(tmp_path, declared):
    samples = np.arange(100, dtype="<i2")
    path = _write(tmp_path / "a.wav", _wav_bytes(samples.tobytes(), declared=declared))
    np.testing.assert_array_equal(read_audio(path)[0][:, 0] * 32768, samples)


def test_odd_chunks_and_what_follows_the_data(tmp_path):
    samples = np.arange(101, dtype=np.uint8)
    odd = b"FLLR" + struct.pack("<I", 5) + b"12345\0"
    body = _wav_bytes(samples.tobytes(), bits=8, before=odd)
    with_pad = _write(tmp_path / "pad.wav", body + b"\0LIST" + struct.pack("<I", 4) + b"INFO")
    without = _write(tmp_path / "bare.wav", body)
    for path in (with_pad, without):
        np.testing.assert_array_equal(read_audio(path)[0][:, 0] * 128 + 128, samples)


def test_big_endian_wav(tmp_path):
    samples = np.arange(-50, 50, dtype=">i2")
    whole = _write(tmp_path / "a.wav", _wav_bytes(samples.tobytes(), order=">"))
    np.testing.assert_array_equal(read_audio(whole)[0][:, 0] * 32768, samples)
    cut = _write(tmp_path / "b.wav", _wav_bytes(samples[:50].tobytes(), order=">", declared=200))
    _refused(cut, "truncated (100 bytes")


def test_every_cut_of_a_wav_header_is_an_error_that_names_it(tmp_path):
    data = _wav_bytes(np.arange(50, dtype="<i2").tobytes())
    for length in range(len(data)):
        path = _write(tmp_path / "a.wav", data[:length])
        if length == len(data) - 1:
            continue  # Half a sample is not missed.
        with pytest.raises(AudioFileError, match="a.wav"):
            read_audio(path)


def test_damaged_bytes_never_escape_as_another_error(tmp_path):
    rng = np.random.default_rng(0)
    read = 0
    for form in ("WAV", "FLAC", "OGG", "MP3"):
        path = tmp_path / f"a.{form.lower()}"
        soundfile.write(path, _noise(samples=8000), 8000, format=form)
        good = bytearray(path.read_bytes())
        for _ in range(40):
            bad = bytearray(good)
            for position in rng.integers(0, min(len(bad), 400), size=4):
                bad[position] = rng.integers(0, 256)
            path.write_bytes(bad)
            try:
                waveform, _ = read_audio(path, 8000, None)
            except AudioFileError:
                continue
            read += 1
            assert np.isfinite(waveform).all()
    assert read


@pytest.mark.parametrize("value", [0, -1, 8000.0, "8000", True, float("nan"), 10**9])
def test_arguments_out_of_range(tmp_path, value):
    soundfile.write(tmp_path / "a.wav", _noise(), 8000)
    with pytest.raises(ValueError, match=r"Expected a sample rate.* Received: sample_rate="):
        read_audio(tmp_path / "a.wav", sample_rate=value)
    with pytest.raises(ValueError, match=r"Expected a number of channels.* Received: channels="):
        read_audio(tmp_path / "a.wav", channels=value)


def test_numpy_integers_are_numbers(tmp_path):
    soundfile.write(tmp_path / "a.wav", _noise(), 8000)
    waveform, rate = read_audio(tmp_path / "a.wav", np.int64(4000), np.int32(2))
    assert waveform.shape == (2000, 2) and rate == 4000


def test_names_that_are_not_ascii(tmp_path):
    path = tmp_path / "Häuser 'für' 鳥.wav"
    soundfile.write(path, _noise(), 8000)
    assert read_audio(str(path))[0].shape == (4000, 1)


def test_errors_survive_pickling():
    error = pickle.loads(pickle.dumps(AudioFileError("a.wav", "it is empty")))
    assert (error.path, error.reason) == ("a.wav", "it is empty")


# --- 16 bits -------------------------------------------------------------------------------------


def test_pcm16_saturates_rounds_and_keeps_16_bit_files(tmp_path):
    every = np.arange(-32768, 32768, dtype=np.int16)
    scipy.io.wavfile.write(tmp_path / "a.wav", 8000, every)
    np.testing.assert_array_equal(to_pcm16(read_audio(tmp_path / "a.wav")[0])[:, 0], every)
    values = np.array([1.0, -1.0, 2.0, -2.0, 0.6 / 32768, -0.6 / 32768, 0.4 / 32768])
    assert to_pcm16(values).tolist() == [32767, -32768, 32767, -32768, 1, -1, 0]
    assert to_pcm16(values).dtype == np.int16
    with pytest.raises(ValueError, match="got 1 that are not"):
        to_pcm16(np.array([0.0, np.nan]))


def test_hash_is_that_of_the_little_endian_bytes():
    samples = np.array([[1, -2], [300, -32768]], np.int16)
    assert pcm16_hash(samples) == pcm16_hash(samples.astype(">i2")) != pcm16_hash(samples + 1)
    assert len(pcm16_hash(samples)) == 32


def test_import_needs_no_tensorflow():
    code = (
        "import sys, keras_audio.audio;"
        "bad = {'tensorflow', 'keras', 'scipy', 'librosa', 'sklearn'} & set(sys.modules);"
        "sys.exit(repr(bad) if bad else 0)"
    )
    root = pathlib.Path(__file__).parent.parent
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_a_name_that_is_not_utf_8(tmp_path):
    good = tmp_path / "good.wav"
    soundfile.write(good, np.full((100, 1), 0.25), 8000)
    odd = tmp_path / os.fsdecode(b"bad\xff.wav")
    good.rename(odd)
    waveform, rate = read_audio(odd)
    assert (waveform.shape, rate, waveform[0, 0]) == ((100, 1), 8000, 0.25)
