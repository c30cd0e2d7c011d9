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

from keras_audio.models.config_code import code_in_config

# The architecture of the largest original takes a hundredth of this.
_LARGEST_CONFIG = 16 * 2**20
# Of layers or of arrays. The largest original has 150 layers, and 50 MB with its optimizer.
_MOST_NAMES = 10_000
_LARGEST_LIST = 8 * 2**30
_ARRAYS_ONLY = "--arrays-only reads the arrays alone and never the code"
_EXPECTED = "Expected a Keras 2 HDF5 file that fits. "


def refused(path, reason: str) -> ValueError:
    """The sentence on a file that is not read."""
    return ValueError(f"{_EXPECTED}Received: path={path} ({reason})")


@dataclasses.dataclass(frozen=True)
class StoredLayer:
    """A layer that has arrays in a file.

    Attributes:
        name: What the file calls it.
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
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise refused(path, f"damaged: {reason}") from error


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
    names = _names(root, "layer_names", path)
    if names is None:
        raise refused(path, "no layer_names, which Keras 2 writes")
    if len(set(names)) < len(names):
        raise refused(path, "layer_names has a name twice")
    stored = []
    for name in names:
        group, arrays = _follow(root, name, path), {}
        for full_name in _names(group, "weight_names", path) or ():
            own_name = full_name.split("/")[-1].split(":")[0]
            if own_name in arrays:
                raise refused(path, f"{name} has several arrays called {own_name}")
            array = _follow(group, full_name, path, f"{name}/{own_name}")
            arrays[own_name] = _checked(array, f"{name}/{own_name}", path)
        if arrays:
            stored.append(StoredLayer(name, arrays))
    return stored


def _follow(group: h5py.Group, name: str, path, called: str | None = None):
    """Go from a group to what it holds, by hard links alone."""
    called = called or name
    for part in name.split("/"):
        if part in ("", ".", "..") or not name.isprintable() or len(name) > 1000:
            raise refused(path, f"{name!r:.100} is no name of an array")
        if not isinstance(group, h5py.Group):
            raise refused(path, f"{called} is listed, but not there")
        link = group.get(part, getlink=True)
        if link is None:
            raise refused(path, f"{called} ({part}) is listed, but not there")
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


def _names(group, attribute: str, path) -> list[str] | None:
    """Read a list of names, in one piece or in those that long ones are cut into."""
    if not isinstance(group, h5py.Group):
        raise refused(path, f"{attribute} is looked for in {group.name}, which is no group")
    if attribute in group.attrs:
        return _name_list(group, attribute, path)
    pieces: list[str] = []
    count = 0
    while f"{attribute}{count}" in group.attrs:
        pieces += _name_list(group, f"{attribute}{count}", path)
        count += 1
    return pieces if count else None


def _name_list(group: h5py.Group, attribute: str, path) -> list[str]:
    found = group.attrs.get_id(attribute)
    if len(found.shape or ()) != 1:
        raise refused(path, f"{attribute} is no list of names")
    count = found.shape[0]
    if not count:  # a list of no numbers, which Keras 2 writes
        return []
    text = h5py.check_string_dtype(found.dtype)
    if text is None:
        raise refused(path, f"{attribute} is no list of names")
    # Texts without a length may all be the same one: once in the file, many times in memory.
    length = os.path.getsize(path) if text.length is None else text.length
    if count > _MOST_NAMES or count * length > _LARGEST_LIST:
        raise refused(path, f"{attribute} is too large")
    names = group.attrs[attribute].tolist()
    return [name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names]


def _small_text(group: h5py.Group, attribute: str, path) -> str | bytes:
    """Read a text of one piece, unless it is large."""
    kind = group.attrs.get_id(attribute)
    text = group.attrs[attribute] if kind.shape == () else None
    if not isinstance(text, str | bytes) or len(text) > _LARGEST_CONFIG:
        raise refused(path, f"{attribute} is no text, or too large")
    return text
