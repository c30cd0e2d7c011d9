"""An original network here against the outputs that were recorded of it."""

import dataclasses
import difflib
import os
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from keras_audio.evaluation.recording import Recording
from keras_audio.importers import Original, load_original, read_original
from keras_audio.models import create_model, model_info

# What is below this share of an output's largest magnitude is compared with that share of it.
RELATIVE_FLOOR = 1e-3
_INPUT, _ANSWER, _PREDICTIONS = "x", "y", "predictions"


@dataclasses.dataclass(frozen=True)
class OutputParity:
    """How far an output is from its recording.

    Attributes:
        output: The layer here.
        array: The name of the recorded array.
        shape: Of both.
        absolute: The largest absolute difference; not a number where an answer is none.
        relative: The largest of `|ours - recorded| / max(|recorded|, floor)`, where the floor is
            `RELATIVE_FLOOR` times the largest magnitude recorded of this output.
        at: Where the largest absolute difference is, an index an axis.
    """

    output: str
    array: str
    shape: tuple[int, ...]
    absolute: float
    relative: float
    at: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Parity:
    """What a comparison found.

    Attributes:
        model: The name of the network.
        rows: An output each.
        not_compared: Names of recorded arrays that are no output of this network.
    """

    model: str
    rows: tuple[OutputParity, ...]
    not_compared: tuple[str, ...]


def measure_parity(
    file: str | os.PathLike,
    model: str,
    recording: str | os.PathLike,
    *,
    layers: Mapping[str, str] | None = None,
    arrays_only: bool = False,
    batch_size: int = 8,
) -> Parity:
    """Compare an original checkpoint with recorded inputs and outputs of the original network.

    The bare network is built: no clip steps, and no front end if the input has four axes.

    Args:
        file: The checkpoint, as of `keras_audio.importers.read_original`.
        model: The name of the network in it.
        recording: An `.npz` file: `x` is the input, `y` what `predictions` is compared with; any
            other array belongs to the layer of its name, or of its name without the end that it
            shares with `model` (`logits_a` of `binaural_a`).
        layers: Further layers here, and the array that each is compared with. One that is named
            here is not compared with anything else, and `y` only with it.
        arrays_only: As of `read_original`.
        batch_size: Clips answered at once.

    Raises:
        ValueError: If either file is damaged, hostile or does not fit, there is nothing to compare,
            or a layer or an array is unknown (the message gives near names).

    Example:
        >>> measure_parity("m3.h5", "m3", "io.npz")
        Traceback (most recent call last):
        ValueError: Expected a Keras 2 HDF5 file that fits. Received: path=m3.h5 (no such file)
    """
    original = read_original(file, model, arrays_only=arrays_only)
    with Recording(recording) as recorded:
        network = _bare_network(original, recorded)
        load_original(network, original)
        pairs = _pairs(network, original.model, recorded, dict(layers or {}))
        outputs = [network.get_layer(layer).output for layer in pairs]
        network = keras.Model(network.input, outputs)
        x = recorded.read(_INPUT, "float32")
        found = [
            _Largest(layer, array, recorded.read(array, "float64"))
            for layer, array in pairs.items()
        ]
        for first in range(0, len(x), batch_size):
            answers = keras.tree.flatten(network(x[first : first + batch_size], training=False))
            for largest, answer in zip(found, answers, strict=True):
                largest.add(first, keras.ops.convert_to_numpy(answer), recorded)
    compared = {_INPUT, *pairs.values()}
    left = tuple(name for name in recorded.shapes if name not in compared)
    return Parity(original.model, tuple(largest.row() for largest in found), left)


