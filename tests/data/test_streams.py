"""Clips read from their files: each once a pass, whoever reads them and wherever reading begins."""

import itertools
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from sharded_records import reshard

from keras_audio.data import EvaluationBatches, TrainingBatches, clip_arrays
from keras_audio.data.streams import AnyRecord, Lanes
from keras_audio.layers import PadOrCrop

SIZES = {2: (0.5, 0.05, 0.2, 0.25), 3: (0.1, 0.2, 0.3, 0.2, 0.2)}


@pytest.fixture(scope="module")
def records(toy_data, tmp_path_factory):
    """The toy sounds, folds 2 and 3 in nine files of different lengths."""
    (metadata,) = (toy_data / "toy_sounds").glob("8000hz_1ch/*/metadata.json")
    copy = tmp_path_factory.mktemp("sharded") / "toy_sounds" / "8000hz_1ch" / "1.0.0"
    return reshard(metadata.parent, copy, SIZES)


@pytest.fixture(scope="module")
def clip_steps():
    waveform = keras.Input((None, 1))
    return keras.Model(waveform, PadOrCrop(3000)(waveform))


@pytest.fixture(scope="module")
def as_they_are():
    waveform = keras.Input((None, 1))
    return keras.Model(waveform, keras.layers.Identity()(waveform))


def batches(records, clip_steps, first=0, count=None, **options):
    options = {"batch_size": 8, "seed": 1, "memory": 100_000} | options
    data = TrainingBatches(records, [2, 3], clip_steps, **options)
    count = data.steps_per_pass - first if count is None else count
    return [(x.numpy(), y.numpy()) for x, y in data.steps(first, count)]


def same(first, second):
    return all(
        np.array_equal(a, b)
        for pair in zip(first, second, strict=True)
        for a, b in zip(*pair, strict=True)
    )


def contents(found):
    """What is in the batches, whatever the order."""
    return sorted(
        (y.tobytes(), x.tobytes()) for xs, ys in found for x, y in zip(xs, ys, strict=True)
    )


@pytest.fixture
def lanes(records):
    """Lanes of the nine files, for batches of a size, with buffers of so many bytes."""

    def make(batch_size, buffer_bytes=100_000, seed=1):
        return Lanes(records.shards([2, 3]), batch_size, seed, buffer_bytes)

    return make


def read(lanes, *arguments):
    """Index and place of each clip, and its record."""
    clips = list(lanes.batches(*arguments).as_numpy_iterator())
    return [int(i) for i, _, _ in clips], [int(p) for _, p, _ in clips], [r for _, _, r in clips]


def test_the_files_are_those_that_were_asked_for(records):
    count = len(records.clips([2]))
    shards = records.shards([2, 3])
    assert [len(records.shards([fold])) for fold in (1, 2, 3)] == [1, 4, 5]
    assert sum(shard.clips for shard in shards[:4]) == count
    assert shards[0].clips == max(shard.clips for shard in shards)


@pytest.mark.parametrize(("batch_size", "count"), [(8, 8), (12, 4), (7, 1), (64, 8)])
def test_lanes_are_a_power_of_two_that_divides_the_batch(lanes, batch_size, count):
    assert lanes(batch_size).count == count  # 64 has larger divisors, but there are nine files


