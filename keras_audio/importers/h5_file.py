"""HDF5 files of strangers: the arrays that Keras 2 lists in them, and nothing that leads elsewhere.

HDF5 can refer to other files by links, by raw data kept outside and by virtual data sets. Such
files are refused: whoever imports one would read what its author could not.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator

import h5py

from keras_audio.importers.h5_header import text_lengths
from keras_audio.importers.untrusted import shown
from keras_audio.models.config_code import code_in_config

# The architecture of the largest original takes a hundredth of this.
_LARGEST_CONFIG = 16 * 2**20
# Of layers or of arrays, in a list. The largest original has 150 layers.
_MOST_NAMES = 10_000
# Bytes of a name, and of all lists of names in a file. Those of the largest original take 35 KB.
_LONGEST_NAME = 1_000
_LARGEST_LISTS = 64 * 2**20
# What a name takes in memory beside its bytes.
_NAME_ITSELF = 64
_ARRAYS_ONLY = "--arrays-only reads the arrays alone and never the code"
_EXPECTED = "Expected a Keras 2 HDF5 file that fits. "


def refused(path, reason: str) -> ValueError:
    """The sentence on a file that is not read."""
    return ValueError(f"{_EXPECTED}Received: path={path} ({reason})")


@dataclasses.dataclass(frozen=True)
class StoredLayer:
    """A layer that has arrays in a file.

    Attributes:
        name: What the file calls it, for messages.
        arrays: Its arrays, not read yet, by what Keras calls them: `kernel`, `bias`, `gamma`.
    """

    name: str
    arrays: dict[str, h5py.Dataset]


@contextlib.contextmanager
def open_keras2(path: str | os.PathLike, *, arrays_only: bool) -> Iterator[list[StoredLayer]]:
    """Open a file that Keras 2 wrote, and list its layers with arrays in the order of creation.

    Args:
        path: The file.
        arrays_only: Whether to leave unread what the file says of its architecture. Otherwise a
            Lambda layer in it is a reason to refuse.

    Raises:
        ValueError: If it is missing, damaged, refers to other files, or holds anything but arrays
            of floating-point numbers.
    """
    if not os.path.isfile(path):
        raise refused(path, "not a file" if os.path.exists(path) else "no such file")
    if not h5py.is_hdf5(path):
        raise refused(path, "not HDF5")
    try:
        with h5py.File(path, "r") as file:
            if not arrays_only:
                _check_no_code(file, path)
            yield _stored_layers(file, path)
    except Exception as error:  # of any kind: the bytes may be anything
        if str(error).startswith(_EXPECTED):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise refused(path, f"damaged: {shown(reason, 200)}") from error


def _check_no_code(file: h5py.File, path) -> None:
    """Refuse an architecture with code in it; it is searched as text and never built."""
    if "model_config" not in file.attrs:
        return
    try:
        config = json.loads(_small_text(file, "model_config", path))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise refused(path, f"its model_config cannot be read; {_ARRAYS_ONLY}") from error
    name = code_in_config(config)
    if name is not None:
        raise refused(
            path,
            f"its layer {name} is a Lambda, which holds code; {_ARRAYS_ONLY}",
        )


def _stored_layers(file: h5py.File, path) -> list[StoredLayer]:
    root = _follow(file, "model_weights", path) if "model_weights" in file else file
    lists = _Lists(path)
    names = lists.read(root, "layer_names")
    if names is None:
        raise refused(path, "no layer_names, which Keras 2 writes")
    if len(set(names)) < len(names):
        raise refused(path, "layer_names has a name twice")
    stored = []
    for name in names:
        group, arrays, called = _follow(root, name, path), {}, shown(name)
        for full_name in lists.read(group, "weight_names") or ():
            own_name = full_name.split("/")[-1].split(":")[0]
            if own_name in arrays:
                raise refused(path, f"{called} has several arrays called {shown(own_name)}")
            array = _follow(group, full_name, path, f"{name}/{own_name}")
            arrays[own_name] = _checked(array, shown(f"{name}/{own_name}"), path)
        if arrays:
            stored.append(StoredLayer(called, arrays))
    return stored


def _follow(group: h5py.Group, name: str, path, called: str | None = None):
    """Go from a group to what it holds, by hard links alone."""
    called = shown(called or name)
    for part in name.split("/"):
        if part in ("", ".", "..") or not name.isprintable() or len(name) > _LONGEST_NAME:
            raise refused(path, f"{name!r:.100} is no name of an array")
        if not isinstance(group, h5py.Group):
            raise refused(path, f"{called} is listed, but not there")
        link = group.get(part, getlink=True)
        if link is None:
            raise refused(path, f"{called} ({shown(part)}) is listed, but not there")
        if not isinstance(link, h5py.HardLink):
            raise refused(path, f"{called} is a link, which may lead to another file")
        group = group[part]
    return group


def _checked(array, name: str, path) -> h5py.Dataset:
    """Refuse what is no array, or is not in the file as plainly as Keras 2 writes it."""
    if not isinstance(array, h5py.Dataset) or array.dtype.kind != "f" or array.shape is None:
        raise refused(path, f"{name} is no array of floating-point numbers")
    if array.external or array.is_virtual:
        raise refused(path, f"{name} is kept in another file")
    if array.id.get_create_plist().get_nfilters():
        raise refused(path, f"{name} is compressed, which Keras 2 does not do")
    # Numbers that were never written are made up on reading, as many as the file claims.
    if array.id.get_storage_size() < array.nbytes:
        raise refused(path, f"{name} claims {array.shape} numbers and does not hold them")
    return array


class _Lists:
    """Lists of names, as long as they are together no larger than those of a network.

    A file may hold a text once and list it many times, or one group under many names.
    """

    def __init__(self, path) -> None:
        self.path = path
        self.left = _LARGEST_LISTS

    def read(self, group, attribute: str) -> list[str] | None:
        """Read a list, in one piece or in those that long ones are cut into."""
        if not isinstance(group, h5py.Group):
            where = f"{attribute} is looked for in {group.name}, which is no group"
            raise refused(self.path, where)
        if attribute in group.attrs:
            return self._piece(group, attribute)
        pieces: list[str] = []
        count = 0
        while f"{attribute}{count}" in group.attrs:
            pieces += self._piece(group, f"{attribute}{count}")
            count += 1
        return pieces if count else None

    def _piece(self, group: h5py.Group, attribute: str) -> list[str]:
        found = group.attrs.get_id(attribute)
        if len(found.shape or ()) != 1:
            raise refused(self.path, f"{attribute} is no list of names")
        count = found.shape[0]
        if not count:  # a list of no numbers, which Keras 2 writes
            return []
        text = h5py.check_string_dtype(found.dtype)
        if text is None:
            raise refused(self.path, f"{attribute} is no list of names")
        # Fixed lengths stand in the file as often as they are listed, or the file is damaged.
        lengths = text_lengths(self.path, group, attribute) if text.length is None else [0]
        if lengths is None:
            raise refused(self.path, f"{attribute} is kept otherwise than Keras 2 has it")
        longest = max(lengths) if text.length is None else text.length
        self.left -= sum(lengths) + count * ((text.length or 0) + _NAME_ITSELF)
        if count > _MOST_NAMES or longest > _LONGEST_NAME or self.left < 0:
            raise refused(self.path, f"{attribute} is too large")
        names = group.attrs[attribute].tolist()
        return [
            name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names
        ]


def _small_text(group: h5py.Group, attribute: str, path) -> str | bytes:
    """Read a text of one piece, unless it is large."""
    found, length = group.attrs.get_id(attribute), None
    kind = h5py.check_string_dtype(found.dtype)
    if kind is not None and found.shape == ():
        length = kind.length or max(text_lengths(path, group, attribute) or [_LARGEST_CONFIG + 1])
    if length is None or length > _LARGEST_CONFIG:
        raise refused(path, f"{attribute} is no text, or too large")
    return group.attrs[attribute]
