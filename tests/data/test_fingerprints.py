"""Copies are found though louder, shifted, coded or resampled; other sounds are not."""

import io
import itertools

import numpy as np
import pytest
import scipy.sparse
import soundfile
import soxr

from keras_audio.audio import read_audio, to_pcm16
from keras_audio.data.fingerprints import HOP, Fingerprint, Similar, find_similar, fingerprint

RATE = 44100


# --- known pairs and false pairs of real sounds --------------------------------------------------


def coded(sound, **form):
    file = io.BytesIO()
    soundfile.write(file, sound, RATE, **form)
    file.seek(0)
    return soundfile.read(file, dtype="float32", always_2d=True)[0]


def resampled(sound, rate):
    return soxr.resample(soxr.resample(sound, RATE, rate), rate, RATE)


def later(sound, seconds):
    return np.concatenate([np.zeros((round(seconds * RATE), 1), np.float32), sound])[: len(sound)]


COPIES = {
    "quieter by 12 dB": lambda sound: sound / 4,
    "37 ms earlier": lambda sound: sound[round(0.037 * RATE) :],
    "1.3 s later": lambda sound: later(sound, 1.3),
    "MP3 at about 33 kbit/s": lambda sound: coded(
        sound, format="MP3", subtype="MPEG_LAYER_III", compression_level=0.99
    ),
    "Ogg Vorbis": lambda sound: coded(
        sound, format="OGG", subtype="VORBIS", compression_level=0.99
    ),
    "by way of 22050 Hz": lambda sound: resampled(sound, 22050),
    "by way of 8000 Hz": lambda sound: resampled(sound, 8000),
}


@pytest.fixture(scope="module")
def sounds(esc10_files):
    """Two real clips of each class of ESC-10, of different recordings, float32 (samples, 1)."""
    by_class = itertools.groupby(esc10_files, key=lambda path: path.parent)
    classes = [list(paths) for _, paths in by_class]
    return [read_audio(paths[n])[0] for paths in classes for n in (0, -1)]


@pytest.fixture(scope="module")
def originals(sounds):
    return [fingerprint(to_pcm16(sound), RATE) for sound in sounds]


def test_sounds_of_other_recordings_are_not_alike(originals):
    assert len(originals) == 20
    assert find_similar(originals) == []


@pytest.mark.parametrize("name", COPIES)
def test_each_copy_is_found_and_nothing_else(name, sounds, originals):
    copies = [fingerprint(to_pcm16(COPIES[name](sound)), RATE) for sound in sounds]
    found = find_similar([*originals, *copies])
    assert [(pair.first, pair.second) for pair in found] == [(n, n + 20) for n in range(20)]
    shift = {"37 ms earlier": -0.037, "1.3 s later": 1.3}.get(name, 0)
    for pair in found:
        assert abs(pair.offset - shift) <= 1.5 * HOP
        assert pair.similarity > 0.8


def test_records_of_a_lower_rate_have_the_same_bits(sounds, originals):
    for sound, original in zip(sounds, originals, strict=True):
        low = fingerprint(to_pcm16(soxr.resample(sound, RATE, 8000)), 8000)
        both = original.heard & low.heard
        equal = 32 - np.bitwise_count(original.words[both] ^ low.words[both])
        assert len(low.words) == len(original.words) and equal.mean() > 0.98 * 32


def test_clips_that_overlap_by_a_part_are_found(sounds):
    longer = to_pcm16(np.concatenate([sounds[4], sounds[6]]))
    cut = 3 * RATE
    clips = [longer[: 5 * RATE], longer[cut : cut + 5 * RATE]]
    (found,) = find_similar([fingerprint(clip, RATE) for clip in clips])
    assert abs(found.offset + 3) < 1.5 * HOP
    assert 1.5 < found.seconds < 2.5


# --- sounds that have nothing to tell them apart by ----------------------------------------------


