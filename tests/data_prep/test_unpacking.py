"""Archives of every harmful kind: nothing of them is written, and nothing outside the folder."""

import gzip
import io
import random
import struct
import tarfile
import zipfile

import pytest
from archives import (
    CRC,
    FLAGS,
    HARMLESS,
    KINDS_OF_TAR,
    KINDS_OF_ZIP,
    METHOD,
    NAMES_OUTSIDE,
    PACKED,
    UNPACKED,
    patch_zip,
    unix,
    write,
    write_tar,
    write_zip,
)

from data_prep.unpacking import Limits, open_archive

KINDS = ("zip", "tar", "tar.gz")


def tree(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def refused(tmp_path):
    """That an archive is refused with these words before anything is written."""
    work = tmp_path / "work"
    work.mkdir()

    def check(path, words, **arguments):
        with pytest.raises(ValueError, match=words) as info:
            with open_archive(path, **arguments) as archive:
                archive.unpack(work / "new")
        assert str(path) in str(info.value) and str(info.value).count("\n") == 0
        assert not list(work.iterdir())

    return check


@pytest.mark.parametrize("kind", KINDS)
def test_files_and_folders(tmp_path, kind):
    path = write(tmp_path / f"sounds.{kind}", {"sounds/empty/": b""} | HARMLESS)
    written, read = [], []
    with open_archive(path, progress=read.append) as archive:
        assert (archive.files, archive.bytes) == (3, sum(map(len, HARMLESS.values())))
        archive.unpack(tmp_path / "a" / "new", written.append)
    assert tree(tmp_path / "a" / "new") == HARMLESS
    assert sum(written) == archive.bytes
    assert sum(read) == 0 if kind == "zip" else 0 < sum(read) <= path.stat().st_size


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_in_its_place(tmp_path, kind):
    files = {"sounds/": b"", "__MACOSX/sounds/dog.wav": b"fork"} | HARMLESS
    path = write(tmp_path / f"sounds.{kind}", files)
    with open_archive(path, inside="sounds") as archive:
        archive.unpack(tmp_path / "new")
    assert tree(tmp_path / "new") == {
        "dog.wav": HARMLESS["sounds/dog.wav"],
        "deep/cat.wav": b"",
        "README": b"read me",
        "__MACOSX/sounds/dog.wav": b"fork",
    }


def test_a_tarball_of_the_folder_it_was_made_in(tmp_path):
    write_tar(tmp_path / "here.tar.gz", {"./README": b"read me"})
    with tarfile.open(tmp_path / "dot.tar", "w") as archive:
        folder = tarfile.TarInfo(".")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        archive.addfile(tarfile.TarInfo("./a/./b"))
    for name in ("here.tar.gz", "dot.tar"):
        with open_archive(tmp_path / name) as archive:
            archive.unpack(tmp_path / "new" / name)
    assert tree(tmp_path / "new") == {"here.tar.gz/README": b"read me", "dot.tar/a/b": b""}


def test_no_permission_of_an_archive_is_taken(tmp_path):
    mode = {"external_attr": 0o104777 << 16, "create_system": 3}
    paths = [
        write_zip(tmp_path / "a.zip", {"run": b"#!"}, **mode),
        write_tar(tmp_path / "a.tar", {"run": b"#!"}, mode=0o4777),
    ]
    for path in paths:
        with open_archive(path) as archive:
            archive.unpack(tmp_path / path.suffix)
        assert (tmp_path / path.suffix / "run").stat().st_mode & 0o7111 == 0


def test_an_existing_folder_is_not_written_to(tmp_path):
    (tmp_path / "new").mkdir()
    with open_archive(write_zip(tmp_path / "a.zip", HARMLESS)) as archive:
        with pytest.raises(FileExistsError):
            archive.unpack(tmp_path / "new")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES_OUTSIDE)
def test_names_that_lead_out_of_the_folder(tmp_path, refused, kind, name):
    path = write(tmp_path / f"a.{kind}", [*HARMLESS.items(), (name, b"harm")])
    refused(path, "Expected a file inside the source folder")


def test_a_name_that_ends_early_for_some(tmp_path, refused):
    path = write_zip(tmp_path / "a.zip", {"dog.wavXsh": b"harm"})
    path.write_bytes(path.read_bytes().replace(b"dog.wavX", b"dog.wav\0"))
    refused(path, "Expected a file inside the source folder")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["a" * 1025, "a/" * 1000])
def test_names_without_end(tmp_path, refused, kind, name):
    refused(write(tmp_path / f"a.{kind}", {name + "b": b""}), "a name of [0-9]+ characters: 'a")


@pytest.mark.parametrize("kind", KINDS_OF_TAR)
def test_members_of_tars_that_are_no_files(tmp_path, refused, kind):
    files = [*HARMLESS.items(), ("link", b"")]
    for name in ("a.tar", "a.tar.gz"):
        path = write_tar(tmp_path / name, files, **KINDS_OF_TAR[kind])
        refused(path, "got a link, a device or a sparse file: 'link'")


