"""`keras-audio fetch`: a data set's files from where they were published, checked and unpacked."""

import argparse
import pathlib
import shlex
from typing import TYPE_CHECKING

from keras_audio.tables import text_table

if TYPE_CHECKING:
    from data_prep.downloads import Download
    from data_prep.fetched import Found

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
        "--dry-run",
        action="store_true",
        help="print urls, bytes and what is there already; no download, no file",
    )


def fetch(options: argparse.Namespace) -> int:
    """Fetch the data set that the options ask for; 2 if it has to be got by hand."""
    from data_prep import downloads, fetched, fetching
    from data_prep.registry import find_dataset

    name = options.name
    card = find_dataset(name).card
    steps = downloads.manual_steps(name)
    if steps and not downloads.for_dataset(name):
        print(
            f"{steps}\n`fetch` downloads nothing of {name}: the lines above say all there is to do"
        )
        return 2
    files = fetching.plan(name, options.parts)
    print(f"licence: {card.licence}", flush=True)
    if options.dry_run:
        folder = pathlib.Path(options.to, files[0].folder)
        print(_listed(fetched.look(folder, files), folder))
        return 0
    result = fetching.fetch(
        name, options.to, parts=options.parts, keep_archives=options.keep_archives
    )
    print(f"{result.path} is there already" if result.reused else f"fetched: {result.path}")
    if steps:
        print(steps.replace(f"DIR/{files[0].folder}", str(result.path)))
    elif options.parts is None:
        command = ["keras-audio", "prepare", name, "--source", str(result.path)]
        print(f"next: {shlex.join(command)}")
    return 0


def _listed(found: list["Found"], folder: pathlib.Path) -> str:
    """What there is and what would be downloaded: a line a file, and the sums."""
    files = [each.download for each in found]
    table = text_table(
        ("part", "bytes", "there", "checksum", "url"),
        [
            (
                file.part,
                _about(file.about, [file]),
                _there(each),
                f"{file.algorithm} {file.digest}",
                file.url,
            )
            for file, each in zip(files, found, strict=True)
        ],
        right=(1,),
    )
    table += f"\nin all {_about(sum(file.about for file in files), files)} bytes; "
    rest = [each for each in found if not each.done]
    if not rest:
        return f"{table}{folder} is there already"
    left = _about(sum(each.left for each in rest), [each.download for each in rest])
    unpacked = sum(each.download.unpacked for each in rest)
    return (
        f"{table}left to download: {left}, unpacked about {unpacked} into {folder}; "
        "both must fit on the disk"
    )


def _there(found: "Found") -> str:
    """How much there is of a file, in a word or two."""
    if found.gone:
        return f"{len(found.gone)} file(s) missing"
    if found.done:
        return "yes"
    if found.bytes == 0:
        return "no"
    return "downloaded" if found.left == 0 else f"{found.bytes} bytes"


def _about(count: int, files: list["Download"]) -> str:
    """A number of bytes, which is a guess where nobody has published that of a file."""
    return f"{count}" if all(file.bytes for file in files) else f"about {count}"
