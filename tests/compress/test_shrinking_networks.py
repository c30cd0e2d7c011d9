"""Networks of the zoo without their dead kernels; what stays of a model, and what is refused."""

import keras
import numpy as np
import pytest
from harness import LIGHT, policy, randomize, run, waveforms
from keras import layers
from shrinking_checks import (
    assert_equal_outputs,
    kill,
    network,
    noise,
    residual,
    shrunk,
    whys,
    widths,
)

from keras_audio import create_model, list_models, model_info
from keras_audio.compress import (
    ShrunkModel,
    half_precision,
    hold_zeros,
    prune_round,
    shrink,
)
from keras_audio.layers import PadOrCrop
from keras_audio.models.macs import layer_macs
from keras_audio.models.parts import Parts
from keras_audio.models.residual_blocks import BLOCKS, residual_block

# --- The networks of the zoo


def randomly_pruned(model: keras.Model, rounds: int = 2) -> keras.Model:
    randomize(model)
    for _ in range(rounds):
        prune_round(model, 0.25)
    return model


def with_logits(model: keras.Model) -> keras.Model:
    return keras.Model(model.input, [model.get_layer("logits").output, model.output], name="both")


def check_network(name: str, x, **arguments) -> ShrunkModel:
    model = randomly_pruned(create_model(name, 7, **LIGHT.get(name, {}), **arguments))
    result = shrunk(model, x)
    # Probabilities were compared; logits are, relative to their size.
    assert_equal_outputs(with_logits(model), with_logits(result.model), x)
    assert result.model.get_layer("embedding").output.shape[0] is None
    assert result.parameters_after < result.parameters_before
    return result


@pytest.mark.parametrize("name", ["binaural_a", "binaural_b", "m3", "m5"])
def test_a_network_without_sums_has_no_dead_kernel_left(name):
    result = check_network(name, waveforms(name))
    if name.startswith("binaural"):
        assert not whys(result)
        assert all(row.before - row.after == row.dead for row in result.layers)
    else:
        # 'same' padding: one a layer at most.
        assert all(row.before - row.after >= row.dead - 1 for row in result.layers)
    assert result.parameters_after < 0.3 * result.parameters_before


@pytest.mark.parametrize("name", ["binaural_c", "binaural_d"])
def test_a_residual_network_shrinks_inside_its_blocks(name):
    result = check_network(name, waveforms(name))
    for row in result.layers:
        if row.name == "conv1" or row.name.endswith("_conv1"):
            assert row.before - row.after >= row.dead - 1, row
            assert row.dead > 0.4 * row.before
        elif row.name != "logits":
            assert "the sum" in row.why, row
    assert result.parameters_after < 0.55 * result.parameters_before


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("rank", [1, 2])
def test_all_designs_of_a_residual_block_shrink(block, rank):
    parts = Parts(rank)
    inputs = keras.Input((9, 3) if rank == 1 else (6, 9, 3))
    x = parts.conv(8, 3, "stem")(inputs)
    x = residual_block(x, block, 8, parts, "block1")
    x = residual_block(parts.max_pool(2, "pool", padding="same")(x), block, 16, parts, "block2")
    model = network(inputs, parts.classifier(x, 3))
    for _ in range(2):
        prune_round(model, 0.3)
    result = shrunk(model, noise(2, *inputs.shape[1:]))
    rows = {row.name: row for row in result.layers if row.kind == "kernel"}
    for name in ("block1_conv1", "block2_conv1"):
        assert rows[name].dead - 1 <= rows[name].before - rows[name].after > 0


@pytest.mark.parametrize(("name", "frames"), [("erann_3_1", 128), ("two_path_resnet", 16)])
def test_the_networks_on_spectrograms_shrink(name, frames):
    channels = model_info(name).feature_shape[-1]
    check_network(name, noise(1, 128, frames, channels), input="features")


@pytest.mark.parametrize("head", ["plain", "concat_pool"])
def test_a_network_on_images_of_any_size_shrinks_inside_its_blocks(head):
    result = check_network("resnet10", noise(2, 40, 50, 3), input="features", channels=3, head=head)
    for row in result.layers:
        if row.name.endswith("_conv1"):
            assert row.before - row.after >= row.dead - 1, row
            assert row.dead > 0.4 * row.before
        elif row.name != "conv1" and not row.name.startswith("logits"):
            assert "the sum" in row.why, row
    assert result.parameters_after < 0.75 * result.parameters_before


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in list_models() if "erann" not in name])
def test_every_network_shrinks(name):
    check_network(name, waveforms(name))


@pytest.mark.parametrize("name", ["binaural_a", "m3"])
def test_a_network_without_zeros_stays_as_it_is(name):
    model = create_model(name, 7)
    randomize(model)
    result = shrunk(model, waveforms(name))
    assert result.parameters_after == result.parameters_before
    assert all(map(np.array_equal, model.get_weights(), result.model.get_weights()))
    assert all(row.dead == 0 and row.after == row.before for row in result.layers)


