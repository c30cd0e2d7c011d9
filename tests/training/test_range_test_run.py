"""The range test of recipes on real records: what it trains, when it stops, what it writes."""

import csv
import dataclasses
import xml.etree.ElementTree

import keras
import numpy as np
import pytest

import data_prep
from keras_audio.evaluation.range_test_plot import range_test_plot
from keras_audio.recipes import (
    ERANN,
    BinauralWaveforms,
    ProgressiveResizing,
    ResidualBlocks,
    TwoPath,
    list_recipes,
)
from keras_audio.schedules import RangeTest, suggest_rates
from keras_audio.training import range_test, train
from keras_audio.training.range_test import find_learning_rate, with_rates

TOY = {"dataset": "toy_sounds", "fold": 2, "seed": 3}
# M3 on half seconds with a wide first stride: a real network with batch norm, in seconds.
SMALL = ResidualBlocks(
    **TOY, network="m3", first_stride=16, duration=0.5, batch_size=8, plateau_patience=1
)
IN_STAGES = ProgressiveResizing(
    **TOY,
    network="resnet10",
    num_filters=4,
    sample_rate=8000,
    batch_size=8,
    num_mels=32,
    frames=40,
    mixup="standard",
    stages="16x20:2:1e-2,32x40:2:5e-3/3",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with the toy sounds as each of the recipes takes them."""
    folder = tmp_path_factory.mktemp("data")
    forms = {tuple(recipe.records_form.items()) for recipe in RECIPES.values()}
    for form in forms:
        data_prep.prepare("toy_sounds", **dict(form), data_dir=folder, progress=False)
    return folder


RECIPES = {
    "residual_blocks": SMALL,
    "erann": ERANN(
        **TOY,
        s_m=3,
        width=1,
        batch_size=4,
        duration=1.0,
        crop_duration=0.5,
        iterations=50,
        ema_decay=0.9,
        schedule="one_cycle",
        mixup="between_class_log_mel",
    ),
    "two_path": TwoPath(
        **TOY, channels=1, num_filters=2, batch_size=4, duration=1.0, crop_frames=30, epochs=4
    ),
    "binaural_waveforms": BinauralWaveforms(**TOY, channels=1, batch_size=4),
    "progressive_resizing": IN_STAGES,
}


def test_all_recipes_are_here():
    assert sorted(RECIPES) == list_recipes()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in ("erann", "two_path") else [])
        for name in RECIPES
    ],
)
def test_every_recipe(name, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    schedule = RangeTest(1e-6, 1e-3, 6)
    found = find_learning_rate(RECIPES[name], schedule, data_dir=data, progress=False)
    assert len(found.watch.losses) == 6 and not found.diverged
    assert np.isfinite(found.watch.losses).all()
    np.testing.assert_allclose(found.learning_rates, np.geomspace(1e-6, 1e-3, 7)[:-1])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("recipe", [SMALL, IN_STAGES], ids=lambda recipe: recipe.name)
def test_the_losses_are_those_of_a_training_at_such_rates(recipe, data, tmp_path, monkeypatch):
    schedule = RangeTest(1e-4, 1.0, 5)
    found = find_learning_rate(recipe, schedule, data_dir=data, progress=False)
    # A training of one step a round, whose history is then of steps. Its second stage is left out.
    original = type(recipe).build_optimizer

    def build(self, steps):
        optimizer = original(self, steps)
        if recipe is SMALL:
            return keras.optimizers.Adam(schedule)
        config = optimizer.get_config()
        assert config["momentum"]["config"]["max_momentum"] == 0.95
        return type(optimizer)(
            schedule, 0.95, 0.99, weight_decay=0.1, groups={"logits*": 1.0, "*": 1.0}
        )

    monkeypatch.setattr(type(recipe), "build_optimizer", build)
    monkeypatch.setattr(type(recipe), "build_callbacks", lambda self: [])
    monkeypatch.setattr(type(recipe), "length", lambda self, steps: (5, 1))
    if recipe is IN_STAGES:
        recipe = dataclasses.replace(recipe, stages=recipe.stages.partition(",")[0])
    run = train(recipe, data_dir=data, runs_dir=tmp_path, progress=False)
    np.testing.assert_allclose(found.watch.losses, run.history()["loss"], rtol=1e-5)


def test_it_stops_where_the_loss_diverges_and_writes_what_it_saw(data, tmp_path):
    schedule = RangeTest(1e-4, 1e6, 400)
    found = find_learning_rate(SMALL, schedule, data_dir=data, progress=False)
    made = len(found.watch.losses)
    assert found.diverged and 10 < made < 400
    smoothed = np.array(found.watch.smoothed)
    assert not np.isfinite(smoothed[-1]) or smoothed[-1] > 4 * smoothed[:-1].min()
    assert (smoothed[:-1] <= 4 * np.minimum.accumulate(smoothed[:-1])).all()
    again = find_learning_rate(SMALL, schedule, data_dir=data, progress=False)
    np.testing.assert_array_equal(again.watch.losses, found.watch.losses)

    plot = found.write(tmp_path / "new" / "folder")
    assert sorted(path.name for path in plot.parent.iterdir()) == [
        "range_test.csv",
        "range_test.svg",
    ]
    with open(plot.with_suffix(".csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(made))
    columns = {name: [float(row[name]) for row in rows] for name in rows[0]}
    assert columns["learning_rate"] == found.learning_rates
    assert columns["loss"] == found.watch.losses
    assert columns["smoothed_loss"] == found.watch.smoothed
    assert found.suggested == suggest_rates(found.learning_rates, found.watch.smoothed)
    svg = plot.read_text()
    xml.etree.ElementTree.fromstring(svg)
    assert f"largest stable {found.suggested.stable:.2g}" in svg


@pytest.fixture
def loops(monkeypatch):
    """The loop that a test makes, in place of its steps."""
    monkeypatch.setattr(range_test, "_sweep", lambda loop, *rest: loop)


def test_the_optimizer_is_the_recipes_at_other_rates(loops, data):
    loop = find_learning_rate(
        IN_STAGES, RangeTest(1e-3, 1.0, 10), data_dir=data, stage=2, progress=False
    )
    optimizer, config = loop.optimizer, loop.optimizer.get_config()
    assert config["momentum"] == pytest.approx(0.95)  # where its cycle begins
    assert (config["weight_decay"], config["beta_2"]) == (0.1, 0.99)
    factors = {
        variable.path.split("/")[-2]: optimizer.factor(variable)
        for variable in loop.network.trainable_variables
    }
    assert factors["logits"] == 1.0 and factors["conv1"] == pytest.approx(1 / 3)
    rates = []
    for _ in range(4):
        rates.append(float(optimizer.learning_rate))
        optimizer.iterations.assign_add(1)
    np.testing.assert_allclose(rates, np.geomspace(1e-3, 1.0, 11)[:4], rtol=1e-5)
    assert loop.mixing is not None
    assert loop.full.get_layer("log_mel_image").output.shape[1:] == (32, 40, 1)


def test_any_optimizer_follows_other_rates():
    for recipe in RECIPES.values():
        optimizer = recipe.build_optimizer(10)
        kind, momentum = type(optimizer), getattr(optimizer, "momentum", None)
        assert with_rates(optimizer, RangeTest(0.5, 1.0, 2)) is optimizer
        weight = keras.Variable(np.zeros(1, "float32"))
        optimizer.build([weight])
        assert type(optimizer) is kind and float(optimizer.learning_rate) == pytest.approx(0.5)
        if isinstance(momentum, float):
            assert optimizer.momentum == momentum


def test_a_later_stage_begins_with_what_the_ones_before_kept(loops, data, tmp_path):
    labels = find_learning_rate(IN_STAGES, data_dir=data).full.output_shape[-1]
    source = dataclasses.replace(IN_STAGES, seed=9).stage_recipes()[0].build_model(labels)
    source.save(tmp_path / "first.keras")
    for stage, taken in ((1, False), (2, True)):
        loop = find_learning_rate(
            IN_STAGES, data_dir=data, stage=stage, init_from=tmp_path / "first.keras"
        )
        for name in ("conv1", "logits"):
            ours, theirs = loop.full.get_layer(name), source.get_layer(name)
            same = np.array_equal(ours.get_weights()[0], theirs.get_weights()[0])
            assert same == (taken or name == "conv1"), (stage, name)


@pytest.mark.parametrize(("ours", "theirs"), [("plain", "concat_pool"), ("concat_pool", "plain")])
def test_the_head_of_another_kind_is_left_out(ours, theirs, loops, data, tmp_path):
    labels = find_learning_rate(IN_STAGES, data_dir=data).full.output_shape[-1]
    recipe = dataclasses.replace(IN_STAGES, head=ours)
    source = dataclasses.replace(IN_STAGES, head=theirs, seed=9).build_model(labels)
    source.save(tmp_path / "other.keras")
    loop = find_learning_rate(recipe, data_dir=data, stage=2, init_from=tmp_path / "other.keras")
    fresh = find_learning_rate(recipe, data_dir=data, stage=2)
    for name, model, same in (
        ("conv1", source, True),
        ("conv1", fresh.full, False),
        ("logits", fresh.full, True),
    ):
        kernels = (network.get_layer(name).get_weights()[0] for network in (loop.full, model))
        assert np.array_equal(*kernels) == same, name


@pytest.mark.parametrize("stage", [0, 3])
def test_a_stage_that_is_not_there_is_named(stage, data):
    with pytest.raises(ValueError, match=f"stage from 1 to 2.*stage={stage}"):
        find_learning_rate(IN_STAGES, data_dir=data, stage=stage)


def test_weights_whose_loss_is_not_finite_are_refused(data, tmp_path):
    model = SMALL.build_model(2)
    for layer in model.layers:
        if layer.name.endswith("conv"):
            layer.set_weights([np.full_like(weight, np.nan) for weight in layer.get_weights()])
    model.save(tmp_path / "broken.keras")
    with pytest.raises(ValueError, match="finite loss.*loss=nan"):
        find_learning_rate(SMALL, data_dir=data, init_from=tmp_path / "broken.keras")


def test_the_picture_of_a_test_that_found_nothing():
    svg = range_test_plot([1e-3, 2e-3, 4e-3], [1.0, np.nan, np.inf], [1.0, np.nan, np.nan])
    xml.etree.ElementTree.fromstring(svg)
    assert "stable" not in svg
    assert "Range test of 3 steps, learning rate 0.001 to 0.004" in svg
    assert range_test_plot([1e-3], [1.0], [1.0]).startswith("<svg")
