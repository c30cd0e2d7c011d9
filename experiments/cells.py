"""What the experiments share: cells of a grid as run folders, the rows of runs, tables of rows.

`grid.run_grid` runs what is missing of the cells. Tables are written from all run folders that
there are, whichever call made them.
"""

import dataclasses
import functools
import math
import pathlib
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from keras_audio.evaluation import Aggregate, aggregate
from keras_audio.files import folder_name, read_json
from keras_audio.recipes import Recipe, recipe_class, recipe_differences, with_settings
from keras_audio.training.run_folder import RunFolder

# The official folds, of data sets with more than one that is held out.
FOLDS = {"esc50": 5, "esc10": 5, "urbansound8k": 10, "ravdess": 4}
# What `prepare` is given; None for sounds that are generated.
SOURCES_ON_DISK = {
    "tau_urban_2019/1a": "TAU-urban-acoustic-scenes-2019-development",
    "tau_urban_2019/1b": "TAU-urban-acoustic-scenes-2019-mobile-development",
    "tau_urban_2019/1c": "TAU-urban-acoustic-scenes-2019-openset-development",
    "tau_urban_2020_3class": "TAU-urban-acoustic-scenes-2020-3class-development",
    **dict.fromkeys(f"toy_scenes/{task}" for task in ("1a", "1b", "1c", "3class")),
    "urbansound8k": "UrbanSound8K",
    "ravdess": "RAVDESS",
    **{name: f"{name[:3].upper()}-{name[3:]}-master" for name in ("esc10", "esc50")},
    "toy_sounds": None,
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One training of an experiment.

    Args:
        recipe: What is trained.
        path: Its run folder.
        start: Further options of `keras-audio train`, such as where the weights come from.
    """

    recipe: Recipe
    path: pathlib.Path
    start: tuple[str, ...] = ()

    def folder(self, smoke: bool = False) -> pathlib.Path:
        """The folder that its processes write to; a variant has one for all its smoke tests."""
        return self.path.with_name("smoke") if smoke else self.path

    def commands(self, data_dir: str, smoke: bool = False) -> Iterator[list[str]]:
        """The commands of `keras-audio` that are missing.

        Each is to be asked for when the one before is done: what it left decides what follows.

        Args:
            data_dir: Where the records are.
            smoke: Whether to make a few steps only, in a folder that these may overwrite.
        """
        train = [*train_command(self.recipe, self.start), "--data-dir", data_dir]
        train += ["--run", str(self.folder(smoke))]
        if smoke:
            yield [*train, "--smoke", "--force"]
            return
        if not self._is_trained():
            yield [*train, "--resume"]
        done, metrics = self.path / "done.json", self.path / "metrics.json"
        if not metrics.is_file() or metrics.stat().st_mtime < done.stat().st_mtime:
            yield ["evaluate", str(self.path), "--data-dir", data_dir]

    def _is_trained(self) -> bool:
        """Whether the run is finished, and one of this recipe and these first weights.

        What is of another is left to `keras-audio train`, which says in what it differs.
        """
        try:
            run = RunFolder(self.path)
            if run.finished is None or recipe_differences(run.recipe, self.recipe):
                return False
            return not self.start or _first_weights(run) == _digest(self.start[-1])
        except ValueError:  # no run, or none that can be read
            return False


def _first_weights(run: RunFolder) -> str:
    """The digest of the file that the first weights of a run were taken from."""
    initial = run.path / "initial.json"
    return read_json(initial)["sha256"] if initial.is_file() else ""


@functools.cache
def _digest(init_from: str) -> str:
    from keras_audio.training.opening import file_digest, source_file  # Keras takes seconds.

    return file_digest(source_file(init_from))


def train_command(recipe: Recipe, start: Sequence[str] = ()) -> list[str]:
    """The arguments of `keras-audio` that train `recipe`, defaults left out.

    What is a default depends on the data set, and on whether a trained network is tuned: a field is
    left out only where all of these agree.
    """
    cls, tuned = type(recipe), bool(start)
    usual = [cls(), *(cls.for_dataset(name, fine_tune=tuned) for name in (None, recipe.dataset))]
    fields = {text.partition("=")[0] for other in usual for text in changed_settings(recipe, other)}
    if recipe.dataset != cls().dataset:
        fields.add("fold")
    if tuned:  # else the name of the network to start from would settle these
        fields |= {*cls.fields_of_model(recipe.model_name), *cls.network_fields}
    settings = (
        f"--set={name}={value}" for name, value in recipe.to_dict().items() if name in fields
    )
    return ["train", recipe.name, *settings, *start]


def changed_settings(recipe: Recipe, usual: Recipe, fixed: Sequence[str] = ()) -> list[str]:
    """The settings that make `recipe` of `usual`, but for the fields in `fixed`."""
    before = usual.to_dict()
    return [
        f"{field}={value}"
        for field, value in recipe.to_dict().items()
        if field not in fixed and value != before[field]
    ]


def recipe_of(row: dict) -> Recipe:
    """The recipe that the command of a row trains."""
    return _recipe_of_command(row["command"])


@functools.cache
def _recipe_of_command(command: str) -> Recipe:
    _, _, name, *options = shlex.split(command)
    settings = [text.removeprefix("--set=") for text in options if text.startswith("--set=")]
    return with_settings(recipe_class(name)(), settings)


def source_of(row: dict) -> str:
    """What the command of a row takes the first weights from; empty where they are new."""
    words = shlex.split(row["command"])
    return words[words.index("--init-from") + 1] if "--init-from" in words else ""


def prepare_command(
    dataset: str,
    sample_rate: int,
    channels: int = 1,
    resampling: str = "soxr",
    pitch_variants: int = 0,
) -> str:
    """The shell command that prepares a data set."""
    command = ["keras-audio", "prepare", dataset]
    if dataset not in SOURCES_ON_DISK:
        command = ["keras-audio", "prepare", "audio_folder", "--source", dataset, "--name", dataset]
    elif SOURCES_ON_DISK[dataset]:
        command += ["--source", SOURCES_ON_DISK[dataset]]
    command += ["--sample-rate", str(sample_rate)]
    if channels != 1:
        command += ["--channels", str(channels)]
    if resampling != "soxr":
        command += ["--resampling", resampling]
    if pitch_variants:
        command += ["--pitch-variants", str(pitch_variants)]
    return shlex.join(command)


def with_records(found: Iterable[Cell], data_dir: str) -> tuple[list[Cell], str]:
    """The cells that there are records for, and a sentence on the others, if there are any."""
    ready, wanted = [], {}
    for cell in found:
        recipe = cell.recipe
        if prepared_classes(recipe, data_dir):
            ready.append(cell)
        else:
            form = recipe.records_form
            wanted[recipe.dataset, *form.values()] = prepare_command(recipe.dataset, **form)
    sentences = []
    for (dataset, *_, variants), command in wanted.items():
        shifted = f" with {variants} pitch variants" if variants else ""
        sentences.append(f"{dataset} is not prepared{shifted} in {data_dir}/ (`{command}`)")
    return ready, f"not run: {'; '.join(sentences)}" if sentences else ""


def prepared_classes(recipe: Recipe, data_dir: str) -> int | None:
    """How many classes the data set of a recipe has; None where it is not prepared."""
    return _classes(recipe.dataset, data_dir, tuple(recipe.records_form.items()))


@functools.cache
def _classes(dataset: str, data_dir: str, form: tuple[tuple[str, Any], ...]) -> int | None:
    from keras_audio.data import open_records

    try:
        return len(open_records(dataset, data_dir=data_dir, **dict(form)).labels)
    except ValueError:
        return None


def evaluated_runs(folder: pathlib.Path, dataset: str) -> list[RunFolder]:
    """The trained and evaluated runs `<folder>/<cell>/<data set>-fold*`, sorted; no imports."""
    paths = sorted(folder.glob(f"*/{folder_name(dataset)}-fold*/metrics.json"))
    found = [RunFolder(path.parent) for path in paths]
    return [run for run in found if run.finished and run.imported is None]


def start_of(run: RunFolder) -> tuple[str, ...]:
    """The options of `keras-audio train` that say where a run took its first weights from."""
    initial = run.path / "initial.json"
    return ("--init-from", read_json(initial)["source"]) if initial.is_file() else ()


def common_columns(run: RunFolder) -> dict[str, Any]:
    """What the rows of all experiments say of a finished and evaluated run."""
    metrics = read_json(run.path / "metrics.json")
    recipe, scores = run.recipe, ("accuracy", "balanced_accuracy", "mean_average_precision")
    return {
        "recipe": recipe.name,
        "dataset": recipe.dataset,
        "fold": recipe.fold,
        "seed": recipe.seed,
        **{name: f"{metrics[name]:.4f}" for name in scores if name in metrics},
        "seconds": round(run.finished["seconds"]),
        **machine_columns(run.environment),
        "command": shlex.join(["keras-audio", *train_command(recipe, start_of(run))]),
    }


def machine_columns(environment: dict[str, Any]) -> dict[str, str]:
    """What rows say of the machine, the versions and the commit that something was made with."""
    tensorflow, keras = (environment["packages"][name] for name in ("tensorflow", "keras"))
    return {
        "hardware": f"{environment['processor']}, cores: {environment['cores']}, "
        f"memory: {environment['memory_gib']} GiB, devices: {', '.join(environment['devices'])}",
        "backend": environment["backend"],
        "versions": f"TensorFlow {tensorflow}, Keras {keras}",
        "commit": environment["commit"],
    }


def markdown_table(titles: Sequence[str], lines: Iterable[Sequence[Any]]) -> list[str]:
    """A table as lines of Markdown."""
    first, *others = (f"| {' | '.join(map(str, line))} |" for line in (titles, *lines))
    return [first, "| --- " * len(titles) + "|", *others]


def between(text: str, name: str, lines: Sequence[str]) -> str:
    r"""A page with the lines between `<!-- name:begin ... -->` and `<!-- name:end -->` replaced.

    Raises:
        ValueError: If the page has no such marks.

    Example:
        >>> between("<!-- a:begin -->\nold\n<!-- a:end -->", "a", ["new", "lines"])
        '<!-- a:begin -->\nnew\nlines\n<!-- a:end -->'
    """
    found = re.search(rf"(<!-- {name}:begin[^\n]*-->\n).*?(<!-- {name}:end -->)", text, re.DOTALL)
    if found is None:
        raise ValueError(f"Expected a page with <!-- {name}:begin -->. Received: {text[:60]!r}")
    return text.replace(found[0], "\n".join([found[1].rstrip("\n"), *lines, found[2]]))


def filled_columns(lines: Sequence[dict[str, Any]]) -> list[str]:
    """A table of lines by title, without the columns that say the same nothing in every line.

    Example:
        >>> filled_columns([{"fold": "1", "seed": "-"}, {"fold": "2", "seed": "-"}])[0]
        '| fold |'
    """
    empty = ({"-"}, {"no"})
    titles = [title for title in lines[0] if {line[title] for line in lines} not in empty]
    return markdown_table(titles, [[line[title] for title in titles] for line in lines])


def hardware_line(rows: Iterable[dict]) -> str:
    """The sentence that names all machines and versions of the rows."""
    found = {f"{row['hardware']}; {row['versions']}, backend {row['backend']}" for row in rows}
    return f"Hardware: {'; '.join(sorted(found))}."


def commands_section(commands: Iterable[str]) -> list[str]:
    """The section of a result page that says how to make it, as lines of Markdown."""
    lines = ["## Commands", "", "Each row's own command stands in the CSV; together:", ""]
    return [*lines, "```bash", *commands, "```", ""]


def percent(value: str | float, digits: int = 2) -> str:
    """A share of one, as rows have them, in percent.

    Example:
        >>> percent("0.8125"), percent("")
        ('81.25', '-')
    """
    return "-" if value == "" else f"{100 * float(value):.{digits}f}"


def mean_and_deviation(rows: Iterable[dict], metric: str, scale: float = 100, digits=1) -> str:
    """The mean of a metric, times `scale`, over folds and seeds, with the deviation over either.

    The deviations are those of `keras_audio.evaluation.aggregate`.

    Example:
        >>> rows = [{"fold": fold, "seed": seed, "accuracy": fold / 10 + seed / 100}
        ...         for fold in (7, 8) for seed in (0, 1, 2)]
        >>> mean_and_deviation(rows[::3], "accuracy"), mean_and_deviation(rows[:1], "accuracy")
        ('75.0 ± 7.1', '70.0')
        >>> mean_and_deviation(rows, "accuracy")
        '76.0 ± 7.1 (folds) ± 1.0 (seeds)'
        >>> mean_and_deviation(rows[:4], "accuracy")  # fold 8 has the first seed only
        '73.2 ± 7.1 (folds) ± 1.0 (seeds)'
    """
    found = _aggregated(rows, metric, scale)
    text = f"{found.mean:,.{digits}f}"
    both = found.seed_deviation is not None
    for axis, spread in (("folds", found.fold_deviation), ("seeds", found.seed_deviation)):
        if spread is not None:
            text += f" ± {spread:,.{digits}f}" + (f" ({axis})" if both else "")
    return text


def interval_text(rows: Iterable[dict], metric: str, scale: float = 100, digits=1) -> str:
    """The 95 % interval of the mean of a share, as of `aggregate`, at most from 0 to `scale`.

    Example:
        >>> rows = [{"fold": fold, "seed": 0, "accuracy": value}
        ...         for fold, value in enumerate((0.8, 0.9, 0.85))]
        >>> interval_text(rows, "accuracy"), interval_text(rows[:1], "accuracy")
        ('72.6 to 97.4', '-')
    """
    found = _aggregated(rows, metric, scale)
    if (interval := found.interval) is None:
        return "-"
    low, high = (min(max(end, 0.0), scale) for end in interval)
    named = " (seeds)" if found.folds == 1 else ""
    return f"{low:,.{digits}f} to {high:,.{digits}f}{named}"


def _aggregated(rows: Iterable[dict], metric: str, scale: float) -> Aggregate:
    return aggregate(
        {(int(row["fold"]), int(row["seed"])): scale * float(row[metric]) for row in rows}
    )


def score(rows: Sequence[dict], metric: str) -> str:
    """What runs reached, as the cell of a table: the mean and the number of runs."""
    return f"**{mean_and_deviation(rows, metric)}** ({len(rows)})" if rows else "-"


def gathered(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, list]:
    """Values by key, both in the order of their first appearance."""
    groups: dict[Any, list] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def axes(pairs: Iterable[tuple[int, int]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The folds and the seeds of some runs, given as pairs."""
    folds, seeds = zip(*pairs, strict=True)
    return tuple(sorted(set(folds))), tuple(sorted(set(seeds)))


def trainable_parameters(model) -> int:
    """How many numbers of a Keras model are trained, as the papers count."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)
