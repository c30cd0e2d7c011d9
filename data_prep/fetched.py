"""What there is of a data set's files already, and what lies in the way of the rest."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Collection, Iterable, Mapping

from data_prep import transfer
from data_prep.downloads import Download
from keras_audio.files import read_json

# What has been unpacked into the folder that it lies in.
RECORD = ".fetched.json"
_CHUNK = 1 << 20


@dataclasses.dataclass(frozen=True)
class Unpacked:
    """What the record of a folder has of one part.

    Attributes:
        digest: The checksum of the archive.
        files: The bytes of each file that came of it, unless a later archive brought it again.
    """

    digest: str
    files: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Found:
    """How much there is of one file of a data set.

    Attributes:
        download: The file.
        done: Whether it lies in the folder, with all that it unpacks to.
        bytes: How many bytes of it are downloaded and lie beside the folder.
        gone: Those that it was unpacked to and that lie there no more.
    """

    download: Download
    done: bool = False
    bytes: int = 0
    gone: tuple[str, ...] = ()

    @property
    def left(self) -> int:
        """About how many bytes are left to download."""
        return 0 if self.done else max(0, self.download.about - self.bytes)


def archive_path(download: Download, folder: pathlib.Path) -> pathlib.Path:
    """Where a file is downloaded to, beside the folder of its data set."""
    return folder.with_name(f"{folder.name}.archives") / download.name


def look(folder: pathlib.Path, wanted: Collection[Download]) -> list[Found]:
    """What there is of each file; nothing is touched.

    Args:
        folder: That of the data set.
        wanted: Files of that data set.

    Raises:
        ValueError: If anything is in the way: a folder that is none of ours, a file where a folder
            goes or the other way round, a file that was changed. Nothing of it is overwritten.
    """
    record = {}
    if os.path.lexists(folder):
        record = read_record(folder)
        strange = record is None and any(download.is_archive for download in wanted)
        if strange or not folder.is_dir():
            raise ValueError(
                "Expected a new folder, or one that fetch has made: move this one away first. "
                f"Received: path={folder}"
            )
    found = [_look(download, folder, record or {}) for download in wanted]
    _check_beside(folder, [each.download for each in found if not each.done])
    return found


def _look(download: Download, folder: pathlib.Path, record: Mapping[str, Unpacked]) -> Found:
    bytes_there = _downloaded(download, folder)
    if not download.is_archive:
        there = folder / download.name
        if not there.exists():
            return Found(download, bytes=bytes_there)
        if not there.is_file() or digest_of(there, download.algorithm) != download.digest:
            raise ValueError(
                f"Expected {download.name} as it was published, got another one: move it "
                f"away first. Received: path={there}"
            )
        return Found(download, done=True)
    unpacked = record.get(download.part)
    if unpacked is None or unpacked.digest != download.digest:
        return Found(download, bytes=bytes_there)
    check_way(folder, unpacked.files)
    gone = tuple(name for name, size in unpacked.files.items() if _is_gone(folder / name, size))
    return Found(download, done=not gone, bytes=bytes_there, gone=gone)


def _is_gone(path: pathlib.Path, size: int) -> bool:
    try:
        there = path.stat().st_size
    except FileNotFoundError:
        return True
    if there != size:
        raise ValueError(
            f"Expected {size} bytes, as they were unpacked, got {there}: move this file away, and "
            f"the same command fetches it anew. Received: path={path}"
        )
    return False


def _check_beside(folder: pathlib.Path, missing: Collection[Download]) -> None:
    """Refuse what lies where the archives go."""
    for download in missing:
        beside = archive_path(download, folder).parent
        if os.path.lexists(beside) and not beside.is_dir():
            raise ValueError(
                "Expected a folder for the archives, got something else there: move it away first. "
                f"Received: path={beside}"
            )
        for path in transfer.all_paths(archive_path(download, folder)):
            if path.exists() and not path.is_file():
                raise ValueError(
                    "Expected a file that was downloaded, got something else there: move it away "
                    f"first. Received: path={path}"
                )


def check_way(folder: pathlib.Path, files: Iterable[str], folders: Iterable[str] = ()) -> None:
    """Refuse files where folders go, and folders where files go.

    Args:
        folder: What the names are relative to.
        files: The names of the files that go there.
        folders: The names of folders, in addition to those of the files.

    Raises:
        ValueError: If there is one; the message names it.

    Example:
        >>> import tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> (folder / "audio").touch()
        >>> check_way(folder, ["audio/1.wav"])
        Traceback (most recent call last):
        ValueError: Expected a folder, got something else there: move it away first. Received: ...
    """
    files, above = list(files), set()
    for name in (*files, *(f"{each}/" for each in folders)):
        while (name := name.rpartition("/")[0]) and name not in above:
            above.add(name)
    for name in sorted(above):
        path = folder / name
        if os.path.lexists(path) and not path.is_dir():
            raise ValueError(
                "Expected a folder, got something else there: move it away first. "
                f"Received: path={path}"
            )
    for name in files:
        if (folder / name).is_dir():
            raise ValueError(
                "Expected a file, got a folder there: move it away first. "
                f"Received: path={folder / name}"
            )


def _downloaded(download: Download, folder: pathlib.Path) -> int:
    """How many bytes of it lie beside the folder; a file of another length counts for nothing."""
    path = archive_path(download, folder)
    if path.exists():
        size = path.stat().st_size
        return size if download.bytes in (None, size) else 0
    partial = transfer.partial_path(path)
    return partial.stat().st_size if partial.exists() else 0


def read_record(folder: pathlib.Path) -> dict[str, Unpacked] | None:
    """What has been unpacked into a folder, by part; None where it is none of ours.

    Raises:
        ValueError: If the record is damaged.
    """
    path = folder / RECORD
    record = read_json(path) if os.path.lexists(path) else None
    if not isinstance(record, dict):
        return None
    try:
        return {
            part: Unpacked(
                entry["digest"], {name: int(size) for name, size in entry["files"].items()}
            )
            for part, entry in record.items()
        }
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ValueError(
            "Expected a record of what was fetched, got a damaged one: move its folder away first. "
            f"Received: path={path}"
        ) from error


def record_of(before: Mapping[str, Unpacked], new: Mapping[str, Unpacked]) -> dict[str, dict]:
    """The record of a folder, as JSON, after more was unpacked into it.

    A file belongs to the part that brought it last.

    Example:
        >>> first, second = Unpacked("a1", {"x": 1, "README": 2}), Unpacked("b2", {"README": 3})
        >>> record_of({"first": first}, {"second": second})["first"]
        {'digest': 'a1', 'files': {'x': 1}}
    """
    record = {part: dataclasses.asdict(each) for part, each in before.items()}
    for part, unpacked in new.items():
        for other in record.values():
            for name in unpacked.files.keys() & other["files"].keys():
                del other["files"][name]
        record[part] = dataclasses.asdict(unpacked)
    return record


def digest_of(
    path: pathlib.Path, algorithm: str, read: Callable[[int], object] = lambda count: None
) -> str:
    """The checksum of a file, in hexadecimal.

    Args:
        path: The file.
        algorithm: Of `hashlib`.
        read: Told of every number of bytes read.
    """
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            read(len(chunk))
    return digest.hexdigest()
