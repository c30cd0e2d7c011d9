"""Fetching from a server on this machine: stopped, resumed, unpacked, added to."""

import io
import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest
from archives import write_tar, write_zip
from file_server import Fault
from shop import FOLDER, SOUNDS, TABLES, fill, inner, open_shop, tree
from tqdm import tqdm

from data_prep import fetching, unpacking
from data_prep.transfer import Patience


@pytest.fixture
def empty_shop(tmp_path, monkeypatch):
    with open_shop(tmp_path / "a" / "sources", monkeypatch) as shop:
        yield shop


@pytest.fixture
def shop(empty_shop, tmp_path):
    return fill(empty_shop, tmp_path)


def test_from_nothing_to_a_folder(shop, capfd):
    result = shop.fetch()
    assert (result.path, result.parts, result.reused) == (shop.folder, ("meta", "audio.1"), False)
    files = tree(shop.folder)
    assert files.pop(fetching.RECORD)
    assert files == inner(SOUNDS, TABLES)
    assert shop.left() == set()
    assert capfd.readouterr() == ("", "")


def test_a_second_call_says_so_and_asks_nothing(shop):
    shop.fetch()
    shop.server.requests.clear()
    result = shop.fetch()
    assert (result.path, result.parts, result.reused) == (shop.folder, (), True)
    assert shop.server.requests == []


def test_archives_are_kept_where_that_is_asked_for(shop):
    shop.fetch(keep_archives=True)
    kept = tree(shop.to / f"{FOLDER}.archives")
    assert kept == {"meta.zip": shop.meta.content, "audio.1.zip": shop.audio.content}
    shutil.rmtree(shop.folder)
    shop.server.requests.clear()
    shop.fetch()
    assert shop.server.requests == [] and shop.folder.is_dir() and shop.left() == set()


def test_an_archive_without_a_folder_of_its_own(empty_shop, tmp_path):
    empty_shop.put(
        write_zip(tmp_path / "actors.zip", {"Actor_01/1.wav": b"a"}), "speech", known=False
    )
    empty_shop.fetch()
    assert (empty_shop.folder / "Actor_01" / "1.wav").read_bytes() == b"a"


def test_a_tarball(empty_shop, tmp_path):
    empty_shop.put(write_tar(tmp_path / "sounds.tar.gz", SOUNDS), "all")
    empty_shop.fetch()
    files = tree(empty_shop.folder)
    files.pop(fetching.RECORD)
    assert files == inner(SOUNDS)


def test_a_stopped_download_goes_on(shop):
    shop.audio.faults = [Fault(body_bytes=20_000), Fault(status=503)]
    with pytest.raises(ValueError, match="got 20000 and no more in 2 attempts.*503.*goes on"):
        shop.fetch()
    assert not shop.folder.exists()
    shop.server.requests.clear()
    shop.fetch()
    assert shop.server.ranges == ["bytes=20000-"]  # and of the other file nothing
    assert (shop.folder / "audio" / "8.wav").is_file()


SCRIPT = """\
import sys
from data_prep import downloads, fetching
url, base_url, size, digest, folder, to = sys.argv[1:]
size = int(size)
file = downloads.Download("ravdess", "all", url, size, size, size, "md5", digest, folder)
downloads.for_dataset = lambda name: (file,)
fetching.fetch("ravdess", to, base_url=base_url)
"""


