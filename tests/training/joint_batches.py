"""Trainings that come to the same on any number of devices, for a process of their own.

Usage: python joint_batches.py DATA FOLDER STRATEGY
"""

import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from keras_audio.layers import PadOrCrop
from keras_audio.recipes import ResidualBlocks
from keras_audio.training import train


class WithoutBatchNorm(ResidualBlocks):
    """Of single precision: batch norms would make more of the rounding at each step."""

    name = "without_batch_norm"
    averaging_decay = 0.5  # what is kept and compared is the average
    policy = "float32"

    def build_model(self, num_classes, statistics=None):
        keras.config.set_dtype_policy(self.policy)
        try:
            return self.build_layers(num_classes)
        finally:
            keras.config.set_dtype_policy("float32")

    def build_layers(self, num_classes):
        x = inputs = keras.Input((None, 1), name="waveform")
        x = PadOrCrop(4000, name="pad_or_crop")(x)
        x = keras.layers.Conv1D(8, 80, 16, kernel_regularizer=keras.regularizers.L2(1e-3))(x)
        x = self.normalize(x)
        x = keras.layers.GlobalMaxPooling1D(name="embedding")(keras.layers.ReLU()(x))
        x = keras.layers.Dense(num_classes, name="logits")(x)
        return keras.Model(inputs, keras.layers.Softmax(name="predictions")(x))

    def normalize(self, x):
        return x

    def build_optimizer(self, steps_per_pass):
        return keras.optimizers.SGD(0.05, momentum=0.9)


class WithBatchNorm(WithoutBatchNorm):
    """Of double precision, so that what differs is no rounding."""

    name = "with_batch_norm"
    policy = "float64"

    def normalize(self, x):
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
        return keras.layers.BatchNormalization()(keras.layers.Conv1D(8, 3)(keras.ops.relu(x)))


class Shipped(ResidualBlocks):
    """A network and a loss of the paper, of single precision, for a few steps."""

    name = "shipped"

    def build_optimizer(self, steps_per_pass):
        # Adam would divide by what is almost nothing where a bias stands before a batch norm.
        return keras.optimizers.SGD(0.001, momentum=0.9)


SETTINGS = {"dataset": "toy_sounds", "fold": 1, "duration": 0.5, "batch_size": 16, "epochs": 2}


def main(data, folder, strategy):
    if strategy == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
        mirrored = tf.distribute.MirroredStrategy
        tf.distribute.MirroredStrategy = lambda: mirrored(["CPU:0", "CPU:1"])
    shipped = Shipped(network="m3", **SETTINGS | {"epochs": 1})
    for recipe in (WithoutBatchNorm(**SETTINGS), WithBatchNorm(**SETTINGS), shipped):
        max_steps = 3 if recipe is shipped else None
        run = folder / f"{recipe.name}-{strategy}"
        run = train(
            recipe, data_dir=data, run=run, strategy=strategy, max_steps=max_steps, progress=False
        )
        if run is not None:  # else this is another worker than the first
            weights = [variable.numpy() for variable in run.model().variables]
            curves = {name: values for name, values in run.history().items() if "seconds" != name}
            np.savez(run.path.with_suffix(".npz"), *weights, **curves)


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:3]), sys.argv[3])
