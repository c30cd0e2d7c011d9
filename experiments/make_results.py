"""Write all that is made of the result files: README table, pages, plots; or compare.

`results/*.csv` are the one source: what an experiment measured, a line a number. From them this
writes the table in README.md, docs/results.md with its plots, and a page for each experiment
and data set under results/. `--check` writes nothing: it exits with 1 if any of these is stale, or
if a recipe has neither a row nor a stated reason (results/not_run.csv) for a data set of its paper.

Examples:
  python experiments/make_results.py
  python experiments/make_results.py --check
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

import parity
import results_page
import targets_of_benchmarks
from cells import between
from kinds import KINDS, result_files_of
from methods import methods_table, read_methods
from not_run import unexplained
from reasons import reason

from keras_audio.files import write_text
from keras_audio.quiet import import_tensorflow

# Pages under results/ that other commands write.
BY_HAND = ("esc10_check.md",)
REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check; 1 if something is stale or unexplained, 2 if a file cannot be read."""
    options = parse(arguments)
    import_tensorflow()
    results = options.repository / "results"
    try:
        problems = [f"{text}." for text in unexplained(results)]
        made = made_of_results(options.repository)
    except ValueError as error:
        print(f"make_results: {error}", file=sys.stderr)
        return 2
    problems += [
        f"{path.relative_to(options.repository)} is made of no result file: delete it."
        for path in sorted([*results.glob("*.svg"), *results.glob("*.md")])
        if path not in made and path.name not in BY_HAND
    ]
    for path, text in made.items():
        stale = not path.is_file() or path.read_text(encoding="utf-8") != text
        if stale and options.check:
            problems.append(f"{path.relative_to(options.repository)} is stale: run `make results`.")
        elif stale:
            write_text(path, text)
            print(path.relative_to(options.repository))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def made_of_results(repository: pathlib.Path) -> dict[pathlib.Path, str]:
    """All files that are made of the result files, with the texts that they should have."""
    results = repository / "results"
    found = {}
    for kind in KINDS.values():
        for dataset, _ in result_files_of(kind, results):
            rows, absent = kind.read(dataset, results), reason(results, kind.name, dataset)
            for name, text in kind.page(rows, dataset, absent, results).items():
                found[results / name] = text
    methods = read_methods(results)
    text, figures = results_page.page(methods, results)
    found[repository / "docs" / "results.md"] = text
    found |= {results / name: svg for name, svg in figures.items()}
    measured = parity.table(parity.read_rows(results / parity.FILE))
    importing = repository / "docs" / "importing.md"
    found[importing] = between(importing.read_text("utf-8"), "parity", measured)
    performance = repository / "docs" / "performance.md"
    targets = targets_of_benchmarks.lines(results / "benchmarks")
    found[performance] = between(performance.read_text("utf-8"), "targets", targets)
    readme = repository / "README.md"
    found[readme] = between(readme.read_text("utf-8"), "results", methods_table(methods))
    return found


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 if stale")
    parser.add_argument(
        "--repository", type=pathlib.Path, default=REPOSITORY, help="of README, docs and results"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
