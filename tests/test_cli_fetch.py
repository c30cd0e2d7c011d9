"""`keras-audio fetch`, from the words typed to the lines printed."""

import dataclasses
import functools
import re
import shutil
import socket
import subprocess
import sys

import pytest
from archives import write_zip
from file_server import Fault
from shop import FOLDER, SOUNDS, fill, inner, open_shop, tree

from data_prep import fetching
from data_prep.transfer import Patience
from keras_audio.cli import main


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """What `ravdess` is here, from a server of this machine."""
    monkeypatch.chdir(tmp_path)
    with open_shop(tmp_path / "sources", monkeypatch) as shop:
        arguments = {"base_url": shop.server.base_url, "patience": Patience(2, wait=0.0)}
        monkeypatch.setattr(fetching, "fetch", functools.partial(fetching.fetch, **arguments))
        yield fill(shop, tmp_path)


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty folder to be in, and no way out."""

    def refuse(*arguments, **settings):
        raise AssertionError("nobody may be asked")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    yield tmp_path
    assert not list(tmp_path.iterdir())


def test_from_the_words_to_the_folder(shop, capsys):
    assert main(["fetch", "ravdess", "--to", "sources"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "licence: CC BY-NC-SA 4.0",
        f"fetched: sources/{FOLDER}",
        f"next: keras-audio prepare ravdess --source sources/{FOLDER}",
    ]
    assert inner(SOUNDS).items() <= tree(shop.folder).items() and shop.left() == set()
    assert main(["fetch", "ravdess", "--to", "sources"]) == 0
    assert f"sources/{FOLDER} is there already" in capsys.readouterr().out


def test_parts_and_archives(shop, capsys):
    asked = ["fetch", "ravdess", "--to", "sources", "--parts", "meta", "--keep-archives"]
    assert main(asked) == 0
    # The rest is missing: there is nothing to prepare yet.
    assert "next:" not in capsys.readouterr().out
    assert shop.left() == {f"{FOLDER}.archives"} and not (shop.folder / "audio").exists()


def test_a_stopped_download_says_how_it_goes_on(shop, capsys):
    shop.audio.faults = [Fault(body_bytes=10_000), Fault(status=500)]
    assert main(["fetch", "ravdess", "--to", "sources"]) == 2
    error = capsys.readouterr().err.splitlines()
    assert "the same command goes on from there" in error[-1]
    assert main(["fetch", "ravdess", "--to", "sources"]) == 0
    assert shop.server.ranges[-1] == "bytes=10000-"


def test_a_malicious_archive_is_said_in_a_sentence(shop, tmp_path, capsys):
    shop.put(write_zip(tmp_path / "bad.zip", {"../../harm": b""}), "bad")
    assert main(["fetch", "ravdess", "--to", "sources"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("keras-audio: Expected a file inside") and error.count("\n") == 1
    assert not shop.folder.exists()


def test_a_dry_run_of_the_shop_touches_nothing(shop, capsys):
    shop.table.pop(0)
    assert main(["fetch", "ravdess", "--to", "sources", "--dry-run"]) == 0
    assert shop.server.requests == [] and not shop.to.exists()
    size = len(shop.audio.content)
    assert f" {size}  no     md5 " in capsys.readouterr().out


def test_a_dry_run_says_what_is_there_and_what_is_left(shop, tmp_path, capsys):
    def shown():
        before, asked = everything(), len(shop.server.requests)
        assert main(["fetch", "ravdess", "--to", "sources", "--dry-run"]) == 0
        assert everything() == before and len(shop.server.requests) == asked
        lines = [re.split("  +", line) for line in capsys.readouterr().out.splitlines()]
        return {line[0]: line[2] for line in lines[2:-1]}, lines[-1][0]

    def everything():
        return {
            path: (path.stat().st_mtime_ns, path.stat().st_size) for path in tmp_path.rglob("*")
        }

    shop.put(write_zip(tmp_path / "audio.2.zip", {f"{FOLDER}/audio/20.wav": b"20"}), "audio.2")
    first, second, third = (row.bytes for row in shop.table)
    size = first + second + third
    there, last = shown()
    assert there == {"meta": "no", "audio.1": "no", "audio.2": "no"}
    assert last.startswith(f"in all {size} bytes; left to download: {size}, unpacked about 150000")

    assert main(["fetch", "ravdess", "--to", "sources", "--parts", "meta"]) == 0
    shop.audio.faults = [Fault(body_bytes=10_000), Fault(status=500)]
    assert main(["fetch", "ravdess", "--to", "sources"]) == 2
    shutil.copy(tmp_path / "audio.2.zip", tmp_path / f"sources/{FOLDER}.archives")
    capsys.readouterr()
    there, last = shown()
    assert there == {"meta": "yes", "audio.1": "10000 bytes", "audio.2": "downloaded"}
    assert f"left to download: {second - 10_000}, unpacked about 100000 into" in last

    assert main(["fetch", "ravdess", "--to", "sources"]) == 0
    capsys.readouterr()
    there, last = shown()
    assert set(there.values()) == {"yes"}
    assert last == f"in all {size} bytes; sources/{FOLDER} is there already"
    (shop.folder / "meta.csv").unlink()
    there, last = shown()
    assert there["meta"] == "1 file(s) missing" and f"left to download: {first}, " in last


def test_a_dry_run_prints_urls_and_bytes(offline, capsys):
    assert main(["fetch", "tau_urban_2019/1a", "--to", "there", "--dry-run"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].startswith("licence: Tampere University")
    assert lines[2].split() == [
        *("doc", "11299", "no", "md5", "1f6879544e80da70099a191613e7e51f"),
        "https://zenodo.org/record/2589280/files/TAU-urban-acoustic-scenes-2019-development.doc.zip",
    ]
    assert len(lines) == 2 + 23 + 1
    assert "in all 35622537482 bytes" in lines[-1]
    assert "there/TAU-urban-acoustic-scenes-2019-development" in lines[-1]


def test_a_dry_run_where_the_bytes_were_not_published(offline, capsys):
    assert main(["fetch", "urbansound8k", "--to", "there", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "all   about 5600000000  no     md5 9aa69802bbf37fb986f71ec1483a196e  https://" in out
    assert "in all about 5600000000 bytes; left to download: about 5600000000, unpacked" in out


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
@pytest.mark.parametrize("name", ["esc50", "esc10", "toy_sounds", "audio_folder"])
def test_what_is_got_by_hand(offline, capsys, name, dry):
    assert main(["fetch", name, "--to", "there", *dry]) == 2
    captured = capsys.readouterr()
    assert f"keras-audio prepare {name}" in captured.out
    last = captured.out.splitlines()[-1]
    assert last == f"`fetch` downloads nothing of {name}: the lines above say all there is to do"
    assert captured.err == ""


def test_audioset_has_tables_to_fetch_and_sounds_to_put_beside_them(shop, capsys):
    shop.table[:] = [dataclasses.replace(file, folder="audioset") for file in shop.table]
    assert main(["fetch", "audioset", "--to", "sources"]) == 0
    out = capsys.readouterr().out
    assert "sources/audioset/audios/eval_segments/Y<YTID>.wav" in out
    assert "sources/audioset/waveforms/balanced_train.h5" in out
    assert "DIR/" not in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "Expected one of the data sets toy_sounds, audio_folder, esc10"),
        (["tau_urban_2019"], "did you mean tau_urban_2019/1a or tau_urban_2019/1b or"),
        (["radvess"], "(did you mean ravdess?). Received: name='radvess'"),
        (["ravdess", "--parts", "video"], "parts of ravdess (speech)"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(offline, capsys, arguments, words):
    assert main(["fetch", *arguments, "--to", "there"]) == 2
    captured = capsys.readouterr()
    assert words in captured.err and captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_full_disk_is_said_before_anything_is_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 5, 5))
    monkeypatch.setattr(socket.socket, "connect", lambda *_: 1 / 0)
    assert main(["fetch", "ravdess", "--to", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "Expected about 0.8 GB of free space" in error and error.count("\n") == 1


def test_tensorflow_is_not_needed():
    code = (
        "import sys; from keras_audio.cli import main\n"
        "main(['fetch', 'ravdess', '--to', 'x', '--dry-run'])\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as status:
        main(["fetch", "--help"])
    assert status.value.code == 0
    text = capsys.readouterr().out
    assert "examples:\n  keras-audio fetch ravdess --to sources" in text
