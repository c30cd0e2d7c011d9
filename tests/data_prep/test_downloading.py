"""One file over HTTP: connections that break, servers that lie, files that change."""

import json
import random
import types

import pytest
from file_server import Fault, File, serving

from data_prep import transfer
from data_prep.transfer import Patience

CONTENT = random.Random(0).randbytes(100_000)
OTHER = random.Random(1).randbytes(100_000)
SIZE = len(CONTENT)
PATH = "/record/1/files/sounds.zip"


@pytest.fixture
def server():
    with serving() as served:
        yield served


@pytest.fixture
def get(server, tmp_path, monkeypatch):
    """Downloads the file; `moved` adds up what it was told of, `waits` what it slept."""
    waits = []
    monkeypatch.setattr(transfer.time, "sleep", waits.append)

    def download(size=SIZE, most=2 * SIZE, attempts=3, path=PATH):
        seen = types.SimpleNamespace(moved=0, said=[], waits=waits, path=tmp_path / "sounds.zip")

        def moved(count):
            seen.moved += count

        with transfer.open_session(server.base_url) as session:
            seen.pieced = transfer.download(
                session,
                server.base_url + path,
                seen.path,
                size=size,
                most=most if size is None else size,
                patience=Patience(attempts=attempts, wait=3.0),
                moved=moved,
                said=seen.said.append,
            )
        return seen

    download.partial = tmp_path / "sounds.zip.part"
    download.folder, download.waits = tmp_path, waits
    return download


def test_a_file(server, get):
    server.files[PATH] = File(CONTENT)
    seen = get()
    assert seen.path.read_bytes() == CONTENT
    assert [path.name for path in get.folder.iterdir()] == ["sounds.zip"]
    assert (seen.moved, seen.said, seen.waits, seen.pieced) == (len(CONTENT), [], [], False)
    assert server.requests == [(PATH, None, None)]


@pytest.mark.parametrize("size", [len(CONTENT), None])
@pytest.mark.parametrize("tag", [{}, {"etag": None, "changed": "Mon, 01 Jan 2024 00:00:00 GMT"}])
def test_connections_that_break_are_taken_up_where_they_broke(server, get, size, tag):
    drops = [Fault(body_bytes=30_000), Fault(body_bytes=1), Fault(body_bytes=40_000)]
    server.files[PATH] = file = File(CONTENT, faults=drops, **tag)
    seen = get(size=size)
    assert seen.path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=30000-", "bytes=30001-", "bytes=70001-"]
    version = file.etag or file.changed
    assert [condition for _, _, condition in server.requests] == [None, version, version, version]
    # Each of them brought something, so that none of them counts as the second without.
    assert (seen.moved, seen.waits, seen.pieced) == (len(CONTENT), [3.0, 3.0, 3.0], True)
    assert seen.said[0].startswith("sounds.zip: ") and seen.said[0].endswith("again in 3 s")
    assert [path.name for path in get.folder.iterdir()] == ["sounds.zip"]


def test_a_later_call_goes_on(server, get):
    server.files[PATH] = File(CONTENT, faults=[Fault(body_bytes=60_000)])
    with pytest.raises(
        ValueError, match="60000 and no more in 1 attempts.*goes on from there"
    ) as info:
        get(attempts=1)
    assert str(info.value).count("\n") == 0 and PATH in str(info.value)
    assert get.partial.read_bytes() == CONTENT[:60_000]
    seen = get()
    assert seen.path.read_bytes() == CONTENT and seen.moved == 40_000
    assert server.requests[1:] == [(PATH, "bytes=60000-", '"one"')]


def test_a_call_killed_after_the_last_byte(server, get):
    get.partial.write_bytes(CONTENT)
    assert get().path.read_bytes() == CONTENT
    assert server.requests == []


@pytest.mark.parametrize("noted", [True, False])
def test_killed_after_the_last_byte_of_nobody_knows_how_many(server, get, noted):
    server.files[PATH] = File(CONTENT)
    get.partial.write_bytes(CONTENT)
    size = len(CONTENT) if noted else None
    notes = {"version": '"one"', "size": size}
    (get.folder / "sounds.zip.part.json").write_text(json.dumps(notes))
    assert get(size=None).path.read_bytes() == CONTENT
    assert server.ranges == ([] if noted else [f"bytes={len(CONTENT)}-"])


def test_a_server_that_knows_no_parts_begins_anew(server, get):
    server.files[PATH] = File(CONTENT, ranges=False, faults=[Fault(body_bytes=50_000)])
    seen = get()
    assert seen.path.read_bytes() == CONTENT
    assert seen.moved == len(CONTENT) and server.ranges == [None, "bytes=50000-"]


