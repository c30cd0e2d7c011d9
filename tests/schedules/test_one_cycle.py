"""The one-cycle schedule against plain NumPy, at every step, and inside an optimizer."""

import keras
import numpy as np
import pytest

from keras_audio.schedules import OneCycle


def by_hand(step, highest, steps, warmup, start, end):
    """NOTES section 5: cosine up from max/25 over 30 %, cosine down to max/25e4, in float64."""
    rise = warmup * steps
    if step < rise:
        low, high, share = highest / start, highest, step / rise
    else:
        low, high, share = highest, highest / end, min(1.0, (step - rise) / (steps - rise))
    return low + (high - low) * (1 - np.cos(np.pi * share)) / 2


@pytest.mark.parametrize("arguments", [(1e-3, 100, 0.3, 25, 25e4), (2.0, 37, 0.5, 10, 100)])
def test_every_step_is_as_by_hand(arguments):
    highest, steps, *_ = arguments
    schedule = OneCycle(*arguments)
    rates = [float(schedule(step)) for step in range(steps + 10)]
    expected = [by_hand(step, *arguments) for step in range(steps + 10)]
    # float32: the fall ends in a difference of nearly equal numbers.
    np.testing.assert_allclose(rates, expected, rtol=1e-4, atol=1e-7 * highest)
    assert max(rates) == pytest.approx(highest, rel=1e-2)


def test_without_a_warmup_it_starts_at_the_top():
    schedule = OneCycle(1e-3, 10, warmup_fraction=0.0)
    assert float(schedule(0)) == pytest.approx(1e-3)
    assert np.isfinite([float(schedule(step)) for step in range(12)]).all()


def test_an_optimizer_follows_it_and_saves_it():
    weight = keras.Variable(np.zeros(1, "float32"))
    optimizer = keras.optimizers.SGD(OneCycle(0.5, 10))
    optimizer.build([weight])
    for step in range(10):
        before = float(weight.numpy()[0])
        optimizer.apply([np.ones(1, "float32")], [weight])
        moved = before - float(weight.numpy()[0])
        assert moved == pytest.approx(by_hand(step, 0.5, 10, 0.3, 25, 25e4), rel=1e-4, abs=1e-6)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert float(again._learning_rate(4)) == float(OneCycle(0.5, 10)(4))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"max_learning_rate": 0}, "max_learning_rate to be a number above 0"),
        ({"max_learning_rate": float("nan")}, "max_learning_rate=nan"),
        ({"steps": 0}, "steps=0"),
        ({"warmup_fraction": 1.0}, "below 1.*warmup_fraction=1.0"),
        ({"end_divisor": 1}, "end_divisor=1"),
    ],
)
def test_values_out_of_range_are_named(changed, words):
    with pytest.raises(ValueError, match=words):
        OneCycle(**{"max_learning_rate": 1e-3, "steps": 10, **changed})
