"""The folder of one training: everything that loading, serving and resuming need."""

import csv
import functools
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_audio.files import read_json, write_csv
from keras_audio.recipes import Recipe, recipe_from_dict

# What the folder of an import has, and that of a training does not.
IMPORT = "import.json"


class RunFolder:
    """The files of one run, read when asked for.

    Args:
        path: The folder, such as `runs/residual_blocks/esc10-fold1-seed0`.

    Raises:
        ValueError: If `path` is not the folder of a run.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = pathlib.Path(path)
        if not (self.path / "recipe.json").is_file():
            raise ValueError(f"Expected the folder of a run, with recipe.json. Received: {path}")

    @functools.cached_property
    def recipe(self) -> Recipe:
        """What was, or is being, trained."""
        return recipe_from_dict(read_json(self.path / "recipe.json"))

    @functools.cached_property
    def labels(self) -> list[str]:
        """The class names, in the order of the outputs."""
        return (self.path / "labels.txt").read_text(encoding="utf-8").splitlines()

    @property
    def sample_rate(self) -> int:
        """Samples per second that the model expects, in Hz."""
        return self.recipe.sample_rate

    @property
    def resampling(self) -> str:
        """How sounds get that rate, as of `keras_audio.audio.read_audio`."""
        return self.recipe.resampling

    @property
    def channels(self) -> int:
        """Audio channels that the model expects."""
        return self.recipe.channels

    @property
    def environment(self) -> dict[str, Any]:
        """Versions, devices and commit under which the run began."""
        return read_json(self.path / "environment.json")

    @property
    def split(self) -> dict[str, dict[str, dict]] | None:
        """Label and digest of the samples by clip id: `train`, `validation` and maybe `test`.

        None of a network that was imported where no records of its data set lay.
        """
        path = self.path / "split.json"
        if self.imported is not None and not path.is_file():
            return None
        return read_json(path)

    @property
    def held_out(self) -> dict[str, dict] | None:
        """Those of the clips that the run is measured on; None if the split is."""
        split = self.split
        return None if split is None else split.get("test", split["validation"])

    def was_made_with(self, labels: Sequence[str], split: dict[str, dict[str, dict]]) -> bool:
        """Whether these are the classes and clips of the run, as far as an import knows them."""
        return self.labels == list(labels) and self.split in (None, split)

    @property
    def imported(self) -> dict[str, Any] | None:
        """What the weights were imported from (`file`, `sha256`), or None if they were trained."""
        path = self.path / IMPORT
        return read_json(path) if path.is_file() else None

    @property
    def finished(self) -> dict[str, Any] | None:
        """How the training ended (epochs, best epoch, seconds), or None if it has not.

        Of an import it is `imported_from`, the name of the file.
        """
        path = self.path / "done.json"
        return read_json(path) if path.is_file() else None

    def model(self, file: str = "model.keras"):
        """A full Keras model, from waveform to predictions: that with the best weights so far.

        Args:
            file: Which of the folder's.

        Raises:
            ValueError: If no epoch has ended yet, or the file cannot be read.
        """
        import keras

        import keras_audio.custom_objects  # noqa: F401 - makes our layers known to Keras

        path = self.path / file
        if not path.is_file():
            raise ValueError(f"Expected a run that trained for an epoch at least. Received: {path}")
        try:
            return keras.models.load_model(path, compile=False)
        except Exception as error:  # zipfile, HDF5 and Keras raise a dozen kinds
            reason = str(error).splitlines()[0]
            raise ValueError(f"Expected a whole model. Received: {path} ({reason})") from error

    def snapshots(self) -> list[pathlib.Path]:
        """The models put aside during training, `snapshots/epoch-0002.keras` and so on."""
        return sorted((self.path / "snapshots").glob("epoch-*.keras"))

    def history(self) -> dict[str, np.ndarray]:
        """The columns of history.csv, float64 (epochs,); empty before the first epoch ended."""
        path = self.path / "history.csv"
        if not path.is_file():
            return {}
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}

    def write_history(self, rows: list[dict[str, float]]) -> None:
        """Write history.csv, a row an epoch."""
        write_csv(self.path / "history.csv", rows[0], rows)
