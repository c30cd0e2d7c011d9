"""The recipe that the options of `train` ask for."""

import argparse
import pathlib
from collections.abc import Sequence
from typing import Any

from keras_audio.recipes import Recipe, list_recipes, recipe_class, with_settings


def asked_recipe(options: argparse.Namespace) -> Recipe:
    """What the options of `train` ask for, with the paper's values in all they leave open."""
    cls, fields = _class_and_network(options)
    return recipe_with(options, cls, fields, fine_tune=options.init_from is not None)


def recipe_with(
    options: argparse.Namespace, cls: type[Recipe], fields: dict[str, Any], *, fine_tune: bool
) -> Recipe:
    """A recipe of the class `cls` with what a network settles and what the options say.

    Args:
        options: `dataset`, `rename`, `fold`, `seed` and `set`.
        cls: The class.
        fields: What the network settles; `--set` varies it.
        fine_tune: Whether training begins with the weights of a trained network.
    """
    settings = dict(setting.partition("=")[::2] for setting in options.set)
    named = {
        "dataset": options.rename or options.dataset,
        "fold": options.fold,
        "seed": options.seed,
    }
    for field, value in named.items():
        if value is not None and field in settings:
            raise ValueError(
                f"Expected {field} once. Received: --{field} and --set {field}={settings[field]}"
            )
    fields |= {name: value for name, value in named.items() if value is not None}
    default = cls().dataset
    dataset = fields.pop("dataset", settings.get("dataset", default))
    # The default fold is one of the default data set's, which may have more of them.
    # By the data set's own name, whatever its records are called.
    paper = cls.paper_settings(options.dataset or dataset, fine_tune=fine_tune)
    if dataset != default and "fold" not in paper:
        fields.setdefault("fold", 1)
    recipe = cls(**{**paper, "dataset": dataset, **fields})
    return with_settings(recipe, options.set)


def _class_and_network(options: argparse.Namespace) -> tuple[type[Recipe], dict[str, Any]]:
    """The recipe, and those of its fields that the network to start from settles."""
    if options.init_from is None:
        if options.recipe is None:
            raise ValueError(
                f"Expected a recipe, one of {', '.join(list_recipes())}, or --init-from and a "
                "network to start from. Received: neither"
            )
        return recipe_class(options.recipe), {}

    from keras_audio.importers import is_state_dict
    from keras_audio.models.transfer import model_name_of

    if is_state_dict(options.init_from):
        if options.recipe is None:
            raise ValueError(
                "Expected a recipe with a state dict, which does not say of which network it is. "
                f"Received: --init-from {options.init_from} alone"
            )
        return recipe_class(options.recipe), {}
    name = model_name_of(options.init_from)
    recipes = [options.recipe] if options.recipe else list_recipes()
    found = recipe_of_model(name, recipes)
    if found is None:
        raise ValueError(
            f"Expected a network that {' or '.join(recipes)} trains. "
            f"Received: {name!r} in --init-from {options.init_from}"
        )
    cls, fields = found
    return cls, {**_network_of_run(options.init_from, cls), **fields}


def recipe_of_model(
    name: str, recipes: Sequence[str]
) -> tuple[type[Recipe], dict[str, Any]] | None:
    """The first of the recipes that trains a network of that name, and what the name settles.

    Example:
        >>> recipe_of_model("m3", list_recipes())[1]
        {'network': 'm3'}
    """
    for cls in map(recipe_class, recipes):
        fields = cls.fields_of_model(name)
        if fields is not None:
            return cls, fields
    return None


def _network_of_run(path: str, cls: type[Recipe]) -> dict[str, Any]:
    """What the weights of a run of this recipe depend on; of a mere file nothing is known."""
    from keras_audio.training import RunFolder

    if not (pathlib.Path(path) / "recipe.json").is_file():
        return {}
    trained = RunFolder(path).recipe
    return {name: getattr(trained, name) for name in cls.network_fields if type(trained) is cls}
