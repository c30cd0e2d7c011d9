"""`keras-audio datasets` and `keras-audio prepare`: what there is, and its sounds into records."""

import argparse
import dataclasses
import json
import textwrap

from keras_audio.cli_types import add_data_dir

DATASETS_EXAMPLES = "  keras-audio datasets\n  keras-audio datasets --json"
PREPARE_EXAMPLES = """\
  keras-audio prepare toy_sounds
  keras-audio prepare esc10 --source ESC-50-master --sample-rate 8000
  keras-audio prepare urbansound8k --source UrbanSound8K --sample-rate 8000
  keras-audio prepare esc50 --source ESC-50-master  # at 44100 Hz
  keras-audio prepare toy_scenes/1a  # 10-s stereo scenes, generated
  keras-audio prepare audio_folder --source my_sounds --name mine --sample-rate 8000
  keras-audio prepare esc50 --source ESC-50-master --runner DirectRunner \\
      --beam-options direct_num_workers=4,direct_running_mode=multi_processing"""
PREPARE_DESCRIPTION = """\
Decode, mix down and resample every clip of a data set once, and write TFDS records, in shards of
256 clips at most. A call that was stopped, or refused for its bad files, leaves its finished
shards; the same call takes them over."""


def add_datasets(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb `datasets`."""
    verb.add_argument("--json", action="store_true", help="print JSON")


def add_prepare(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb `prepare`."""
    verb.add_argument("name", help="a data set of `keras-audio datasets`")
    verb.add_argument(
        "--source", metavar="DIR", help="where the data set lies (audio_folder: or a CSV)"
    )
    verb.add_argument(
        "--sample-rate", type=int, metavar="HZ", help="of the records (default: the data set's)"
    )
    verb.add_argument(
        "--channels", type=int, metavar="N", help="1 mono, 2 stereo (default: the data set's)"
    )
    verb.add_argument(
        "--pitch-variants",
        type=int,
        default=0,
        metavar="N",
        help="also keep N pitch-shifted copies of each clip, for recipes that draw from them",
    )
    verb.add_argument(
        "--resampling",
        choices=("soxr", "fourier"),
        help="how clips get their rate: with soxr's filter, or by the Fourier transform of the "
        "whole clip (default: the data set's)",
    )
    verb.add_argument("--name", dest="rename", metavar="NAME", help="name of an audio_folder set")
    verb.add_argument("--allow-missing", action="store_true", help="go on without bad files")
    verb.add_argument("--force", action="store_true", help="prepare again")
    verb.add_argument("--jobs", type=int, metavar="N", help="workers (default: all cores)")
    add_data_dir(verb)
    beam = verb.add_argument_group(
        "on several machines",
        "By Apache Beam, one element a shard; the same bytes. Its workers have to see --source and "
        "--data-dir\nunder the same paths. Bad files are left out and listed (exit status 1).",
    )
    beam.add_argument(
        "--runner",
        metavar="NAME",
        help="DirectRunner, FlinkRunner, SparkRunner, DataflowRunner or another of Beam's",
    )
    beam.add_argument(
        "--beam-options",
        metavar="OPTIONS",
        help="of Beam and the runner, such as flink_master=host:8081,parallelism=64 (or, where a "
        "value has commas, --beam-options='--name=value --name=value')",
    )


def datasets(options: argparse.Namespace) -> None:
    """List the data sets that `prepare` knows."""
    import data_prep

    cards = data_prep.cards()
    if options.json:
        print(json.dumps([dataclasses.asdict(card) for card in cards], indent=2))
        return
    for card in cards:
        folds = f"{card.folds} folds" if card.folds else "folds made for you"
        folds = "one official split" if card.folds == 1 else folds
        size = f"{card.clips} clips, {card.classes} classes" if card.clips else "any sounds"
        print(f"{card.name:21} {card.title}: {size}, {folds}")
        facts = {"licence": card.licence, "get it": card.url, "layout": card.layout}
        for name, fact in facts.items():
            if fact:
                print(
                    textwrap.fill(
                        fact,
                        100,
                        initial_indent=f"{'':22}{name}: ",
                        subsequent_indent=" " * 32,
                        break_long_words=False,
                    )
                )
        print()


def prepare(options: argparse.Namespace) -> int:
    """Decode a data set once into records."""
    import data_prep

    result = data_prep.prepare(
        options.name,
        source=options.source,
        sample_rate=options.sample_rate,
        channels=options.channels,
        data_dir=options.data_dir,
        dataset_name=options.rename,
        pitch_variants=options.pitch_variants,
        resampling=options.resampling,
        allow_missing=options.allow_missing,
        force=options.force,
        jobs=options.jobs,
        runner=options.runner,
        beam_options=options.beam_options,
    )
    if not result.reused:  # otherwise `prepare` has said so, as it names what is missing
        print(f"{result.clips} clips in {result.path}")
    return 1 if result.missing else 0
