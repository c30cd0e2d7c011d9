"""The result files: `results/*.csv`, a line a number, from which all tables and plots are written.

A line says what was measured (recipe, data set, fold, seed, metric, value), what it took (seconds)
and how to repeat it (hardware, backend, versions, commit, command). A metric that belongs to a part
of a run is called `metric:part`, such as `accuracy:litert` or `recall:tram`. Values are numbers;
what is none, such as the reason why pruning ended, is the text.

In memory a run, or a part of it that has a command of its own, is one row: a dictionary of texts
with a key a metric. What follows from the command alone, such as the network, is not in the files:
the kind of a row (`kinds.Kind`) adds it.
"""

import contextlib
import csv
import dataclasses
import math
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from reasons import reason

from keras_audio.files import folder_name, locked, write_csv, write_text

# What a number is of, and what it was made with.
RUN = ("recipe", "dataset", "fold", "seed")
ORIGIN = ("seconds", "hardware", "backend", "versions", "commit", "command")
COLUMNS = (*RUN, "metric", "value", *ORIGIN)
# Metrics whose values are words.
WORDS = ("reason", "labels")

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Kind:
    """The rows of one paper's experiment, and the page that is made of them.

    Args:
        name: The recipe.
        columns: Keys that every row has, empty where nothing was measured.
        derived: Gives what the command of a row says of it, under keys that are not in the files.
        place: Tells the runs of a data set apart, and orders them.
        describe: Gives the network of a row, and its input and what else tells it from others, in
            words; or None where a row is not one of those that stand for a run.
        page: Gives the texts of page and figures by name of the file, from rows, data set, the
            sentence on what was not run, and the folder of the results.
        part: The key for the part of a run that a row is of.
    """

    name: str
    columns: Sequence[str]
    _: dataclasses.KW_ONLY
    derived: Callable[[Row], Row]
    place: Callable[[Row], tuple]
    describe: Callable[[Row], tuple[str, list[str]] | None]
    page: Callable[[Sequence[Row], str, str, pathlib.Path], dict[str, str]]
    part: str = ""

    def path(self, dataset: str, results: pathlib.Path) -> pathlib.Path:
        """The result file of a data set, or of a family of them."""
        return results / f"{self.name}_{folder_name(dataset)}.csv"

    def read(self, dataset: str, results: pathlib.Path) -> list[Row]:
        """The rows of a data set; none where there is no file.

        Raises:
            ValueError: As of `read_lines`.
        """
        path = self.path(dataset, results)
        if not path.exists():
            return []
        rows = read_rows(path, [name for name in self.columns if name != self.part], self.part)
        return [row | self.derived(row) for row in rows]


def update(
    kind: Kind, dataset: str, new: Iterable[Row], results: pathlib.Path, absent: str = ""
) -> None:
    """Put new rows into the result file of a data set, and write its page from the whole file.

    A run that is in the file already, by `kind.place`, is replaced; other runs stay, whoever made
    them, and wherever.

    Args:
        kind: Of the rows.
        dataset: Theirs.
        new: Rows of runs.
        results: The folder of the result files.
        absent: Why nothing was run now. The page says it only where `not_run.csv` gives no reason
            and there are no rows: what is missing on one machine may have been run on another.

    Raises:
        ValueError: If other processes go on writing the file, or it is no result file.
    """
    new = [row | kind.derived(row) for row in new]
    path = kind.path(dataset, results)
    with _writing(path):
        rows = merged(kind.read(dataset, results), new, kind.place)
        write_rows(path, rows, kind.derived(rows[0]) if rows else (), kind.part)
        said = reason(results, kind.name, dataset) or ("" if rows else absent)
        pages = kind.page(kind.read(dataset, results), dataset, said, results)
        for name, text in pages.items():
            write_text(results / name, text)
    for name in pages:
        if name.endswith(".md"):
            print(f"\n{pages[name]}\n{path}, {results / name}")


@contextlib.contextmanager
def _writing(path: pathlib.Path) -> Iterator[None]:
    """Be the only one to write a file, after a minute at most of waiting for others."""
    lock, what = path.with_name(f".{path.name}.lock"), f"write {path}"
    for patience in reversed(range(60)):
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(lock, what))
            except ValueError:
                if not patience:
                    raise
                time.sleep(1)
                continue
            yield
            return


