"""How much of a sound file is missing, by its own headers: libsndfile would just read less."""

import struct
from typing import BinaryIO

# Programs that write WAV into a pipe cannot know the size: ffmpeg declares 0xFFFFFFFF, others the
# largest signed number, rounded down a little.
_STREAMING_SIZE = 0x7FFF0000
# Four MPEG frames: encoders pad the beginning and the end.
_MP3_PADDING = 4608


def missing_bytes(file: BinaryIO, size: int) -> int:
    """How many bytes a WAV or Ogg lacks at its end; 0 for other formats.

    Args:
        file: At its beginning.
        size: Of the file, in bytes.
    """
    kind = file.read(4)
    if kind in (b"RIFF", b"RIFX", b"RF64"):
        return _missing_wav_bytes(file, size, ">" if kind == b"RIFX" else "<")
    return _missing_ogg_bytes(file, size) if kind == b"OggS" else 0


def _missing_wav_bytes(file: BinaryIO, size: int, order: str) -> int:
    """Walk the chunks up to `data` and compare its declared size with what the file holds."""
    position, block_align, large_size = 12, 1, None
    while position + 8 <= size:
        file.seek(position)
        name, declared = struct.unpack(f"{order}4sI", file.read(8))
        if name == b"data":
            if declared == 0xFFFFFFFF and large_size is not None:
                declared = large_size
            elif declared >= _STREAMING_SIZE and size < _STREAMING_SIZE:
                return 0
            missing = declared - (size - position - 8)
            # Less than one sample of every channel: nothing that could be heard is lost.
            return missing if missing >= block_align else 0
        content = file.read(min(declared, 32))
        if name == b"fmt " and len(content) >= 14:
            block_align = max(1, struct.unpack_from(f"{order}H", content, 12)[0])
        elif name == b"ds64" and len(content) >= 16:
            large_size = struct.unpack_from(f"{order}Q", content, 8)[0]
        # Chunks start at even positions: an odd one is followed by a byte that is not counted.
        position += 8 + declared + declared % 2
    return 0


def _missing_ogg_bytes(file: BinaryIO, size: int) -> int:
    """Find the last page and compare the size its segment table gives with what is there."""
    # A page is at most 27 + 255 + 255 * 255 bytes, so its beginning is in the tail.
    start = max(0, size - 65536)
    file.seek(start)
    tail = file.read()
    page = tail.rfind(b"OggS")
    if page < 0:
        return 0
    header = tail[page : page + 27]
    if len(header) < 27:
        return 27 - len(header)
    table = tail[page + 27 : page + 27 + header[26]]
    if len(table) < header[26]:
        return header[26] - len(table)
    return max(0, page + 27 + len(table) + sum(table) - len(tail))


def mp3_slack(file: BinaryIO) -> float:
    """By how many samples an MP3 may be shorter than libsndfile says before it is truncated.

    With a Xing or Info tag in the first frame the length is known but for the encoder's padding;
    without one it is a guess, which for a variable bit rate may be twice the truth.
    """
    file.seek(0)
    head = file.read(10)
    start = 0
    if len(head) == 10 and head[:3] == b"ID3":
        start = 10 + sum((byte & 127) << 7 * (3 - place) for place, byte in enumerate(head[6:]))
    file.seek(start)
    frame = file.read(256)
    return _MP3_PADDING if b"Xing" in frame or b"Info" in frame else float("inf")
