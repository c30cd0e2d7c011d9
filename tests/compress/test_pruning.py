"""Pruned kernels against a plain NumPy ranking."""

import csv
import io

import harness
import keras
import numpy as np
import pytest
from keras import layers
from plain_ranking import PRUNED, kernels, reference_round
from small_network import arrays, build

from keras_audio.compress import PrunedLayer, hold_zeros, prune_round
from keras_audio.models import create_model


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5, 0.77])
def test_rounds_are_those_of_plain_ranking(rate):
    model = build()
    expected = arrays(model)
    for _ in range(4):
        counts = {}
        for path in PRUNED:
            expected[path], counts[path] = reference_round(expected[path], rate)
        done = prune_round(model, rate)
        found = arrays(model)
        for path in expected:
            np.testing.assert_array_equal(found[path], expected[path], err_msg=path)
        paths = [f"{row.name}/{'gamma' if row.kind == 'scale' else 'kernel'}" for row in done.rows]
        assert paths == list(PRUNED)
        assert {path: row.pruned for path, row in zip(paths, done.rows, strict=True)} == counts
        assert done.pruned == sum(counts.values())
        assert done.left == ("depthwise", "hidden", "logits")


@pytest.mark.parametrize(
    ("kernels", "rate", "alive"),
    [
        # By hand: rounded to the nearest whole kernel of those alive, halves to the even one.
        (16, 0.1, [14, 13, 12]),
        (64, 0.1, [58, 52, 47]),
        (5, 0.1, [5]),
        (15, 0.1, [13, 12]),
        (3, 0.2, [2, 2]),
        (2, 0.9, [1, 1]),
        (1, 0.9, [1]),
        (32, 0.2, [26, 21, 17, 14, 11]),
    ],
)
def test_how_many_stay_alive(kernels, rate, alive):
    inputs = keras.Input((None, 2))
    model = keras.Model(inputs, layers.Conv1D(kernels, 3, name="conv")(inputs))
    # What gives the classes is what a model without an embedding ends in.
    found = [prune_round(model, rate, classifier=True).rows[0] for _ in alive]
    assert [row.alive_after for row in found] == alive
    assert [row.alive_before for row in found] == [kernels, *alive[:-1]]
    assert all(row.total == kernels for row in found)
    assert all(row.alive_before - row.pruned == row.alive_after for row in found)
    assert all(row.weights_zeroed == row.pruned * 3 * 2 for row in found)


def test_two_axes_and_groups():
    inputs = keras.Input((9, None, 4))
    x = layers.Conv2D(6, (3, 5), groups=2, name="grouped")(inputs)
    x = layers.BatchNormalization(axis=1, name="rows")(x)
    model = keras.Model(inputs, layers.Conv2D(2, 1, name="last")(x))
    before = arrays(model)
    prune_round(model, 0.5)
    expected, _ = reference_round(before["grouped/kernel"], 0.5)
    np.testing.assert_array_equal(arrays(model)["grouped/kernel"], expected)
    assert np.count_nonzero(arrays(model)["rows/gamma"]) == 7 - 4  # round(3.5) of seven rows


def test_among_equals_the_first_goes():
    x = inputs = keras.Input((None, 2))
    # Enough of them for a sort that does not keep the order of equals to show it.
    x = layers.Conv1D(100, 3, kernel_initializer="ones", name="conv")(x)
    x = layers.BatchNormalization(name="bn")(x)
    model = keras.Model(inputs, layers.Conv1D(2, 1, name="last")(x))
    signs = np.where(np.arange(100) % 2, 1.0, -1.0)
    weights = model.get_layer("conv").kernel, model.get_layer("bn").gamma
    for weight in weights:
        weight.assign(weight.numpy() * signs)
    prune_round(model, 0.3)
    for weight in weights:
        alive = np.abs(kernels(weight.numpy())).sum(axis=1) > 0
        assert alive.tolist() == [False] * 30 + [True] * 70


def test_one_kernel_of_a_layer_stays_and_then_nothing_is_pruned():
    model = build()
    total = 0
    for _ in range(20):
        done = prune_round(model, 0.99)
        total += done.pruned
        if not done.pruned:
            break
    assert {row.alive_after for row in done.rows} == {1}
    assert total == 10 + 10 + 7 + 7 + 7 - 5


