"""The residual network whose paths for low and high frequencies meet two layers before its end.

McDonnell and Gao 2019, sections 2.2 and 3.1 to 3.4. What the report leaves out was read off the
authors' network: the strides, the widths of the two last convolutions, and that the second of them
has a batch norm, but no ReLU, before it.
"""

import keras
from keras import layers

from keras_audio.layers import ChannelPad, Deltas, KeepBeside, LogMelSpectrogram
from keras_audio.layers.checks import at_least
from keras_audio.models.parts import Parts
from keras_audio.models.registry import register_model

PAPER = "McDonnell 2019, Acoustic scene classification using deep residual networks"
SAMPLE_RATE = 48000
NUM_MELS = 128
HOP_LENGTH = 1024
STAGES = 4
BLOCKS_PER_STAGE = 2


def two_path_front_end(
    x, *, sample_rate: int = SAMPLE_RATE, deltas: bool = True, fft_dtype: str = "float64"
):
    """Take the log-mels of section 3.1 and, as further channels, their deltas and delta-deltas.

    Windows of 2048 samples, hops of 1024, 128 mel bins from 0 Hz to half the sample rate on the
    HTK scale. Read off the authors' code: triangles with a peak of one, `ln(power + 1e-8)`. Their
    tool, librosa, pads by reflection.

    Args:
        x: `(batch, samples, channels)`, at least 8192 samples (1025 without deltas).
        sample_rate: Of the waveforms, in Hz: 48000 in task 1a, 44100 in tasks 1b and 1c.
        deltas: Whether there are deltas and delta-deltas.
        fft_dtype: Of the Fourier transform. `ln(power + 1e-8)` looks far below the peak of a
            frame, where float32 is lost in rounding; float64 equals librosa to 1e-5.

    Returns:
        `(batch, 128, samples // 1024 - 7, 3 * channels)`: all log-mels, all deltas, all
        delta-deltas; without deltas `(batch, 128, samples // 1024 + 1, channels)`.
    """
    x = LogMelSpectrogram(
        sample_rate,
        n_fft=2048,
        hop_length=HOP_LENGTH,
        num_mels=NUM_MELS,
        htk=True,
        norm=None,
        scale="log",
        offset=1e-8,
        fft_dtype=fft_dtype,
    )(x)
    return Deltas()(x) if deltas else x


def _features_per_channel(*, deltas: bool = True) -> int:
    return 3 if deltas else 1


@register_model(
    names={"two_path_resnet": {}},
    sample_rate=SAMPLE_RATE,
    channels=2,
    min_samples=8 * HOP_LENGTH,
    mels=NUM_MELS,
    features_per_channel=_features_per_channel,
    front_end=two_path_front_end,
    paper=PAPER,
    table="Tables 1 to 4",
)
def two_path_resnet(
    x,
    num_classes: int,
    *,
    num_filters: int = 24,
    paths: int = 2,
    split: int | None = None,
    frequency_downsampling: bool = False,
    learned_batch_norm: bool = False,
    learned_pooling: bool = False,
    batch_norm_momentum: float = 0.99,
    batch_norm_epsilon: float = 1e-3,
    kernel_regularizer: float | None = None,
):
    """Build the network of section 3: paths of 17 convolutions, late fusion, pooling last.

    Args:
        x: `(batch, 128, frames, channels)`
        num_classes: Number of outputs.
        num_filters: Channels of the first stage; each of the three others doubles them.
        paths: Number of residual networks, each on its own mel bins.
        split: The first mel bin of the upper of two paths; None parts the bins evenly.
        frequency_downsampling: Whether strides are two along frequency too (section 3.3: no).
        learned_batch_norm: Whether all batch norms learn a scale and an offset, and not the first
            of each path alone (section 3.5: no).
        learned_pooling: Whether a learned weight for each frequency takes the place of their
            average at the end (section 3.3: no).
        batch_norm_momentum: See `Parts`. The authors': Keras' 0.99.
        batch_norm_epsilon: See `Parts`. The authors': Keras' 1e-3.
        kernel_regularizer: See `Parts`. The report: 1e-3 in Keras (section 3.5).

    Returns:
        Logits `(batch, num_classes)`.

    Raises:
        ValueError: If the mel bins cannot be parted so.

    Example:
        >>> import keras_audio, math
        >>> model = keras_audio.create_model("two_path_resnet", 10, channels=1)
        >>> sum(math.prod(weight.shape) for weight in model.trainable_weights)
        3246108
    """
    num_filters = at_least("num_filters", num_filters, 1)
    parts = Parts(
        2,
        batch_norm_momentum,
        batch_norm_epsilon,
        kernel_regularizer,
        kernel_initializer="he_normal",
    )

    def batch_norm(x, name: str):
        return parts.batch_norm(name, learned=learned_batch_norm)(x)

    def relu(x, name: str):
        return layers.ReLU(name=name)(x)

    def conv(x, filters: int, size: int, name: str, strides=1):
        return parts.conv(filters, size, name, strides, use_bias=False)(x)

    def residual_block(x, filters: int, strides: tuple[int, int], name: str):
        """Add what two pre-activated convolutions make of `x` to `x` (section 3.4)."""
        shortcut = x
        if strides != (1, 1):
            pool = layers.AveragePooling2D(3, strides, padding="same", name=f"{name}_pool")
            shortcut = pool(shortcut)
        if x.shape[-1] != filters:
            shortcut = ChannelPad(filters, name=f"{name}_shortcut")(shortcut)
        for number, stride in enumerate((strides, 1), 1):
            x = relu(batch_norm(x, f"{name}_bn{number}"), f"{name}_relu{number}")
            x = conv(x, filters, 3, f"{name}_conv{number}", stride)
        return layers.Add(name=f"{name}_add")([shortcut, x])

    def path(x, name: str):
        # Learned, in place of a normalisation of the features; in float32, as they are.
        x = parts.batch_norm(f"{name}_input_bn", dtype="float32")(x)
        downsampling = (2 if frequency_downsampling else 1, 2)
        x = conv(x, num_filters, 3, f"{name}_stem_conv", downsampling)
        for stage in range(STAGES):
            for index in range(1, BLOCKS_PER_STAGE + 1):
                strides = downsampling if stage and index == 1 else (1, 1)
                block = f"{name}_stage{stage + 1}_block{index}"
                x = residual_block(x, num_filters * 2**stage, strides, block)
        return x

    ends = []
    for number, (first, last) in enumerate(mel_bands(x.shape[1], paths, split), 1):
        edges = ((first, x.shape[1] - last), (0, 0))
        # In float32, like the batch norm behind it: half precision would round the features.
        bins = layers.Cropping2D(edges, dtype="float32", name=f"path{number}_bins")(x)
        ends.append(path(bins, f"path{number}"))
    x = layers.Concatenate(axis=1, name="fusion")(ends) if len(ends) > 1 else ends[0]
    x = relu(batch_norm(x, "fusion_bn"), "fusion_relu")
    x = conv(x, num_filters * 32, 1, "fusion_conv")
    x = batch_norm(x, "embedding_bn")
    # What the last convolution weighs is linear, so its average is the vector that is classified.
    # The way to the logits does not lead through it: their batch norm comes before the pooling.
    embedding = layers.GlobalAveragePooling2D(dtype="float32", name="embedding")(x)
    x = batch_norm(conv(x, num_classes, 1, "logits_conv"), "logits_bn")
    if learned_pooling:
        x = _weighted_over_frequency(x)
    else:
        x = layers.GlobalAveragePooling2D(dtype="float32", name="logits_pool")(x)
    return KeepBeside(dtype="float32", name="logits")([x, embedding])


