"""Runs a recipe: the run folder, the loop, checkpoints and exact resume.

What reads a run folder needs no TensorFlow, so what trains is imported when first used.
"""

from keras_audio.training.compression_settings import Settings as CompressionSettings
from keras_audio.training.run_folder import RunFolder
from keras_audio.training.stopping import Stopped

__all__ = ["CompressedRun", "CompressionSettings", "RunFolder", "Stopped", "compress_run", "train"]


def __getattr__(name: str):
    if name == "train":
        from keras_audio.training.trainer import train

        return train
    if name in ("CompressedRun", "compress_run"):
        from keras_audio.training import compression

        return getattr(compression, name)
    raise AttributeError(f"module 'keras_audio.training' has no attribute {name!r}")