def test_rows_make_a_table_and_a_csv_file():
    done = prune_round(build(), 0.2)
    lines = done.table().splitlines()
    assert len(lines) == 1 + len(PRUNED) and len(set(map(len, lines))) == 1
    assert lines[0].split("  ")[0].strip() == "name"
    assert lines[1].split() == ["conv1", "kernel", "10", "10", "2", "8", "32"]
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(PrunedLayer._fields)
    writer.writerows(done.rows)
    first = next(csv.DictReader(io.StringIO(file.getvalue())))
    assert first["name"] == "conv1" and first["alive_after"] == "8"


def test_the_classifier_is_pruned_when_asked():
    model = build()
    before = arrays(model)
    done = prune_round(model, 0.2, classifier=True)
    expected, count = reference_round(before["logits/kernel"], 0.2)
    assert count == 1
    np.testing.assert_array_equal(arrays(model)["logits/kernel"], expected)
    np.testing.assert_array_equal(arrays(model)["logits/bias"], before["logits/bias"])
    np.testing.assert_array_equal(arrays(model)["hidden/kernel"], before["hidden/kernel"])
    assert done.left == ("depthwise", "hidden")


def test_scales_stay_when_asked():
    model = build()
    before = arrays(model)
    done = prune_round(model, 0.2, scales=False)
    assert {row.kind for row in done.rows} == {"kernel"} and done.pruned
    scales = [name for name in before if name.endswith("gamma")]
    assert scales
    for name in scales:
        np.testing.assert_array_equal(arrays(model)[name], before[name])


def test_a_convolution_that_gives_the_classes_is_no_body():
    model = create_model("two_path_resnet", 10, **harness.LIGHT["two_path_resnet"])
    assert prune_round(model, 0.2).left == ("logits_conv",)
    assert kernels(model.get_layer("logits_conv").kernel.numpy()).any(axis=1).all()
    rows = {row.name: row for row in prune_round(model, 0.2, classifier=True).rows}
    assert rows["logits_conv"].pruned == 2
    # The same where no layer is called embedding: the last with a kernel, and its batch norm.
    x = inputs = keras.Input((None, 2))
    for name in ("body", "end"):
        x = layers.Conv1D(10, 3, name=name)(x)
        x = layers.BatchNormalization(name=f"{name}_bn")(x)
    model = keras.Model(inputs, layers.GlobalAveragePooling1D()(x))
    assert [row.name for row in prune_round(model, 0.2).rows] == ["body", "body_bn"]
    done = prune_round(model, 0.2, classifier=True)
    assert [row.name for row in done.rows] == ["body", "body_bn", "end", "end_bn"]


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, float("nan"), float("inf"), "0.1", None, True])
def test_rates_out_of_range_are_refused(rate):
    with pytest.raises(ValueError, match="Expected rate to be above 0 and below 1. Received: rate"):
        prune_round(build(), rate)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("path", ["shortcut_0/kernel", "shortcut_1/gamma"])
def test_weights_that_are_not_finite_are_refused(path, value):
    model = build()
    broken = arrays(model)[path]
    broken[..., 2] = value
    next(weight for weight in model.weights if weight.path == path).assign(broken)
    before = arrays(model)
    with pytest.raises(ValueError, match=f"Expected finite weights .*of '{path.split('/')[0]}'"):
        prune_round(model, 0.5)
    for name, array in arrays(model).items():
        np.testing.assert_array_equal(array, before[name])


def test_models_that_cannot_be_pruned_are_refused():
    inputs = keras.Input((None, 2))
    dense = keras.Model(inputs, layers.Dense(3)(inputs), name="dense")
    with pytest.raises(ValueError, match="Expected a model with convolutions .*model='dense'"):
        prune_round(dense, 0.5)
    only_classes = keras.Model(inputs, layers.Conv1D(3, 1)(inputs), name="classes")
    with pytest.raises(ValueError, match="Expected a model with convolutions .*model='classes'"):
        prune_round(only_classes, 0.5)
    nested = keras.Model(inputs, build()(inputs))
    for function in (lambda m: prune_round(m, 0.5), hold_zeros):
        with pytest.raises(ValueError, match="Expected no model inside .*'small', which is a Func"):
            function(nested)
    with pytest.raises(ValueError, match="Expected a model that is built"):
        prune_round(keras.Sequential([layers.Conv1D(3, 1)]), 0.5)
