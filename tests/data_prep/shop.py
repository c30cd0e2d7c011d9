"""A data set on a server of this machine, to be fetched by the real code."""

import collections
import contextlib
import hashlib
import random

from archives import write_zip
from file_server import File, serving

from data_prep import downloads, fetching
from data_prep.downloads import Download
from data_prep.transfer import Patience

FOLDER = "Sounds-1.0"
SOUNDS = {f"{FOLDER}/audio/{index}.wav": random.Random(index).randbytes(4000) for index in range(9)}
TABLES = {f"{FOLDER}/meta.csv": b"filename\n0.wav\n", f"{FOLDER}/README": b"of the tables"}


def tree(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def inner(*contents):
    files = {
        name.removeprefix(f"{FOLDER}/"): data for each in contents for name, data in each.items()
    }
    return files


class Shop:
    """A data set on a server: `put` adds a file to it and to the table."""

    def __init__(self, server, folder):
        self.server, self.to = server, folder
        self.table: list[Download] = []

    @property
    def folder(self):
        return self.to / FOLDER

    def put(self, path, part, known=True, **changes):
        content = path.read_bytes()
        served = f"/record/1/files/{path.name}"
        self.server.files[served] = File(content)
        self.table.append(
            Download(
                "ravdess",
                part,
                f"https://zenodo.example{served}",
                len(content) if known else None,
                len(content) if known else len(content) + 1000,
                50_000,
                **{"algorithm": "md5", "digest": hashlib.md5(content).hexdigest()} | changes,
                folder=FOLDER,
            )
        )
        return self.server.files[served]

    def fetch(self, **arguments):
        settings = {"patience": Patience(attempts=2, wait=0.0), "progress": False}
        return fetching.fetch(
            "ravdess", self.to, base_url=self.server.base_url, **settings | arguments
        )

    @property
    def asked(self):
        """How many requests there were for each file."""
        return collections.Counter(path.split("/")[-1] for path, _, _ in self.server.requests)

    def left(self):
        """What lies beside the folder, except for the lock."""
        names = {path.name for path in self.to.iterdir()} if self.to.exists() else set()
        return names - {FOLDER, f".{FOLDER}.lock"}


@contextlib.contextmanager
def open_shop(folder, monkeypatch):
    """Give a shop without files, in place of the real table."""
    with serving() as server:
        shop = Shop(server, folder)
        monkeypatch.setattr(downloads, "for_dataset", lambda name: tuple(shop.table))
        yield shop


def fill(shop, folder):
    """Add the tables and the sounds, of archives in a folder, as `shop.meta` and `shop.audio`."""
    shop.meta = shop.put(write_zip(folder / "meta.zip", TABLES), "meta")
    shop.audio = shop.put(write_zip(folder / "audio.1.zip", SOUNDS), "audio.1")
    return shop
