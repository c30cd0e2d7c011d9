"""Keras layers for sound: clip steps, front ends and parameter-free shortcuts, one a file.

Everything is written with `keras.ops`, so it runs on every Keras backend, inside `tf.data` and
inside a SavedModel alike. But for the batch normalisation no layer here has weights.
"""

from keras_audio.layers.batch_norm import BatchNorm
from keras_audio.layers.channel_pad import ChannelPad
from keras_audio.layers.channel_repeat import ChannelRepeat
from keras_audio.layers.deltas import Deltas
from keras_audio.layers.keep_beside import KeepBeside
from keras_audio.layers.log_mel_image import LogMelImage
from keras_audio.layers.log_mel_spectrogram import LogMelSpectrogram
from keras_audio.layers.pad_frames import PadFrames
from keras_audio.layers.pad_or_crop import PadOrCrop
from keras_audio.layers.pad_seconds import PadSeconds
from keras_audio.layers.resize import Resize
from keras_audio.layers.waveform_normalization import WaveformNormalization

__all__ = [
    "BatchNorm",
    "ChannelPad",
    "ChannelRepeat",
    "Deltas",
    "KeepBeside",
    "LogMelImage",
    "LogMelSpectrogram",
    "PadFrames",
    "PadOrCrop",
    "PadSeconds",
    "Resize",
    "WaveformNormalization",
]
