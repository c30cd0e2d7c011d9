"""A tf.data service: processes elsewhere that read clips and run the clip steps."""

import socket
from collections.abc import Callable

import numpy as np
import tensorflow as tf

_SECONDS = 20


def reach(address: str) -> str:
    """Make sure that somebody listens there; TensorFlow itself would try for an hour, or for ever.

    Args:
        address: Of a dispatcher, `grpc://host:port` or `host:port`.

    Returns:
        `host:port`.

    Raises:
        ValueError: If it is no such address, or nobody answers.
    """
    protocol, _, place = address.rpartition("://")
    host, _, port = place.rpartition(":")
    if protocol not in ("", "grpc") or not host or not port.isdecimal():
        raise ValueError(
            "Expected the address of a tf.data service, grpc://host:port. "
            f"Received: service={address!r}"
        )
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"Expected a tf.data service to answer ({error}). Received: service={address!r}"
        ) from error
    return place


def check_service(address: str, clip_steps) -> None:
    """Refuse a service that nobody runs, and clip steps that cannot be sent to one.

    Raises:
        ValueError: If so.
    """
    reach(address)
    if clip_steps.variables:
        raise ValueError(
            "Expected clip steps without variables, since those are in this process alone. "
            f"Received: {', '.join(variable.path for variable in clip_steps.variables)}"
        )


def from_service(
    address: str, pairs: np.ndarray, batch_size: int, load: Callable[[tf.Tensor], tf.data.Dataset]
) -> tf.data.Dataset:
    """Batches of what `load` makes of `pairs`, made by the workers of a service.

    Args:
        address: Of the service's dispatcher.
        pairs: int64 (clips, 2).
        batch_size: Clips a batch; the last one may be smaller.
        load: From some of the pairs to a data set of (input, target).
    """
    drawn = tf.constant(pairs)

    def batch(step: tf.Tensor) -> tf.data.Dataset:
        return load(drawn[step * batch_size : (step + 1) * batch_size]).batch(batch_size)

    # Batches are what is dealt out among the workers, as they ask for them: none twice.
    steps = tf.data.Dataset.range(-(-len(pairs) // batch_size))
    return steps.interleave(batch, num_parallel_calls=tf.data.AUTOTUNE).apply(
        tf.data.experimental.service.distribute(
            tf.data.experimental.service.ShardingPolicy.DYNAMIC,
            address if "://" in address else f"grpc://{address}",
        )
    )
