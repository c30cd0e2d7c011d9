"""Writing files so that a kill at any moment leaves the old file or the new, never half of one."""

import contextlib
import csv
import fcntl
import json
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    r"""Give a temporary path beside `path`; when the block ends well, it takes the place of `path`.

    The temporary keeps the suffix of `path`, because Keras and NumPy choose a format by it. What
    is written may be a file or a folder. If the block raises, `path` is left as it was. What a
    killed process left, the next call for the same path puts right: a folder cannot be renamed
    over another, so between two renames the old one stands beside, and is brought back.

    Args:
        path: The file or folder to write. Its parent folder is made if needed.

    Example:
        >>> import tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> with replacing(folder / "labels.txt") as temporary:
        ...     _ = temporary.write_text("dog\n")
        >>> (folder / "labels.txt").read_text(), len(list(folder.iterdir()))
        ('dog\n', 1)
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    previous = path.with_name(f".{path.stem}.previous{path.suffix}")
    _restore(previous, path)
    remove(temporary)
    try:
        yield temporary
        if temporary.is_dir():
            if path.exists():
                os.replace(path, previous)
        else:
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        remove(temporary)
        _restore(previous, path)


def folder_name(dataset: str) -> str:
    """What a data set is called on disk: one of a family has a slash in its name, no folder has.

    Example:
        >>> folder_name("tau_urban_2019/1a"), folder_name("esc10")
        ('tau_urban_2019_1a', 'esc10')
    """
    return dataset.replace("/", "_")


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write `value` as indented JSON to `path`, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_csv(
    path: str | os.PathLike, columns: Iterable[str], rows: Iterable[Mapping[str, Any]]
) -> None:
    """Write a header and `rows` as CSV to `path`, whole or not at all.

    Raises:
        ValueError: If a row has a key that is no column.

    Example:
        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "clips.csv"
        >>> write_csv(path, ["clip", "label"], [{"clip": 1, "label": "dog"}])
        >>> path.read_text().split()
        ['clip,label', '1,dog']
    """
    with replacing(path) as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)


def read_json(path: str | os.PathLike) -> Any:
    """Read JSON from `path`.

    Raises:
        ValueError: If the file is missing or is not JSON; the message names it.
    """
    try:
        return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"Expected a JSON file. Received: path={path} ({error})") from error


def remove_partial(folder: str | os.PathLike) -> None:
    """Delete what killed processes were writing by `replacing` in `folder`, not below it.

    Only for who may write there alone.

    Example:
        >>> import tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> (folder / ".export.partial").mkdir()
        >>> remove_partial(folder)
        >>> list(folder.iterdir())
        []
    """
    for partial in list(pathlib.Path(folder).glob(".*.partial*")):
        remove(partial)


@contextlib.contextmanager
def locked(path: str | os.PathLike, what: str, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; the system lets go of it at a kill, too.

    Args:
        path: The lock file. Its parent folder is made if needed; the empty file stays.
        what: What one process at a time may do, for the message.
        shared: Whether others may hold it as well that share it, too.

    Raises:
        ValueError: If another process holds it, or the folder cannot be written to.

    Example:
        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "lock"
        >>> with locked(path, "train this run"), locked(path, "train this run"):
        ...     pass
        Traceback (most recent call last):
        ValueError: Expected to be the only process to train this run. Received: another holds ...
    """
    path = pathlib.Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path, "w")
    except OSError as error:
        raise ValueError(
            f"Expected a folder to write to, got {error.strerror}. Received: {path.parent}"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"Expected to be the only process to {what}. Received: another holds {path}"
            ) from error
        yield


def _restore(previous: pathlib.Path, path: pathlib.Path) -> None:
    """Bring `previous` back if nothing has taken its place; else it has served."""
    if previous.exists() and not path.exists():
        os.replace(previous, path)
    remove(previous)


def remove(path: str | os.PathLike) -> None:
    """Delete a file, a link, or a folder with all that is in it; none of them is fine as well."""
    path = pathlib.Path(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
