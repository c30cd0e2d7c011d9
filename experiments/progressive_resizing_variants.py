"""What the experiment on progressive resizing trains: methods and plans; rows of the runs."""

import functools
import itertools
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import cells
from cells import gathered
from held_out import last_score

from keras_audio.files import folder_name
from keras_audio.recipes import ProgressiveResizing, with_settings
from keras_audio.training.run_folder import RunFolder

# The methods, and how the pages call them.
METHODS = {"baseline": "Baseline", "mel": "Mel", "bilinear": "Bilinear", "combined": "Combined"}
# Those that Table 1 has one plan for.
PROGRESSIVE = ("mel", "bilinear", "combined")
MIXUP = ("none", "standard")
# Data sets that the paper has numbers for, and the table with its accuracies.
PUBLISHED = {"urbansound8k": "Table 2", "esc50": "Table 3"}
# Fields of the recipe that have a place of their own in folders and tables.
CELL_FIELDS = ("dataset", "fold", "seed", "method", "mixup", "stages")
COLUMNS = (
    *("recipe", "dataset", "fold", "seed", "method", "mixup", "labels", "plan"),
    *("accuracy", "balanced_accuracy", "mean_average_precision", "last_epoch_accuracy"),
    *("best_epoch", "epochs", "classes", "parameters"),
    *("seconds", "hardware", "backend", "versions", "commit", "command"),
)
# Sections of the page: the plans of Table 1, those of a label, those of none.
PAPER, OTHERS = "", "-"
TITLES = {
    PAPER: "The paper's plans",
    "equal_epochs": "At equal epochs",
    "equal_wall_time": "At equal wall time",
    OTHERS: "Other plans",
}


class Variant(NamedTuple):
    """All of a training but its data set, fold and seed.

    Attributes:
        method: One of `METHODS`.
        mixup: One of `MIXUP`.
        stages: The plan; None is that of Table 1.
        extra: Other settings than the recipe's own.
        start: What the first weights are of, empty where they are new.
    """

    method: str
    mixup: str = "none"
    stages: str | None = None
    extra: tuple[str, ...] = ()
    start: str = ""

    @property
    def settings(self) -> tuple[str, ...]:
        """What methods and plans are compared at: the settings, and the first weights."""
        return (
            *self.extra,
            *([f"init_from={pathlib.Path(self.start).stem}"] if self.start else []),
        )

    @property
    def folder(self) -> str:
        """The folder of its runs, such as `mel-mixup=standard-num_filters=16`."""
        parts = [self.method]
        if self.mixup != "none":
            parts.append(f"mixup={self.mixup}")
        parts += self.settings
        if self.stages is not None:
            # No folder has a slash in its name: 5e-6/3 becomes 5e-6_3.
            parts.append(f"stages={self.stages.replace('/', '_')}")
        return "-".join(parts)


def build_recipe(
    method: str,
    dataset: str,
    mixup: str = "none",
    stages: str | None = None,
    settings: Iterable[str] = (),
) -> ProgressiveResizing:
    """The recipe of a method on a data set, with settings; a plan given takes the place of theirs.

    Example:
        >>> recipe = build_recipe("baseline", "esc10", stages="128x300:10:5e-3")
        >>> recipe.method, len(recipe.plan)
        ('baseline', 1)
    """
    asked = [*settings, *([f"stages={stages}"] if stages else [])]
    recipe = ProgressiveResizing.for_dataset(dataset, method=method, mixup=mixup)
    return with_settings(recipe, asked)


def variant_of(recipe: ProgressiveResizing, start: str = "") -> Variant:
    """The variant that a recipe trains.

    Args:
        recipe: The recipe.
        start: What its first weights are of.

    Example:
        >>> recipe = build_recipe("mel", "esc10", "standard", "64x128:5:5e-4/3", ["num_filters=8"])
        >>> variant_of(recipe).folder
        'mel-mixup=standard-num_filters=8-stages=64x128:5:0.0005_3'
    """
    usual = build_recipe(recipe.method, recipe.dataset, recipe.mixup)
    extra = tuple(cells.changed_settings(recipe, usual, CELL_FIELDS))
    return Variant(recipe.method, recipe.mixup, recipe.stages, extra, start)


