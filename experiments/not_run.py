"""What of the papers was not run, and why: `results/not_run.csv`.

Every recipe has a row in a result file for each data set that its paper reports on, or a line here.
"""

import csv
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

from kinds import KINDS, result_files_of

from keras_audio.evaluation import published_papers, published_results
from keras_audio.files import folder_name
from keras_audio.recipes import list_recipes

FILE = "not_run.csv"
# The paper of each recipe, as `published_results` calls it.
PAPERS = {paper.recipe: paper.key for paper in published_papers()}


class NotRun(NamedTuple):
    """A data set that a recipe was not trained on.

    Attributes:
        recipe: Its name.
        dataset: The data set.
        reason: A sentence.
        command: What would run it.
    """

    recipe: str
    dataset: str
    reason: str
    command: str


def read_not_run(results: pathlib.Path) -> list[NotRun]:
    """The lines of the file; none where there is no such file."""
    path = results / FILE
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [NotRun(**line) for line in csv.DictReader(file)]


def reason(results: pathlib.Path, recipe: str, dataset: str) -> str:
    """Why nothing more was run on a data set or a family of them, for its page; may be empty."""
    found = [
        f"{line.dataset}: {line.reason} (`{line.command}`)"
        for line in read_not_run(results)
        if line.recipe == recipe and dataset in (folder_name(line.dataset), _family(line.dataset))
    ]
    return f"not run: {'; '.join(found)}" if found else ""


def unexplained(results: pathlib.Path) -> Iterator[str]:
    """A sentence for each recipe and data set with neither a row nor a reason, or with both."""
    reasons = {(line.recipe, line.dataset): line for line in read_not_run(results)}
    for recipe in list_recipes():
        if recipe not in KINDS or recipe not in PAPERS:
            yield f"{recipe} is in no experiment: add it to experiments/kinds.py and not_run.py"
            continue
        kind = KINDS[recipe]
        run = {
            row["dataset"]
            for dataset, _ in result_files_of(kind, results)
            for row in kind.read(dataset, results)
        }
        if not run:
            yield f"{recipe} has no row in any result file"
        published = {
            row["dataset"]
            for row in published_results(PAPERS[recipe])
            # What sections say is of their tables, or of others.
            if row["table"].startswith("Table") and row["source"] == "paper"
        }
        for dataset in sorted(published):
            line = reasons.pop((recipe, dataset), None)
            if dataset in run and line:
                yield f"{recipe} on {dataset} was run: delete its line in {FILE}"
            elif dataset not in run and (line is None or not line.reason):
                yield f"{recipe} on {dataset} has neither a row nor a reason in {FILE}"
    for recipe, dataset in reasons:
        yield f"{recipe} on {dataset} in {FILE} is nothing that its paper reports"


def _family(dataset: str) -> str:
    return dataset.partition("/")[0]
