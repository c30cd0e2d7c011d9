"""What AudioSet takes to prepare, keep, read and train on, computed from rates measured here.

    python benchmarks/audioset.py
    python benchmarks/audioset.py --network erann_1_6 --devices 8 --device-rate 900 --device-hour 3

Ten-second clips of noise stand in for AudioSet's: 16-bit WAV at 32 kHz, as PANNs' copy has them.
"""

import argparse
import dataclasses
import os
import pathlib
import tempfile

import numpy as np
import soundfile
from timing import TrainingStep, in_turn, rate, repeated, write_results

import data_prep
from data_prep import audioset
from keras_audio.data import TrainingBatches, open_records
from keras_audio.models import cut_model
from keras_audio.recipes import Recipe
from keras_audio.recipes.erann import ERANN

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
SECONDS, FILE_RATE = 10, 32000
SPLITS = dict(zip(("evaluated on", "trained on"), (20_371, 22_160 + 2_041_789), strict=True))


def main() -> None:
    """Measure, compute, write."""
    options = parsed()
    # Before TensorFlow begins to compute: what a core does is what can be multiplied.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    s_m, width = map(int, options.network.split("_")[1:])
    settings = {"s_m": s_m, "width": width, "fold": 1, "batch_size": options.batch_size}
    recipe = dataclasses.replace(ERANN.for_dataset("audioset"), **settings)
    # Single-label records of 64 clips would not do for 527 classes: one label is as costly as five.
    recipe = dataclasses.replace(recipe, dataset="audioset_like", task="classification")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        rates = {"preparing, one core": lambda: prepared(folder, options.clips)}
        prepared(folder, options.clips)
        records = open_records("audioset_like", data_dir=folder, **recipe.records_form)
        files = [path for path in records.path.iterdir() if "tfrecord" in path.name]
        bytes_a_clip = sum(path.stat().st_size for path in files) / len(
            records.clips(records.folds)
        )
        full = recipe.build_model(len(audioset.LABELS))
        rates["reading, one core"] = reading(records, recipe, full)
        step = TrainingStep(recipe, records)
        rates[f"training {options.network}, one core"] = repeated(step, step())
        measured = in_turn(
            {name: lambda measure=measure: rate(measure) for name, measure in rates.items()},
            options.repeats,
        )
    medians = [float(np.median(values)) for values in measured.values()]
    paragraphs = computed(options, recipe, bytes_a_clip, *medians)
    write_results(
        REPOSITORY / "results" / "benchmarks" / "audioset",
        "AudioSet in numbers",
        f"{sum(SPLITS.values()):,} clips of ten seconds, of which a copy of today has fewer. "
        "Measured are clips/s of noise on a core of this machine; all else is computed from them.",
        {"clips/s": measured},
        paragraphs,
    )


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--network", default="erann_1_6", help="an ERANN (default erann_1_6)")
    parser.add_argument("--batch-size", type=int, default=4, help="of the step that is measured")
    parser.add_argument("--clips", type=int, default=64, help="to prepare (default 64)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--cores", type=int, default=64, help="that prepare (default 64)")
    parser.add_argument("--core-hour", type=float, default=0.05, help="price (default 0.05)")
    parser.add_argument("--terabyte-month", type=float, default=25, help="price (default 25)")
    parser.add_argument("--devices", type=int, default=8, help="that train (default 8)")
    parser.add_argument("--device-hour", type=float, default=3, help="price (default 3)")
    parser.add_argument(
        "--device-rate", type=float, help="clips/s that a device trains on; none was measured here"
    )
    return parser.parse_args()


def prepared(folder: pathlib.Path, clips: int) -> int:
    """Decode, resample and write clips, on one core."""
    sounds = folder / "sounds"
    if not sounds.is_dir():
        noise = np.random.default_rng(0)
        for number in range(clips):
            label = sounds / ("dog", "cat")[number % 2]
            label.mkdir(parents=True, exist_ok=True)
            samples = noise.uniform(-0.5, 0.5, SECONDS * FILE_RATE)
            soundfile.write(label / f"{number}.wav", samples, FILE_RATE, "PCM_16")
    data_prep.prepare(
        "audio_folder",
        source=sounds,
        sample_rate=ERANN().sample_rate,
        data_dir=folder,
        dataset_name="audioset_like",
        force=True,
        jobs=1,
        progress=False,
    )
    return clips


