"""`keras-audio data-service`: processes that read clips and run the clip steps for trainings."""

import argparse
import signal
import socket
import sys

EXAMPLES = """\
  keras-audio data-service --port 5050                                 # the dispatcher, once
  keras-audio data-service --worker-of grpc://10.0.0.1:5050            # on each machine that reads
  keras-audio train erann --dataset audioset --data-service grpc://10.0.0.1:5050"""
# After which a worker that says nothing counts as gone: TensorFlow would wait for it for long.
_TIMEOUT_MS = 20_000
DESCRIPTION = """\
Run a tf.data service: a dispatcher, and workers that read the records, cut crops out of them and
run the clip steps for trainings elsewhere, whose machines are too slow for it. The workers open the
records by the path that the training names. They run until they are stopped (Ctrl-C, SIGTERM)."""


def add_data_service(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    verb.add_argument(
        "--worker-of",
        metavar="ADDRESS",
        help="be a worker of the dispatcher there, not a dispatcher",
    )
    verb.add_argument(
        "--port", type=_port, default=0, metavar="P", help="where to listen (default: a free one)"
    )
    verb.add_argument(
        "--host",
        default=None,
        metavar="NAME",
        help="the name by which others reach this machine (default: what it calls itself)",
    )


def data_service(options: argparse.Namespace) -> None:
    """Serve until stopped."""
    import tensorflow as tf

    from keras_audio.data.service import reach

    service = tf.data.experimental.service
    host = options.host or socket.getfqdn()
    try:
        if options.worker_of is None:
            server = service.DispatchServer(
                service.DispatcherConfig(port=options.port, worker_timeout_ms=_TIMEOUT_MS)
            )
            print(f"dispatcher: {server.target.replace('localhost', host)}", flush=True)
        else:
            # What a worker tells the dispatcher has its port in it, so it cannot be just any.
            port = options.port or _free_port()
            server = service.WorkerServer(
                service.WorkerConfig(
                    dispatcher_address=reach(options.worker_of),
                    worker_address=f"{host}:{port}",
                    port=port,
                    heartbeat_interval_ms=_TIMEOUT_MS // 4,
                )
            )
            print(f"worker {host}:{port} of {options.worker_of}", flush=True)
    except (RuntimeError, tf.errors.OpError) as error:
        raise ValueError(
            f"Expected a port that is free, got {error}. Received: --port {options.port}"
        ) from error
    # TensorFlow's own waiting does not hear signals.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.pause()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("", 0))
        return free.getsockname()[1]


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) < 65536:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
    return int(text)
