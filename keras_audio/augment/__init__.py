"""Augmentation of whole batches, one file a kind; each layer draws from a seed of its own.

Everything is written with `keras.ops`, computes in float32 under every dtype policy and works on
all clips of a batch at once. A layer's random state is in its `variables`: who stores and restores
them gets the same draws again. On several devices (`tf.distribute`) each draws the same numbers for
its own part of the batch.
"""

from keras_audio.augment.a_weighting import a_weighted_level
from keras_audio.augment.channel_swap import RandomChannelSwap
from keras_audio.augment.mixing import (
    BetweenClassLogMelMixup,
    BetweenClassMixup,
    StandardMixup,
)
from keras_audio.augment.random_crop import RandomCropFrames
from keras_audio.augment.spectrogram import SpecAugment

__all__ = [
    "BetweenClassLogMelMixup",
    "BetweenClassMixup",
    "RandomChannelSwap",
    "RandomCropFrames",
    "SpecAugment",
    "StandardMixup",
    "a_weighted_level",
]
