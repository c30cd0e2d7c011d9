"""Many texts, or lists of numbers, in two arrays: what is in them, and where each of them ends."""

import array
import hashlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np


class Strings(Sequence[str]):
    """Many short texts in two arrays, where a list would take a Python object each.

    Args:
        data: All of them in UTF-8 one after the other, uint8 (bytes,).
        ends: Where each ends in `data`, int64 (texts,).

    Example:
        >>> names = Strings.of(["dog", "", "rooster"])
        >>> names[2], len(names), list(names[:2]), names.data.nbytes
        ('rooster', 3, ['dog', ''], 10)
    """

    def __init__(self, data: np.ndarray, ends: np.ndarray) -> None:
        self.data, self.ends = data, ends

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Strings":
        """Copy the texts, which may come one by one."""
        builder = StringsBuilder()
        for text in texts:
            builder.append(text)
        return builder.strings()

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        start = self.ends[index - 1] if index else 0
        return self.data[start : self.ends[index]].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        start, data = 0, self.data.tobytes()
        for end in self.ends:
            yield data[start:end].decode()
            start = end

    def take(self, indices: np.ndarray) -> "Strings":
        """Those at `indices`, in that order."""
        places, ends = pieces(self.ends, indices)
        return Strings(self.data[places], ends)

    def digests(self) -> np.ndarray:
        """Numbers, uint64 (texts,), equal for equal texts and hardly ever for others."""
        digests = (
            int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) for text in self
        )
        return np.fromiter(digests, np.uint64, len(self))

    @staticmethod
    def concatenate(parts: Sequence["Strings"]) -> "Strings":
        """The texts of all parts, one part after the other."""
        data = np.concatenate([part.data for part in parts])
        return Strings(data, joined_ends([part.ends for part in parts]))


class StringsBuilder:
    """Collects texts one by one.

    Example:
        >>> builder = StringsBuilder()
        >>> builder.append("dog")
        >>> list(builder.strings())
        ['dog']
    """

    def __init__(self) -> None:
        self._data, self._ends = bytearray(), array.array("q")

    def append(self, text: str) -> None:
        """Add a text at the end."""
        self._data += text.encode()
        self._ends.append(len(self._data))

    def strings(self) -> Strings:
        """What was added."""
        return Strings(np.frombuffer(bytes(self._data), np.uint8), np.array(self._ends, np.int64))


def pieces(ends: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the things at `indices` lie in a flat array in which thing i ends at `ends[i]`.

    Args:
        ends: int64 (things,), ascending.
        indices: int (wanted,).

    Returns:
        The place of each of their elements, and where each of them ends among these.

    Example:
        >>> pieces(np.array([2, 2, 5]), np.array([2, 0]))
        (array([2, 3, 4, 0, 1]), array([3, 5]))
    """
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)[indices]
    lengths = ends[indices] - starts
    new_ends = np.cumsum(lengths)
    total = int(new_ends[-1]) if len(new_ends) else 0
    return np.arange(total) + np.repeat(starts - new_ends + lengths, lengths), new_ends


def joined_ends(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Where the things of all parts end, int64, when the parts lie one after the other."""
    parts = [np.asarray(part, np.int64) for part in parts if len(part)]
    if not parts:
        return np.zeros(0, np.int64)
    before = np.cumsum([0, *(part[-1] for part in parts[:-1])])
    return np.concatenate([part + first for part, first in zip(parts, before, strict=True)])
