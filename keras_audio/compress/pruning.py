"""Structured pruning: whole kernels set to zero, and held there (Pajusco et al. 2020, 4.1)."""

import dataclasses
import math
import numbers
from typing import NamedTuple

import keras
import numpy as np
from keras import layers, ops

from keras_audio.compress.kernels import flat_layers, kernels_and_scales, l1_norms
from keras_audio.tables import text_table


class PrunedLayer(NamedTuple):
    """What a round did to the kernels or the scales of one layer.

    Attributes:
        name: Of the layer.
        kind: `"kernel"` or `"scale"`.
        total: Kernels (or scales) that the layer has.
        alive_before: Those that were not zero before the round.
        pruned: Those that the round zeroed.
        alive_after: Those that are left.
        weights_zeroed: Weights that were not zero and are now.
    """

    name: str
    kind: str
    total: int
    alive_before: int
    pruned: int
    alive_after: int
    weights_zeroed: int


@dataclasses.dataclass(frozen=True)
class PruningRound:
    """What a round of pruning did.

    Attributes:
        rate: Share of the kernels alive that it was to zero.
        rows: One a layer and kind, in the order of the network; `PrunedLayer._fields` is the
            header of a CSV file of them.
        left: Names of the other layers with weights, normalisations aside: it leaves them as they
            are.
    """

    rate: float
    rows: tuple[PrunedLayer, ...]
    left: tuple[str, ...]

    @property
    def pruned(self) -> int:
        """Kernels and scales that were zeroed. At 0, another round would do nothing either."""
        return sum(row.pruned for row in self.rows)

    def table(self) -> str:
        """Give the rows as a table of plain text."""
        header = tuple(field.replace("_", " ") for field in PrunedLayer._fields)
        return text_table(header, (map(str, row) for row in self.rows), right=range(2, 7))


class HeldZeros(keras.constraints.Constraint):
    """Keep the kernels of a variable that were pruned exactly zero; see `hold_zeros`.

    It is set on the variable and is no part of the layer's configuration, so a saved model
    knows nothing of it.

    Args:
        zeros: Booleans, one a kernel (on the last axis): which stay zero.
        before: The constraint that the layer has of its own, applied first.
    """

    def __init__(self, zeros: np.ndarray, before=None) -> None:
        self.zeros = zeros
        self.before = before

    def __call__(self, w):
        """Apply the layer's own constraint, then put the zeros in."""
        w = ops.convert_to_tensor(w if self.before is None else self.before(w))
        # Chosen and not multiplied: a product leaves -0, and NaN where a step went wrong.
        return ops.where(self.zeros, ops.zeros_like(w), w)


def prune_round(
    model: keras.Model, rate: float, *, classifier: bool = False, scales: bool = True
) -> PruningRound:
    """Zero the least kernels of every convolution, in place, and hold them at zero.

    Pajusco et al. 2020, section 4.1: kernels are ranked by the L1 norm of their weights. Each layer
    is ranked by its own, as the authors' code does it, and so are the scales of each batch
    normalisation, by magnitude. Of those that are still alive in a layer (not zero throughout),
    `round(alive * rate)` are zeroed; at least one stays. Among equals the first goes. Biases,
    offsets and running statistics stay as they are.

    The text prunes "convolution kernels", but two counts of its Table 1 (130,730 of model C and
    238,896 of model D) are met only if the classifier is pruned as well, which leaves one of the
    three classes with a score that no sound changes. The default follows the text.

    Kernels of `Conv1D`, `Conv2D` and `Conv3D` are pruned, in groups or not. Other layers with
    weights (Dense, depthwise, separable and transposed convolutions, recurrent ones) are left as
    they are, and named. Where a residual sum ends in zeros from one side only, the other side still
    speaks: a zeroed kernel is a saving on its own path.

    Args:
        model: Built, of layers (functional or `Sequential`). Compile it again if it trains by a
            function of your own that was traced before.
        rate: Share of the kernels alive, above 0 and below 1. The report takes 0.1 and 0.2.
        classifier: Prune what stands behind `embedding` too. In a model without a layer of that
            name, the classifier is the last layer with a kernel and what follows it.
        scales: Prune the scales of batch normalisations too, as the authors do. Ranked apart from
            the kernels, they silence channels whose kernels are alive: after a round at 10 % about
            a fifth of a layer's channels say nothing. False prunes kernels alone.

    Returns:
        What was done, layer by layer.

    Raises:
        ValueError: If the rate is out of its range, a weight is not finite, the model has nothing
            that could be pruned or holds another model. It is then as it was.

    Example:
        >>> import keras_audio
        >>> model = keras_audio.create_model("m3", 10)
        >>> [row[:4] for row in prune_round(model, 0.1).rows if row.kind == "kernel"]
        [('group1_1_conv', 'kernel', 256, 256), ('group2_1_conv', 'kernel', 256, 256)]
        >>> prune_round(model, 0.1).rows[0].alive_after  # 256 - round(25.6) - round(23.0)
        207
    """
    rate = _rate(rate)
    behind = _classifier(model)
    chosen = [
        (layer, kind, variable, np.array(ops.convert_to_numpy(variable)))
        for layer, kind, variable in kernels_and_scales(model)
        if (classifier if layer.name in behind else not isinstance(layer, layers.Dense))
        and (scales or kind == "kernel")
    ]
    if not chosen:
        raise ValueError(
            "Expected a model with convolutions or scales of batch normalisations to prune. "
            f"Received: model={model.name!r}"
        )
    for layer, kind, _, values in chosen:
        if not np.isfinite(values.astype("float32")).all():
            raise ValueError(
                f"Expected finite weights to rank. Received: the {kind} of {layer.name!r}, "
                "which holds values that are not"
            )
    rows = []
    for layer, kind, variable, values in chosen:
        least, alive = _least(values, rate)
        zeroed = np.count_nonzero(values[..., least])
        if least.size:
            values[..., least] = 0
            variable.assign(values)
        total = values.shape[-1]
        rows.append(
            PrunedLayer(layer.name, kind, total, alive, least.size, alive - least.size, zeroed)
        )
    hold_zeros(model)
    ranked = {row.name for row in rows}
    left = [
        layer.name
        for layer in model.layers
        if layer.weights
        and layer.name not in ranked
        and not isinstance(layer, layers.BatchNormalization | layers.Normalization)
    ]
    return PruningRound(rate, tuple(rows), tuple(left))


