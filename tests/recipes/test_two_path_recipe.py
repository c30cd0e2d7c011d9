"""The two-path recipe: the report's values, what depends on the data set, and what is refused."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_audio.models import cut_model
from keras_audio.recipes import TwoPath, recipe_class, recipe_from_dict, with_settings

# Sections 1, 3.1 and 3.5 by hand; sets that the report does not know keep 400 of 423 frames.
DATASETS = {
    "tau_urban_2019/1a": (48000, 2, 10.0, 400),
    "tau_urban_2019/1b": (44100, 1, 10.0, 400),
    "tau_urban_2019/1c": (44100, 1, 10.0, 400),
    "toy_scenes/1a": (48000, 2, 10.0, 400),
    "toy_scenes/1b": (44100, 1, 10.0, 400),
    "toy_scenes/1c": (44100, 1, 10.0, 400),
    "esc10": (44100, 1, 5.0, 197),
    "esc50": (44100, 1, 5.0, 197),
    "urbansound8k": (44100, 1, 4.0, 156),
    "my_birds": (44100, 1, 10.0, 400),
}


def narrow(**fields) -> TwoPath:
    return TwoPath.for_dataset("esc10", **{"num_filters": 1, **fields})


def test_defaults_are_the_reports():
    recipe = TwoPath()
    assert recipe_class("two_path") is TwoPath
    assert (recipe.dataset, recipe.fold, recipe.seed) == ("tau_urban_2019/1a", 1, 0)
    # Sections 3.2 to 3.4.
    assert (recipe.num_filters, recipe.paths, recipe.split, recipe.deltas) == (24, 2, None, True)
    assert not recipe.frequency_downsampling and not recipe.learned_pooling
    # Section 3.5: 5e-4, which is 1e-3 in Keras.
    assert (recipe.l2, recipe.learned_batch_norm, recipe.mixup_alpha) == (1e-3, False, 0.2)
    # Section 3.6.
    assert (recipe.batch_size, recipe.momentum, recipe.epochs) == (32, 0.9, 510)
    assert (recipe.learning_rate, recipe.min_learning_rate) == (0.1, 1e-5)
    assert (recipe.first_cycle, recipe.cycle_growth) == (2, 2)
    # Section 3.7, and what the report does not mention.
    assert recipe.unknown_weight == 5.0
    assert not recipe.swap_channels and not recipe.snapshots
    assert recipe.keep == "last" and recipe.keeps_last
    assert not dataclasses.replace(recipe, keep="best").keeps_last


@pytest.mark.parametrize("dataset", DATASETS)
def test_each_data_set_has_its_rate_channels_and_crop(dataset):
    recipe = TwoPath.for_dataset(dataset)
    fields = (recipe.sample_rate, recipe.channels, recipe.duration, recipe.crop_frames)
    assert (recipe.dataset, *fields) == (dataset, *DATASETS[dataset])
    # All else is the report's.
    own = {"dataset", "sample_rate", "channels", "duration", "crop_frames"}
    assert recipe == TwoPath(**{field: getattr(recipe, field) for field in own})
    assert recipe.training_data == {
        "crop_samples": round(recipe.duration * recipe.sample_rate),
        "random_crop": False,
        "whole_batches": True,
    }
    # Nearly as much of a clip as the report keeps, 400 of 423 frames.
    frames = recipe.training_data["crop_samples"] // 1024 - 7
    assert recipe.crop_frames / frames == pytest.approx(400 / 423, abs=0.08)
    assert recipe_from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert TwoPath.for_dataset(dataset, crop_frames=None, epochs=3).crop_frames is None


def test_names_of_networks():
    assert TwoPath.fields_of_model("two_path_resnet") == {}
    assert TwoPath.fields_of_model("erann_1_6") is None
    assert TwoPath().model_name == "two_path_resnet"


def test_length_rounds_and_snapshots():
    recipe = TwoPath()
    assert recipe.length(287) == (510 * 287, 287)
    assert not recipe.counts_iterations and recipe.monitor == "val_accuracy"
    assert recipe.snapshot_rounds(510) == []
    recipe = dataclasses.replace(recipe, snapshots=True)
    assert recipe.snapshot_rounds(510) == [2, 6, 14, 30, 62, 126, 254, 510]
    assert recipe.snapshot_rounds(20) == [2, 6, 14]
    even = dataclasses.replace(recipe, first_cycle=5, cycle_growth=1)
    assert even.snapshot_rounds(17) == [5, 10, 15]


def test_the_optimizer_follows_the_schedule():
    optimizer = TwoPath(momentum=0.8, learning_rate=0.2, first_cycle=3).build_optimizer(7)
    assert type(optimizer) is keras.optimizers.SGD and optimizer.momentum == 0.8
    assert optimizer._learning_rate.get_config() == {
        "max_learning_rate": 0.2,
        "steps_per_epoch": 7,
        "min_learning_rate": 1e-5,
        "first_cycle": 3,
        "cycle_growth": 2,
    }


def test_a_smoke_test_has_two_cycles_of_an_epoch():
    smoke = TwoPath(snapshots=True).smoke()
    assert smoke.length(10) == (20, 10) and smoke.batch_size == 4
    assert smoke.snapshot_rounds(2) == [1, 2]
    own = {"epochs", "batch_size", "first_cycle", "cycle_growth"}
    own |= {"learning_rate", "batch_norm_momentum"}  # smaller, for four steps
    assert smoke.learning_rate < 0.01 and smoke.batch_norm_momentum < 0.9
    kept = {field: value for field, value in TwoPath().to_dict().items() if field not in own}
    assert kept | {"snapshots": True} == {field: smoke.to_dict()[field] for field in kept}


def test_the_layers_stand_in_order():
    names = [layer.name for layer in narrow().build_model(2).layers]
    assert names[:5] == ["waveform", "pad_or_crop", "log_mel", "deltas", "random_crop_frames"]
    stereo = narrow(channels=2, sample_rate=48000, swap_channels=True, deltas=False)
    model = stereo.build_model(2)
    names = [layer.name for layer in model.layers]
    swapped = ["waveform", "pad_or_crop", "random_channel_swap", "log_mel", "random_crop_frames"]
    assert names[:5] == swapped and model.input_shape == (None, None, 2)
    assert model.get_layer("log_mel").sample_rate == 48000
    # Equal seeds would draw equal numbers.
    mixing, _ = stereo.build_mixing()
    drawing = [model.get_layer(name) for name in ("random_channel_swap", "random_crop_frames")]
    assert len({layer.seed for layer in (*drawing, mixing)}) == 3
    last = dataclasses.replace(stereo, seed=2**32 - 1)
    assert 0 <= last.build_mixing()[0].seed < 2**32


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({}, "random_crop_frames"),
        ({"crop_frames": None}, "deltas"),
        ({"crop_frames": None, "deltas": False}, "log_mel"),
    ],
)
def test_cropped_clips_are_mixed(fields, place):
    recipe = narrow(mixup_alpha=0.3, **fields)
    mixing, behind = recipe.build_mixing()
    assert (type(mixing).__name__, mixing.alpha, behind) == ("StandardMixup", 0.3, place)
    assert narrow(mixup_alpha=0).build_mixing() is None
    # As training takes the model apart: padding, features, network.
    parts = cut_model(recipe.build_model(2), recipe.clip_boundary, behind)
    padding, before, network = parts
    assert padding(np.zeros((1, 1000, 1), "float32")).shape == (1, 220500, 1)
    assert not before.weights
    features = before(np.zeros((1, 220500, 1), "float32"), training=True)
    frames = 197 if recipe.crop_frames else 216 if not recipe.deltas else 208
    assert features.shape == (1, 128, frames, 3 if recipe.deltas else 1)
    assert network(features, training=True).shape == (1, 2)


def test_every_argument_of_the_network_arrives():
    fields = {
        "num_filters": 2,
        "learned_batch_norm": True,
        "learned_pooling": True,
        "frequency_downsampling": True,
        "split": 40,
        "batch_norm_momentum": 0.7,
        "l2": 0.5,
    }
    model = narrow(**fields).build_model(2)
    assert model.get_layer("path1_bins").output.shape[1] == 40
    assert model.get_layer("path2_stage2_block1_conv1").filters == 4
    assert model.get_layer("path2_stage2_block1_conv1").strides == (2, 2)
    assert model.get_layer("logits_weights") and model.get_layer("fusion_bn").scale
    assert model.get_layer("logits_bn").momentum == 0.7
    assert model.get_layer("fusion_conv").kernel_regularizer.l2 == 0.5
    plain = narrow(paths=1, l2=0).build_model(2)
    assert plain.get_layer("path1_bins").output.shape[1] == 128 and not plain.losses


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("num_filters=0", ["at least 1", "num_filters=0"]),
        ("paths=0", ["at least 1", "paths=0"]),
        ("paths=3", ["divisor of 128", "paths=3"]),
        ("split=0", ["1 to 127", "split=0"]),
        ("split=128", ["1 to 127", "split=128"]),
        ("epochs=0", ["at least 1", "epochs=0"]),
        ("first_cycle=0", ["at least 1", "first_cycle=0"]),
        ("cycle_growth=0", ["at least 1", "cycle_growth=0"]),
        ("duration=0.05", ["0.1 to 600", "duration=0.05"]),
        ("duration=nan", ["0.1 to 600", "duration=nan"]),
        ("crop_frames=0", ["1 to 461", "crop_frames=0"]),
        ("crop_frames=462", ["1 to 461", "crop_frames=462"]),
        ("mixup_alpha=-0.1", ["at least 0", "mixup_alpha=-0.1"]),
        ("mixup_alpha=nan", ["at least 0", "mixup_alpha=nan"]),
        ("l2=-1", ["at least 0", "l2=-1"]),
        ("learning_rate=1e-5", ["below learning_rate", "min_learning_rate=1e-05"]),
        ("min_learning_rate=-1", ["below learning_rate", "min_learning_rate=-1"]),
        ("momentum=1", ["below 1", "momentum=1"]),
        ("batch_norm_momentum=1", ["below 1", "batch_norm_momentum=1"]),
        ("unknown_weight=0", ["greater than 0", "unknown_weight=0"]),
        ("keep=first", ["one of last, best", "'first'"]),
        ("deltas=perhaps", ["true or false", "'perhaps'"]),
        ("kept=last", ["keep", "'kept'"]),
    ],
)
def test_wrong_settings_name_field_and_value(setting, words):
    with pytest.raises(ValueError) as error:
        with_settings(TwoPath(), [setting])
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["paths=4", "split=40"], ["split=40"]),
        (["channels=1", "swap_channels=true"], ["one channel", "swap_channels=True"]),
        # Too short for the crop, unless there is none; and for deltas, of any length.
        (["duration=5"], ["1 to 227", "crop_frames=400"]),
        (["deltas=false", "crop_frames=470"], ["1 to 469", "crop_frames=470"]),
    ],
)
def test_settings_that_do_not_go_together(settings, words):
    with pytest.raises(ValueError) as error:
        with_settings(TwoPath(), settings)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_too_short_for_deltas_is_said_by_the_recipe():
    with pytest.raises(ValueError, match="duration"):
        TwoPath(duration=0.1, crop_frames=None)
