"""What every recipe is: a frozen dataclass that checks its fields and round-trips through JSON.

Nothing here imports Keras, so that the command line can name the recipes and their fields at once.
"""

import abc
import dataclasses
import difflib
import functools
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

from keras_audio.recipes.fields import allows, describe_type, is_instance, parse_value

_RECIPES: dict[str, type["Recipe"]] = {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe(abc.ABC):
    """The fields and the questions that training asks of any paper's recipe.

    A subclass adds the decisions of its paper as fields, with the paper's values as defaults, and
    answers the methods below. Building anything (a model, an optimizer) happens in those methods,
    so a recipe itself is a small value: compare it, vary it with `dataclasses.replace`, store it.

    Args:
        dataset: Name of a prepared data set, as `keras-audio prepare` wrote it.
        fold: The official fold that is held out to be measured on.
        validation: By which clips the best round is chosen and the training steered: those held
            out, while all other folds train; or those of the next fold (after the last comes the
            first), which then does not train, so that the fold held out is a test.
        seed: Draws the weights, the order of the clips and every augmentation.
        sample_rate: Samples per second of the prepared records, in Hz.
        resampling: How the records were resampled to it, as of `keras_audio.audio.read_audio`.
        channels: Audio channels of the prepared records.
        batch_size: Clips a step, over all devices together.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    section: ClassVar[str]
    # What the weights depend on, beside what the network's name says: fine-tuning takes it over.
    network_fields: ClassVar[tuple[str, ...]] = ()

    dataset: str
    fold: int
    validation: Literal["held_out", "next"] = "held_out"
    seed: int = 0
    sample_rate: int
    resampling: Literal["soxr", "fourier"] = "soxr"
    channels: int = 1
    batch_size: int

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _RECIPES[cls.name] = cls

    def __post_init__(self) -> None:
        for field, hint in self.field_types().items():
            value = getattr(self, field)
            if isinstance(value, int) and not isinstance(value, bool) and allows(hint, float):
                object.__setattr__(self, field, value := float(value))
            if not is_instance(value, hint):
                raise ValueError(
                    f"Expected {field} to be {describe_type(hint)}. Received: {field}={value!r}"
                )
        for field in ("fold", "sample_rate", "channels", "batch_size"):
            self._require(field, getattr(self, field) >= 1, "at least 1")
        self._require("seed", 0 <= self.seed < 2**32, "from 0 to 2**32 - 1, as NumPy takes it")

    def _require(self, field: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ValueError(
                f"Expected {field} to be {expected}. Received: {field}={getattr(self, field)!r}"
            )

    @classmethod
    @functools.cache  # Every recipe that is made asks for them.
    def field_types(cls) -> Mapping[str, Any]:
        """The type of each field, by name, in the order of declaration."""
        hints = typing.get_type_hints(cls)
        found = {field.name: hints[field.name] for field in dataclasses.fields(cls)}
        return types.MappingProxyType(found)

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON can hold it; `recipe_from_dict` is the way back."""
        return {"recipe": self.name, **dataclasses.asdict(self)}

    # Recipes for a data set, and from a trained network. ---------------------------------------

    @classmethod
    def for_dataset(
        cls, dataset: str | None = None, *, fine_tune: bool = False, **fields: Any
    ) -> Self:
        """The recipe as the paper trains on a data set, with `fields` changed.

        Args:
            dataset: Name of a prepared data set; None is the paper's own.
            fine_tune: Whether training begins with the weights of a trained network.
            **fields: Take the place of the paper's values.
        """
        own = next(field.default for field in dataclasses.fields(cls) if field.name == "dataset")
        dataset = own if dataset is None else dataset
        return cls(
            **{"dataset": dataset, **cls.paper_settings(dataset, fine_tune=fine_tune), **fields}
        )

    @classmethod
    def paper_settings(cls, dataset: str, *, fine_tune: bool = False) -> dict[str, Any]:
        """The fields that depend on the data set, or on whether a trained network is tuned."""
        del dataset, fine_tune
        return {}

    @classmethod
    @abc.abstractmethod
    def fields_of_model(cls, model_name: str) -> dict[str, Any] | None:
        """The fields that the name of a network settles; None if this recipe trains no such."""

    @abc.abstractmethod
    def smoke(self) -> Self:
        """A copy for a smoke test: two rounds, and batches of at most 8."""

    # What training asks of a recipe. ----------------------------------------------------------

    def stage_recipes(self) -> list["Recipe"]:
        """The stages of the training, one after the other, each as a recipe of that stage alone.

        Before each stage but the first the best weights so far are loaded. Most recipes have one.
        """
        return [self]

    @property
    def resolution(self) -> str:
        """What the network is shown, where stages differ in it.

        A round's score says something about another's only where the two are the same.
        """
        return ""

    def load_source(self, path):
        """The network whose weights training begins with: a run folder or a `.keras` file."""
        from keras_audio.models.transfer import load_source

        return load_source(path)

    @property
    def new_weights_note(self) -> str:
        """What to tell who begins with new weights, if anything."""
        return ""

    @abc.abstractmethod
    def length(self, steps_per_pass: int) -> tuple[int, int]:
        """How long to train.

        Args:
            steps_per_pass: Batches that hold every training clip once.

        Returns:
            Steps at most, and the steps of a round. After each round the held-out clips are
            measured, callbacks run, and the best weights are kept.
        """

    @property
    def counts_iterations(self) -> bool:
        """Whether a round is some number of iterations, rather than a pass over the clips."""
        return False

    @property
    def multi_label(self) -> bool:
        """Whether a clip may belong to any number of classes."""
        return False

    @property
    def monitor(self) -> str:
        """The metric that tells the best round, larger is better."""
        return "val_mean_average_precision" if self.multi_label else "val_accuracy"

    @property
    def training_data(self) -> dict[str, Any]:
        """Keyword arguments of `TrainingBatches` beyond those that every recipe gives."""
        return {}

    @property
    def keeps_last(self) -> bool:
        """Whether the weights of the last round are kept, rather than those of the best."""
        return False

    def snapshot_rounds(self, rounds: int) -> list[int]:
        """The rounds, of so many, after which a copy of the weights is put aside."""
        del rounds
        return []

    @property
    def unknown_weight(self) -> float:
        """What the probability of an open set's unknown class is multiplied by to decide."""
        return 1.0

    @property
    def pitch_variants(self) -> int:
        """Pitch-shifted variants a clip that the prepared records have to hold."""
        return 0

    @property
    def records_form(self) -> dict[str, Any]:
        """The form of the records: the same keywords of `prepare` and of `open_records`."""
        return {
            "sample_rate": self.sample_rate,
            "channels": self.channels,
            "resampling": self.resampling,
            "pitch_variants": self.pitch_variants,
        }

    @property
    def max_samples(self) -> int | None:
        """Where a longer held-out clip is cut, if not by the clip steps."""
        return None

    @property
    @abc.abstractmethod
    def clip_boundary(self) -> str:
        """Name of the last layer of the full model that runs clip by clip, inside tf.data."""

    @property
    def min_samples(self) -> int:
        """The least number of samples of a clip that the clip steps can take."""
        return 1

    @property
    def averaging_decay(self) -> float | None:
        """Decay of the moving average of the weights that is measured and kept, if there is one."""
        return None

    @property
    def statistics_layer(self) -> str | None:
        """Name of the layer whose outputs are standardised per frequency, if any."""
        return None

    @abc.abstractmethod
    def build_model(self, num_classes: int, statistics: dict[str, list[float]] | None = None):
        """The full functional model, from waveform to predictions."""

    @abc.abstractmethod
    def build_optimizer(self, steps_per_pass: int):
        """A fresh optimizer.

        Args:
            steps_per_pass: As for `length`; schedules that count epochs need it.
        """

    def build_callbacks(self) -> list:
        """Fresh Keras callbacks that steer the training, in the order in which they run."""
        return []

    def build_mixing(self) -> tuple[Any, str] | None:
        """A layer that mixes the clips of a batch, and the layer of the model it stands behind."""
        return None


def list_recipes() -> list[str]:
    """The names of all recipes."""
    return sorted(_RECIPES)


def recipe_class(name: str) -> type[Recipe]:
    """The recipe registered as `name`.

    Raises:
        ValueError: If there is none; the message lists the near names.

    Example:
        >>> recipe_class("residual_blocks").__name__
        'ResidualBlocks'
    """
    if name not in _RECIPES:
        near = difflib.get_close_matches(name, _RECIPES, cutoff=0.3) or list_recipes()
        raise ValueError(f"Expected a recipe, such as {', '.join(near)}. Received: recipe={name!r}")
    return _RECIPES[name]


def describe_recipes() -> str:
    """The fields of every recipe with their defaults and types, as `train --help` shows them."""
    lines = []
    for name in list_recipes():
        recipe = recipe_class(name)()
        lines.append(f"fields of {name}, for --set (defaults: {recipe.paper.split(',')[0]}):")
        lines += [
            f"  {field}={getattr(recipe, field)}".ljust(34) + describe_type(hint)
            for field, hint in recipe.field_types().items()
        ]
    return "\n".join(lines)


def recipe_from_dict(values: dict[str, Any]) -> Recipe:
    """The recipe that `Recipe.to_dict` described.

    Raises:
        ValueError: If a field is unknown or has a wrong value.

    Example:
        >>> recipe = recipe_class("residual_blocks")(block="rb4", seed=3)
        >>> recipe_from_dict(recipe.to_dict()) == recipe
        True
    """
    values = dict(values)
    cls = recipe_class(values.pop("recipe", ""))
    _check_fields(cls, values)
    return cls(**values)


def with_settings(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """A copy of `recipe` with `field=value` texts applied, each read by the field's type.

    Raises:
        ValueError: If a text is not `field=value`, or the field or the value does not fit.

    Example:
        >>> recipe = recipe_class("residual_blocks")()
        >>> with_settings(recipe, ["block=rb4", "epochs=3"]).epochs
        3
    """
    changes = {}
    hints = recipe.field_types()
    for setting in settings:
        field, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"Expected a setting as field=value. Received: {setting!r}")
        _check_fields(type(recipe), [field])
        changes[field] = parse_value(field, text, hints[field])
    return dataclasses.replace(recipe, **changes)


def recipe_differences(stored: Recipe, asked: Recipe) -> list[str]:
    """What differs between two recipes, a text a field; empty if they are equal.

    Example:
        >>> recipe = recipe_class("residual_blocks")()
        >>> recipe_differences(recipe, dataclasses.replace(recipe, seed=1))
        ['seed: 0 there, 1 asked for']
    """
    first, second = stored.to_dict(), asked.to_dict()
    return [
        f"{field}: {first.get(field)!r} there, {second.get(field)!r} asked for"
        for field in dict.fromkeys([*first, *second])
        if first.get(field) != second.get(field)
    ]


def _check_fields(cls: type[Recipe], names: Iterable[str]) -> None:
    known = cls.field_types()
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, cutoff=0.4) or list(known)
            raise ValueError(
                f"Expected a field of the recipe {cls.name}, such as {', '.join(near)}. "
                f"Received: {name!r}"
            )