@pytest.mark.parametrize(
    ("batch_size", "buffer_bytes"), [(8, 300_000), (8, 2**28), (12, 2**28), (7, 0), (7, 2**28)]
)
def test_a_pass_has_each_clip_once_in_an_order_of_its_own(records, lanes, batch_size, buffer_bytes):
    total = len(records.clips([2, 3]))
    stored = list(
        tf.data.TFRecordDataset([s.path for s in records.shards([2, 3])]).as_numpy_iterator()
    )
    steps = -(-total // batch_size)
    orders = []
    for number, seed in ((0, 1), (1, 1), (0, 2)):
        made = lanes(batch_size, buffer_bytes, seed)
        indices, places, found = read(made, number, 0, steps)
        assert sorted(indices) == places == list(range(total))
        assert found == [stored[index] for index in indices]
        assert read(made, number, 0, steps)[0] == indices
        orders.append(indices)
    assert orders[0] != orders[1] != orders[2] != orders[0]
    if buffer_bytes > 2**20:
        # Neighbours of one pass are not those of the next.
        pairs = [set(itertools.pairwise(order)) for order in orders]
        assert len(pairs[0] & pairs[1]) < total / 10


def test_each_batch_has_clips_of_all_lanes(records, lanes):
    made = lanes(8)
    total = len(records.clips([2, 3]))
    indices, _, _ = read(made, 0, 0, total // 8)
    own = [
        {clip for _, _, count, first in made._pieces[lane] for clip in range(first, first + count)}
        for lane in range(made.count)
    ]
    assert sum(map(len, own)) == len(set.union(*own)) == total
    assert max(map(len, own)) - min(map(len, own)) <= 1
    for batch in np.reshape(indices, (-1, 8)):
        assert [len(lane & set(batch.tolist())) for lane in own] == [1] * 8


@pytest.mark.parametrize(
    ("batch_size", "buffer_bytes"), [(8, 150_000), (8, 600_000), (7, 0), (7, 150_000)]
)
def test_reading_may_begin_at_any_batch(records, lanes, batch_size, buffer_bytes):
    made = lanes(batch_size, buffer_bytes)
    steps = -(-len(records.clips([2, 3])) // batch_size)
    whole = read(made, 3, 0, steps)
    for first in range(0, steps, 3):
        part = read(made, 3, first, 2)
        assert part == tuple(
            column[first * batch_size : (first + 2) * batch_size] for column in whole
        )


def test_files_that_were_read_are_not_read_again(records, lanes):
    made = lanes(7, 0)  # one lane, two files or more at a time
    made._open = 2
    steps = len(records.clips([2, 3])) // 7
    expected = read(made, 0, steps - 1, 1)
    needed = 0
    for shard in records.shards([2, 3]):
        os.rename(shard.path, f"{shard.path}.away")
        try:
            assert read(made, 0, steps - 1, 1) == expected
        except tf.errors.NotFoundError:
            needed += 1
        finally:
            os.rename(f"{shard.path}.away", shard.path)
    assert 1 <= needed <= 4  # of nine


@pytest.mark.parametrize("workers", [2, 8])
def test_several_workers_read_their_lanes_of_the_same_batches(records, lanes, workers):
    made = lanes(8)
    alone = read(made, 0, 2, 5)
    parts = [read(made, 0, 2, 5, worker, workers) for worker in range(workers)]
    for column, joint in enumerate(alone):
        joined = [
            clip
            for step in range(5)
            for part in parts
            for clip in part[column][step * 8 // workers : (step + 1) * 8 // workers]
        ]
        assert joined == joint
    # Each file is one worker's, but for those that a bound runs through.
    files = [
        {int(piece[0]) for lane in range(made.count)[w * 8 // workers : (w + 1) * 8 // workers]
         for piece in made._pieces[lane]}
        for w in range(workers)
    ]  # fmt: skip
    assert sum(map(len, files)) <= 9 + workers - 1


def test_training_batches_of_a_set_that_does_not_fit_are_the_same_clips(records, clip_steps):
    near = batches(records, clip_steps, memory=None)
    far = batches(records, clip_steps)
    assert [len(x) for x, _ in far] == [len(x) for x, _ in near]
    assert contents(far) == contents(near)
    assert not same(far, near)
    data = TrainingBatches(records, [2, 3], clip_steps, batch_size=8, seed=1, memory=100_000)
    assert not data.in_memory and data.chunk(3) == data.steps_per_pass - 3
    assert data.element_spec == data.steps(0, 3).element_spec


@pytest.mark.parametrize("crops", [{}, {"crop_samples": 1000}])
def test_a_streamed_training_goes_on_at_any_step(records, clip_steps, crops):
    size = -(-len(records.clips([2, 3])) // 8)
    whole = batches(records, clip_steps, 0, 2 * size, **crops)
    assert not same(whole[:size], whole[size:])
    for first in (1, size - 2, size, size + 5):
        assert same(whole[first:], batches(records, clip_steps, first, 2 * size - first, **crops))
    assert batches(records, clip_steps, 3, 0, **crops) == []


@pytest.mark.parametrize("options", [{}, {"balanced": True}, {"crop_samples": 1000}])
def test_the_streams_of_several_workers_are_the_batches_of_one(records, clip_steps, options):
    alone = batches(records, clip_steps, 2, 9, whole_batches=True, **options)
    parts = [batches(records, clip_steps, 2, 9, workers=(i, 4), **options) for i in range(4)]
    joined = [
        tuple(np.concatenate([part[step][side] for part in parts]) for side in (0, 1))
        for step in range(9)
    ]
    assert same(joined, alone)


def test_workers_that_cannot_share_the_lanes_are_told(records, clip_steps):
    with pytest.raises(ValueError, match="divides 4, the lanes.*batches of 12.*from 9 files.*3 wo"):
        batches(records, clip_steps, batch_size=12, workers=(0, 3))
    assert batches(records, clip_steps, 0, 1, batch_size=12, workers=(0, 3), balanced=True)


def test_balanced_samples_are_the_same_from_memory_and_from_files(records, clip_steps):
    options = {"balanced": True, "crop_samples": 2000}
    near = batches(records, clip_steps, 1, 20, memory=None, **options)
    assert same(near, batches(records, clip_steps, 1, 20, **options))
    whole = options | {"whole_batches": True}
    near = batches(records, clip_steps, 1, 20, memory=None, **whole)
    assert same(near, batches(records, clip_steps, 1, 20, **whole))


@pytest.mark.parametrize("steps", ["one shape", "own lengths"])
def test_evaluation_is_the_same_from_memory_and_from_files(records, clip_steps, as_they_are, steps):
    model = clip_steps if steps == "one shape" else as_they_are
    found = {}
    for memory in (None, 0):
        data = EvaluationBatches(
            records, [3], model, batch_size=5, max_samples=3500, workers=(1, 2), memory=memory
        )
        found[memory] = [(x.numpy(), y.numpy()) for x, y in data.dataset]
        assert len(found[memory]) == data.steps
    assert same(found[None], found[0])


def test_any_record_is_read_from_its_place(records):
    offsets = records.offsets([3])
    place = AnyRecord(records.shards([3]), offsets)
    clips = [audio for _, audio in clip_arrays(records, [3])]
    rows = np.array([[len(clips) - 1, 9], [0, 8], [5, 7], [5, 6]] * 10)
    found = list(place.read(rows).as_numpy_iterator())
    assert np.array_equal([row for row, _ in found], rows)
    for (index, _), record in found:
        samples = records.parse(tf.constant(record)).numpy()
        assert np.array_equal(samples.astype(np.float32) / 32768, clips[index].ravel())


def test_what_workers_read_is_not_shared_out_once_more(records, clip_steps):
    data = TrainingBatches(records, [2, 3], clip_steps, batch_size=8, seed=1, memory=100_000)
    options = data.steps(0, 3).options()
    off = tf.data.experimental.AutoShardPolicy.OFF
    assert options.experimental_distribute.auto_shard_policy == off
    assert options.autotune.ram_budget == 2**28
