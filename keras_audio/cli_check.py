"""`keras-audio check`: leaks between the folds of a data set, and clips that cannot be used."""

import argparse
import json
import pathlib
import tempfile
from typing import TYPE_CHECKING

from keras_audio.audit_settings import AuditSettings
from keras_audio.cli_recipe import asked_recipe
from keras_audio.cli_types import add_data_dir, count
from keras_audio.recipes import list_recipes

if TYPE_CHECKING:
    from keras_audio.data import Records

EXAMPLES = """\
  keras-audio check esc10
  keras-audio check esc10 --csv esc10_clips.csv        # every clip with its levels
  keras-audio check esc10 --sample-rate 8000 --json
  keras-audio check urbansound8k --recipe residual_blocks   # which clips are too short for it?"""
DESCRIPTION = """\
Listen to all prepared clips of a data set: recordings in several folds, clips with the same
samples, near-duplicates (the same sound louder, shifted, cut anew, coded or resampled), silent,
too short, clipped and padded clips, and how many clips each class has in each fold.

Exit status: 0 nothing is wrong; 1 there are leaks between folds, pairs in two folds that could not
be compared, or clips that cannot be used (silent or too short); 2 wrong input."""

# How the thresholds are told, in the order of `AuditSettings`.
_THRESHOLDS = {
    "near": "least share of equal bits of two fingerprints to compare the waveforms (same sound: "
    "1, others: 0.5)",
    "near_seconds": "for how long two sounds are alike at least; shorter ones nearly whole",
    "confirm": "least correlation of the waveforms of near-duplicates, from 0 to 1",
    "silent_peak": "silent: no sample above this, in dB of full scale, without the mean",
    "silent_rms": "silent, too: root mean square no more than this, likewise",
    "full_scale": "clipped: samples from this share of full scale on",
    "clipped_run": "clipped: so many of them in a row at least",
    "clipped": "clipped: more than this share of a clip's samples",
    "padded": "padded: more than this share of a clip is zeros at its ends",
    "min_seconds": "too short: less than this",
}


def add_check(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    # What `asked_recipe` asks for and this verb has not.
    verb.set_defaults(rename=None, init_from=None, fold=None, seed=None)
    verb.add_argument("dataset", help="a data set that has been prepared")
    verb.add_argument(
        "--sample-rate", type=count, metavar="HZ", help="of the records (default: the highest)"
    )
    verb.add_argument("--channels", type=count, metavar="N", help="(default: the most)")
    verb.add_argument(
        "--recipe",
        metavar="NAME",
        help="too short: what this recipe cannot train on with such clips, one of "
        f"{', '.join(list_recipes())}",
    )
    verb.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="vary that recipe"
    )
    verb.add_argument(
        "--no-near", dest="search", action="store_false", help="do not search near-duplicates"
    )
    verb.add_argument("--jobs", type=count, metavar="N", help="threads (default: all cores)")
    verb.add_argument("--json", action="store_true", help="print JSON, with all that was found")
    verb.add_argument("--csv", metavar="FILE", help="also write a row for every clip")
    add_data_dir(verb)
    thresholds = verb.add_argument_group("thresholds")
    defaults = vars(AuditSettings())
    for name, what in _THRESHOLDS.items():
        usual = defaults[name]
        thresholds.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(usual),
            default=usual,
            metavar="N" if isinstance(usual, int) else "X",
            help=f"{what} (default {usual:g})",
        )


def check(options: argparse.Namespace) -> int:
    """Audit the records that the options ask for, and print what was found."""
    thresholds = {name: getattr(options, name) for name in _THRESHOLDS}
    if options.recipe is not None:
        recipe = asked_recipe(options)
        # A recipe that takes any clip takes none that is empty, which counts as too short anyway.
        least = recipe.min_samples if recipe.min_samples > 1 else 0
        thresholds["min_seconds"] = max(least / recipe.sample_rate, options.min_seconds)
    elif options.set:
        raise ValueError(f"Expected --recipe with --set. Received: --set {options.set[0]}")
    settings = AuditSettings(**thresholds)
    if options.csv is not None:
        _expect_writable(options.csv)
    records = find_records(options.dataset, options.data_dir, options.sample_rate, options.channels)

    from keras_audio.data.audit import audit
    from keras_audio.data.audit_report import CLIP_COLUMNS, audit_dict, audit_text, clip_rows
    from keras_audio.files import write_csv

    found = audit(records, settings, near=options.search, jobs=options.jobs)
    if options.csv is not None:
        write_csv(options.csv, CLIP_COLUMNS, clip_rows(found))
    if options.json:
        print(json.dumps(audit_dict(found), indent=2, allow_nan=False, ensure_ascii=False))
    else:
        print(audit_text(found))
    return found.status


def _expect_writable(path: str) -> None:
    """Find out before the audit, which takes long, whether its table can be written."""
    if pathlib.Path(path).is_dir():
        raise ValueError(f"Expected a file to write to, got a folder. Received: --csv {path}")
    try:
        folder = pathlib.Path(path).parent
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(
            f"Expected a file that can be written, got {error.strerror}. Received: --csv {path}"
        ) from error


def find_records(
    name: str, data_dir: str, sample_rate: int | None = None, channels: int | None = None
) -> "Records":
    """The prepared records of a data set of the highest rate, and of those with most channels.

    Args:
        name: The data set, as `keras-audio prepare` was told, or its name on disk.
        data_dir: The folder that `keras-audio prepare` wrote to.
        sample_rate: Only those of this rate in Hz.
        channels: Only those of so many channels.

    Raises:
        ValueError: If there are none.
    """
    from keras_audio.data import Records, open_records
    from keras_audio.files import folder_name

    root = pathlib.Path(data_dir) / folder_name(name)
    prepared = [
        Records(metadata.parent)
        for metadata in sorted(root.glob("*/*/metadata.json"))
        if (metadata.parent / "dataset_info.json").is_file()
    ]
    fitting = [
        records
        for records in prepared
        if sample_rate in (None, records.sample_rate) and channels in (None, records.channels)
    ]
    if fitting:
        return max(fitting, key=_preference)
    # It says what is there and how to prepare what is not.
    best = max(prepared, key=_preference, default=None)
    return open_records(
        name,
        sample_rate=sample_rate or (best.sample_rate if best else _card_rate(name)),
        channels=channels or (best.channels if best else 1),
        data_dir=data_dir,
    )


def _preference(records: "Records") -> tuple[int, int, bool, int]:
    soxr = records.resampling == "soxr"
    return records.sample_rate, records.channels, soxr, -records.pitch_variants


def _card_rate(name: str) -> int:
    """The rate that a data set is prepared at unless another is asked for."""
    import data_prep

    rates = {card.name: card.sample_rate for card in data_prep.cards()}
    return rates.get(name, 44100)