def test_clip_steps_stay_in_front():
    model = create_model("binaural_a", 3, clip_steps=[PadOrCrop(3000, crop="center")])
    result = shrunk(randomly_pruned(model), noise(2, 4000, 2))
    assert result.model.get_layer("pad_or_crop").get_config() == (
        model.get_layer("pad_or_crop").get_config()
    )


def test_dtype_policies_and_regularizers_stay():
    with policy("mixed_float16"):
        model = create_model("binaural_a", 3, kernel_regularizer=1e-3)
    smaller = shrink(randomly_pruned(model)).model
    policies = [[layer.dtype_policy.name for layer in m.layers[1:]] for m in (model, smaller)]
    assert policies[0] == policies[1] and "mixed_float16" in policies[0]
    kernels = [layer.kernel.numpy() for layer in smaller.layers if hasattr(layer, "kernel")]
    expected = 1e-3 * sum(np.square(kernel).sum() for kernel in kernels)
    np.testing.assert_allclose(float(sum(smaller.losses)), expected, rtol=1e-3)
    x = waveforms("binaural_a")
    np.testing.assert_allclose(run(smaller, x), run(model, x), atol=5e-3)


def test_the_weights_of_half_precision_shrink_too():
    model = half_precision(randomly_pruned(create_model("binaural_b", 3)))
    shrunk(model, waveforms("binaural_b"))


def test_a_shrunk_network_is_saved_and_loaded(tmp_path):
    smaller = shrink(randomly_pruned(create_model("binaural_d", 3))).model
    smaller.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = waveforms("binaural_d")
    np.testing.assert_array_equal(run(loaded, x), run(smaller, x))
    assert loaded.count_params() == smaller.count_params()
    assert loaded.name == "binaural_d"


def test_a_sequential_or_compiled_model_gives_a_functional_one_that_is_not_compiled():
    model = keras.Sequential(
        [
            keras.Input((None, 2)),
            layers.Conv1D(6, 3, name="conv"),
            layers.Conv1D(3, 3, name="reader"),
        ]
    )
    kill(model, conv=[0, 3])
    model.compile("adam", "mse")
    result = shrink(model)
    assert not result.model.compiled and model.compiled
    assert widths(result) == {"conv": 4, "reader": 3}
    assert_equal_outputs(model, result.model, noise(2, 9, 2))


def test_a_shrunk_network_trains_and_its_zeros_can_be_held():
    model = residual(stem=[0, 3], outer=[1, 3])
    smaller = shrink(model).model
    hold_zeros(smaller)
    smaller.compile("adam", "mse")
    smaller.fit(noise(4, 9, 2), noise(4, 7, 3), verbose=0)
    assert shrink(smaller).parameters_after == smaller.count_params()
    assert not smaller.get_layer("stem").kernel.numpy()[..., 0].any()
    assert smaller.get_layer("stem").kernel.numpy()[..., 1].any()


def test_the_table_says_what_was_done():
    model = residual(stem=[0, 3], outer=[1, 3])
    assert shrink(model).table().splitlines() == [
        "name    kind    before  after  dead  why",
        "stem    kernel       6      5     2  1 kept: the sum sum needs them",
        "inner   kernel       5      5     0",
        "outer   kernel       6      5     2  1 kept: the sum sum needs them",
        "reader  kernel       3      3     0",
        "parameters: 218 before, 183 after",
    ]


def test_the_cost_of_a_residual_network_falls_where_kernels_went():
    model = randomly_pruned(create_model("binaural_d", 3))
    smaller = shrink(model).model
    before, after = (
        {layer.name: layer.macs for layer in layer_macs(m, (18000, 2))} for m in (model, smaller)
    )
    rows = {row.name: row for row in shrink(model).layers}
    inputs = {
        "layer2_1_conv1": ("layer2_0_conv2", "layer2_1_conv1"),
        "layer2_1_conv2": ("layer2_1_conv1", "layer2_1_conv2"),
    }
    for name, (source, own) in inputs.items():
        share = rows[source].after * rows[own].after / (64 * 64)
        assert after[name] == before[name] * share < before[name]


def test_what_cannot_be_shrunk_is_refused():
    inputs = keras.Input((None, 2))
    inner = keras.Sequential([layers.Conv1D(3, 3)], name="inner")
    nested = keras.Model(inputs, inner(inputs))
    with pytest.raises(ValueError, match="Expected no model inside.*'inner'"):
        shrink(nested)
    with pytest.raises(ValueError, match="Expected a model that is built"):
        shrink(keras.Sequential([layers.Dense(3)]))

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__(name="subclassed")
            self.dense = layers.Dense(3)

        def call(self, x):
            return self.dense(x)

    model = Subclassed()
    model(np.ones((1, 2)))
    with pytest.raises(ValueError, match="Expected a functional.*'subclassed', which is a Subcl"):
        shrink(model)