def test_killed_in_the_middle(empty_shop, tmp_path):
    """By SIGKILL, from outside, while the server has sent little and keeps the rest."""
    file = empty_shop.put(write_zip(tmp_path / "audio.zip", SOUNDS), "all")
    killed = threading.Event()
    file.faults = [Fault(body_bytes=3000, stall=killed.wait)]
    (row,) = empty_shop.table
    values = (row.url, empty_shop.server.base_url, row.bytes, row.digest, FOLDER, empty_shop.to)
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, *map(str, values)])
    partial = empty_shop.to / f"{FOLDER}.archives" / "audio.zip.part"
    while not (partial.exists() and partial.stat().st_size == 3000):
        assert process.poll() is None
        killed.wait(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed.set()
    assert tree(empty_shop.to / f"{FOLDER}.archives").keys() >= {"audio.zip.part"}
    empty_shop.fetch()
    assert empty_shop.server.ranges == [None, "bytes=3000-"]
    files = tree(empty_shop.folder)
    files.pop(fetching.RECORD)
    assert files == inner(SOUNDS) and empty_shop.left() == set()


def test_stopped_while_unpacking(shop, monkeypatch):
    unpack, calls = unpacking.Archive.unpack, []

    def stop(self, *arguments):
        calls.append(self)
        if len(calls) == 2:
            raise KeyboardInterrupt
        unpack(self, *arguments)

    monkeypatch.setattr(unpacking.Archive, "unpack", stop)
    with pytest.raises(KeyboardInterrupt):
        shop.fetch()
    assert not shop.folder.exists() and shop.left() == {f"{FOLDER}.archives"}
    shop.server.requests.clear()
    # What a killed process left of it, too.
    (shop.to / f".{FOLDER}.partial" / "whole").mkdir(parents=True)
    (shop.to / f".{FOLDER}.partial" / "whole" / "junk").touch()
    shop.fetch()
    assert shop.server.requests == [] and "junk" not in tree(shop.folder)
    assert shop.left() == set()


def test_parts(shop, tmp_path):
    result = shop.fetch(parts=["meta"])
    assert result.parts == ("meta",) and shop.asked == {"meta.zip": 1}
    assert set(tree(shop.folder)) == {fetching.RECORD, "meta.csv", "README"}
    again = {f"{FOLDER}/audio/20.wav": b"20", f"{FOLDER}/README": b"of the sounds"}
    shop.put(write_zip(tmp_path / "audio.2.zip", again), "audio.2")
    (shop.folder / "mine").write_text("mine")
    # One name for audio.1 and audio.2; what is in two archives is of the one unpacked last.
    assert shop.fetch(parts=["meta", "audio"]).parts == ("audio.1", "audio.2")
    files = tree(shop.folder)
    files.pop(fetching.RECORD)
    assert files == inner(SOUNDS, TABLES, again) | {"mine": b"mine"}
    assert shop.asked == {"meta.zip": 1, "audio.1.zip": 1, "audio.2.zip": 1}
    assert shop.fetch().reused and shop.left() == set()


def test_parts_that_there_are_not(shop):
    with pytest.raises(ValueError, match=r"parts of ravdess \(meta, audio.1\).*part='video'"):
        shop.fetch(parts=["meta", "video"])
    with pytest.raises(ValueError, match="part='aud'"):
        shop.fetch(parts=["aud"])
    assert not shop.to.exists()


def test_no_parts_at_all(shop):
    with pytest.raises(ValueError, match=r"parts of ravdess \(meta, audio.1\), or None for all"):
        shop.fetch(parts=[])
    assert not shop.to.exists()


def test_files_that_are_gone_are_fetched_anew(shop, capfd):
    shop.fetch()
    before = tree(shop.folder)
    (shop.folder / "audio" / "3.wav").unlink()
    (shop.folder / "audio" / "5.wav").unlink()
    (shop.folder / "mine").write_text("mine")
    shop.server.requests.clear()
    assert shop.fetch(progress=True).parts == ("audio.1",)
    remark = f"{shop.folder} lacks 2 file(s) of audio.1, such as audio/3.wav: fetched anew"
    assert remark in capfd.readouterr().err.splitlines()
    assert shop.asked == {"audio.1.zip": 1}
    assert tree(shop.folder) == before | {"mine": b"mine"}
    assert shop.fetch().reused and shop.left() == set()


def test_a_folder_of_files_that_is_gone(shop):
    shop.fetch()
    shutil.rmtree(shop.folder / "audio")
    assert shop.fetch(parts=["meta"]).reused
    assert shop.fetch().parts == ("audio.1",)


def test_a_file_that_was_changed_is_not_overwritten(shop):
    shop.fetch()
    changed = shop.folder / "audio" / "3.wav"
    changed.write_bytes(b"cut")
    shop.server.requests.clear()
    with pytest.raises(ValueError, match=f"Expected 4000 bytes.*got 3: .*path={changed}"):
        shop.fetch()
    assert shop.server.requests == [] and changed.read_bytes() == b"cut"
    changed.unlink()
    shop.fetch()
    assert changed.read_bytes() == SOUNDS[f"{FOLDER}/audio/3.wav"]


def test_a_file_of_two_archives_is_of_the_one_that_brought_it_last(shop):
    """Or its length in the other one would be taken for a change."""
    shop.put(write_zip(shop.to.parent.parent / "b.zip", {f"{FOLDER}/README": b"b"}), "b")
    shop.fetch()
    assert (shop.folder / "README").read_bytes() == b"b"
    assert shop.fetch().reused
    (shop.folder / "README").unlink()
    assert shop.fetch().parts == ("b",)
    (shop.folder / "meta.csv").unlink()
    assert shop.fetch().parts == ("meta",)
    assert (shop.folder / "README").read_bytes() == b"of the tables"
    assert shop.fetch().reused


def test_names_that_are_no_text(empty_shop, tmp_path):
    """They are unpacked as they are; the record, which is text, has the others."""
    empty_shop.put(write_tar(tmp_path / "a.tar.gz", SOUNDS | {"caf\udce9": b"1"}), "all")
    empty_shop.fetch()
    assert b"caf\xe9" in os.listdir(os.fsencode(empty_shop.folder))
    assert empty_shop.fetch().reused


def test_a_newer_version_of_a_part_is_fetched(shop, tmp_path):
    shop.fetch()
    shop.table.pop()
    changed = {f"{FOLDER}/audio/0.wav": b"new"}
    shop.put(write_zip(tmp_path / "audio.1.zip", changed), "audio.1")
    assert shop.fetch().parts == ("audio.1",)
    assert (shop.folder / "audio" / "0.wav").read_bytes() == b"new"


def test_archives_that_came_by_other_means_are_taken(shop):
    beside = shop.to / f"{FOLDER}.archives"
    beside.mkdir(parents=True)
    (beside / "audio.1.zip").write_bytes(shop.audio.content)
    (beside / "meta.zip").write_bytes(shop.meta.content[:-1])
    (beside / "mine.zip").write_bytes(b"mine")
    shop.fetch()
    assert shop.asked == {"meta.zip": 1}
    assert inner(SOUNDS, TABLES).items() <= tree(shop.folder).items()
    assert tree(beside) == {"mine.zip": b"mine"}


def test_plain_files_go_into_a_folder_of_the_users_own(empty_shop, tmp_path):
    for name in ("eval.csv", "train.csv"):
        (tmp_path / name).write_text(f"table {name}")
        empty_shop.put(tmp_path / name, name.removesuffix(".csv"))
    (empty_shop.folder / "audios").mkdir(parents=True)
    (empty_shop.folder / "audios" / "Y1.wav").write_bytes(b"mine")
    shutil.copy(tmp_path / "eval.csv", empty_shop.folder)
    # Archives are kept, and tables are none.
    assert empty_shop.fetch(keep_archives=True).parts == ("train",)
    assert tree(empty_shop.folder) == {
        "audios/Y1.wav": b"mine",
        "eval.csv": b"table eval.csv",
        "train.csv": b"table train.csv",
    }
    assert empty_shop.fetch().reused and empty_shop.left() == set()
    (empty_shop.folder / "eval.csv").write_text("changed")
    with pytest.raises(ValueError, match="eval.csv as it was published, got another one"):
        empty_shop.fetch()
    assert (empty_shop.folder / "eval.csv").read_text() == "changed"


def test_remarks_go_to_stderr(shop, capfd):
    shop.audio.faults = [Fault(status=503)]
    beside = shop.to / f"{FOLDER}.archives"
    beside.mkdir(parents=True)
    (beside / "meta.zip").write_bytes(b"something else")
    shop.fetch(progress=True)
    out, error = capfd.readouterr()
    assert out == ""
    assert "meta.zip is not as it was published: downloaded anew" in error
    assert "audio.1.zip: 503 Service Unavailable; again in 0 s" in error


@pytest.mark.parametrize("glued", [False, True])
def test_the_bar_counts_every_byte_once(shop, monkeypatch, glued):
    right = shop.audio.content
    shop.audio.faults = [Fault(body_bytes=20_000), Fault(body_bytes=5)]
    if glued:  # The rest comes of another version, and the whole again.
        shop.audio.content, shop.audio.etag = bytes(len(right)), None
        shop.audio.faults[0].stall = lambda: setattr(shop.audio, "content", right)
    else:
        shop.audio.ranges = False
    bars = {}

    class Watched(tqdm):
        def __init__(self, **arguments):
            super().__init__(**arguments | {"disable": False, "file": io.StringIO()})
            bars[self.desc] = self

    monkeypatch.setattr(fetching, "tqdm", Watched)
    shop.fetch(patience=Patience(attempts=5, wait=0.0))
    sizes = len(shop.meta.content) + len(right)
    assert bars["download"].n == bars["download"].total == sizes
    unpacked = sum(map(len, inner(SOUNDS, TABLES).values()))
    assert bars["unpack"].n == bars["unpack"].total == unpacked
