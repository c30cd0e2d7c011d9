"""ERANN: residual networks on log-mels that trade time resolution for speed.

Verbitskiy et al. 2022, sections 3.1 and 3.2. `erann_{s_m}_{w}` has the paper's two parameters in
its name: s_m from 0 to 3, how many of the stages 1 to 3 shorten time by four in place of two, and
the widening factor w, any whole number from 1.
"""

import re
from typing import Any

from keras import layers

from keras_audio.layers import LogMelSpectrogram, PadSeconds
from keras_audio.models.parts import Parts
from keras_audio.models.registry import register_model

PAPER = "Verbitskiy et al. 2022, ERANNs: Efficient Residual Audio Neural Networks"
SAMPLE_RATE = 44100
NUM_MELS, FMIN, FMAX = 128, 50.0, 14000.0
# Section 3.1; the least power is decided (NOTES): 1e-10, so that nothing lies below -100 dB.
FLOOR_DB = -100.0
# The systems of the paper's tables, (s_m, w); any other is found by its name.
SYSTEMS = ((0, 3), (0, 4), (0, 6), (1, 3), (1, 4), (1, 6), (2, 4), (2, 5), (2, 6), (3, 6))
# Eq. (5): a stride's first kernel, second kernel and second padding; the first padding is 1.
KERNELS = {1: (3, 3, 1), 2: (3, 3, 1), 4: (6, 5, 2)}
BLOCKS_PER_STAGE = 4


def erann_front_end(x, *, least_seconds: int = 1):
    """Zero-pad to whole seconds and take the log-mel spectrogram of section 3.1.

    Hann windows of 1380 samples, hops of 345, 128 mel bins from 50 to 14000 Hz: 128 frames a
    second. Decided, since the paper does not say: Slaney's mel scale and area normalisation,
    reflect padding, `10 log10(max(power, 1e-10))`.

    Args:
        x: `(batch, samples, channels)` at 44.1 kHz, of any length.
        least_seconds: Seconds that shorter clips are padded to. The paper: to the next second.

    Returns:
        `(batch, 128, 128 frames a begun second, channels)` in dB.
    """
    x = PadSeconds(SAMPLE_RATE, hop_length=345, least_seconds=least_seconds)(x)
    return LogMelSpectrogram(
        SAMPLE_RATE, n_fft=1380, hop_length=345, num_mels=NUM_MELS, fmin=FMIN, fmax=FMAX
    )(x)


def mel_frequencies() -> list[float]:
    """Give the centre of each mel bin, in Hz."""
    import librosa

    return librosa.mel_frequencies(NUM_MELS + 2, fmin=FMIN, fmax=FMAX)[1:-1].tolist()


def parse_name(name: str) -> dict[str, Any] | None:
    """Give the keywords that the name of a network stands for, None if it is none of these.

    Example:
        >>> parse_name("erann_2_5"), parse_name("erann_4_5")
        ({'s_m': 2, 'width': 5}, None)
    """
    match = re.fullmatch(r"erann_([0-3])_([1-9][0-9]{0,3})", name)
    return {"s_m": int(match[1]), "width": int(match[2])} if match else None


def time_strides(s_m: int) -> tuple[int, ...]:
    """Give the time strides of the stages 0 to 4 (eq. 3).

    Example:
        >>> time_strides(2)
        (1, 4, 4, 2, 2)
    """
    return (1, *(4 if stage <= s_m else 2 for stage in (1, 2, 3)), 2)


