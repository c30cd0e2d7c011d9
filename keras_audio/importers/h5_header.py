"""How long the texts of an HDF5 attribute are, before the library makes room for them.

HDF5 keeps a text without a fixed length elsewhere in the file, and refers to it by its length and
place. Many references may be to one text, and lengths may be lies; the library believes them when
it allocates, and cannot be asked for them. So they are read where they stand: in the messages of
the header of a group, see "HDF5 File Format Specification", IV.A.1 and IV.A.2.m.
"""

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

import h5py

_ATTRIBUTE, _CONTINUATION = 0x0C, 0x10
_SHARED = 2  # the flag of a message that is kept elsewhere
# A length, and where the text is: the address of a heap and the number in it.
_REFERENCE = 16
# Attributes of Keras 2 have 64 KB at most, and a group has few of them.
_LARGEST_HEADER = 16 * 2**20


def text_lengths(path: str | os.PathLike, group: h5py.Group, attribute: str) -> list[int] | None:
    """Bytes that each text of an attribute of texts without a fixed length is said to have.

    Args:
        path: The file.
        group: A group in it, open.
        attribute: One of its attributes.

    Returns:
        None if the attribute is kept in another way than Keras 2 has it, or the header is damaged.
    """
    plain = group.file.id.get_create_plist().get_sizes() == (8, 8)
    count = group.attrs.get_id(attribute).get_space().get_simple_extent_npoints()
    if not plain or group.file.userblock_size:
        return None
    try:
        with open(path, "rb") as file:
            messages = list(_messages(file, h5py.h5o.get_info(group.id).addr))
        found = [_value(body) for kind, body in messages if kind == _ATTRIBUTE]
        (value,) = [value for name, value in found if name == attribute.encode()]
        return [struct.unpack_from("<I", value, _REFERENCE * n)[0] for n in range(count)]
    except (struct.error, ValueError):
        return None


def _messages(file: BinaryIO, address: int) -> Iterator[tuple[int, bytes]]:
    """Every message of the header at an address, in both versions: its kind and what it says."""
    file.seek(address)
    start = file.read(64)
    if start.startswith(b"OHDR\x02"):
        flags = start[5]
        at = 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
        width = 1 << (flags & 3)
        head, ends = "<BHB" + "H" * bool(flags & 4), 4
        blocks = [(address + at + width, int.from_bytes(start[at : at + width], "little"))]
    elif start.startswith(b"\x01"):
        head, ends = "<HHBxxx", 0
        blocks = [(address + 16, struct.unpack_from("<I", start, 8)[0])]
    else:
        raise ValueError("no header")
    left = _LARGEST_HEADER
    while blocks:
        place, size = blocks.pop()
        left -= size + 1
        if size < 0 or left < 0:
            raise ValueError("a header that is large, or goes in a circle")
        file.seek(place)
        block, at = file.read(size), 0
        while at + struct.calcsize(head) <= len(block):
            kind, length, flags = struct.unpack_from(head, block, at)[:3]
            at += struct.calcsize(head)
            body = block[at : at + length]
            at += length
            if flags & _SHARED and kind == _ATTRIBUTE:
                raise ValueError("an attribute that is kept elsewhere")
            if kind == _CONTINUATION:
                place, size = struct.unpack_from("<QQ", body)
                # Those of the second version stand between a signature and a checksum.
                blocks.append((place + ends, size - 2 * ends))
            yield kind, body


def _value(body: bytes) -> tuple[bytes, bytes]:
    """The name of an attribute, and its value as it stands in the file."""
    version, *sizes = struct.unpack_from("<BxHHH", body)
    name = body[9 if version == 3 else 8 :][: sizes[0]].split(b"\0")[0]
    if version == 1:  # each part is filled up to a multiple of eight
        sizes = [size + -size % 8 for size in sizes]
    return name, body[(9 if version == 3 else 8) + sum(sizes) :]
