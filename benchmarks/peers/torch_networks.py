"""Four networks as a user of PyTorch writes them: eager modules, from their input to logits.

Modules bear the names of our layers, by which `copy_weights` pairs the weights. Inputs are laid out
as PyTorch has them: waveforms `(batch, channels, samples)`, features
`(batch, channels, mels, frames)`.
"""

import itertools

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from keras_audio.models.binaural import FIRST_KERNEL, FIRST_STRIDE, KERNEL, PLAIN, POOL
from keras_audio.models.erann import BLOCKS_PER_STAGE, KERNELS, NUM_MELS, parse_name, time_strides
from keras_audio.models.residual_blocks import BLOCKS, WAVEFORM_STAGES
from peers.torch_front_ends import PadSeconds, TorchDeltas, TorchLogMel

# PyTorch's momentum is the share of the new value, Keras' that of the old one.
KERAS_BATCH_NORM = {"eps": 1e-3, "momentum": 0.01}
TORCH_BATCH_NORM = {"eps": 1e-5, "momentum": 0.1}


def torch_network(name: str, num_classes: int, channels: int, **arguments) -> nn.Module:
    """Build the peer of one of our networks.

    Args:
        name: Of the network: M34-res, two-path, ERANN or a plain binaural one.
        num_classes: Number of outputs.
        channels: Of the waveforms; of the features, where it takes these.
        **arguments: Further ones of the module.
    """
    if name.startswith("m34_res_"):
        return M34Res(name.removeprefix("m34_res_"), num_classes, channels, **arguments)
    if name in PLAIN:
        return BinauralPlain(PLAIN[name]["filters"], num_classes, channels, **arguments)
    if name == "two_path_resnet":
        return TwoPathResNet(num_classes, channels, **arguments)
    return ERANN(num_classes=num_classes, channels=channels, **parse_name(name), **arguments)


def torch_model(model) -> nn.Module:
    """Build the peer of one of our whole models, with its weights.

    Args:
        model: Ours, from waveforms `(batch, samples, channels)`.

    Returns:
        A module from waveforms `(batch, channels, samples)` to logits.
    """
    layers = {layer.name: layer for layer in model.layers}
    channels, classes = model.input_shape[-1], model.output_shape[-1]
    front_end = []
    if "pad_seconds" in layers:
        front_end.append(PadSeconds(layers["pad_seconds"]))
    if "log_mel" in layers:
        front_end.append(TorchLogMel(layers["log_mel"]))
    if "deltas" in layers:
        front_end.append(TorchDeltas())
        channels *= 3
    network = torch_network(model.name, classes, channels)
    copy_weights(model, network)
    # Front ends take samples before channels, as ours do; a change of view costs nothing.
    return nn.Sequential(SamplesFirst(), *front_end, network) if front_end else network


class SamplesFirst(nn.Module):
    """Exchange channels and samples."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of `(batch, channels, samples)`."""
        return x.transpose(1, 2)


