"""The one training loop that every recipe shares.

It is written out, in place of `fit`, for what `fit` cannot do: stop at any step and go on from
there bit for bit, with the state of callbacks, running metrics and the order of the data.
"""

import dataclasses
import math
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from keras_audio.data import TrainingBatches
from keras_audio.files import replacing
from keras_audio.training.checkpoint import (
    callback_state,
    load_checkpoint,
    restore_callback_state,
    save_checkpoint,
)
from keras_audio.training.run_folder import RunFolder
from keras_audio.training.stopping import Stopped, StopRequest


@dataclasses.dataclass
class Position:
    """How far a training is: what a checkpoint holds beside the variables.

    Args:
        epoch: Epochs ended.
        step: Steps of the present epoch ended.
        seconds: Time spent, over all processes that worked on it.
        best: Best value of the monitored metric, larger is better.
        best_epoch: Number of the epoch that reached it, from 1.
        finished: Whether a callback ended the training.
        history: A dictionary of metrics an epoch.
        callbacks: What each callback remembers.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    best: float = -math.inf
    best_epoch: int = 0
    finished: bool = False
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    callbacks: list[dict[str, Any]] = dataclasses.field(default_factory=list)


class TrainingLoop:
    """Trains `network` and keeps `run` such that the process may die at any moment.

    Args:
        run: The run folder; its checkpoint, if there is one, is where training goes on.
        full: The model from waveform to predictions, saved when it is the best so far.
        network: The part of `full` behind the clip steps; shares its weights.
        optimizer: The optimizer, new.
        callbacks: Keras callbacks that steer the training at the end of epochs.
        monitor: The metric that tells the best epoch, larger is better.
        strategy: The `tf.distribute` strategy under which the models were made.
    """

    def __init__(
        self,
        run: RunFolder,
        full: keras.Model,
        network: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        callbacks: Sequence[keras.callbacks.Callback],
        *,
        monitor: str,
        strategy: tf.distribute.Strategy,
    ) -> None:
        self.run, self.full, self.network, self.optimizer = run, full, network, optimizer
        self.monitor, self.strategy = monitor, strategy
        self.steering = list(callbacks)
        with strategy.scope():
            optimizer.build(network.trainable_variables)
            network.compile(optimizer=optimizer)  # where callbacks look for the optimizer
        # Sums over the epoch of loss, correct clips and clips.
        self.totals = tf.Variable(tf.zeros(3, tf.float64), name="totals")
        self.variables = {
            "network": network.variables,
            "optimizer": optimizer.variables,
            "metrics": [self.totals],
        }
        self.checkpoint = run.path / "checkpoints" / "last.npz"
        self.position = Position()

    def train(
        self,
        batches: TrainingBatches,
        validation_batches: tf.data.Dataset,
        *,
        epochs: int,
        steps_per_epoch: int,
        stop: StopRequest,
        progress: bool = True,
    ) -> Position:
        """Train to the end, from the checkpoint if there is one.

        Args:
            batches: The training batches of any epoch.
            validation_batches: The held-out batches.
            epochs: Epochs at most.
            steps_per_epoch: Batches an epoch.
            stop: Asks for an end at the next step.
            progress: Whether to show a progress bar and a line an epoch.

        Raises:
            Stopped: If `stop` asked for it; a checkpoint of the last step was written.
        """
        self._stop, self._show = stop, progress
        callbacks = keras.callbacks.CallbackList(
            [
                *self.steering,
                keras.callbacks.TensorBoard(self.run.path / "tensorboard", write_graph=False),
            ],
            model=self.network,
        )
        callbacks.on_train_begin()
        if self.checkpoint.is_file():
            self.position = Position(**load_checkpoint(self.checkpoint, self.variables))
            restore_callback_state(self.steering, self.position.callbacks)
        place = self.position
        self._settle()
        self._started = time.monotonic() - place.seconds
        self._bar = tqdm(
            total=epochs * steps_per_epoch,
            initial=place.epoch * steps_per_epoch + place.step,
            unit="step",
            disable=None if progress else True,  # None: shown on a terminal only
            dynamic_ncols=True,
        )
        with self._bar:
            while place.epoch < epochs and not place.finished:
                logs = self._run_epoch(batches, validation_batches, steps_per_epoch)
                self.network.stop_training = False
                callbacks.on_epoch_end(place.epoch, logs)
                self._end_epoch(logs, epochs)
                self._check_stop()
        callbacks.on_train_end()
        return place

    def _run_epoch(
        self, batches: TrainingBatches, validation_batches, steps_per_epoch: int
    ) -> dict[str, float]:
        place = self.position
        if place.step == 0:
            self.totals.assign(tf.zeros_like(self.totals))
        self._bar.set_description(f"epoch {place.epoch + 1}")
        remaining = batches.epoch(place.epoch, place.step).take(steps_per_epoch - place.step)
        for batch in self.strategy.experimental_distribute_dataset(remaining):
            self.train_step(batch)
            place.step += 1
            # Reading the sums waits for the step, so only when the bar is drawn.
            if self._bar.update():
                loss, correct, count = self.totals.numpy()
                self._bar.set_postfix(loss=f"{loss / count:.3f}", accuracy=f"{correct / count:.3f}")
            self._check_stop()
        loss, correct, count = self.totals.numpy()
        if not np.isfinite(loss):
            raise ValueError(
                f"Expected a finite loss; try a lower learning rate. "
                f"Received: loss={loss} in epoch {place.epoch + 1} of {self.run.path}"
            )
        return {
            # Read before the callbacks change it: the rate that this epoch was trained with.
            "learning_rate": float(keras.ops.convert_to_numpy(self.optimizer.learning_rate)),
            "loss": loss / count,
            "accuracy": correct / count,
            **self._validate(validation_batches),
        }

    def _end_epoch(self, logs: dict[str, float], epochs: int) -> None:
        place = self.position
        place.epoch, place.step = place.epoch + 1, 0
        place.seconds = time.monotonic() - self._started
        place.finished = bool(self.network.stop_training)
        place.callbacks = callback_state(self.steering)
        if logs[self.monitor] > place.best:
            place.best, place.best_epoch = logs[self.monitor], place.epoch
            with replacing(self._staged_model()) as temporary:
                self.full.save(temporary)
        place.history.append(
            {"epoch": place.epoch, "seconds": round(place.seconds, 2)}
            | {name: float(value) for name, value in logs.items()}
        )
        save_checkpoint(self.checkpoint, self.variables, dataclasses.asdict(place))
        self._settle()
        if self._show:
            numbers = "  ".join(f"{name} {value:.4g}" for name, value in logs.items())
            self._bar.write(
                f"epoch {place.epoch}/{epochs}  {numbers}  best {self.monitor} {place.best:.4g} "
                f"(epoch {place.best_epoch})  {place.seconds:.0f} s"
            )

    def _staged_model(self) -> pathlib.Path:
        return self.checkpoint.with_name(f"best-{self.position.best_epoch}.keras")

    def _settle(self) -> None:
        """Bring model and history to where the checkpoint is, also after a kill in between.

        The best model waits beside the checkpoint until that says that its epoch has ended.
        """
        if self._staged_model().is_file():
            os.replace(self._staged_model(), self.run.path / "model.keras")
        for abandoned in self.checkpoint.parent.glob("best-*.keras"):
            abandoned.unlink()
        if self.position.history:
            self.run.write_history(self.position.history)

    def _check_stop(self) -> None:
        if self._stop.signal_number is None:
            return
        place = self.position
        place.seconds = time.monotonic() - self._started
        place.callbacks = callback_state(self.steering)
        save_checkpoint(self.checkpoint, self.variables, dataclasses.asdict(place))
        raise Stopped(
            f"stopped after epoch {place.epoch}, step {place.step}; "
            f"the same command with --resume goes on from there",
            self._stop.signal_number,
        )

    def _validate(self, batches: tf.data.Dataset) -> dict[str, float]:
        loss = correct = count = 0.0
        for inputs, targets in batches:
            # The last step of the epoch counts as done, so this begins anew after a resume.
            self._check_stop()
            loss_sum, correct_sum = self._validation_step(inputs, targets)
            loss, correct = loss + float(loss_sum), correct + float(correct_sum)
            count += len(targets)
        return {"val_loss": loss / count, "val_accuracy": correct / count}

    @tf.function(reduce_retracing=True)
    def train_step(self, batch) -> None:
        """One step on a batch (inputs, one-hot labels), added to `totals`."""
        sums = self.strategy.run(self._replica_step, args=batch)
        self.totals.assign_add(self.strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None))

    def _replica_step(self, inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """One step on one device; returns its share of `totals`."""
        count = tf.cast(tf.shape(targets)[0], tf.float32)
        replicas = tf.distribute.get_replica_context()
        global_count = replicas.all_reduce(tf.distribute.ReduceOp.SUM, count)
        with tf.GradientTape() as tape:
            losses, correct, penalty = self._losses(inputs, targets, training=True)
            # Each device adds its part of the mean over the whole batch.
            loss = tf.reduce_sum(losses) / global_count + penalty / replicas.num_replicas_in_sync
            scaled = self.optimizer.scale_loss(loss)
        variables = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(scaled, variables), variables)
        sums = tf.stack([tf.reduce_sum(losses) + penalty * count, tf.reduce_sum(correct), count])
        return tf.cast(sums, tf.float64)

    @tf.function(reduce_retracing=True)
    def _validation_step(self, inputs: tf.Tensor, targets: tf.Tensor):
        losses, correct, penalty = self._losses(inputs, targets, training=False)
        count = tf.cast(tf.shape(targets)[0], tf.float32)
        return tf.reduce_sum(losses) + penalty * count, tf.reduce_sum(correct)

    def _losses(self, inputs: tf.Tensor, targets: tf.Tensor, training: bool):
        """Cross-entropy and correctness a clip, and the L2 penalty of the weights."""
        probabilities = tf.cast(self.network(inputs, training=training), tf.float32)
        losses = keras.losses.categorical_crossentropy(targets, probabilities)
        correct = keras.metrics.categorical_accuracy(targets, probabilities)
        penalties = [tf.cast(loss, tf.float32) for loss in self.network.losses]
        penalty = tf.add_n(penalties) if penalties else tf.constant(0.0)
        return losses, tf.cast(correct, tf.float32), penalty
