"""The recipe of progressive resizing: the paper's plans, images by method, the optimizer."""

import keras
import pytest

from keras_audio.recipes import ProgressiveResizing, Stage, parse_stages, with_settings

R1, R2, R3 = "64x128", "96x214", "128x300"


def plan(**fields):
    return [
        (stage.resolution, stage.epochs, stage.learning_rate, stage.divisor)
        for stage in ProgressiveResizing(**fields).plan
    ]


@pytest.mark.parametrize(
    ("dataset", "rates"),
    [
        # Table 1, by hand: lambda 1 to 3, then those of R1, R2 and R3.
        ("urbansound8k", (1e-2, 5e-6, 1e-6, 1e-2, 1e-3, 5e-3, 5e-6, 5e-3, 5e-6)),
        ("esc50", (5e-3, 1e-4, 1e-6, 5e-3, 5e-4, 5e-3, 5e-6, 5e-3, 5e-6)),
        ("my_sounds", (5e-3, 1e-4, 1e-6, 5e-3, 5e-4, 5e-3, 5e-6, 5e-3, 5e-6)),
    ],
)
def test_the_plans_are_those_of_table_1(dataset, rates):
    a, b, c, *others = rates
    assert plan(dataset=dataset, method="baseline") == [
        (R3, 20, a, 1),
        (R3, 50, b, 3),
        (R3, 120, c, 3),
    ]
    for method in ("mel", "bilinear", "combined"):
        found = plan(dataset=dataset, method=method)
        assert [(size, epochs, divisor) for size, epochs, _, divisor in found] == [
            *((R1, 20, 1), (R1, 20, 3)),
            *((R2, 20, 1), (R2, 20, 3)),
            *((R3, 20, 1), (R3, 70, 3)),
        ]
        assert [rate for _, _, rate, _ in found] == others


def images(method, stages):
    """The front end's layers that say how images are made, of the last of some stages."""
    recipe = ProgressiveResizing(
        method=method, stages=stages, sample_rate=8000, num_mels=32, frames=40
    )
    model = recipe.build_front_end()
    kinds = {layer.name: layer for layer in model.layers}
    image = kinds["log_mel_image"]
    assert recipe.clip_boundary == model.layers[-1].name
    return (image.num_mels, image.frames), model.output_shape, "resize" in kinds


def test_each_method_makes_small_images_in_its_own_way():
    # Fewer filters and the first frames; all of both, resized; fewer filters, time resized.
    small = (None, 16, 20, 1)
    assert images("mel", "16x20:1:1e-3") == ((16, 20), small, False)
    assert images("bilinear", "16x20:1:1e-3") == ((32, 40), small, True)
    assert images("combined", "16x20:1:1e-3") == ((16, 40), small, True)
    for method in ("baseline", "mel", "bilinear", "combined"):
        assert images(method, "32x40:1:1e-3") == ((32, 40), (None, 32, 40, 1), False)


def test_a_stage_is_the_recipe_with_that_stage_alone():
    recipe = ProgressiveResizing(method="mel", seed=5)
    stages = recipe.stage_recipes()
    assert [stage.plan for stage in stages] == [(stage,) for stage in recipe.plan]
    assert [stage.resolution for stage in stages] == [R1, R1, R2, R2, R3, R3]
    assert [stage.length(7)[0] for stage in stages] == [140, 140, 140, 140, 140, 490]
    assert {(stage.method, stage.seed) for stage in stages} == {("mel", 5)}


def factors_of(optimizer, variables):
    optimizer.build(variables)
    return [optimizer.factor(variable) for variable in variables]


def test_the_cycle_and_the_groups_of_a_stage():
    recipe = ProgressiveResizing(stages="128x300:10:3e-3/3")
    optimizer = recipe.build_optimizer(steps_per_pass=10)
    config = optimizer.get_config()
    assert (config["weight_decay"], config["beta_2"]) == (0.1, 0.99)
    rate, momentum = config["learning_rate"]["config"], optimizer.momentum
    assert (rate["max_learning_rate"], rate["steps"]) == (3e-3, 100)
    assert [round(float(momentum(step)), 4) for step in (0, 30, 100)] == [0.95, 0.85, 0.95]
    layers = [keras.layers.Dense(1, name=name) for name in ("conv1", "logits", "logits_hidden")]
    for layer in layers:
        layer.build((None, 2))
    factors = factors_of(optimizer, [layer.kernel for layer in layers])
    assert factors == pytest.approx([1 / 3, 1, 1])


def test_a_constant_rate_has_a_constant_momentum():
    optimizer = ProgressiveResizing(stages="128x300:10:3e-3:constant").build_optimizer(10)
    assert (float(optimizer.learning_rate), optimizer.momentum) == (pytest.approx(3e-3), 0.95)


def test_a_frozen_body_still_learns_in_its_batch_norms():
    recipe = ProgressiveResizing(
        network="resnet10", num_filters=4, freeze_body=True, stages="128x300:1:1e-3"
    )
    model = recipe.build_model(3)
    variables = model.trainable_variables
    factors = factors_of(recipe.build_optimizer(1), variables)
    assert set(factors) == {0.0, 1.0}
    learning = {v.path.split("/")[-2] for v, f in zip(variables, factors, strict=True) if f}
    norms = {ly.name for ly in model.layers if isinstance(ly, keras.layers.BatchNormalization)}
    assert learning == norms | {"logits"}
    divided = with_settings(recipe, ["stages=128x300:1:1e-3/3"]).build_optimizer(1)
    assert set(factors_of(divided, variables)) == {1.0, 1 / 3}


def test_an_infinite_divisor_freezes_what_it_divides():
    layer = keras.layers.Dense(1, name="conv1")
    layer.build((None, 2))
    optimizer = ProgressiveResizing(stages="128x300:1:1e-3/inf").build_optimizer(1)
    assert factors_of(optimizer, [layer.kernel]) == [0.0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["stages=64x128"], "a stage such as 64x128:20:5e-3"),
        (["stages=64x128:20:fast"], "'64x128:20:fast'"),
        (["stages=64x128:0:1e-3"], "at least 1 epoch"),
        (["stages=64x128:1:0"], "a rate above 0"),
        (["stages=64x128:1:1e-3/0.5"], "a divisor of at least 1"),
        (["stages=64x128:1:1e-3:linear"], "one_cycle, constant"),
        (["stages=256x300:1:1e-3"], "at most 128x300"),
        (["method=baseline", "stages=64x128:1:1e-3"], "128x300 alone with method=baseline"),
        (["max_momentum=0.8"], "min_momentum"),
        (["trim_db=0"], "trim_db"),
    ],
)
def test_wrong_values_are_named(settings, words):
    with pytest.raises(ValueError) as error:
        with_settings(ProgressiveResizing(), settings)
    assert words in str(error.value)


def test_stages_are_stored_in_one_form():
    first = with_settings(ProgressiveResizing(), ["stages=64x128:20:5e-3, 128x300:70:0.000005/3"])
    second = ProgressiveResizing(stages="64x128:20:0.005,128x300:70:5e-6/3.0")
    assert first == second
    assert with_settings(first, ["stages=none"]) == ProgressiveResizing()
    assert parse_stages(first.stages)[1] == Stage(
        mels=128, frames=300, epochs=70, learning_rate=5e-6, divisor=3
    )


def test_a_smoke_test_sees_each_resolution():
    smoke = ProgressiveResizing(method="mel").smoke()
    assert [(stage.resolution, stage.epochs) for stage in smoke.plan] == [(R1, 1), (R2, 1), (R3, 1)]
    assert smoke.batch_size == 8
