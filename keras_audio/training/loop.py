"""The one training loop that every recipe shares.

It is written out, in place of `fit`, for what `fit` cannot do: stop at any step and go on from
there bit for bit, with the state of callbacks, running metrics and the order of the data.
"""

import contextlib
import dataclasses
import itertools
import math
import os
import pathlib
import signal
import time
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from keras_audio.data import EvaluationBatches, TrainingBatches
from keras_audio.files import replacing
from keras_audio.training.averaging import WeightAverage
from keras_audio.training.checkpoint import (
    callback_state,
    load_checkpoint,
    read_position,
    restore_callback_state,
    save_checkpoint,
)
from keras_audio.training.fused_batch_norms import fuse_batch_norms
from keras_audio.training.patience import from_service
from keras_audio.training.position import Position
from keras_audio.training.replicas import check_equal, draw_apart, joint_batch_norms
from keras_audio.training.run_folder import RunFolder
from keras_audio.training.scores import clip_scores, mean_average_precision
from keras_audio.training.stopping import Stopped, StopRequest
from keras_audio.training.workers import Workers

# Whether any worker was told to stop is asked every so many steps, since all have to ask at once.
_STEPS_BETWEEN_QUESTIONS = 10


class TrainingLoop:
    """Trains `network` and keeps `run` such that the process may die at any moment.

    Args:
        run: The run folder; its checkpoint, if there is one, is where training goes on. None for
            steps alone, of which nothing is kept.
        full: The model from waveform to predictions, saved when it is the best so far.
        parts: The parts of `full` behind the clip steps, which share its weights: one network, or
            what stands before `mixing` and what stands behind it.
        optimizer: The optimizer, new.
        callbacks: Keras callbacks that steer the training at the end of rounds.
        mixing: A layer that takes and gives a training batch, (inputs, targets).
        averaging_decay: Decay of the average of the weights that is measured and kept.
        multi_label: Whether to train on binary instead of categorical cross-entropy, and to measure
            mean average precision instead of accuracy.
        monitor: The metric that tells the best round, larger is better.
        keep_last: Whether `model.keras` is to hold the last round's weights, not the best ones.
        snapshot_rounds: After these rounds a copy of the model is put aside.
        strategy: The `tf.distribute` strategy under which the models were made.
        workers: The processes under it.
        signature: What `train_step` takes, where its batches differ in size: without, their order
            would decide which graphs are made, and a resumed training computes by others.
    """

    def __init__(
        self,
        run: RunFolder | None,
        full: keras.Model,
        parts: Sequence[keras.Model],
        optimizer: keras.optimizers.Optimizer,
        callbacks: Sequence[keras.callbacks.Callback],
        *,
        mixing: keras.layers.Layer | None = None,
        averaging_decay: float | None = None,
        multi_label: bool = False,
        monitor: str,
        keep_last: bool = False,
        snapshot_rounds: Sequence[int] = (),
        strategy: tf.distribute.Strategy,
        workers: Workers,
        signature: Sequence[Any] | None = None,
    ) -> None:
        self.run, self.full, self.optimizer = run, full, optimizer
        self.parts, self.mixing, self.multi_label = list(parts), mixing, multi_label
        self.monitor, self.strategy, self.workers = monitor, strategy, workers
        self._devices = strategy.num_replicas_in_sync
        self._classes = full.output_shape[-1]
        self.keep_last, self.snapshot_rounds = keep_last, set(snapshot_rounds)
        self.steering = list(callbacks)
        # Front ends have no weights, so that all are in the last part.
        self.network = self.parts[-1]
        fuse_batch_norms(self.network)
        with strategy.scope():
            optimizer.build(self.network.trainable_variables)
            self.network.compile(optimizer=optimizer)  # where callbacks look for the optimizer
            decay = averaging_decay
            self.average = None if decay is None else WeightAverage(self.network, decay)
        # Sums over the round of loss, correct clips and clips.
        self.totals = tf.Variable(tf.zeros(3, tf.float64), name="totals")
        self.variables = {
            # Also the states of generators of random numbers, in the front end and the mixing.
            "network": [variable for part in self.parts for variable in part.variables],
            "mixing": mixing.variables if mixing is not None else [],
            "average": self.average.variables if self.average is not None else [],
            "optimizer": optimizer.variables,
            "metrics": [self.totals],
        }
        self.position = Position()
        # A step on a batch (inputs, targets), added to `totals`. Functions of their own for each
        # loop: TensorFlow warns of one that it traces anew again and again, as stages would. No
        # tensor decides what they do, and looking for such conditions in Keras takes seconds.
        options = {"reduce_retracing": True, "autograph": False}
        self.train_step = tf.function(self._step, input_signature=signature, **options)
        self._validation_step = tf.function(self._validate_batch, **options)

    @property
    def checkpoint(self) -> pathlib.Path:
        """The file of the latest checkpoint."""
        return self.run.path / "checkpoints" / "last.npz"

    def train(
        self,
        batches: TrainingBatches,
        validation_batches: EvaluationBatches,
        *,
        steps: int,
        steps_per_round: int,
        stop: StopRequest,
        validation_steps: int | None = None,
        stage: int | None = None,
        comparable: bool = True,
        progress: bool = True,
    ) -> Position:
        """Train to the end, from the checkpoint if there is one.

        Args:
            batches: The training batches of any step.
            validation_batches: The held-out batches.
            steps: Steps at most.
            steps_per_round: Steps from a validation to the next; the last round may be shorter.
            stop: Asks for an end at the next step; of one of several workers, at one of the next
                ten.
            validation_steps: Validation batches at most; for smoke tests.
            stage: Number of the stage, from 0, of a training that has several.
            comparable: Whether the stage before measured as this one does, so that the best round
                may be one of it.
            progress: Whether to show a progress bar and a line a round.

        Raises:
            Stopped: If `stop` asked for it; a checkpoint of the last step was written.
        """
        self._stop, self._show, self._staged = stop, progress, stage is not None
        self._steps, self._steps_per_round, self._batches = steps, steps_per_round, batches
        self._validation_steps = validation_steps
        rounds = math.ceil(steps / steps_per_round)
        callbacks = keras.callbacks.CallbackList(
            [
                *self.steering,
                keras.callbacks.TensorBoard(self.run.path / "tensorboard", write_graph=False),
            ],
            model=self.network,
        )
        callbacks.on_train_begin()
        if self.checkpoint.is_file():
            self._take_up(stage or 0, comparable)
        check_equal(self.workers, self.variables)
        if self._devices > 1:
            draw_apart(self.strategy, [*self.variables["network"], *self.variables["mixing"]])
        place = self.position
        self._settle()
        self._started = time.monotonic() - place.seconds
        self._bar = tqdm(
            total=steps,
            initial=min(steps, self._stage_round * steps_per_round + place.step),
            unit="step",
            disable=None if progress else True,  # None: shown on a terminal only
            dynamic_ncols=True,
        )
        following = self._following_batches(self._stage_round * steps_per_round + place.step)
        with self._bar, joint_batch_norms(self.network, self._devices > 1):
            while self._stage_round < rounds and not place.finished:
                logs = self._run_round(following, validation_batches)
                self.network.stop_training = False
                callbacks.on_epoch_end(place.epoch, logs)
                self._end_round(logs, rounds)
                self._check_stop()
        callbacks.on_train_end()
        return place

    def _take_up(self, stage: int, comparable: bool) -> None:
        """Go on where the checkpoint is; where that is in the stage before, with the next."""
        place = Position(**read_position(self.checkpoint))
        if place.stage == stage:
            load_checkpoint(self.checkpoint, self.variables)
            restore_callback_state(self.steering, place.callbacks)
        else:
            place = place.at_stage(stage, comparable)
        self.position = place

    @property
    def _stage_round(self) -> int:
        """Rounds of the stage ended."""
        return self.position.epoch - self.position.stage_epoch

    def _following_batches(self, first: int) -> Iterator:
        """The batches from a step on; those of a pass from one reading, through its rounds."""
        while first < self._steps:
            count = min(self._batches.chunk(first), self._steps - first)
            batches = self._distributed(self._batches.steps(first, count))
            yield from batches if self._batches.service is None else from_service(batches, count)
            first += count

    def _distributed(self, dataset: tf.data.Dataset):
        """Each device's part of the batches."""
        if self.workers.count == 1:
            return self.strategy.experimental_distribute_dataset(dataset)
        # Each worker reads its own part of a batch already; TensorFlow would have all read all.
        dataset = dataset.rebatch(self._batches.batch_size // self._devices)
        return self.strategy.distribute_datasets_from_function(lambda context: dataset)

    def _run_round(self, following: Iterator, validation_batches) -> dict[str, float]:
        place = self.position
        if place.step == 0:
            self.totals.assign(tf.zeros_like(self.totals))
        stage = f"stage {place.stage + 1} " if self._staged else ""
        self._bar.set_description(f"{stage}round {place.epoch + 1}")
        length = min(self._steps_per_round, self._steps - self._stage_round * self._steps_per_round)
        while place.step < length:
            self.train_step(next(following))
            place.step += 1
            # Reading the sums waits for the step, so only when the bar is drawn.
            if self._bar.update():
                means = self._means()
                self._bar.set_postfix({name: f"{mean:.3f}" for name, mean in means.items()})
            if self.workers.count == 1 or place.step % _STEPS_BETWEEN_QUESTIONS == 0:
                self._check_stop()
        means = self._means()
        if not np.isfinite(means["loss"]):
            raise ValueError(
                f"Expected a finite loss; try a lower learning rate. Received: "
                f"loss={means['loss']} in round {place.epoch + 1} of {self.run.path}"
            )
        return {
            # Read before the callbacks change it.
            "learning_rate": self._last_rate(),
            **means,
            **self._validate(validation_batches),
        }

    def _last_rate(self) -> float:
        """The learning rate of the step just made; a schedule's present one is the next step's."""
        rate, step = self.optimizer._learning_rate, self.optimizer.iterations
        if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            rate = rate(step - 1)
        return float(keras.ops.convert_to_numpy(rate))

    def _means(self) -> dict[str, float]:
        """Loss, and accuracy where there is one, over the round so far."""
        loss, correct, count = self.totals.numpy()
        return {"loss": loss / count} | ({} if self.multi_label else {"accuracy": correct / count})

    def _end_round(self, logs: dict[str, float], rounds: int) -> None:
        place = self.position
        place.epoch, place.step = place.epoch + 1, 0
        steps = min(self._stage_round * self._steps_per_round, self._steps)
        iteration = place.stage_iteration + steps
        place.seconds = time.monotonic() - self._started
        place.finished = bool(self.network.stop_training)
        place.callbacks = callback_state(self.steering)
        if logs[self.monitor] > place.best:
            place.best, place.best_epoch = logs[self.monitor], place.epoch
        if self.keep_last or place.best_epoch == place.epoch:
            place.kept_epoch = place.epoch
            self._save_model(self._staged_model())
        if place.epoch in self.snapshot_rounds:
            # Before the checkpoint: after a kill in between the round runs again, to the same end.
            self._save_model(self.run.path / "snapshots" / f"epoch-{place.epoch:04}.keras")
        place.history.append(
            ({"stage": place.stage + 1} if self._staged else {})
            | {"epoch": place.epoch, "iteration": iteration, "seconds": round(place.seconds, 2)}
            | {name: float(value) for name, value in logs.items()}
        )
        save_checkpoint(self.checkpoint, self.variables, dataclasses.asdict(place))
        self._settle()
        if self._show:
            numbers = "  ".join(f"{name} {value:.4g}" for name, value in logs.items())
            stage = f"stage {place.stage + 1}  " if self._staged else ""
            self._bar.write(
                f"{stage}round {self._stage_round}/{rounds}  step {iteration}  {numbers}  "
                f"best {self.monitor} {place.best:.4g} (round {place.best_epoch})  "
                f"{place.seconds:.0f} s"
            )

    def _save_model(self, path: pathlib.Path) -> None:
        with self._averaged(), replacing(path) as temporary:
            # What is saved does not say on how many devices it was trained.
            with joint_batch_norms(self.network, False):
                self.full.save(temporary)

    def _averaged(self) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext() if self.average is None else self.average.in_place()

    def _staged_model(self) -> pathlib.Path:
        return self.checkpoint.with_name(f"kept-{self.position.kept_epoch}.keras")

    def _settle(self) -> None:
        """Bring model and history to where the checkpoint is, also after a kill in between.

        The model to keep waits beside the checkpoint until that says that its round has ended.
        """
        if self._staged_model().is_file():
            os.replace(self._staged_model(), self.run.path / "model.keras")
        for abandoned in self.checkpoint.parent.glob("kept-*.keras"):
            abandoned.unlink()
        if self.position.history:
            self.run.write_history(self.position.history)

    def _check_stop(self) -> None:
        if self.workers.count > 1 and self.workers.any(self._stop.signal_number is not None):
            # Told so or not, all stop where one does.
            self._stop.signal_number = self._stop.signal_number or signal.SIGTERM
        if self._stop.signal_number is None:
            return
        place = self.position
        place.seconds = time.monotonic() - self._started
        place.callbacks = callback_state(self.steering)
        save_checkpoint(self.checkpoint, self.variables, dataclasses.asdict(place))
        raise Stopped(
            f"stopped after round {place.epoch}, step {place.step}; "
            f"the same command with --resume goes on from there",
            self._stop.signal_number,
        )

    def _validate(self, batches: EvaluationBatches) -> dict[str, float]:
        loss = correct = count = 0.0
        targets, probabilities = [], []
        with self._averaged():
            for inputs, batch_targets in itertools.islice(batches.dataset, self._validation_steps):
                if self._stop.signal_number is not None:
                    break
                loss_sum, correct_sum, predicted = self._validation_step(inputs, batch_targets)
                loss, correct = loss + float(loss_sum), correct + float(correct_sum)
                count += len(batch_targets)
                targets.append(batch_targets)
                probabilities.append(predicted)
        # The last step of the round counts as done, so this begins anew after a resume. Not before
        # the raw weights are back: they are what the checkpoint holds.
        self._check_stop()
        loss, correct, count = self.workers.sum(np.array([loss, correct, count], np.float64))
        if not self.multi_label:
            return {"val_loss": loss / count, "val_accuracy": correct / count}
        rows = [
            self.workers.gather(np.concatenate([np.zeros((0, self._classes), np.float32), *parts]))
            for parts in (targets, probabilities)
        ]
        precision = mean_average_precision(*rows)
        return {"val_loss": loss / count, "val_mean_average_precision": precision}

    def _step(self, batch) -> None:
        sums = self.strategy.run(self._replica_step, args=batch)
        self.totals.assign_add(self.strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None))
        if self.average is not None:
            self.average.update(self.optimizer.iterations)

    def _replica_step(self, inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """One step on one device; returns its share of `totals`."""
        *before, network = self.parts
        for part in before:
            inputs = part(inputs, training=True)
        if self.mixing is not None:
            inputs, targets = self.mixing(inputs, targets)
        count = tf.cast(tf.shape(targets)[0], tf.float32)
        replicas = tf.distribute.get_replica_context()
        global_count = replicas.all_reduce(tf.distribute.ReduceOp.SUM, count)
        with tf.GradientTape() as tape:
            outputs = network(inputs, training=True)
            losses, correct, penalty, _ = clip_scores(network, outputs, targets, self.multi_label)
            # Each device adds its part of the mean over the whole batch.
            loss = tf.reduce_sum(losses) / global_count + penalty / replicas.num_replicas_in_sync
            scaled = self.optimizer.scale_loss(loss)
        variables = network.trainable_variables
        self.optimizer.apply(tape.gradient(scaled, variables), variables)
        sums = tf.stack([tf.reduce_sum(losses) + penalty * count, tf.reduce_sum(correct), count])
        return tf.cast(sums, tf.float64)

    def _validate_batch(self, inputs: tf.Tensor, targets: tf.Tensor):
        for part in self.parts:
            inputs = part(inputs, training=False)
        losses, correct, penalty, probabilities = clip_scores(
            self.network, inputs, targets, self.multi_label
        )
        count = tf.cast(tf.shape(targets)[0], tf.float32)
        return tf.reduce_sum(losses) + penalty * count, tf.reduce_sum(correct), probabilities
