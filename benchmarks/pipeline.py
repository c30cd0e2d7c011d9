"""Clips a second from records to float batches, beside librosa in tf.data and bare TFRecords.

Five-second clips are read as training reads them, in an order of its own, cut or padded to 5 s, as
float32 with their classes; no other clip steps. They are streamed, with an eighth of what the set
takes for buffers; or kept in memory, where the first pass includes opening and loading the set.
Beside that stand two peers, in stored order and without classes: `librosa.load` of the sound files
in a `tf.py_function`, and TFRecords that hold nothing but int16 samples, read with `decode_raw`
clip by clip and batch by batch, of which the faster counts. What is asked is asked of reading from
records; later passes in memory are shown beside it. All are in one process with all its cores, and
are measured in turn. `pipeline.csv`, a row a measurement, and `pipeline.md` are written,
`pipeline_toy_sounds` without real sounds.

Examples:
  python benchmarks/pipeline.py --source ESC-10-master
  python benchmarks/pipeline.py --quick --to quick-benchmarks
"""

import argparse
import functools
import itertools
import math
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from on_sounds import SOURCE, list_files, measure
from options import new_parser, parsed
from targets import Target
from timing import over, rate

import data_prep

SECONDS, BATCH_SIZE = 5, 32
SAMPLE_RATES = (8000, 44100)
CLIPS = 2000  # of a pass at least, as ESC-50 has: the folds are listed as often as that takes
STREAMED, FIRST, LATER = "streamed", "in memory, first pass with loading", "in memory, later passes"
LIBROSA, RAW = "librosa in tf.data", "bare TFRecords"
RAW_KINDS = {"clip": f"{RAW}, clip by clip", "batch": f"{RAW}, batch by batch"}
BUFFER_SHARE = 8  # the streamed samples may take one over this of what all take
ALL_MEMORY = 2**60  # bytes, in which any set fits
TIMES_LIBROSA, SHARE_OF_RAW = 5, 0.7  # at least


def main() -> int:
    """Measure, print, and write the files."""
    options = parse()
    begin = functools.partial(start, options.clips)
    return measure(options, "Input pipeline: from records to batches", begin, compare)


