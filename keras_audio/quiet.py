"""Starting TensorFlow without what it says about itself."""

import logging
import os
import sys


def import_tensorflow() -> None:
    """Import TensorFlow without its notes on how it was built and which GPU it did not find.

    It writes them to the file descriptor, past Python and past TF_CPP_MIN_LOG_LEVEL, so that
    descriptor is turned away meanwhile. An import that fails raises as ever.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("absl").setLevel(logging.ERROR)
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import tensorflow as tf

        tf.config.list_physical_devices()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
