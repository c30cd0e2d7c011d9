"""Unpacking archives of strangers: nothing leaves the folder, nothing but files, no bombs.

What an archive declares is checked as a whole before the first byte is written, and while writing
no file gets longer than was declared. Only files and folders are made, with the permissions of any
new file, so that there is no link that a later name could lead through.
"""

import contextlib
import dataclasses
import errno
import functools
import gzip
import os
import pathlib
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO

from data_prep.clips import relative_file

_CHUNK = 1 << 20
# No system takes much longer ones, and a name is taken apart folder by folder.
_LONGEST_NAME = 1024
# Below it an archive may be of any ratio: a table of few different rows is far beyond 100.
_NO_BOMB = 1 << 20
# Of a zip entry: encrypted, strongly encrypted, with its names encrypted too.
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, struct.error),
    # Caught, not raised. Of zipfile: features it has not (NotImplementedError), empty names and
    # such as are no UTF-8. Of tarfile: headers about headers without end.
    *(NotImplementedError, IndexError, UnicodeDecodeError, RecursionError),
)


@dataclasses.dataclass(frozen=True)
class Limits:
    """What an archive may unpack to.

    Attributes:
        files: How many files and folders at most.
        bytes: How many bytes at most.
        ratio: How many times its own size at most, beyond a megabyte.
    """

    files: int = 200_000
    bytes: int = 1 << 40
    ratio: int = 100


def _nothing(count: int) -> None:
    """Take no notice of progress."""


@dataclasses.dataclass(frozen=True)
class _Entry:
    """A file or folder of an archive, as the archive declares it."""

    name: str
    is_folder: bool
    size: int
    open: Callable[[], IO[bytes]]


class Archive:
    """An open archive whose declarations were found harmless; made by `open_archive`.

    Attributes:
        path: Where it lies.
        files: How many files it declares.
        bytes: How many bytes they declare.
        sizes: The bytes of each file.
        folders: The folders that it has entries for.
    """

    def __init__(self, path: pathlib.Path, entries: dict[str, _Entry]):
        self.path = path
        self._entries = entries
        self.sizes = {name: each.size for name, each in entries.items() if not each.is_folder}
        self.folders = [name for name, each in entries.items() if each.is_folder]
        self.files = len(self.sizes)
        self.bytes = sum(self.sizes.values())

    def unpack(self, folder: pathlib.Path, progress: Callable[[int], None] = _nothing) -> None:
        """Write the files into a folder.

        Args:
            folder: The new folder. Where something goes wrong it is left with what was written.
            progress: Told of every number of bytes written.

        Raises:
            ValueError: If the archive is damaged, or a file is not as long as was declared.
            FileExistsError: If there is such a folder.
        """
        folder.mkdir(parents=True)
        for path, entry in self._entries.items():
            target = folder / path
            if entry.is_folder:
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with _said(self.path):
                _write(self.path, entry, target, progress)


@contextlib.contextmanager
def open_archive(
    path: str | os.PathLike,
    limits: Limits = Limits(),  # noqa: B008 - it cannot be changed
    inside: str = "",
    progress: Callable[[int], None] = _nothing,
) -> Iterator[Archive]:
    """Open a .zip, .tar or .tar.gz and check all that it declares; nothing is written.

    A .tar.gz is read through for that.

    Args:
        path: The archive.
        limits: What it may unpack to.
        inside: A folder of the archive whose content is unpacked in its place, where it has one.
        progress: Told of every number of bytes of the archive read, where it is read through.

    Raises:
        ValueError: If it is damaged or none of these; if a name is absolute, leads out of the
            folder or is there twice; if there is a link, a device or anything but files and
            folders; if a file is encrypted or compressed in an unusual way; if it is beyond a
            limit.

    Example:
        >>> import tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> with zipfile.ZipFile(folder / "a.zip", "w") as file:
        ...     file.writestr("sounds/dog.wav", b"woof")
        >>> with open_archive(folder / "a.zip", inside="sounds") as archive:
        ...     archive.unpack(folder / "new")
        >>> archive.files, archive.bytes, (folder / "new" / "dog.wav").read_bytes()
        (1, 4, b'woof')
    """
    path = pathlib.Path(path)
    with contextlib.ExitStack() as stack:
        with _said(path):
            if path.name.endswith(".zip"):
                file = stack.enter_context(zipfile.ZipFile(path))
                entries = _zip_entries(path, file)
            elif path.name.endswith((".tar", ".tar.gz", ".tgz")):
                raw = stack.enter_context(open(path, "rb"))
                entries = _tar_entries(path, stack, raw, progress)
            else:
                raise ValueError(f"Expected a .zip, .tar or .tar.gz. Received: path={path}")
            archive = Archive(path, _checked(path, entries, limits, inside))
        yield archive


