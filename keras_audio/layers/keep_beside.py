"""Keep a value in a functional model that nothing behind it needs."""

import keras


@keras.saving.register_keras_serializable("keras_audio")
class KeepBeside(keras.layers.Layer):
    """Give the first of two inputs as it is, so that the second is a part of the model too.

    For an `embedding` that the way to the predictions does not lead through: a functional model
    holds, saves and exports only what its outputs come from.

    Call arguments:
        inputs: The two tensors, of any shapes.

    Returns:
        The first of them.

    Example:
        >>> x = keras.Input((5,))
        >>> beside = keras.layers.Dense(2, name="embedding")(x)
        >>> model = keras.Model(x, KeepBeside()([keras.layers.Dense(3)(x), beside]))
        >>> model.output_shape, model.get_layer("embedding").output.shape
        ((None, 3), (None, 2))
    """

    def __init__(self, name="keep_beside", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, inputs):
        """Give the first input."""
        return inputs[0]

    def compute_output_shape(self, input_shape):
        """Give the shape of the first input."""
        return input_shape[0]
