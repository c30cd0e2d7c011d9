"""Warm restarts against plain NumPy at every step of 510 epochs, and inside an optimizer."""

import keras
import numpy as np
import pytest

from keras_audio.schedules import WarmRestarts

# After which epochs the report restarts, and the end; its list leaves 62 out.
CYCLE_ENDS = [2, 6, 14, 30, 62, 126, 254, 510]


def by_hand(epochs, steps_per_epoch, highest=0.1, lowest=1e-5, first_cycle=2, growth=2):
    """Equation 5 of SGDR in float64, one cycle after the other; a rate for each step."""
    rates, length = [], first_cycle
    while len(rates) < epochs * steps_per_epoch:
        share = np.arange(length * steps_per_epoch) / (length * steps_per_epoch)
        rates.extend(lowest + (highest - lowest) / 2 * (1 + np.cos(np.pi * share)))
        length *= growth
    return np.array(rates[: epochs * steps_per_epoch])


def rates_of(schedule, steps) -> np.ndarray:
    return keras.ops.convert_to_numpy(schedule(np.arange(steps)))


# The 9185 training clips of task 1a make 288 batches of 32, 287 of them whole.
@pytest.mark.parametrize("steps_per_epoch", [1, 10, 287, 288])
def test_every_step_of_510_epochs_is_as_by_hand(steps_per_epoch):
    schedule = WarmRestarts(0.1, steps_per_epoch)
    rates = rates_of(schedule, 510 * steps_per_epoch)
    assert rates.dtype == np.float32
    np.testing.assert_allclose(rates, by_hand(510, steps_per_epoch), rtol=0, atol=2e-8)
    rises = np.flatnonzero(np.diff(rates) > 0) + 1
    assert rises.tolist() == [epoch * steps_per_epoch for epoch in CYCLE_ENDS[:-1]]
    np.testing.assert_array_equal(rates[[0, *rises]], np.float32(0.1))
    assert schedule.cycle_ends(510) == CYCLE_ENDS
    # One step at a time, as an optimizer asks.
    for step in (0, 1, int(rises[-1]) - 1, int(rises[-1]), len(rates) - 1):
        assert float(schedule(step)) == rates[step]


@pytest.mark.parametrize(("first_cycle", "growth"), [(2, 1), (1, 3), (5, 2), (1, 1)])
def test_other_cycles(first_cycle, growth):
    cycles = {"first_cycle": first_cycle, "cycle_growth": growth}
    schedule = WarmRestarts(0.5, 7, 0.1, **cycles)
    expected = by_hand(100, 7, 0.5, 0.1, first_cycle, growth)
    np.testing.assert_allclose(rates_of(schedule, 700), expected, rtol=1e-6)
    starts = np.flatnonzero(np.diff(expected) > 0) + 1
    if first_cycle * growth > 1:  # else each epoch is a cycle
        assert starts.tolist() == [7 * end for end in schedule.cycle_ends(99)]
    lengths = np.diff([0, *schedule.cycle_ends(100)])
    assert lengths.tolist() == [first_cycle * growth**n for n in range(len(lengths))]


def test_cycles_that_do_not_end_in_time_are_not_counted():
    schedule = WarmRestarts(0.1, 10)
    assert [schedule.cycle_ends(epochs) for epochs in (1, 2, 5, 6)] == [[], [2], [2], [2, 6]]


@pytest.mark.parametrize("growth", [1, 2, 50])
def test_very_late_steps(growth):
    steps = np.array([2**31 - 2, 10**9, 2 * 10**9])
    rates = keras.ops.convert_to_numpy(WarmRestarts(0.1, 10_000, cycle_growth=growth)(steps))
    for step, rate in zip(steps.tolist(), rates, strict=True):
        start, length = 0, 20_000
        while step >= start + length:
            if growth == 1:
                start = step // length * length
                break
            start, length = start + length, length * growth
        if start + length < 2**31:  # a later end is that of the numbers themselves
            share = (step - start) / length
            expected = 1e-5 + 0.0999900 / 2 * (1 + np.cos(np.pi * share))
            assert rate == pytest.approx(expected, abs=1e-7)
        assert 1e-5 <= rate <= 0.1


def test_an_optimizer_follows_it_in_a_graph_and_goes_on_where_it_was():
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("needs the TensorFlow backend")
    expected = by_hand(6, 3)

    def trained(optimizer, steps):
        weight = keras.Variable(np.zeros(1, "float32"))
        optimizer.build([weight])
        step = tf.function(lambda: optimizer.apply([tf.ones(1)], [weight]))
        moved = []
        for _ in range(steps):
            before = float(weight.numpy()[0])
            step()
            moved.append(before - float(weight.numpy()[0]))
        return moved

    optimizer = keras.optimizers.SGD(WarmRestarts(0.1, 3))
    np.testing.assert_allclose(trained(optimizer, 10), expected[:10], rtol=1e-4, atol=1e-7)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    again.build([keras.Variable(np.zeros(1, "float32"))])
    again.iterations.assign(10)
    assert float(again.learning_rate) == pytest.approx(expected[10], rel=1e-6)


def test_rebuilds_from_its_configuration():
    schedule = WarmRestarts(0.3, 17, 0.002, first_cycle=3, cycle_growth=4)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert isinstance(again, WarmRestarts) and again.get_config() == schedule.get_config()
    np.testing.assert_array_equal(rates_of(again, 500), rates_of(schedule, 500))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"max_learning_rate": 0}, "max_learning_rate=0"),
        ({"max_learning_rate": float("inf")}, "max_learning_rate=inf"),
        ({"max_learning_rate": float("nan")}, "max_learning_rate=nan"),
        ({"min_learning_rate": -1e-5}, "min_learning_rate=-1e-05"),
        ({"min_learning_rate": 0.2}, "min_learning_rate=0.2, max_learning_rate=0.1"),
        ({"steps_per_epoch": 0}, "steps_per_epoch=0"),
        ({"steps_per_epoch": 1.5}, "steps_per_epoch=1.5"),
        ({"first_cycle": 0}, "first_cycle=0"),
        ({"cycle_growth": 0}, "cycle_growth=0"),
        ({"cycle_growth": True}, "cycle_growth=True"),
    ],
)
def test_values_out_of_range_are_named(changed, words):
    with pytest.raises(ValueError, match=f"Expected .*Received: .*{words}"):
        WarmRestarts(**{"max_learning_rate": 0.1, "steps_per_epoch": 10, **changed})
