"""ImageNet's ResNets as PyTorch state dicts in torchvision's layout."""

import os

import keras

from keras_audio.importers.torch_state import load_torch_state_dict, torch_state_shapes
from keras_audio.layers.checks import at_least, one_of
from keras_audio.models.registry import create_model
from keras_audio.models.resnet import BLOCKS

# Channels of ImageNet's pictures.
COLORS = 3
# Four times those of the largest ImageNet. A file may claim any number, and the layer is made.
MOST_CLASSES = 100_000


def load_resnet_state_dict(
    path: str | os.PathLike,
    name: str = "resnet34",
    *,
    num_filters: int = 64,
    input_channels: int = COLORS,
) -> keras.Model:
    """Build a ResNet with the weights of a PyTorch one, to answer as it does or to train on.

    The layout is the widespread one of torchvision: `conv1`, `bn1`, `layer1.0.conv1`, ...,
    `layer2.0.downsample.0`, ..., `fc`. Only arrays are read, see `load_torch_state_dict`.

    A network that repeats its one channel three times (`stem_channels=3`) takes the first kernel as
    it is. For one that does not, or has several channels, the kernel becomes its sum over the three
    colours divided by the number of channels, which answers alike where all channels are equal.

    Args:
        path: A `.pt`, `.pth` or `.safetensors` file.
        name: `"resnet10"`, `"resnet18"` or `"resnet34"`.
        num_filters: Of the network's first stage; ImageNet's have 64.
        input_channels: Of the features that the network is to take.

    Returns:
        A model from features `(batch, mels, frames, input_channels)` to as many logits as the file
        has classes; `predictions` has no activation. By `transfer_weights` it is a source for any
        ResNet of that name, number of filters and first kernel, whatever its head.

    Raises:
        ValueError: If an argument is out of its range, a package is missing that the file needs, or
            the file is missing, damaged or does not fit.

    Example:
        >>> load_resnet_state_dict("resnet34.pth")
        Traceback (most recent call last):
        ValueError: Expected a PyTorch state dict that fits. Received: path=resnet34.pth \
(no such file)
    """
    one_of("name", name, tuple(BLOCKS))
    input_channels = at_least("input_channels", input_channels, 1)
    shape = torch_state_shapes(path).get("fc.weight", ())
    if len(shape) != 2 or not 1 <= shape[0] <= MOST_CLASSES:
        raise ValueError(
            "Expected a state dict of a ResNet in torchvision's layout, whose fc.weight has shape "
            f"(classes, {8 * num_filters}) with at most {MOST_CLASSES} classes. "
            f"Received: path={path}, fc.weight of shape {shape or None}"
        )

    def build(channels: int) -> keras.Model:
        return create_model(
            name,
            shape[0],
            input="features",
            classifier_activation=None,
            channels=channels,
            num_filters=num_filters,
            stem_channels=None,
        )

    model = build(COLORS)
    load_torch_state_dict(model, path)
    if input_channels == COLORS:
        return model
    kernel, *others = model.get_weights()
    gray = kernel.sum(axis=2, keepdims=True) / input_channels
    model = build(input_channels)
    model.set_weights([gray.repeat(input_channels, axis=2), *others])
    return model
