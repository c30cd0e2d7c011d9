"""One model in parts: what runs clip by clip inside tf.data, and what is trained behind it."""

import itertools

import keras


def cut_model(model: keras.Model, *layers: str) -> tuple[keras.Model, ...]:
    """Cut a functional model behind some of its layers; the parts share its weights.

    Args:
        model: Functional, with one input.
        *layers: Names of the layers that end the parts but the last, in their order.

    Returns:
        The model from the input to the first layer's output, those in between, and the one from
        the last layer to the output.

    Raises:
        ValueError: If there is no such layer.

    Example:
        >>> import keras_audio
        >>> from keras_audio.layers import PadOrCrop
        >>> model = keras_audio.create_model("m3", 10, clip_steps=[PadOrCrop(32000)])
        >>> clip_steps, network = cut_model(model, "pad_or_crop")
        >>> clip_steps.output_shape, network.output_shape
        ((None, 32000, 1), (None, 10))
    """
    ends = [model.input, *(model.get_layer(layer).output for layer in layers), model.output]
    return tuple(itertools.starmap(keras.Model, itertools.pairwise(ends)))
