"""A file of an original code base, whatever its format: what network it holds, and its weights."""

import dataclasses
import difflib
import os
from typing import Any

import keras

from keras_audio.importers.h5_file import open_keras2
from keras_audio.importers.keras2 import load_keras2_h5
from keras_audio.importers.torch_state import (
    is_state_dict,
    load_torch_state_dict,
    torch_state_shapes,
)
from keras_audio.models import list_models, model_info
from keras_audio.models.residual_blocks import BLOCKS
from keras_audio.models.resnet import BLOCKS as RESNETS

KERAS2, PYTORCH = "Keras 2 HDF5", "PyTorch state dict"
_ENDINGS = {KERAS2: ".h5, .hdf5 or .keras2", PYTORCH: ".pt, .pth or .safetensors"}
# The networks that there are original files of, and in which format.
_FORMATS = {
    **dict.fromkeys(("m3", "m5", "m11", "m18", "two_path_resnet"), KERAS2),
    **dict.fromkeys((f"m34_res_{block}" for block in BLOCKS), KERAS2),
    **dict.fromkeys((f"binaural_{network}" for network in "abcd"), PYTORCH),
    **dict.fromkeys(RESNETS, PYTORCH),
}
# What the original code calls a network that has another name here.
_ALIASES = {"m34_res": "m34_res_rb6"}
# Classes, channels of the input, filters of the first convolution. A file may claim any numbers,
# and the layers are made.
_MOST = (100_000, 64, 256)
# Of an ImageNet network's pictures.
_COLORS = 3


@dataclasses.dataclass(frozen=True)
class Original:
    """An original network in a file, as far as the shapes of its arrays tell.

    Attributes:
        path: The file.
        format: `KERAS2` or `PYTORCH`.
        model: The name of the network here.
        classes: Number of outputs.
        input_channels: Channels that the first layer sees: of audio, of features or of colours.
        num_filters: Of the first convolution.
    """

    path: str
    format: str
    model: str
    classes: int
    input_channels: int
    num_filters: int

    @property
    def is_resnet(self) -> bool:
        """Whether it is one of ImageNet's networks, which see three colours."""
        return self.model in RESNETS

    @property
    def channels(self) -> int:
        """Audio channels. ImageNet's networks see one channel three times."""
        if self.is_resnet and self.input_channels == _COLORS:
            return 1
        return self.input_channels // _features_per_channel(self.model)

    @property
    def sample_rate(self) -> int:
        """Of the waveforms that the network was made for. No file tells; it follows from the task.

        The two-path networks of one channel are those of DCASE 2019 tasks 1b and 1c.
        """
        mono = self.model == "two_path_resnet" and self.channels == 1
        return 44100 if mono else model_info(self.model).sample_rate

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of `create_model` with which the network has the shapes of the file."""
        if not self.is_resnet:
            return {"channels": self.channels}
        repeated = _COLORS if self.input_channels == _COLORS else None
        return {
            "channels": self.channels,
            "num_filters": self.num_filters,
            "stem_channels": repeated,
        }


def original_model(name: str) -> str:
    """The name here of an original network.

    Raises:
        ValueError: If there are no original files of it; the message names the near ones, or all.

    Example:
        >>> original_model("m34_res")
        'm34_res_rb6'
    """
    model = _ALIASES.get(name, name)
    if model in _FORMATS:
        return model
    listed = [*(each for each in list_models() if each in _FORMATS), *_ALIASES]
    start = "one of"
    if not _exists(name) and (near := difflib.get_close_matches(name, listed, n=5, cutoff=0.5)):
        start, listed = "such as", near
    raise ValueError(
        f"Expected a network that there are original files of, {start} {', '.join(listed)}. "
        f"Received: {name}"
    )


def _exists(name: str) -> bool:
    try:
        model_info(name)
    except ValueError:
        return False
    return True


def read_original(path: str | os.PathLike, model: str, *, arrays_only: bool = False) -> Original:
    """Find out what network a file holds, from the shapes of its arrays; none of them is read.

    Args:
        path: A Keras 2 HDF5 file (`.h5`, `.hdf5`, `.keras2`) or a PyTorch state dict (`.pt`,
            `.pth`, `.safetensors`), whichever the network's authors wrote.
        model: The name of the network, which the file does not say.
        arrays_only: Whether to leave unread what an HDF5 file says of its architecture. Otherwise
            one with a Lambda layer, which is code, is refused; it is never run in either case.

    Raises:
        ValueError: If there are no original files of the network, or the file has another format,
            is damaged, leads to other files, holds code, or no such network.

    Example:
        >>> read_original("binaural_a.pt", "m3")
        Traceback (most recent call last):
        ValueError: Expected for m3 a Keras 2 HDF5 file, .h5, .hdf5 or .keras2. \
Received: path=binaural_a.pt
    """
    model = original_model(model)
    kind = _FORMATS[model]
    if _format_of(path) != kind:
        raise ValueError(
            f"Expected for {model} a {kind} file, {_ENDINGS[kind]}. Received: path={path}"
        )
    if kind == KERAS2:
        sizes = _keras2_sizes(path, arrays_only)
    else:
        sizes = _torch_sizes(path)
    if sizes is None or not all(1 <= size <= most for size, most in zip(sizes, _MOST, strict=True)):
        found = "none" if sizes is None else ", ".join(map(str, sizes))
        raise ValueError(
            f"Expected the arrays of {model}, first a convolution and last a classifier, with at "
            f"most {', '.join(map(str, _MOST))} classes, input channels and filters. "
            f"Received: {found} in path={path}"
        )
    found = Original(str(path), kind, model, *sizes)
    if found.input_channels % _features_per_channel(model):
        raise ValueError(
            f"Expected feature channels of {model} in multiples of "
            f"{_features_per_channel(model)}. Received: {found.input_channels} in path={path}"
        )
    return found


def load_original(model: keras.Model, original: Original) -> None:
    """Load the weights of an original network into ours, all of them or none.

    Args:
        model: Built with the arguments of `original`; what stands before the network is free.
        original: From `read_original`.

    Raises:
        ValueError: If the file does not fit; the message names the first array that differs.
    """
    load = load_keras2_h5 if original.format == KERAS2 else load_torch_state_dict
    load(model, original.path)


def _format_of(path) -> str | None:
    if is_state_dict(path):
        return PYTORCH
    keras2 = os.path.splitext(path)[1].lower() in (".h5", ".hdf5", ".keras2")
    return KERAS2 if keras2 else None


def _features_per_channel(model: str) -> int:
    info = model_info(model)
    return info.feature_shape[-1] // info.channels if info.feature_shape else 1


def _keras2_sizes(path, arrays_only: bool) -> tuple[int, int, int] | None:
    """Classes, input channels and filters of the first convolution."""
    with open_keras2(path, arrays_only=arrays_only) as stored:
        kernels = [layer.arrays["kernel"].shape for layer in stored if "kernel" in layer.arrays]
    if not kernels or len(kernels[0]) < 3 or len(kernels[-1]) < 2:
        return None
    return kernels[-1][-1], kernels[0][-2], kernels[0][-1]


def _torch_sizes(path) -> tuple[int, int, int] | None:
    shapes = torch_state_shapes(path)
    first = shapes.get("conv1.weight", ())
    matrices = [shape for key, shape in shapes.items() if key.endswith(".weight")]
    matrices = [shape for shape in matrices if len(shape) == 2]
    if len(first) < 3 or len(matrices) != 1:
        return None
    return matrices[0][0], first[1], first[0]
