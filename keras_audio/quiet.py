"""Starting and using TensorFlow without what it says about itself."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator


def import_tensorflow() -> None:
    """Import TensorFlow without its notes on how it was built and which GPU it did not find.

    An import that fails raises as ever.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("absl").setLevel(logging.ERROR)
    with nothing_said():
        import tensorflow as tf

        tf.config.list_physical_devices()


@contextlib.contextmanager
def nothing_said() -> Iterator[None]:
    """Turn away what is written to stderr while the block runs.

    TensorFlow's libraries write to the file descriptor, past Python and some of them past
    TF_CPP_MIN_LOG_LEVEL, so it is the descriptor that is turned away.
    """
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
