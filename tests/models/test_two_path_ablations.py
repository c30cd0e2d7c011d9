"""What the report tried and left out: each is one argument, and changes what it says."""

import keras
import numpy as np
import pytest
from harness import randomize, run
from test_two_path_network import features, network, part, trainable

from keras_audio.models import create_model


def shapes(model, frames=48) -> dict[str, tuple]:
    names = ["path1_stem_conv", *(f"path1_stage{n}_block1_add" for n in range(1, 5)), "fusion_relu"]
    outputs = part(model, *names)(features(frames, batch=1, channels=model.input_shape[-1]))
    return {name: tuple(output.shape[1:]) for name, output in zip(names, outputs, strict=True)}


def norms(model) -> list[keras.layers.BatchNormalization]:
    return [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]


def test_without_deltas_the_network_sees_log_mels_alone():
    bare = network(deltas=False)
    assert bare.input_shape == (None, 128, None, 1)
    # Two features fewer: kernels of 3x3 to 4 filters, a scale and an offset, in either path.
    assert trainable(network()) - trainable(bare) == 2 * (2 * 9 * 4 + 2 * 2)
    full = create_model("two_path_resnet", 5, num_filters=1, deltas=False)
    names = [layer.name for layer in full.layers]
    assert "deltas" not in names and full.get_layer("log_mel").output.shape[-1] == 2
    stereo = create_model("two_path_resnet", 5, num_filters=1, deltas=False, input="features")
    assert stereo.input_shape == (None, 128, None, 2)


def test_one_path_sees_all_bins():
    model = network(paths=1)
    assert shapes(model)["path1_stage4_block1_add"] == (128, 3, 32)
    names = [layer.name for layer in model.layers]
    assert "fusion" not in names and not [name for name in names if name.startswith("path2")]
    top = 32 * 128 + 128 * 5
    assert trainable(network()) - top == 2 * (trainable(model) - top)


def test_frequency_is_downsampled_as_time_is():
    model = network(frequency_downsampling=True)
    assert trainable(model) == trainable(network())
    expected = [(32, 24, 4), (32, 24, 4), (16, 12, 8), (8, 6, 16), (4, 3, 32), (8, 3, 32)]
    assert list(shapes(model).values()) == expected
    assert run(model, features(17)).shape == (2, 5)


def test_batch_norms_learn_nothing_but_in_the_first_layers():
    learned = {layer.name for layer in norms(network()) if layer.trainable_weights}
    assert learned == {"path1_input_bn", "path2_input_bn"}
    model = network(learned_batch_norm=True)
    assert len(norms(model)) == 37
    assert all(layer.scale and layer.center for layer in norms(model))
    # 8 batch norms a stage and path are of 4, 8, ... channels, one fewer where channels double,
    # which has those of the stage before.
    widths = [4, *[4] * 3, 4, *[8] * 3, 8, *[16] * 3, 16, *[32] * 3]
    more = 2 * sum(widths) + 32 + 128 + 5
    assert trainable(model) - trainable(network()) == 2 * more


@pytest.mark.parametrize("frequency_downsampling", [False, True])
def test_learned_pooling_begins_as_the_average(frequency_downsampling):
    arguments = {"frequency_downsampling": frequency_downsampling}
    average = network(**arguments)
    model = create_model(
        "two_path_resnet",
        5,
        channels=1,
        num_filters=4,
        input="features",
        learned_pooling=True,
        **arguments,
    )
    randomize(model)
    bins = 8 if frequency_downsampling else 128
    weights = model.get_layer("logits_weights")
    assert [weight.shape for weight in weights.weights] == [(bins, 1)]
    assert trainable(model) == trainable(average) + bins
    for layer in average.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())
    ours, theirs = (part(each, "logits")(features(20)) for each in (model, average))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)

    # Each weight is that of one frequency.
    chosen = np.random.default_rng(0).normal(size=(bins, 1)).astype("float32")
    weights.set_weights([chosen])
    before, ours = part(model, "logits_bn", "logits")(features(20))
    expected = np.einsum("bftc,f->btc", before, chosen[:, 0]).mean(axis=1)
    np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_all_at_once():
    model = network(
        deltas=False,
        paths=1,
        frequency_downsampling=True,
        learned_batch_norm=True,
        learned_pooling=True,
    )
    assert np.isfinite(run(model, features(9, channels=1))).all()
    for name in ("embedding", "logits"):
        assert model.get_layer(name).dtype_policy.name == "float32"
