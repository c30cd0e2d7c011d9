"""What was asked of the numbers of benchmarks, and the table that says which are met."""

import csv
import dataclasses
import pathlib
import statistics
from collections.abc import Iterable, Mapping, Sequence

# That targets are set for, in the order in which they are run.
BENCHMARKS = (
    "log_mel",
    "pipeline",
    "preparation",
    "training_steps",
    "inference",
    "exports",
    "command_line",
    "growth",
    "memory",
)


@dataclasses.dataclass(frozen=True)
class Target:
    """A number that is to be reached, and what was measured of it.

    Args:
        what: Such as `librosa's time over ours, 1 core`.
        values: A number a round.
        at_least: What the median is to reach, or
        at_most: what it must not pass.
        unit: Of the numbers.
    """

    what: str
    values: Sequence[float]
    at_least: float | None = None
    at_most: float | None = None
    unit: str = "ratio"

    @property
    def asked(self) -> str:
        """The bound in words."""
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return f"at most {self.at_most:g}"

    @property
    def met(self) -> bool:
        """Whether the median keeps the bound."""
        median = statistics.median(self.values)
        return median >= self.at_least if self.at_least is not None else median <= self.at_most


def targets_table(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """The lines of a Markdown table of rows that something was asked of."""
    lines = ["| target | asked | median | least | most | met |", "| --- " * 6 + "|"]
    for row in rows:
        answer = "yes" if row["met"] == "yes" else "**no**"
        unit = "" if row["unit"] == "ratio" else f" {row['unit']}"
        lines.append(
            f"| {row['measured']} | {row['asked']}{unit} | {row['median']} | {row['least']} | "
            f"{row['most']} | {answer} |"
        )
    return lines


def shown(name: str, unit: str, numbers: Iterable[float], digits: int = 3) -> dict[str, str]:
    """The first columns of a row: the median, the least and the most of some numbers."""
    numbers = list(numbers)
    found = (statistics.median(numbers), min(numbers), max(numbers))
    median, least, most = (f"{x:.0f}" if x >= 100 else f"{x:.{digits}g}" for x in found)
    return {"measured": name, "unit": unit, "median": median, "least": least, "most": most}


def read_targets(
    folder: pathlib.Path, names: Iterable[str] = BENCHMARKS
) -> dict[str, list[dict[str, str]]]:
    """The rows that something was asked of, by the name of the file, of those that are there."""
    found = {}
    for path in (folder / f"{name}.csv" for name in names):
        if path.is_file():
            with open(path, newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if row.get("asked")]
            found |= {path.stem: rows} if rows else {}
    return found


def summary(targets: Mapping[str, Sequence[Mapping[str, str]]], link: str) -> str:
    """How many are met, and a table for each benchmark.

    Args:
        targets: What `read_targets` gives.
        link: Where the benchmarks' pages are, ending in a slash.
    """
    rows = [row for group in targets.values() for row in group]
    met = sum(row["met"] == "yes" for row in rows)
    machines = sorted({f"{row['hardware']}, {row['cores']} cores" for row in rows})
    lines = [f"{met} of {len(rows)} targets are met, on {'; '.join(machines)}."]
    for name, group in targets.items():
        head = f"[{name}]({link}{name}.md), `{group[0]['command']}`:"
        lines += ["", head, "", *targets_table(group)]
    return "\n".join(lines)
