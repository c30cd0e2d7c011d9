"""Recipes: checked, varied by texts, and the same after a trip through JSON."""

import dataclasses
import json

import pytest

from keras_audio.recipes import (
    ERANN,
    ResidualBlocks,
    list_recipes,
    recipe_class,
    recipe_differences,
    recipe_from_dict,
    with_settings,
)


@pytest.mark.parametrize("name", list_recipes())
def test_json_round_trip(name):
    recipe = dataclasses.replace(recipe_class(name)(), seed=7, batch_size=3)
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
    optimizer = recipe.build_optimizer(steps_per_pass=1)
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


# Sections 4.1 to 4.5 of Verbitskiy et al. 2022, by hand: seconds of a crop, iterations and rate
# from scratch, iterations and rate fine-tuned.
PAPER_TRAINING = {
    "esc50": (4.0, 20_000, 2e-4, 2_000, 1e-4),
    "urbansound8k": (None, 20_000, 2e-4, 5_000, 1e-4),
    "ravdess": (3.0, 20_000, 2e-4, 2_000, 1e-4),
}


@pytest.mark.parametrize("dataset", PAPER_TRAINING)
def test_erann_trains_each_data_set_as_the_paper_does(dataset):
    crop, *expected = PAPER_TRAINING[dataset]
    scratch, tuned = (ERANN.for_dataset(dataset, fine_tune=tuned) for tuned in (False, True))
    assert scratch.dataset == tuned.dataset == dataset
    assert scratch.crop_duration == tuned.crop_duration == crop
    assert [scratch.iterations, scratch.learning_rate] == expected[:2]
    assert [tuned.iterations, tuned.learning_rate] == expected[2:]
    for recipe in (scratch, tuned):
        assert (recipe.batch_size, recipe.ema_decay, recipe.schedule) == (32, 0.999, "constant")
        assert (recipe.mixup, recipe.spec_augment) == ("between_class", True)
        assert bool(recipe.pitch_variants) == (dataset == "ravdess")
        assert recipe.iterations % recipe.evaluation_interval == 0
        assert (recipe.multi_label, recipe.balanced_sampling) == (False, False)


def test_erann_trains_audioset_as_the_paper_does():
    recipe = ERANN.for_dataset("audioset")
    assert (recipe.iterations, recipe.evaluation_interval) == (500_000, 5_000)
    assert (recipe.crop_duration, recipe.balanced_sampling) == (8.0, True)
    assert (recipe.multi_label, recipe.monitor) == (True, "val_mean_average_precision")
    rate = recipe.build_optimizer(steps_per_pass=1)._learning_rate
    assert (type(rate).__name__, rate.max_learning_rate, rate.steps) == ("OneCycle", 1e-3, 500_000)


def test_fields_given_take_the_place_of_the_papers():
    recipe = ERANN.for_dataset("ravdess", fine_tune=True, pitch_variants=0, learning_rate=3e-4)
    assert (recipe.pitch_variants, recipe.learning_rate, recipe.iterations) == (0, 3e-4, 2_000)
    assert ERANN.for_dataset("my_birds").crop_duration == 4.0
    assert ResidualBlocks.for_dataset().dataset == "urbansound8k"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("s_m=4", ["from 0 to 3", "s_m=4"]),
        ("width=0", ["at least 1", "width=0"]),
        ("sample_rate=32000", ["44100", "sample_rate=32000"]),
        ("ema_decay=1", ["between 0 and 1"]),
        ("mixup=both", ["one of none", "'both'"]),
        ("evaluation_interval=0", ["at least 1"]),
    ],
)
def test_wrong_settings_of_erann_name_field_and_value(setting, words):
    with pytest.raises(ValueError) as error:
        with_settings(ERANN(), [setting])
    assert all(word in str(error.value) for word in words)


def test_spec_augment_stands_behind_the_log_mel_with_the_papers_widths():
    # NOTES: time masks of up to 8 frames a second of t_c, frequency masks of up to 16 bins.
    layers = [layer.name for layer in ERANN(s_m=3, width=1).build_model(2).layers]
    assert layers[1:5] == ["pad_seconds", "log_mel", "spec_augment", "input_bn"]
    model = ERANN(s_m=3, width=1, crop_duration=3.0).build_model(2)
    masks = model.get_layer("spec_augment")
    assert (masks.max_time_width, masks.max_frequency_width) == (24, 16)
    assert (masks.time_masks, masks.frequency_masks) == (2, 2)
    without = ERANN(s_m=3, width=1, spec_augment=False).build_model(2)
    assert "spec_augment" not in [layer.name for layer in without.layers]


@pytest.mark.parametrize(
    ("kind", "layer", "boundary"),
    [
        ("standard", "StandardMixup", "pad_seconds"),
        ("between_class", "BetweenClassMixup", "pad_seconds"),
        ("between_class_log_mel", "BetweenClassLogMelMixup", "log_mel"),
    ],
)
def test_each_kind_of_mixup_stands_where_table_3_says(kind, layer, boundary):
    mixing, place = ERANN(mixup=kind).build_mixing()
    assert (type(mixing).__name__, place) == (layer, boundary)
    assert ERANN(mixup="none").build_mixing() is None
    # Else the shares of the mix and the widths of the masks would be equal numbers.
    masks = ERANN(s_m=3, width=1).build_model(2).get_layer("spec_augment")
    assert mixing.seed != masks.seed
