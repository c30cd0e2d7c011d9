"""Batches from records: what is in them, in which order, and that a late start changes nothing."""

import keras
import numpy as np
import pytest

from keras_audio.data import TrainingBatches, clip_arrays, evaluation_batches, open_records
from keras_audio.layers import PadOrCrop, WaveformNormalization

SAMPLES = 4000


@pytest.fixture(scope="module")
def records(toy_data):
    return open_records("toy_sounds", sample_rate=8000, data_dir=toy_data)


@pytest.fixture(scope="module")
def clip_steps():
    waveform = keras.Input((None, 1))
    return keras.Model(waveform, PadOrCrop(SAMPLES)(WaveformNormalization("standard")(waveform)))


def batches(records, clip_steps, *epoch, seed):
    data = TrainingBatches(records, [2, 3], clip_steps, batch_size=16, seed=seed)
    return [(x.numpy(), y.numpy()) for x, y in data.epoch(*epoch)]


def same(first, second):
    return all(
        np.array_equal(a, b)
        for pair in zip(first, second, strict=True)
        for a, b in zip(*pair, strict=True)
    )


def test_evaluation_batches_hold_each_clip_once_in_order(records, clip_steps):
    data = evaluation_batches(records, [1], clip_steps, batch_size=7)
    pairs = [(x.numpy(), y.numpy()) for x, y in data]
    inputs = np.concatenate([x for x, _ in pairs])
    targets = np.concatenate([y for _, y in pairs]).argmax(axis=1)
    clips = records.clips([1])
    assert targets.tolist() == [clip.label for clip in clips]
    for (clip_id, waveform), clip, x in zip(clip_arrays(records, [1]), clips, inputs, strict=True):
        assert clip_id == clip.clip_id
        assert waveform.shape == (clip.samples, 1)
        # Section IV of the paper in NumPy: mean 0, deviation 1, then zeros to the full length.
        wave = waveform.astype(np.float64)
        wave = (wave - wave.mean()) / wave.std()
        expected = np.zeros((SAMPLES, 1))
        expected[: min(len(wave), SAMPLES)] = wave[:SAMPLES]
        np.testing.assert_allclose(x, expected, atol=2e-4)


def test_an_epoch_holds_each_clip_once_and_the_last_batch_is_smaller(records, clip_steps):
    count = len(records.clips([2, 3]))
    epoch = batches(records, clip_steps, 0, seed=1)
    sizes = [len(x) for x, _ in epoch]
    assert len(sizes) == -(-count // 16)
    assert sum(sizes) == count
    assert set(sizes[:-1]) == {16}
    labels = sorted(np.concatenate([y for _, y in epoch]).argmax(axis=1).tolist())
    assert labels == sorted(clip.label for clip in records.clips([2, 3]))


def test_order_depends_on_seed_and_epoch_alone(records, clip_steps):
    data = TrainingBatches(records, [2, 3], clip_steps, batch_size=16, seed=1)
    first, second = ([(x.numpy(), y.numpy()) for x, y in data.epoch(e)] for e in (0, 1))
    assert same(first, batches(records, clip_steps, 0, seed=1))
    assert not same(first, second)
    assert not same(first, batches(records, clip_steps, 0, seed=2))
    # A training that goes on in the second epoch, or inside the first, sees the same.
    assert same(second, batches(records, clip_steps, 1, seed=1))
    assert same(first[3:], batches(records, clip_steps, 0, 3, seed=1))
    assert batches(records, clip_steps, 0, data.steps, seed=1) == []


def test_unknown_records_and_folds_are_named(records, toy_data):
    with pytest.raises(ValueError, match="one of 1, 2, 3, 4, 5.*fold=6"):
        records.dataset([6])
    with pytest.raises(ValueError, match="prepare toy_sounds --sample-rate 16000.*8000 Hz"):
        open_records("toy_sounds", sample_rate=16000, data_dir=toy_data)
    with pytest.raises(ValueError, match="keras-audio prepare esc50"):
        open_records("esc50", sample_rate=8000, data_dir=toy_data)
