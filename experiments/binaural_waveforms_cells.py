"""What the experiment on binaural waveforms trains and compresses; rows of the stages of its runs."""

import dataclasses
import pathlib
from collections.abc import Iterable
from typing import NamedTuple

import cells
from cells import Cell

from keras_audio.files import folder_name
from keras_audio.recipes import BinauralWaveforms, with_settings
from keras_audio.training.compression_settings import Settings

# What the report's numbers are of, and what is generated in its layout.
PUBLISHED = "tau_urban_2020_3class"
SCENES = (PUBLISHED, "toy_scenes/3class")
NETWORKS = ("a", "b", "c", "d")
# Section 4.1: the baseline's accuracy, the limit of the challenge, "close to the full model". The
# rates are those whose rounds give the counts of Table 1; B's, which was not pruned, is A's.
RULES = {
    "a": {"rate": 0.1, "until": "accuracy=0.873"},
    "b": {"rate": 0.1, "until": "drop=0.01"},
    "c": {"rate": 0.2, "until": "accuracy=0.873"},
    "d": {"rate": 0.2, "until": "size=500KB"},
}
# An accuracy and a size that say something of the report's task say nothing of others.
ELSEWHERE = "drop=0.01"
COMPRESSED = "compressed"


class Variant(NamedTuple):
    """All of a training but its data set, fold and seed."""

    network: str
    settings: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """The folder of its runs, such as `b-batch_size=16`."""
        return "-".join([self.network, *self.settings])


def variant_of(recipe: BinauralWaveforms) -> Variant:
    """The variant that a recipe trains.

    Example:
        >>> recipe = BinauralWaveforms.for_dataset("esc10", network="c", batch_size=16)
        >>> variant_of(recipe).folder
        'c-batch_size=16'
    """
    usual = BinauralWaveforms.for_dataset(recipe.dataset)
    fixed = ("dataset", "fold", "seed", "network")
    return Variant(recipe.network, tuple(cells.changed_settings(recipe, usual, fixed)))


def cell_of(recipe: BinauralWaveforms, runs: pathlib.Path) -> Cell:
    """The cell of a recipe, in `<runs>/binaural_waveforms/<variant>/<data set>-fold<k>-seed<s>`."""
    name = f"{folder_name(recipe.dataset)}-fold{recipe.fold}-seed{recipe.seed}"
    return Cell(recipe, runs / recipe.name / variant_of(recipe).folder / name)


def build_recipe(network: str, dataset: str, settings: Iterable[str] = ()) -> BinauralWaveforms:
    """The recipe of a network on a data set, with settings.

    Example:
        >>> build_recipe("b", "esc10", ["batch_size=16"]).channels
        1
    """
    return with_settings(BinauralWaveforms.for_dataset(dataset, network=network), settings)


def usual_compression(network: str, dataset: str) -> Settings:
    """The report's rate and rule of a network on its own task; elsewhere a drop of one point.

    Example:
        >>> usual_compression("d", "tau_urban_2020_3class").until
        'size=500KB'
        >>> usual_compression("d", "esc10").until
        'drop=0.01'
    """
    rule = RULES[network] | ({} if dataset in SCENES else {"until": ELSEWHERE})
    return Settings(**rule)


def compression_folder(settings: Settings, network: str, dataset: str) -> str:
    """The name of the folder of a compression in its run.

    Example:
        >>> usual = usual_compression("b", "esc10")
        >>> compression_folder(usual, "b", "esc10")
        'compressed'
        >>> compression_folder(dataclasses.replace(usual, classifier=True), "b", "esc10")
        'compressed-classifier=True'
    """
    return "-".join([COMPRESSED, *_changed(settings, usual_compression(network, dataset))])


def _changed(settings: Settings, usual: Settings) -> list[str]:
    before = dataclasses.asdict(usual)
    return [
        f"{name}={str(value).replace('=', '_')}"
        for name, value in dataclasses.asdict(settings).items()
        if value != before[name]
    ]