def test_such_a_server_that_always_breaks_off_is_left_in_the_end(server, get):
    drops = [Fault(body_bytes=count) for count in (50_000, 49_000, 50_000, 10_000, 99_999)]
    server.files[PATH] = File(CONTENT, ranges=False, faults=drops)
    with pytest.raises(ValueError, match="got 50000 and no more in 3 attempts"):
        get()
    assert len(server.requests) == 3


@pytest.mark.parametrize("trust", [False, True])
def test_a_file_that_changed_meanwhile_is_not_glued(server, get, trust):
    """Whether the server heeds the condition, or sends the rest and another entity tag with it."""
    server.files[PATH] = file = File(CONTENT, faults=[Fault(body_bytes=50_000)])
    with pytest.raises(ValueError, match="got 50000"):
        get(attempts=1)
    file.content, file.etag, file.faults = OTHER, '"two"', [Fault(trust=trust)]
    seen = get()
    assert seen.path.read_bytes() == OTHER
    assert seen.moved == len(OTHER) - 50_000
    assert server.ranges[1:] == (["bytes=50000-", None] if trust else ["bytes=50000-"])


def test_a_file_that_changed_its_length(server, get):
    server.files[PATH] = file = File(CONTENT, etag=None, faults=[Fault(body_bytes=50_000)])
    with pytest.raises(ValueError, match="got 50000"):
        get(size=None, attempts=1)
    file.content = OTHER[:70_000]
    assert get(size=None).path.read_bytes() == OTHER[:70_000]


def test_a_file_that_became_shorter_than_what_there_is(server, get):
    server.files[PATH] = file = File(CONTENT, etag=None, faults=[Fault(body_bytes=50_000)])
    with pytest.raises(ValueError, match="got 50000"):
        get(size=None, attempts=1)
    file.content = OTHER[:20_000]
    assert get(size=None).path.read_bytes() == OTHER[:20_000]
    assert server.ranges == [None, "bytes=50000-", None]


def test_without_notes_on_the_version_it_begins_anew(server, get):
    server.files[PATH] = File(CONTENT)
    for notes in ("", "[]", "{"):
        get.partial.write_bytes(OTHER[:50_000])
        (get.folder / "sounds.zip.part.json").write_text(notes)
        assert get().path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "fault",
    [
        Fault(shift=10),
        Fault(headers={"Content-Range": None}),
        Fault(headers={"Content-Range": "bytes 0-99999/100000"}, body_bytes=10),
        Fault(headers={"Content-Range": "bytes of mine"}),
    ],
    ids=["later", "nowhere", "the beginning", "nonsense"],
)
def test_another_part_than_was_asked_for_is_not_taken(server, get, fault):
    server.files[PATH] = File(CONTENT, faults=[Fault(body_bytes=50_000), fault])
    seen = get()
    assert seen.path.read_bytes() == CONTENT and seen.moved == len(CONTENT)


@pytest.mark.parametrize("told", ["99999", "100001", "5", "123456789012345"])
def test_a_length_that_is_not_the_published_one_is_refused_at_once(server, get, told):
    server.files[PATH] = File(CONTENT, faults=[Fault(headers={"Content-Length": told})])
    with pytest.raises(ValueError, match=f"Expected 100000 bytes, the server has {told}"):
        get()
    assert len(server.requests) == 1 and not (get.folder / "sounds.zip").exists()


def test_a_length_that_is_a_lie_where_none_is_published(server, get):
    lie = Fault(headers={"Content-Length": "150000"})
    server.files[PATH] = File(CONTENT, ranges=False, faults=[lie] * 3)
    with pytest.raises(ValueError, match="all bytes, got 100000 and no more in 3 attempts"):
        get(size=None)
    assert not (get.folder / "sounds.zip").exists()


@pytest.mark.parametrize("told", ["nonsense", "-5", "9" * 30, None])
def test_a_length_that_is_none(server, get, told):
    server.files[PATH] = File(CONTENT, faults=[Fault(headers={"Content-Length": told})])
    assert get().path.read_bytes() == CONTENT


@pytest.mark.parametrize(("size", "most"), [(60_000, 60_000), (None, 60_000)])
def test_a_server_that_does_not_stop(server, get, size, most):
    server.files[PATH] = File(CONTENT, faults=[Fault(headers={"Content-Length": None})])
    with pytest.raises(ValueError, match="Expected 60000 bytes at most, the server sends more"):
        get(size=size, most=most)
    assert get.partial.stat().st_size <= 60_000
    assert len(server.requests) == 1


def test_more_than_what_is_known_of_it_is_refused(server, get):
    server.files[PATH] = File(CONTENT)
    with pytest.raises(ValueError, match="Expected 60000 at most bytes, the server has 100000"):
        get(size=None, most=60_000)


