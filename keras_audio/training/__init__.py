"""Runs a recipe: the run folder, the loop, checkpoints and exact resume.

What reads a run folder needs no TensorFlow, so `train` is imported when first used.
"""

from keras_audio.training.run_folder import RunFolder
from keras_audio.training.stopping import Stopped

__all__ = ["RunFolder", "Stopped", "train"]


def __getattr__(name: str):
    if name == "train":
        from keras_audio.training.trainer import train

        return train
    raise AttributeError(f"module 'keras_audio.training' has no attribute {name!r}")
