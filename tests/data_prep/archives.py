"""Archives as nobody should make them, for the tests of unpacking."""

import io
import stat
import struct
import tarfile
import zipfile

HARMLESS = {"sounds/dog.wav": b"woof" * 100, "sounds/deep/cat.wav": b"", "README": b"read me"}


def write_zip(path, files, **attributes):
    """Write a zip of (name, content) pairs; attributes go to the last entry's ZipInfo."""
    files = list(files.items() if isinstance(files, dict) else files)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for index, (name, content) in enumerate(files):
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if index == len(files) - 1:
                for attribute, value in attributes.items():
                    setattr(info, attribute, value)
            archive.writestr(info, content)
    return path


def write_tar(path, files, **attributes):
    """Write a tar, packed if its name says so; attributes go to the last member's TarInfo."""
    files = list(files.items() if isinstance(files, dict) else files)
    mode = "w:gz" if path.suffix == ".gz" else "w"
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as archive:
        for index, (name, content) in enumerate(files):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
            if index == len(files) - 1:
                for attribute, value in attributes.items():
                    setattr(info, attribute, value)
            archive.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return path


def write(path, files):
    return write_zip(path, files) if path.suffix == ".zip" else write_tar(path, files)


def unix(kind):
    """The attributes of a zip entry of a kind of stat, such as S_IFLNK."""
    return {"create_system": 3, "external_attr": (kind | 0o777) << 16}


def patch_zip(path, field, value, signature=b"PK\x01\x02"):
    """Overwrite a field of the last header of a kind: by its offset in it and struct format."""
    offset, form = field
    data = bytearray(path.read_bytes())
    place = data.rindex(signature)
    struct.pack_into(f"<{form}", data, place + offset, value)
    path.write_bytes(data)
    return path


# Of a zip's central directory: offset and format of the flags, method and lengths.
FLAGS, METHOD, CRC, PACKED, UNPACKED = (8, "H"), (10, "H"), (16, "L"), (20, "L"), (24, "L")
NAMES_OUTSIDE = (
    *("/etc/passwd", "../outside", "sounds/../../outside", "//server/share", "..", "a/..", "../"),
    *("C:\\windows", "c:/windows", "..\\outside", "sounds\\..\\..\\outside"),
    *(" ", "dog.wav ", "new\nline", "bell\a"),
)
KINDS_OF_TAR = {
    "a symbolic link": {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
    "a hard link": {"type": tarfile.LNKTYPE, "linkname": "sounds/dog.wav"},
    "a character device": {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3},
    "a block device": {"type": tarfile.BLKTYPE, "devmajor": 8, "devminor": 0},
    "a pipe": {"type": tarfile.FIFOTYPE},
    "nothing known": {"type": b"Z"},
}
KINDS_OF_ZIP = {
    "a symbolic link": stat.S_IFLNK,
    "a character device": stat.S_IFCHR,
    "a block device": stat.S_IFBLK,
    "a pipe": stat.S_IFIFO,
    "a socket": stat.S_IFSOCK,
    "a folder without a slash": stat.S_IFDIR,
}
