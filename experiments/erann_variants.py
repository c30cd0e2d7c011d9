"""What the experiment on ERANN trains: variants of a recipe, the paper's among them; their rows."""

import functools
from collections.abc import Iterable
from typing import Any, NamedTuple

import cells
from held_out import last_score

from keras_audio.evaluation import published_results
from keras_audio.recipes import ERANN, with_settings
from keras_audio.training.run_folder import RunFolder

# The data sets of the paper's tables.
TABLES = {3: "audioset", 4: "audioset", 6: "esc50", 8: "urbansound8k", 9: "ravdess"}
AUGMENTATION = 3
CLASSES = {"audioset": 527, "esc50": 50, "esc10": 10, "urbansound8k": 10, "ravdess": 8}
STARTS = ("scratch", "fine_tune")
MIXUPS = ("none", "standard", "between_class", "between_class_log_mel")
PITCH_VARIANTS = ERANN.paper_settings("ravdess")["pitch_variants"]

# Where the paper names no systems and `--systems` none either: what two cores can train.
OWN_SYSTEMS = ("erann_3_1",)
# What differs from the paper, by data set and for all systems, and why.
SETTINGS = {
    "esc10": [
        "iterations=800",
        "evaluation_interval=100",
        "ema_decay=0.99",
        "schedule=one_cycle",
        "learning_rate=0.001",
    ]
}
WHY_SETTINGS = {
    "esc10": "A core takes four seconds a step, so there are 800 steps in place of the 20,000 of "
    "ESC-50. A rate of 2e-4 would not come far in them: one cycle up to 1e-3 is how the paper "
    "trains AudioSet. An average with decay 0.999 would still hold what the weights were at "
    "first: 0.99 looks back 100 steps in place of 1,000."
}
# Fields of the recipe that have options of their own, so that no `--set` is needed for them.
CELL_FIELDS = ("dataset", "fold", "seed", "s_m", "width", "mixup", "spec_augment", "pitch_variants")
COLUMNS = (
    *("recipe", "dataset", "fold", "seed", "network", "start", "mixup", "spec_augment"),
    *("crop_duration", "pitch_variants", "accuracy", "balanced_accuracy"),
    *("mean_average_precision", "last_epoch_accuracy", "last_epoch_mean_average_precision"),
    *("best_iteration", "iterations", "classes", "parameters", "macs", "seconds"),
    *("hardware", "backend", "versions", "commit", "command"),
)


class Variant(NamedTuple):
    """What a number of a table belongs to: all of a training but its fold and seed."""

    network: str
    start: str
    mixup: str
    spec_augment: bool
    pitch_variants: int
    extra: tuple[str, ...] = ()

    @property
    def system(self) -> str:
        """The name as the paper prints it, such as ERANN-1-3."""
        return self.network.upper().replace("_", "-")


def usual_recipe(dataset: str, start: str) -> ERANN:
    """The recipe that is trained on a data set unless something else is asked for."""
    recipe = ERANN.for_dataset(dataset, fine_tune=start == "fine_tune")
    return with_settings(recipe, SETTINGS.get(dataset, []))


def build_recipe(variant: Variant, dataset: str, settings: Iterable[str] = ()) -> ERANN:
    """The recipe of a variant, with further settings."""
    fields = ERANN.fields_of_model(variant.network) | {
        "mixup": variant.mixup,
        "spec_augment": variant.spec_augment,
        "pitch_variants": variant.pitch_variants,
    }
    texts = [f"{field}={value}" for field, value in fields.items()]
    return with_settings(usual_recipe(dataset, variant.start), [*texts, *variant.extra, *settings])


def variant_of(recipe: ERANN, start: str) -> Variant:
    """The variant that a recipe trains."""
    usual = usual_recipe(recipe.dataset, start)
    return Variant(
        recipe.model_name,
        start,
        recipe.mixup,
        recipe.spec_augment,
        recipe.pitch_variants,
        tuple(cells.changed_settings(recipe, usual, CELL_FIELDS)),
    )


@functools.cache
def published(table: int) -> dict[Variant, float]:
    """What the paper reached in each cell of a table.

    Example:
        >>> variant = Variant("erann_2_5", "fine_tune", "between_class", True, 0)
        >>> published(6)[variant]
        0.961
    """
    return {
        variant_of_result(row): row["value"]
        for row in _rows_of_paper(table, "accuracy", "mean_average_precision")
    }


