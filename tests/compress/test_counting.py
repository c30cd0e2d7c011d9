"""The paper's counts, its Table 1 to the last weight, and what is stored."""

import keras
import numpy as np
import pytest
from keras import layers
from small_network import arrays, build

from keras_audio.compress import count_weights, prune_round
from keras_audio.models import create_model, list_models, model_info

# Table 1: total, non-zero, KB; with how many rounds at which rate, and whether the classifier is
# pruned too, as it must have been to leave these counts.
TABLE = {
    "binaural_a": (13_632, 12_160, 23.8, 1, 0.1, False),
    "binaural_b": (30_080, 29_888, 58.4, 0, 0.1, False),
    "binaural_c": (398_400, 130_730, 255.3, 5, 0.2, True),
    "binaural_d": (373_696, 238_896, 466.6, 2, 0.2, True),
}


def plain_count(model):
    """The paper's total and non-zero count from arrays and their names alone."""
    total = non_zero = 0
    for path, array in arrays(model).items():
        if path.endswith("kernel"):
            total, non_zero = total + array.size, non_zero + int((array != 0).sum())
        if path.endswith("gamma"):
            total += array.size
            non_zero += int((array != 0).sum()) if "shortcut" in path else 0
    return total, non_zero


@pytest.fixture(scope="module")
def pruned():
    models = {}
    for name, (_, _, _, rounds, rate, classifier) in TABLE.items():
        keras.utils.set_random_seed(0)
        models[name] = create_model(name, 3)
        for _ in range(rounds):
            prune_round(models[name], rate, classifier=classifier)
    return models


@pytest.mark.parametrize("name", TABLE)
def test_table_1_of_the_paper(name, pruned):
    total, non_zero, kilobytes, *_ = TABLE[name]
    count = count_weights(pruned[name])
    assert (count.total, count.non_zero) == (total, non_zero)
    assert f"{count.kilobytes:.1f}" == str(kilobytes)
    assert plain_count(pruned[name]) == (total, non_zero)


@pytest.mark.parametrize(
    ("name", "rounds", "rate", "classifier", "non_zero"),
    [
        # As the text has it, which prunes convolutions alone: 128 weights more, one class of 128.
        ("binaural_a", 1, 0.1, True, 12_160),
        ("binaural_b", 0, 0.1, True, 29_888),
        ("binaural_c", 5, 0.2, False, 130_858),
        ("binaural_d", 2, 0.2, False, 239_024),
    ],
)
def test_the_other_reading_of_the_classifier(name, rounds, rate, classifier, non_zero):
    model = create_model(name, 3)
    for _ in range(rounds):
        prune_round(model, rate, classifier=classifier)
    assert count_weights(model).non_zero == non_zero == plain_count(model)[1]


def test_kernels_alive_in_model_a(pruned):
    rows = {row.name: row for row in count_weights(pruned["binaural_a"]).layers}
    alive = [(rows[f"conv{n}"].alive, rows[f"conv{n}"].kernels) for n in range(1, 5)]
    assert alive == [(14, 16), (14, 16), (29, 32), (58, 64)]
    assert [(rows[f"bn{n}"].alive, rows[f"bn{n}"].kernels) for n in range(1, 5)] == alive
    assert (rows["logits"].alive, rows["logits"].kernels) == (3, 3)
    assert rows["conv2"] == ("conv2", 4 * 16 * 16, 4 * 16 * 14, 16, 14)
    assert rows["bn2"] == ("bn2", 16, 0, 16, 14)  # scales are weighed, but not as non-zero ones


def test_scales_of_shortcuts_count_as_non_zero(pruned):
    rows = {row.name: row for row in count_weights(pruned["binaural_d"]).layers}
    assert rows["layer1_0_shortcut_1"].non_zero == rows["layer1_0_shortcut_1"].alive == 21
    assert rows["layer1_0_bn1"].non_zero == 0 and rows["layer1_0_bn1"].alive == 21


def test_what_is_stored_is_stored_zero_or_not():
    model = build()
    before = arrays(model)
    size, zeros = sum(array.size for array in before.values()), 0
    for rate in (0.3, 0.3):
        count = count_weights(model, "stored")
        assert count.total == size == model.count_params()
        assert count.non_zero == size - zeros == sum(map(np.count_nonzero, arrays(model).values()))
        assert count.kilobytes == size * 2 / 1024
        zeros += sum(row.weights_zeroed for row in prune_round(model, rate).rows)
    assert count_weights(model, "stored", bytes_per_weight=4).kilobytes == size * 4 / 1024
    rows = {row.name: row for row in count_weights(model, "stored").layers}
    assert rows["conv1"].total == 8 * 2 * 10 + 10 and rows["bn2"].total == 3 * 7
    assert (rows["bn2"].kernels, rows["depthwise"].kernels) == (0, 0)


@pytest.mark.parametrize(("rule", "weighed"), [("paper", "non_zero"), ("stored", "total")])
def test_rows_add_up(rule, weighed, pruned):
    for model in pruned.values():
        count = count_weights(model, rule, 4)
        assert sum(row.total for row in count.layers) == count.total
        assert sum(row.non_zero for row in count.layers) == count.non_zero
        assert count.kilobytes == getattr(count, weighed) * 4 / 1024
        assert [row.name for row in count.layers] == [v.name for v in model.layers if v.weights]


# The least of each kind; the others of a family are the same with more blocks or filters.
KINDS = ("m3", "m34_res_rb6", "spectrogram_res_rb1", "erann_3_1", "two_path_resnet", "resnet10")


@pytest.mark.parametrize("name", KINDS)
def test_every_family_can_be_counted(name):
    model = create_model(name, 7)
    assert plain_count(model) == (count_weights(model).total, count_weights(model).non_zero)
    stored = count_weights(model, "stored")
    assert stored.total == sum(array.size for array in arrays(model).values())


def test_each_family_was_counted():
    assert {model_info(name).paper for name in (*KINDS, *TABLE)} == {
        model_info(name).paper for name in list_models()
    }


def test_what_the_papers_rule_does_not_know_is_refused():
    with pytest.raises(ValueError, match="Received: 'depthwise', which is a DepthwiseConv1D"):
        count_weights(build())
    inputs = keras.Input((None, 2))
    nested = keras.Model(inputs, build()(inputs))
    with pytest.raises(ValueError, match="Expected no model inside"):
        count_weights(nested, "stored")
    with pytest.raises(ValueError, match="Expected rule to be one of 'paper', 'stored'. Received"):
        count_weights(build(), "paper's")
    with pytest.raises(ValueError, match="Expected bytes_per_weight .* Received: bytes_per_weight"):
        count_weights(build(), "stored", 0)


def test_statistics_of_a_normalization_count_as_stored_alone():
    inputs = keras.Input((None, 2))
    normalized = layers.Normalization(name="standardise")(inputs)
    model = keras.Model(inputs, layers.Dense(3)(normalized))
    assert count_weights(model).total == 6
    assert count_weights(model, "stored").total == model.count_params() > 6 + 3 + 4 - 1