def _zip_entries(path: pathlib.Path, file: zipfile.ZipFile) -> Iterator[_Entry]:
    infos = file.infolist()
    # Entries that share their bytes unpack to more than any ratio of one of them allows.
    if sum(info.compress_size for info in infos) > path.stat().st_size:
        raise ValueError(f"Expected entries that do not overlap. Received: path={path}")
    for info in infos:
        # The name up to a zero byte is another one: what is checked is all of it.
        name = info.orig_filename
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG):
            raise _unwelcome(path, name, "a link or a device")
        if info.flag_bits & _ENCRYPTED:
            raise _unwelcome(path, name, "an encrypted file")
        # Python inflates the other kinds without a bound on what comes out of one block.
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _unwelcome(path, name, f"compression of type {info.compress_type}")
        yield _Entry(name, info.is_dir(), info.file_size, functools.partial(file.open, info))


def _tar_entries(
    path: pathlib.Path,
    stack: contextlib.ExitStack,
    raw: IO[bytes],
    progress: Callable[[int], None],
) -> Iterator[_Entry]:
    whole = raw
    if not path.name.endswith(".tar"):
        whole = stack.enter_context(gzip.GzipFile(fileobj=raw))
    file = stack.enter_context(tarfile.TarFile(fileobj=_Sips(whole)))
    place = 0
    for member in file:
        if member.issparse() or not (member.isreg() or member.isdir()):
            raise _unwelcome(path, member.name, "a link, a device or a sparse file")
        # tarfile would go back by it, to read the same headers for ever.
        if member.size < 0:
            raise _unwelcome(path, member.name, f"{member.size} bytes")
        yield _Entry(
            member.name,
            member.isdir(),
            member.size if member.isreg() else 0,
            functools.partial(file.extractfile, member),
        )
        progress(raw.tell() - place)
        place = raw.tell()
    # tarfile takes a header that is none for the end.
    whole.seek(file.offset)
    if whole.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise ValueError(
            f"Expected an archive that is whole, got a damaged header. Received: path={path}"
        )


class _Sips:
    """A file of which tarfile cannot read much at once: it takes a header's length on trust."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _CHUNK:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


def _checked(
    path: pathlib.Path, entries: Iterable[_Entry], limits: Limits, inside: str
) -> dict[str, _Entry]:
    """The entries by their clean names, if all of them together are harmless."""
    most = min(limits.bytes, max(limits.ratio * path.stat().st_size, _NO_BOMB))
    files, folders, total, checked = set(), set(), 0, {}
    for entry in entries:
        if len(entry.name) > _LONGEST_NAME:
            raise _unwelcome(path, entry.name, f"a name of {len(entry.name)} characters")
        # Tarballs of "." begin with it.
        if entry.is_folder and not pathlib.PurePosixPath(entry.name).parts:
            continue
        parts = relative_file(entry.name, f"the archive {path}", "name").split("/")
        if parts[0] == inside and (entry.is_folder or len(parts) > 1):
            parts = parts[1:]
        name = "/".join(parts)
        above = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
        taken = name in files or not files.isdisjoint(above)
        if taken or (not entry.is_folder and name in folders):
            raise _unwelcome(path, entry.name, "a name that is there twice")
        folders.update(above)
        (folders if entry.is_folder else files).add(name)
        total += entry.size
        if len(files) + len(folders) > limits.files:
            raise ValueError(
                f"Expected an archive of {limits.files} files and folders at most, got more. "
                f"Received: path={path}"
            )
        if total > most:
            raise ValueError(
                f"Expected an archive that unpacks to {most} bytes at most, got one that declares "
                f"{total} bytes or more. Received: path={path}"
            )
        if name:
            checked[name] = entry
    return checked


def _write(
    path: pathlib.Path, entry: _Entry, target: pathlib.Path, progress: Callable[[int], None]
) -> None:
    written = 0
    with entry.open() as source, open(target, "xb") as file:
        # One byte more than is declared is asked for, to see that it is not there.
        while chunk := source.read(min(_CHUNK, entry.size - written + 1)):
            written += len(chunk)
            if written > entry.size:
                break
            file.write(chunk)
            progress(len(chunk))
    if written != entry.size:
        raise ValueError(
            f"Expected {entry.size} bytes of {entry.name!r}, as declared, got "
            f"{'more' if written > entry.size else written}. Received: path={path}"
        )


def _unwelcome(path: pathlib.Path, name: str, what: str) -> ValueError:
    shown = name if len(name) < 200 else f"{name[:200]}..."
    return ValueError(
        f"Expected an archive of files and folders with harmless names, got {what}: {shown!r}. "
        f"Received: path={path}"
    )


@contextlib.contextmanager
def _said(path: pathlib.Path) -> Iterator[None]:
    """Say in a sentence that an archive is damaged."""
    try:
        yield
    except (*_BROKEN, OSError) as error:
        # Both seek to where the archive says, be it before its begin. What else there is of the
        # system's errors, such as a full disk, speaks for itself.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise ValueError(
            f"Expected an archive that is whole, got {error or type(error).__name__}. "
            f"Received: path={path}"
        ) from error
