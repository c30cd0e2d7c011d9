"""A run folder out of an original checkpoint, which everything that takes a run takes."""

import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from keras_audio.files import locked, replacing, write_json
from keras_audio.importers import Original, load_original, read_original
from keras_audio.importers.untrusted import listed
from keras_audio.recipes import Recipe
from keras_audio.training.environment import describe_environment
from keras_audio.training.opening import begin_run, file_digest, lock_of
from keras_audio.training.run_folder import IMPORT, RunFolder
from keras_audio.training.trainer import open_data

# More than any data set has: 527 tags of AudioSet take 10 KB.
_LARGEST_LABELS = 2**20
# All that an import makes in its folder.
_MADE = {
    *("done.json", "environment.json", IMPORT, "labels.txt", "model.keras", "recipe.json"),
    "split.json",
}


def import_run(
    file: str | os.PathLike,
    recipe: Recipe,
    labels: Sequence[str],
    *,
    to: str | os.PathLike,
    data_dir: str | os.PathLike = "data",
    arrays_only: bool = False,
    force: bool = False,
) -> RunFolder:
    """Make a run folder of an original checkpoint.

    The model in it is what the recipe would train, from waveform to predictions, with the weights
    of the file. If the records of the recipe's data set are found and have these classes, the
    run's clips are the recipe's split of them, as if it had been trained on it; otherwise it has no
    clips, and whatever it is measured on must have its classes in its order.

    Args:
        file: As of `keras_audio.importers.read_original`.
        recipe: What the network is, and how sounds reach it: `fields_of_original` gives the fields
            that the file settles.
        labels: The class names in the order of the outputs.
        to: The run folder, which must not be there yet.
        data_dir: Where `keras-audio prepare` put the records.
        arrays_only: Whether to take an HDF5 file that carries code, without looking at the code.
        force: Replace an earlier import in the folder, if nothing was made there of it since.

    Raises:
        ValueError: If the file is damaged, hostile or does not fit the recipe, the labels are not
            as many as its classes, or the folder is taken. Nothing is left of it then.

    Example:
        >>> from keras_audio.recipes import ResidualBlocks
        >>> import_run("m3.h5", ResidualBlocks(network="m3"), ["dog", "rain"], to="runs/m3")
        Traceback (most recent call last):
        ValueError: Expected a Keras 2 HDF5 file that fits. Received: path=m3.h5 (no such file)
    """
    path, labels = pathlib.Path(to), list(labels)
    _check_free(path, force)
    original = read_original(file, recipe.model_name, arrays_only=arrays_only)
    check_labels(labels, original)
    model = recipe.build_model(len(labels))
    load_original(model, original)
    with locked(lock_of(path), "import into this folder"):
        _check_free(path, force)  # of another import, which was quicker
        with replacing(path) as temporary:
            temporary.mkdir()
            model.save(temporary / "model.keras")
            facts = {"file": pathlib.Path(file).name, "sha256": file_digest(pathlib.Path(file))}
            facts |= {"format": original.format, "model": original.model}
            write_json(temporary / IMPORT, facts | {"arrays_only": arrays_only})
            write_json(temporary / "done.json", {"imported_from": facts["file"]})
            split = _split_of(recipe, labels, data_dir)
            begin_run(temporary, recipe, labels, split, describe_environment())
    return RunFolder(path)


def fields_of_original(original: Original) -> dict[str, Any]:
    """The fields of the recipe of such networks that a file settles.

    Example:
        >>> fields_of_original(Original("r.pth", "PyTorch state dict", "resnet18", 10, 3, 64))
        {'channels': 1, 'num_filters': 64, 'stem': 'repeat'}
    """
    fields = dict(original.arguments)
    if "stem_channels" in fields:
        fields["stem"] = "sum" if fields.pop("stem_channels") is None else "repeat"
    return fields


def read_labels(path: str | os.PathLike) -> list[str]:
    r"""Read class names, one a line, in the order of the outputs.

    Raises:
        ValueError: If the file is missing or is no such text, or a line is empty or there twice.

    Example:
        >>> import tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp(), "labels.txt")
        >>> _ = file.write_text("dog bark\nrain\n")
        >>> read_labels(file)
        ['dog bark', 'rain']
    """
    expected = "Expected a text file with a class a line"
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(_LARGEST_LABELS + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no UTF-8 text"
        raise ValueError(f"{expected}. Received: labels={path} ({reason})") from error
    wrong = "" if text else "it is empty"
    if len(text) > _LARGEST_LABELS:
        wrong, text = "more than a megabyte", ""
    labels: dict[str, int] = {}
    for number, label in enumerate(text.splitlines(), 1):
        if not label.strip():
            wrong = wrong or f"line {number} is empty"
        elif not label.isprintable():
            wrong = wrong or f"line {number} is {label!r:.60}"
        elif labels.setdefault(label, number) < number:
            wrong = wrong or f"lines {labels[label]} and {number} are {label!r:.60}"
    if wrong:
        raise ValueError(f"{expected}, each once. Received: labels={path} ({wrong})")
    return list(labels)


def check_labels(labels: Sequence[str], original: Original) -> None:
    """Refuse labels that are not as many as a file has classes.

    Raises:
        ValueError: If they are not.
    """
    if len(labels) != original.classes:
        raise ValueError(
            f"Expected {original.classes} labels, one a class of {original.path}. "
            f"Received: {len(labels)} labels"
        )


def _check_free(path: pathlib.Path, force: bool) -> None:
    """Refuse a folder that holds anything, but for an import that is to be replaced."""
    if not path.is_dir():
        if os.path.lexists(path):
            raise ValueError(f"Expected a new folder for the import. Received: {path}, a file")
        return
    if (path / IMPORT).is_file():
        if not force:
            raise ValueError(
                f"Expected a new folder for the import, or --force to replace the one there. "
                f"Received: {path}"
            )
        more = sorted(file.name for file in path.iterdir() if not _is_made(file))
        if more:
            raise ValueError(
                "Expected an import alone in the folder that --force replaces; move what else is "
                f"there or choose another folder with --to. Received: {path} with {listed(more, 9)}"
            )
    elif any(path.iterdir()):
        raise ValueError(f"Expected a new or empty folder for the import. Received: {path}")


def _is_made(file: pathlib.Path) -> bool:
    """Whether an import makes such a file; locks, which are empty, stay of whatever ran."""
    lock = file.name.startswith(".") and file.name.endswith(".lock")
    return file.name in _MADE or (lock and file.is_file() and not file.stat().st_size)


def _split_of(
    recipe: Recipe, labels: Sequence[str], data_dir: str | os.PathLike
) -> dict[str, Any] | None:
    """The recipe's split of its records; None where there are none, or of other classes."""
    try:
        records, split = open_data(recipe, data_dir)
    except ValueError:
        return None
    if records.labels == list(labels):
        return split.to_dict()
    print(
        f"note: the classes of {recipe.dataset} in {data_dir} are not these labels in this order, "
        "so the run cannot be measured on them",
        file=sys.stderr,
    )
    return None