def reading(records, recipe: Recipe, full):
    """A measurement of a pass through streamed clips, cut and normalised as for training."""
    clip_steps, *_ = cut_model(full, recipe.clip_boundary)
    arguments = recipe.training_data | {"balanced": False, "memory": 0}
    # One long pass: of many short ones the beginnings, for which graphs are built, would take most.
    folds = records.folds * 20
    batches = TrainingBatches(records, folds, clip_steps, batch_size=8, seed=0, **arguments)
    count = batches.steps_per_pass

    def read() -> int:
        return sum(len(targets) for _, targets in batches.steps(0, count))

    return repeated(read, read())


def computed(
    options: argparse.Namespace,
    recipe: Recipe,
    bytes_a_clip: float,
    prepare: float,
    read: float,
    train: float,
) -> list[str]:
    """What follows for the whole of AudioSet, in sentences."""
    clips, steps = sum(SPLITS.values()), ERANN.for_dataset("audioset").iterations
    seen = steps * 32
    core_hours = clips / prepare / 3600
    terabytes = clips * bytes_a_clip / 1e12
    rounds = steps // recipe.evaluation_interval
    lines = [
        f"**Sound**: {clips * SECONDS / 3600:,.0f} hours; at {FILE_RATE} Hz and 16 bits "
        f"{clips * SECONDS * FILE_RATE * 2 / 1e12:.2f} TB.",
        f"**Preparing** for ERANN ({recipe.sample_rate} Hz, mono): {core_hours:,.0f} core-hours, "
        f"{core_hours / options.cores:.2g} hours on {options.cores} cores; at "
        f"{options.core_hour:g} a core-hour {core_hours * options.core_hour:,.2g}.",
        f"**Records**: {bytes_a_clip / 1e6:.2f} MB a clip, {terabytes:.2f} TB; at "
        f"{options.terabyte_month:g} a terabyte-month {terabytes * options.terabyte_month:,.0f} a "
        "month.",
        f"**A training** of section 4: {steps:,} steps of 32 clips are {seen / 1e6:.1f} million "
        f"clips, {seen / SPLITS['trained on']:.1f} passes, measured {rounds} times on "
        f"{SPLITS['evaluated on']:,} clips.",
        f"**Reading** for it takes {seen / read / 3600:,.0f} core-hours and "
        f"{seen * bytes_a_clip / 1e12:.1f} TB from disk. For a device that trains on "
        f"1,000 clips/s it takes {1000 / read:.1f} cores and "
        f"{1000 * bytes_a_clip / 1e6:,.0f} MB/s.",
        f"**Training {options.network}** would take a core of this machine "
        f"{seen / train / 3600 / 24 / 365:.2g} years. No GPU was at hand.",
    ]
    if options.device_rate:
        hours = seen / options.device_rate / options.devices / 3600
        lines.append(
            f"At the {options.device_rate:g} clips/s a device that were given, {options.devices} "
            f"devices take {hours:.0f} hours if none waits; at {options.device_hour:g} a "
            f"device-hour {hours * options.devices * options.device_hour:,.0f}."
        )
    else:
        lines.append(
            "For devices of R clips/s each, a training is "
            f"{seen / 3600:,.0f} / R device-hours: {seen / 3600 / 100:,.0f} at 100 clips/s, "
            f"{seen / 3600 / 1000:,.1f} at 1,000; at {options.device_hour:g} a device-hour "
            f"{seen / 3600 / 100 * options.device_hour:,.0f} and "
            f"{seen / 3600 / 1000 * options.device_hour:,.0f}. `--device-rate R` computes it."
        )
    lines.append("Prices are examples in whatever currency; yours are options.")
    return lines


if __name__ == "__main__":
    main()
