"""Half precision: weights and inputs rounded to 16 bits, and stored so (Pajusco 2020, 4.2)."""

import os
import pathlib
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from typing import IO

import keras
import numpy as np
from keras import ops

from keras_audio.compress.kernels import flat_layers
from keras_audio.files import replacing

LARGEST = 65504  # of float16


@keras.saving.register_keras_serializable("keras_audio")
class RoundToHalf(keras.layers.Layer):
    """Round values to the nearest that half precision has, and go on in float32.

    Input shape:
        Any.

    Output shape:
        The same, float32 under every dtype policy. What lies beyond 65504 becomes infinite.

    Example:
        >>> import numpy as np
        >>> RoundToHalf()(np.array([[0.1, 2049.0]], "float32")).numpy()
        array([[9.9975586e-02, 2.0480000e+03]], dtype=float32)
    """

    def __init__(self, name="round_to_half", **kwargs):
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)

    def call(self, inputs):
        """Round the input."""
        return ops.cast(ops.cast(inputs, "float16"), "float32")

    def compute_output_shape(self, input_shape):
        """Give the shape of the input."""
        return input_shape


def half_precision(model: keras.Model, *, inputs: bool = True) -> keras.Model:
    """Copy a network with every weight rounded to half precision, and its input too.

    Pajusco et al. 2020, section 4.2: "We quantize all inputs and parameters to floating point half
    precision". Kernels, biases, scales, offsets and running statistics are rounded to the nearest
    float16 and kept in float32 variables, so that the copy runs everywhere and answers as one that
    was stored by `save_half` and loaded again. Products and sums are computed in the precision of
    the layers' dtype policies, which the copy keeps: single for `"float32"`, as on any CPU that
    reads 16-bit weights, half for `"mixed_float16"`.

    Weights below 6.1e-5 are rounded to multiples of 6e-8, those below 3e-8 to zero. For a kernel
    that is harmless; for a running variance it is as long as the epsilon of the batch normalisation
    is large beside 3e-8 (1e-5 and 1e-3 are).

    Args:
        model: Functional or `Sequential`, built, of layers. It is not changed.
        inputs: Round the inputs as well, by a layer `round_to_half` behind each input of
            floating-point numbers.

    Returns:
        A functional model of the same name, with layers of the same names, not compiled. Zeros are
        still zeros; `hold_zeros` holds them, if it is to be trained.

    Raises:
        ValueError: If a weight is not finite or beyond 65504, or the model holds another model.

    Example:
        >>> import keras_audio
        >>> half = half_precision(keras_audio.create_model("m3", 10))
        >>> half.name, half.layers[1].name, half.get_layer("embedding").output.shape
        ('m3', 'round_to_half', (None, 256))
    """
    values = {
        layer.name: [_half(weight).astype(weight.dtype) for weight in layer.weights]
        for layer in flat_layers(model)
    }
    # Of a model without an optimizer, which would be copied too.
    bare = _bare(model)
    new = keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name), bare.input
    )
    # A model that is such a copy itself rounds its inputs already.
    rounds = inputs and not any(isinstance(layer, RoundToHalf) for layer in model.layers)
    floats = [x for x in keras.tree.flatten(new) if rounds and "float" in x.dtype]
    rounded = {
        id(x): RoundToHalf(name=f"round_to_half_{index}" if index else "round_to_half")(x)
        for index, x in enumerate(floats)
    }

    def call(layer, *args, **kwargs):
        args, kwargs = keras.tree.map_structure(lambda x: rounded.get(id(x), x), (args, kwargs))
        return layer(*args, **kwargs)

    copy = keras.models.clone_model(bare, new, call_function=call)
    for layer in copy.layers:
        for weight, value in zip(layer.weights, values.get(layer.name, []), strict=True):
            weight.assign(value)
    return copy


