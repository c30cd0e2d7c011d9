"""Getting one file over HTTP: what is there stays there, and the rest is asked for again."""

import contextlib
import dataclasses
import ipaddress
import os
import pathlib
import re
import time
import urllib.parse
from collections.abc import Callable, Iterator

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter

import keras_audio
from keras_audio.files import read_json, write_json

_CHUNK = 1 << 18
# Answers of servers that are busy or being mended.
_LATER = (408, 425, 429, 500, 502, 503, 504)
# No server may send us to sleep for longer, in seconds.
_LONGEST_WAIT = 120
_NUMBER = r"[0-9]{1,18}"
_RANGE = re.compile(rf"bytes (?:({_NUMBER})-{_NUMBER}|\*)/({_NUMBER}|\*)", re.ASCII)
# Errors that the next attempt would meet as well.
_HOPELESS = (
    *(requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL),
    *(requests.exceptions.SSLError, requests.exceptions.TooManyRedirects),
)


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long a server is given.

    Attributes:
        attempts: How many attempts in a row may fail, with new bytes of the first at most.
        wait: Seconds after the first of them; after each further one it is twice as long, up to two
            minutes, unless the server says how long.
        timeout: Seconds without a byte after which a connection counts as lost.
    """

    attempts: int = 6
    wait: float = 2.0
    timeout: float = 60.0


class _Lost(Exception):
    """A connection that was lost, or a server that is busy: worth another attempt."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


@contextlib.contextmanager
def open_session(base_url: str | None = None) -> Iterator[requests.Session]:
    """Give a session that speaks https alone, after redirects too.

    Args:
        base_url: A server to get everything from, in place of those of the table; http is good
            enough for one on this machine.

    Raises:
        ValueError: If that is no such URL.
    """
    with requests.Session() as session:
        session.adapters.clear()
        session.mount("https://", HTTPAdapter())
        if base_url is not None:
            _check_base(base_url)
            session.mount(f"{base_url.rstrip('/')}/", HTTPAdapter())
        session.headers["User-Agent"] = f"keras-audio/{keras_audio.__version__}"
        # Bytes as they lie there: ranges and checksums are of those.
        session.headers["Accept-Encoding"] = "identity"
        yield session


def _check_base(base_url: str) -> None:
    parts = urllib.parse.urlsplit(base_url)
    try:
        local = parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        local = False
    if not parts.hostname or parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise ValueError(
            f"Expected a URL of https, or of http on this machine. Received: base_url={base_url!r}"
        )


def partial_path(path: pathlib.Path) -> pathlib.Path:
    """Where a file lies until it is whole."""
    return path.with_name(f"{path.name}.part")


def all_paths(path: pathlib.Path) -> tuple[pathlib.Path, ...]:
    """Where a file lies, what there is of it, and the notes on that."""
    return path, partial_path(path), _notes_path(path)


def discard(path: pathlib.Path) -> None:
    """Delete a file, and what there is of it."""
    for each in all_paths(path):
        each.unlink(missing_ok=True)


