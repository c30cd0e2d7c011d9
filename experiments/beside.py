"""Which of our numbers stand beside a published one: the same network, trained in the same way.

On the same data set a difference can be taken. On another, such as ESC-10 for want of the paper's,
ours stand there to show the order of the methods only.
"""

import pathlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import cells
import erann_variants
import progressive_resizing_variants
import two_path_variants
from binaural_waveforms_cells import (
    changed_compression_of_row,
)
from binaural_waveforms_cells import (
    variant_of as binaural_variant,
)
from kinds import KINDS, result_files_of
from not_run import PAPERS
from result_files import Row, read_rows
from sizes import FILE as SIZES

from keras_audio.evaluation import aggregate
from keras_audio.recipes import ERANN, ProgressiveResizing, ResidualBlocks, TwoPath, with_settings

Published = dict[str, Any]


class Ours(NamedTuple):
    """A number of ours beside a published one.

    Attributes:
        value: In the unit of the published one.
        deviation: Over folds, or seeds, where there are several.
        runs: How many runs it is the mean of; 0 for a count.
        dataset: What it was measured on.
    """

    value: float
    deviation: float | None
    runs: int
    dataset: str


class Beside:
    """Finds ours for published numbers.

    Args:
        results: The folder of the result files.
    """

    def __init__(self, results: pathlib.Path) -> None:
        self._rows: dict[str, list[Row]] = {
            PAPERS[kind.name]: [
                row
                for dataset, _ in result_files_of(kind, results)
                for row in kind.read(dataset, results)
            ]
            for kind in KINDS.values()
        }
        self._counts: dict[tuple[str, str], str] = {}
        if (results / SIZES).is_file():
            for row in read_rows(results / SIZES):
                paper = PAPERS[row["recipe"]]
                self._counts |= {
                    (paper, f"{row['dataset']}/{name}"): value
                    for name, value in row.items()
                    if ":" in name
                }

    def ours(self, result: Published) -> list[Ours]:
        """Ours for a published number, that of its own data set first; often none."""
        if count := self._count(result):
            return [count]
        choose = _CHOOSERS[result["paper"]]
        chosen = choose(result)
        if chosen is None:
            return []
        belongs, metric = chosen
        found: dict[str, list[Row]] = {}
        for row in self._rows[result["paper"]]:
            if row.get(metric) and belongs(row):
                found.setdefault(row["dataset"], []).append(row)
        numbers = [_summarised(rows, metric, result) for rows in found.values()]
        return sorted(numbers, key=lambda ours: ours.dataset != result["dataset"])

    def _count(self, result: Published) -> Ours | None:
        """What follows from the network alone."""
        row, column = result["row"], result["column"]
        if result["paper"] == "mcdonnell_2019":
            row = "3 channels"  # "3.2 million" is said of all tasks.
        if result["paper"] == "naranjo_2019" and row == "all":
            row = "rb1"  # Likewise "4.16M" of all blocks.
        names = [f"{result['metric']}:{row}"]
        names.append(f"{names[0]}/{column}")
        for name in reversed(names):
            value = self._counts.get((result["paper"], f"{result['dataset']}/{name}"))
            if value is not None and result["source"] == "paper":
                return Ours(float(value), None, 0, result["dataset"])
        return None


def _summarised(rows: Iterable[Row], metric: str, result: Published) -> Ours:
    rows = list(rows)
    values = {(int(row["fold"]), int(row["seed"])): float(row[metric]) for row in rows}
    found = aggregate(values)
    deviation = found.fold_deviation if found.folds > 1 else found.seed_deviation
    value = deviation if result["metric"] == "deviation" and deviation is not None else found.mean
    shown = None if result["metric"] == "deviation" else deviation
    return Ours(value, shown, len(values), rows[0]["dataset"])


# Of each paper: which rows a published number is of, and by which of their keys. -----------------

Chosen = tuple[Callable[[Row], bool], str] | None


def _residual_blocks(result: Published) -> Chosen:
    metrics = {"validation_accuracy": "accuracy", "training_accuracy": "train_accuracy"}
    if result["metric"] not in metrics:
        return None
    wanted = (result["row"], result["column"])

    def belongs(row: Row) -> bool:
        # Settings for a small data set are those of the experiment; others are another method.
        _, (_, *changed) = KINDS[ResidualBlocks.name].describe(row)
        return (row["block"] or row["network"], row["input"]) == wanted and not changed

    return belongs, metrics[result["metric"]]


def _erann(result: Published) -> Chosen:
    fields = ERANN.fields_of_model(result["row"])
    if result["source"] != "paper" or fields is None:
        return None
    if result["metric"] not in ("accuracy", "mean_average_precision"):
        return None
    words = result["column"].split()
    start = "fine_tune" if "fine_tune" in words else "scratch"
    settings = [word for word in words if "=" in word]
    settings += ["pitch_variants=0"] if "no_pitch_shift" in words else []
    recipe = ERANN.for_dataset(result["dataset"], fine_tune=start == "fine_tune", **fields)
    wanted = erann_variants.variant_of(with_settings(recipe, settings), start)
    return lambda row: erann_variants.variant_of_row(row) == wanted, result["metric"]


def _two_path(result: Published) -> Chosen:
    if result["metric"] not in ("accuracy", "recall", "precision", "score"):
        return None
    name = "no_deltas" if result["column"] == "deltas=false" else two_path_variants.USUAL
    wanted = two_path_variants.Variant(name, TwoPath.num_filters)
    metric = f"{result['metric']}:{result['row']}"
    if result["table"] == "Table 1":
        metric = _RAW[result["row"]]
    elif result["metric"] == "score":
        metric = "score"
    task = result["dataset"]

    def belongs(row: Row) -> bool:
        return row["dataset"] == task and two_path_variants.variant_of_row(row) == wanted

    return belongs, metric


# Keys of the rows for the lines of Table 1 of McDonnell and Gao.
_RAW = {
    "all": "accuracy",
    **two_path_variants.DEVICES,
    "known": "known_accuracy",
    "unknown": "unknown_accuracy",
}


def _binaural_waveforms(result: Published) -> Chosen:
    # Table 1 is of networks pruned and halved; counts are those of `sizes.py`.
    if result["table"] != "Table 1" or result["metric"] not in ("accuracy", "loss"):
        return None

    def belongs(row: Row) -> bool:
        if row["network"] != result["row"] or row["stage"] != "half":
            return False
        settings = binaural_variant(cells.recipe_of(row)).settings
        return not settings and not changed_compression_of_row(row)

    return belongs, result["metric"]


def _progressive_resizing(result: Published) -> Chosen:
    fold = result["column"].removeprefix("fold=")
    if result["metric"] not in ("accuracy", "mean_accuracy", "deviation"):
        return None
    if result["source"] != "paper":
        return None
    wanted = progressive_resizing_variants.Variant(result["row"])

    def belongs(row: Row) -> bool:
        variant = progressive_resizing_variants.variant_of_row(row)._replace(start="")
        return variant == wanted and fold in ("", row["fold"])

    return belongs, "accuracy"


_CHOOSERS: dict[str, Callable[[Published], Chosen]] = {
    PAPERS[recipe]: choose
    for recipe, choose in (
        (ResidualBlocks.name, _residual_blocks),
        (ERANN.name, _erann),
        (TwoPath.name, _two_path),
        ("binaural_waveforms", _binaural_waveforms),
        (ProgressiveResizing.name, _progressive_resizing),
    )
}
