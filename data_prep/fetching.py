"""`fetch`: the files of a data set, checked and unpacked, in a folder that `prepare` takes."""

import contextlib
import dataclasses
import functools
import os
import pathlib
import shutil
import sys
import urllib.parse
from collections.abc import Callable, Collection, Iterable, Sequence

import requests
from tqdm import tqdm

from data_prep import downloads, transfer
from data_prep.downloads import Download
from data_prep.fetched import (
    RECORD,
    Found,
    Unpacked,
    archive_path,
    check_way,
    digest_of,
    look,
    read_record,
    record_of,
)
from data_prep.registry import find_dataset
from data_prep.transfer import Patience
from data_prep.unpacking import Archive, Limits, open_archive
from keras_audio.files import locked, remove, write_json

# Times what a data set takes unpacked as far as is known: some of that is an estimate.
_UNPACKED_AT_MOST = 4


@dataclasses.dataclass(frozen=True)
class FetchResult:
    """What `fetch` did.

    Attributes:
        path: The folder of the data set, the source for `prepare`.
        parts: The parts that were fetched now; none if all of them were there already.
    """

    path: pathlib.Path
    parts: tuple[str, ...]

    @property
    def reused(self) -> bool:
        """Whether everything was there already."""
        return not self.parts


def fetch(
    name: str,
    to: str | os.PathLike,
    *,
    parts: Sequence[str] | None = None,
    keep_archives: bool = False,
    base_url: str | None = None,
    patience: Patience = Patience(),  # noqa: B008 - it cannot be changed
    progress: bool = True,
) -> FetchResult:
    """Download a data set, check it and unpack it: `<to>/<folder>`, with the folder of its table.

    All files are downloaded into `<to>/<folder>.archives` and compared with their checksums before
    the first one is unpacked. A call that is stopped leaves them there, and the next one goes on
    from the byte that it had reached; files that were put there by other means are taken as well.
    The folder appears when all that was asked for is unpacked; parts that are asked for later are
    added to it, and a part of which files are gone is fetched anew.

    Args:
        name: The data set, as `prepare` calls it.
        to: The folder that its folder lies in. It is made if needed.
        parts: Which of its parts, as in `plan`; `None` for all.
        keep_archives: Whether to leave the archives where they are when they are unpacked.
        base_url: A server to get everything from in place of those of the table, of the same
            paths: https, or http on this machine.
        patience: How long a server is given.
        progress: Whether to show progress bars and remarks on stderr, where that is a terminal.

    Returns:
        Where it lies.

    Raises:
        ValueError: If there is nothing that could be fetched of it, if there is not enough space,
            if a server has not what the table says or cannot be reached, if an archive is
            malicious, if something else lies where a file or folder goes, or if another process
            fetches the same.
        OSError: If something cannot be written.
    """
    wanted = plan(name, parts)
    to = pathlib.Path(to)
    folder = to / wanted[0].folder
    with locked(to / f".{folder.name}.lock", f"fetch {name} to {to}"):
        remove(_staging(folder))
        found = look(folder, wanted)
        _say_what_is_gone(found, folder, _saying(progress))
        missing = [each.download for each in found if not each.done]
        if not missing:
            return FetchResult(folder, ())
        _check_space(missing, folder)
        with transfer.open_session(base_url) as session:
            _get_all(session, missing, folder, base_url, patience, progress)
        _unpack_all(missing, folder, progress)
        _remove_archives(missing, folder, keep_archives)
    return FetchResult(folder, tuple(download.part for download in missing))


