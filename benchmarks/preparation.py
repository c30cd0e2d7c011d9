"""Clips a second from sound files to records, beside a loop with librosa.

`data_prep.prepare`, with one process and with two, decodes, resamples to 8 kHz mono, hashes and
writes the records, their index and what TFDS reads. The peer is the same loop in one process with
librosa: `librosa.load(sr=8000)` of each file, its int16 samples written as TFRecords, and nothing
else. Both have been called once before: librosa compiles, and TensorFlow takes seconds to import.
`preparation.csv`, a row a measurement, and `preparation.md` are written, `preparation_toy_sounds`
without real sounds.

Examples:
  python benchmarks/preparation.py --source ESC-10-master
  python benchmarks/preparation.py --quick --to quick-benchmarks
"""

import argparse
import functools
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from targets import Target
from timing import in_turn, over, rate, write_results

import data_prep
from data_prep.registry import find_dataset
from data_prep.toy_sounds import write_toy_sounds
from keras_audio.audio import to_pcm16

SAMPLE_RATE = 8000
LIBROSA, ONE_JOB, TWO_JOBS = "librosa, one process", "preparation, 1 job", "preparation, 2 jobs"
JOBS = {ONE_JOB: 1, TWO_JOBS: 2}
TIMES_LIBROSA = 1.8  # at least, with two jobs


def main() -> int:
    """Measure, print, and write the files."""
    options = parse()
    dataset = "toy_sounds" if options.source is None else "esc10"
    try:
        with tempfile.TemporaryDirectory() as work:
            source = options.source or write_toy_sounds(pathlib.Path(work, "sounds"))
            rates, clips = start(dataset, source, pathlib.Path(work))
            values = in_turn(rates, options.repeats)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    targets, ratios = compare(values)
    # Toy figures do not take the place of those on real sounds.
    toy = "_toy_sounds" if dataset == "toy_sounds" else ""
    write_results(
        options.to / f"{options.name}{toy}",
        "Preparation: from sound files to records",
        f"Medians of {options.repeats} rounds. {dataset}: {clips} clips, to {SAMPLE_RATE} Hz mono.",
        {"clips/s": values, "ratio": ratios},
        targets=targets,
    )
    return 0


def start(
    dataset: str, source: pathlib.Path, work: pathlib.Path
) -> tuple[dict[str, Callable[[], float]], int]:
    """What measures, by name, each called once; and the number of clips."""
    listed = find_dataset(dataset).list_clips(source)
    files = [str(listed.root / clip.file) for clip in listed.clips]
    measures = {LIBROSA: functools.partial(librosa_loop, files, work / "librosa.tfrecord")}
    for name, jobs in JOBS.items():
        measures[name] = functools.partial(prepare, dataset, source, work / f"{jobs}", jobs)
    for measure in measures.values():
        measure()
    return {name: functools.partial(rate, measure) for name, measure in measures.items()}, len(
        files
    )


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


def compare(values: dict[str, list[float]]) -> tuple[list[Target], dict[str, list[float]]]:
    """What is asked of two jobs, and the ratios of which nothing is asked."""
    two = Target(f"{TWO_JOBS} / {LIBROSA}", over(values, TWO_JOBS, LIBROSA), at_least=TIMES_LIBROSA)
    pairs = ((ONE_JOB, LIBROSA), (TWO_JOBS, ONE_JOB))
    return [two], {f"{above} / {below}": over(values, above, below) for above, below in pairs}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source", type=pathlib.Path, help="folder of ESC-10; default: toy sounds, generated"
    )
    parser.add_argument("--repeats", type=int, default=5, help="rounds; default 5")
    parser.add_argument("--quick", action="store_true", help="2 rounds: to try the script")
    parser.add_argument("--name", default="preparation", help="of the files; default preparation")
    parser.add_argument("--to", type=pathlib.Path, default=pathlib.Path("results/benchmarks"))
    options = parser.parse_args(arguments)
    if options.quick:
        options.repeats = 2
        options.name += "_quick"
    if options.repeats < 1:
        parser.error(f"expected --repeats of at least 1, not {options.repeats}")
    return options


if __name__ == "__main__":
    sys.exit(main())
