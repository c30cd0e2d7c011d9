"""The methods that were run: rows over folds and seeds together, as README and pages show them."""

import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cells
import numpy as np
from cells import interval_text, markdown_table, mean_and_deviation
from grid_options import numbers_text
from kinds import KINDS, result_files_of
from result_files import Row

TITLES = {
    "esc10": "ESC-10",
    "esc50": "ESC-50",
    "urbansound8k": "UrbanSound8K",
    "ravdess": "RAVDESS",
    "audioset": "AudioSet",
    "tau_urban_2019/1a": "TAU 2019, task 1a",
    "tau_urban_2019/1b": "TAU 2019, task 1b",
    "tau_urban_2019/1c": "TAU 2019, task 1c",
    "tau_urban_2020_3class": "TAU 2020, 3 classes",
}


# The word of methods whose network is smaller than the one that was trained.
PRUNED = "pruned"


class Method(NamedTuple):
    """All of a training but fold and seed.

    Attributes:
        recipe: Its name.
        network: As of `keras_audio.list_models`.
        words: What it was fed with, and what else is not usual.
        dataset: The data set.
    """

    recipe: str
    network: str
    words: tuple[str, ...]
    dataset: str

    def described(self, methods: Iterable["Method"]) -> str:
        """The words, but for settings that all of that recipe and data set have."""
        others = [m for m in methods if (m.recipe, m.dataset) == (self.recipe, self.dataset)]
        shared = set.intersection(*(set(other.words) for other in others))
        return ", ".join(word for word in self.words if word not in shared or "=" not in word)


class Network(NamedTuple):
    """What methods have in common that train one network in several ways.

    Attributes:
        recipe: Whose.
        dataset: On whose clips, which are of some length.
        name: As of `keras_audio.list_models`.
        parameters: Trainable ones, which tell widths apart.
    """

    recipe: str
    dataset: str
    name: str
    parameters: int


def network_of(method: Method, rows: Sequence[Row]) -> Network:
    """The network that a method trains."""
    return Network(method.recipe, method.dataset, method.network, round(mean_parameters(rows)))


def read_methods(results: pathlib.Path) -> dict[Method, list[Row]]:
    """The rows of each method in the result files, a run a row.

    Raises:
        ValueError: If a method has two accuracies of one fold and seed, so that a mean would count
            them as two folds, or hide one.
    """
    methods: dict[Method, dict[tuple[str, str], Row]] = {}
    for kind in KINDS.values():
        for dataset, path in result_files_of(kind, results):
            for row in kind.read(dataset, results):
                if described := kind.describe(row):
                    network, words = described
                    method = Method(kind.name, network, tuple(words), row["dataset"])
                    runs = methods.setdefault(method, {})
                    # A run that was compressed in two ways is there twice.
                    other = runs.setdefault((row["fold"], row["seed"]), row)
                    if other["accuracy"] != row["accuracy"]:
                        raise ValueError(
                            f"Expected one run of {', '.join((network, *words))} a fold and seed. "
                            f"Received: two in {path} for fold {row['fold']}, seed {row['seed']}"
                        )
    return {method: list(runs.values()) for method, runs in methods.items()}


def methods_table(methods: dict[Method, list[Row]]) -> list[str]:
    """A line a method, as Markdown."""
    titles = ["network", "input", "data set", "folds", "epoch chosen by", "accuracy %"]
    lines = []
    for method, rows in methods.items():
        folds = numbers_text(sorted({int(row["fold"]) for row in rows}))
        accuracy, *others = (
            mean_and_deviation(rows, metric, digits=2) if all(r.get(metric) for r in rows) else "-"
            for metric in ("accuracy", "last_epoch_accuracy", "mean_average_precision")
        )
        shown = [chosen_by(rows), accuracy, interval_text(rows, "accuracy"), *others]
        name = TITLES.get(method.dataset, method.dataset)
        parameters = f"{mean_parameters(rows):,.0f}"
        described = method.described(methods)
        lines.append([f"`{method.network}`", described, name, folds, *shown, parameters])
    titles += ["95 % interval", "last epoch %", "mAP %", "trainable parameters"]
    return markdown_table(titles, lines)


def mean_parameters(rows: Sequence[Row]) -> float:
    """Trainable parameters: of pruned networks folds have various numbers."""
    # The residual-block paper counts moving statistics, too.
    counts = (row.get("trainable_parameters") or row["parameters"] for row in rows)
    return float(np.mean([int(count) for count in counts]))


def chosen_by(rows: Sequence[Row]) -> str:
    """By which clips the weights that count were chosen."""
    found = dict.fromkeys(map(_chosen_by, rows))
    return ", ".join(found)


def _chosen_by(row: Row) -> str:
    recipe = cells.recipe_of(row)
    if recipe.keeps_last:
        return "none: the last epoch"
    return "another fold" if recipe.validation == "next" else "these clips"