def plan(name: str, parts: Sequence[str] | None = None) -> tuple[Download, ...]:
    """What `fetch` would get.

    Args:
        name: The data set, as `prepare` calls it.
        parts: Which of its parts; `audio` means `audio.1`, `audio.2` and so on.

    Raises:
        ValueError: If there is no such data set, nothing that could be fetched of it, no such
            part, or no part in `parts`.

    Example:
        >>> [download.part for download in plan("tau_urban_2019/1b", ["meta", "audio"])][:3]
        ['meta', 'audio.1', 'audio.2']
    """
    every = downloads.for_dataset(name)
    if not every:
        find_dataset(name)  # one that there is not is another matter
        raise ValueError(
            "Expected a data set with files that may be downloaded and have lasting checksums "
            f"({', '.join(downloads.names())}). Received: name={name!r}"
        )
    known = ", ".join(each.part for each in every)
    if parts is not None and not parts:
        raise ValueError(f"Expected parts of {name} ({known}), or None for all. Received: parts=[]")
    chosen = {
        part: [each for each in every if each.part == part or each.part.startswith(f"{part}.")]
        for part in (parts if parts is not None else [each.part for each in every])
    }
    for part, found in chosen.items():
        if not found:
            raise ValueError(f"Expected parts of {name} ({known}). Received: part={part!r}")
    return tuple(each for each in every if any(each in found for found in chosen.values()))


def _say_what_is_gone(
    found: Iterable[Found], folder: pathlib.Path, said: Callable[[str], None]
) -> None:
    for each in found:
        if each.gone:
            said(
                f"{folder} lacks {len(each.gone)} file(s) of {each.download.part}, such as "
                f"{each.gone[0]}: fetched anew"
            )


def _check_space(missing: Collection[Download], folder: pathlib.Path) -> None:
    """Refuse before the first byte is asked for what the disk cannot hold."""
    needed = 0
    for download in missing:
        path = archive_path(download, folder)
        there = [each for each in (path, transfer.partial_path(path)) if each.exists()]
        needed += max(0, download.about - sum(each.stat().st_size for each in there))
        needed += download.unpacked
    _check_free(needed, folder, "for the archives and what they unpack to")


def _check_free(needed: int, folder: pathlib.Path, what: str) -> None:
    free = shutil.disk_usage(folder.parent).free
    if free < needed:
        raise ValueError(
            f"Expected about {needed / 1e9:.1f} GB of free space {what}, got {free / 1e9:.1f} GB. "
            f"Received: to={folder.parent}"
        )


def _get_all(
    session: requests.Session,
    missing: Sequence[Download],
    folder: pathlib.Path,
    base_url: str | None,
    patience: Patience,
    progress: bool,
) -> None:
    """Download what is not there yet, file by file, and compare all of it with the checksums."""
    archive_path(missing[0], folder).parent.mkdir(exist_ok=True)
    paths = {download: archive_path(download, folder) for download in missing}
    _check_those_there(paths, progress)
    rest = {download: path for download, path in paths.items() if not path.exists()}
    partials = map(transfer.partial_path, rest.values())
    begun = sum(partial.stat().st_size for partial in partials if partial.exists())
    total = max(begun, sum(download.about for download in rest))
    with _bar("download", total, progress, initial=begun) as bar:
        for download, path in rest.items():
            bar.set_postfix_str(download.part)
            get = functools.partial(_get, session, download, path, base_url, patience, bar)
            # Once more where the beginning, or a piece, is of a version that no server has now.
            if not get(_saying(progress), last=False):
                get(_saying(progress), last=True)


def _check_those_there(paths: dict[Download, pathlib.Path], progress: bool) -> None:
    """Compare files of an earlier call, or such as were put there, and delete what is wrong."""
    there = {download: path for download, path in paths.items() if path.exists()}
    with _bar("check", sum(path.stat().st_size for path in there.values()), progress) as bar:
        for download, path in there.items():
            if digest_of(path, download.algorithm, bar.update) != download.digest:
                _saying(progress)(f"{path} is not as it was published: downloaded anew")
                transfer.discard(path)


def _get(
    session: requests.Session,
    download: Download,
    path: pathlib.Path,
    base_url: str | None,
    patience: Patience,
    bar: tqdm,
    said: Callable[[str], None],
    last: bool,
) -> bool:
    """Download a file; gives whether it is the one.

    Raises:
        ValueError: If it is another one, and was so in one piece or is asked for the last time.
    """
    pieced = transfer.download(
        session,
        download.url if base_url is None else _at(base_url, download.url),
        path,
        size=download.bytes,
        # Where nobody has published how much it is, it is about that.
        most=2 * download.about if download.bytes is None else download.bytes,
        patience=patience,
        moved=bar.update,
        said=said,
    )
    size, received = path.stat().st_size, digest_of(path, download.algorithm)
    if received == download.digest:
        bar.total += size - download.about
        bar.refresh()
        return True
    transfer.discard(path)
    bar.update(-size)
    if last or not pieced:
        raise ValueError(
            f"Expected a file of {download.algorithm} {download.digest}, got one of {received}, "
            f"which was deleted. Received: url={download.url}"
        )
    said(f"{path.name} is not as it was published, in one of its pieces: downloaded anew")
    return False