def variant_of_row(row: dict) -> Variant:
    """The variant of a row of the CSV."""
    return variant_of(cells.recipe_of(row), cells.source_of(row))


# Labels: what plans have in common, such as as many epochs. ---------------------------------------


def add_label(variant_folder: pathlib.Path, dataset: str, label: str) -> None:
    """Note that a folder's runs on a data set are in a section of its page, beside others."""
    variant_folder.mkdir(parents=True, exist_ok=True)
    (variant_folder / f"{folder_name(dataset)}.{label}.label").touch()


def labels_of(run: pathlib.Path) -> list[str]:
    """The labels of a run.

    Example:
        >>> import tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> add_label(folder, "esc10", "equal_epochs")
        >>> labels_of(folder / "esc10-fold1-seed0")
        ['equal_epochs']
    """
    dataset = run.name.rpartition("-fold")[0]
    return sorted(
        path.stem.removeprefix(f"{dataset}.") for path in run.parent.glob(f"{dataset}.*.label")
    )


def code(texts: Iterable[str]) -> str:
    """Settings as a page prints them.

    Example:
        >>> code(["num_filters=8", "batch_size=16"])
        '`num_filters=8` `batch_size=16`'
    """
    return " ".join(f"`{text}`" for text in texts)


# Rows. --------------------------------------------------------------------------------------------


def read_run(run: RunFolder) -> dict[str, Any]:
    """The row of a finished and evaluated run."""
    recipe, done, classes = run.recipe, run.finished, len(run.labels)
    network = _network(recipe)
    macs = [
        stage.epochs * macs_of(*network, classes, stage.mels, stage.frames) for stage in recipe.plan
    ]
    seconds = stage_seconds(run.history())
    return cells.common_columns(run) | {
        "labels": " ".join(labels_of(run.path)),
        "last_epoch_accuracy": last_score(run, "val_accuracy"),
        "best_epoch": done["best_epoch"],
        "epochs": done["epochs"],
        "classes": classes,
        "parameters": parameters(*network, classes),
        **{f"stage_macs:{number}": count for number, count in enumerate(macs, start=1)},
        **{f"stage_seconds:{number}": round(took) for number, took in enumerate(seconds, start=1)},
    }


def derived(row: dict) -> dict[str, str]:
    """What the command of a row says of it."""
    recipe = cells.recipe_of(row)
    plan = ",".join(map(str, recipe.plan))
    return {"method": recipe.method, "mixup": recipe.mixup, "plan": plan}


def place(row: dict) -> tuple:
    """The run of a row among all of a data set."""
    return variant_of_row(row).folder, int(row["fold"]), int(row["seed"])


def describe(row: dict) -> tuple[str, list[str]]:
    """The network of a row, and what it was fed with: images that grow by a method and a plan."""
    variant = variant_of_row(row)
    words = ["log-mel images", variant.method]
    if variant.mixup != "none":
        words.append(f"mixup {variant.mixup}")
    words += [text for text in variant.settings if not text.startswith("network=")]
    if variant.stages is not None:
        words.append(_images_of(row))
    return cells.recipe_of(row).model_name, words


def _images_of(row: dict) -> str:
    """The sizes of the images of a plan, and for how many epochs each is shown."""
    epochs: dict[str, int] = {}
    for stage in cells.recipe_of(row).plan:
        size = f"{stage.mels}x{stage.frames}"
        epochs[size] = epochs.get(size, 0) + stage.epochs
    return ", ".join(f"{number} epochs of {size}" for size, number in epochs.items())


def stage_seconds(history: dict[str, Sequence[float]]) -> list[float]:
    """What each stage took, of the columns of a history, whose seconds run on through all.

    Example:
        >>> stage_seconds({"stage": [1, 1, 2], "seconds": [5.0, 9.0, 20.0]})
        [9.0, 11.0]
    """
    stages = history.get("stage", [1] * len(history["seconds"]))
    ends = dict(zip(stages, history["seconds"], strict=True)).values()
    return [float(end - start) for start, end in itertools.pairwise([0.0, *ends])]


