"""Why something of the papers was not run, or only in part: `results/not_run.csv`."""

import csv
import pathlib
from typing import NamedTuple

from keras_audio.files import folder_name

FILE = "not_run.csv"


class NotRun(NamedTuple):
    """What a recipe was not trained on.

    Attributes:
        recipe: Its name.
        dataset: The data set.
        what: Of a data set that it was trained on, what is missing; empty where all is.
        reason: Half a sentence.
        command: What would run it.
    """

    recipe: str
    dataset: str
    what: str
    reason: str
    command: str


def read_not_run(results: pathlib.Path) -> list[NotRun]:
    """The lines of the file; none where there is no such file.

    Raises:
        ValueError: If it has other columns.
    """
    path = results / FILE
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != NotRun._fields:
            raise ValueError(
                f"Expected the columns {', '.join(NotRun._fields)}. Received: path={path} with "
                f"{', '.join(reader.fieldnames or ['none'])}"
            )
        return [NotRun(**line) for line in reader]


def reason(results: pathlib.Path, recipe: str, dataset: str) -> str:
    """What was not run on a data set or a family of them, for its page; may be empty."""
    found = [
        f"{line.what or line.dataset}: {line.reason} (`{line.command}`)"
        for line in read_not_run(results)
        if line.recipe == recipe
        and dataset in (folder_name(line.dataset), line.dataset.partition("/")[0])
    ]
    return f"not run: {'; '.join(found)}" if found else ""
