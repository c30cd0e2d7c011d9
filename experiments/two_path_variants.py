"""What the experiment on the two-path network trains: the report's ablations; rows of the runs."""

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any, NamedTuple

import cells
import numpy as np
from held_out import last_score

from keras_audio.evaluation import published_results, read_predictions
from keras_audio.files import read_json
from keras_audio.recipes import TwoPath, with_settings
from keras_audio.training.run_folder import RunFolder

# Families whose data sets are the tasks of the challenge: TAU Urban Acoustic Scenes 2019, and what
# is generated in its form.
SCENES = ("tau_urban_2019", "toy_scenes")
TASKS = ("1a", "1b", "1c")

# The network of the report, and what section by section it was compared with.
USUAL = "two_paths"
ABLATIONS = {
    "no_deltas": "deltas=False",
    "one_path": "paths=1",
    "frequency_downsampling": "frequency_downsampling=True",
    "learned_batch_norm": "learned_batch_norm=True",
    "learned_pooling": "learned_pooling=True",
}
# Fields of the recipe beside the ablations' that have a place of their own in folders and tables.
CELL_FIELDS = ("dataset", "fold", "seed", "num_filters")
# Groups of devices whose accuracy Table 1 has, and the columns of the rows that hold ours.
DEVICES = {"A": "accuracy_a", "B and C": "accuracy_b_and_c"}
COLUMNS = (
    *("recipe", "dataset", "fold", "seed", "variant", "num_filters"),
    *("accuracy", "balanced_accuracy", "mean_average_precision", "last_epoch_accuracy"),
    *DEVICES.values(),
    *("known_accuracy", "unknown_accuracy", "unknown_weight", "known_recall", "unknown_recall"),
    *("score", "kept", "best_epoch", "epochs", "classes", "parameters", "seconds"),
    *("hardware", "backend", "versions", "commit", "command"),
)


class Variant(NamedTuple):
    """All of a training but its data set, fold and seed."""

    name: str
    num_filters: int
    extra: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """The folder of its runs, such as `one_path-num_filters=34`."""
        return "-".join([self.name, *self.settings])

    @property
    def settings(self) -> tuple[str, ...]:
        """What differs from the report beside the ablations."""
        usual = TwoPath.num_filters
        filters = () if self.num_filters == usual else (f"num_filters={self.num_filters}",)
        return (*filters, *self.extra)

    @property
    def title(self) -> str:
        """The name as tables print it."""
        return self.name.replace("+", ", ").replace("_", " ")


def build_recipe(name: str, dataset: str, settings: Iterable[str] = ()) -> TwoPath:
    """The recipe of a variant, such as `no_deltas` or `no_deltas+one_path`, with settings.

    Example:
        >>> recipe = build_recipe("no_deltas+one_path", "esc10", ["epochs=62"])
        >>> recipe.deltas, recipe.paths, recipe.epochs
        (False, 1, 62)
    """
    switched = [ABLATIONS[part] for part in name.split("+") if part != USUAL]
    return with_settings(TwoPath.for_dataset(dataset), [*switched, *settings])


def variant_of(recipe: TwoPath) -> Variant:
    """The variant that a recipe trains.

    Example:
        >>> variant_of(build_recipe("one_path", "esc10", ["num_filters=8", "epochs=62"]))
        Variant(name='one_path', num_filters=8, extra=('epochs=62',))
    """
    ablations = [
        name for name, setting in ABLATIONS.items() if with_settings(recipe, [setting]) == recipe
    ]
    name = "+".join(ablations) or USUAL
    plain = build_recipe(name, recipe.dataset)
    extra = tuple(cells.changed_settings(recipe, plain, CELL_FIELDS))
    return Variant(name, recipe.num_filters, extra)


def variant_of_row(row: dict) -> Variant:
    """The variant of a row of the CSV."""
    return variant_of(cells.recipe_of(row))


def at_equal_parameters(recipe: TwoPath, classes: int) -> TwoPath:
    """One path as wide as makes its trainable parameters come nearest to those of two.

    Args:
        recipe: Of one path; its number of filters is that of the two.
        classes: How many the data set has.

    Example:
        >>> at_equal_parameters(build_recipe("one_path", "esc10"), 10).num_filters
        33
    """
    from keras_audio.models.two_path import equal_width  # Keras takes seconds.

    width = equal_width(
        recipe.num_filters,
        feature_channels=recipe.channels * (3 if recipe.deltas else 1),
        num_classes=classes,
    )
    return dataclasses.replace(recipe, num_filters=width)


def parameters(recipe: TwoPath, classes: int) -> int:
    """Trainable parameters of the network, as the report counts them."""
    return _parameters(dataclasses.replace(recipe, fold=1, seed=0), classes)


@functools.cache
def _parameters(recipe: TwoPath, classes: int) -> int:
    return cells.trainable_parameters(recipe.build_model(classes))