@pytest.mark.parametrize("kind", KINDS_OF_ZIP)
def test_entries_of_zips_that_are_no_files(tmp_path, refused, kind):
    files = [*HARMLESS.items(), ("link", b"/etc/passwd")]
    path = write_zip(tmp_path / "a.zip", files, **unix(KINDS_OF_ZIP[kind]))
    refused(path, "got a link or a device: 'link'")


def test_a_file_through_a_link(tmp_path, refused):
    """The old trick: a link out of the folder, then a file below the link."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("door")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("door/outside"))
    refused(path, "got a link")
    assert not (tmp_path / "outside").exists()


def test_a_sparse_file(tmp_path, refused):
    """A gigabyte of nothing in a few bytes, in the way of GNU tar."""
    path = tmp_path / "a.tar"
    headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(10**9)}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("hole")
        info.size, info.pax_headers = 1, headers
        archive.addfile(info, io.BytesIO(b"x"))
    refused(path, "a sparse file: 'hole'")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "names",
    [
        ("dog", "dog"),
        ("a/dog", "./a//dog"),
        ("dog", "dog/cat"),
        ("dog/cat", "dog"),
        ("dog", "dog/"),
        ("dog/", "dog"),
    ],
    ids=" ".join,
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_are_there_twice(tmp_path, refused, kind, names):
    path = write(tmp_path / f"a.{kind}", [(name, b"") for name in names])
    refused(path, "got a name that is there twice")


def test_a_name_twice_where_a_folder_is_left_out(tmp_path, refused):
    path = write_zip(tmp_path / "a.zip", [("sounds/dog", b"1"), ("dog", b"2")])
    refused(path, "a name that is there twice: 'dog'", inside="sounds")


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_files(tmp_path, refused, kind):
    path = write(tmp_path / f"a.{kind}", {f"{index}": b"" for index in range(12)})
    refused(path, "of 11 files and folders at most", limits=Limits(files=11))
    # Folders that a single name makes count, too.
    path = write(tmp_path / f"b.{kind}", {"a/b/c/d/e/f": b""})
    refused(path, "of 5 files and folders at most", limits=Limits(files=5))
    with open_archive(path, Limits(files=6)):
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_bytes(tmp_path, refused, kind):
    path = write(tmp_path / f"a.{kind}", {str(index): bytes(1000) for index in range(10)})
    refused(path, "to 9999 bytes at most, got one that declares 10000", limits=Limits(bytes=9999))
    with open_archive(path, Limits(bytes=10_000)):
        pass


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_bomb(tmp_path, refused, kind):
    """Twenty megabytes of zeros take twenty kilobytes."""
    path = write(tmp_path / f"a.{kind}", {"a": bytes(10_000_000), "b": bytes(10_000_000)})
    refused(path, "bytes at most, got one that declares")
    with open_archive(path, Limits(ratio=2000)):
        pass


def test_a_bomb_of_one_file_that_many_entries_share(tmp_path, refused):
    path = write_zip(tmp_path / "a.zip", {"first": random.Random(0).randbytes(50_000)})
    data = path.read_bytes()
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry = data[start:end]
    entries = b"".join(entry.replace(b"first", b"%05d" % index) for index in range(9))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9, 9, len(entries), start, 0)
    path.write_bytes(data[:start] + entries + tail)
    assert len(zipfile.ZipFile(path).infolist()) == 9
    refused(path, "Expected entries that do not overlap")


@pytest.mark.parametrize("told", [399, 5])
def test_a_zip_that_declares_less_than_it_holds(tmp_path, told):
    path = write_zip(tmp_path / "a.zip", {"dog": HARMLESS["sounds/dog.wav"]})
    patch_zip(path, UNPACKED, told)
    with open_archive(path) as archive:
        with pytest.raises(ValueError, match="Bad CRC-32 for file 'dog'"):
            archive.unpack(tmp_path / "new")
    assert (tmp_path / "new" / "dog").stat().st_size <= told


def test_a_zip_that_declares_more_than_it_holds(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"dog": HARMLESS["sounds/dog.wav"]})
    patch_zip(path, UNPACKED, 401)
    with open_archive(path) as archive:
        with pytest.raises(ValueError, match="Expected 401 bytes of 'dog', as declared, got 400"):
            archive.unpack(tmp_path / "new")


def test_no_file_gets_longer_than_was_declared(tmp_path, monkeypatch):
    """Even if the library gave more than the archive declares."""
    path = write_zip(tmp_path / "a.zip", {"dog": b"woof"})
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: io.BytesIO(b"woof!"))
    with open_archive(path) as archive:
        with pytest.raises(ValueError, match="Expected 4 bytes of 'dog', as declared, got more"):
            archive.unpack(tmp_path / "new")
    assert (tmp_path / "new" / "dog").stat().st_size == 0


@pytest.mark.parametrize("flag", [0x1, 0x41, 0x2001])
def test_encrypted_files(tmp_path, refused, flag):
    path = patch_zip(write_zip(tmp_path / "a.zip", HARMLESS), FLAGS, flag)
    refused(path, "got an encrypted file: 'README'")


@pytest.mark.parametrize("method", [12, 14, 9, 99, 93])
def test_unusual_compression(tmp_path, refused, method):
    path = patch_zip(write_zip(tmp_path / "a.zip", HARMLESS), METHOD, method)
    refused(path, f"got compression of type {method}: 'README'")


def test_a_checksum_of_a_zip_that_is_wrong(tmp_path):
    path = patch_zip(write_zip(tmp_path / "a.zip", HARMLESS), CRC, 5)
    with open_archive(path) as archive, pytest.raises(ValueError, match="Bad CRC-32.*README"):
        archive.unpack(tmp_path / "new")


def test_packed_sizes_that_do_not_add_up(tmp_path, refused):
    path = patch_zip(write_zip(tmp_path / "a.zip", HARMLESS), PACKED, 10**9)
    refused(path, "Expected entries that do not overlap")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("type", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_is_too_long_for_the_memory(tmp_path, refused, packed, type):
    """A name of a gigabyte, as a tar may announce, would be read in one go."""
    header = tarfile.TarInfo("a")
    header.type, header.size = type, 10**9
    data = header.tobuf(tarfile.USTAR_FORMAT) + bytes(10_000)
    path = tmp_path / ("a.tar.gz" if packed else "a.tar")
    path.write_bytes(gzip.compress(data) if packed else data)
    refused(path, "a header of 1000000[0-9]+ bytes")


def test_headers_about_headers_without_end(tmp_path, refused):
    header = tarfile.TarInfo("a")
    header.type = tarfile.XGLTYPE
    (tmp_path / "a.tar").write_bytes(header.tobuf(tarfile.USTAR_FORMAT) * 5000)
    refused(tmp_path / "a.tar", "Expected an archive that is whole")


@pytest.mark.parametrize("type", [tarfile.REGTYPE, tarfile.XHDTYPE])
def test_a_tar_that_leads_back(tmp_path, refused, type):
    """A negative length sends readers to a header that they have read; new ones call it damage."""
    header = tarfile.TarInfo("a")
    header.type = type
    data = bytearray(header.tobuf(tarfile.USTAR_FORMAT))
    data[124:136] = (-1024).to_bytes(12, "big", signed=True)
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data)
    before = [tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT) for name in ("first", "second")]
    (tmp_path / "a.tar").write_bytes(b"".join(before) + data + bytes(1024))
    refused(tmp_path / "a.tar", "-1024 bytes|an archive that is whole")


@pytest.mark.parametrize("kind", KINDS)
def test_archives_that_are_cut_off(tmp_path, kind):
    sounds = {f"{index}.wav": random.Random(index).randbytes(2000) for index in range(5)}
    whole = write(tmp_path / f"whole.{kind}", sounds).read_bytes()
    path = tmp_path / f"cut.{kind}"
    for length in range(0, 5 * 2000, 700):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="Expected an archive that is whole"):
            with open_archive(path) as archive:
                archive.unpack(tmp_path / str(length))


def test_a_tar_with_a_damaged_header_in_its_middle(tmp_path, refused):
    path = write_tar(tmp_path / "a.tar", {"a": b"1", "b": b"2"})
    data = bytearray(path.read_bytes())
    data[1024 + 5] ^= 1
    path.write_bytes(data)
    refused(path, "got a damaged header")


@pytest.mark.parametrize("name", ["a.rar", "a.7z", "a.tar.xz", "zip"])
def test_other_kinds(tmp_path, refused, name):
    (tmp_path / name).write_bytes(b"what is it")
    refused(tmp_path / name, "Expected a .zip, .tar or .tar.gz")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", [b"", b"<html>not an archive</html>" * 50, bytes(5000)])
def test_what_is_no_archive(tmp_path, kind, content):
    path = tmp_path / f"a.{kind}"
    path.write_bytes(content)
    if kind == "tar" and not content.strip(b"\0") and content:
        with open_archive(path) as archive:  # Zeros are a tar of nothing.
            assert (archive.files, archive.bytes) == (0, 0)
        return
    with pytest.raises(ValueError, match="Expected an archive that is whole"):
        with open_archive(path):
            pass


def test_damage_of_any_kind_is_said_in_a_sentence(tmp_path):
    """Thousands of damaged archives: each is refused by name, or gives what it declares."""
    rng = random.Random(0)
    sounds = {f"x/é{index}.wav": rng.randbytes(200) + bytes(200) for index in range(3)}
    for kind in KINDS:
        whole = write(tmp_path / f"whole.{kind}", sounds).read_bytes()
        for count in range(300):
            data = bytearray(whole)
            for _ in range(rng.randint(1, 4)):
                data[rng.randrange(len(data))] = rng.choice((0, 255, rng.randrange(256)))
            path = tmp_path / f"damaged.{kind}"
            path.write_bytes(data)
            try:
                with open_archive(path) as archive:
                    archive.unpack(tmp_path / kind / str(count))
            except ValueError as error:
                assert str(path) in str(error), error
            else:
                assert sum(map(len, tree(tmp_path / kind / str(count)).values())) == archive.bytes
