"""Four networks as the papers' own code puts them together, layer by layer in Keras.

Lambda layers cut, repeat and average, every ReLU is an Activation layer, and what the original
transposes or pads is transposed and padded in layers of its own. The originals of ERANN and of the
binaural networks are written for PyTorch: theirs are plain translations. Their weights come in the
order of ours, so that `set_weights(ours.get_weights())` makes them the same.
"""

import keras
from keras import layers

from keras_audio.models.binaural import FIRST_KERNEL, FIRST_STRIDE, KERNEL, PLAIN, POOL
from keras_audio.models.erann import BLOCKS_PER_STAGE, KERNELS, NUM_MELS, parse_name, time_strides
from keras_audio.models.residual_blocks import BLOCKS, WAVEFORM_STAGES


def original_network(name: str, num_classes: int, channels: int) -> keras.Model:
    """Build the original of one of our networks, without a penalty on the weights.

    Args:
        name: Of the network: M34-res, two-path, ERANN or a plain binaural one.
        num_classes: Number of outputs.
        channels: Of the waveforms; of the features, where it takes these.

    Returns:
        A model whose last layer, `predictions`, makes probabilities of logits.
    """
    if name.startswith("m34_res_"):
        return original_m34_res(name.removeprefix("m34_res_"), num_classes, channels)
    if name in PLAIN:
        return original_binaural(PLAIN[name]["filters"], num_classes, channels)
    if name == "two_path_resnet":
        arguments = {"num_classes": num_classes, "channels": channels}
        return original_two_path(kernel_regularizer=None, **arguments)
    return original_erann(num_classes=num_classes, channels=channels, **parse_name(name))


def original_m34_res(block: str, num_classes: int, channels: int = 1) -> keras.Model:
    """M34-res, after the Keras code of 2017 for the networks of Dai et al.

    Args:
        block: A key of `BLOCKS`.
        num_classes: Number of outputs.
        channels: Of the waveforms.
    """

    def run(x, kinds, filters):
        for kind in kinds.split():
            if kind == "conv":
                x = layers.Conv1D(filters, 3, padding="same")(x)
            else:
                x = layers.BatchNormalization()(x) if kind == "bn" else relu(x)
        return x

    path, after = BLOCKS[block]
    x = inputs = keras.Input((None, channels))
    x = layers.Conv1D(48, 80, strides=4, padding="same")(x)
    x = relu(layers.BatchNormalization()(x))
    for filters, blocks in WAVEFORM_STAGES:
        x = layers.MaxPooling1D(4)(x)
        for _ in range(blocks):
            shortcut = x
            if x.shape[-1] != filters:
                shortcut = layers.Lambda(lambda x: keras.ops.repeat(x, 2, axis=2))(x)
            x = layers.Add()([run(x, path, filters), shortcut])
            x = run(x, after, filters)
    x = layers.Lambda(lambda x: keras.ops.mean(x, axis=1))(x)
    return classified(inputs, layers.Dense(num_classes)(x))


def original_two_path(
    num_filters: int = 24,
    num_classes: int = 10,
    channels: int = 3,
    bins: int = NUM_MELS,
    kernel_regularizer: float | None = 1e-3,
) -> keras.Model:
    """The two-path network as the report's code puts it together.

    Args:
        num_filters: Of the first stage.
        num_classes: Number of outputs.
        channels: Of the features.
        bins: Mel bins, of which either path has half.
        kernel_regularizer: Factor of the penalty on kernels; the report's.
    """

    def batch_norm(x, learned=False):
        return layers.BatchNormalization(center=learned, scale=learned)(x)

    def conv(x, filters, size, strides=1):
        penalty = kernel_regularizer
        return layers.Conv2D(
            filters,
            size,
            strides=strides,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            kernel_regularizer=keras.regularizers.L2(penalty) if penalty else None,
        )(x)

    def activated(x, filters, strides=1):
        return conv(relu(batch_norm(x)), filters, 3, strides)

    def path(x):
        x = conv(batch_norm(x, learned=True), num_filters, 3, (1, 2))
        filters = num_filters
        for stage in range(4):
            for block in range(2):
                shortcut, strides = x, 1
                if stage and not block:
                    filters, strides = 2 * filters, (1, 2)
                    shortcut = layers.AveragePooling2D(3, strides, padding="same")(x)
                    zeros = layers.Lambda(keras.ops.zeros_like)(shortcut)
                    shortcut = layers.Concatenate()([shortcut, zeros])
                x = activated(activated(x, filters, strides), filters)
                x = layers.Add()([x, shortcut])
        return x

    inputs = keras.Input((bins, None, channels))
    half = bins // 2
    low, high = (
        path(layers.Lambda(lambda x, first=first: x[:, first : first + half])(inputs))
        for first in (0, half)
    )
    x = relu(batch_norm(layers.Concatenate(axis=1)([low, high])))
    x = batch_norm(conv(x, 32 * num_filters, 1))
    x = batch_norm(conv(x, num_classes, 1))
    return classified(inputs, layers.GlobalAveragePooling2D()(x))


