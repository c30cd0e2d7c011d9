"""What the benchmarks share: measuring in turn, a training step, the files."""

import csv
import dataclasses
import io
import math
import pathlib
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from targets import Target, shown, targets_table

from keras_audio.files import write_text


def over(values: Mapping[str, Sequence[float]], above: str, below: str) -> list[float]:
    """The ratio of two measurements in each round, whose sides met the same noise."""
    return [a / b for a, b in zip(values[above], values[below], strict=True)]


def rate(measure: Callable[[], int]) -> float:
    """Clips a second of one call of `measure`, which answers how many clips it handled."""
    started = time.perf_counter()
    clips = measure()
    return clips / (time.perf_counter() - started)


def repeated(call: Callable[[], object], clips: int, seconds: float = 1.0) -> Callable[[], int]:
    """Repeat `call`, which handles so many clips, until about so many seconds have passed.

    Args:
        call: Called twice at once: the first time builds its graph.
        clips: Handled by one call.
        seconds: That a measurement takes at least.

    Returns:
        A measurement for `rate`.
    """
    call()
    started = time.perf_counter()
    call()
    calls = math.ceil(seconds / (time.perf_counter() - started))

    def measure() -> int:
        for _ in range(calls):
            call()
        return calls * clips

    return measure


def in_turn(rates: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure everything once a round, so that a slow while is slow for all; a value a round."""
    values = {name: [] for name in rates}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        for name, measure in rates.items():
            values[name].append(measure())
    return values


class TrainingStep:
    """A recipe's training step, of its last stage, as `keras_audio.training.train` makes it.

    Args:
        recipe: What is trained.
        records: Where its clips come from, all folds of them.

    Attributes:
        full: The model from waveform to predictions.
        batches: The training batches.
    """

    def __init__(self, recipe, records) -> None:
        from keras_audio.training.fitting import Plan, set_up

        self.full = recipe.build_model(len(records.labels))
        plan = dataclasses.replace(Plan.of(recipe)[-1], callbacks=[])
        self._loop, self.batches, _ = set_up(self.full, records, records.folds, plan)
        self._ready = list(self.batches.steps(0, 3))

    def __call__(self) -> int:
        """Train on batches that are ready, without what stands around a step; their clips."""
        for batch in self._ready:
            self._loop.train_step(batch)
        self._loop.totals.numpy()  # waits for a device that works on its own
        return sum(len(targets) for _, targets in self._ready)


def write_results(
    base: pathlib.Path,
    title: str,
    about: str,
    groups: Mapping[str, Mapping[str, Iterable[float]]],
    conclusions: Sequence[str] = (),
    targets: Sequence[Target] = (),
) -> None:
    """Write `base`.csv, a row a measurement, and `base`.md, and print the latter.

    Args:
        base: The files without their endings.
        title: The heading.
        about: What was measured.
        groups: By unit and name, a number a round: shown are the median, the least and the most.
        conclusions: Paragraphs below the table.
        targets: Shown in a table of their own, and among the rows of the .csv with what was asked
            and whether it was met.
    """
    made_with = _made_with()
    rows = []
    for target in targets:
        # A digit more, so that 1.796 is not the 1.8 that it does not reach.
        row = shown(target.what, target.unit, target.values, digits=4)
        answer = {"asked": target.asked, "met": "yes" if target.met else "no"}
        rows.append(row | answer | made_with)
    for unit, group in groups.items():
        for name, numbers in group.items():
            nothing = {"asked": "", "met": ""}
            rows.append(shown(name, unit, numbers) | nothing | made_with)
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(base.with_name(f"{base.name}.csv"), table.getvalue())
    lines = [f"# {title}", "", about, ""]
    asked = [row for row in rows if row["asked"]]
    if asked:
        lines += targets_table(asked) + [""]
    lines += ["| measured | unit | median | least | most |", "| --- | --- | --- | --- | --- |"]
    row_format = "| {measured} | {unit} | {median} | {least} | {most} |"
    lines += [row_format.format(**row) for row in rows if not row["asked"]]
    for conclusion in conclusions:
        lines += ["", conclusion]
    lines += ["", *(f"- {key}: {value}" for key, value in made_with.items()), ""]
    write_text(base.with_name(f"{base.name}.md"), "\n".join(lines))
    print("\n".join(lines))


def _made_with() -> dict:
    from keras_audio.training.environment import describe_environment

    script = f"benchmarks/{pathlib.Path(sys.argv[0]).name}"
    found = describe_environment()
    devices = sorted({device for device in found["devices"] if device != "CPU"})
    return {
        "hardware": "; ".join([found["processor"], *devices]),
        "cores": found["cores"],
        "python": found["python"],
        **{name: found["packages"][name] for name in ("tensorflow", "keras")},
        "backend": found["backend"],
        "commit": found["commit"],
        "command": shlex.join(["python", script, *sys.argv[1:]]),
    }
