"""A checkpoint gives back what it took, or refuses."""

import keras
import numpy as np
import pytest

from keras_audio.training.checkpoint import (
    callback_state,
    load_checkpoint,
    restore_callback_state,
    save_checkpoint,
)


def variables(values):
    return {"network": [keras.Variable(np.array(value, np.float32)) for value in values]}


def test_round_trip(tmp_path):
    path = tmp_path / "last.npz"
    save_checkpoint(path, variables([[1, 2], 3]), {"epoch": 4, "best": float("-inf")})
    other = variables([[0, 0], 0])
    assert load_checkpoint(path, other) == {"epoch": 4, "best": float("-inf")}
    assert other["network"][0].numpy().tolist() == [1, 2]
    assert float(other["network"][1].numpy()) == 3
    assert [file.name for file in tmp_path.iterdir()] == ["last.npz"]


def test_a_truncated_file_is_refused_and_nothing_assigned(tmp_path):
    path = tmp_path / "last.npz"
    save_checkpoint(path, variables([[1, 2], 3]), {})
    path.write_bytes(path.read_bytes()[:-40])
    other = variables([[0, 0], 0])
    with pytest.raises(ValueError, match="last.npz"):
        load_checkpoint(path, other)
    assert other["network"][0].numpy().tolist() == [0, 0]


@pytest.mark.parametrize("values", [[[1, 2]], [[1, 2, 3], 4]])
def test_other_variables_are_refused(tmp_path, values):
    path = tmp_path / "last.npz"
    save_checkpoint(path, variables([[1, 2], 3]), {})
    other = variables(values)
    with pytest.raises(ValueError, match="checkpoint"):
        load_checkpoint(path, other)
    assert other["network"][0].numpy().tolist() == values[0]


def steer(callback, scores, first_epoch=0):
    for epoch, score in enumerate(scores, start=first_epoch):
        callback.on_epoch_end(epoch, {"val_accuracy": score})
    return float(callback.model.optimizer.learning_rate.numpy())


def plateau():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.Adam(1.0))
    callback = keras.callbacks.ReduceLROnPlateau("val_accuracy", 0.2, 3, mode="max", min_delta=0.0)
    callback.set_model(model)
    callback.on_train_begin()
    return callback


def test_plateau_counts_on_where_it_was():
    # Two epochs without progress before the kill, one after it: the third brings the rate down.
    unbroken = plateau()
    assert steer(unbroken, [0.5, 0.4, 0.4, 0.4]) == pytest.approx(0.2)
    before, after, forgetful = plateau(), plateau(), plateau()
    steer(before, [0.5, 0.4, 0.4])
    restore_callback_state([after], callback_state([before]))
    assert steer(after, [0.4], first_epoch=3) == pytest.approx(0.2)
    assert callback_state([after]) == callback_state([unbroken])
    assert steer(forgetful, [0.4], first_epoch=3) == pytest.approx(1.0)


def test_callbacks_that_cannot_be_resumed_are_refused():
    with pytest.raises(ValueError, match="LambdaCallback"):
        callback_state([keras.callbacks.LambdaCallback()])
