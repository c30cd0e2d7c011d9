"""State dicts of PyTorch networks, as `.pt`, `.pth` or `.safetensors` files."""

import contextlib
import dataclasses
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence

import keras
import numpy as np
from keras import layers

from keras_audio.importers.untrusted import as_float32, listed, shown, wrong_values

# What PyTorch calls the variables of a layer.
_NORMALIZATION = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_WEIGHTED = {"kernel": "weight", "bias": "bias"}
_FLOATS = ("F64", "F32", "F16", "BF16")
# What data-parallel training puts before every key.
_PARALLEL = "module."


def is_state_dict(path: str | os.PathLike) -> bool:
    """Whether a path has the name of a file that `load_torch_state_dict` reads.

    Example:
        >>> is_state_dict("resnet34.pth"), is_state_dict("model.keras")
        (True, False)
    """
    return os.path.splitext(path)[1].lower() in (".pt", ".pth", ".safetensors")


@dataclasses.dataclass(frozen=True)
class _StoredArray:
    key: str
    shape: tuple[int, ...]
    floating: bool
    read: Callable[[], np.ndarray]  # float32


def load_torch_state_dict(model: keras.Model, path: str | os.PathLike) -> None:
    """Load the weights of a PyTorch network into a model of ours.

    Only arrays are read. A `.pt` file is a pickle, which can carry code: it is read by
    `torch.load(weights_only=True)`, which knows no code but what makes arrays. Every array is
    checked before the first is assigned, so a file that is refused leaves the model as it was.

    Modules are paired with layers by name: `layer1.0.conv1` is the layer `layer1_0_conv1`. A
    leading `module.`, which data-parallel training adds, is dropped, and `num_batches_tracked` is
    left out. If no module is called `logits`, it is the one module with a matrix that fits no other
    layer's name (`fc`, `linear`, ...). Kernels are transposed to the order of Keras.

    Args:
        model: Built, of Dense, convolution and batch-normalisation layers as far as they have
            weights.
        path: A `.pt` or `.pth` file, which needs the package torch, or a `.safetensors` file, which
            needs the package safetensors.

    Raises:
        ValueError: If the package is not installed, or the file is missing, damaged, holds anything
            but arrays, or does not fit. The message names the arrays that are missing or left over,
            or the first that differs, with the expected and the received shape.

    Example:
        >>> import keras_audio
        >>> model = keras_audio.create_model("binaural_a", 3)
        >>> load_torch_state_dict(model, "binaural_a.pt")
        Traceback (most recent call last):
        ValueError: Expected a PyTorch state dict that fits. Received: path=binaural_a.pt \
(no such file)
    """
    _check_file(path)
    with _open(path) as stored:
        pairs = _pairs(model, stored, path)
        values = [(variable, _value(array, variable, path)) for variable, array in pairs]
    for variable, value in values:
        variable.assign(value)


def torch_state_shapes(path: str | os.PathLike) -> dict[str, tuple[int, ...]]:
    """List the arrays of a PyTorch state dict, without reading what is in them.

    Args:
        path: As for `load_torch_state_dict`.

    Returns:
        The shape of every array in PyTorch's order of axes, by its key without the leading
        `module.`. What a file claims, which may be of any size.

    Raises:
        ValueError: If the package is not installed, or the file is missing, damaged or holds
            anything but arrays.

    Example:
        >>> torch_state_shapes("resnet34.pth")
        Traceback (most recent call last):
        ValueError: Expected a PyTorch state dict that fits. Received: path=resnet34.pth \
(no such file)
    """
    _check_file(path)
    with _open(path) as stored:
        return {array.key.removeprefix(_PARALLEL): array.shape for array in stored}


def _check_file(path) -> None:
    if not os.path.isfile(path):
        raise _refused(path, "not a file" if os.path.exists(path) else "no such file")


def _open(path) -> contextlib.AbstractContextManager[list[_StoredArray]]:
    readers = {".pt": _open_torch, ".pth": _open_torch, ".safetensors": _open_safetensors}
    ending = os.path.splitext(path)[1].lower()
    if ending not in readers:
        raise _refused(path, "neither .pt nor .pth nor .safetensors")
    return readers[ending](path)


@contextlib.contextmanager
def _open_torch(path) -> Iterator[list[_StoredArray]]:
    try:
        with warnings.catch_warnings(action="ignore"):
            import torch
    except ImportError as error:
        raise _needs("torch", path) from error
    _check_archive(path)
    try:
        # Of odd pickles and kinds of arrays PyTorch warns; what there is to say is said below.
        with warnings.catch_warnings(action="ignore"):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # PyTorch's own message recommends weights_only=False.
        raise _refused(path, "damaged, or more than arrays: code in a file is never run") from error
    except Exception as error:  # of any kind: the bytes may be anything
        raise _refused(path, "damaged, or no state dict") from error
    if not isinstance(state, Mapping):
        raise _refused(path, f"no state dict: {type(state).__name__}")
    stored = []
    for key, tensor in state.items():
        if not isinstance(key, str):
            raise _refused(path, f"a key is no text: {type(key).__name__}")
        if not isinstance(tensor, torch.Tensor) or tensor.is_nested:
            raise _refused(path, f"{shown(key)} is no array")
        dense = tensor.layout == torch.strided and not tensor.is_meta
        stored.append(
            _StoredArray(
                key,
                tuple(tensor.shape),
                dense and tensor.is_floating_point(),
                lambda tensor=tensor: tensor.detach().float().numpy(),
            )
        )
    yield stored


