"""The residual networks of ImageNet on log-mel images of any size.

Colangelo et al. 2021, "Progressive training of convolutional neural networks for acoustic events
classification", section 2: ResNet34, trained on images that grow from stage to stage. Layers bear
the names of torchvision's modules, with `_` for `.`, by which `load_torch_state_dict` pairs the
weights. The paper's tables hold `resnet34` alone; `resnet10` and `resnet18` are the smaller ones of
the same kind, for machines where that is too much.
"""

from collections.abc import Sequence

from keras import layers

from keras_audio.layers import ChannelRepeat, LogMelImage, Resize
from keras_audio.layers.checks import at_least, one_of
from keras_audio.models.parts import Parts
from keras_audio.models.registry import register_model

PAPER = "Colangelo 2021, Progressive training of convolutional neural networks"
SAMPLE_RATE = 22050
N_FFT, HOP_LENGTH = 1024, 256
# R3, the full resolution.
NUM_MELS, FRAMES = 128, 300
# Basic blocks of every stage.
BLOCKS = {
    "resnet10": {"blocks": (1, 1, 1, 1)},
    "resnet18": {"blocks": (2, 2, 2, 2)},
    "resnet34": {"blocks": (3, 4, 6, 3)},
}
# How torchvision draws kernels: normal, not truncated. As a description, of which every layer makes
# its own initializer: a shared one would draw the same numbers again.
FAN_OUT = {
    "class_name": "VarianceScaling",
    "config": {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"},
}


def resnet_front_end(
    x,
    *,
    sample_rate: int = SAMPLE_RATE,
    num_mels: int = NUM_MELS,
    frames: int = FRAMES,
    trim_db: float | None = 60.0,
    max_samples: int | None = None,
    resize: Sequence[int] | None = None,
):
    """Take the log-mel image of section 2, and resize it where that is asked for.

    Silence trimmed at both ends, windows of 1024 samples, hops of 256, decibels, min-max to [0, 1].
    Fewer mel filters and frames are the paper's mel method, `resize` is its bilinear one; both at
    once are the combination that it suggests.

    Args:
        x: `(batch, samples, channels)`, of any length.
        sample_rate: Of the waveforms, in Hz.
        num_mels: Mel filters.
        frames: Frames of the image: longer clips lose their end, shorter ones are repeated.
        trim_db: What lies so many dB below a clip's loudest frame is silence; None trims nothing.
        max_samples: What lies behind so many samples is not heard, also where silence is trimmed
            before them; None hears all of a clip.
        resize: `(mels, frames)` that the image is resized to, bilinearly; None leaves it.

    Returns:
        `(batch, num_mels, frames, channels)`, or of the size of `resize`.

    Raises:
        ValueError: If an argument is out of its range.
    """
    x = LogMelImage(
        sample_rate,
        n_fft=N_FFT,
        hop_length=HOP_LENGTH,
        num_mels=num_mels,
        frames=frames,
        trim_db=trim_db,
        max_samples=max_samples,
    )(x)
    if resize is None:
        return x
    if not isinstance(resize, Sequence) or isinstance(resize, str) or len(resize) != 2:
        raise ValueError(f"Expected resize to be (mels, frames) or None. Received: {resize=}")
    return Resize(*(at_least("resize", size, 1) for size in resize))(x)


@register_model(
    names=BLOCKS,
    sample_rate=SAMPLE_RATE,
    channels=1,
    min_samples=1,
    mels="any",
    front_end=resnet_front_end,
    paper=PAPER,
    table="Tables 2 and 3",
)
def resnet(
    x,
    num_classes: int,
    *,
    blocks: tuple[int, ...],
    num_filters: int = 64,
    head: str = "plain",
    stem_channels: int | None = 3,
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    kernel_regularizer: float | None = None,
    seed: int | None = None,
):
    """Build the ImageNet network: a strided stem, four stages of basic blocks, pooling, a head.

    Args:
        x: `(batch, mels, frames, channels)`, of any size.
        num_classes: Number of outputs.
        blocks: Basic blocks of every stage.
        num_filters: Channels of the first stage; each of the others doubles them.
        head: `"plain"` is torchvision's, an average and one Dense layer. `"concat_pool"` is that of
            the paper's library, fastai 1: average and maximum, then two Dense layers with batch
            norms and dropout. All its layers are called `logits` or `logits_` and more.
        stem_channels: A single channel is repeated to so many, so that ImageNet's first kernel can
            be used as it is; None leaves it at one. Several channels are never repeated.
        batch_norm_momentum: See `Parts`. Torchvision's: 0.9.
        batch_norm_epsilon: See `Parts`. Torchvision's: 1e-5.
        kernel_regularizer: See `Parts`. The paper decays all weights in its optimizer instead.
        seed: Of the dropouts of `head="concat_pool"`.

    Returns:
        Logits `(batch, num_classes)`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import keras_audio, math
        >>> model = keras_audio.create_model("resnet34", 1000, input="features")
        >>> model.input_shape, sum(math.prod(weight.shape) for weight in model.trainable_weights)
        ((None, None, None, 1), 21797672)
    """
    num_filters = at_least("num_filters", num_filters, 1)
    one_of("head", head, ("plain", "concat_pool"))
    seed = None if seed is None else at_least("seed", seed, 0)
    parts = Parts(
        2,
        batch_norm_momentum,
        batch_norm_epsilon,
        kernel_regularizer,
        kernel_initializer=FAN_OUT,
    )
    if stem_channels is not None:
        stem_channels = at_least("stem_channels", stem_channels, 1)
        if x.shape[-1] == 1 and stem_channels > 1:
            x = ChannelRepeat(stem_channels, name="stem_repeat")(x)
    # Here and below 'same' would put the zeros on the other side where there is a stride.
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = parts.conv(num_filters, 7, "conv1", 2, padding="valid", use_bias=False)(x)
    x = layers.ReLU(name="relu")(parts.batch_norm("bn1")(x))
    # Behind a ReLU zeros win no maximum, like PyTorch's padding of minus infinity.
    x = layers.ZeroPadding2D(1, name="maxpool_pad")(x)
    x = layers.MaxPooling2D(3, 2, name="maxpool")(x)
    for stage, count in enumerate(blocks):
        for index in range(count):
            stride = 2 if stage and index == 0 else 1
            x = basic_block(x, num_filters * 2**stage, stride, parts, f"layer{stage + 1}_{index}")
    if head == "plain":
        return parts.classifier(x, num_classes)
    return concat_pool_head(x, num_classes, parts, seed)


def basic_block(x, filters: int, stride: int, parts: Parts, name: str):
    """Apply torchvision's basic block: two 3x3 convolutions, ReLU behind the sum.

    Args:
        x: `(batch, mels, frames, channels)`
        filters: Channels of the output.
        stride: Of the first convolution, along both axes. Where it is not 1 or the channels change,
            the shortcut has a 1x1 convolution and a batch norm.
        parts: Makes the layers.
        name: Start of all layer names.

    Returns:
        `(batch, mels / stride rounded up, frames / stride rounded up, filters)`

    Example:
        >>> import keras
        >>> basic_block(keras.Input((32, 75, 64)), 128, 2, Parts(2), "example").shape
        (None, 16, 38, 128)
    """
    shortcut, padding = x, "same"
    if stride != 1 or x.shape[-1] != filters:
        if stride != 1:
            # A 1x1 convolution with strides sees every n-th value only. Said in two layers, since
            # the gradient of a strided one writes past its memory in TensorFlow 2.21 on CPUs.
            subsample = layers.AveragePooling2D(1, stride, name=f"{name}_subsample")
            shortcut = subsample(shortcut)
        shortcut = parts.conv(filters, 1, f"{name}_downsample_0", use_bias=False)(shortcut)
        shortcut = parts.batch_norm(f"{name}_downsample_1")(shortcut)
    if stride != 1:
        x, padding = layers.ZeroPadding2D(1, name=f"{name}_pad1")(x), "valid"
    x = parts.conv(filters, 3, f"{name}_conv1", stride, padding=padding, use_bias=False)(x)
    x = layers.ReLU(name=f"{name}_relu1")(parts.batch_norm(f"{name}_bn1")(x))
    x = parts.conv(filters, 3, f"{name}_conv2", use_bias=False)(x)
    x = parts.batch_norm(f"{name}_bn2")(x)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_relu2")(x)


def concat_pool_head(x, num_classes: int, parts: Parts, seed: int | None = None):
    """Pool by average and by maximum (`embedding`), then two Dense layers (the last: `logits`).

    Before each a batch norm and a dropout, of a quarter and of a half of the values. All in float32
    under every dtype policy.

    Args:
        x: `(batch, mels, frames, channels)`
        num_classes: Number of outputs.
        parts: Makes the layers.
        seed: Of the dropouts; the second has the next one.

    Returns:
        Logits `(batch, num_classes)`.

    Example:
        >>> import keras
        >>> concat_pool_head(keras.Input((4, 10, 512)), 50, Parts(2)).shape
        (None, 50)
    """
    pooled = [
        layers.GlobalAveragePooling2D(dtype="float32", name="average_pool")(x),
        layers.GlobalMaxPooling2D(dtype="float32", name="max_pool")(x),
    ]
    x = layers.Concatenate(dtype="float32", name="embedding")(pooled)
    x = parts.batch_norm("logits_bn1", dtype="float32")(x)
    x = layers.Dropout(0.25, seed=seed, dtype="float32", name="logits_dropout1")(x)
    x = parts.dense(512, "logits_hidden", activation="relu")(x)
    x = parts.batch_norm("logits_bn2", dtype="float32")(x)
    second = None if seed is None else seed + 1
    x = layers.Dropout(0.5, seed=second, dtype="float32", name="logits_dropout2")(x)
    return parts.dense(num_classes, "logits")(x)