@register_model(
    names={f"erann_{s_m}_{width}": {"s_m": s_m, "width": width} for s_m, width in SYSTEMS},
    parse=parse_name,
    sample_rate=SAMPLE_RATE,
    min_samples=1,
    mels=NUM_MELS,
    front_end=erann_front_end,
    paper=PAPER,
    table="Tables 4, 6, 8, 9",
)
def erann(
    x,
    num_classes: int,
    *,
    s_m: int,
    width: int,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    kernel_regularizer: float | None = None,
):
    """Build the network of Table 1: five stages of audio residual blocks, pooling, two FC layers.

    Args:
        x: `(batch, 128, frames, channels)`; frames a multiple of 128, as whole seconds have.
        num_classes: Number of outputs.
        s_m: The decreasing temporal size parameter, 0 to 3.
        width: The widening factor W.
        batch_norm_momentum: See `Parts`. Decided (NOTES): 0.9.
        batch_norm_epsilon: See `Parts`. Decided (NOTES): 1e-5.
        kernel_regularizer: See `Parts`. The paper has none.

    Returns:
        Logits `(batch, num_classes)`.

    Example:
        >>> import keras_audio, math
        >>> model = keras_audio.create_model("erann_1_3", 50)
        >>> sum(math.prod(weight.shape) for weight in model.trainable_weights)
        13557066
    """
    parts = Parts(2, batch_norm_momentum, batch_norm_epsilon, kernel_regularizer)
    # Over the mel bins, in place of standardised data (section 3.2). In float32: half precision
    # has no tenths of a decibel.
    x = parts.batch_norm("input_bn", axis=1, dtype="float32")(x)
    for stage, time_stride in enumerate(time_strides(s_m)):
        filters = 8 * 2**stage * width
        for index in range(1, BLOCKS_PER_STAGE + 1):
            strides = (2 if stage else 1, time_stride) if index == 1 else (1, 1)
            x = audio_residual_block(
                x,
                filters,
                strides,
                parts,
                f"stage{stage}_block{index}",
                preactivate=(stage, index) != (0, 1),
            )
    # Average plus maximum, as in the paper's reference [11].
    average = layers.GlobalAveragePooling2D(dtype="float32", name="average_pool")(x)
    maximum = layers.GlobalMaxPooling2D(dtype="float32", name="max_pool")(x)
    x = layers.Add(dtype="float32", name="global_pool")([average, maximum])
    x = parts.dense(filters, "fc1")(x)
    x = layers.LeakyReLU(0.01, dtype="float32", name="embedding")(x)
    return parts.dense(num_classes, "logits")(x)


def audio_residual_block(
    x, filters: int, strides: tuple[int, int], parts: Parts, name: str, preactivate: bool = True
):
    """Apply ARB(x, y, c) of Table 2: pre-activation, with kernels that grow with the stride.

    Args:
        x: `(batch, mels, frames, channels)`
        filters: Channels of the output.
        strides: Along frequency and time, each a key of `KERNELS`.
        parts: Makes the layers.
        name: Prefix of the layers' names.
        preactivate: Whether the block starts with batch norm and leaky ReLU, as all do but the
            first of the network.

    Returns:
        `(batch, mels / strides[0], frames / strides[1], filters)`
    """
    first = tuple(KERNELS[stride][0] for stride in strides)
    second = tuple(KERNELS[stride][1] for stride in strides)
    shortcut = x
    # The 1x1 convolution, with a bias, stands only where the shape changes (NOTES).
    if strides != (1, 1):
        # A 1x1 convolution with strides sees every n-th value only. Said in two layers, since the
        # gradient of a strided one writes past its memory in TensorFlow 2.21 on CPUs (oneDNN).
        shortcut = layers.AveragePooling2D(1, strides, name=f"{name}_subsample")(x)
    if strides != (1, 1) or x.shape[-1] != filters:
        shortcut = parts.conv(filters, 1, f"{name}_shortcut")(shortcut)
    if preactivate:
        x = parts.batch_norm(f"{name}_bn1")(x)
        x = layers.LeakyReLU(0.01, name=f"{name}_relu1")(x)
    padding = "same"
    if strides != (1, 1):
        # 'same' would put the zeros on the other side. At stride 1 with odd kernels, as everywhere
        # below, it is the paper's padding.
        x = layers.ZeroPadding2D(1, name=f"{name}_pad1")(x)
        padding = "valid"
    x = parts.conv(filters, first, f"{name}_conv1", strides, padding=padding, use_bias=False)(x)
    x = parts.batch_norm(f"{name}_bn2")(x)
    x = layers.LeakyReLU(0.01, name=f"{name}_relu2")(x)
    x = parts.conv(filters, second, f"{name}_conv2", use_bias=False)(x)
    return layers.Add(name=f"{name}_add")([shortcut, x])
