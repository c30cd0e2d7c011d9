"""Six designs of a residual block in one network, on waveforms and on log-mel spectrograms.

Naranjo-Alcazar et al. 2019, "On the performance of residual block design alternatives in
convolutional neural networks for end-to-end audio classification".
"""

from collections.abc import Sequence

from keras import layers

from keras_audio.layers import ChannelRepeat, LogMelSpectrogram, PadFrames
from keras_audio.layers.checks import at_least
from keras_audio.models.parts import Parts
from keras_audio.models.registry import register_model

PAPER = "Naranjo-Alcazar 2019, On the performance of residual block design alternatives"

# Section III and Fig. 3: all that differs between the six blocks.
#        on the residual path      after the addition
BLOCKS = {
    "rb1": ("conv bn relu conv bn", "relu"),
    "rb2": ("conv bn relu conv", "bn relu"),
    "rb3": ("conv bn relu conv bn relu", ""),
    "rb4": ("relu conv bn relu conv bn", ""),
    "rb5": ("bn relu conv bn relu conv", ""),
    "rb6": ("conv bn relu conv bn", "bn relu"),
}

# (filters, blocks) of every stage: Fig. 2 for waveforms, Table I for spectrograms.
WAVEFORM_STAGES = ((48, 3), (96, 4), (192, 6), (384, 3))
SPECTROGRAM_STAGES = ((48, 1), (96, 2), (192, 3), (384, 1))
SPECTROGRAM_MELS = 64


