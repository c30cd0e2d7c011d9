"""What is not fetched: other bytes than were published, malicious archives, what does not fit."""

import collections
import hashlib
import shutil

import pytest
from archives import HARMLESS, unix, write_zip
from file_server import Fault, File, serving
from shop import FOLDER, SOUNDS, TABLES, fill, inner, open_shop, tree

from data_prep import fetching
from keras_audio.files import locked, read_json


@pytest.fixture
def empty_shop(tmp_path, monkeypatch):
    with open_shop(tmp_path / "a" / "sources", monkeypatch) as shop:
        yield shop


@pytest.fixture
def shop(empty_shop, tmp_path):
    return fill(empty_shop, tmp_path)


@pytest.mark.parametrize("known", [True, False])
def test_a_wrong_checksum(empty_shop, tmp_path, known):
    """Of the second file: nothing of the first one is unpacked either."""
    empty_shop.put(write_zip(tmp_path / "meta.zip", TABLES), "meta")
    wrong = "0" * 32
    file = empty_shop.put(write_zip(tmp_path / "audio.zip", SOUNDS), "audio", known, digest=wrong)
    received = hashlib.md5(file.content).hexdigest()
    with pytest.raises(ValueError, match=f"of md5 {wrong}, got one of {received}.*url=.*audio.zip"):
        empty_shop.fetch()
    assert not empty_shop.folder.exists()
    assert list(tree(empty_shop.to / f"{FOLDER}.archives")) == ["meta.zip"]
    assert empty_shop.asked["audio.zip"] == 1


def test_sha256(empty_shop, tmp_path):
    path = write_zip(tmp_path / "a.zip", TABLES)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    empty_shop.put(path, "all", algorithm="sha256", digest=digest)
    assert not empty_shop.fetch().reused


def test_pieces_of_two_versions_are_found_out(shop):
    """By the checksum, where the server says nothing of versions; then the whole is fetched."""
    right = shop.audio.content
    shop.audio.content, shop.audio.etag = bytes(len(right)), None
    shop.audio.faults = [Fault(body_bytes=20_000), Fault(status=500)]
    with pytest.raises(ValueError, match="got 20000"):
        shop.fetch()
    shop.audio.content = right
    shop.server.requests.clear()
    shop.fetch()
    assert shop.server.ranges == ["bytes=20000-", None]
    assert inner(SOUNDS).items() <= tree(shop.folder).items()


@pytest.mark.parametrize("etag", ['"one"', None])
def test_wrong_content_in_pieces_is_asked_for_once_more_at_most(shop, etag):
    """By a server that breaks off once in each download, and so always sends pieces."""
    shop.audio.content, shop.audio.etag = bytes(len(shop.audio.content)), etag
    shop.audio.faults = [Fault(body_bytes=20_000), Fault()] * 50
    with pytest.raises(ValueError, match="Expected a file of md5 .*audio.1.zip"):
        shop.fetch()
    assert [part for path, part, _ in shop.server.requests if "audio" in path] == [
        *(None, "bytes=20000-"),
        *(None, "bytes=20000-"),
    ]
    assert list(tree(shop.to / f"{FOLDER}.archives")) == ["meta.zip"]


def test_a_server_that_lies_about_the_length(shop):
    shop.audio.faults = [Fault(headers={"Content-Length": "5"})]
    with pytest.raises(ValueError, match="Expected [0-9]+ bytes, the server has 5"):
        shop.fetch()
    assert not shop.folder.exists()


def test_a_file_that_is_far_longer_than_it_ought_to_be(empty_shop, tmp_path):
    file = empty_shop.put(write_zip(tmp_path / "a.zip", TABLES), "all", known=False)
    file.content += bytes(len(file.content) + 2001)
    with pytest.raises(ValueError, match="at most bytes, the server has"):
        empty_shop.fetch()


def test_a_server_that_has_it_no_more(shop):
    shop.server.files.clear()
    with pytest.raises(ValueError, match="Expected a file there, got 404 Not Found.*meta.zip"):
        shop.fetch()
    assert len(shop.server.requests) == 1


