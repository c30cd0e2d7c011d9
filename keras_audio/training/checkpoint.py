"""All that a training has to remember, in one file that is replaced whole."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_audio.files import replacing

# What the steering callbacks of Keras remember from epoch to epoch; Keras itself does not save it.
CALLBACK_STATE: dict[type, tuple[str, ...]] = {
    keras.callbacks.ReduceLROnPlateau: ("best", "wait", "cooldown_counter"),
    keras.callbacks.EarlyStopping: ("best", "wait", "best_epoch", "stopped_epoch"),
}


def save_checkpoint(
    path: str | os.PathLike, variables: Mapping[str, Sequence], position: Mapping[str, Any]
) -> None:
    """Write the values of `variables`, by group, and the JSON-able `position`."""
    arrays = {
        f"{group}/{index}": np.asarray(variable.numpy())
        for group, members in variables.items()
        for index, variable in enumerate(members)
    }
    with replacing(path) as temporary:
        np.savez(temporary, position=np.array(json.dumps(position)), **arrays)


def read_position(path: str | os.PathLike) -> dict[str, Any]:
    """The stored position alone.

    Raises:
        ValueError: If the file cannot be read.
    """
    return json.loads(str(_read(path, ["position"])["position"]))


def load_checkpoint(path: str | os.PathLike, variables: Mapping[str, Sequence]) -> dict[str, Any]:
    """Assign the stored values to `variables` and return the stored position.

    Raises:
        ValueError: If the file cannot be read, or holds other variables than these.
    """
    arrays = _read(path)
    position = json.loads(str(arrays.pop("position")))
    expected = {
        f"{group}/{index}": variable
        for group, members in variables.items()
        for index, variable in enumerate(members)
    }
    if arrays.keys() != expected.keys():
        raise ValueError(
            f"Expected a checkpoint of {len(expected)} arrays. "
            f"Received: path={path} with {len(arrays)}"
        )
    for name, variable in expected.items():
        if arrays[name].shape != tuple(variable.shape):
            raise ValueError(
                f"Expected {name} of shape {tuple(variable.shape)} in the checkpoint. "
                f"Received: path={path} with shape {arrays[name].shape}"
            )
    for name, variable in expected.items():
        variable.assign(arrays[name])
    return position


def _read(path: str | os.PathLike, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names or file.files}
    except Exception as error:  # NumPy and zipfile raise a dozen kinds for a damaged file
        raise ValueError(f"Expected a checkpoint. Received: path={path} ({error})") from error


def callback_state(callbacks: Sequence) -> list[dict[str, Any]]:
    """What each callback remembers, as JSON can hold it.

    Raises:
        ValueError: If it is not known what a callback remembers.
    """
    states = []
    for callback in callbacks:
        if type(callback) not in CALLBACK_STATE:
            raise ValueError(
                f"Expected callbacks that can be resumed: "
                f"{', '.join(kind.__name__ for kind in CALLBACK_STATE)}. "
                f"Received: {type(callback).__name__}"
            )
        state = {name: getattr(callback, name) for name in CALLBACK_STATE[type(callback)]}
        states.append({name: _plain(value) for name, value in state.items()})
    return states


def restore_callback_state(callbacks: Sequence, states: Sequence[Mapping[str, Any]]) -> None:
    """Give the callbacks back what `callback_state` read."""
    for callback, state in zip(callbacks, states, strict=True):
        for name, value in state.items():
            setattr(callback, name, value)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float) else float(value)