def download(
    session: requests.Session,
    url: str,
    path: pathlib.Path,
    *,
    size: int | None,
    most: int,
    patience: Patience,
    moved: Callable[[int], None],
    said: Callable[[str], None],
) -> bool:
    """Get a file, from where an earlier call was stopped; `path` appears when it is whole.

    What arrives lies in `partial_path(path)`, beside notes on which version of the file it is: the
    server is asked for the rest of that version alone, and sends another one whole.

    Args:
        session: Of `open_session`.
        url: Where it lies.
        path: Where it goes.
        size: How many bytes it has, where that is known.
        most: How many bytes it may have, where that is not known.
        patience: How long to try.
        moved: Told of every number of bytes that there are more; or fewer, below 0, where the
            server begins anew.
        said: Told why there is another attempt.

    Returns:
        Whether it may be of several answers: a server that does not tell versions of a file apart
        can have sent the end of another one.

    Raises:
        ValueError: If the server has no such file or one of another size, or if several attempts
            in a row fail.
        OSError: If it cannot be written.
    """
    failures, best = 0, _size(path)
    while True:
        pieced = _size(path) > 0
        try:
            _attempt(session, url, path, size, most, patience, moved)
            break
        except _HOPELESS as error:
            raise ValueError(
                f"Expected a file that is reached by https alone, got {_reason(error)}. "
                f"Received: url={url}"
            ) from error
        except (_Lost, requests.RequestException, urllib3.exceptions.HTTPError) as error:
            there = _size(path)
            failures = 1 if there > best else failures + 1
            best = max(best, there)
            if failures >= patience.attempts:
                raise ValueError(
                    f"Expected {'all' if size is None else size} bytes, got {there} and no more "
                    f"in {failures} attempts ({_reason(error)}); the same command goes on from "
                    f"there. Received: url={url}"
                ) from error
            wait = getattr(error, "wait", None) or patience.wait * 2 ** (failures - 1)
            wait = min(wait, _LONGEST_WAIT)
            said(f"{path.name}: {_reason(error)}; again in {wait:.0f} s")
            time.sleep(wait)
    partial = partial_path(path)
    with open(partial, "rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)
    _notes_path(path).unlink(missing_ok=True)
    return pieced


def _attempt(
    session: requests.Session,
    url: str,
    path: pathlib.Path,
    size: int | None,
    most: int,
    patience: Patience,
    moved: Callable[[int], None],
) -> None:
    """Ask once for what is missing, and take what comes."""
    partial, there = partial_path(path), _size(path)
    notes = _notes(path)
    if there and (there == size or there == notes.get("size")):
        return
    headers = {}
    if there:
        headers["Range"] = f"bytes={there}-"
        if notes.get("version"):
            headers["If-Range"] = notes["version"]
    with session.get(url, stream=True, timeout=patience.timeout, headers=headers) as response:
        start, total = _place(response, url)
        if response.status_code == 416 and there and total == there:
            return
        if start != there or (there and not _same(response, total, notes)):
            # Another version, a server that knows no ranges, or one that lost its way: nothing
            # goes with what there is.
            moved(-there)
            there = 0
            partial.unlink(missing_ok=True)
            if response.status_code != 200:
                raise _Lost(f"{response.status_code} {response.reason}: not what was asked for")
        goal = size if size is not None else total
        if total is not None and (total != goal or total > most):
            raise ValueError(
                f"Expected {f'{most} at most' if size is None else size} bytes, the server has "
                f"{total}. Received: url={url}"
            )
        if not there:
            partial.touch()
            write_json(_notes_path(path), {"version": _version(response), "size": total})
        limit = most if goal is None else goal
        with open(partial, "ab") as file:
            while chunk := response.raw.read1(_CHUNK):
                there += len(chunk)
                if there > limit:
                    raise ValueError(
                        f"Expected {limit} bytes at most, the server sends more. "
                        f"Received: url={url}"
                    )
                file.write(chunk)
                file.flush()  # what is written survives a kill of this process
                moved(len(chunk))
    if goal is not None and there < goal:
        raise _Lost(f"the connection ended after {there} bytes of {goal}")


def _place(response: requests.Response, url: str) -> tuple[int, int | None]:
    """Where in the file the answer begins, -1 if nowhere, and how long the server says it is."""
    status, headers = response.status_code, response.headers
    if status in _LATER:
        after = headers.get("Retry-After", "")
        raise _Lost(f"{status} {response.reason}", _number(after))
    if status not in (200, 206, 416):
        raise ValueError(
            f"Expected a file there, got {status} {response.reason}. Received: url={url}"
        )
    if status != 416 and headers.get("Content-Encoding", "identity") != "identity":
        raise ValueError(
            f"Expected the bytes as they are, got them as {headers['Content-Encoding']}. "
            f"Received: url={url}"
        )
    if status == 200:
        return 0, _number(headers.get("Content-Length", ""))
    match = _RANGE.fullmatch(headers.get("Content-Range", ""))
    if match is None:
        return -1, None
    start = _number(match[1] or "")
    return -1 if start is None else start, _number(match[2])


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(_NUMBER, text, re.ASCII) else None


def _same(response: requests.Response, total: int | None, notes: dict[str, str | int]) -> bool:
    """Whether an answer is of the version of the file that the notes are of."""
    version = _version(response)
    return (version is None or version == notes.get("version")) and (
        total is None or notes.get("size") in (None, total)
    )


def _version(response: requests.Response) -> str | None:
    """What tells versions of a file apart: a strong entity tag, or the time of its change."""
    tag = response.headers.get("ETag", "")
    if tag.startswith('"'):
        return tag
    return response.headers.get("Last-Modified")


def _notes_path(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.name}.part.json")


def _notes(path: pathlib.Path) -> dict[str, str | int | None]:
    try:
        notes = read_json(_notes_path(path))
    except ValueError:  # The checksum will tell.
        return {}
    return notes if isinstance(notes, dict) else {}


def _size(path: pathlib.Path) -> int:
    partial = partial_path(path)
    return partial.stat().st_size if partial.exists() else 0


def _reason(error: Exception) -> str:
    """The last cause, which of requests' own errors is the one that says something."""
    while error.args and isinstance(error.args[-1], Exception):
        error = error.args[-1]
    return str(getattr(error, "reason", None) or error)
