"""Augmentation of whole batches, one file a kind; each layer draws from a seed of its own.

Everything is written with `keras.ops`, computes in float32 under every dtype policy and works on
all clips of a batch at once. A layer's random state is in its `variables`: who stores and restores
them gets the same draws again. On several devices (`tf.distribute`) each draws the same numbers for
its own part of the batch.
"""

from keras_audio.augment.a_weighting import a_weighted_level
from keras_audio.augment.channel_swap import RandomChannelSwap
from keras_audio.augment.cutmix import CutMix
from keras_audio.augment.fir_filter import RandomFIRFilter
from keras_audio.augment.mixing import (
    BetweenClassLogMelMixup,
    BetweenClassMixup,
    StandardMixup,
)
from keras_audio.augment.random_crop import RandomCropFrames
from keras_audio.augment.spectrogram import SpecAugment
from keras_audio.augment.temporal_mask import TemporalMask
from keras_audio.augment.white_noise import WhiteNoise

__all__ = [
    "BetweenClassLogMelMixup",
    "BetweenClassMixup",
    "CutMix",
    "RandomChannelSwap",
    "RandomCropFrames",
    "RandomFIRFilter",
    "SpecAugment",
    "StandardMixup",
    "TemporalMask",
    "WhiteNoise",
    "a_weighted_level",
]
