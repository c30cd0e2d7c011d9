"""The range test's rates, averages, stop and suggestions, each against other NumPy."""

import keras
import numpy as np
import pytest

from keras_audio.schedules import LossWatch, RangeTest, SuggestedRates, suggest_rates


@pytest.mark.parametrize("arguments", [(), (1e-5, 1.0, 37), (0.3, 0.31, 2)])
def test_every_rate_is_as_by_hand(arguments):
    schedule = RangeTest(*arguments)
    start, end, steps = arguments or (1e-7, 10.0, 100)
    # Equal steps of the logarithm, the last of which would be `end`.
    expected = np.geomspace(start, end, steps + 1)
    np.testing.assert_allclose(schedule.rates(), expected[:-1], rtol=1e-12)
    late = np.append(expected, [end] * 5)
    np.testing.assert_allclose(schedule.rates(steps + 6), late, rtol=1e-12)
    rates = [float(schedule(step)) for step in range(steps + 6)]
    np.testing.assert_allclose(rates, late, rtol=1e-5)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert isinstance(again, RangeTest) and again.get_config() == schedule.get_config()


def test_an_optimizer_follows_it():
    weight = keras.Variable(np.zeros(1, "float32"))
    optimizer = keras.optimizers.SGD(RangeTest(0.01, 1.0, 10))
    moved = []
    for _ in range(10):
        before = float(keras.ops.convert_to_numpy(weight)[0])
        optimizer.apply([keras.ops.ones(1)], [weight])
        moved.append(before - float(keras.ops.convert_to_numpy(weight)[0]))
    np.testing.assert_allclose(moved, np.geomspace(0.01, 1.0, 11)[:-1], rtol=1e-4)


def averages(losses, beta):
    """Each average as one weighted mean, in place of a recurrence."""
    return np.array(
        [
            np.average(losses[: count + 1], weights=float(beta) ** np.arange(count, -1, -1))
            for count in range(len(losses))
        ]
    )


@pytest.mark.parametrize("beta", [0.98, 0.5, 0.0])
def test_the_average_is_of_all_losses_so_far(beta):
    losses = np.random.default_rng(0).uniform(1.0, 3.0, 200)
    watch = LossWatch(beta)
    assert not any([watch.add(loss) for loss in losses])
    np.testing.assert_allclose(watch.smoothed, averages(losses, beta), rtol=1e-12)
    assert watch.losses == losses.tolist()


@pytest.mark.parametrize(("beta", "limit"), [(0.98, 4.0), (0.9, 2.0), (0.0, 4.0)])
def test_it_stops_when_the_average_exceeds_its_least_by_the_factor(beta, limit):
    steps = np.arange(400)
    losses = 2.0 - steps / 250 + 0.5 * np.exp((steps - 200) / 20) + 0.1 * np.sin(steps)
    expected = averages(losses, beta)
    first = next(n for n in steps[1:] if expected[n] > limit * expected[:n].min())
    watch = LossWatch(beta, limit)
    said = [watch.add(loss) for loss in losses[: first + 1]]
    assert said == [False] * first + [True]


def test_just_as_much_is_not_more():
    watch = LossWatch(beta=0.0)
    assert [watch.add(loss) for loss in (2.0, 8.0, 1.0, 4.0, 4.001)] == [False] * 4 + [True]


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_it_stops_at_a_loss_that_is_not_finite(broken):
    watch = LossWatch()
    assert [watch.add(loss) for loss in (1.0, 0.9, broken)] == [False, False, True]
    assert LossWatch().add(broken)


def curve(steps=100):
    """A smooth curve of known slopes: level, down along half a sine, up again."""
    rates = np.geomspace(1e-7, 10.0, steps + 1)[:-1]
    decade = np.log10(rates)
    values = np.where(
        decade < -5, 3.0, np.where(decade < -1, 2.0 - np.sin(np.pi * (decade + 3) / 4), 1.0)
    )
    return rates, np.where(decade > -1, 1.0 + (decade + 1) ** 2, values)


def test_what_a_smooth_curve_suggests():
    # 2 - sin(pi (d + 3) / 4) falls from d = -5 to d = -1, steepest at -3: its slope is a cosine,
    # half of the steepest where that is a half, a third of pi later: 4 / 3 of a decade.
    rates, values = curve(2000)
    found = suggest_rates(rates, values)
    assert np.log10(found.steepest) == pytest.approx(-3, abs=0.05)
    assert np.log10(found.stable) == pytest.approx(-3 + 4 / 3, abs=0.05)
    assert np.log10(found.tenth) == pytest.approx(-1 - 1, abs=0.05)