def write_rows(
    path: pathlib.Path, rows: Iterable[Row], derived: Sequence[str] = (), part: str = ""
) -> None:
    """Write rows as a result file.

    Args:
        path: The file.
        rows: A row a run, or a part of one.
        derived: Keys that are not written, since the command says it.
        part: The key that names the part of a run that a row is of, if it is not of a whole one.

    Example:
        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "erann_esc10.csv"
        >>> row = {"recipe": "erann", "fold": 1, "accuracy": 0.8, "mixup": "none", "loss": ""}
        >>> write_rows(path, [row], derived=["mixup"])
        >>> print(path.read_text().splitlines()[1])
        erann,,1,,accuracy,0.8,,,,,,
    """
    write_csv(path, COLUMNS, _lines(rows, {*derived, part}, part))


def _lines(rows: Iterable[Row], left_out: set[str], part: str) -> Iterator[dict[str, Any]]:
    for row in rows:
        common = {name: row.get(name, "") for name in COLUMNS}
        ending = f":{row[part]}" if part else ""
        for metric, value in row.items():
            if metric not in COLUMNS and metric not in left_out and value not in ("", None):
                yield common | {"metric": f"{metric}{ending}", "value": value}


def read_lines(path: pathlib.Path) -> list[dict[str, str]]:
    """The lines of a result file, as they are.

    Raises:
        ValueError: If it is missing, or no result file.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            columns, lines = reader.fieldnames or (), list(reader)
    except OSError as error:
        raise ValueError(f"Expected a result file. Received: path={path} ({error})") from error
    if tuple(columns) != COLUMNS:
        raise ValueError(
            f"Expected a result file with the columns {', '.join(COLUMNS)}. Received: path={path} "
            f"with {', '.join(columns) or 'none'}"
        )
    for number, line in enumerate(lines, start=2):
        texts = line["metric"].startswith(WORDS)
        if None in line.values() or not (texts or _is_number(line["value"])):
            raise ValueError(
                "Expected a number in every line of a result file, and all columns. Received: "
                f"path={path}, line {number}, {line['metric']}={line['value']!r}"
            )
    return lines


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def read_rows(path: pathlib.Path, columns: Sequence[str] = (), part: str = "") -> list[Row]:
    """The rows of a result file.

    Args:
        path: The file.
        columns: Keys that every row has, empty where nothing was measured.
        part: The key for the part of a run, if each part is to be a row.

    Raises:
        ValueError: As of `read_lines`.
    """
    rows: dict[tuple[str, ...], Row] = {}
    for line in read_lines(path):
        metric, _, ending = line["metric"].rpartition(":") if part else (line["metric"], "", "")
        common = {name: line[name] for name in (*RUN, *ORIGIN)} | ({part: ending} if part else {})
        row = rows.setdefault(tuple(common.values()), dict.fromkeys(columns, "") | common)
        row[metric] = line["value"]
    return list(rows.values())


def merged(old: Iterable[Row], new: Iterable[Row], place: Callable[[Row], tuple]) -> list[Row]:
    """Rows with those of the same place replaced, in the order of their places.

    Args:
        old: What a file has.
        new: What was measured since. A place that is in both has the new rows alone.
        place: Tells runs apart.

    Example:
        >>> rows = merged([{"fold": 1, "a": 1}, {"fold": 3, "a": 1}], [{"fold": 1, "a": 2}],
        ...               lambda row: (row["fold"],))
        >>> rows
        [{'fold': 1, 'a': 2}, {'fold': 3, 'a': 1}]
    """
    new = list(new)
    measured = {place(row) for row in new}
    return sorted([*(row for row in old if place(row) not in measured), *new], key=place)


def parts(row: Mapping[str, Any], metric: str) -> dict[str, str]:
    """What a row says of a metric by part, `recall:tram` and so on.

    Example:
        >>> parts({"recall:tram": "0.9", "recall:bus": "0.8", "accuracy": "0.7"}, "recall")
        {'tram': '0.9', 'bus': '0.8'}
    """
    start = f"{metric}:"
    return {key.removeprefix(start): row[key] for key in row if key.startswith(start)}