def noises(kind, count=60, samples=24000):
    generator = np.random.default_rng(3)
    if kind == "white":
        return generator.normal(0, 0.1, (count, samples))
    if kind == "brown":
        steps = np.cumsum(generator.normal(size=(count, samples)), axis=1)
        return 0.3 * steps / np.abs(steps).max(axis=1, keepdims=True)
    times = np.arange(samples) / 8000
    phases = generator.uniform(0, 2 * np.pi, (count, 1))
    if kind == "hum":
        return 0.2 * np.sin(2 * np.pi * 300 * times + phases)
    if kind == "hum of many":
        tones = generator.uniform(200, 3500, (count, 1))
        return 0.2 * np.sin(2 * np.pi * tones * times + phases)
    if kind == "rounding noise":
        return generator.integers(-1, 2, (count, samples)) / 32768
    return np.full((count, samples), {"silence": 0.0, "constant": 0.25}[kind])


@pytest.mark.parametrize(
    "kind", ["white", "brown", "hum", "hum of many", "rounding noise", "silence", "constant"]
)
def test_clips_with_nothing_to_hear_are_no_copies(kind):
    clips = [to_pcm16(noise[:, None]) for noise in noises(kind)]
    prints = [fingerprint(clip, 8000) for clip in clips]
    if kind in ("silence", "constant", "rounding noise"):
        assert not any(one.heard[20:-20].any() for one in prints)
    assert find_similar(prints) == []


