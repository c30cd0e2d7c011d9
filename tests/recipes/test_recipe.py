"""Recipes: checked, varied by texts, and the same after a trip through JSON."""

import dataclasses
import json

import pytest

from keras_audio.recipes import (
    ResidualBlocks,
    list_recipes,
    recipe_class,
    recipe_differences,
    recipe_from_dict,
    with_settings,
)


@pytest.mark.parametrize("name", list_recipes())
def test_json_round_trip(name):
    recipe = dataclasses.replace(recipe_class(name)(), seed=7, epochs=3)
    assert recipe_from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_defaults_are_the_papers():
    # Section IV of Naranjo-Alcazar et al. 2019, by hand.
    recipe = ResidualBlocks()
    assert (recipe.sample_rate, recipe.duration, recipe.fold) == (8000, 4.0, 10)
    assert (recipe.batch_size, recipe.epochs, recipe.learning_rate) == (128, 400, 1e-3)
    assert (recipe.plateau_factor, recipe.plateau_patience, recipe.l2) == (0.2, 15, 1e-4)


def test_settings_are_read_by_type():
    settings = ["block=rb2", "duration=5", "early_stopping_patience=none", "l2=0"]
    recipe = with_settings(ResidualBlocks(early_stopping_patience=3), settings)
    assert recipe.block == "rb2"
    assert (recipe.duration, recipe.l2) == (5.0, 0.0)
    assert recipe.early_stopping_patience is None


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("blok=rb1", ["block", "'blok'"]),
        ("block=rb7", ["one of rb1", "'rb7'"]),
        ("epochs=many", ["whole number", "'many'"]),
        ("epochs=0", ["at least 1", "epochs=0"]),
        ("epochs", ["field=value"]),
        ("duration=1e9", ["60 seconds"]),
        ("network=m3", ["m34_res for log-mel"]),
    ],
)
def test_wrong_settings_name_field_and_value(setting, words):
    with pytest.raises(ValueError) as error:
        with_settings(ResidualBlocks(normalization="log_mel"), [setting])
    assert all(word in str(error.value) for word in words)


def test_wrong_types_are_refused():
    with pytest.raises(ValueError, match="fold"):
        ResidualBlocks(fold="1")
    with pytest.raises(ValueError, match="batch_size"):
        ResidualBlocks(batch_size=True)
    with pytest.raises(ValueError, match="such as residual_blocks"):
        recipe_class("residual_block")
    with pytest.raises(ValueError, match="'colour'"):
        recipe_from_dict({"recipe": "residual_blocks", "colour": 1})


def test_differences_name_each_field():
    first, second = ResidualBlocks(), ResidualBlocks(block="rb1", seed=2)
    assert recipe_differences(first, first) == []
    assert recipe_differences(first, second) == [
        "seed: 0 there, 2 asked for",
        "block: 'rb6' there, 'rb1' asked for",
    ]


def test_the_optimizer_and_callbacks_hold_the_papers_values():
    recipe = ResidualBlocks(early_stopping_patience=4)
    optimizer = recipe.build_optimizer()
    plateau, stopping = recipe.build_callbacks()
    assert type(optimizer).__name__ == "Adam"
    assert float(optimizer.learning_rate.numpy()) == pytest.approx(1e-3)
    assert (plateau.factor, plateau.patience, plateau.mode) == (0.2, 15, "max")
    assert (plateau.monitor, stopping.patience) == ("val_accuracy", 4)


@pytest.mark.parametrize("normalization", ["none", "max_abs", "standard", "log_mel"])
def test_all_four_inputs_of_table_ii_build(normalization):
    recipe = ResidualBlocks(block="rb1", normalization=normalization)
    model = recipe.build_model(10)
    assert model.input_shape == (None, None, 1)
    boundary = model.get_layer(recipe.clip_boundary).output.shape
    assert boundary == ((None, 64, 199, 1) if normalization == "log_mel" else (None, 32000, 1))