def is_weighted_otherwise(run: RunFolder) -> bool:
    """Whether the unknown class was weighted by another number than the recipe's, or a tuned one.

    What was tuned was chosen by the clips that it is measured on.
    """
    open_set = read_json(run.path / "metrics.json").get("open_set", {})
    wanted = run.recipe.unknown_weight
    return "cross_fitted" in open_set or open_set.get("unknown_weight", wanted) != wanted


def read_run(run: RunFolder) -> dict[str, Any]:
    """The row of a finished and evaluated run."""
    recipe, done = run.recipe, run.finished
    # Unlike the accuracy, that of an epoch is without the weight of an unknown class.
    open_set = "open_set" in read_json(run.path / "metrics.json")
    last = "" if open_set else last_score(run, "val_accuracy")
    return (
        cells.common_columns(run)
        | scene_columns(run)
        | class_columns(read_json(run.path / "metrics.json"))
        | {
            "last_epoch_accuracy": last,
            "best_epoch": done["best_epoch"],
            "epochs": done["epochs"],
            "classes": len(run.labels),
            "parameters": parameters(recipe, len(run.labels)),
        }
    )


def derived(row: dict) -> dict[str, Any]:
    """What the command of a row says of it."""
    recipe = cells.recipe_of(row)
    variant = variant_of(recipe)
    return {
        "variant": variant.name,
        "num_filters": variant.num_filters,
        "kept": "last" if recipe.keeps_last else "best",
    }


def place(row: dict) -> tuple:
    """The run of a row among all of a data set, or of the tasks of one."""
    return row["dataset"], variant_of_row(row).folder, int(row["fold"]), int(row["seed"])


def describe(row: dict) -> tuple[str, list[str]]:
    """The network of a row, and what it was fed with: log-mels, and what else is not usual."""
    variant = variant_of_row(row)
    title = [] if variant.name == USUAL else [variant.title]
    return "two_path_resnet", ["log-mel", *title, *variant.settings]


def class_columns(metrics: dict[str, Any]) -> dict[str, Any]:
    """What the tables and matrices of classes are made of: `recall:bus`, `confusion:bus>tram`.

    Of task 1b it is measured on devices B and C, as the report does. Of pairs of classes those that
    no clip is of are left out.
    """
    measured = metrics.get("groups", {}).get("device", {}).get("B and C", metrics)
    both = ("recall", "precision")
    open_set = measured.get("open_set")
    found = [row for row in measured["per_class"] if row["support"]]
    values = {
        f"{metric}:{row['label']}": row[metric]
        for row in found
        if not (open_set and row["label"] == "unknown")
        for metric in both
    }
    for row in ("known", "unknown") if open_set else ():
        values |= {f"{metric}:{row}": open_set[f"{row}_{metric}"] for metric in both}
    values |= {f"{metric}:average": float(np.mean([r[metric] for r in found])) for metric in both}
    labels = [row["label"] for row in measured["per_class"]]
    counts = {
        f"confusion:{true}>{predicted}": count
        for true, line in zip(labels, measured["confusion_matrix"], strict=True)
        for predicted, count in zip(labels, line, strict=True)
        if count
    }
    return {name: f"{value:.4f}" for name, value in values.items()} | counts


def scene_columns(run: RunFolder) -> dict[str, str]:
    """What the row of a run on scenes has besides: accuracy by device, the score of task 1c."""
    metrics = read_json(run.path / "metrics.json")
    devices = metrics.get("groups", {}).get("device", {})
    values = {
        column: devices[group]["accuracy"] for group, column in DEVICES.items() if group in devices
    }
    if "open_set" in metrics:
        names = ("unknown_weight", "known_recall", "unknown_recall", "score")
        values |= {name: metrics["open_set"][name] for name in names}
        known, unknown = unweighted_accuracy(run)
        values |= {"known_accuracy": known, "unknown_accuracy": unknown}
    return {name: f"{value:.4f}" for name, value in values.items()}


def unweighted_accuracy(run: RunFolder, unknown: str = "unknown") -> tuple[float, float]:
    """Accuracy on the clips of known classes, and on the unknown ones, all classes weighted by 1.

    As Table 1 seems to have it: what it says of task 1c cannot be of the decisions of Table 4.
    """
    rows, labels = read_predictions(run.path / "predictions.csv")
    hits: dict[bool, list[bool]] = {False: [], True: []}
    for row in rows:
        likeliest = max(labels, key=lambda label: row[f"p_{label}"])
        hits[row["target"] == unknown].append(likeliest == row["target"])
    known, others = (sum(found) / len(found) for found in hits.values())
    return known, others


def published(table: str) -> dict[tuple[str, str, str], float]:
    """What the report says in a table: row, `deltas=...` and metric to value.

    Example:
        >>> published("Table 1")["B and C", "deltas=true", "accuracy"]
        0.663
    """
    return {
        (row["row"], row["column"], row["metric"]): row["value"]
        for row in published_results("mcdonnell_2019")
        if row["table"] == table
    }