class M34Res(nn.Module):
    """M34-res, with any of the six designs of a block.

    Args:
        block: A key of `BLOCKS`.
        num_classes: Number of outputs.
        channels: Of the waveforms.
    """

    def __init__(self, block: str, num_classes: int, channels: int = 1) -> None:
        super().__init__()
        self.stem_conv = nn.Conv1d(channels, 48, 80, stride=4)
        self.stem_bn = nn.BatchNorm1d(48, **KERAS_BATCH_NORM)
        self.blocks = nn.ModuleDict()
        inputs = 48
        for stage, (filters, count) in enumerate(WAVEFORM_STAGES, 1):
            for index in range(1, count + 1):
                name = f"stage{stage}_block{index}"
                self.blocks[name] = M34Block(block, inputs, filters, pool=index == 1)
                inputs = filters
        self.logits = nn.Linear(inputs, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute logits of `(batch, channels, samples)`."""
        x = self.stem_conv(functional.pad(x, same_padding(x.shape[-1], 80, 4)))
        x = functional.relu(self.stem_bn(x), inplace=True)
        for block in self.blocks.values():
            x = block(x)
        return self.logits(x.mean(dim=-1))


class M34Block(nn.Module):
    """A block of M34-res, behind the pool of its stage where it is the first one there."""

    def __init__(self, block: str, inputs: int, filters: int, pool: bool) -> None:
        super().__init__()
        self.pool, self.repeats = pool, filters // inputs
        counts = {"conv": 0, "bn": 0, "relu": 0}
        width = inputs
        # Names of the layers on the residual path, and of those behind the addition.
        self.steps: list[list[str]] = [[], []]
        for names, kinds in zip(self.steps, BLOCKS[block], strict=True):
            for kind in kinds.split():
                counts[kind] += 1
                name = f"{kind}{counts[kind]}"
                if kind == "conv":
                    self.add_module(name, nn.Conv1d(width, filters, 3, padding=1))
                    width = filters
                elif kind == "bn":
                    self.add_module(name, nn.BatchNorm1d(width, **KERAS_BATCH_NORM))
                else:
                    # Not over the block's input: the shortcut takes it too.
                    first = names is self.steps[0] and not names
                    self.add_module(name, nn.ReLU(inplace=not first))
                names.append(name)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the output, of `filters` channels."""
        if self.pool:
            x = functional.max_pool1d(x, 4)
        shortcut = x if self.repeats == 1 else x.repeat_interleave(self.repeats, dim=1)
        for name in self.steps[0]:
            x = getattr(self, name)(x)
        x = x + shortcut
        for name in self.steps[1]:
            x = getattr(self, name)(x)
        return x


class TwoPathResNet(nn.Module):
    """The two-path network on features.

    Args:
        num_classes: Number of outputs.
        channels: Of the features.
        num_filters: Of the first stage.
        bins: Mel bins, of which either path has half.
    """

    def __init__(
        self, num_classes: int, channels: int = 3, num_filters: int = 24, bins: int = NUM_MELS
    ) -> None:
        super().__init__()
        self.half = bins // 2
        self.path1 = TwoPathHalf(channels, num_filters)
        self.path2 = TwoPathHalf(channels, num_filters)
        self.fusion_bn = plain_norm(8 * num_filters)
        self.fusion_conv = nn.Conv2d(8 * num_filters, 32 * num_filters, 1, bias=False)
        self.embedding_bn = plain_norm(32 * num_filters)
        self.logits_conv = nn.Conv2d(32 * num_filters, num_classes, 1, bias=False)
        self.logits_bn = plain_norm(num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute logits of `(batch, channels, mels, frames)`."""
        low, high = x[:, :, : self.half], x[:, :, self.half :]
        x = torch.cat([self.path1(low), self.path2(high)], dim=2)
        x = self.fusion_conv(functional.relu(self.fusion_bn(x), inplace=True))
        x = self.logits_bn(self.logits_conv(self.embedding_bn(x)))
        return x.mean(dim=(2, 3))


class TwoPathHalf(nn.Module):
    """One of the two paths."""

    def __init__(self, channels: int, num_filters: int) -> None:
        super().__init__()
        self.input_bn = nn.BatchNorm2d(channels, **KERAS_BATCH_NORM)
        self.stem_conv = nn.Conv2d(channels, num_filters, 3, stride=(1, 2), bias=False)
        inputs = num_filters
        self.blocks = nn.ModuleDict()
        for stage, index in itertools.product(range(4), (1, 2)):
            filters = num_filters * 2**stage
            self.blocks[f"stage{stage + 1}_block{index}"] = TwoPathBlock(inputs, filters)
            inputs = filters

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the output of some of the mel bins."""
        x = self.stem_conv(same_time(self.input_bn(x)))
        for block in self.blocks.values():
            x = block(x)
        return x


class TwoPathBlock(nn.Module):
    """Two pre-activated convolutions; where they double the channels, they halve the frames."""

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        self.missing = filters - inputs
        self.bn1 = plain_norm(inputs)
        if self.missing:
            self.conv1 = nn.Conv2d(inputs, filters, 3, stride=(1, 2), bias=False)
        else:
            self.conv1 = nn.Conv2d(inputs, filters, 3, padding=1, bias=False)
        self.bn2 = plain_norm(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the output, of `filters` channels."""
        shortcut = x
        x = functional.relu(self.bn1(x), inplace=True)
        if self.missing:
            shortcut = functional.pad(same_pool(shortcut), (0, 0, 0, 0, 0, self.missing))
            x = same_time(x)
        x = self.conv1(x)
        x = self.conv2(functional.relu(self.bn2(x), inplace=True))
        return x + shortcut


class ERANN(nn.Module):
    """ERANN-s_m-W on log-mel spectrograms.

    Args:
        s_m: How many of the stages 1 to 3 shorten time by four.
        width: The widening factor.
        num_classes: Number of outputs.
        channels: Of the spectrograms.
    """

    def __init__(self, s_m: int, width: int, num_classes: int, channels: int = 1) -> None:
        super().__init__()
        self.input_bn = nn.BatchNorm2d(NUM_MELS, **TORCH_BATCH_NORM)
        self.blocks = nn.ModuleDict()
        inputs = channels
        for stage, time_stride in enumerate(time_strides(s_m)):
            filters = 8 * 2**stage * width
            for index in range(1, BLOCKS_PER_STAGE + 1):
                strides = (2 if stage else 1, time_stride) if index == 1 else (1, 1)
                name = f"stage{stage}_block{index}"
                preactivate = name != "stage0_block1"
                self.blocks[name] = ERANNBlock(inputs, filters, strides, preactivate)
                inputs = filters
        self.fc1 = nn.Linear(inputs, inputs)
        self.logits = nn.Linear(inputs, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute logits of `(batch, channels, mels, frames)`."""
        x = self.input_bn(x.transpose(1, 2)).transpose(1, 2)
        for block in self.blocks.values():
            x = block(x)
        x = x.mean(dim=(2, 3)) + x.amax(dim=(2, 3))
        return self.logits(functional.leaky_relu(self.fc1(x)))


class ERANNBlock(nn.Module):
    """The audio residual block of Table 2."""

    def __init__(
        self, inputs: int, filters: int, strides: tuple[int, int], preactivate: bool
    ) -> None:
        super().__init__()
        first, second, padding = zip(*(KERNELS[stride] for stride in strides), strict=True)
        self.preactivate = preactivate
        if preactivate:
            self.bn1 = nn.BatchNorm2d(inputs, **TORCH_BATCH_NORM)
        self.conv1 = nn.Conv2d(inputs, filters, first, strides, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters, **TORCH_BATCH_NORM)
        self.conv2 = nn.Conv2d(filters, filters, second, padding=padding, bias=False)
        changes = strides != (1, 1) or inputs != filters
        self.shortcut = nn.Conv2d(inputs, filters, 1, strides) if changes else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the output, of `filters` channels."""
        shortcut = self.shortcut(x)
        if self.preactivate:
            x = functional.leaky_relu(self.bn1(x), inplace=True)
        x = self.conv1(x)
        x = self.conv2(functional.leaky_relu(self.bn2(x), inplace=True))
        return x + shortcut


class BinauralPlain(nn.Sequential):
    """Models A and B: convolution, batch norm, ReLU and max-pool, again and again.

    Args:
        filters: Of every convolution.
        num_classes: Number of outputs.
        channels: Of the waveforms.
    """

    def __init__(self, filters: tuple[int, ...], num_classes: int, channels: int = 2) -> None:
        super().__init__()
        inputs, size, stride = channels, FIRST_KERNEL, FIRST_STRIDE
        for number, maps in enumerate(filters, 1):
            self.add_module(f"conv{number}", nn.Conv1d(inputs, maps, size, stride))
            self.add_module(f"bn{number}", nn.BatchNorm1d(maps, **TORCH_BATCH_NORM))
            self.add_module(f"relu{number}", nn.ReLU(inplace=True))
            self.add_module(f"pool{number}", nn.MaxPool1d(POOL))
            inputs, size, stride = maps, KERNEL, 1
        self.add_module("average", nn.AdaptiveAvgPool1d(1))
        self.add_module("flatten", nn.Flatten())
        self.add_module("logits", nn.Linear(inputs, num_classes))


def plain_norm(channels: int) -> nn.BatchNorm2d:
    """A batch norm that learns no scale and no offset."""
    return nn.BatchNorm2d(channels, affine=False, **KERAS_BATCH_NORM)


def same_padding(length: int, size: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an axis, as TensorFlow's 'same' has them where there is a stride."""
    missing = max((-(-length // stride) - 1) * stride + size - length, 0)
    return missing // 2, missing - missing // 2


def same_time(x: torch.Tensor) -> torch.Tensor:
    """Pad for a kernel of 3 along both axes, with a stride of 2 along the last."""
    return functional.pad(x, (*same_padding(x.shape[-1], 3, 2), 1, 1))


def same_pool(x: torch.Tensor) -> torch.Tensor:
    """Average over 3 x 3, every other frame; what is padded does not count."""
    before, after = same_padding(x.shape[-1], 3, 2)
    if (before, after) == (1, 1):
        return functional.avg_pool2d(x, 3, (1, 2), padding=1, count_include_pad=False)
    # PyTorch pads both ends alike, so that an end without padding is the last frame cut short.
    return functional.avg_pool2d(
        x, 3, (1, 2), padding=(1, 0), ceil_mode=True, count_include_pad=False
    )


def copy_weights(model, module: nn.Module) -> None:
    """Give a module the weights of the layers of our model that have the names of its parts.

    Raises:
        ValueError: If one of the two has a layer with weights that the other has not.
    """
    layers = {layer.name: layer for layer in model.layers if layer.weights}
    parts = {
        name.replace("blocks.", "").replace(".", "_"): part
        for name, part in module.named_modules()
        if part.state_dict() and not list(part.children())
    }
    if layers.keys() != parts.keys():
        different = sorted(layers.keys() ^ parts.keys())
        raise ValueError(f"Expected the same layers in both. Received in one only: {different}")
    with torch.no_grad():
        for name, part in parts.items():
            values = {weight.name: np.array(weight) for weight in layers[name].weights}
            for ours, theirs in NAMES.items():
                if ours in values:
                    array = torch.from_numpy(values[ours])
                    if ours == "kernel":
                        # Filters last and inputs before them in Keras, first and second here.
                        array = array.permute(-1, -2, *range(array.ndim - 2))
                    getattr(part, theirs).copy_(array)


NAMES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
