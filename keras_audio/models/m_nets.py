"""The plain networks on raw waveforms that the residual ones are compared with: M3 to M18.

Dai et al. 2017, "Very deep convolutional neural networks for raw waveforms", table 1: reference [6]
of Naranjo-Alcazar et al. 2019.
"""

from keras import layers

from keras_audio.layers.checks import at_least
from keras_audio.models.parts import Parts
from keras_audio.models.registry import register_model

# Groups of (filters, convolutions). The first group is the one wide convolution of kernel 80,
# all others have kernel 3; a pool of 4 stands between groups.
M_NETS = {
    "m3": {"groups": ((256, 1), (256, 1)), "pool_last": True},
    "m5": {"groups": ((128, 1), (128, 1), (256, 1), (512, 1)), "pool_last": True},
    "m11": {"groups": ((64, 1), (64, 2), (128, 2), (256, 3), (512, 2)), "pool_last": False},
    "m18": {"groups": ((64, 1), (64, 4), (128, 4), (256, 4), (512, 4)), "pool_last": False},
}


def min_samples(groups, pool_last: bool) -> int:
    """Give the least number of samples that leaves one step for the average at the end."""
    pools = len(groups) if pool_last else len(groups) - 1
    # The first convolution rounds up at its stride of 4, the pools round down.
    return 4 * (4**pools - 1) + 1


@register_model(
    names=M_NETS,
    sample_rate=8000,
    min_samples=min_samples,
    paper="Dai 2017, Very deep convolutional neural networks for raw waveforms",
    table="Table 1",
)
def m_net(
    x,
    num_classes: int,
    *,
    groups: tuple[tuple[int, int], ...],
    pool_last: bool,
    first_stride: int = 4,
    batch_norm_momentum: float = 0.99,
    batch_norm_epsilon: float = 1e-3,
    kernel_regularizer: float | None = None,
):
    """Convolution, batch normalisation and ReLU, again and again, with pools between.

    Args:
        x: `(batch, samples, channels)`
        num_classes: Number of outputs.
        groups: Filters and number of convolutions of every group.
        pool_last: Whether the last group has a pool, too.
        first_stride: Stride of the first convolution.
        batch_norm_momentum: See `Parts`.
        batch_norm_epsilon: See `Parts`.
        kernel_regularizer: See `Parts`.

    Returns:
        Logits `(batch, num_classes)`.

    Example:
        >>> import keras_audio
        >>> keras_audio.create_model("m5", 10).count_params()
        561162
    """
    first_stride = at_least("first_stride", first_stride, 1)
    parts = Parts(1, batch_norm_momentum, batch_norm_epsilon, kernel_regularizer)
    for number, (filters, convolutions) in enumerate(groups, 1):
        for index in range(1, convolutions + 1):
            name = f"group{number}_{index}"
            size, stride = (80, first_stride) if number == 1 else (3, 1)
            x = parts.conv(filters, size, f"{name}_conv", strides=stride)(x)
            x = parts.batch_norm(f"{name}_bn")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
        if number < len(groups) or pool_last:
            x = parts.max_pool(4, f"group{number}_pool")(x)
    return parts.classifier(x, num_classes)
