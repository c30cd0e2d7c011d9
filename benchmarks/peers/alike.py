"""Our networks, their originals and PyTorch's with one set of weights, seen to be the same."""

import keras
import numpy as np
import torch

from peers.torch_networks import copy_weights

TOLERANCE = 1e-3  # of the largest logit


def share_weights(ours: keras.Model, *others: keras.Model | torch.nn.Module) -> None:
    """Give others our weights."""
    for other in others:
        if isinstance(other, keras.Model):
            other.set_weights(ours.get_weights())
        else:
            copy_weights(ours, other)


def for_torch(x: np.ndarray) -> torch.Tensor:
    """An input as PyTorch has it: channels behind the batch."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))


def logits_of(network: keras.Model | torch.nn.Module, x: np.ndarray) -> np.ndarray:
    """What a network answers before the softmax, in inference, to an input of ours."""
    if isinstance(network, keras.Model):
        logits = network.get_layer("predictions").input
        return np.array(keras.Model(network.input, logits)(x, training=False))
    training = network.training
    with torch.inference_mode():
        logits = network.eval()(for_torch(x)).numpy()
    network.train(training)
    return logits


def check_alike(x: np.ndarray, ours: keras.Model, *others: keras.Model | torch.nn.Module) -> None:
    """Compare the logits of networks that have the same weights.

    Raises:
        ValueError: If they are not the same function.
    """
    expected = logits_of(ours, x)
    for other in others:
        difference = np.abs(logits_of(other, x) - expected).max() / np.abs(expected).max()
        if not difference < TOLERANCE:
            raise ValueError(
                f"Expected the logits of {ours.name} from {type(other).__name__}, within "
                f"{TOLERANCE:g} of the largest. Received: {difference=}"
            )
