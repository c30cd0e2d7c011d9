"""How well `keras-audio check` finds near-duplicates: copies of every clip of a data set, and none.

Every clip is copied in each of several ways, and the copies of one kind are searched among all
clips: what share of the copies is found, by the fingerprint and then by the waveform, with which
similarity and correlation, and how alike those pairs are that are no copies. Then, how long it
takes and how much memory, for many generated clips of five seconds at 8 kHz, one in 200 of which
is a copy of another, quieter and shifted.

Examples:
  python benchmarks/fingerprints.py
  python benchmarks/fingerprints.py --dataset esc50 --clips 10000
  python benchmarks/fingerprints.py --quick --to quick-benchmarks
"""

import argparse
import io
import os
import pathlib
import resource
import sys
import time
import types
from collections.abc import Callable, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import soundfile
import soxr
from timing import write_results
from tqdm import tqdm

from keras_audio.audio import pcm16_hash, to_pcm16
from keras_audio.audit_settings import AuditSettings
from keras_audio.cli_check import find_records
from keras_audio.data.agreement import agreement
from keras_audio.data.audit import audit
from keras_audio.data.fingerprints import find_similar, fingerprint, heard_at
from keras_audio.data.records import Clip
from keras_audio.quiet import import_tensorflow

GENERATED_SAMPLES, GENERATED_RATE, ONE_IN = 40_000, 8000, 200


def main() -> int:
    """Measure, print, and write the files."""
    options = parse()
    import_tensorflow()
    records = find_records(options.dataset, options.data_dir)
    if records.channels != 1:
        raise ValueError(f"Expected records of one channel. Received: {records.path}")
    examples = records.dataset(records.folds, pitch_shifted=False).as_numpy_iterator()
    clips = [example["audio"] for example in examples][: options.originals]
    groups, known = copies(clips, records.sample_rate)
    groups |= generated(options.clips) if options.clips else {}
    about = (
        f"The {len(clips)} clips of {records.name} at {records.sample_rate} Hz and copies of them. "
        "Copies found: by the fingerprint (at least "
        f"{AuditSettings().near:g} of the bits), and of all copies those that the waveform "
        f"confirms (a correlation of at least {AuditSettings().confirm:g}). Similarity and "
        "correlation: over the copies found. Other pairs: over those clips of the set itself that "
        f"share a word of 32 bits and are not near-duplicates in truth ({known} pairs are). "
        "Random pairs: two clips, laid over each other anywhere."
    )
    title = "Near-duplicates: copies found, and others not"
    write_results(options.to / options.name, title, about, groups)
    return 0


def ways(rate: int) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """How clips are copied: functions of float waveforms (samples,)."""

    def coded(sound: np.ndarray, **form) -> np.ndarray:
        file = io.BytesIO()
        soundfile.write(file, sound, rate, compression_level=0.99, **form)
        file.seek(0)
        return soundfile.read(file, dtype="float32")[0]

    def noisy(sound: np.ndarray, decibels: float) -> np.ndarray:
        noise = np.random.default_rng(len(sound)).normal(size=len(sound))
        return sound + noise * np.sqrt(np.mean(sound**2)) * 10 ** (-decibels / 20)

    def by_way_of(sound: np.ndarray, other: int) -> np.ndarray:
        return soxr.resample(soxr.resample(sound, rate, other), other, rate)

    def shifted(sound: np.ndarray, seconds: float) -> np.ndarray:
        return np.concatenate([np.zeros(round(seconds * rate)), sound])[: len(sound)]

    return {
        "12 dB quieter": lambda sound: sound / 4,
        "upside down": lambda sound: -sound,
        "6 ms earlier": lambda sound: sound[round(0.006 * rate) :],
        "37 ms earlier": lambda sound: sound[round(0.037 * rate) :],
        "1.3 s later, the end cut off": lambda sound: shifted(sound, 1.3),
        "by way of MP3, about 33 kbit/s": lambda sound: coded(
            sound, format="MP3", subtype="MPEG_LAYER_III"
        ),
        "by way of Ogg Vorbis, least quality": lambda sound: coded(
            sound, format="OGG", subtype="VORBIS"
        ),
        "by way of 22050 Hz": lambda sound: by_way_of(sound, 22050),
        "by way of 8000 Hz": lambda sound: by_way_of(sound, 8000),
        "by way of 8 bits": lambda sound: np.round(sound * 127) / 127,
        "white noise 20 dB below": lambda sound: noisy(sound, 20),
        "white noise 10 dB below": lambda sound: noisy(sound, 10),
        "0.1 % slower": lambda sound: soxr.resample(sound, rate, rate * 1.001),
        "0.5 % slower": lambda sound: soxr.resample(sound, rate, rate * 1.005),
    }