class _Largest:
    """The largest differences of an output so far."""

    def __init__(self, layer: str, array: str, expected: np.ndarray) -> None:
        self.layer, self.array = layer, array
        self.expected = expected
        largest = np.abs(self.expected).max(initial=0)
        self.floor = max(RELATIVE_FLOOR * largest, np.finfo("float32").tiny)
        self.absolute, self.relative = -1.0, 0.0
        self.at: tuple[int, ...] = ()

    def add(self, first: int, answer: np.ndarray, recorded: Recording) -> None:
        """Compare the answers to the clips from `first` on."""
        wanted = (recorded.shapes[_INPUT][0], *answer.shape[1:])
        if self.expected.shape != wanted:
            raise ValueError(
                f"Expected a recording of {self.layer} of shape {wanted}. "
                f"Received: {self.array} of shape {self.expected.shape} in {recorded.path}"
            )
        expected = self.expected[first : first + len(answer)]
        difference = np.abs(answer - expected)
        # The first that is not a number is the largest.
        place = np.unravel_index(np.argmax(difference), difference.shape)
        if not difference[place] <= self.absolute and not np.isnan(self.absolute):
            self.absolute = float(difference[place])
            self.at = (first + int(place[0]), *map(int, place[1:]))
        relative = (difference / np.maximum(np.abs(expected), self.floor)).max()
        self.relative = float(np.maximum(self.relative, relative))

    def row(self) -> OutputParity:
        """What was found."""
        shape = self.expected.shape
        return OutputParity(self.layer, self.array, shape, self.absolute, self.relative, self.at)


def _bare_network(original: Original, recorded: Recording) -> keras.Model:
    """Build the network that takes the recorded input: features of four axes, or waveforms."""
    shape, arguments = recorded.shapes.get(_INPUT), dict(original.arguments)
    expected = [(None, None, original.channels)]
    info = model_info(original.model)
    if (bare := info.feature_shape) is not None:
        # ImageNet's networks see one channel three times, or three.
        seen = dict.fromkeys([original.input_channels] + original.is_resnet * [original.channels])
        expected += [(None, bare[0], None, channels) for channels in seen]
    short = shape is not None and len(shape) == 3 and shape[1] < info.min_samples
    if short or not any(_fits(shape, wanted) for wanted in expected):
        listed = " or ".join(map(_text, expected))
        raise ValueError(
            f"Expected the input {_INPUT} of {original.model}, {listed}, of {info.min_samples} "
            "samples at least. "
            f"Received: {_INPUT} of shape {shape} in {recorded.path}"
        )
    kind = "features" if len(shape) == 4 else "waveform"
    if kind == "features" and original.is_resnet:
        arguments["channels"] = shape[-1]
    if kind == "waveform" and "sample_rate" in info.arguments:
        arguments["sample_rate"] = original.sample_rate
    return create_model(original.model, original.classes, input=kind, **arguments)


def _fits(shape: tuple[int, ...] | None, wanted: tuple[int | None, ...]) -> bool:
    if shape is None or len(shape) != len(wanted) or not all(shape):
        return False
    return all(size in (own, None) for own, size in zip(shape, wanted, strict=True))


def _text(wanted: tuple[int | None, ...]) -> str:
    names = ("clips", "samples") if len(wanted) == 3 else ("clips", "mels", "frames")
    sizes = [str(size) if size else name for name, size in zip(names, wanted, strict=False)]
    return f"({', '.join([*sizes, str(wanted[-1])])})"


def _pairs(
    network: keras.Model, model: str, recorded: Recording, asked: dict[str, str]
) -> dict[str, str]:
    """Which layer is compared with which array."""
    layers = [layer.name for layer in network.layers[1:]]
    arrays = [name for name in recorded.shapes if name != _INPUT]
    for layer, array in asked.items():
        if layer not in layers:
            raise ValueError(
                f"Expected a layer of {model}{_near(layer, layers)}. Received: layer {layer!r}"
            )
        if array not in arrays:
            raise ValueError(
                f"Expected an array of {recorded.path}{_near(array, arrays)}. Received: {array!r}"
            )
    pairs = dict(asked)
    for array in arrays:
        layer = _PREDICTIONS if array == _ANSWER else array
        if layer not in layers:
            start, _, end = layer.rpartition("_")
            layer = start if end and model.endswith(f"_{end}") else layer
        if layer in layers and array not in asked.values():
            pairs.setdefault(layer, array)
    if not pairs:
        raise ValueError(
            f"Expected arrays of the names of layers of {model}, or y. "
            f"Received: {', '.join(recorded.shapes)} in {recorded.path}"
        )
    return pairs


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.5) or known[:5]
    return f", such as {', '.join(near)}" if near else ""
