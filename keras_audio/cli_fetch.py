"""`keras-audio fetch`: a data set's files from where they were published, checked and unpacked."""

import argparse
import pathlib
import shlex
from typing import TYPE_CHECKING

from keras_audio.tables import text_table

if TYPE_CHECKING:
    from data_prep.downloads import Download

EXAMPLES = """\
  keras-audio fetch ravdess --to sources
  keras-audio fetch urbansound8k --to sources --dry-run    # what would be downloaded
  keras-audio fetch tau_urban_2019/1a --to sources         # 36 GB; the same again goes on
  keras-audio fetch tau_urban_2019/1a --to sources --parts doc meta
  keras-audio fetch esc50 --to sources                     # says what to do by hand"""
DESCRIPTION = """\
Download the files of a data set, compare each with the checksum that was published for it, and
unpack them into a folder that `prepare` takes as --source. Stopped? The same command goes on from
the byte that it had reached. What is there already is not fetched again. Of data sets that may not
be downloaded like this, or have no lasting checksum, it says what to put where."""


def add_fetch(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    verb.add_argument("name", help="a data set of `keras-audio datasets`")
    verb.add_argument(
        "--to", required=True, metavar="DIR", help="where the folder of the data set goes"
    )
    verb.add_argument(
        "--parts",
        nargs="+",
        metavar="PART",
        help="some of its files alone, by the names that --dry-run shows (audio: all audio.N)",
    )
    verb.add_argument(
        "--keep-archives",
        action="store_true",
        help="leave the archives beside the folder when they are unpacked",
    )
    verb.add_argument(
        "--dry-run", action="store_true", help="print urls and bytes; no download, no file"
    )


def fetch(options: argparse.Namespace) -> None:
    """Fetch the data set that the options ask for."""
    import data_prep
    from data_prep import downloads, fetching

    name = options.name
    steps = downloads.manual_steps(name)
    if steps and not downloads.for_dataset(name):
        print(steps, flush=True)
    files = fetching.plan(name, options.parts)
    for card in data_prep.cards():
        if card.name == name:
            print(f"licence: {card.licence}", flush=True)
    if options.dry_run:
        print(_listed(files, options.to))
        return
    result = fetching.fetch(
        name, options.to, parts=options.parts, keep_archives=options.keep_archives
    )
    print(f"{result.path} is there already" if result.reused else f"fetched: {result.path}")
    if steps:
        print(steps.replace(f"DIR/{files[0].folder}", str(result.path)))
    elif options.parts is None:
        command = ["keras-audio", "prepare", name, "--source", str(result.path)]
        print(f"next: {shlex.join(command)}")


def _listed(files: tuple["Download", ...], to: str) -> str:
    """What would be downloaded: a line a file, and the sum."""
    table = text_table(
        ("part", "bytes", "checksum", "url"),
        [(file.part, _bytes(file), f"{file.algorithm} {file.digest}", file.url) for file in files],
        right=(1,),
    )
    about = "" if all(file.bytes for file in files) else "about "
    total = sum(file.about for file in files)
    unpacked = sum(file.unpacked for file in files)
    return (
        f"{table}\nin all {about}{total} bytes, unpacked about {unpacked} into "
        f"{pathlib.Path(to, files[0].folder)}; both must fit on the disk"
    )


def _bytes(file: "Download") -> str:
    return f"about {file.about}" if file.bytes is None else str(file.bytes)
