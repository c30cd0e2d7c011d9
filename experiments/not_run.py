"""Whether every recipe has rows, or a stated reason, for each data set of its paper."""

import pathlib
from collections.abc import Iterator

from kinds import KINDS, result_files_of
from reasons import FILE, read_not_run

from keras_audio.evaluation import published_papers, published_results
from keras_audio.recipes import list_recipes

# The paper of each recipe, as `published_results` calls it.
PAPERS = {paper.recipe: paper.key for paper in published_papers()}


def unexplained(results: pathlib.Path) -> Iterator[str]:
    """A sentence for each recipe and data set with neither a row nor a reason.

    A reason may stand beside rows, for what of a data set is missing: it then says what.
    """
    lines = read_not_run(results)
    for recipe in list_recipes():
        if recipe not in KINDS or recipe not in PAPERS:
            yield f"{recipe} is in no experiment: add it to experiments/kinds.py and papers.csv"
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
        own = {line.dataset: line for line in lines if line.recipe == recipe}
        for dataset in sorted(published - run):
            if dataset not in own or not own[dataset].reason:
                yield f"{recipe} on {dataset} has neither a row nor a reason in {FILE}"
        for line in own.values():
            if line.dataset in run and not line.what:
                yield f"{recipe} on {line.dataset} was run: say in {FILE} what is missing"
            elif line.dataset not in run | published:
                yield f"{recipe} on {line.dataset} in {FILE} is nothing that its paper reports"
    for line in lines:
        if line.recipe not in list_recipes():
            yield f"{line.recipe} in {FILE} is no recipe"