def _network(recipe: ProgressiveResizing) -> tuple[str, int, str, str, int]:
    """What of a recipe says how large its network is."""
    return recipe.network, recipe.num_filters, recipe.head, recipe.stem, recipe.channels


@functools.cache
def _build(network: str, num_filters: int, head: str, stem: str, channels: int, classes: int):
    import keras_audio  # Keras takes seconds.

    return keras_audio.create_model(
        network,
        classes,
        input="features",
        channels=channels,
        num_filters=num_filters,
        head=head,
        stem_channels=3 if stem == "repeat" else None,
    )


def parameters(*network_and_classes: Any) -> int:
    """Trainable parameters of a network."""
    return cells.trainable_parameters(_build(*network_and_classes))


@functools.cache
def macs_of(
    network: str,
    num_filters: int,
    head: str,
    stem: str,
    channels: int,
    classes: int,
    mels: int,
    frames: int,
) -> int:
    """Multiply-accumulates of a network for one image; making the image is not counted."""
    from keras_audio.models.macs import count_macs

    model = _build(network, num_filters, head, stem, channels, classes)
    return count_macs(model, (mels, frames, channels))


# Sections of the page. ----------------------------------------------------------------------------


class Group(NamedTuple):
    """A section of the page.

    Attributes:
        label: What the plans have in common; `PAPER` or `OTHERS` where there is no label.
        settings: What else is not the recipe's own.
    """

    label: str
    settings: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The heading."""
        title = TITLES.get(self.label) or self.label.replace("_", " ").capitalize()
        return f"{title}{'' if not self.settings else ', '}{code(self.settings)}"


class Line(NamedTuple):
    """A method with a plan: a column of the tables.

    Attributes:
        method: Its name.
        number: 1, or higher where a section has several plans of a method.
    """

    method: str
    number: int = 1

    @property
    def place(self) -> tuple[int, int]:
        """What columns are ordered by."""
        return list(METHODS).index(self.method), self.number

    @property
    def title(self) -> str:
        """How the tables call it."""
        return METHODS[self.method] + (f" {self.number}" if self.number > 1 else "")


# The runs of a section, by method and plan, and by whether clips are mixed.
Runs = dict[tuple[Line, str], list[dict[str, Any]]]


def sections(rows: Iterable[dict], name: str) -> dict[Group, Runs]:
    """The runs of each section: with the paper's plans, and of each of a run's labels.

    Args:
        rows: The runs.
        name: The data set: where the paper has numbers of it, its plans are there without runs too.
    """
    members = []
    for row in rows:
        variant = variant_of_row(row)
        labels = [PAPER] * (variant.stages is None) + row["labels"].split()
        for label in labels or [OTHERS]:
            members.append((Group(label, variant.settings), (variant, row)))
    alone = name in PUBLISHED and all(group.label != PAPER for group, _ in members)
    found: dict[Group, Runs] = {Group(PAPER): {}} if alone else {}
    known = [label for label in TITLES if label != OTHERS]
    place = {label: number for number, label in enumerate(known)} | {OTHERS: len(known) + 1}
    for group, runs in sorted(
        gathered(members).items(), key=lambda item: (place.get(item[0].label, len(known)), item[0])
    ):
        found[group] = _by_line(runs)
    return found


def _by_line(members: Sequence[tuple[Variant, dict]]) -> Runs:
    """Runs by method, plan and mixup, in the order of the methods."""
    plans = {
        method: list(dict.fromkeys(found))
        for method, found in gathered((v.method, v.stages) for v, _ in members).items()
    }
    runs = gathered(
        ((Line(v.method, 1 + plans[v.method].index(v.stages)), v.mixup), row) for v, row in members
    )
    return dict(sorted(runs.items(), key=lambda item: (item[0][0].place, item[0][1])))