@pytest.mark.parametrize(
    ("files", "attributes", "words"),
    [
        ({"../outside": b"harm"}, {}, "inside the source folder"),
        ({"/outside": b"harm"}, {}, "inside the source folder"),
        ({f"{FOLDER}/../../outside": b"harm"}, {}, "inside the source folder"),
        ({"door": b".."}, unix(0o120000), "a link or a device"),
        ({"zeros": bytes(2_000_000)}, {}, "bytes at most, got one that declares"),
    ],
)
def test_a_malicious_archive(shop, tmp_path, files, attributes, words):
    """With the right checksum, as the last of three: nothing of the others is unpacked either."""
    shop.put(write_zip(tmp_path / "bad.zip", HARMLESS | files, **attributes), "audio.2")
    before = set(tmp_path.rglob("outside"))
    with pytest.raises(ValueError, match=words) as info:
        shop.fetch()
    assert "bad.zip" in str(info.value)
    assert not shop.folder.exists() and shop.left() == {f"{FOLDER}.archives"}
    assert set(tmp_path.rglob("outside")) == before


@pytest.mark.parametrize("kind", ["folder", "file", "broken link"])
def test_what_is_in_the_way_is_not_touched(shop, kind):
    shop.to.mkdir(parents=True)
    if kind == "folder":
        shop.folder.mkdir()
        (shop.folder / "mine").write_text("mine")
    elif kind == "file":
        shop.folder.write_text("mine")
    else:
        shop.folder.symlink_to("nowhere")
    with pytest.raises(ValueError, match="a new folder, or one that fetch has made.*path="):
        shop.fetch()
    assert shop.server.requests == [] and shop.left() == set()


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("", "a folder for the archives"),
        ("audio.1.zip", "a file that was downloaded"),
        ("audio.1.zip.part", "a file that was downloaded"),
        ("audio.1.zip.part.json", "a file that was downloaded"),
    ],
)
def test_what_is_in_the_way_of_the_archives(shop, name, what):
    way = shop.to / f"{FOLDER}.archives" / name
    if name:
        (way / "mine").mkdir(parents=True)
    else:
        way.parent.mkdir(parents=True)
        way.write_text("mine")
    with pytest.raises(ValueError, match=f"^Expected {what}, got something else.*path={way}$"):
        shop.fetch()
    assert shop.server.requests == [] and way.exists() and shop.left() == {f"{FOLDER}.archives"}


def test_what_is_left_there_of_our_own_is_in_nobodys_way(shop):
    shop.to.mkdir(parents=True)
    (shop.to / f".{FOLDER}.partial").write_text("a file, for once")
    shop.fetch()
    (shop.to / f"{FOLDER}.archives").write_text("of no interest when all is there")
    assert shop.fetch().reused


@pytest.mark.parametrize("kind", ["file", "broken link"])
def test_a_file_where_a_folder_of_the_archive_goes(shop, kind):
    """What an archive has is known when it is there: nothing is unpacked, and it stays."""
    shop.fetch(parts=["meta"])
    before, way = tree(shop.folder), shop.folder / "audio"
    if kind == "file":
        way.write_text("mine")
    else:
        way.symlink_to("nowhere")
    for _ in range(2):
        with pytest.raises(ValueError, match=f"^Expected a folder, got something.*path={way}$"):
            shop.fetch()
    assert shop.asked["audio.1.zip"] == 1
    way.unlink()
    assert tree(shop.folder) == before and shop.left() == {f"{FOLDER}.archives"}
    shop.fetch()
    assert shop.asked["audio.1.zip"] == 1 and inner(SOUNDS).items() <= tree(shop.folder).items()


def test_a_folder_where_a_file_of_the_archive_goes(shop):
    shop.fetch(parts=["audio"])
    (shop.folder / "README").mkdir()
    with pytest.raises(ValueError, match=f"^Expected a file, got a.*path={shop.folder}/README$"):
        shop.fetch()
    assert not (shop.folder / "meta.csv").exists()


def test_what_is_in_the_way_of_files_that_were_there_is_said_before_a_download(shop):
    shop.fetch()
    shop.server.requests.clear()
    shutil.rmtree(shop.folder / "audio")
    (shop.folder / "audio").write_text("mine")
    with pytest.raises(ValueError, match="^Expected a folder, got something.*/audio$"):
        shop.fetch()
    assert shop.server.requests == []


