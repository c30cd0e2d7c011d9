"""Batches that the workers of a tf.data service make are those that this process would make."""

import socket

import keras
import pytest
import tensorflow as tf

from keras_audio.data import TrainingBatches, open_records
from keras_audio.layers import PadOrCrop


@pytest.fixture(scope="module")
def records(toy_data):
    return open_records("toy_sounds", sample_rate=8000, data_dir=toy_data)


@pytest.fixture(scope="module")
def clip_steps():
    waveform = keras.Input((None, 1))
    return keras.Model(waveform, PadOrCrop(2000)(waveform))


@pytest.fixture(scope="module")
def service():
    """A dispatcher and two workers in this process."""
    dispatcher = tf.data.experimental.service.DispatchServer()
    address = dispatcher.target.partition("://")[2]
    config = tf.data.experimental.service.WorkerConfig
    workers = [
        tf.data.experimental.service.WorkerServer(config(dispatcher_address=address))
        for _ in range(2)
    ]
    yield dispatcher.target
    del workers, dispatcher


def batches(records, clip_steps, first=0, count=None, **options):
    data = TrainingBatches(records, [2, 3], clip_steps, seed=1, **{"batch_size": 8} | options)
    count = data.steps_per_pass - first if count is None else count
    return [(x.numpy(), y.numpy()) for x, y in data.steps(first, count)]


def contents(found):
    """The batches, in whatever order."""
    return sorted((x.tobytes(), y.tobytes()) for x, y in found)


@pytest.mark.parametrize(
    "options",
    [{}, {"whole_batches": True, "crop_samples": 1500}, {"balanced": True, "workers": (1, 2)}],
)
def test_a_service_makes_the_same_batches(records, clip_steps, service, options):
    near = batches(records, clip_steps, 2, 15, **options)
    far = batches(records, clip_steps, 2, 15, service=service, **options)
    assert len(near) == 15 and contents(far) == contents(near)


def test_nothing_of_the_clips_stays_here(records, clip_steps, service):
    data = TrainingBatches(
        records, [2, 3], clip_steps, batch_size=8, seed=1, service=service, keep_inputs=True
    )
    assert not data.in_memory and data._inputs is None
    here = TrainingBatches(records, [2, 3], clip_steps, batch_size=8, seed=1)
    assert data.element_spec == here.element_spec
    # The protocol goes without saying.
    address = service.partition("://")[2]
    assert len(batches(records, clip_steps, 0, 2, service=address)) == 2


def test_addresses_where_nobody_answers_are_named(records, clip_steps):
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ValueError, match=f"service to answer.*service='grpc://localhost:{port}'"):
        batches(records, clip_steps, service=f"grpc://localhost:{port}")
    for address in ("", "localhost", "http://localhost:80", "localhost:", "localhost:http"):
        with pytest.raises(ValueError, match="grpc://host:port. Received: service="):
            batches(records, clip_steps, service=address)


def test_clip_steps_with_variables_cannot_be_sent(records, service):
    waveform = keras.Input((None, 1))
    scaled = keras.layers.Normalization(mean=[0.0], variance=[1.0])(waveform)
    weighted = keras.Model(waveform, keras.layers.Dense(1, name="mix")(scaled))
    with pytest.raises(ValueError, match="without variables.*mix/kernel"):
        batches(records, weighted, service=service)