def residual_block(x, block: str, filters: int, parts: Parts, name: str):
    """Add what the residual path makes of `x` to `x`.

    Where the block widens, the shortcut repeats each channel, which has no parameters: that is
    how the original network of Dai et al. 2017 does it.

    Args:
        x: `(batch, ..., channels)`, with as many axes as `parts.rank` says.
        block: A key of `BLOCKS`.
        filters: Channels of the output, a multiple of those of `x`.
        parts: Makes the layers.
        name: Start of all layer names.

    Returns:
        `(batch, ..., filters)`

    Example:
        >>> import keras
        >>> residual_block(keras.Input((100, 48)), "rb4", 96, Parts(1), "example").shape
        (None, 100, 96)
    """
    path, after = BLOCKS[block]
    count = {"conv": 0, "bn": 0, "relu": 0}

    def run(x, kinds: str):
        for kind in kinds.split():
            count[kind] += 1
            layer_name = f"{name}_{kind}{count[kind]}"
            if kind == "conv":
                x = parts.conv(filters, 3, layer_name)(x)
            elif kind == "bn":
                x = parts.batch_norm(layer_name)(x)
            else:
                x = layers.ReLU(name=layer_name)(x)
        return x

    shortcut = x
    if x.shape[-1] != filters:
        shortcut = ChannelRepeat(filters // x.shape[-1], name=f"{name}_shortcut")(x)
    x = layers.Add(name=f"{name}_add")([shortcut, run(x, path)])
    return run(x, after)


@register_model(
    names={f"m34_res_{block}": {"block": block} for block in BLOCKS},
    sample_rate=8000,
    # The stride of 4 rounds up and the four pools of 4 round down.
    min_samples=4 * (4**4 - 1) + 1,
    paper=PAPER,
    table="Table II",
)
def m34_res(
    x,
    num_classes: int,
    *,
    block: str,
    first_stride: int = 4,
    batch_norm_momentum: float = 0.99,
    batch_norm_epsilon: float = 1e-3,
    kernel_regularizer: float | None = None,
):
    """M34-res, the 34 layers of Fig. 2 on raw waveforms.

    Args:
        x: `(batch, samples, channels)`
        num_classes: Number of outputs.
        block: A key of `BLOCKS`.
        first_stride: Stride of the first convolution.
        batch_norm_momentum: See `Parts`.
        batch_norm_epsilon: See `Parts`.
        kernel_regularizer: See `Parts`. The paper: 1e-4.

    Returns:
        Logits `(batch, num_classes)`.

    Example:
        >>> import keras_audio
        >>> keras_audio.create_model("m34_res_rb6", 10).count_params()
        4001242
    """
    first_stride = at_least("first_stride", first_stride, 1)
    parts = Parts(1, batch_norm_momentum, batch_norm_epsilon, kernel_regularizer)
    x = parts.conv(48, 80, "stem_conv", strides=first_stride)(x)
    x = parts.batch_norm("stem_bn")(x)
    x = layers.ReLU(name="stem_relu")(x)
    for stage, (filters, blocks) in enumerate(WAVEFORM_STAGES, 1):
        x = parts.max_pool(4, f"stage{stage}_pool")(x)
        for index in range(1, blocks + 1):
            x = residual_block(x, block, filters, parts, f"stage{stage}_block{index}")
    return parts.classifier(x, num_classes)


def log_mel_front_end(
    x,
    *,
    frames: int | None = 199,
    mean: Sequence[float] | None = None,
    variance: Sequence[float] | None = None,
):
    """Log-mel spectrogram of section III, standardised per mel bin, then padded.

    The paper gives 64 mel filters, windows of 40 ms with half overlap, and 199 frames for four
    seconds at 8 kHz, which fits frames without centring only. Decided, since nothing settles
    it: decibels as librosa, the paper's tool, gives them by default (`power_to_db`: 1e-10 is the
    least power and nothing lies further than 80 dB below the clip's loudest value). The base of
    the logarithm is undone by the standardisation. The floor per clip keeps stretches of digital
    silence from pulling the statistics of all mel bins to -100 dB.

    Args:
        x: `(batch, samples, channels)` at 8 kHz.
        frames: Length to pad or cut to; None keeps every frame.
        mean: Of each of the 64 mel bins over the training set, in dB; None leaves the values be.
        variance: Likewise.

    Returns:
        `(batch, 64, frames, channels)`

    Raises:
        ValueError: If not both or none of `mean` and `variance` are 64 finite numbers.
    """
    x = LogMelSpectrogram(
        8000, n_fft=320, hop_length=160, num_mels=SPECTROGRAM_MELS, center=False, top_db=80.0
    )(x)
    if mean is not None or variance is not None:
        mean = _statistic("mean", mean)
        variance = _statistic("variance", variance)
        x = layers.Normalization(
            axis=1, mean=mean, variance=variance, dtype="float32", name="standardize"
        )(x)
    if frames is not None:
        x = PadFrames(frames)(x)
    return x


@register_model(
    names={f"spectrogram_res_{block}": {"block": block} for block in BLOCKS},
    sample_rate=8000,
    min_samples=320,
    mels=SPECTROGRAM_MELS,
    front_end=log_mel_front_end,
    paper=PAPER,
    table="Table II",
)
def spectrogram_res(
    x,
    num_classes: int,
    *,
    block: str,
    first_stride: int = 4,
    batch_norm_momentum: float = 0.99,
    batch_norm_epsilon: float = 1e-3,
    kernel_regularizer: float | None = None,
):
    """Build the slim network of Table I on log-mel spectrograms.

    The stem works on time alone, all else on mel bins and time with 3x3 kernels and 4x4 pools.
    Pools need 'same' padding: the 64 mel bins are down to one before the last of them.

    Args:
        x: `(batch, mels, frames, channels)`
        num_classes: Number of outputs.
        block: A key of `BLOCKS`.
        first_stride: Stride of the first convolution along time. Decided: 4, as on waveforms.
        batch_norm_momentum: See `Parts`.
        batch_norm_epsilon: See `Parts`.
        kernel_regularizer: See `Parts`. The paper: 1e-4.

    Returns:
        Logits `(batch, num_classes)`.

    Example:
        >>> import keras_audio
        >>> keras_audio.create_model("spectrogram_res_rb5", 10, input="features").count_params()
        4165786
    """
    first_stride = at_least("first_stride", first_stride, 1)
    parts = Parts(2, batch_norm_momentum, batch_norm_epsilon, kernel_regularizer)
    x = parts.conv(48, (1, 80), "stem_conv", strides=(1, first_stride))(x)
    x = parts.batch_norm("stem_bn")(x)
    x = layers.ReLU(name="stem_relu")(x)
    x = parts.max_pool((1, 4), "stem_pool", padding="same")(x)
    for stage, (filters, blocks) in enumerate(SPECTROGRAM_STAGES, 1):
        for index in range(1, blocks + 1):
            x = residual_block(x, block, filters, parts, f"stage{stage}_block{index}")
        x = parts.max_pool((4, 4), f"stage{stage}_pool", padding="same")(x)
    return parts.classifier(x, num_classes)


def _statistic(name: str, values: Sequence[float] | None) -> list[float]:
    values = [] if values is None else [float(value) for value in values]
    least = 0.0 if name == "variance" else float("-inf")
    possible = all(least <= value and abs(value) < float("inf") for value in values)
    if len(values) != SPECTROGRAM_MELS or not possible:
        raise ValueError(
            f"Expected mean and variance to be {SPECTROGRAM_MELS} finite numbers each, the "
            f"variance not below 0. Received: {name}={values}"
        )
    return values
