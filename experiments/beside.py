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
from keras_audio.recipes import ERANN, ProgressiveResizing, ResidualBlocks, TwoPath

Published = dict[str, Any]


class Ours(NamedTuple):
    """A number of ours beside a published one.

    Attributes:
        value: In the unit of the published one.
        spread: The standard deviation over folds or, of one fold, over seeds; None of one run.
        over: Which, `folds` or `seeds`.
        runs: How many runs it is the mean of; 0 for a count.
        dataset: What it was measured on.
        missing: How many official folds the published number has that ours has not: then there is
            no difference.
        most: Of a count that is said of several networks, the largest; `value` is the least.
    """

    value: float
    spread: float | None
    over: str
    runs: int
    dataset: str
    missing: int = 0
    most: float | None = None


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
        numbers = (_summarised(rows, metric, result) for rows in found.values())
        there = [ours for ours in numbers if ours is not None]
        return sorted(there, key=lambda ours: ours.dataset != result["dataset"])

    def _count(self, result: Published) -> Ours | None:
        """What follows from the network alone."""
        row, column = result["row"], result["column"]
        if result["paper"] == "mcdonnell_2019":
            row = "3 channels"  # "3.2 million" is said of all tasks.
        if result["paper"] == "naranjo_2019" and row == "all":
            counts = [
                float(self._counts[key])
                for key in self._counts
                if key[1].startswith(f"{result['dataset']}/parameters:") and key[1].endswith(column)
            ]
            if not counts:
                return None
            return Ours(min(counts), None, "", 0, result["dataset"], most=max(counts))
        names = [f"{result['metric']}:{row}"]
        names.append(f"{names[0]}/{column}")
        for name in reversed(names):
            value = self._counts.get((result["paper"], f"{result['dataset']}/{name}"))
            if value is not None and result["source"] == "paper":
                return Ours(float(value), None, "", 0, result["dataset"])
        return None


def _summarised(rows: Iterable[Row], metric: str, result: Published) -> Ours | None:
    rows = list(rows)
    values = {(int(row["fold"]), int(row["seed"])): float(row[metric]) for row in rows}
    if len(values) < len(rows):
        raise ValueError(
            f"Expected one run a fold and seed beside {result['table']} of {result['paper']}. "
            f"Received: {len(rows)} for {', '.join(sorted({row['command'] for row in rows}))}"
        )
    found, dataset = aggregate(values), rows[0]["dataset"]
    over = "folds" if found.folds > 1 else "seeds"
    spread = found.fold_deviation if found.folds > 1 else found.seed_deviation
    # A number of all folds; others are of one.
    whole = result["paper"] in _CROSS_VALIDATED and not result["column"].startswith("fold=")
    wanted = cells.FOLDS.get(dataset, 1) if whole else 1
    missing = wanted - found.folds if dataset == result["dataset"] else 0
    if result["metric"] == "deviation":
        if found.fold_deviation is None:
            return None
        return Ours(found.fold_deviation, None, "", len(values), dataset, missing)
    return Ours(found.mean, spread, over, len(values), dataset, missing)


# Of each paper: which rows a published number is of, and by which of their keys. -----------------

Chosen = tuple[Callable[[Row], bool], str] | None


def _residual_blocks(result: Published) -> Chosen:
    metrics = {"validation_accuracy": "accuracy", "training_accuracy": "train_accuracy"}
    if result["metric"] not in metrics:
        return None
    wanted = (result["row"], result["column"])

    def belongs(row: Row) -> bool:
        if row["dataset"] == result["dataset"] and int(row["fold"]) != ResidualBlocks().fold:
            return False
        # Settings for a small data set are those of the experiment; others are another method.
        _, (_, *changed) = KINDS[ResidualBlocks.name].describe(row)
        return (row["block"] or row["network"], row["input"]) == wanted and not changed

    return belongs, metrics[result["metric"]]


def _erann(result: Published) -> Chosen:
    if result["source"] != "paper" or ERANN.fields_of_model(result["row"]) is None:
        return None
    if result["metric"] not in ("accuracy", "mean_average_precision"):
        return None
    wanted = erann_variants.variant_of_result(result)
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
        changed = changed_compression_of_row(row)
        if row["dataset"] != result["dataset"]:
            # Settings for a small data set, but pruned by the report's rule.
            return "scales=False" not in changed
        return not binaural_variant(cells.recipe_of(row)).settings and not changed

    return belongs, result["metric"]


def _progressive_resizing(result: Published) -> Chosen:
    fold = result["column"].removeprefix("fold=")
    if result["metric"] not in ("accuracy", "mean_accuracy", "deviation"):
        return None
    if result["source"] != "paper":
        return None

    def belongs(row: Row) -> bool:
        variant = progressive_resizing_variants.variant_of_row(row)
        if row["dataset"] != result["dataset"]:
            # By method, all with as many epochs; a fold of one set is none of another's.
            same = (variant.method, variant.mixup) == (result["row"], "none")
            return same and not fold and "equal_epochs" in row["labels"].split()
        # The paper begins with ImageNet's weights, and names them.
        plain = variant._replace(start="") == progressive_resizing_variants.Variant(result["row"])
        return plain and variant.start != "" and fold in ("", row["fold"])

    return belongs, "accuracy"


# Papers whose numbers are means over all official folds, but for those of one fold.
_CROSS_VALIDATED = ("verbitskiy_2022", "colangelo_2021")
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