@pytest.mark.parametrize("kind", ["no folder", "no file"])
def test_what_is_in_the_way_of_plain_files(empty_shop, tmp_path, kind):
    (tmp_path / "eval.csv").write_text("table")
    empty_shop.put(tmp_path / "eval.csv", "eval")
    empty_shop.to.mkdir(parents=True)
    if kind == "no folder":
        way, words = empty_shop.folder, "Expected a new folder, or one"
        way.write_text("mine")
    else:
        way, words = empty_shop.folder / "eval.csv", "Expected eval.csv as it was published"
        way.mkdir(parents=True)
    with pytest.raises(ValueError, match=f"^{words}.*path={way}$"):
        empty_shop.fetch()
    assert empty_shop.server.requests == []


def test_space_is_asked_for_first(shop, monkeypatch):
    """That of both archives and what they unpack to, less what is there of them."""
    needed = len(shop.meta.content) + len(shop.audio.content) + 2 * 50_000
    usage = collections.namedtuple("usage", "free")
    free = needed - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(free))
    with pytest.raises(ValueError, match="GB of free space for the archives and what they unpack"):
        shop.fetch()
    assert shop.server.requests == [] and shop.left() == set()
    beside = shop.to / f"{FOLDER}.archives"
    beside.mkdir()
    (beside / "audio.1.zip.part").write_bytes(b"a")
    shop.fetch()


def test_space_is_asked_for_again_when_the_archives_say_how_much(shop, monkeypatch):
    usage = collections.namedtuple("usage", "free")
    answers = [usage(10**9), usage(1000)]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: answers.pop(0))
    with pytest.raises(ValueError, match="free space to unpack the archives"):
        shop.fetch()
    assert not shop.folder.exists()


def test_one_process_at_a_time(shop):
    with locked(shop.to / f".{FOLDER}.lock", "be first"):
        with pytest.raises(ValueError, match="only process to fetch ravdess"):
            shop.fetch()
    assert shop.server.requests == []


def test_a_record_that_an_archive_brings_counts_for_nothing(empty_shop, tmp_path):
    forged = {fetching.RECORD: b'{"audio": "%s"}' % (b"0" * 32)}
    for part in ("meta", "tables"):  # the first one makes the folder, the other one adds to it
        empty_shop.put(write_zip(tmp_path / f"{part}.zip", TABLES | forged), part)
        empty_shop.fetch()
        assert set(read_json(empty_shop.folder / fetching.RECORD)) == {
            file.part for file in empty_shop.table
        }


@pytest.mark.parametrize(
    "record",
    ["{", "[]", "", '{"meta": 1}', '{"meta": {"digest": "0", "files": [1]}}'],
)
def test_a_record_that_is_damaged(shop, record):
    shop.fetch()
    (shop.folder / fetching.RECORD).write_text(record)
    with pytest.raises(ValueError, match="Expected a (JSON file|new folder|record of).*path="):
        shop.fetch()


def test_data_sets_that_cannot_be_fetched():
    for name in ("esc50", "toy_sounds"):
        with pytest.raises(ValueError, match=rf"may be downloaded.*ravdess.*name='{name}'"):
            fetching.plan(name)


def test_data_sets_that_there_are_not():
    with pytest.raises(ValueError, match="one of the data sets .*mean esc50.*name='esc5'"):
        fetching.plan("esc5")


def test_no_server_but_those_of_the_table_is_asked_over_http(shop):
    with pytest.raises(ValueError, match="https, or of http on this machine"):
        fetching.fetch("ravdess", shop.to, base_url="http://example.org", progress=False)


def test_the_real_tables_of_audioset(shared, tmp_path):
    """The table of downloads against the real bytes, on a server that stands in for theirs."""
    real = shared / "datasets" / "metadata" / "audioset"
    with serving() as server:
        for download in fetching.plan("audioset", ["labels", "eval"]):
            path = download.url.removeprefix("https://storage.googleapis.com")
            server.files[path] = File((real / download.name).read_bytes())
        arguments = {"parts": ["labels", "eval"], "base_url": server.base_url, "progress": False}
        result = fetching.fetch("audioset", tmp_path, **arguments)
        assert tree(result.path) == {
            name: (real / name).read_bytes()
            for name in ("class_labels_indices.csv", "eval_segments.csv")
        }
        mangled = (real / "mangled_eval_segments.csv").read_bytes()
        server.files[path].content = mangled.ljust(len(server.files[path].content))
        with pytest.raises(ValueError, match="Expected a file of sha256 f7055f"):
            fetching.fetch("audioset", tmp_path / "other", **arguments)
