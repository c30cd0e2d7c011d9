"""What Colangelo et al. 2021 report, by method and official fold."""

import cells
from progressive_resizing_variants import PUBLISHED

from keras_audio.evaluation import published_results


def published(dataset: str) -> dict[str, dict[int, float]]:
    """What the paper reached on a data set: method and official fold to accuracy.

    Example:
        >>> published("esc50")["mel"][5], published("esc10")
        (0.745, {})
    """
    found: dict[str, dict[int, float]] = {}
    for row in _rows_of_paper(dataset, "accuracy"):
        fold = int(row["column"].removeprefix("fold="))
        found.setdefault(row["row"], {})[fold] = row["value"]
    return found


def published_mean(dataset: str, method: str) -> tuple[float, float] | None:
    """Average and deviation as the paper prints them, as shares of one.

    Example:
        >>> published_mean("urbansound8k", "baseline")
        (0.7459, 0.0547)
    """
    values = [
        row["value"]
        for metric in ("mean_accuracy", "deviation")
        for row in _rows_of_paper(dataset, metric)
        if row["row"] == method
    ]
    return tuple(values) if values else None


def split_of(dataset: str, fold: int) -> int:
    """The paper's number of the split that holds a fold out: it counts the folds backwards.

    That is what the shares of clips in Table 2 say; of ESC-50, whose folds have one size, it is
    taken from there.

    Example:
        >>> split_of("urbansound8k", 10), split_of("esc50", 1)
        (0, 4)
    """
    return cells.FOLDS[dataset] - fold


def _rows_of_paper(dataset: str, metric: str) -> list[dict]:
    return [
        row
        for row in published_results("colangelo_2021")
        if row["table"] == PUBLISHED.get(dataset) and row["metric"] == metric
    ]