def mel_bands(bins: int, paths: int, split: int | None) -> list[tuple[int, int]]:
    """Part the mel bins: the first bin of each path, and the one after its last.

    Raises:
        ValueError: If they cannot be parted so.

    Example:
        >>> mel_bands(128, 2, None), mel_bands(128, 2, 40), mel_bands(128, 1, None)
        ([(0, 64), (64, 128)], [(0, 40), (40, 128)], [(0, 128)])
    """
    paths = at_least("paths", paths, 1)
    if split is None:
        if bins % paths:
            raise ValueError(f"Expected paths that part {bins} mel bins evenly. Received: {paths=}")
        size = bins // paths
        return [(first, first + size) for first in range(0, bins, size)]
    if paths != 2:
        raise ValueError(f"Expected split with two paths only. Received: {split=}, {paths=}")
    if at_least("split", split, 1) >= bins:
        raise ValueError(f"Expected split to be below {bins}, the mel bins. Received: {split=}")
    return [(0, split), (split, bins)]


def equal_width(num_filters: int, *, feature_channels: int = 3, num_classes: int = 10) -> int:
    """Give the width of one path whose trainable parameters come nearest to those of two.

    Args:
        num_filters: The width of the two paths.
        feature_channels: Channels of the features, as the front end gives them.
        num_classes: Number of outputs.

    Example:
        >>> equal_width(24), equal_width(8)
        (33, 11)
    """

    def parameters(filters: int, paths: int) -> int:
        # 3x3 convolutions of a path in units of filters ** 2: the stages' 4, then 2 + 12 and so on.
        path = feature_channels * (2 + 9 * filters) + 9 * (4 + 14 + 56 + 224) * filters**2
        return paths * path + 32 * filters * (8 * filters + num_classes)

    wanted = parameters(num_filters, 2)
    widths = range(num_filters, 2 * num_filters + 1)
    return min(widths, key=lambda width: abs(parameters(width, 1) - wanted))


def _weighted_over_frequency(x):
    """Add up over frequency with learned weights, at first those of an average, then over time."""
    bins, classes = x.shape[1], x.shape[-1]
    x = layers.Permute((2, 3, 1), dtype="float32", name="bins_last")(x)
    weights = keras.initializers.Constant(1 / bins)
    x = layers.Dense(
        1, use_bias=False, kernel_initializer=weights, dtype="float32", name="logits_weights"
    )(x)
    x = layers.Reshape((-1, classes), dtype="float32", name="time_and_classes")(x)
    return layers.GlobalAveragePooling1D(dtype="float32", name="logits_pool")(x)
