"""Numbers of the papers that follow from other numbers of theirs, computed anew."""

import re
import statistics
from collections.abc import Iterator
from typing import NamedTuple

from keras_audio.evaluation.published import published_results

# Validation clips of each class in the official split of TAU Urban 2019, tasks 1a and 1c: what the
# report's raw accuracies weigh its recalls by. In task 1b devices B and C have 108 clips a class.
CLIPS = {
    "airport": 421,
    "bus": 415,
    "metro": 433,
    "metro_station": 435,
    "park": 386,
    "public_square": 387,
    "shopping_mall": 441,
    "street_pedestrian": 429,
    "street_traffic": 402,
    "tram": 436,
}


# The line of Table 3 with which the systems of the other tables of ERANN were trained.
_BEST_TRAINING = "crop_duration=8 spec_augment=true mixup=between_class"


class Check(NamedTuple):
    """A printed number beside what the paper's other numbers come to.

    Attributes:
        table: Where it is printed; `row`, `column`, `metric` and `dataset` say which number it is,
            as in `published_results`.
        row: See `table`.
        column: See `table`.
        metric: See `table`.
        dataset: See `table`.
        printed: Its value.
        recomputed: What it comes to.
        agrees: Whether that is the printed number, to its digits; a half may go either way.
        how: From what it was computed, in words.
        reason: Why it does not agree: `"cut"` where the digits after the printed ones were cut,
            `"rounded cells"` where the rounding of the cells explains it, `"unexplained"` where
            nothing does; empty where it agrees.
    """

    table: str
    row: str
    column: str
    metric: str
    dataset: str
    printed: float
    recomputed: float
    agrees: bool
    how: str
    reason: str


class _Numbers:
    """The numbers of a paper, found by what they are."""

    def __init__(self, paper: str):
        self.results = published_results(paper)

    def all(self, **fields: str) -> list[dict]:
        return [r for r in self.results if all(r[key] == text for key, text in fields.items())]

    def first(self, **fields: str) -> dict:
        return self.all(**fields)[0]


# A number, what it comes to, how far the rounding of the cells may move that, and how.
_Found = tuple[dict, float, float, str]


def check_published(paper: str) -> list[Check]:
    """Computes anew what of a paper's numbers follows from others that it prints.

    These are means, deviations, scores, bytes, ratios and totals, and numbers that are printed a
    second time, which are held against the first. No network is built: the parameters of ours are
    compared with the papers' in the tests.

    Args:
        paper: The key of one of `published_papers()`.

    Returns:
        One `Check` a number that follows from others, in the order of `published_results`, whose
        `check` says `recomputed` or `differs` for these numbers and nothing for all the others.

    Raises:
        ValueError: If there is no such paper.

    Example:
        >>> speeds = [check for check in check_published("verbitskiy_2022")
        ...           if check.table == "Section 4.2.1" and check.column == "erann_0_6"]
        >>> [(check.row, check.printed, round(check.recomputed, 2)) for check in speeds]
        [('erann_1_6', 1.68, 1.46), ('erann_2_6', 1.46, 1.68)]
    """
    numbers = _Numbers(paper)
    found = {id(entry[0]): entry for entry in _RULES[paper](numbers)}
    return [_check(*found[id(result)]) for result in numbers.results if id(result) in found]


def _check(result: dict, recomputed: float, slack: float, how: str) -> Check:
    printed, step = result["value"], _step(result)
    tiny = 1e-9 * max(1.0, abs(printed))
    off = abs(recomputed - printed)
    if agrees := off <= step / 2 + tiny:
        reason = ""
    elif printed - tiny <= recomputed < printed + step - tiny:
        reason = "cut"
    else:
        reason = "rounded cells" if off <= slack + step / 2 + tiny else "unexplained"
    keys = (result[key] for key in ("table", "row", "column", "metric", "dataset"))
    return Check(*keys, printed, recomputed, agrees, how, reason)


def _step(result: dict) -> float:
    """One unit of the last digit that is printed, 0 of what is said in words."""
    number = re.match(r"\d+(?:\.(\d+))?", result["printed"])
    if not number or not float(number[0]):
        return 0.0
    return result["value"] / float(number[0]) * 10.0 ** -len(number[1] or "")


def _naranjo(numbers: _Numbers) -> Iterator[_Found]:
    """Nothing there follows from other numbers."""
    yield from ()


