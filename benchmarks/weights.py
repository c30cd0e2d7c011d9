"""Weights for networks that nothing trained."""

import keras
import numpy as np


def draw_weights(model: keras.Model) -> None:
    """Draw biases, scales, offsets and statistics, so that none is alike another.

    Such weights tell a network from one that, say, leaves a bias out.
    """
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