def variant_of_result(result: dict) -> Variant:
    """The variant that a published accuracy or precision of a network of ours is of."""
    words = result["column"].split()
    settings = [word for word in words if "=" in word]
    if "no_pitch_shift" in words:
        settings.append("pitch_variants=0")
    start = next((word for word in words if word in STARTS), "scratch")
    fields = ERANN.fields_of_model(result["row"])
    recipe = ERANN.for_dataset(result["dataset"], fine_tune=start == "fine_tune", **fields)
    return variant_of(with_settings(recipe, settings), start)


def _rows_of_paper(table: int, *metrics: str) -> list[dict]:
    return [
        row
        for row in published_results("verbitskiy_2022")
        if row["table"] == f"Table {table}"
        and row["source"] == "paper"
        and row["metric"] in metrics
        and ERANN.fields_of_model(row["row"])
    ]


def published_number(dataset: str, network: str, metric: str) -> float | None:
    """What the paper's table of systems on a data set says of a network, None if nothing."""
    values = [
        row["value"]
        for table, name in TABLES.items()
        if name == dataset and table != AUGMENTATION
        for row in _rows_of_paper(table, metric)
        if row["row"] == network
    ]
    return values[0] if values else None


def read_run(run: RunFolder) -> dict[str, Any]:
    """The row of a finished and evaluated run."""
    recipe = run.recipe
    parameters, macs = size(recipe.model_name, len(run.labels), recipe.duration)
    return cells.common_columns(run) | {
        f"last_epoch_{recipe.monitor.removeprefix('val_')}": last_score(run, recipe.monitor),
        "best_iteration": run.finished["best_iteration"],
        "iterations": run.finished["iterations"],
        "classes": len(run.labels),
        "parameters": parameters,
        "macs": macs,
    }


def derived(row: dict) -> dict[str, Any]:
    """What the command of a row says of it."""
    recipe = cells.recipe_of(row)
    return {
        "network": recipe.model_name,
        "start": "fine_tune" if cells.source_of(row) else "scratch",
        "mixup": recipe.mixup,
        "spec_augment": recipe.spec_augment,
        "crop_duration": recipe.crop_duration,
        "pitch_variants": recipe.pitch_variants,
    }


@functools.cache
def size(network: str, classes: int, seconds: float) -> tuple[int, int]:
    """Trainable parameters, as the paper counts them, and multiply-accumulates a clip."""
    import keras_audio
    from keras_audio.models.macs import count_macs

    model = keras_audio.create_model(network, classes)
    macs = count_macs(model, (round(seconds * 44100), 1))
    return cells.trainable_parameters(model), macs


def variant_of_row(row: dict) -> Variant:
    """The variant of a row of the CSV."""
    return variant_of(cells.recipe_of(row), row["start"])


def place(row: dict) -> tuple:
    """The run of a row among all of a data set."""
    recipe = cells.recipe_of(row)
    name = folder_name(recipe, row["start"])
    return recipe.s_m, recipe.width, name, int(row["fold"]), int(row["seed"])


def folder_name(recipe: ERANN, start: str) -> str:
    """The folder of a variant's runs, `<s_m>-<w>-<variant>`."""
    usual = ERANN.for_dataset(recipe.dataset)
    parts = [f"{recipe.s_m}-{recipe.width}", recipe.mixup]
    if not recipe.spec_augment:
        parts.append("no_spec_augment")
    if recipe.pitch_variants:
        parts.append("pitch_shift")
    if recipe.crop_duration != usual.crop_duration:
        parts.append(f"crop{recipe.crop_duration:g}" if recipe.crop_duration else "crop_none")
    if start != STARTS[0]:
        parts.append(start)
    extra = variant_of(recipe, start).extra
    parts += [text for text in extra if not text.startswith("crop_duration=")]
    return "-".join(parts)


def describe(row: dict) -> tuple[str, list[str]]:
    """The network of a row, and what it was fed with: log-mels, and how they were augmented."""
    variant = variant_of_row(row)
    usual = usual_recipe(row["dataset"], variant.start)
    words = ["log-mel"]
    if variant.start == "fine_tune":
        words.append("fine-tuned")
    if variant.mixup != usual.mixup:
        words.append(f"mixup {variant.mixup}")
    if variant.spec_augment != usual.spec_augment:
        words.append("SpecAugment" if variant.spec_augment else "no SpecAugment")
    if variant.pitch_variants != usual.pitch_variants:
        words.append("pitch shift" if variant.pitch_variants else "no pitch shift")
    return variant.network, [*words, *variant.extra]