def copies(clips: Sequence[np.ndarray], rate: int) -> tuple[dict[str, dict], int]:
    """Measure copies and other pairs; also how many near-duplicates the clips themselves are."""
    usual = AuditSettings()
    prints = [fingerprint(clip, rate) for clip in clips]
    heard = [heard_at(clip, rate)[0] for clip in clips]
    low = heard_at(clips[0], rate)[1]
    # Noise and hum of which nothing is heard cannot be found, nor anything be said of them.
    able = [number for number, one in enumerate(prints) if one.heard.any()]
    groups = {"% found": {}, "% found and confirmed": {}, "similarity": {}, "correlation": {}}
    for name, way in tqdm(ways(rate).items(), unit="ways"):
        changed = [to_pcm16(way(np.float32(clip[:, 0] / 32768)))[:, None] for clip in clips]
        pairs = {
            pair.first: pair
            for pair in find_similar([*prints, *(fingerprint(copy, rate) for copy in changed)])
            if pair.second == pair.first + len(clips)
        }
        fits = [
            agreement(heard[n], heard_at(changed[n], rate)[0], low, pair.offset).correlation
            for n, pair in pairs.items()
        ]
        confirmed = sum(fit >= usual.confirm for fit in fits)
        groups["% found"][name] = [100 * len(pairs) / len(able)]
        groups["% found and confirmed"][name] = [100 * confirmed / len(able)]
        groups["similarity"][name] = [pair.similarity for pair in pairs.values()] or [0]
        groups["correlation"][name] = fits or [0]
    similarities, correlations, known = [], [], 0
    for pair in find_similar(prints, similarity=0):
        fit = agreement(heard[pair.first], heard[pair.second], low, pair.offset).correlation
        if pair.similarity >= usual.near and fit >= usual.confirm:
            known += 1
            continue
        similarities.append(pair.similarity)
        correlations.append(fit)
    groups["similarity"]["other pairs"] = similarities or [0]
    groups["correlation"]["other pairs"] = correlations or [0]
    generator = np.random.default_rng(0)
    groups["correlation"]["random pairs"] = [
        agreement(heard[first], heard[second], low, generator.uniform(-2, 2)).correlation
        for first, second in (generator.choice(able, 2, replace=False) for _ in range(2000))
    ]
    return groups, known


class Generated:
    """Records of noise that is made when it is read; the last, one in 200, are copies.

    Args:
        count: How many clips.
    """

    name, path = "generated", "nowhere"
    labels, folds, held_out_folds = ("one", "other"), (1, 2), (1, 2)
    sample_rate, channels = GENERATED_RATE, 1

    def __init__(self, count: int) -> None:
        self._count, self._copies = count, count // ONE_IN
        self._clips = [
            Clip(name, name, self._fold(n), (n % 2,), pcm16_hash(self._sound(n)), GENERATED_SAMPLES)
            for n, name in tqdm(enumerate(map(str, range(count))), desc="listing", total=count)
        ]

    def _fold(self, number: int) -> int:
        return 1 + (number >= self._count // 2)

    def _sound(self, number: int) -> np.ndarray:
        originals = self._count - self._copies
        if number >= originals:
            sound = self._sound(number - originals)[:-300] // 2
            return np.concatenate([np.zeros((300, 1), np.int16), sound])
        noise = np.random.default_rng(number).integers(-6000, 6000, (GENERATED_SAMPLES, 1))
        return np.convolve(noise[:, 0], [1, 1, 1], "same").astype(np.int16)[:, None]

    def clips(self, folds: Sequence[int]) -> list[Clip]:
        """The clips of some folds."""
        return [clip for clip in self._clips if clip.fold in folds]

    def dataset(self, folds: Sequence[int], *, pitch_shifted: bool):
        """What is read of `tf.data`."""
        del pitch_shifted
        numbers = [n for n in range(self._count) if self._fold(n) in folds]
        examples = ({"clip_id": str(n).encode(), "audio": self._sound(n)} for n in numbers)
        return types.SimpleNamespace(as_numpy_iterator=lambda: examples)


def generated(count: int) -> dict[str, dict]:
    """Time and memory of an audit of so many clips, and what it found of the copies."""
    records = Generated(count)
    started = time.perf_counter()
    found = audit(records)
    seconds = time.perf_counter() - started
    apart = count - count // ONE_IN
    right = sum(pair.second - pair.first == apart for pair in found.near)
    # Linux counts kilobytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    name = f"{count:,} generated clips"
    return {
        "clips/s": {f"{name}, which are made and hashed meanwhile": [count / seconds]},
        "GB": {f"{name}: most memory of the process, with TensorFlow": [peak]},
        "pairs": {
            f"{name}: copies among them": [count // ONE_IN],
            f"{name}: copies found": [right],
            f"{name}: others found": [len(found.near) - right],
        },
    }


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="esc10", help="prepared, of one channel")
    parser.add_argument("--data-dir", default="data", metavar="DIR", help="where records are kept")
    parser.add_argument("--originals", type=int, metavar="N", help="clips of it (default: all)")
    parser.add_argument("--clips", type=int, default=100_000, metavar="N", help="generated ones")
    parser.add_argument("--quick", action="store_true", help="20 clips, and 400 generated ones")
    parser.add_argument("--to", type=pathlib.Path, default=pathlib.Path("results/benchmarks"))
    parser.add_argument("--name", default="fingerprints", help="of the files in --to")
    options = parser.parse_args(arguments)
    if options.quick:
        options.originals, options.clips = 20, 400
        options.name += "_quick"
    return options


if __name__ == "__main__":
    sys.exit(main())
