"""Clips a second and peak memory of reading sets of a thousand to a million short clips.

The clips are noise, a quarter of a second at 8 kHz, in classes that grow rarer from one to the
next, and are written as `keras-audio prepare` writes them. Each measurement has a fresh process,
which opens the records and reads batches for one pass, or as long as `--seconds` says: streamed,
with a fixed small share of memory for the samples; drawn so that all classes come equally often;
and from memory, where they fit. `reading.csv`, a row a measurement, and `reading.md` are written.
The largest set takes 4.4 GB below `--work` while it is measured.

Examples:
  python benchmarks/reading.py
  python benchmarks/reading.py --clips 1000 10000 --repeats 2 --to quick-benchmarks
"""

import argparse
import os
import pathlib
import statistics
import sys
import tempfile
import time
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from processes import alone
from timing import in_turn, write_results
from tqdm import tqdm

NAME, SAMPLE_RATE, SAMPLES, CLASSES, BATCH_SIZE = "noises", 8000, 2000, 50, 128
STREAMED, BALANCED, IN_MEMORY = "streamed", "streamed, balanced", "in memory"


class Reading(NamedTuple):
    """What one process measured.

    Args:
        rate: Clips a second, from the first batch on.
        start: Seconds from opening the records to the first batch.
        peak: The most memory that the process had, in MB.
    """

    rate: float
    start: float
    peak: float


def main() -> int:
    """Measure, print, and write the files."""
    options = parse()
    found: dict[str, list[Reading]] = {}
    before = alone(base_memory)
    for clips in options.clips:
        with tempfile.TemporaryDirectory(dir=options.work) as folder:
            kinds = generate(pathlib.Path(folder), clips)
            measures = {
                f"{clips:,} clips, {kind}": lambda kind=kind, folder=folder: alone(
                    measure, folder, kind, options.memory * 10**6, options.seconds
                )
                for kind in kinds
            }
            found |= in_turn(measures, options.repeats)
    units = {"clips/s": "rate", "MB at most": "peak", "s to the first batch": "start"}
    groups = {
        unit: {name: [getattr(one, field) for one in rounds] for name, rounds in found.items()}
        for unit, field in units.items()
    }
    groups["MB at most"] = {"TensorFlow and a batch, no clips": [before]} | groups["MB at most"]
    about = (
        f"Noise of {SAMPLES / SAMPLE_RATE:g} s at {SAMPLE_RATE} Hz in {CLASSES} classes, batches "
        f"of {BATCH_SIZE}, {options.memory} MB for the samples of streamed sets; one pass, or "
        f"{options.seconds} s of it. The files were written just before, so that the system may "
        "have them in its cache, which is not the process's memory."
    )
    conclusions = conclude(groups["MB at most"], groups["clips/s"], options.clips)
    write_results(options.to / "reading", "Reading at scale", about, groups, conclusions)
    return 0


def conclude(peaks: dict, rates: dict, clips: list[int]) -> list[str]:
    """What the largest set takes more than the smallest, a paragraph for each way of streaming."""
    least, most = min(clips), max(clips)
    texts = []
    for kind in (STREAMED, BALANCED):
        (low, high), (slow, fast) = (
            [statistics.median(of[f"{number:,} clips, {kind}"]) for number in (least, most)]
            for of in (peaks, rates)
        )
        texts.append(
            f"{kind.capitalize()}: {most:,} clips take {high - low:.0f} MB more than {least:,}, "
            f"{(high - low) * 1e6 / (most - least):.0f} bytes a clip, of which "
            f"{2 * SAMPLES:,} are its samples; they are read {fast / slow:.2f} times as fast."
        )
    return texts


def generate(folder: pathlib.Path, clips: int) -> list[str]:
    """Write records of generated clips; answers in which ways they can be read."""
    alone(write_noises, folder, clips)
    from keras_audio.data.memory import memory_share

    return [STREAMED, BALANCED] + [IN_MEMORY] * (2 * SAMPLES * clips <= memory_share())