def hold_zeros(model: keras.Model) -> None:
    """Hold every pruned kernel and scale at exactly zero through training.

    The zeros themselves say what was pruned: a kernel all of whose weights are exactly 0, and a
    scale that is exactly 0. So nothing else has to be stored: a model that was saved after
    `prune_round` is loaded like any other, and this holds it again. A layer without a kernel alive
    was not pruned, since one always stays (it was made with zeros), and is left free.

    A constraint on the variable puts the zeros back after each step of the optimizer, whatever its
    momentum, weight decay or sign; a constraint that the layer has of its own comes first. It holds
    what is zero now: called again, it holds more after another round, or less after the weights of
    an earlier one were put back. Where the optimizer itself averages weights (`use_ema`), the
    average is taken before the constraint, and cannot be held.

    Args:
        model: Built. If it is compiled, `fit` traces its step anew; a traced function of your own
            must be, too.

    Raises:
        ValueError: If the model holds another model, or is compiled with an optimizer that
            averages weights.

    Example:
        >>> kernel = keras.ops.convert_to_tensor([[1.0, 0.0]])
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, use_bias=False)])
        >>> model.set_weights([kernel])
        >>> hold_zeros(model)
        >>> model.layers[0].kernel.constraint(keras.ops.convert_to_tensor([[3.0, 4.0]])).numpy()
        array([[3., 0.]], dtype=float32)
    """
    optimizer = model.optimizer if model.compiled else None
    if getattr(optimizer, "use_ema", False):
        raise ValueError(
            "Expected an optimizer that does not average weights, since its average would not be "
            f"held at zero. Received: {type(optimizer).__name__} with use_ema=True"
        )
    changed = False
    for _, _, variable in kernels_and_scales(model):
        held = variable.constraint
        before = held.before if isinstance(held, HeldZeros) else held
        zeros = l1_norms(ops.convert_to_numpy(variable)) == 0
        holds = zeros.any() and not zeros.all()
        if holds and isinstance(held, HeldZeros) and np.array_equal(held.zeros, zeros):
            continue
        variable.constraint = HeldZeros(zeros, before) if holds else before
        changed = changed or variable.constraint is not held
    if changed:
        # What Keras has traced holds the constraints of before.
        model.train_function = None


def _rate(rate: float) -> float:
    number = isinstance(rate, numbers.Real) and not isinstance(rate, bool)
    if not number or not math.isfinite(rate) or not 0 < rate < 1:
        raise ValueError(f"Expected rate to be above 0 and below 1. Received: rate={rate!r}")
    return float(rate)


def _classifier(model: keras.Model) -> set[str]:
    """Name the layers that make classes of the embedding: what the embedding does not need."""
    names = [layer.name for layer in flat_layers(model)]
    if "embedding" in names:
        body = keras.Model(model.inputs, model.get_layer("embedding").output)
        return set(names) - {layer.name for layer in body.layers}
    last = [layer.name for layer, kind, _ in kernels_and_scales(model) if kind == "kernel"][-1:]
    return set(names[names.index(last[0]) :]) if last else set()


def _least(values: np.ndarray, rate: float) -> tuple[np.ndarray, int]:
    """Rank kernels: the indices of those to zero, and the number of those alive."""
    norms = l1_norms(values)
    alive = np.flatnonzero(norms)
    count = max(min(round(alive.size * rate), alive.size - 1), 0)
    return alive[np.argsort(norms[alive], kind="stable")][:count], alive.size
