"""Where the files of the data sets lie, and what they must be: the table `downloads.csv`."""

import csv
import dataclasses
import fnmatch
import functools
import importlib.resources
import pathlib
import urllib.parse


@dataclasses.dataclass(frozen=True)
class Download:
    """One file of a data set, on a server that gives the same bytes every time.

    Attributes:
        dataset: The data set, as `prepare` calls it.
        part: What the file is called among those of the data set, such as `audio.3`.
        url: Where it lies.
        bytes: How long it is; `None` where nobody has published that.
        about: About how many bytes it has, for planning; `bytes` where they are known.
        unpacked: About how many bytes it takes when it is unpacked: from the clips' number, length
            and format, or ten times the few kilobytes of an archive of texts.
        algorithm: Of the checksum: md5 or sha256.
        digest: The checksum, in hexadecimal.
        folder: The folder that the data set gets below the one that is asked for.
    """

    dataset: str
    part: str
    url: str
    bytes: int | None
    about: int
    unpacked: int
    algorithm: str
    digest: str
    folder: str

    @property
    def name(self) -> str:
        """What the file is called.

        Example:
            >>> for_dataset("ravdess")[0].name
            'Audio_Speech_Actors_01-24.zip'
        """
        return pathlib.PurePosixPath(urllib.parse.urlsplit(self.url).path).name

    @property
    def is_archive(self) -> bool:
        """Whether it is unpacked, not put there as it is."""
        return self.name.endswith((".zip", ".tar.gz"))


# Of data sets that no table can check: what to get where, and what to put where.
_ESC50 = """\
GitHub packs its archives anew whenever they are asked for, so that they have no lasting checksum.
Git checks what it gets:
  git clone --depth 1 https://github.com/karolpiczak/ESC-50 ESC-50-master
Or open https://github.com/karolpiczak/ESC-50, choose "Code" and "Download ZIP", and unpack it.
Either way there is a folder ESC-50-master with audio/*.wav (2000 files, 0.9 GB) and meta/esc50.csv
in it; then:
  keras-audio prepare {name} --source ESC-50-master"""
_ESC10 = """
The older repository of ESC-10 alone will do as well (400 Ogg files in ten folders):
  git clone --depth 1 https://github.com/karolpiczak/ESC-10 ESC-10-master
  keras-audio prepare esc10 --source ESC-10-master"""
_AUDIOSET = """\
The sounds of AudioSet belong to those who uploaded them to YouTube, and nobody may hand them out:
`keras-audio fetch audioset --to DIR` gets the tables alone. Put the clips that you have a right to
below the tables, in the form of the PANNs project (32 kHz, mono); those that are not there are
counted and left out. Either as files, Y and the id of the video:
  DIR/audioset/audios/eval_segments/Y<YTID>.wav
  DIR/audioset/audios/balanced_train_segments/Y<YTID>.wav
  DIR/audioset/audios/unbalanced_train_segments/unbalanced_train_segments_part00/Y<YTID>.wav
    (and so on, to part40)
or as HDF5 packs (audio_name, waveform, target):
  DIR/audioset/waveforms/eval.h5
  DIR/audioset/waveforms/balanced_train.h5
  DIR/audioset/waveforms/unbalanced_train/unbalanced_train_part00.h5 (and so on, to part40)
Then:
  keras-audio prepare audioset --source DIR/audioset"""
_OWN = """\
These are your own sounds: put them into a folder with a subfolder for each class, then:
  keras-audio prepare audio_folder --source my_sounds --name my_sounds"""
_TOY = """\
There is nothing to get, the sounds are made where they are wanted:
  keras-audio prepare {name}"""

_BY_HAND = {
    "esc50": _ESC50,
    "esc10": _ESC50 + _ESC10,
    "audioset": _AUDIOSET,
    "audio_folder": _OWN,
    "toy_*": _TOY,
}


def for_dataset(name: str) -> tuple[Download, ...]:
    """The files of a data set that `fetch` gets; none of one that has to be got by hand.

    Args:
        name: The data set, as `prepare` calls it.

    Example:
        >>> [(part.part, part.bytes) for part in for_dataset("tau_urban_2019/1a")][:3]
        [('doc', 11299), ('meta', 156863), ('audio.1', 1657550587)]
        >>> for_dataset("esc50")
        ()
    """
    return tuple(download for download in _table() if download.dataset == name)


def names() -> tuple[str, ...]:
    """The data sets that have such files.

    Example:
        >>> names()[:2]
        ('urbansound8k', 'ravdess')
    """
    return tuple(dict.fromkeys(download.dataset for download in _table()))


def manual_steps(name: str) -> str:
    """What is to be got by hand and put where, in a few lines; empty if `fetch` gets everything.

    Args:
        name: The data set, as `prepare` calls it.

    Example:
        >>> print(manual_steps("toy_sounds"))
        There is nothing to get, the sounds are made where they are wanted:
          keras-audio prepare toy_sounds
        >>> manual_steps("ravdess")
        ''
    """
    for pattern, steps in _BY_HAND.items():
        if fnmatch.fnmatchcase(name, pattern):
            return steps.format(name=name)
    return ""


@functools.cache
def _table() -> tuple[Download, ...]:
    text = importlib.resources.files("data_prep").joinpath("downloads.csv").read_text("utf-8")
    downloads = []
    for row in csv.DictReader(text.splitlines()):
        size = int(row["bytes"]) if row["bytes"] else None
        numbers = {
            "bytes": size,
            "about": int(row["about"]) if size is None else size,
            "unpacked": int(row["unpacked"]),
        }
        downloads.append(Download(**row | numbers))
    return tuple(downloads)
