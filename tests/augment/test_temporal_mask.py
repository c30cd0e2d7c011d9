"""Which samples the window keeps, against a plain NumPy version, and how windows are drawn."""

import keras
import numpy as np
import pytest
from scipy import stats

from keras_audio.augment import TemporalMask

RATE = 1000


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def numpy_mask(clips, applied, seconds, places, mode="keep", positions=1000):
    """One clip after another, one place after another."""
    masked = clips.copy()
    for clip, chosen, length, place in zip(masked, applied, seconds, places, strict=True):
        width = int(np.clip(np.round(length * np.float32(RATE)), 0, len(clip)))
        starts = [number * (len(clip) - width) // (positions - 1) for number in range(positions)]
        window = np.zeros((len(clip), 1), "float32")
        window[starts[place] : starts[place] + width] = 1
        if chosen:
            clip *= window if mode == "keep" else 1 - window
    return masked


@pytest.mark.parametrize("mode", ["keep", "erase"])
@pytest.mark.parametrize("shape", [(40, 10000, 2), (40, 5000, 1), (6, 700, 3), (4, 1, 1)], ids=str)
def test_equals_plain_numpy(shape, mode):
    clips = np.random.default_rng(0).normal(size=shape).astype("float32")
    draws = [numpy(x) for x in TemporalMask(RATE, probability=0.8, seed=1).draw(shape)]
    masked = TemporalMask(RATE, probability=0.8, seed=1, mode=mode)(clips, training=True)
    np.testing.assert_array_equal(numpy(masked), numpy_mask(clips, *draws, mode=mode))
    if len(clips) == 40:
        assert 0 < draws[0].sum() < 40


def test_the_window_of_the_report_is_what_stays():
    layer = TemporalMask(RATE, probability=1.0, seed=3)
    settings = (layer.mean_seconds, layer.deviation_seconds, layer.positions, layer.mode)
    assert settings == (4.0, 1.0, 1000, "keep")
    heard = numpy(layer(np.ones((2000, 10000, 1)), training=True))[..., 0]
    edges = np.diff(np.pad(heard, [(0, 0), (1, 1)]))
    assert (np.abs(edges).sum(axis=1) == 2).all(), "a clip has not one stretch"
    widths = heard.sum(axis=1)
    assert stats.kstest(widths / RATE, "norm", (4, 1)).pvalue > 0.01
    # Starts are as likely anywhere where the window fits, up to both ends.
    relative = edges.argmax(axis=1) / (10000 - widths)
    assert stats.kstest(relative, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(relative, widths)[0, 1]) < 0.06


def test_a_grid_of_places_from_end_to_end():
    layer = TemporalMask(RATE, positions=5)
    for seconds, starts in ((4.0, [0, 1500, 3000, 4500, 6000]), (9.998, [0, 0, 1, 1, 2])):
        draws = np.ones(5, bool), np.full(5, seconds, "float32"), np.arange(5, dtype="int32")
        heard = numpy(layer.augment(np.ones((5, 10000, 1), "float32"), *draws))
        assert heard.argmax(axis=1)[:, 0].tolist() == starts
        assert (heard.sum(axis=(1, 2)) == round(seconds * RATE)).all()
        assert heard[-1, -1] == heard[0, 0] == 1
    places = numpy(layer.draw((5000, 1, 1))[2])
    assert stats.chisquare(np.bincount(places)).pvalue > 0.01 and len(set(places)) == 5
    places = numpy(TemporalMask(RATE, seed=0).draw((20000, 1, 1))[2])
    assert (places.min(), places.max(), len(set(places))) == (0, 999, 1000)


@pytest.mark.parametrize("positions", [2, 46341])
def test_numbers_stay_exact_in_long_clips(positions):
    """Ten minutes at 8 kHz on the last place: a product of all would exceed 32 bits."""
    layer = TemporalMask(8000, positions=positions)
    x = np.ones((1, 4_800_000, 1), "float32")
    draws = np.array([True]), np.array([4.0], "float32"), np.array([positions - 1], "int32")
    heard = numpy(layer.augment(x, *draws))
    assert heard.sum() == heard[0, -32000:].sum() == 32000


def test_lengths_are_cut_to_nothing_and_to_the_clip():
    x = np.ones((2, 3000, 2), "float32")
    draws = np.array([True, True]), np.array([-1.0, 7.0], "float32"), np.array([500, 999], "int32")
    for mode, heard in (("keep", [0, 1]), ("erase", [1, 0])):
        masked = numpy(TemporalMask(RATE, mode=mode).augment(x, *draws))
        assert masked.mean(axis=(1, 2)).tolist() == heard


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"sample_rate": 0}, "sample_rate=0"),
        ({"mean_seconds": -1}, "mean_seconds=-1"),
        ({"deviation_seconds": float("nan")}, "deviation_seconds=nan"),
        ({"mean_seconds": True}, "mean_seconds=True"),
        ({"positions": 1}, "positions=1"),
        ({"positions": 46342}, "positions=46342"),
        ({"probability": 1.1}, "probability=1.1"),
        ({"probability": True}, "probability=True"),
        ({"mode": "drop"}, "mode='drop'"),
    ],
)
def test_refuses_wrong_arguments(arguments, said):
    with pytest.raises(ValueError, match=f"Expected .*Received: {said}"):
        TemporalMask(**{"sample_rate": 8000, **arguments})
