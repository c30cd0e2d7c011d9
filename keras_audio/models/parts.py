"""The layers that the networks on one and two axes share, with the settings of one network."""

import dataclasses
from typing import Any

import keras
from keras import layers

from keras_audio.layers import BatchNorm


@dataclasses.dataclass(frozen=True)
class Parts:
    """Makes named layers for a network on time (rank 1) or on mel bins and time (rank 2).

    Args:
        rank: 1 or 2, the number of axes that convolutions and pools run over.
        batch_norm_momentum: Share of the old value in the running statistics. Keras' 0.99 lags on
            small data sets.
        batch_norm_epsilon: Added to the variance.
        kernel_regularizer: Factor of the L2 penalty on convolution and Dense kernels, or None.
        kernel_initializer: Draws the kernels of convolutions: a name, or what describes one (each
            layer makes its own of it).

    Example:
        >>> Parts(rank=1).conv(48, 80, "conv1", strides=4)(keras.Input((32000, 1))).shape
        (None, 8000, 48)
    """

    rank: int
    batch_norm_momentum: float = 0.99
    batch_norm_epsilon: float = 1e-3
    kernel_regularizer: float | None = None
    kernel_initializer: str | dict[str, Any] = "glorot_uniform"

    def __post_init__(self):
        momentum, factor = self.batch_norm_momentum, self.kernel_regularizer
        if not 0 <= momentum < 1:
            raise ValueError(
                "Expected batch_norm_momentum from 0 to below 1. "
                f"Received: batch_norm_momentum={momentum!r}"
            )
        if not self.batch_norm_epsilon > 0:
            raise ValueError(
                "Expected batch_norm_epsilon above 0. "
                f"Received: batch_norm_epsilon={self.batch_norm_epsilon!r}"
            )
        if factor is not None and not (isinstance(factor, int | float) and factor >= 0):
            raise ValueError(
                "Expected kernel_regularizer to be the factor of an L2 penalty, 0 or more, or "
                f"None. Received: kernel_regularizer={factor!r}"
            )

    def conv(
        self,
        filters: int,
        kernel_size,
        name: str,
        strides=1,
        padding: str = "same",
        use_bias: bool = True,
    ) -> layers.Layer:
        """Make a convolution."""
        kind = {1: layers.Conv1D, 2: layers.Conv2D}[self.rank]
        return kind(
            filters,
            kernel_size,
            strides=strides,
            padding=padding,
            use_bias=use_bias,
            kernel_initializer=self.kernel_initializer,
            kernel_regularizer=self._penalty(),
            name=name,
        )

    def batch_norm(
        self, name: str, axis: int = -1, dtype=None, learned: bool = True
    ) -> layers.Layer:
        """Make a batch normalisation over the channels, or over another axis.

        Scale and offset are learned, or there are none.
        """
        return BatchNorm(
            axis=axis,
            momentum=self.batch_norm_momentum,
            epsilon=self.batch_norm_epsilon,
            scale=learned,
            center=learned,
            dtype=dtype,
            name=name,
        )

    def dense(self, units: int, name: str, activation: str | None = None) -> layers.Layer:
        """Make a Dense layer in float32 under every dtype policy."""
        return layers.Dense(
            units,
            activation=activation,
            kernel_regularizer=self._penalty(),
            dtype="float32",
            name=name,
        )

    def max_pool(self, size, name: str, padding: str = "valid") -> layers.Layer:
        """Make a max-pool whose strides are its size."""
        kind = {1: layers.MaxPooling1D, 2: layers.MaxPooling2D}[self.rank]
        return kind(size, padding=padding, name=name)

    def classifier(self, x, num_classes: int):
        """Average over everything but the channels (`embedding`), then Dense (`logits`).

        Both in float32 under every dtype policy: they cost nothing, and a half-precision average
        over thousands of samples is coarse.
        """
        kind = {1: layers.GlobalAveragePooling1D, 2: layers.GlobalAveragePooling2D}[self.rank]
        x = kind(dtype="float32", name="embedding")(x)
        return self.dense(num_classes, "logits")(x)

    def _penalty(self) -> keras.regularizers.Regularizer | None:
        factor = self.kernel_regularizer
        return keras.regularizers.L2(factor) if factor else None
