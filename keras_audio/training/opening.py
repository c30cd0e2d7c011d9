"""The run folder of a training: begun, taken up again, or refused before anything is lost."""

import hashlib
import os
import pathlib
import shutil
import sys
from collections.abc import Sequence
from typing import Any

from keras_audio.data import Records
from keras_audio.files import read_json, remove_partial, replacing, write_json, write_text
from keras_audio.importers import is_state_dict
from keras_audio.models.transfer import model_file, transfer_weights
from keras_audio.recipes import Recipe, recipe_differences
from keras_audio.training.run_folder import IMPORT, RunFolder

# The weights that a fine-tuning begins with, as they were then.
INITIAL_MODEL = "initial.keras"
# Mean and variance of features over the clips that train, where a recipe asks for them.
STATISTICS = "statistics.json"
# What the folder of a compression has, and that of a training does not.
COMPRESSION = "compression.json"


def open_run(
    path: pathlib.Path,
    recipe: Recipe,
    records: Records,
    split: dict,
    session: dict[str, Any],
    init_from: str | os.PathLike | None,
    *,
    resume: bool,
) -> RunFolder:
    """Make the run folder, or check that the one there is this recipe's and may go on."""
    if (path / COMPRESSION).is_file():
        raise ValueError(
            f"Expected the folder of a training for the run. Received: {path}, a compression"
        )
    if (path / IMPORT).is_file():
        raise ValueError(
            "Expected the folder of a training for the run; --init-from starts a new one with the "
            f"weights of an import. Received: {path}, an import"
        )
    clean_run(path)
    if (path / "recipe.json").is_file():
        folder = RunFolder(path)
        differences = recipe_differences(folder.recipe, recipe)
        if differences:
            raise ValueError(
                f"Expected the recipe of the run in {path}; choose another folder with --run, or "
                f"--force to begin anew. Received: {'; '.join(differences)}"
            )
        if not resume:
            state = "finished; --force trains it anew" if folder.finished else "begun; add --resume"
            raise ValueError(f"Expected a new run. Received: {path}, which is {state}")
        if folder.split != split or folder.labels != records.labels:
            raise ValueError(
                f"Expected the clips with which {path} was begun. Received: other clips, labels or "
                f"samples in {records.path}"
            )
        _check_same_source(folder, init_from)
        if not folder.finished:
            _note_session(folder, session)
        return folder
    # A kill while the folder was being made leaves some of its files, but no recipe.
    begun = {"labels.txt", "environment.json", "split.json", INITIAL_MODEL, "initial.json"}
    found = {file.name for file in path.iterdir()} if path.exists() else set()
    if found - begun:
        raise ValueError(f"Expected a new or empty folder for the run. Received: {path}")
    if init_from is not None:
        source = source_file(init_from)
        with replacing(path / INITIAL_MODEL) as temporary:
            if is_state_dict(source):
                recipe.load_source(source).save(temporary)
            else:
                shutil.copyfile(source, temporary)
        digest = file_digest(source)
        write_json(path / "initial.json", {"source": str(init_from), "sha256": digest})
    return begin_run(path, recipe, records.labels, split, session)


def begin_run(
    path: pathlib.Path,
    recipe: Recipe,
    labels: Sequence[str],
    split: dict | None,
    session: dict[str, Any],
) -> RunFolder:
    """Write what every run folder begins with; what else it is to hold must be there already.

    The split is None of an import alone, where no records of the data set lie.
    """
    write_text(path / "labels.txt", "".join(f"{label}\n" for label in labels))
    write_json(path / "environment.json", session)
    if split is not None:
        write_json(path / "split.json", split)
    # Last, since a folder with a recipe is a run.
    write_json(path / "recipe.json", recipe.to_dict())
    return RunFolder(path)


def check_source(
    recipe: Recipe,
    num_classes: int,
    init_from: str | os.PathLike,
    discarded: pathlib.Path | None,
) -> None:
    """Refuse first weights that do not fit, or that lie in the folder that is to be deleted."""
    file = source_file(init_from)
    if discarded is not None and file.resolve().is_relative_to(discarded.resolve()):
        raise ValueError(
            f"Expected first weights from outside of {discarded}, which --force deletes; choose "
            f"another folder with --run. Received: init_from={init_from}"
        )
    transfer_weights(recipe.load_source(file), recipe.build_model(num_classes))


def source_file(init_from: str | os.PathLike) -> pathlib.Path:
    """The file of the weights to begin with; of a run its model.

    Raises:
        ValueError: If there is none.
    """
    if is_state_dict(init_from) and os.path.isfile(init_from):
        return pathlib.Path(init_from)
    return model_file(init_from)


def _check_same_source(folder: RunFolder, init_from: str | os.PathLike | None) -> None:
    """Refuse to go on with other first weights than the run was begun with."""
    if init_from is None:
        return
    initial = folder.path / "initial.json"
    begun = read_json(initial) if initial.is_file() else {"source": "new weights", "sha256": ""}
    if begun["sha256"] != file_digest(source_file(init_from)):
        raise ValueError(
            f"Expected the weights that {folder.path} was begun with, from {begun['source']}. "
            f"Received: init_from={init_from}"
        )


def lock_of(path: pathlib.Path) -> pathlib.Path:
    """The lock file of a run, beside its folder: `.NAME.lock`."""
    path = path.absolute()
    return path.with_name(f".{path.name}.lock")


def clean_run(path: pathlib.Path) -> None:
    """Delete what a killed training was writing; not in runs inside of this one."""
    for folder in (path, path / "checkpoints", path / "snapshots"):
        remove_partial(folder)


def discard_run(path: pathlib.Path, marker: str = "recipe.json") -> None:
    """Delete a run in such an order that a kill leaves no folder that looks like a whole run.

    A folder without the file `marker` is none, and stays.
    """
    if (path / marker).is_file():
        aside = path.absolute().with_name(f".{path.absolute().name}.discarded")
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
        shutil.rmtree(aside)


def file_digest(path: pathlib.Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _note_session(folder: RunFolder, session: dict[str, Any]) -> None:
    """Add a resumed session to environment.json; one that cannot go on exactly is refused."""
    environment = folder.environment
    for name in ("strategy", "deterministic"):
        if environment.get(name, session[name]) != session[name]:
            raise ValueError(
                f"Expected {name} as {folder.path} was begun, {environment[name]}. "
                f"Received: {name}={session[name]}"
            )
    changed = {
        name: value
        for name, value in session.items()
        if name not in ("date", "commit") and value != environment.get(name)
    }
    if changed:
        print(
            f"note: {', '.join(changed)} differ from when {folder.path} was begun, so it may not "
            "end bit for bit where it would have",
            file=sys.stderr,
        )
    resumed = {"date": session["date"], "commit": session["commit"], "changed": changed}
    environment.setdefault("resumed", []).append(resumed)
    write_json(folder.path / "environment.json", environment)
