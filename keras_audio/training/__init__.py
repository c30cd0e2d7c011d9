"""Runs a recipe: the run folder, the loop, checkpoints and exact resume."""

from keras_audio.training.run_folder import RunFolder
from keras_audio.training.stopping import Stopped
from keras_audio.training.train import train

__all__ = ["RunFolder", "Stopped", "train"]
