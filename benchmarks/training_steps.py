"""Training steps of four networks: ours, the original code's way to write them, and PyTorch's.

Each network has a process of its own, in which all that make its steps take turns, once a round, so
that a machine that is slow for a while is slow for all of them; ratios are those of a round. All
begin with the same weights, and before anything is measured they have to give the same logits. A
step is forward, cross-entropy, backward and stochastic gradient descent with momentum, on a batch
that is ready. Ours and the original are stepped by `keras_audio.training`'s loop; ours is built
twice, to show what the same network takes of its own time. PyTorch is eager, with tensors laid out
both ways where there are two axes; the faster is what ours is compared with.

Examples:
  python benchmarks/training_steps.py
  python benchmarks/training_steps.py --threads 1 --name training_steps_1_thread
  python benchmarks/training_steps.py --networks m34_res_rb6,binaural_a --repeats 5
  python benchmarks/training_steps.py --quick --to quick-benchmarks
"""

import argparse
import contextlib
import dataclasses
import functools
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Processes share a GPU, and TensorFlow would give all its memory to the first.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

import numpy as np
from apart import apart, measures, use_threads
from options import new_parser, parsed
from peers import TORCH, by_torch
from targets import Target
from timing import in_turn, over, rate, repeated, write_results

CLASSES = 10
NETWORKS = ("m34_res_rb4", "two_path_resnet", "erann_1_3", "binaural_b")
OURS, AGAIN, ORIGINAL = "ours", "ours, built again", "the original"
NO_SLOWER, FASTER = 1.0, 1.2
# Small, so that steps again and again on one batch of noise stay finite.
LEARNING_RATE, MOMENTUM = 1e-5, 0.9


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What a network is trained on: clips in a batch, and the shape of one."""

    batch_size: int
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.batch_size} x {' x '.join(map(str, self.shape))}"


def main() -> int:
    """Measure, print, and write the files."""
    options = parse()
    threads = use_threads(options.threads)
    inputs = {name: inputs_of(name, options) for name in options.networks}
    with contextlib.ExitStack() as stack:
        rates: dict[str, Callable[[], float]] = {}
        for name, batch in inputs.items():
            rates |= apart(stack, start, name, batch)[0]
        values = in_turn(rates, options.repeats)
    targets, ratios, conclusions = compare(options.networks, values)
    batches = "; ".join(f"{name} {batch}" for name, batch in inputs.items())
    about = (
        f"Medians of {options.repeats} rounds; {threads} threads, float32, {CLASSES} classes. "
        f"Batches: {batches}. No penalty on weights, no augmentation, inputs ready in memory. All "
        "of a network gave the same logits with the same weights. PyTorch "
        f"{version_of('torch')}, eager."
    )
    groups = {"clips/s": values, "ratio": ratios}
    title = "Training steps beside the original code's and PyTorch's"
    write_results(options.to / options.name, title, about, groups, conclusions, targets)
    return 0


def inputs_of(name: str, options: argparse.Namespace) -> Inputs:
    """What a network is trained on here."""
    seconds = 1 if options.quick else 4
    if name == "two_path_resnet":
        size, shape = 32, (128, 40 if options.quick else 400, 3)
    elif name.startswith("erann"):
        # Half of the paper's batch: a round of all would take minutes.
        size, shape = 16, (128, 128 * seconds, 1)
    elif name.startswith("binaural"):
        size, shape = 32, (18000 * (1 if options.quick else 10), 2)
    else:
        size, shape = 32, (8000 * seconds, 1)
    return Inputs(options.batch_size or size, shape)


def compare(networks: Sequence[str], values: Mapping[str, Sequence[float]]) -> tuple:
    """What was asked, ratios of times a round, and a sentence on each network."""
    targets, ratios, sentences = [], {}, []
    for name in networks:
        ours, again, original = (f"{name}, {kind}" for kind in (OURS, AGAIN, ORIGINAL))
        layouts = by_torch(name, values)
        fastest = layouts[0]
        # More clips a second are less time.
        beside_original = Target(
            f"original's time over ours, {name}", over(values, ours, original), NO_SLOWER
        )
        beside_torch = Target(
            f"PyTorch's time over ours, {name}", over(values, ours, fastest), FASTER
        )
        targets += [beside_original, beside_torch]
        noise = ratios[f"{ours} / built again"] = over(values, ours, again)
        for layout in layouts:
            ratios[f"{ours} / {layout.removeprefix(f'{name}, ')}"] = over(values, ours, layout)
        sentences.append(
            f"- {name}: {_spread(beside_original.values)} times the original's clips a second, "
            f"where the same network built again is {_spread(noise)} of itself; "
            f"{_spread(beside_torch.values)} times those of {fastest.removeprefix(f'{name}, ')}."
        )
    return targets, ratios, ["\n".join(sentences)]


def _spread(ratio: Sequence[float]) -> str:
    return f"{statistics.median(ratio):.3f} ({min(ratio):.3f} to {max(ratio):.3f})"


def version_of(package: str) -> str:
    """Of an installed package."""
    import importlib.metadata

    return importlib.metadata.version(package)


# In the processes. ------------------------------------------------------------------------------


def start(name: str, batch: Inputs) -> None:
    """Build a network in all ways, see that they are alike, and make their steps ready."""
    import keras
    import torch
    from peers.alike import check_alike, for_torch, share_weights
    from peers.keras_originals import original_network
    from peers.torch_networks import torch_network
    from weights import draw_weights

    from keras_audio.models import create_model

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    keras.utils.set_random_seed(0)
    channels = batch.shape[-1]
    # Three features for each audio channel of the two-path network.
    audio_channels = channels // 3 if name == "two_path_resnet" else channels
    build = functools.partial(
        create_model, name, CLASSES, input="features", channels=audio_channels
    )
    keras_models = {OURS: build(), AGAIN: build()}
    keras_models[ORIGINAL] = original_network(name, CLASSES, channels)
    layouts = TORCH if len(batch.shape) == 3 else {"contiguous_format": TORCH["contiguous_format"]}
    modules = {
        kind: torch_network(name, CLASSES, channels).to(memory_format=getattr(torch, layout))
        for layout, kind in layouts.items()
    }
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch.batch_size, *batch.shape)).astype("float32")
    labels = rng.integers(CLASSES, size=batch.batch_size)
    ours, *others = keras_models.values()
    draw_weights(ours)
    share_weights(ours, *others, *modules.values())
    check_alike(x[:2], ours, *others, *modules.values())
    steps = {kind: keras_step(model, x, labels) for kind, model in keras_models.items()}
    for layout, kind in layouts.items():
        inputs = for_torch(x).contiguous(memory_format=getattr(torch, layout))
        steps[kind] = torch_step(modules[kind].train(), inputs, labels)
    for kind, step in steps.items():
        measures[f"{name}, {kind}"] = functools.partial(rate, repeated(step, batch.batch_size))


def keras_step(model, x: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    """A step as `keras_audio.training.train` makes it, of a batch that is ready."""
    import keras
    import tensorflow as tf

    from keras_audio.training.loop import TrainingLoop
    from keras_audio.training.workers import Workers

    strategy = tf.distribute.get_strategy()
    loop = TrainingLoop(
        None,
        model,
        [model],
        keras.optimizers.SGD(LEARNING_RATE, MOMENTUM),
        (),
        monitor="val_accuracy",
        strategy=strategy,
        workers=Workers(strategy),
    )
    batch = tf.constant(x), tf.one_hot(labels, CLASSES)

    def step() -> np.ndarray:
        loop.train_step(batch)
        return loop.totals.numpy()  # waits for a device that works on its own

    return step


def torch_step(module, x, labels: np.ndarray) -> Callable[[], object]:
    """The same step of PyTorch."""
    import torch

    optimizer = torch.optim.SGD(module.parameters(), LEARNING_RATE, MOMENTUM)
    targets = torch.from_numpy(labels)

    def step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(x), targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


# The command line. ------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    quick = "short clips, batches of 2, 2 rounds"
    parser = new_parser(__doc__, name="training_steps", repeats=3, quick=quick)
    names = f"default {','.join(NETWORKS)}"
    parser.add_argument("--networks", type=_networks, default=list(NETWORKS), help=names)
    parser.add_argument("--batch-size", type=int, help="clips; default 32, of ERANN 16")
    parser.add_argument("--threads", type=int, help="and cores; default all")
    small = {"batch_size": 2, "repeats": 2}
    return parsed(parser, arguments, small, ["batch_size", "threads"])


def _networks(text: str) -> list[str]:
    from keras_audio.models.binaural import PLAIN
    from keras_audio.models.erann import parse_name
    from keras_audio.models.residual_blocks import BLOCKS

    known = {"two_path_resnet", *PLAIN, *(f"m34_res_{block}" for block in BLOCKS)}
    names = text.split(",")
    for name in names:
        if name not in known and not parse_name(name):
            raise argparse.ArgumentTypeError(
                f"networks with peers: {', '.join(sorted(known))}, erann_S_W; not {name!r}"
            )
    return names


if __name__ == "__main__":
    sys.exit(main())
