"""What all augmentations of waveforms have in common."""

import keras
import numpy as np
import pytest
from scipy import stats

from keras_audio.augment import RandomFIRFilter, TemporalMask, WhiteNoise

RATE = 8000
LAYERS = {
    "temporal mask": lambda seed=1, **more: TemporalMask(RATE, 0.1, 0.02, seed=seed, **more),
    "FIR filter": lambda seed=1, **more: RandomFIRFilter(RATE, seed=seed, **more),
    "white noise": lambda seed=1, **more: WhiteNoise(seed=seed, **more),
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def clips(batch=6, samples=2000, channels=2) -> np.ndarray:
    x = np.random.default_rng(batch).uniform(-1, 1, (batch, samples, channels))
    return x.astype("float32")


@pytest.fixture(params=LAYERS)
def build(request):
    return LAYERS[request.param]


def test_only_while_training(build):
    layer, x = build(), clips()
    for arguments in ({}, {"training": False}):
        np.testing.assert_array_equal(numpy(layer(x, **arguments)), x)
    np.testing.assert_array_equal(numpy(layer.variables[0]), [1, 0])  # nothing was drawn
    inputs = keras.Input((None, 2))
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, None, 2) and not model.weights
    np.testing.assert_array_equal(numpy(model(x, training=False)), x)
    assert np.abs(numpy(model(x, training=True)) - x).max() > 0


def test_changes_99_percent_of_the_clips_each_by_itself(build):
    layer, applied = build(), []
    for _ in range(20):
        applied.append(numpy(layer.draw((2000, 1, 1))[0]))
    unchanged = ~np.array(applied)
    assert stats.binomtest(int(unchanged.sum()), unchanged.size, 0.01).pvalue > 0.01
    # Not whole calls, and not the same places of each batch.
    assert stats.chisquare(unchanged.sum(axis=1)).pvalue > 0.001
    assert unchanged.sum(axis=0).max() < 6


def test_probability(build):
    x = clips(200, 2000, 1)
    for probability in (0.0, 0.4, 1.0):
        layer = build(probability=probability)
        changed = (numpy(layer(x, training=True)) != x).any(axis=(1, 2))
        assert changed.mean() == pytest.approx(probability, abs=0.1 if probability == 0.4 else 0)
        applied = numpy(build(probability=probability).draw(x.shape)[0])
        np.testing.assert_array_equal(changed, applied)


def test_clips_and_calls_are_changed_differently(build):
    layer, x = build(probability=1.0), np.tile(clips(1), (12, 1, 1))
    rows = [row.tobytes() for _ in range(2) for row in numpy(layer(x, training=True))]
    # There are only eight filters.
    assert len(set(rows)) >= 6
    assert rows[:12] != rows[12:]


def test_draws_follow_from_the_seed_and_from_the_state(build):
    x = clips()
    one, two, other = build(), build(), build(seed=4)
    first = numpy(one(x, training=True))
    np.testing.assert_array_equal(numpy(two(x, training=True)), first)
    assert np.abs(numpy(other(x, training=True)) - first).max() > 0
    assert len(one.variables) == 1  # what a checkpoint has to hold
    state = numpy(one.variables[0])
    second = numpy(one(x, training=True))
    assert np.abs(second - first).max() > 0
    other.variables[0].assign(state)
    np.testing.assert_array_equal(numpy(other(x, training=True)), second)


def test_the_layers_do_not_draw_alike():
    """The recipe gives them seeds next to each other."""
    applied = [
        numpy(build(seed=seed).draw((5000, 1, 1))[0]) for seed, build in enumerate(LAYERS.values())
    ]
    unchanged = ~np.array(applied)
    assert (unchanged.sum(axis=1) > 20).all()
    assert unchanged.all(axis=0).sum() == 0 and (unchanged.sum(axis=0) > 1).sum() < 8


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float16"])
def test_float32_under_every_policy(build, policy):
    x = clips()
    expected = numpy(build()(x, training=True))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        layer = build()
        output = layer(x, training=True)
        for value in (output, layer(x)):
            assert keras.backend.standardize_dtype(value.dtype) == "float32"
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_array_equal(numpy(output), expected)


def test_rebuilds_from_its_configuration(build, tmp_path):
    layer, x = build(seed=6, probability=0.5), clips()
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(numpy(again(x, training=True)), numpy(layer(x, training=True)))
    inputs = keras.Input((None, 2))
    keras.Model(inputs, again(inputs)).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(loaded(x, training=False)), x)
    assert loaded.layers[1].get_config() == layer.get_config()


def test_configurations_hold_every_argument():
    built = [
        TemporalMask(RATE, 2.0, 0.5, 77, 0.3, "erase", seed=9, name="a"),
        RandomFIRFilter(RATE, 33, 0.3, seed=9, name="a"),
        WhiteNoise(1, 9, 2, 0.3, seed=9, name="a"),
    ]
    said = [
        {"mean_seconds": 2.0, "deviation_seconds": 0.5, "positions": 77, "mode": "erase"},
        {"sample_rate": RATE, "taps": 33},
        {"min_snr": 1.0, "max_snr": 9.0, "step": 2.0},
    ]
    for layer, arguments in zip(built, said, strict=True):
        expected = {"name": "a", "seed": 9, "probability": 0.3, **arguments}
        assert expected.items() <= layer.get_config().items()


def test_other_axes_are_refused_while_training(build):
    with pytest.raises(
        ValueError, match=r"Expected inputs \(batch, samples, .*Received: .*\(2, 9\)"
    ):
        build()(np.ones((2, 9)), training=True)
