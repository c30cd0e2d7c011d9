"""What a training minimises and measures."""

import itertools
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_audio.data import EvaluationBatches, Records
from keras_audio.models import cut_model
from keras_audio.recipes import Recipe


def clip_scores(
    network: keras.Model, outputs: tf.Tensor, targets: tf.Tensor, multi_label: bool
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Cross-entropy and correctness a clip, the L2 penalty of the weights, probabilities.

    Args:
        network: What has the penalties.
        outputs: Its probabilities (clips, classes), of any precision.
        targets: (clips, classes), one or multi-hot.
        multi_label: Whether to take binary instead of categorical cross-entropy, and no clip for
            correct.

    Returns:
        (clips,), (clips,), () and (clips, classes), all float32.
    """
    probabilities = tf.cast(outputs, tf.float32)
    if multi_label:
        losses = keras.losses.binary_crossentropy(targets, probabilities)
        correct = tf.zeros_like(losses)
    else:
        losses = keras.losses.categorical_crossentropy(targets, probabilities)
        correct = keras.metrics.categorical_accuracy(targets, probabilities)
    penalties = [tf.cast(loss, tf.float32) for loss in network.losses]
    penalty = tf.add_n(penalties) if penalties else tf.constant(0.0)
    return losses, tf.cast(correct, tf.float32), penalty, probabilities


def mean_average_precision(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Average precision of each class that occurs, and their mean.

    Args:
        targets: (clips, classes), 0 or 1.
        probabilities: (clips, classes).
    """
    from sklearn.metrics import average_precision_score

    occurs = targets.any(axis=0)
    if not occurs.any():
        return 0.0
    return float(average_precision_score(targets[:, occurs], probabilities[:, occurs]))


def scores_of(
    model: keras.Model,
    recipe: Recipe,
    records: Records,
    folds: Sequence[int],
    max_steps: int | None = None,
) -> tuple[float, float]:
    """What a training is steered by, and its loss, of a full model that was not trained here.

    Args:
        model: From waveform to predictions.
        recipe: How it would be trained.
        records: The prepared data set.
        folds: Those to measure on.
        max_steps: Batches at most; for smoke tests.

    Returns:
        Accuracy, or mean average precision, and mean loss with the L2 penalty of the weights.
    """
    clip_steps, network = cut_model(model, recipe.clip_boundary)
    batches = EvaluationBatches(
        records,
        folds,
        clip_steps,
        batch_size=recipe.batch_size,
        max_samples=recipe.max_samples,
    )
    found = []
    for inputs, targets in itertools.islice(batches.dataset, max_steps):
        outputs = network(inputs, training=False)
        *of_clips, penalty, probabilities = clip_scores(
            network, outputs, targets, recipe.multi_label
        )
        found.append((*(part.numpy() for part in of_clips), targets.numpy(), probabilities.numpy()))
    losses, correct, targets, probabilities = map(np.concatenate, zip(*found, strict=True))
    score = mean_average_precision(targets, probabilities) if recipe.multi_label else correct.mean()
    return float(score), float(losses.mean() + penalty)
