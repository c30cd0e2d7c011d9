"""Small networks on raw binaural waveforms for a budget of 500 KB: two plain ones, two residual.

Pajusco, Huang and Farrugia 2020, "Lightweight convolutional neural networks on binaural waveforms
for low complexity acoustic scene classification", section 3. Layers bear the names of the authors'
PyTorch modules, with `_` for `.`, by which `load_torch_state_dict` pairs the weights.
"""

from keras import layers

from keras_audio.models.parts import Parts
from keras_audio.models.registry import register_model

PAPER = "Pajusco 2020, Lightweight convolutional neural networks on binaural waveforms"
SAMPLE_RATE = 18000
FIRST_KERNEL, FIRST_STRIDE = 64, 4
KERNEL, POOL = 4, 4

# Filters of every convolution (Fig. 1).
PLAIN = {
    "binaural_a": {"filters": (16, 16, 32, 64)},
    "binaural_b": {"filters": (16, 16, 32, 64, 64)},
}
# (filters, basic blocks) of every module (section 3.2).
RESIDUAL = {
    "binaural_c": {"modules": ((32, 3), (64, 4), (128, 3))},
    "binaural_d": {"modules": ((32, 3), (64, 3), (128, 3))},
}


def min_samples(filters: tuple[int, ...]) -> int:
    """Give the least number of samples that leaves one step for the average at the end.

    Example:
        >>> min_samples((16, 16, 32, 64))
        2092
    """
    steps = 1
    for _ in filters[1:]:
        steps = POOL * steps + KERNEL - 1
    return FIRST_STRIDE * (POOL * steps - 1) + FIRST_KERNEL


@register_model(
    names=PLAIN,
    sample_rate=SAMPLE_RATE,
    channels=2,
    min_samples=min_samples,
    paper=PAPER,
    table="Table 1",
)
def binaural_plain(
    x,
    num_classes: int,
    *,
    filters: tuple[int, ...],
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    kernel_regularizer: float | None = None,
):
    """Build models A and B of Fig. 1: convolution, batch norm, ReLU and max-pool, again and again.

    Args:
        x: `(batch, samples, channels)`
        num_classes: Number of outputs.
        filters: Of every convolution.
        batch_norm_momentum: See `Parts`. Decided, since the paper does not say: 0.9, the default of
            the framework it used.
        batch_norm_epsilon: See `Parts`. Likewise 1e-5.
        kernel_regularizer: See `Parts`. The paper has none.

    Returns:
        Logits `(batch, num_classes)`.

    Example:
        >>> import keras_audio
        >>> keras_audio.create_model("binaural_a", 3).count_params()
        14147
    """
    parts = Parts(1, batch_norm_momentum, batch_norm_epsilon, kernel_regularizer)
    for number, maps in enumerate(filters, 1):
        size, stride = (FIRST_KERNEL, FIRST_STRIDE) if number == 1 else (KERNEL, 1)
        x = parts.conv(maps, size, f"conv{number}", strides=stride, padding="valid")(x)
        x = parts.batch_norm(f"bn{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
        x = parts.max_pool(POOL, f"pool{number}")(x)
    return parts.classifier(x, num_classes)


@register_model(
    names=RESIDUAL,
    sample_rate=SAMPLE_RATE,
    channels=2,
    # Everything behind the first convolution rounds up.
    min_samples=FIRST_KERNEL,
    paper=PAPER,
    table="Table 1",
)
def binaural_resnet(
    x,
    num_classes: int,
    *,
    modules: tuple[tuple[int, int], ...],
    batch_norm_momentum: float = 0.9,
    batch_norm_epsilon: float = 1e-5,
    kernel_regularizer: float | None = None,
):
    """Build models C and D of section 3.2: a ResNet with strides of 4 and no pool but the last.

    Args:
        x: `(batch, samples, channels)`
        num_classes: Number of outputs.
        modules: Filters and number of basic blocks of every module.
        batch_norm_momentum: See `Parts`. Decided as in `binaural_plain`: 0.9.
        batch_norm_epsilon: See `Parts`. Decided as in `binaural_plain`: 1e-5.
        kernel_regularizer: See `Parts`. The paper has none.

    Returns:
        Logits `(batch, num_classes)`.

    Example:
        >>> import keras_audio
        >>> keras_audio.create_model("binaural_d", 3).count_params()
        378499
    """
    parts = Parts(1, batch_norm_momentum, batch_norm_epsilon, kernel_regularizer)
    x = parts.conv(
        modules[0][0], FIRST_KERNEL, "conv1", FIRST_STRIDE, padding="valid", use_bias=False
    )(x)
    x = parts.batch_norm("bn1")(x)
    x = layers.ReLU(name="relu1")(x)
    for module, (filters, blocks) in enumerate(modules, 1):
        for index in range(blocks):
            stride = 4 if index == 0 else 1
            x = basic_block(x, filters, stride, parts, f"layer{module}_{index}")
    return parts.classifier(x, num_classes)


def basic_block(x, filters: int, stride: int, parts: Parts, name: str):
    """Apply the residual block of Fig. 2: two convolutions of kernel 3, ReLU behind the sum.

    Args:
        x: `(batch, steps, channels)`
        filters: Channels of the output.
        stride: Of the first convolution. Above 1 the shortcut has a 1x1 convolution and batch norm.
        parts: Makes the layers.
        name: Start of all layer names.

    Returns:
        `(batch, steps / stride rounded up, filters)`

    Example:
        >>> import keras
        >>> basic_block(keras.Input((101, 32)), 64, 4, Parts(1), "example").shape
        (None, 26, 64)
    """
    shortcut = x
    if stride != 1 or x.shape[-1] != filters:
        # A 1x1 convolution with strides sees every n-th value only. Said in two layers, since the
        # gradient of a strided one writes past its memory in TensorFlow 2.21 on CPUs (oneDNN).
        shortcut = layers.AveragePooling1D(1, stride, name=f"{name}_subsample")(x)
        shortcut = parts.conv(filters, 1, f"{name}_shortcut_0", use_bias=False)(shortcut)
        shortcut = parts.batch_norm(f"{name}_shortcut_1")(shortcut)
    # 'same' would put fewer zeros before the first step where there is a stride.
    x = layers.ZeroPadding1D(1, name=f"{name}_pad1")(x)
    x = parts.conv(filters, 3, f"{name}_conv1", stride, padding="valid", use_bias=False)(x)
    x = parts.batch_norm(f"{name}_bn1")(x)
    x = layers.ReLU(name=f"{name}_relu1")(x)
    x = parts.conv(filters, 3, f"{name}_conv2", use_bias=False)(x)
    x = parts.batch_norm(f"{name}_bn2")(x)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_relu2")(x)
