"""Where records are made, out of readers' sight, until they are whole."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

from data_prep.clips import RECORDS_VERSION
from keras_audio.files import locked, remove


class Workshop:
    """The folder `.building/<name>` of a data folder; of one process at a time.

    What is made there is lost when the process ends, but for the shards of records that are not
    whole yet, which the next preparation of the same form may take over.

    Attributes:
        path: The folder.
    """

    def __init__(self, data_dir: pathlib.Path, dataset_name: str):
        self._data_dir = data_dir
        self.path = data_dir / ".building" / dataset_name

    def shards(self, form_name: str) -> pathlib.Path:
        """Where the shards of records of a form are."""
        return self._shards / form_name

    @property
    def _shards(self) -> pathlib.Path:
        return self.path / "shards"

    @property
    def _previous(self) -> pathlib.Path:
        return self.path / "previous"

    def publish(self, made: pathlib.Path, folder: pathlib.Path) -> None:
        """Put the records `made` in the place `folder`, that of others if there are any."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists():
            previous = self._previous / folder.parent.name / RECORDS_VERSION
            previous.parent.mkdir(parents=True)
            os.rename(folder, previous)
        os.rename(made, folder)
        remove(self.shards(folder.parent.name))

    def sweep(self) -> None:
        """Remove all but shards; if a process was killed between two renames, undo the first."""
        for previous in self._previous.glob(f"*/{RECORDS_VERSION}"):
            folder = self._data_dir / self.path.name / previous.parent.name / RECORDS_VERSION
            if not folder.exists():
                os.rename(previous, folder)
        for path in list(self.path.glob("*")):
            if path != self._shards:
                remove(path)
        for path in (self._shards, self.path):
            with contextlib.suppress(OSError):  # it does not exist, or is not empty
                path.rmdir()


@contextlib.contextmanager
def open_workshop(data_dir: pathlib.Path, dataset_name: str) -> Iterator[Workshop]:
    """Give the workshop of a data set, for one process at a time; what a killed one left is swept.

    Raises:
        ValueError: If another process is in it.
    """
    workshop = Workshop(data_dir, dataset_name)
    lock = workshop.path.with_suffix(".lock")
    with locked(lock, f"prepare {dataset_name} in {data_dir}"):
        workshop.sweep()
        try:
            yield workshop
        finally:
            workshop.sweep()
