"""Weights of the original networks into our models.

Arrays only: nothing that a file says about code or architecture is ever executed.
"""

from keras_audio.importers.keras2 import load_keras2_h5
from keras_audio.importers.original import Original, load_original, original_model, read_original
from keras_audio.importers.resnet_state import load_resnet_state_dict
from keras_audio.importers.torch_state import (
    is_state_dict,
    load_torch_state_dict,
    torch_state_shapes,
)

__all__ = [
    "Original",
    "is_state_dict",
    "load_keras2_h5",
    "load_original",
    "load_resnet_state_dict",
    "load_torch_state_dict",
    "original_model",
    "read_original",
    "torch_state_shapes",
]
