"""Weights of the original networks into our models.

Arrays only: nothing that a file says about code or architecture is ever executed.
"""

from keras_audio.importers.keras2 import load_keras2_h5
from keras_audio.importers.torch_state import load_torch_state_dict

__all__ = ["load_keras2_h5", "load_torch_state_dict"]