def _check_archive(path) -> None:
    """Refuse, before PyTorch reads it, an archive that grows in memory or holds a program."""
    with open(path, "rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return  # the older format, of which nothing is compressed
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except Exception as error:  # of any kind: the bytes may be anything
        raise _refused(path, "damaged, or no state dict") from error
    if any(member.filename.endswith("/constants.pkl") for member in members):
        raise _refused(path, "a TorchScript program: code in a file is never run")
    # PyTorch compresses nothing, so that all members together are no larger than the file.
    packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
    if packed or sum(member.file_size for member in members) > os.path.getsize(path):
        raise _refused(path, "its members claim more bytes than the file has")


@contextlib.contextmanager
def _open_safetensors(path) -> Iterator[list[_StoredArray]]:
    try:
        import safetensors
    except ImportError as error:
        raise _needs("safetensors", path) from error
    try:
        file = safetensors.safe_open(path, framework="numpy")
    except (safetensors.SafetensorError, OSError) as error:
        raise _refused(path, f"damaged: {shown(str(error), 200)}") from error
    with file:
        slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
        yield [
            _StoredArray(
                key,
                tuple(part.get_shape()),
                part.get_dtype() in _FLOATS,
                lambda key=key: as_float32(file.get_tensor(key)),
            )
            for key, part in slices.items()
        ]


def _pairs(
    model: keras.Model, stored: Sequence[_StoredArray], path
) -> list[tuple[keras.Variable, _StoredArray]]:
    """Pair every variable of the model with an array of the file, in the order of the model."""
    targets = {layer.name: layer for layer in model.layers if layer.weights}
    modules = _modules(stored, path)
    if "logits" in targets and "logits" not in modules:
        matrices = [
            name
            for name, arrays in modules.items()
            if name not in targets and "weight" in arrays and len(arrays["weight"].shape) == 2
        ]
        if len(matrices) == 1:
            modules["logits"] = modules.pop(matrices[0])
    pairs, missing = [], []
    for layer in targets.values():
        names = _torch_names(layer)
        arrays = modules.get(layer.name, {})
        for variable in layer.weights:
            array = arrays.pop(names[variable.name], None)
            if array is None:
                missing.append(f"{layer.name}/{variable.name}")
            else:
                pairs.append((variable, array))
    left = [array.key for arrays in modules.values() for array in arrays.values()]
    reasons = [f"no array for {listed(missing)} of the model"] if missing else []
    reasons += [f"no counterpart in the model for {listed(left)}"] if left else []
    if reasons:
        raise _refused(path, "; ".join(reasons))
    return pairs


def _modules(stored: Sequence[_StoredArray], path) -> dict[str, dict[str, _StoredArray]]:
    """Group the arrays by the name that their module has here."""
    modules: dict[str, dict[str, _StoredArray]] = {}
    for array in stored:
        module, _, name = array.key.removeprefix(_PARALLEL).rpartition(".")
        if name == "num_batches_tracked":
            continue
        arrays = modules.setdefault(module.replace(".", "_"), {})
        if name in arrays:
            both = listed([arrays[name].key, array.key])
            raise _refused(path, f"of {both} only one has a place here")
        arrays[name] = array
    return modules


def _torch_names(layer: layers.Layer) -> dict[str, str]:
    if isinstance(layer, layers.BatchNormalization):
        return _NORMALIZATION
    if isinstance(layer, layers.Dense | layers.Conv1D | layers.Conv2D | layers.Conv3D):
        return _WEIGHTED
    raise ValueError(
        "Expected a model whose weights are those of Dense, convolution and batch-normalisation "
        f"layers. Received: {layer.name}={type(layer).__name__}"
    )


def _value(array: _StoredArray, variable: keras.Variable, path) -> np.ndarray:
    """Read one array, if it is what the variable needs, in the order of Keras."""
    wanted, key = tuple(variable.shape), shown(array.key)
    kernel = variable.name == "kernel"
    if kernel:  # (outputs, inputs, ...) in PyTorch, (..., inputs, outputs) in Keras
        wanted = (wanted[-1], wanted[-2], *wanted[:-2])
    if not array.floating:
        raise _refused(path, f"{key} is no array of floating-point numbers")
    # The shape first: what repeats itself by strides of 0 is small until it is read.
    if array.shape != wanted:
        expected = f"expected {wanted} for {variable.path} of the model"
        raise _refused(path, f"{key} has shape {shown(str(array.shape))}, {expected}")
    value = array.read()
    wrong = wrong_values(value, variable)
    if wrong is not None:
        raise _refused(path, f"{key} {wrong}")
    return value.transpose(*range(2, value.ndim), 1, 0) if kernel else value


def _needs(package: str, path) -> ValueError:
    return ValueError(
        f"Expected the package {package}, which such a file needs: pip install {package}. "
        f"Received: path={path}"
    )


def _refused(path, reason: str) -> ValueError:
    return ValueError(f"Expected a PyTorch state dict that fits. Received: path={path} ({reason})")