def _at(base_url: str, url: str) -> str:
    return base_url.rstrip("/") + urllib.parse.urlsplit(url).path


def _unpack_all(missing: Sequence[Download], folder: pathlib.Path, progress: bool) -> None:
    """Unpack everything into a folder beside, which then becomes the folder, or goes into it."""
    staging = _staging(folder)
    whole, piece = staging / "whole", staging / "piece"
    whole.mkdir(parents=True)
    try:
        with contextlib.ExitStack() as stack:
            archives = _open_all(missing, folder, stack, progress)
            for archive in archives.values():
                check_way(folder, archive.sizes, archive.folders)
            total = sum(archive.bytes for archive in archives.values())
            _check_free(total, folder, "to unpack the archives")
            with _bar("unpack", total, progress) as bar:
                for archive in archives.values():
                    bar.set_postfix_str(archive.path.name)
                    archive.unpack(piece, bar.update)
                    _merge(piece, whole)
        unpacked = {
            download.part: Unpacked(download.digest, _recorded(archive))
            for download, archive in archives.items()
        }
        for download in missing:
            if not download.is_archive:
                shutil.copyfile(archive_path(download, folder), whole / download.name)
        # A new folder appears with its record; to another one it is added when all else is there.
        remove(whole / RECORD)
        if unpacked and not folder.exists():
            write_json(whole / RECORD, record_of({}, unpacked))
        _merge(whole, folder)
        if unpacked:
            write_json(folder / RECORD, record_of(read_record(folder) or {}, unpacked))
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _recorded(archive: Archive) -> dict[str, int]:
    """Its files without those that go in place of our record, or whose names no JSON can hold."""
    return {
        name: size
        for name, size in archive.sizes.items()
        if name.partition("/")[0] != RECORD and name == name.encode(errors="replace").decode()
    }


def _open_all(
    missing: Sequence[Download],
    folder: pathlib.Path,
    stack: contextlib.ExitStack,
    progress: bool,
) -> dict[Download, Archive]:
    """Open all archives, so that the last one is found harmless before the first is unpacked."""
    archives = {}
    for download in missing:
        if not download.is_archive:
            continue
        path = archive_path(download, folder)
        # Of zip files the table at their end is enough.
        total = 0 if path.name.endswith(".zip") else path.stat().st_size
        with _bar(f"look into {path.name}", total, progress) as bar:
            limits = Limits(bytes=_UNPACKED_AT_MOST * download.unpacked)
            opened = open_archive(path, limits, inside=folder.name, progress=bar.update)
            archives[download] = stack.enter_context(opened)
    return archives


def _merge(source: pathlib.Path, target: pathlib.Path) -> None:
    """Move a folder, or what is in it where there is such a folder already."""
    if source.is_dir() and target.is_dir():
        for child in list(source.iterdir()):
            _merge(child, target / child.name)
        source.rmdir()
    else:
        os.replace(source, target)


def _remove_archives(missing: Sequence[Download], folder: pathlib.Path, keep: bool) -> None:
    for download in missing:
        if not (keep and download.is_archive):
            transfer.discard(archive_path(download, folder))
    with contextlib.suppress(OSError):  # others lie there
        archive_path(missing[0], folder).parent.rmdir()


def _staging(folder: pathlib.Path) -> pathlib.Path:
    return folder.with_name(f".{folder.name}.partial")


def _bar(what: str, total: int, progress: bool, initial: int = 0) -> tqdm:
    return tqdm(
        total=total,
        initial=initial,
        desc=what,
        unit="B",
        unit_scale=True,
        disable=None if progress and total else True,
    )


def _saying(progress: bool) -> Callable[[str], None]:
    """What remarks are made with, so that they do not run through a bar."""
    return functools.partial(tqdm.write, file=sys.stderr) if progress else lambda remark: None