def original_erann(s_m: int, width: int, num_classes: int, channels: int = 1) -> keras.Model:
    """ERANN-s_m-W, translated from PyTorch.

    Args:
        s_m: How many of the stages 1 to 3 shorten time by four.
        width: The widening factor.
        num_classes: Number of outputs.
        channels: Of the spectrograms.
    """

    def batch_norm(x):
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)

    def leaky_relu(x):
        return layers.LeakyReLU(0.01)(x)

    def conv(x, filters, size, strides=(1, 1)):
        padding = "same"
        if strides != (1, 1):
            # 'same' would put the zeros on the other side.
            x, padding = layers.ZeroPadding2D(1)(x), "valid"
        arguments = {"strides": strides, "padding": padding, "use_bias": False}
        return layers.Conv2D(filters, size, **arguments)(x)

    def block(x, filters, strides, preactivate):
        first, second, _ = zip(*(KERNELS[stride] for stride in strides), strict=True)
        shortcut = x
        if strides != (1, 1):
            # PyTorch strides the 1x1 convolution; its gradient here writes past its memory.
            shortcut = layers.Lambda(lambda x: x[:, :: strides[0], :: strides[1]])(x)
        if strides != (1, 1) or x.shape[-1] != filters:
            shortcut = layers.Conv2D(filters, 1)(shortcut)
        if preactivate:
            x = leaky_relu(batch_norm(x))
        x = conv(x, filters, first, strides)
        x = conv(leaky_relu(batch_norm(x)), filters, second)
        return layers.Add()([shortcut, x])

    x = inputs = keras.Input((NUM_MELS, None, channels))
    # PyTorch normalises the axis that it takes for channels, so the mel bins are moved there.
    x = layers.Permute((3, 2, 1))(x)
    x = layers.Permute((3, 2, 1))(batch_norm(x))
    for stage, time_stride in enumerate(time_strides(s_m)):
        filters = 8 * 2**stage * width
        for index in range(BLOCKS_PER_STAGE):
            strides = (1, 1) if index else (2 if stage else 1, time_stride)
            x = block(x, filters, strides, preactivate=bool(stage or index))
    average = layers.Lambda(lambda x: keras.ops.mean(x, axis=(1, 2)))(x)
    maximum = layers.Lambda(lambda x: keras.ops.max(x, axis=(1, 2)))(x)
    x = leaky_relu(layers.Dense(filters)(layers.Add()([average, maximum])))
    return classified(inputs, layers.Dense(num_classes)(x))


def original_binaural(filters: tuple[int, ...], num_classes: int, channels: int = 2) -> keras.Model:
    """Models A and B, translated from PyTorch.

    Args:
        filters: Of every convolution.
        num_classes: Number of outputs.
        channels: Of the waveforms.
    """
    x = inputs = keras.Input((None, channels))
    size, stride = FIRST_KERNEL, FIRST_STRIDE
    for maps in filters:
        x = layers.Conv1D(maps, size, strides=stride)(x)
        x = relu(layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x))
        x = layers.MaxPooling1D(POOL)(x)
        size, stride = KERNEL, 1
    x = layers.Lambda(lambda x: keras.ops.mean(x, axis=1))(x)
    return classified(inputs, layers.Dense(num_classes)(x))


def relu(x):
    """A layer of its own, as the original code has it."""
    return layers.Activation("relu")(x)


def classified(inputs, logits) -> keras.Model:
    """Probabilities behind logits."""
    return keras.Model(inputs, layers.Activation("softmax", name="predictions")(logits))
