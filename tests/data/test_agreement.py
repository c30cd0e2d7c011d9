"""Waveforms of copies agree, however they were made; those of other sounds do not."""

import itertools

import numpy as np
import pytest
import soxr

from keras_audio.audio import read_audio
from keras_audio.data.agreement import agreement

RATE = 8000


@pytest.fixture(scope="module")
def sounds(esc10_files):
    """A real clip of each class of ESC-10 at 8 kHz, float32 (samples,)."""
    by_class = itertools.groupby(esc10_files, key=lambda path: path.parent)
    files = [list(paths)[3] for _, paths in by_class]
    return [read_audio(path, RATE, 1)[0][:, 0] for path in files]


def test_other_sounds_do_not_agree(sounds):
    generator = np.random.default_rng(0)
    for first, second in itertools.combinations(sounds, 2):
        found = agreement(first, second, RATE, generator.uniform(-2, 2))
        assert found.correlation < 0.5


@pytest.mark.parametrize(
    ("change", "least"),
    [
        (lambda sound: -0.05 * sound, 0.99),
        (lambda sound: np.convolve(sound, [1, -0.8], "same"), 0.6),  # A tilt.
        (lambda sound: soxr.resample(soxr.resample(sound, RATE, 5000), 5000, RATE), 0.6),
        (lambda sound: np.round(sound * 127) / 127, 0.6),  # 8 bits.
    ],
)
def test_copies_agree(change, least, sounds):
    for sound in sounds:
        copy = np.asarray(change(sound), np.float32)
        if len(np.unique(copy)) < 64:
            continue  # Of a quiet sound 8 bits leave nothing.
        found = agreement(sound, copy, RATE, 0.0)
        assert found.correlation > least
        assert abs(found.offset) <= 2 / RATE


@pytest.mark.parametrize("seconds", [-1.23, -0.3, 0.0, 0.41, 2.0])
def test_the_offset_is_found(seconds, sounds):
    shift = round(seconds * RATE)
    for sound in sounds:
        if shift >= 0:
            copy = np.concatenate([np.zeros(shift, np.float32), sound])
        else:
            copy = sound[-shift:]
        # The fingerprints know it to a quarter of a second at worst.
        found = agreement(sound, copy, RATE, seconds + 0.2)
        if np.abs(sound[max(0, -shift) :]).max() < 0.01:
            continue
        assert found.correlation > 0.6
        assert found.offset == pytest.approx(shift / RATE)


def test_copies_that_were_cut_and_joined_anew(sounds):
    rain = sounds[1]
    shorter = np.concatenate([rain[:16000], rain[17600:]])
    found = agreement(rain, shorter, RATE, 0.0)
    assert found.correlation > 0.9
    assert min(abs(found.offset), abs(found.offset + 0.2)) < 1e-6


def test_one_click_that_fits_does_not_speak_for_the_clip():
    generator = np.random.default_rng(4)
    first, second = generator.normal(0, 0.01, (2, 5 * RATE)).astype(np.float32)
    click = np.hanning(40).astype(np.float32)
    first[20000:20040] += click
    second[20000:20040] += click
    assert agreement(first, second, RATE, 0.0).correlation < 0.2
    # While the whole clips correlate, as plain correlation has it.
    assert np.corrcoef(first, second)[0, 1] > 0.7


def test_a_common_hum_does_not_either():
    generator = np.random.default_rng(4)
    first, second = generator.normal(0, 0.003, (2, 5 * RATE))
    hum = 0.5 * np.sin(2 * np.pi * 50 * np.arange(5 * RATE) / RATE)
    found = agreement(np.float32(first + hum), np.float32(second + hum), RATE, 0.0)
    assert found.correlation < 0.3
    assert np.corrcoef(first + hum, second + hum)[0, 1] > 0.99


def melody(seed, notes, seconds):
    """Notes of a pentatonic scale, of one instrument, (samples,)."""
    generator = np.random.default_rng(seed)
    times = np.arange(round(seconds * RATE)) / RATE
    pitches = 262 * 2 ** (generator.choice([0, 2, 4, 7, 9, 12], notes) / 12)
    tones = [sum(np.sin(2 * np.pi * k * f * times) / k for k in (1, 2, 3, 4)) for f in pitches]
    tones = np.concatenate(np.exp(-4 * times) * np.minimum(1, times / 0.01) * tones)
    return np.float32(0.2 * tones + generator.normal(0, 1e-3, len(tones)))


def beeps(seed):
    """Beeps of 1 kHz for 200 ms at random places, with noise and phase of their own, (samples,)."""
    generator = np.random.default_rng(seed)
    times = np.arange(5 * RATE) / RATE
    begins = np.cumsum(generator.uniform(0.3, 0.9, 16))
    gate = sum((times >= begin) & (times < begin + 0.2) for begin in begins)
    tone = np.sin(2 * np.pi * 1000 * times + generator.uniform(0, 2 * np.pi))
    return np.float32(0.3 * gate * tone + generator.normal(0, 1e-3, len(times)))


@pytest.mark.parametrize(
    ("sounds_of", "offsets"),
    [
        (lambda: [melody(seed, 20, 0.25) for seed in range(6)], (0.0, -3.6)),
        (lambda: [melody(seed, 10, 0.5) for seed in range(6)], (0.0, -3.6)),
        (lambda: [melody(seed, 12, 0.43) for seed in range(6)], (0.0, -3.6)),
        (lambda: [beeps(seed) for seed in range(6)], (0.0,)),
    ],
)
def test_the_same_notes_at_other_places_do_not_agree(sounds_of, offsets):
    sounds = sounds_of()
    for first, second in itertools.combinations(sounds, 2):
        for offset in offsets:
            assert agreement(first, second, RATE, offset).correlation < 0.6
    for sound in sounds:
        # And a copy of them does, cut and joined anew, too.
        copy = np.concatenate([0.5 * sound[1000:20000], sound[21600:]])
        assert agreement(sound, copy, RATE, -0.2).correlation > 0.8


@pytest.mark.parametrize("samples", [0, 1, 2, 700])
def test_very_short_and_silent_clips(samples):
    generator = np.random.default_rng(0)
    short = generator.normal(size=samples).astype(np.float32)
    longer = np.concatenate([np.zeros(900, np.float32), short, np.zeros(900, np.float32)])
    found = agreement(short, longer, RATE, 0.1)
    if samples == 700:
        assert found.correlation > 0.95
        assert found.offset == pytest.approx(900 / RATE)
    assert 0 <= found.correlation <= 1
    silence = np.zeros(RATE, np.float32)
    assert agreement(silence, silence, RATE, 0.0).correlation == 0
    assert agreement(longer, silence, RATE, 0.0).correlation == 0