def write_noises(data_dir: pathlib.Path, clips: int) -> None:
    """Write records of so many clips in one fold, as `keras-audio prepare` does."""
    import tensorflow as tf

    from data_prep.base import Content, Stored, file_name, serializer, write_info
    from data_prep.clips import RECORDS_VERSION, Clip, ClipList, DatasetCard
    from data_prep.decoding import Decoded
    from data_prep.form import Form
    from data_prep.shards import CLIPS_IN_A_SHARD
    from keras_audio.audio import pcm16_hash
    from keras_audio.data import clip_table

    form = Form(SAMPLE_RATE, 1)
    folder = data_dir / NAME / form.name / RECORDS_VERSION
    folder.mkdir(parents=True)
    labels = tuple(f"noise {number:02}" for number in range(CLASSES))
    content = Content(labels, False, ())
    serialize, rng = serializer(content, form), np.random.default_rng(0)
    # Class n has clips in proportion to 1/n.
    shares = 1 / np.arange(1, CLASSES + 1)
    classes = rng.choice(CLASSES, clips, p=shares / shares.sum())
    files = -(-clips // CLIPS_IN_A_SHARD)
    bounds = np.arange(files + 1) * clips // files
    sizes: list[int] = []
    offsets: list[int] = []

    def written(writer, index):
        name = f"{index:07}"
        clip = Clip(name, f"{name}.wav", (labels[classes[index]],), 1, name)
        samples = rng.integers(-(2**15), 2**15, (SAMPLES, 1), np.int16)
        record = serialize(clip, Decoded(samples, pcm16_hash(samples)))
        sizes.append(len(record))
        writer.write(record)
        return clip_table.Clip(
            name, name, 1, content.indices(clip), pcm16_hash(samples), len(samples)
        )

    def all_written():
        for number in tqdm(range(files), f"{clips:,} clips", unit="file", disable=None):
            path = folder / file_name(NAME, 1, number, files)
            with tf.io.TFRecordWriter(str(path)) as writer:
                offset = 0
                for index in range(bounds[number], bounds[number + 1]):
                    clip = written(writer, index)
                    offsets.append(offset)
                    offset += sizes[-1] + 16  # what TFRecord adds
                    yield clip

    shards = np.repeat(np.arange(files), np.diff(bounds)).tolist()
    table = clip_table.ClipTable.from_clips(all_written(), shards, offsets)
    table.save(folder / "fold1.index.npz")
    card = DatasetCard(NAME, "Noises", clips, CLASSES, 1, "none", "", "none", labels, SAMPLE_RATE)
    listed = ClipList(
        folder, labels, tuple(Clip(f"{n}", f"{n}", (labels[n],), 1, f"{n}") for n in range(2))
    )
    write_info(
        folder,
        dataset_name=NAME,
        card=card,
        clip_list=listed,
        fingerprint="",
        form=form,
        stored={1: Stored(np.diff(bounds).tolist(), sum(sizes))},
        clips=clips,
        missing=(),
    )


def measure(data_dir: str, kind: str, memory: int, seconds: float) -> Reading:
    """Read a pass, or a part of it."""
    import keras

    from keras_audio.data import TrainingBatches, open_records

    waveform = keras.Input((None, 1))
    as_it_is = keras.Model(waveform, keras.layers.Identity()(waveform))
    started = time.perf_counter()
    records = open_records(NAME, sample_rate=SAMPLE_RATE, data_dir=data_dir)
    batches = TrainingBatches(
        records,
        [1],
        as_it_is,
        batch_size=BATCH_SIZE,
        seed=0,
        crop_samples=SAMPLES,
        balanced=kind == BALANCED,
        whole_batches=True,
        memory=None if kind == IN_MEMORY else memory,
    )
    steps = iter(batches.steps(0, batches.steps_per_pass))
    next(steps)
    first = time.perf_counter()
    clips = 0
    for _, targets in steps:
        clips += len(targets)
        if time.perf_counter() - first > seconds:
            break
    return Reading(clips / (time.perf_counter() - first), first - started, peak_memory())


def base_memory() -> float:
    """What a process takes that has TensorFlow and a data set of no clips, in MB."""
    import tensorflow as tf

    from keras_audio.data import open_records  # noqa: F401 - and all that it needs

    next(iter(tf.data.Dataset.range(BATCH_SIZE).map(lambda n: n, -1).batch(BATCH_SIZE)))
    return peak_memory()


def peak_memory() -> float:
    """The most that this process had in memory so far, in MB."""
    # Not getrusage, which counts what the process was before it became this program.
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1000
    raise RuntimeError("no VmHWM in /proc/self/status")


def parse() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = [1000, 10_000, 100_000, 1_000_000]
    parser.add_argument(
        "--clips", type=int, nargs="+", default=sizes, help="default 1000 to 1000000"
    )
    parser.add_argument("--memory", type=int, default=64, help="MB for the samples; default 64")
    parser.add_argument("--seconds", type=float, default=60, help="to read at most; default 60")
    parser.add_argument("--repeats", type=int, default=3, help="rounds; default 3")
    parser.add_argument("--work", type=pathlib.Path, help="where to put the sets; default: /tmp")
    parser.add_argument("--to", type=pathlib.Path, default=pathlib.Path("results/benchmarks"))
    options = parser.parse_args()
    if min(options.clips) < 2 * BATCH_SIZE:
        parser.error(f"expected --clips of at least {2 * BATCH_SIZE}, not {min(options.clips)}")
    if options.repeats < 1:
        parser.error(f"expected --repeats of at least 1, not {options.repeats}")
    return options


if __name__ == "__main__":
    sys.exit(main())
