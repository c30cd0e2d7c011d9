"""What makes several devices train as one would with the whole batch."""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_audio.training.workers import Workers

_SEED_STATE = "seed_generator_state"
# Further than any training draws.
_APART = 1_000_003


@contextlib.contextmanager
def joint_batch_norms(network: keras.Model, joint: bool) -> Iterator[None]:
    """While the block runs, batch norms normalise by the whole batch, or by each device's part.

    A part is of other statistics than the batch, by which the papers' networks are trained; and the
    running statistics, which each device keeps, would drift apart.

    Args:
        network: The network. What is traced in the block stays as it was traced.
        joint: Whether by the whole batch.
    """
    norms = [
        layer
        for layer in network._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    before = [norm.synchronized for norm in norms]
    for norm in norms:
        norm.synchronized = joint
    try:
        yield
    finally:
        for norm, synchronized in zip(norms, before, strict=True):
            norm.synchronized = synchronized


def check_equal(workers: Workers, variables: Mapping[str, Sequence]) -> None:
    """Make sure that all workers begin with the same weights, averages and counters.

    Raises:
        ValueError: In those where they are others than in the first.
    """
    if workers.count > 1:
        digest = hashlib.sha256()
        for members in variables.values():
            for variable in members:
                digest.update(np.asarray(variable.numpy()).tobytes())
        workers.check_same({"variables": digest.hexdigest()})


def draw_apart(strategy: tf.distribute.Strategy, variables: Sequence[keras.Variable]) -> None:
    """Let each device draw random numbers of its own; the first draws what one alone would.

    Otherwise all drop the same units, and mix their parts of the batch alike.

    Args:
        strategy: Under which the variables were made.
        variables: All of a training, with the states of random generators as they are stored.
    """
    states = [variable for variable in variables if variable.name == _SEED_STATE]

    def shift() -> None:
        device = tf.distribute.get_replica_context().replica_id_in_sync_group
        for state in states:
            apart = tf.cast(device * _APART, state.value.dtype)
            state.assign(state.value + tf.stack([apart, tf.zeros_like(apart)]))

    if states:
        tf.function(lambda: strategy.run(shift), autograph=False)()
