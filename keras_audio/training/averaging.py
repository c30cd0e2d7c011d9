"""The moving average of a network's weights, measured and kept in their place."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf


class WeightAverage:
    """Exponential moving average of a network (Verbitskiy et al. 2022, section 4.1, eq. 6).

    The average of a weight starts at the weight itself, and after each step becomes
    `decay * average + (1 - decay) * weight`.

    Eq. (6) speaks of the learnable parameters. Decided here: the running statistics of batch norm
    are averaged as well. They follow the raw weights of the last few steps (at momentum 0.9, ten),
    while the averaged weights look a thousand steps back, so that the one would normalise what the
    other never gave. Their average leaves out where they start, at mean 0 and variance 1 of
    nothing: it is divided by the sum `1 - decay ** step` of its factors.

    Args:
        network: The network, built.
        decay: Share of the old average that a step keeps.

    Attributes:
        variables: The averages, to be stored in checkpoints.
    """

    def __init__(self, network: keras.Model, decay: float) -> None:
        self.decay = decay
        # The state of random generators, which are whole numbers, is no statistic.
        statistics = [v for v in network.non_trainable_variables if "float" in str(v.dtype)]
        self._learned = len(network.trainable_variables)
        self._weights = [*network.trainable_variables, *statistics]
        self.variables = [
            tf.Variable(weight.value, trainable=False, name=f"average_{index}")
            for index, weight in enumerate(self._weights)
        ]

    def update(self, step) -> None:
        """Take a step of the average; inside a `tf.function`, across all devices.

        Args:
            step: Number of the step, from 1.
        """
        share = 1.0 - self.decay
        corrected = share / (1.0 - tf.pow(self.decay, tf.cast(step, tf.float32)))
        pairs = zip(self.variables, self._weights, strict=True)
        for index, (average, weight) in enumerate(pairs):
            rate = share if index < self._learned else corrected
            average.assign_add(tf.cast(rate, average.dtype) * (weight.value - average))

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average into the network, and the weights back at the end."""
        raw = [np.asarray(weight.numpy()) for weight in self._weights]
        for average, weight in zip(self.variables, self._weights, strict=True):
            weight.assign(average.numpy())
        try:
            yield
        finally:
            for weight, value in zip(self._weights, raw, strict=True):
                weight.assign(value)
