"""One model in two: what runs clip by clip inside tf.data, and what is trained behind it."""

import keras


def cut_model(model: keras.Model, layer: str) -> tuple[keras.Model, keras.Model]:
    """Cut a functional model behind one of its layers; both parts share its weights.

    Args:
        model: Functional, with one input.
        layer: Name of the layer that ends the first part.

    Returns:
        The model from the input to the layer's output, and the one from there to the output.

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
    boundary = model.get_layer(layer).output
    return keras.Model(model.input, boundary), keras.Model(boundary, model.output)
