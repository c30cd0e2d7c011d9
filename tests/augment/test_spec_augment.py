"""Where SpecAugment's masks lie, what fills them and when."""

import keras
import numpy as np
import pytest

from keras_audio.augment import SpecAugment


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def features(*shape) -> np.ndarray:
    return (np.random.default_rng(0).normal(size=shape) * 10 - 40).astype("float32")


def masks(layer, batch, mels, frames, calls=1):
    """Masked bins and frames of every clip, read off a spectrogram of ones filled with zeros."""
    layer.fill, layer.floor = "floor", 0.0
    x = np.ones((batch, mels, frames, 2), "float32")
    out = np.concatenate([numpy(layer(x, training=True)) for _ in range(calls)])
    bands, stretches = ~out.any(axis=(2, 3)), ~out.any(axis=(1, 3))
    np.testing.assert_array_equal(
        out == 0, (bands[:, :, None] | stretches[:, None])[..., None].repeat(2, axis=-1)
    )
    return bands, stretches


def runs(row) -> list[tuple[int, int]]:
    """Start and width of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
    return [(start, end - start) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def test_two_masks_on_each_axis_no_wider_than_allowed():
    layer = SpecAugment(max_time_width=32, seed=1)
    assert (layer.max_frequency_width, layer.time_masks, layer.frequency_masks) == (16, 2, 2)
    for rows, width in zip(masks(layer, 100, 128, 512), (16, 32), strict=True):
        counts = [len(runs(row)) for row in rows]
        assert max(counts) == 2 and np.mean(counts) > 1.5
        assert width < rows.sum(axis=1).max() <= 2 * width
        # The mean width of a mask is half the largest; two overlap now and then.
        assert 0.8 * width < rows.sum(axis=1).mean() < 1.05 * width
        assert len({row.tobytes() for row in rows}) > 90, "clips share their masks"


def test_widths_and_places_are_uniform_and_masks_lie_inside():
    layer = SpecAugment(max_time_width=4, time_masks=1, frequency_masks=0, seed=2)
    bands, stretches = masks(layer, 5000, 3, 10, calls=6)
    assert not bands.any()
    found = [runs(row) for row in stretches]
    widths = np.array([run[0][1] if run else 0 for run in found])
    np.testing.assert_allclose(np.bincount(widths) / len(widths), np.full(5, 0.2), atol=0.01)
    for width in range(1, 5):
        starts = np.array([run[0][0] for run in found if run and run[0][1] == width])
        places = 10 - width + 1
        expected = np.full(places, 1 / places)
        np.testing.assert_allclose(np.bincount(starts) / len(starts), expected, atol=0.02)


def test_a_mask_is_at_most_the_axis():
    layer = SpecAugment(max_time_width=100, time_masks=1, frequency_masks=0, seed=2)
    widths = masks(layer, 4000, 2, 3)[1].sum(axis=1)
    np.testing.assert_allclose(np.bincount(widths) / 4000, np.full(4, 0.25), atol=0.03)


@pytest.mark.parametrize(
    "none", [{"time_masks": 0, "frequency_masks": 0}, {"max_frequency_width": 0}]
)
def test_no_masks(none):
    layer = SpecAugment(**{"max_time_width": 0, **none}, seed=1)
    x = features(3, 5, 7, 1)
    np.testing.assert_array_equal(numpy(layer(x, training=True)), x)


@pytest.mark.parametrize("fill", ["mean", "floor"])
def test_fills(fill):
    x = features(6, 20, 30, 2)
    x[1:] -= np.arange(5)[:, None, None, None]
    out = numpy(SpecAugment(8, 6, fill=fill, floor=-90.0, seed=1)(x, training=True))
    masked = out != x
    assert 0.1 < masked.mean() < 0.8
    for clip, filled, mask in zip(x, out, masked, strict=True):
        expected = clip.mean() if fill == "mean" else -90.0
        np.testing.assert_allclose(filled[mask], expected, rtol=1e-5)
    assert SpecAugment(8).fill == "mean"


def test_a_mean_fill_leaves_the_statistics_nearly_alone():
    x = features(64, 32, 100, 1)
    shifts = {}
    for fill in ("mean", "floor"):
        out = numpy(SpecAugment(8, 6, fill=fill, seed=1)(x, training=True))
        shifts[fill] = abs(out.mean() - x.mean())
    assert shifts["mean"] < 0.05 < 5 < shifts["floor"]


def test_only_while_training():
    x = features(2, 16, 40, 1)
    layer = SpecAugment(20, seed=1)
    for arguments in ({}, {"training": False}):
        np.testing.assert_array_equal(numpy(layer(x, **arguments)), x)
    np.testing.assert_array_equal(numpy(layer.variables[0]), [1, 0])  # nothing was drawn
    inputs = keras.Input((16, None, 1))
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, 16, None, 1) and not model.weights
    np.testing.assert_array_equal(numpy(model(x, training=False)), x)
    assert np.abs(numpy(model(x, training=True)) - x).max() > 0


def test_draws_follow_from_the_seed_and_from_the_state():
    x = features(4, 16, 40, 1)
    one, two, other = SpecAugment(20, seed=1), SpecAugment(20, seed=1), SpecAugment(20, seed=2)
    first = numpy(one(x, training=True))
    np.testing.assert_array_equal(numpy(two(x, training=True)), first)
    assert np.abs(numpy(other(x, training=True)) - first).max() > 0
    state = numpy(one.variables[0])
    second = numpy(one(x, training=True))
    assert np.abs(second - first).max() > 0
    other.variables[0].assign(state)
    np.testing.assert_array_equal(numpy(other(x, training=True)), second)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float16"])
def test_float32_under_every_policy(policy):
    x = features(4, 16, 40, 1)
    expected = numpy(SpecAugment(20, seed=1)(x, training=True))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        layer = SpecAugment(20, seed=1)
    finally:
        keras.config.set_dtype_policy(before)
    output = layer(x, training=True)
    assert keras.backend.standardize_dtype(output.dtype) == "float32"
    np.testing.assert_array_equal(numpy(output), expected)


def test_rebuilds_from_its_configuration(tmp_path):
    layer = SpecAugment(9, 5, time_masks=1, frequency_masks=3, fill="floor", floor=-80.0, seed=6)
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert again.get_config() == layer.get_config()
    x = features(4, 16, 40, 1)
    np.testing.assert_array_equal(numpy(again(x, training=True)), numpy(layer(x, training=True)))
    inputs = keras.Input((16, None, 1))
    keras.Model(inputs, again(inputs)).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(loaded(x, training=False)), x)
    assert loaded.layers[1].get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"max_time_width": -1}, "max_time_width=-1"),
        ({"max_time_width": 1.5}, "max_time_width=1.5"),
        ({"max_frequency_width": -1}, "max_frequency_width=-1"),
        ({"time_masks": -1}, "time_masks=-1"),
        ({"frequency_masks": True}, "frequency_masks=True"),
        ({"fill": "zero"}, "fill='zero'"),
    ],
)
def test_refuses_wrong_arguments(arguments, said):
    with pytest.raises(ValueError, match=f"Expected .*Received: {said}"):
        SpecAugment(**{"max_time_width": 8, **arguments})
