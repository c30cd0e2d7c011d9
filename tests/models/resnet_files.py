"""Files of ImageNet's ResNets in the layout of PyTorch, with random weights."""

import pathlib

import numpy as np
import safetensors.numpy

BLOCKS = {"resnet10": (1, 1, 1, 1), "resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}


def layout(name: str, filters: int, classes: int) -> dict[str, tuple[int, ...]]:
    """Every array that torchvision's network has, but its counters of batches."""
    shapes: dict[str, tuple[int, ...]] = {}

    def batch_norm(key: str, channels: int) -> None:
        for array in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{key}.{array}"] = (channels,)

    shapes["conv1.weight"] = (filters, 3, 7, 7)
    batch_norm("bn1", filters)
    before = filters
    for stage, count in enumerate(BLOCKS[name]):
        channels = filters * 2**stage
        for block in range(count):
            key = f"layer{stage + 1}.{block}"
            shapes[f"{key}.conv1.weight"] = (channels, before, 3, 3)
            batch_norm(f"{key}.bn1", channels)
            shapes[f"{key}.conv2.weight"] = (channels, channels, 3, 3)
            batch_norm(f"{key}.bn2", channels)
            if before != channels:
                shapes[f"{key}.downsample.0.weight"] = (channels, before, 1, 1)
                batch_norm(f"{key}.downsample.1", channels)
            before = channels
    shapes["fc.weight"], shapes["fc.bias"] = (classes, before), (classes,)
    return shapes


def random_state(name="resnet10", filters=4, classes=6) -> dict[str, np.ndarray]:
    """Arrays of that layout."""
    rng = np.random.default_rng(0)
    return {
        key: rng.uniform(0.5, 1.5, shape).astype("float32")
        if key.endswith("running_var")
        else rng.normal(size=shape).astype("float32") * 0.3
        for key, shape in layout(name, filters, classes).items()
    }


def save(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> pathlib.Path:
    """Write them as a file of safetensors."""
    safetensors.numpy.save_file(arrays, path)
    return path


def plain_pytorch(torch, name: str, classes: int):
    """The network in PyTorch, with torchvision's names."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.downsample = None
            if stride > 1 or inputs != outputs:
                self.downsample = nn.Sequential(
                    nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
                )

        def forward(self, x):
            y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
            return torch.relu(y + (x if self.downsample is None else self.downsample(x)))

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(64)
            inputs = 64
            for stage, count in enumerate(BLOCKS[name]):
                blocks = []
                for index in range(count):
                    stride = 2 if stage > 0 and index == 0 else 1
                    blocks.append(Block(inputs, 64 * 2**stage, stride))
                    inputs = 64 * 2**stage
                setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
            self.fc = nn.Linear(512, classes)

        def forward(self, x):
            x = torch.relu(self.bn1(self.conv1(x)))
            x = nn.functional.max_pool2d(x, 3, 2, padding=1)
            for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
                x = stage(x)
            return self.fc(x.mean((2, 3)))

    torch.manual_seed(0)
    network = Network()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, nn.BatchNorm2d):
                # Unlike their start, which would hide mix-ups.
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
                module.momentum = 1.0
        network.fc.weight.normal_(0, 0.02)
        # Statistics of real outputs, or the biases would drown what comes from the input.
        network.train()(torch.randn(8, 3, 64, 64))
    return network.eval()