def start(
    clips: int, dataset: str, source: pathlib.Path, work: pathlib.Path
) -> tuple[dict[str, Callable[[], float]], str]:
    """Prepare the records at all rates; return what measures, by name, and a text on the data."""
    from keras_audio.data import open_records

    rates: dict[str, Callable[[], float]] = {}
    for sample_rate in SAMPLE_RATES:
        data_prep.prepare(
            dataset, source=source, sample_rate=sample_rate, data_dir=work, progress=False
        )
        records = open_records(dataset, sample_rate=sample_rate, data_dir=work)
        count = len(records.clips(records.folds))
        folds = records.folds * math.ceil(clips / count)
        measures = {
            LIBROSA: functools.partial(librosa_pass, list_files(dataset, source), sample_rate)
        }
        paths = write_raw(records, work) * (len(folds) // len(records.folds))
        for kind, name in RAW_KINDS.items():
            measures[name] = functools.partial(raw_pass, paths, sample_rate, kind == "batch")
        measures |= ours(records, folds)
        for name, call in measures.items():
            call()  # the first time imports, compiles and fills the system's cache
            rates[_name(sample_rate, name)] = functools.partial(rate, call)
    about = (
        f"{count} clips, read {len(folds) // len(records.folds)} times in a pass (by librosa "
        f"once), cut or padded to {SECONDS} s, batches of {BATCH_SIZE}, all cores."
    )
    return rates, about


def ours(records, folds: Sequence[int]) -> dict[str, Callable[[], int]]:
    """A pass from memory, and from the files; each answers the clips that went through."""
    import keras

    from keras_audio.data import TrainingBatches

    waveform = keras.Input((None, records.channels))
    as_it_is = keras.Model(waveform, keras.layers.Identity()(waveform))

    def batches(memory: int) -> TrainingBatches:
        crop = SECONDS * records.sample_rate
        return TrainingBatches(
            records,
            folds,
            as_it_is,
            batch_size=BATCH_SIZE,
            seed=0,
            crop_samples=crop,
            random_crop=False,
            memory=memory,
        )

    def feed(batches: TrainingBatches, number: int) -> int:
        steps = batches.steps_per_pass
        return sum(len(targets) for _, targets in batches.steps(number * steps, steps))

    samples = 2 * int(records.clips(folds).samples.sum()) * records.channels
    streamed, in_memory, numbers = batches(samples // BUFFER_SHARE), batches(ALL_MEMORY), _numbers()
    return {
        STREAMED: lambda: feed(streamed, next(numbers)),
        FIRST: lambda: feed(batches(ALL_MEMORY), 0),
        LATER: lambda: feed(in_memory, next(numbers)),
    }


def _numbers() -> itertools.count:
    """Of passes: each has an order of its own."""
    return itertools.count(1)


def librosa_pass(files: Sequence[str], sample_rate: int) -> int:
    """Read sound files with librosa as part of a tf.data pipeline; their number."""
    import librosa
    import tensorflow as tf

    samples = SECONDS * sample_rate

    def load(path: tf.Tensor) -> np.ndarray:
        waveform, _ = librosa.load(path.numpy().decode(), sr=sample_rate)
        return librosa.util.fix_length(waveform, size=samples)

    def clip(path: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.py_function(load, [path], tf.float32), (samples,))

    return _clips(tf.data.Dataset.from_tensor_slices(list(files)).map(clip, tf.data.AUTOTUNE), 1)


def write_raw(records, work: pathlib.Path) -> list[str]:
    """Write the samples alone, a file a fold, as the records have it; the paths."""
    import tensorflow as tf

    paths = []
    for fold in records.folds:
        paths.append(str(work / f"{records.sample_rate}-{fold}.tfrecord"))
        with tf.io.TFRecordWriter(paths[-1]) as writer:
            for example in records.dataset([fold]).as_numpy_iterator():
                writer.write(example["audio"].astype("<i2").tobytes())
    return paths


def raw_pass(paths: Sequence[str], sample_rate: int, by_batch: bool) -> int:
    """Read records of samples alone, decoded clip by clip or a batch at once; their number."""
    import tensorflow as tf

    def decode(record: tf.Tensor) -> tf.Tensor:
        # Cuts and pads as well.
        samples = tf.io.decode_raw(record, tf.int16, fixed_length=2 * SECONDS * sample_rate)
        return tf.cast(samples, tf.float32) / 32768.0

    dataset = tf.data.TFRecordDataset(list(paths))
    if by_batch:
        batches = dataset.batch(BATCH_SIZE).map(decode, tf.data.AUTOTUNE)
        return _clips(batches, BATCH_SIZE)
    return _clips(dataset.map(decode, tf.data.AUTOTUNE), 1)


def _clips(dataset, batch_size: int) -> int:
    """Read a data set of clips, or of batches, to its end, batch by batch; the clips."""
    import tensorflow as tf

    batches = dataset if batch_size > 1 else dataset.batch(BATCH_SIZE)
    return sum(len(batch) for batch in batches.prefetch(tf.data.AUTOTUNE))


def compare(values: dict[str, list[float]]) -> tuple[list[Target], dict[str, list[float]]]:
    """What is asked of reading from records, and the ratios of which nothing is asked."""
    targets, ratios = [], {}
    for sample_rate in SAMPLE_RATES:
        own = {name: values[_name(sample_rate, name)] for name in (STREAMED, FIRST, LATER, LIBROSA)}
        peers = (values[_name(sample_rate, name)] for name in RAW_KINDS.values())
        own[RAW] = [max(both) for both in zip(*peers, strict=True)]
        for name, (peer, bound) in itertools.product(
            (STREAMED, FIRST, LATER), {LIBROSA: TIMES_LIBROSA, RAW: SHARE_OF_RAW}.items()
        ):
            what, ratio = f"{_name(sample_rate, name)} / {peer}", over(own, name, peer)
            if name == LATER:  # not from records any more
                ratios[what] = ratio
            else:
                targets.append(Target(what, ratio, at_least=bound))
    return targets, ratios


def _name(sample_rate: int, measured: str) -> str:
    return f"{sample_rate} Hz: {measured}"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = new_parser(__doc__, name="pipeline", repeats=5, quick="short passes, 2 rounds")
    parser.add_argument("--source", type=pathlib.Path, help=SOURCE)
    clips = f"of a pass at least; default {CLIPS}"
    parser.add_argument("--clips", type=int, default=CLIPS, help=clips)
    return parsed(parser, arguments, {"clips": 1, "repeats": 2}, ["clips"])


if __name__ == "__main__":
    sys.exit(main())
