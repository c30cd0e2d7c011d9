"""Clips a second from sound files to records, beside a loop with librosa.

`data_prep.prepare`, with one worker and with two, decodes, resamples to 8 kHz mono, hashes and
writes the records, their index and what TFDS reads. The peer is the same loop in one process with
librosa: `librosa.load(sr=8000)` of each file, its int16 samples written as TFRecords, and nothing
else; and decoding alone stands beside them. All have been called once before: librosa compiles, and
TensorFlow takes seconds to import. `preparation.csv`, a row a measurement, and `preparation.md` are
written, `preparation_toy_sounds` without real sounds.

Examples:
  python benchmarks/preparation.py --source ESC-10-master
  python benchmarks/preparation.py --quick --to quick-benchmarks
"""

import argparse
import functools
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import soundfile
from on_sounds import SOURCE, list_files, measure
from options import new_parser, parsed
from targets import Target
from timing import over, rate

import data_prep
from keras_audio.audio import to_pcm16

SAMPLE_RATE = 8000
LIBROSA, ONE_JOB, TWO_JOBS = "librosa, one process", "preparation, 1 job", "preparation, 2 jobs"
DECODING = "decoding alone, one process"
JOBS = {ONE_JOB: 1, TWO_JOBS: 2}
TIMES_LIBROSA = 1.8  # at least, with two jobs


def main() -> int:
    """Measure, print, and write the files."""
    return measure(parse(), "Preparation: from sound files to records", start, compare)


def start(
    dataset: str, source: pathlib.Path, work: pathlib.Path
) -> tuple[dict[str, Callable[[], float]], str]:
    """What measures, by name, each called once; and a text on the data."""
    files = list_files(dataset, source)
    measures = {
        LIBROSA: functools.partial(librosa_loop, files, work / "librosa.tfrecord"),
        DECODING: functools.partial(decode, files),
    }
    for name, jobs in JOBS.items():
        measures[name] = functools.partial(prepare, dataset, source, work / f"{jobs}", jobs)
    for call in measures.values():
        call()
    rates = {name: functools.partial(rate, call) for name, call in measures.items()}
    return rates, f"{len(files)} clips, to {SAMPLE_RATE} Hz mono."


def prepare(dataset: str, source: pathlib.Path, data_dir: pathlib.Path, jobs: int) -> int:
    """Prepare the records anew; the number of clips."""
    return data_prep.prepare(
        dataset,
        source=source,
        sample_rate=SAMPLE_RATE,
        data_dir=data_dir,
        jobs=jobs,
        force=True,
        progress=False,
    ).clips


def librosa_loop(files: Sequence[str], path: pathlib.Path) -> int:
    """Write the samples of sound files as librosa reads them; the number of clips."""
    import librosa
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for file in files:
            waveform, _ = librosa.load(file, sr=SAMPLE_RATE)
            writer.write(to_pcm16(waveform).tobytes())
    return len(files)


def decode(files: Sequence[str]) -> int:
    """Decode sound files and forget them; their number."""
    for file in files:
        soundfile.read(file, dtype="float32")
    return len(files)


def compare(values: dict[str, list[float]]) -> tuple[list[Target], dict[str, list[float]]]:
    """What is asked of two jobs, and the ratios of which nothing is asked."""
    two = Target(f"{TWO_JOBS} / {LIBROSA}", over(values, TWO_JOBS, LIBROSA), at_least=TIMES_LIBROSA)
    pairs = ((ONE_JOB, LIBROSA), (TWO_JOBS, ONE_JOB), (LIBROSA, DECODING))
    return [two], {f"{above} / {below}": over(values, above, below) for above, below in pairs}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = new_parser(__doc__, name="preparation", repeats=5, quick="2 rounds")
    parser.add_argument("--source", type=pathlib.Path, help=SOURCE)
    return parsed(parser, arguments, {"repeats": 2})


if __name__ == "__main__":
    sys.exit(main())
