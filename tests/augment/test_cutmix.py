"""Which samples come from which clip, counted, and that the targets weigh them so."""

import keras
import numpy as np
import pytest
from scipy import stats

from keras_audio.augment import CutMix


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def named(batch, *axes):
    """Clips all of whose values are their number in the batch."""
    x = np.arange(batch, dtype="float32").reshape((-1,) + (1,) * len(axes))
    return np.tile(x, (1, *axes))


def numpy_cutmix(x, y, applied, shares, middles):
    """One clip after another; time is the last axis but one."""
    mixed, targets = x.copy(), y.astype("float64")
    length = x.shape[-2]
    for i, (chosen, share, middle) in enumerate(zip(applied, shares, middles, strict=True)):
        width = int((np.float32(1) - share) * np.float32(length))
        first = int(middle * np.float32(length)) - width // 2
        for time in range(max(first, 0), min(first + width, length)):
            if chosen and len(x) > 1:
                mixed[i, ..., time, :] = x[i - 1, ..., time, :]
                targets[i] += (y[i - 1] - y[i].astype("float64")) / length
    return mixed, targets


@pytest.mark.parametrize("alpha", [0.2, 1.0, 2.0])
@pytest.mark.parametrize(
    "axes", [(50, 2), (97, 1), (7, 1), (1, 1), (4, 30, 3), (2, 3, 11, 1)], ids=str
)
def test_equals_plain_numpy(axes, alpha):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(30, *axes)).astype("float32"), np.eye(5)[rng.integers(0, 5, 30)]
    y[:3] = rng.integers(0, 2, (3, 5))  # also multi-hot
    draws = [numpy(drawn) for drawn in CutMix(alpha, 0.7, seed=2).draw(30)]
    mixed, targets = CutMix(alpha, 0.7, seed=2)(x, y)
    expected, expected_targets = numpy_cutmix(x, y, *draws)
    np.testing.assert_array_equal(numpy(mixed), expected)
    np.testing.assert_allclose(numpy(targets), expected_targets, atol=1e-5)


@pytest.mark.parametrize("axes", [(1000, 2), (333, 1), (3, 100, 2)], ids=str)
def test_targets_are_the_samples_counted(axes):
    batch = 64
    mixed, targets = CutMix(seed=7)(named(batch, *axes), np.eye(batch))
    mixed, targets = numpy(mixed), numpy(targets)
    for source in range(batch):
        counted = (mixed == source).reshape(batch, -1).mean(axis=1)
        np.testing.assert_allclose(targets[:, source], counted, atol=1e-6)
    np.testing.assert_allclose(targets.sum(axis=1), 1.0, atol=1e-6)
    own = targets[np.arange(batch), np.arange(batch)]
    assert own.min() < 0.2 and own.max() > 0.9
    # One stretch a clip, of the clip before, at the same times in all channels and bins.
    number = np.arange(batch).reshape((-1,) + (1,) * len(axes))
    foreign = mixed != number
    before = np.broadcast_to((number - 1) % batch, mixed.shape)
    np.testing.assert_array_equal(mixed[foreign], before[foreign])
    foreign = np.moveaxis(foreign, -2, 1).reshape(batch, axes[-2], -1)
    assert (foreign == foreign[..., :1]).all()
    edges = np.abs(np.diff(np.pad(foreign[..., 0].astype(int), [(0, 0), (1, 1)]))).sum(axis=1)
    assert set(edges) <= {0, 2}


@pytest.mark.parametrize(
    ("length", "share", "middle", "start", "end"),
    [
        (8, 0.5, 0.5, 2, 6),
        (10, 0.5, 0.5, 3, 8),  # an odd width keeps all its samples
        (11, 0.5, 0.5, 3, 8),
        (10, 0.5, 0.0, 0, 3),  # cut off at the begin
        (10, 0.5, 1 - 2**-24, 7, 10),  # and at the end
        (10, 0.0, 0.0, 0, 5),  # all of the partner would be half of it
        (11, 0.0, 0.5, 0, 11),
        (10, 0.95, 0.5, 5, 5),  # less than a sample
        (10, 1.0, 0.0, 0, 0),
    ],
)
def test_weights_after_rounding_and_cutting_at_the_ends(length, share, middle, start, end):
    x, own = CutMix().mix(
        named(2, length, 1),
        np.array([True, False]),
        np.full(2, share, "float32"),
        np.full(2, middle, "float32"),
    )
    expected = np.zeros(length)
    expected[start:end] = 1
    np.testing.assert_array_equal(numpy(x)[0, :, 0], expected)
    np.testing.assert_allclose(numpy(own), [1 - (end - start) / length, 1.0], atol=1e-7)


def test_draws_are_of_their_distributions():
    for alpha in (0.3, 1.0, 4.0):
        applied, shares, middles = (numpy(x) for x in CutMix(alpha, seed=11).draw(20000))
        assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.01
        assert stats.kstest(middles, "uniform").pvalue > 0.01
        assert abs(np.corrcoef(shares, middles)[0, 1]) < 0.03
        assert applied.mean() == pytest.approx(0.99, abs=0.003)


def test_probability():
    x, y = named(300, 50, 1), np.eye(300)
    for probability in (0.0, 0.5, 1.0):
        mixed, targets = CutMix(probability=probability, seed=1)(x, y)
        changed = (numpy(mixed) != x).any(axis=(1, 2))
        # A stretch of less than a sample is none.
        assert changed.mean() == pytest.approx(0.98 * probability, abs=0.07)
        np.testing.assert_array_equal(numpy(targets)[~changed], y[~changed])


def test_a_clip_alone_stays_to_the_bit():
    x = np.random.default_rng(0).normal(size=(1, 100, 2)).astype("float32")
    y = np.array([[0.3, 0.7]], "float32")
    layer = CutMix(seed=0, probability=1.0)
    for _ in range(5):
        mixed, targets = layer(x, y)
        np.testing.assert_array_equal(numpy(mixed), x)
        np.testing.assert_array_equal(numpy(targets), y)
    _, own = layer.mix(x, np.array([True]), np.array([0.3], "f"), np.array([0.5], "f"))
    assert numpy(own).tolist() == [1.0]


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: CutMix(alpha=0), "alpha=0"),
        (lambda: CutMix(probability=-1), "probability=-1"),
        (lambda: CutMix()(np.ones((2, 30)), np.eye(2)), r"inputs of shape \(2, 30\)"),
    ],
)
def test_refuses_wrong_arguments(build, said):
    with pytest.raises(ValueError, match=f"Expected .*Received: {said}"):
        build()
