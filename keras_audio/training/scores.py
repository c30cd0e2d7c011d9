"""What a training minimises and measures."""

import keras
import numpy as np
import tensorflow as tf


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