def save_half(model: keras.Model, path: str | os.PathLike) -> None:
    """Store the weights of a model as float16 in a compressed `.npz` file.

    The file holds one array a weight, by its path (`conv1/kernel`), and nothing that could be
    executed: the network itself is to be built again by its name. It is written beside and renamed.

    Args:
        model: Built, of layers.
        path: The file to write, which ends in `.npz`.

    Raises:
        ValueError: If a weight is not finite or beyond 65504, two weights have the same path, the
            model holds another model, or the file's name ends otherwise.

    Example:
        >>> import keras_audio, tempfile
        >>> model = keras_audio.create_model("m3", 10)
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "m3.npz"
        >>> save_half(model, path)
        >>> load_half(keras_audio.create_model("m3", 10), path)
    """
    if pathlib.Path(path).suffix != ".npz":
        raise ValueError(f"Expected a path that ends in .npz. Received: path={path}")
    arrays = {name: _half(weight) for name, weight in _by_path(model).items()}
    with replacing(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def load_half(model: keras.Model, path: str | os.PathLike) -> None:
    """Load what `save_half` stored into a model of the same architecture.

    Every array is checked before the first is assigned, so a file that is refused leaves the model
    as it was. The weights are float16 numbers in the model's own variables; the inputs are not
    rounded (see `half_precision`).

    Args:
        model: Built, with the layers' names and shapes of the one that was stored.
        path: The file.

    Raises:
        ValueError: If the file is missing, damaged or none of `save_half`, or does not fit; the
            message names what differs.

    Example:
        >>> import keras_audio
        >>> load_half(keras_audio.create_model("m3", 10), "m3.npz")
        Traceback (most recent call last):
        ValueError: Expected a half-precision file that fits. Received: path=m3.npz (no such file)
    """
    weights = _by_path(model)
    if not os.path.isfile(path):
        raise _refused(path, "not a file" if os.path.exists(path) else "no such file")
    try:
        with zipfile.ZipFile(path) as file:
            stored = {name.removesuffix(".npy"): name for name in file.namelist()}
            for name in sorted(weights.keys() ^ stored.keys()):
                where = "is missing" if name in weights else "has no counterpart in the model"
                raise _refused(path, f"{name} {where}")
            values = {
                name: _stored(file, stored[name], name, weight, path)
                for name, weight in weights.items()
            }
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise _refused(path, f"damaged: {error}") from error
    for name, value in values.items():
        weights[name].assign(value)


def stored_bytes(model: keras.Model) -> dict[str, int]:
    """Measure what a network takes on disk.

    Args:
        model: Built, of layers.

    Returns:
        Bytes of the float16 file of `save_half` (`"npz"`) and of the whole model without an
        optimizer as Keras saves it, in the precision of its variables (`"keras"`).

    Raises:
        ValueError: As `save_half`.

    Example:
        >>> import keras_audio
        >>> sizes = stored_bytes(keras_audio.create_model("m3", 10))
        >>> 2 * 222218 > sizes["npz"] > 222218, sizes["keras"] > 4 * 222218
        (True, True)
    """
    with tempfile.TemporaryDirectory() as folder:
        files = {kind: pathlib.Path(folder) / f"model.{kind}" for kind in ("npz", "keras")}
        save_half(model, files["npz"])
        _bare(model).save(files["keras"])
        return {kind: file.stat().st_size for kind, file in files.items()}


def _bare(model: keras.Model) -> keras.Model:
    """Give a functional model of the same layers, which has no optimizer."""
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    return keras.Model(model.input, model.output, name=model.name)


def _by_path(model: keras.Model) -> dict[str, keras.Variable]:
    weights = {}
    for layer in flat_layers(model):
        for weight in layer.weights:
            if weights.setdefault(weight.path, weight) is not weight:
                raise ValueError(
                    f"Expected weights with paths of their own. Received: two of {weight.path!r}"
                )
    return weights


def _half(weight: keras.Variable) -> np.ndarray:
    """Round a weight to float16; whole numbers stay as they are."""
    values = ops.convert_to_numpy(weight)
    if "float" not in str(weight.dtype):
        return values
    with np.errstate(over="ignore"):
        half = values.astype("float16")
    if not np.isfinite(half).all():
        raise ValueError(
            f"Expected finite weights up to {LARGEST}, the largest number of half precision. "
            f"Received: {weight.path!r}, which holds {values[~np.isfinite(half)][0]:g}"
        )
    return half


def _stored(
    file: zipfile.ZipFile, entry: str, name: str, weight: keras.Variable, path
) -> np.ndarray:
    """Read one array, if it is what the weight needs."""

    def read(reader: Callable):
        try:
            with file.open(entry) as array:
                return reader(array)
        except ValueError as error:
            raise _refused(path, f"{name} is damaged: {error}") from error

    # The header first: a file may claim any size, and reading would allocate it.
    shape, dtype = read(_header)
    wanted = np.dtype("float16" if "float" in str(weight.dtype) else weight.dtype)
    if (shape, dtype) != (tuple(weight.shape), wanted):
        expected = f"expected {wanted} of shape {tuple(weight.shape)}"
        raise _refused(path, f"{name} is {dtype} of shape {shape}, {expected}")
    values = read(lambda array: np.lib.format.read_array(array, allow_pickle=False))
    if not np.isfinite(values).all():
        raise _refused(path, f"{name} holds values that are not finite")
    return values


def _header(array: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    np.lib.format.read_magic(array)
    shape, _, dtype = np.lib.format.read_array_header_1_0(array)
    return shape, dtype


def _refused(path, reason: str) -> ValueError:
    return ValueError(f"Expected a half-precision file that fits. Received: path={path} ({reason})")