def test_noise_itself_is_found_again():
    clips = [to_pcm16(noise[:, None]) for noise in noises("white", 20)]
    clips.append(clips[7] // 3)
    (found,) = find_similar([fingerprint(clip, 8000) for clip in clips])
    assert (found.first, found.second, found.offset) == (7, 20, 0)


def test_a_short_sound_needs_nine_tenths_of_itself():
    generator = np.random.default_rng(0)
    click = to_pcm16(generator.normal(0, 0.1, (800, 1)))
    silence = np.zeros((8000, 1), np.int16)
    clips = [np.concatenate([click, silence]), np.concatenate([silence, click, silence])]
    (found,) = find_similar([fingerprint(clip, 8000) for clip in clips])
    assert abs(found.offset - 1) < HOP and found.seconds < 0.5


# --- against plain references --------------------------------------------------------------------


def plain_bits(waveform, rate):
    """The definition, word by word: energies of bands, smoothed; does a difference grow?"""
    size, hop, margin = round(0.128 * rate), round(0.024 * rate), round(0.185 * rate)
    waveform = np.concatenate([waveform[:margin][::-1], waveform, waveform[-margin:][::-1]])
    edges = [200 * 18 ** (n / 33) for n in range(34)]
    window = [0.5 - 0.5 * np.cos(2 * np.pi * n / (size - 1)) for n in range(size)]
    energies = []
    for begin in range(0, len(waveform) - size + 1, hop):
        power = np.abs(np.fft.fft(waveform[begin : begin + size] * window)[: size // 2 + 1]) ** 2
        energies.append([])
        for low, high in itertools.pairwise(edges):
            inside = 0.0
            for n, value in enumerate(power):
                bottom, top = (n - 0.5) * rate / size, (n + 0.5) * rate / size
                inside += value * max(0.0, min(top, high) - max(bottom, low)) / (rate / size)
            energies[-1].append(inside)
    energies = np.array(energies)
    weights = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1, 16) / 16)
    mirrored = np.concatenate([energies[:7][::-1], energies, energies[-7:][::-1]])
    smooth = np.stack([np.convolve(band, weights, "valid") for band in mirrored.T], axis=1)
    rows = []
    for before, now in itertools.pairwise(smooth):
        change = now - before
        rows.append([change[band] - change[band + 1] > 0 for band in range(32)])
    return np.array(rows)


def test_bits_are_those_of_the_definition():
    waveform = np.random.default_rng(5).normal(0, 0.1, 6000)
    samples = to_pcm16(waveform[:, None])
    found = fingerprint(samples, 8000)
    expected = plain_bits(samples[:, 0] / 32768, 8000)
    bits = np.unpackbits(found.words[:, None].view(np.uint8), axis=1).astype(bool)
    assert bits.shape == expected.shape == (41, 32)
    assert found.heard.all() and (bits == expected).mean() > 0.999


def plain_search(prints, similarity, seconds):
    """All words of all pairs against each other."""
    best = {}
    for first, second in itertools.combinations(range(len(prints)), 2):
        one, other = prints[first], prints[second]
        for here, there in itertools.product(range(len(one.words)), range(len(other.words))):
            heard = one.heard[here] and other.heard[there]
            if not heard or one.words[here] != other.words[there]:
                continue
            offset = there - here
            equal = [
                32 - int(one.words[n] ^ other.words[n + offset]).bit_count()
                for n in range(len(one.words))
                if 0 <= n + offset < len(other.words) and one.heard[n] and other.heard[n + offset]
            ]
            shorter = min(one.sounding, other.sounding)
            if len(equal) < max(10, min(seconds / HOP, 0.9 * shorter)):
                continue
            share = 1 - (32 * len(equal) - sum(equal)) / (32 * len(equal))
            if share >= similarity and share > best.get((first, second), (0,))[0]:
                best[first, second] = share, offset, len(equal)
    return [
        Similar(*pair, offset * HOP, share, count * HOP)
        for pair, (share, offset, count) in sorted(best.items())
    ]


def test_the_search_finds_what_comparing_all_with_all_finds():
    generator = np.random.default_rng(8)
    prints = []
    for number in range(9):
        words = generator.integers(0, 2**32, 50 + 3 * number, dtype=np.uint32)
        prints.append(Fingerprint(words, generator.random(len(words)) < 0.9, len(words)))
    for source, shift, flipped in ((0, 5, 0.0), (3, -7, 0.04), (5, 0, 0.1)):
        words = np.roll(prints[source].words, shift)
        bits = np.unpackbits(words[:, None].view(np.uint8), axis=1)
        bits ^= (generator.random(bits.shape) < flipped).astype(np.uint8)
        words = np.packbits(bits, axis=1).view(np.uint32)[:, 0]
        prints.append(Fingerprint(words, np.ones(len(words), bool), len(words)))
    expected = plain_search(prints, 0.55, 0.7)
    assert len(expected) >= 3
    found = find_similar(prints, similarity=0.55, seconds=0.7)
    assert [(pair.first, pair.second) for pair in found] == [
        (pair.first, pair.second) for pair in expected
    ]
    for pair, other in zip(found, expected, strict=True):
        assert pair.similarity == pytest.approx(other.similarity)
        assert (pair.offset, pair.seconds) == (other.offset, other.seconds)


def test_a_sound_in_very_many_clips_connects_them_all():
    generator = np.random.default_rng(2)
    words = generator.integers(0, 2**32, 60, dtype=np.uint32)
    prints = []
    for _ in range(150):
        noisy = generator.integers(0, 2**32, 60, dtype=np.uint32)
        noisy[::2] = words[::2]
        prints.append(Fingerprint(noisy, np.ones(60, bool), 60))
    found = find_similar(prints)
    ends = np.array([(pair.first, pair.second) for pair in found]).T
    graph = scipy.sparse.coo_array((np.ones(len(found)), ends), (150, 150))
    assert scipy.sparse.csgraph.connected_components(graph)[0] == 1
    # Not all of the 11175 pairs: a sound in n clips takes n times a constant.
    assert len(found) < 5500


def test_nothing_to_search():
    assert find_similar([]) == []
    assert find_similar([Fingerprint(np.ones(40, np.uint32), np.ones(40, bool), 40)]) == []
    short = fingerprint(np.full((3, 2), 1000, np.int16), 8000)
    assert find_similar([short, short]) == []


def test_a_rate_too_low_is_refused():
    with pytest.raises(ValueError, match="at least 2000 Hz.*sample_rate=1000"):
        fingerprint(np.zeros((100, 1), np.int16), 1000)
