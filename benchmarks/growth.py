"""How time and memory grow with clips, their length, classes and workers.

Every measurement is a fresh process, which gives the seconds of the work alone and the most memory
above what it had before. A line through the logarithms of sizes and costs has the exponent as its
slope: 1 is linear, and more is asked of nothing here. Written are a table, its numbers as CSV, and
a plot.

Examples:
  python benchmarks/growth.py
  python benchmarks/growth.py --only classes --repeats 3 --name growth_classes
  python benchmarks/growth.py --quick --to quick-benchmarks
"""

import argparse
import dataclasses
import functools
import os
import pathlib
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence

import growth_measures
import numpy as np
from growth_measures import Cost
from growth_plot import growth_svg
from options import new_parser, parsed
from processes import alone
from targets import Target
from timing import in_turn, write_results

from keras_audio.files import write_text

# What is asked: linear, and what noise may add to a slope.
MOST = 1.1
# Less than so much more memory than before is what any process takes for itself.
LEAST_MB = 5.0
WORKER_CLIPS = 400


@dataclasses.dataclass(frozen=True)
class Growth:
    """Something that is measured at several sizes.

    Args:
        name: Of what is done.
        axis: Of the size.
        unit: Of the size.
        measure: Function of the work folder and a size that gives a `Cost`.
        sizes: That it is measured at.
    """

    name: str
    axis: str
    unit: str
    measure: Callable[[pathlib.Path, int], Cost]
    sizes: tuple[int, ...]

    def at(self, size: int) -> str:
        """The name of a measurement."""
        return f"{self.name}, {size} {self.unit}"


_CLIPS, _SECONDS, _CLASSES, _WORKERS = (
    (200, 400, 800, 1600),
    (5, 10, 20, 40, 80),
    (10, 100, 1000),
    (1, 2),
)
GROWTHS = (
    Growth("preparation", "clips", "clips", growth_measures.preparation, _CLIPS),
    Growth("training pass", "clips", "clips", growth_measures.training, _CLIPS),
    Growth("prediction, one window", "length", "s", growth_measures.prediction, _SECONDS),
    Growth("prediction, windows of 5 s", "length", "s", growth_measures.windows, _SECONDS),
    Growth("log-mel", "length", "s", growth_measures.log_mel, _SECONDS),
    Growth("building a network", "classes", "classes", growth_measures.building, _CLASSES),
    Growth("training step", "classes", "classes", growth_measures.step, _CLASSES),
    Growth("metrics and report", "classes", "classes", growth_measures.evaluation, _CLASSES),
    Growth(
        "preparation by several jobs",
        "workers",
        "jobs",
        lambda work, jobs: growth_measures.preparation(work, WORKER_CLIPS, jobs),
        _WORKERS,
    ),
    Growth(
        "training by several workers",
        "workers",
        "workers",
        functools.partial(growth_measures.workers, clips=WORKER_CLIPS),
        _WORKERS,
    ),
)


def main() -> int:
    """Measure, print, and write the files."""
    options = parse()
    growths = [growth for growth in GROWTHS if growth.axis in options.only]
    if options.quick:
        growths = [
            dataclasses.replace(growth, sizes=tuple(size // 4 or size for size in growth.sizes[:2]))
            for growth in growths
            if growth.measure is not growth_measures.training and growth.unit != "workers"
        ]
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        measures = {
            growth.at(size): functools.partial(
                alone, measured, GROWTHS_BY_NAME[growth.name], pathlib.Path(work), size
            )
            for growth in growths
            for size in growth.sizes
        }
        busy = os.getloadavg()[0]
        costs = in_turn(measures, options.repeats)
    seconds = {name: [cost.seconds for cost in rounds] for name, rounds in costs.items()}
    memory = {name: [cost.memory for cost in rounds] for name, rounds in costs.items()}
    targets = [
        Target(f"{what} of {growth.name} by {growth.unit}", slopes, at_most=most, unit="exponent")
        for growth in growths
        for what, slopes, most in (
            # More workers are to take no longer.
            ("time", exponents(growth, seconds), 0.0 if growth.axis == "workers" else MOST),
            ("memory", exponents(growth, memory, LEAST_MB), MOST),
        )
    ]
    about = (
        f"Fresh processes, {options.repeats} rounds; seconds of the work alone, MB above what the "
        "process had before, with its children. Exponents: slopes of lines through the logarithms, "
        f"one a round; of memory, {LEAST_MB:g} MB stand for less. At most {MOST:g}: linear, and "
        f"noise; time by workers at most 0. Load average when the rounds began: {busy:.1f}."
    )
    base = options.to / options.name
    curves = {
        growth.name: (growth.sizes, *(medians(growth, of) for of in (seconds, memory)))
        for growth in growths
    }
    write_text(base.with_name(f"{base.name}.svg"), growth_svg(curves))
    steepest = max(targets, key=lambda target: statistics.median(target.values))
    conclusions = [
        f"The steepest is {steepest.what}: {statistics.median(steepest.values):.2f}.",
        "Each beside its own smallest size, and what would be linear as a broken line:",
        f"![Time and memory against size]({base.name}.svg)",
    ]
    groups = {"s": seconds, "MB": memory}
    title = "How time and memory grow"
    write_results(base, title, about, groups, conclusions, targets)
    return 0


GROWTHS_BY_NAME = {growth.name: number for number, growth in enumerate(GROWTHS)}


def measured(number: int, work: pathlib.Path, size: int) -> Cost:
    """Measure one of `GROWTHS`, which other processes know by its number."""
    return GROWTHS[number].measure(work, size)


def medians(growth: Growth, values: Mapping[str, Sequence[float]]) -> list[float]:
    """A number a size."""
    return [statistics.median(values[growth.at(size)]) for size in growth.sizes]


def exponents(
    growth: Growth, values: Mapping[str, Sequence[float]], least: float = 0.0
) -> list[float]:
    """The slope of the logarithms in each round.

    Args:
        growth: What was measured.
        values: A number a round, by `Growth.at`.
        least: What stands for a number that is less.
    """
    rounds = zip(*(values[growth.at(size)] for size in growth.sizes), strict=True)
    sizes = np.log(growth.sizes)
    return [float(np.polyfit(sizes, np.log(np.maximum(one, least)), 1)[0]) for one in rounds]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    quick = "two small sizes, no training, 1 round"
    parser = new_parser(__doc__, name="growth", repeats=2, quick=quick)
    axes = list(dict.fromkeys(growth.axis for growth in GROWTHS))
    parser.add_argument("--only", nargs="+", choices=axes, default=axes, metavar="AXIS")
    parser.add_argument("--work", type=pathlib.Path, help="where to put files; default: /tmp")
    return parsed(parser, arguments, {"repeats": 1})


if __name__ == "__main__":
    sys.exit(main())