def _mcdonnell(numbers: _Numbers) -> Iterator[_Found]:
    half = 0.005  # Of the last digit of a class's recall or precision.
    for table, row in (("Table 2", "average"), ("Table 3", "average"), ("Table 4", "known")):
        for metric in ("recall", "precision"):
            cells = [numbers.first(table=table, row=name, metric=metric) for name in CLIPS]
            mean = statistics.fmean(cell["value"] for cell in cells)
            yield (
                numbers.first(table=table, row=row, metric=metric),
                mean,
                half,
                "mean of the 10 classes",
            )
    known, unknown, average = (
        {
            metric: numbers.first(table="Table 4", row=row, metric=metric)
            for metric in ("recall", "precision")
        }
        for row in ("known", "unknown", "average")
    )
    for metric, result in average.items():
        mean = (10 * known[metric]["value"] + unknown[metric]["value"]) / 11
        yield result, mean, 0.0005, "mean of the 10 known classes and unknown"
    yield (
        numbers.first(table="Table 4", metric="score"),
        (known["recall"]["value"] + unknown["recall"]["value"]) / 2,
        0.0005,
        "mean of the recalls of known classes and of unknown",
    )
    # The columns of Table 1 with deltas are of the models of Tables 2 to 4.
    for row, table, clips, how in (
        ("all", "Table 2", CLIPS, "recalls of Table 2 by the clips of each class"),
        ("B and C", "Table 3", dict.fromkeys(CLIPS, 108), "mean recall of Table 3, classes alike"),
        ("known", "Table 4", CLIPS, "recalls of Table 4 by the clips of each class"),
    ):
        recalls = {
            name: numbers.first(table=table, row=name, metric="recall")["value"] for name in clips
        }
        raw = sum(recalls[name] * count for name, count in clips.items()) / sum(clips.values())
        yield numbers.first(table="Table 1", row=row, column="deltas=true"), raw, half, how
    yield (
        numbers.first(table="Table 1", row="unknown", column="deltas=true"),
        unknown["recall"]["value"],
        0.0,
        "recall of Table 4",
    )
    gap = max(
        abs(first["value"] - second["value"])
        for first, second in zip(
            *(numbers.all(table="Table 2", metric=metric) for metric in ("recall", "precision")),
            strict=True,
        )
    )
    yield numbers.first(metric="largest_gap"), gap, 2 * half, "largest of the classes of Table 2"


def _pajusco(numbers: _Numbers) -> Iterator[_Found]:
    for result in numbers.all(table="Table 1", metric="kilobytes"):
        weights = numbers.first(table="Table 1", row=result["row"], metric="non_zero")["value"]
        yield result, 2 * weights / 1024, 0.0, "2 bytes a weight that is not zero, 1024 a KB"
    limit = numbers.first(row="limit", metric="kilobytes")
    for result in numbers.all(metric="times_smaller"):
        size = numbers.first(row=result["row"], metric="kilobytes")
        yield result, *_ratio(limit, size, exact=True), "the limit over the size"


def _colangelo(numbers: _Numbers) -> Iterator[_Found]:
    for result in numbers.all(column=""):
        fields = {key: result[key] for key in ("table", "row")}
        splits = [cell["value"] for cell in numbers.all(**fields, metric="accuracy")]
        if result["metric"] == "mean_accuracy":
            yield result, statistics.fmean(splits), 0.00005, "mean of the splits"
        elif result["metric"] == "deviation":
            how = "standard deviation of the splits, n - 1 in the denominator"
            yield result, statistics.stdev(splits), 0.00005, how
    for result in numbers.all(metric="times_epochs"):
        totals = [
            sum(
                cell["value"]
                for cell in numbers.all(row=result[plan], metric="epochs", dataset="esc50")
            )
            for plan in ("row", "column")
        ]
        yield result, totals[0] / totals[1], 0.0, "epochs of all stages of Table 1"


def _verbitskiy(numbers: _Numbers) -> Iterator[_Found]:
    tables = [result for result in numbers.results if result["table"].startswith("Table")]
    first: dict[tuple[str, ...], dict] = {}
    for result in tables:
        column = "scratch" if result["column"] == _BEST_TRAINING else result["column"]
        key = result["dataset"], result["row"], column, result["metric"]
        if key in first and result["metric"] != "end_to_end":
            yield result, first[key]["value"], 0.0, f"as in {first[key]['table']}"
        first.setdefault(key, result)

    def cell(result: dict, field: str, metric: str) -> dict:
        """Of one of the two systems that are compared: what is printed of it first."""
        wanted = result["dataset"], result[field], metric
        return next(r for r in tables if (r["dataset"], r["row"], r["metric"]) == wanted)

    for result in numbers.results:
        metric = result["metric"]
        if metric == "times_smaller":
            larger, own = (cell(result, field, "parameters") for field in ("column", "row"))
            how = f"parameters of {larger['table']} over those of {own['table']}"
            yield result, *_ratio(larger, own), how
        elif metric.startswith("times_faster"):
            speed = metric.replace("times_faster", "clips_per_second")
            own, slower = (cell(result, field, speed) for field in ("row", "column"))
            yield result, *_ratio(own, slower), f"clips per second of {own['table']}"
        elif metric == "accuracy_gain":
            own, lower = (cell(result, field, "accuracy") for field in ("row", "column"))
            how = f"accuracies of {own['table']}"
            yield result, own["value"] - lower["value"], 0.001, how


def _ratio(over: dict, under: dict, exact: bool = False) -> tuple[float, float]:
    """A ratio of two printed numbers, and how far it may be off for their digits."""
    ratio = over["value"] / under["value"]
    most = over["value"] + (0.0 if exact else _step(over) / 2)
    return ratio, most / (under["value"] - _step(under) / 2) - ratio


_RULES = {
    "naranjo_2019": _naranjo,
    "verbitskiy_2022": _verbitskiy,
    "mcdonnell_2019": _mcdonnell,
    "pajusco_2020": _pajusco,
    "colangelo_2021": _colangelo,
}