def by_hand(rates, values):
    """The three, step by step, from their definitions."""
    tenth = len(rates) // 10
    least = min(range(tenth, len(values)), key=lambda n: values[n])

    def slope(n):
        """That of a line through a tenth of the points before and behind, and the one between."""
        around = slice(n - tenth, n + tenth + 1)
        return np.polynomial.Polynomial.fit(np.log(rates[around]), values[around], 1).deriv()(0.0)

    slopes = {n: slope(n) for n in range(2 * tenth, least + 1)}
    steepest = min(slopes, key=slopes.get)
    stable = steepest
    while stable + 1 in slopes and slopes[stable + 1] <= slopes[steepest] / 2:
        stable += 1
    return SuggestedRates(rates[steepest], rates[stable], rates[least] / 10)


@pytest.mark.parametrize("seed", range(20))
def test_what_a_noisy_curve_suggests(seed):
    generator = np.random.default_rng(seed)
    rates, values = curve(60)
    values = averages(values + generator.normal(0, 0.3, len(values)), 0.9)
    found, expected = suggest_rates(rates, values), by_hand(rates, values)
    for name in ("steepest", "stable", "tenth"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9), name
    assert found.steepest <= found.stable <= found.tenth * 10 * (1 + 1e-9)


def test_noise_of_single_losses_is_not_what_falls_steepest():
    # Level up to 1e-4, straight down for three decades, level, and up from 10 ** -0.5 on: what the
    # average does too, a little later. The noise is of a third of the fall.
    schedule = RangeTest()
    decade = np.log10(schedule.rates())
    falls, rises = np.clip((decade + 4) / 3, 0, 1), np.maximum(decade + 0.5, 0)
    found = []
    for seed in range(40):
        noise = np.random.default_rng(seed).normal(0, 0.2, len(decade))
        watch = LossWatch()
        for loss in 2.4 - 0.7 * falls + np.expm1(3 * rises) + noise:
            if watch.add(loss):
                break
        found.append(suggest_rates(schedule.rates(len(watch.losses)), watch.smoothed))
    steepest, stable = np.log10([(rates.steepest, rates.stable) for rates in found]).T
    assert steepest.min() > -4 and steepest.max() < -0.5
    assert stable.min() > -1.5 and stable.max() < -0.5


def test_one_lucky_step_is_no_fall():
    # Of the values up from the first, one below all of them, which no straight line follows.
    values = np.linspace(2.0, 4.0, 100)
    values[60] = 1.9
    assert suggest_rates(np.geomspace(1e-7, 1.0, 100), values) is None


def test_the_beginning_and_what_is_not_finite_count_for_nothing():
    rates, values = curve(100)
    expected = suggest_rates(rates, values)
    early = values.copy()
    early[:9] = np.linspace(90.0, 0.1, 9)  # the steepest, and the least
    assert suggest_rates(rates, early) == expected
    late = values.copy()
    late[90:] = np.nan, np.inf, *[-5.0] * 8
    assert suggest_rates(rates, late) == expected


def test_a_loss_that_never_falls_suggests_nothing():
    rates, _ = curve(100)
    assert suggest_rates(rates, np.linspace(1.0, 2.0, 100)) is None
    assert suggest_rates(rates, np.full(100, np.nan)) is None
    assert suggest_rates(rates, np.ones(100)) is None
    assert suggest_rates([1e-3], [1.0]) is None and suggest_rates([], []) is None


def test_a_loss_that_falls_to_the_end():
    rates = np.geomspace(1e-4, 1.0, 41)
    found = suggest_rates(rates, 5.0 - np.log10(rates))
    assert found.stable == pytest.approx(1.0) and found.tenth == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: RangeTest(start=0), "0 < start < end.*start=0, end=10.0"),
        (lambda: RangeTest(1.0, 0.5), "start=1.0, end=0.5"),
        (lambda: RangeTest(end=float("inf")), "end=inf"),
        (lambda: RangeTest(start=float("nan")), "start=nan"),
        (lambda: RangeTest(steps=0), "steps=0"),
        (lambda: LossWatch(beta=1.0), "beta=1.0"),
        (lambda: LossWatch(limit=1), "limit=1"),
        (lambda: suggest_rates([1.0, 2.0], [1.0]), r"shape \(2,\), smoothed of shape \(1,\)"),
    ],
)
def test_values_out_of_range_are_named(call, words):
    with pytest.raises(ValueError, match=f"Expected .*{words}"):
        call()
