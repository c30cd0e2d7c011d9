"""Networks of the original Keras 2 code, op by op in TensorFlow, and files as it wrote them.

Nothing of the package is used. A network draws the arrays of each layer when it comes to it, so
that layers are listed in the order of creation, numbered through as Keras 2 did.
"""

import base64
import json
import marshal
import pathlib

import h5py
import numpy as np
import tensorflow as tf

# Dai et al. 2017: filters of every convolution in groups, and whether a pool ends the last group.
PLAIN = {
    "m3": ([[256], [256]], True),
    "m5": ([[128], [128], [256], [512]], True),
    "m11": ([[64], [64] * 2, [128] * 2, [256] * 3, [512] * 2], False),
    "m18": ([[64], [64] * 4, [128] * 4, [256] * 4, [512] * 4], False),
}


class Original:
    """What a network answers, and its layers: `{name: {array: values}}`."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.layers: dict[str, dict[str, np.ndarray]] = {}
        self.outputs: dict[str, np.ndarray] = {}

    def add(self, kind: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """List a layer under the next name of its kind; what it computes with is in 64 bits."""
        number = sum(name.rpartition("_")[0] == kind for name in self.layers) + 1
        arrays = {name: np.asarray(array, "float32") for name, array in arrays.items()}
        self.layers[f"{kind}_{number}"] = arrays
        return {name: array.astype("float64") for name, array in arrays.items()}

    def conv(self, x, filters, size, strides, bias):
        rank = len(x.shape) - 2
        shape = (*size, int(x.shape[-1]), filters)
        spread = np.sqrt(2 / np.prod(shape[:-1]))
        arrays = {"kernel": self.rng.normal(0, spread, shape)}
        if bias:
            arrays["bias"] = self.rng.normal(0, 0.2, filters)
        arrays = self.add(f"conv{rank}d", **arrays)
        x = tf.nn.convolution(x, arrays["kernel"], strides=strides, padding="SAME")
        return x + arrays["bias"] if bias else x

    def batch_norm(self, x, learned=True):
        axes = tuple(range(len(x.shape) - 1))
        mean, variance = (part.numpy() for part in tf.nn.moments(x, axes))
        arrays = {}
        if learned:
            arrays["gamma"] = self.rng.uniform(0.5, 1.5, mean.shape)
            arrays["beta"] = self.rng.normal(0, 0.3, mean.shape)
        # Near what the layer sees, or one channel would drown all others.
        arrays["moving_mean"] = mean + np.sqrt(variance) * self.rng.normal(0, 0.2, mean.shape)
        arrays["moving_variance"] = variance * self.rng.uniform(0.7, 1.4, mean.shape) + 1e-4
        arrays = self.add("batch_normalization", **arrays)
        y = (x - arrays["moving_mean"]) / tf.sqrt(arrays["moving_variance"] + 1e-3)
        return y * arrays["gamma"] + arrays["beta"] if learned else y

    def relu(self, x):
        self.add("activation")
        return tf.nn.relu(x)

    def answer(self, logits) -> None:
        self.add("activation")
        self.outputs |= {"logits": logits.numpy(), "y": tf.nn.softmax(logits).numpy()}


def plain(name: str, classes: int, x: np.ndarray, first_stride: int = 4) -> Original:
    """M3 to M18 on waveforms (clips, samples, channels), as the 2017 code has them: stride 4."""
    net, (groups, pool_last) = Original(), PLAIN[name]
    x = tf.constant(x, "float64")
    for number, filters in enumerate(groups):
        for index, count in enumerate(filters):
            wide = number == 0 and index == 0
            size, stride = ((80,), first_stride) if wide else ((3,), 1)
            x = net.conv(x, count, size, stride, bias=True)
            x = net.relu(net.batch_norm(x))
        if number < len(groups) - 1 or pool_last:
            net.add("max_pooling1d")
            x = tf.nn.max_pool1d(x, 4, 4, "VALID")
    net.add("lambda")  # the mean over time
    x = tf.reduce_mean(x, axis=1)
    net.outputs["embedding"] = x.numpy()
    dense = net.add(
        "dense",
        kernel=net.rng.normal(0, 0.1, (x.shape[-1], classes)),
        bias=net.rng.normal(0, 0.5, classes),
    )
    net.answer(x @ dense["kernel"] + dense["bias"])
    return net


def two_path(classes: int, x: np.ndarray) -> Original:
    """The two-path network on features (clips, 128, frames, 3 or 6): both paths in step."""
    net = Original()
    x = tf.constant(x, "float64")
    net.add("input")
    paths = [x[:, :64], x[:, 64:]]
    for _ in paths:
        net.add("lambda")

    def conv(paths, filters, strides):
        return [net.conv(path, filters, (3, 3), strides, bias=False) for path in paths]

    paths = conv([net.batch_norm(path) for path in paths], 24, (1, 2))
    for filters in (24, 48, 96, 192):
        for block in range(2):
            strides = (1, 2) if block == 0 and filters > 24 else (1, 1)
            before = paths
            for stride in (strides, (1, 1)):
                paths = [net.batch_norm(path, learned=False) for path in paths]
                paths = conv([net.relu(path) for path in paths], filters, stride)
            if strides != (1, 1):
                before = [tf.nn.avg_pool2d(path, 3, strides, "SAME") for path in before]
                before = [tf.concat([path, tf.zeros_like(path)], -1) for path in before]
            paths = [path + shortcut for path, shortcut in zip(paths, before, strict=True)]
    x = net.relu(net.batch_norm(tf.concat(paths, 1), learned=False))
    x = net.batch_norm(net.conv(x, 768, (1, 1), 1, bias=False), learned=False)
    x = net.batch_norm(net.conv(x, classes, (1, 1), 1, bias=False), learned=False)
    net.answer(tf.reduce_mean(x, (1, 2)))
    return net


def config_with_code(target: pathlib.Path) -> str:
    """The `model_config` of a network with a Lambda layer whose code makes the file `target`."""
    code = compile(f"lambda x: __import__('pathlib').Path({str(target)!r}).touch()", "m", "eval")
    (function,) = (part for part in code.co_consts if hasattr(part, "co_code"))
    function = [base64.b64encode(marshal.dumps(function)).decode(), None, None]
    named = {"name": "lambda_1", "function": function, "function_type": "lambda"}
    layers = [{"class_name": "Lambda", "config": named}]
    return json.dumps({"class_name": "Sequential", "config": {"layers": layers}})


def save(path: pathlib.Path, net: Original, config: str | None = None) -> pathlib.Path:
    """Write what `model.save` wrote: with the architecture, or with `save_weights` without."""
    with h5py.File(path, "w") as file:
        root = file
        if config is not None:
            file.attrs["model_config"] = config.encode()
            root = file.create_group("model_weights")
        root.attrs["layer_names"] = [name.encode() for name in net.layers]
        root.attrs["backend"] = b"tensorflow"
        for name, arrays in net.layers.items():
            group = root.create_group(name)
            names = [f"{name}/{array}:0".encode() for array in arrays]
            group.attrs["weight_names"] = names
            for full_name, values in zip(names, arrays.values(), strict=True):
                group[full_name.decode()] = values
    return path


def record(path: pathlib.Path, net: Original, x: np.ndarray) -> pathlib.Path:
    """Write the input and the outputs beside each other."""
    np.savez(path, x=x, **net.outputs)
    return path
