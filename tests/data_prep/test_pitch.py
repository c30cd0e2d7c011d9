"""Pitch variants: where the tones go, that lengths stay, how shifts are drawn, what is recorded."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
import soundfile
from sources import records, tree, write_pets, write_sound

import data_prep
from data_prep.pitch import pitch_shift, pitch_variants, variant_semitones
from keras_audio.audio import pcm16_hash
from keras_audio.data import make_split, open_records


def _tone(frequency, rate, seconds=1.0, channels=1):
    wave = 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, np.newaxis], channels, axis=1)


def _peak_hz(waveform, rate):
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return spectrum.argmax() * rate / len(waveform)


# --- the shift -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("semitones", [2.0, -2.0, 0.37, 0.0])
def test_a_tone_goes_where_the_formula_says(rate, semitones):
    shifted = pitch_shift(_tone(440, rate), semitones, rate)
    assert shifted.dtype == np.float32 and shifted.shape == (rate, 1)
    # One second: a bin is one hertz.
    assert abs(_peak_hz(shifted[:, 0], rate) - 440 * 2 ** (semitones / 12)) <= 1
    middle = shifted[rate // 4 : 3 * rate // 4, 0]
    assert 0.45 < np.sqrt(2) * middle.std() < 0.55


def test_a_shifted_tone_is_pure():
    shifted = pitch_shift(_tone(440, 44100, seconds=3), 2, 44100)[44100:88200, 0]
    power = np.abs(np.fft.rfft(shifted * np.hanning(44100))) ** 2
    centre = round(440 * 2 ** (2 / 12))
    inside = power[centre - 8 : centre + 9].sum()
    assert 10 * np.log10(inside / (power.sum() - inside)) > 40


def test_time_does_not_move():
    places = np.arange(1, 10) * 22050
    clicks = np.zeros((5 * 44100, 1))
    clicks[places] = 0.9
    for semitones in (-2, 1.3):
        shifted = np.abs(pitch_shift(clicks, semitones, 44100)[:, 0])
        moved = [shifted[place - 11025 : place + 11025].argmax() - 11025 for place in places]
        # Within half a window, and no further at the end than at the beginning.
        assert np.abs(moved).max() < 0.03 * 44100


@pytest.mark.parametrize("samples", [1, 2, 63, 1024, 2047, 2048, 2049, 12345])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_length_stays_what_it_is(samples, channels):
    waveform = np.random.default_rng(samples).uniform(-0.5, 0.5, (samples, channels))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for semitones in (-2, -0.1, 1.99):
            shifted = pitch_shift(waveform, semitones, 44100)
            assert shifted.shape == waveform.shape and np.isfinite(shifted).all()


def test_channels_are_shifted_alike_and_stay_apart():
    stereo = np.concatenate([_tone(440, 8000), _tone(1000, 8000)], axis=1)
    shifted = pitch_shift(stereo, 1, 8000)
    for channel, frequency in enumerate((440, 1000)):
        alone = pitch_shift(stereo[:, [channel]], 1, 8000)
        np.testing.assert_allclose(shifted[:, [channel]], alone, atol=5e-3)
        assert abs(_peak_hz(shifted[:, channel], 8000) - frequency * 2 ** (1 / 12)) <= 1


@pytest.mark.parametrize("semitones", [-2, -0.3, 0, 0.1, 1.9])
def test_noise_stays_as_loud_as_it_was(semitones):
    noise = np.random.default_rng(0).normal(size=(44100, 2)) * [0.1, 0.02]
    shifted = pitch_shift(noise, semitones, 44100)
    assert shifted.std() == pytest.approx(noise.std(), rel=1e-4)
    # One gain for both, so that a sound stays where it is between them.
    assert shifted[:, 0].std() / shifted[:, 1].std() == pytest.approx(5, rel=0.1)


def test_full_scale_is_not_gone_beyond_for_loudness():
    noise = np.random.default_rng(0).uniform(-0.6, 0.6, (44100, 1))
    shifted = pitch_shift(noise, 1, 44100)
    assert np.abs(shifted).max() == pytest.approx(1)
    assert shifted.std() < noise.std()
    # Above half the sample rate there is nothing to be loud with.
    assert np.abs(pitch_shift(_tone(3950, 8000), 2, 8000)).max() <= 1


def test_silence_stays_silent():
    assert not pitch_shift(np.zeros((5000, 2)), 1.5, 44100).any()


@pytest.mark.parametrize(
    ("waveform", "semitones", "message"),
    [
        (np.zeros(100), 1, r"\(samples, channels\).*shape \(100,\)"),
        (np.zeros((0, 1)), 1, "at least one sample"),
        (np.zeros((100, 1), np.int16), 1, "Expected floats.*int16"),
        (np.full((100, 1), np.nan), 1, "finite samples"),
        (np.zeros((100, 1)), float("inf"), "semitones=inf"),
    ],
)
def test_what_cannot_be_shifted_is_refused(waveform, semitones, message):
    with pytest.raises(ValueError, match=message):
        pitch_shift(waveform, semitones, 44100)


# --- the draw ------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 8])
def test_shifts_of_a_clip_are_one_in_each_part_of_the_range(count):
    for index in range(50):
        shifts = variant_semitones(f"clip{index}", count)
        assert shifts.shape == (count,)
        assert np.floor((shifts + 2) / 4 * count).astype(int).tolist() == list(range(count))


@pytest.mark.parametrize("count", [1, 8])
def test_shifts_of_many_clips_are_uniform(count):
    from scipy.stats import kstest

    shifts = np.concatenate([variant_semitones(f"clip{index}", count) for index in range(2000)])
    assert shifts.min() >= -2 and shifts.max() <= 2
    assert kstest(shifts, "uniform", args=(-2, 4)).pvalue > 0.01
    # Within the parts too, and one clip's do not follow from another's.
    first = np.array([variant_semitones(f"clip{index}", count)[0] for index in range(2000)])
    assert kstest(first, "uniform", args=(-2, 4 / count)).pvalue > 0.01
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.06


def test_shifts_follow_from_the_id():
    assert np.array_equal(variant_semitones("a", 8), variant_semitones("a", 8))
    assert not np.array_equal(variant_semitones("a", 8), variant_semitones("b", 8))
    assert variant_semitones("a\udcff.wav", 8).shape == (8,)  # a name that is no UTF-8


def test_variants_are_the_shifts_one_after_the_other():
    samples = np.rint(_tone(440, 8000, seconds=0.5, channels=2) * 32767).astype(np.int16)
    variants = pitch_variants(samples, 8000, "clip", 3)
    assert variants.dtype == np.int16 and variants.shape == (12000, 2)
    for index, semitones in enumerate(variant_semitones("clip", 3)):
        variant = variants[4000 * index : 4000 * (index + 1), 0]
        assert abs(_peak_hz(variant, 8000) - 440 * 2 ** (semitones / 12)) <= 2


def test_what_goes_beyond_full_scale_saturates():
    square = np.where(_tone(330, 8000) > 0, 32767, -32768).astype(np.int16)
    variants = pitch_variants(square, 8000, "square", 2)
    assert variants.max() == 32767 and variants.min() == -32768
    # Nothing has wrapped around: between two samples there is no step but the square's own.
    steps = np.abs(np.diff(variants[:, 0].astype(int)))
    assert (steps > 50000).mean() < 0.25


# --- the records ---------------------------------------------------------------------------------


def _prepare(source, data_dir, **arguments):
    arguments = {"sample_rate": 8000, "jobs": 1, "progress": False} | arguments
    return data_prep.prepare("audio_folder", source=source, data_dir=data_dir, **arguments)


@pytest.fixture
def pets(tmp_path):
    """Twelve short sounds, among them silence, a few samples, and stereo."""
    folder = write_pets(tmp_path / "pets")
    soundfile.write(folder / "cat" / "0.wav", np.zeros(3000), 8000)
    soundfile.write(folder / "cat" / "1.wav", np.full(5, 0.3), 8000)
    write_sound(folder / "dog" / "0.wav", channels=2, rate=44100)
    return folder


@pytest.mark.parametrize("channels", [1, 2])
def test_records_hold_variants_beside_the_clip(pets, tmp_path, channels):
    plain = _prepare(pets, tmp_path, channels=channels)
    result = _prepare(pets, tmp_path, channels=channels, pitch_variants=3)
    assert result.path.parent.name == f"8000hz_{channels}ch_3pitch"
    examples, metadata = records(result.path)
    before, _ = records(plain.path)
    assert metadata["pitch_variants"] == 3 and len(examples) == 12
    for clip_id, example in examples.items():
        audio = example["audio"]
        expected = pitch_variants(audio, 8000, clip_id, 3)
        np.testing.assert_array_equal(example["pitch_shifted"], expected)
        assert example["pitch_shifted"].shape == (3 * len(audio), channels)
        # The clip is what it is without variants.
        np.testing.assert_array_equal(audio, before[clip_id]["audio"])
        assert example["hash"] == before[clip_id]["hash"]
        assert example["hash"].decode() == pcm16_hash(audio)
    assert not examples["cat/0.wav"]["pitch_shifted"].any()
    assert "pitch_shifted" not in before["cat/0.wav"]
    assert "pitch_variants" not in json.loads((plain.path / "metadata.json").read_text())


def test_any_number_of_jobs_makes_the_same_variants(pets, tmp_path):
    first = _prepare(pets, tmp_path / "a", jobs=1, pitch_variants=2)
    second = _prepare(pets, tmp_path / "b", jobs=2, pitch_variants=2)
    assert tree(first.path) == tree(second.path)
    assert _prepare(pets, tmp_path / "a", pitch_variants=2).reused


def test_reading_variants_back(pets, tmp_path):
    _prepare(pets, tmp_path, pitch_variants=2)
    _prepare(pets, tmp_path)
    read = open_records("audio_folder", sample_rate=8000, data_dir=tmp_path, pitch_variants=2)
    plain = open_records("audio_folder", sample_rate=8000, data_dir=tmp_path)
    assert (read.pitch_variants, plain.pitch_variants) == (2, 0)
    assert list(read.clips(read.folds)) == list(plain.clips(plain.folds))
    assert make_split(read, 1).to_dict() == make_split(plain, 1).to_dict()
    for example in read.dataset(read.folds).as_numpy_iterator():
        assert len(example["pitch_shifted"]) == 2 * len(example["audio"])
    without = read.dataset(read.folds, pitch_shifted=False)
    assert without.element_spec == plain.dataset(plain.folds).element_spec
    for example, other in zip(
        without.as_numpy_iterator(), plain.dataset(plain.folds).as_numpy_iterator(), strict=True
    ):
        assert example["clip_id"] == other["clip_id"]
        np.testing.assert_array_equal(example["audio"], other["audio"])


def test_variants_that_are_not_there_are_asked_for_by_command(pets, tmp_path):
    _prepare(pets, tmp_path)
    _prepare(pets, tmp_path, pitch_variants=2)
    with pytest.raises(
        ValueError, match=r"--sample-rate 8000 --channels 1 --pitch-variants 8`"
    ) as e:
        open_records("audio_folder", sample_rate=8000, data_dir=tmp_path, pitch_variants=8)
    message = str(e.value)
    assert "at 8000 Hz with 1 channel(s) and 8 pitch variants" in message
    assert "8000 Hz with 1 channel(s) and 2 pitch variants, 8000 Hz with 1 channel(s)." in message


@pytest.mark.parametrize("value", [-1, 101, 2.0, True, "8"])
def test_a_number_of_variants_is_checked(pets, tmp_path, value):
    with pytest.raises(ValueError, match=f"from 0 to 100. Received: pitch_variants={value!r}"):
        _prepare(pets, tmp_path, pitch_variants=value)


def test_shifting_needs_no_tensorflow():
    code = (
        "import sys, numpy, data_prep.pitch as p; p.pitch_shift(numpy.ones((9000, 1)), 1, 8000);"
        "sys.exit(repr({'tensorflow', 'keras', 'tensorflow_datasets'} & set(sys.modules) or 0)"
        " if {'tensorflow', 'keras', 'tensorflow_datasets'} & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
