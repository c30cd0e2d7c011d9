"""Arrays of an `.npz` file of unknown origin: no pickle, and nothing larger than it says."""

import math
import os
import zipfile
from typing import Self

import numpy as np

# Of an array; the recordings of the original networks have 3 MB.
_LARGEST = 4 * 2**30


class Recording:
    """The arrays of an `.npz` file, each read when it is asked for; a context manager.

    Args:
        path: The file.

    Raises:
        ValueError: If it is missing or damaged, or an array in it is larger than 4 GiB, is not of
            numbers, or is not as large as it says.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "io.npz")
        >>> np.savez(path, x=np.ones((2, 3)))
        >>> with Recording(path) as recording:
        ...     recording.shapes, recording.read("x").tolist()
        ({'x': (2, 3)}, [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = path
        if not os.path.isfile(path):
            raise self._refused("not a file" if os.path.exists(path) else "no such file")
        try:
            self._archive = zipfile.ZipFile(path)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise self._refused("damaged, or no .npz file") from error
        # Before any is read: an array of zeros takes a thousandth of its size.
        self.shapes: dict[str, tuple[int, ...]] = {}
        for member in self._archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name in self.shapes or not name.isprintable() or not name:
                raise self._refused(f"{name!r:.60} is no name of an array")
            self.shapes[name] = self._shape(member, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self._archive.close()

    def read(self, name: str, dtype: str | None = None) -> np.ndarray:
        """Read an array.

        Args:
            name: Its name.
            dtype: Of the numbers that are wanted; None takes those that are there.

        Raises:
            ValueError: If it is damaged, or a number in it is not finite, or not as `dtype`.
        """
        try:
            with self._archive.open(self._member(name)) as stream:
                array = np.lib.format.read_array(stream, allow_pickle=False)
        except Exception as error:  # zipfile, zlib and NumPy raise a dozen kinds
            raise self._refused(f"{name} is damaged") from error
        if not np.isfinite(array).all():
            raise self._refused(f"{name} holds values that are not finite")
        if dtype is None:
            return array
        with np.errstate(over="ignore"):
            array = np.asarray(array, dtype)
        if not np.isfinite(array).all():
            raise self._refused(f"{name} holds values that are beyond {dtype}")
        return array

    def _shape(self, member: zipfile.ZipInfo, name: str) -> tuple[int, ...]:
        """What the header of an array says, if the array can be of that size."""
        try:
            with self._archive.open(member) as stream:
                version = np.lib.format.read_magic(stream)
                read_header = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[version]
                shape, _, dtype = read_header(stream)
                size = member.file_size - stream.tell()
        except Exception as error:  # as above
            raise self._refused(f"{name!r:.60} is no array of NumPy") from error
        if dtype.kind not in "fiu":
            raise self._refused(f"{name} is no array of numbers")
        if math.prod(shape) * dtype.itemsize != size or size > _LARGEST:
            raise self._refused(f"{name} of shape {shape} is larger than 4 GiB, or not as large")
        return shape

    def _member(self, name: str) -> str:
        names = self._archive.namelist()
        return name if name in names else f"{name}.npy"

    def _refused(self, reason: str) -> ValueError:
        return ValueError(
            f"Expected a recording, an .npz file of arrays. Received: path={self.path} ({reason})"
        )