def test_an_end_that_comes_early_where_the_server_tells_no_length(server, get):
    drop = Fault(headers={"Content-Length": None}, body_bytes=70_000)
    server.files[PATH] = File(CONTENT, faults=[drop])
    assert get().path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=70000-"]


def test_chunks_and_their_end(server, get):
    faults = [Fault(chunked=True, body_bytes=50_000), Fault(chunked=True)]
    server.files[PATH] = File(CONTENT, faults=faults)
    assert get(size=None).path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=50000-"]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_that_is_busy_is_asked_again(server, get, status):
    faults = [Fault(status=status), Fault(status=status, headers={"Retry-After": "17"})]
    server.files[PATH] = File(CONTENT, faults=faults)
    seen = get()
    assert seen.path.read_bytes() == CONTENT
    assert seen.waits == [3.0, 17.0] and str(status) in seen.said[0]


def test_the_waits_grow_and_end(server, get):
    server.files[PATH] = File(CONTENT, faults=[Fault(status=500) for _ in range(20)])
    with pytest.raises(ValueError, match="got 0 and no more in 9 attempts .500 Internal"):
        get(attempts=9)
    assert len(server.requests) == 9
    assert get.waits == [3.0, 6.0, 12.0, 24.0, 48.0, 96.0, 120.0, 120.0]
    server.files[PATH].faults = [Fault(status=503, headers={"Retry-After": "9999999"})]
    assert get().waits[-1] == 120.0


def test_the_count_of_attempts_begins_anew_with_every_new_byte(server, get):
    drops = [Fault(body_bytes=10_000), Fault(status=500), Fault(status=500)]
    server.files[PATH] = File(CONTENT, faults=drops * 5)
    assert get(attempts=4).path.read_bytes() == CONTENT


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_what_is_not_there_is_not_asked_for_again(server, get, status):
    server.files[PATH] = File(CONTENT, faults=[Fault(status=status)])
    with pytest.raises(ValueError, match=f"Expected a file there, got {status} .*url=") as info:
        get()
    assert str(info.value).endswith(PATH) and len(server.requests) == 1


def test_bytes_that_are_packed_on_the_way_are_refused(server, get):
    fault = Fault(headers={"Content-Encoding": "gzip"})
    server.files[PATH] = File(CONTENT, faults=[fault])
    with pytest.raises(ValueError, match="the bytes as they are, got them as gzip"):
        get()


def test_a_redirection_is_followed(server, get):
    server.files["/old"] = File(b"", faults=[Fault(status=302, headers={"Location": PATH})])
    server.files[PATH] = File(CONTENT)
    assert get(path="/old").path.read_bytes() == CONTENT


def test_a_redirection_away_from_https_is_not_followed(server, get):
    with serving() as other:
        other.files[PATH] = File(CONTENT)
        there = {"Location": other.base_url + PATH}
        server.files[PATH] = File(b"", faults=[Fault(status=302, headers=there)])
        with pytest.raises(ValueError, match="Expected a file that is reached by https alone"):
            get()
        assert other.requests == []


def test_redirections_in_a_circle(server, get):
    circle = Fault(status=302, headers={"Location": PATH})
    server.files[PATH] = File(b"", faults=[circle] * 50)
    with pytest.raises(ValueError, match="Exceeded 30 redirects"):
        get()


def test_a_server_that_is_not_there(server, get, tmp_path):
    with serving() as gone:
        server.base_url = gone.base_url
    with pytest.raises(ValueError, match="got 0 and no more in 2 attempts.*refused"):
        get(attempts=2)


@pytest.mark.parametrize(
    "base_url",
    [
        *("http://example.org", "http://127.0.0.1.example.org", "ftp://127.0.0.1", "127.0.0.1"),
        *("http://localhost@example.org", "file:///etc", "", "http://"),
    ],
)
def test_plain_http_is_for_this_machine(base_url):
    with pytest.raises(ValueError, match="Expected a URL of https, or of http on this machine"):
        with transfer.open_session(base_url):
            pass


@pytest.mark.parametrize(
    "base_url", ["https://example.org/mirror/", "http://localhost:1", "http://[::1]:1"]
)
def test_servers_that_may_be_asked(base_url):
    with transfer.open_session(base_url) as session:
        assert session.get_adapter(f"{base_url.rstrip('/')}/file")


def test_without_another_server_there_is_https_alone(server, tmp_path):
    server.files[PATH] = File(CONTENT)
    with transfer.open_session() as session, pytest.raises(ValueError, match="by https alone"):
        transfer.download(
            session,
            server.base_url + PATH,
            tmp_path / "file",
            size=1,
            most=1,
            patience=Patience(),
            moved=int,
            said=str,
        )
    assert server.requests == [] and list(tmp_path.iterdir()) == []
