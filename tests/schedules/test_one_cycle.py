"""The one-cycle schedule against plain NumPy, at every step, and inside an optimizer."""

import keras
import numpy as np
import pytest

from keras_audio.schedules import OneCycle, OneCycleMomentum


def by_hand(step, highest, steps, warmup, start, end):
    """NOTES section 5: cosine up from max/25 over 30 %, cosine down to max/25e4, in float64."""
    rise = int(warmup * steps)
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


@pytest.mark.parametrize("arguments", [(100,), (37, 0.9, 0.4, 0.5), (10, 0.95, 0.85, 0.0)])
def test_momentum_goes_against_the_rate_at_every_step(arguments):
    steps, highest, lowest, warmup = (*arguments, *(100, 0.95, 0.85, 0.3)[len(arguments) :])
    schedule, expected = OneCycleMomentum(*arguments), []
    for step in range(steps + 10):
        first = int(warmup * steps)
        if step < first:
            angle = np.pi * step / first
        else:
            angle = np.pi * (1 + min(1.0, (step - first) / (steps - first)))
        # One period of a cosine over the cycle, each half of it as long as its phase.
        expected.append((highest + lowest) / 2 + (highest - lowest) / 2 * np.cos(angle))
    momenta = [float(schedule(step)) for step in range(steps + 10)]
    np.testing.assert_allclose(momenta, expected, rtol=1e-6)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert again.get_config() == schedule.get_config()
    assert isinstance(again, OneCycleMomentum)


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


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"steps": 0}, "steps=0"),
        ({"max_momentum": 1.0}, "max_momentum from 0 to below 1.*max_momentum=1.0"),
        ({"min_momentum": -0.1}, "min_momentum=-0.1"),
        ({"min_momentum": 0.96}, "at most max_momentum.*min_momentum=0.96, max_momentum=0.95"),
        ({"warmup_fraction": 1}, "warmup_fraction=1"),
    ],
)
def test_momenta_out_of_range_are_named(changed, words):
    with pytest.raises(ValueError, match=f"Expected .*{words}"):
        OneCycleMomentum(**{"steps": 10, **changed})
