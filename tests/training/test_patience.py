"""A service that gives no more batches does not hold a training for ever."""

import os
import subprocess
import sys

import pytest

from keras_audio.training.patience import from_service

WAITS = """
import time
from keras_audio.training import patience

def batches():
    yield 1
    time.sleep(600)

patience.PATIENCE_SECONDS = 0.5
for batch in patience.from_service(batches(), 2):
    print(batch, flush=True)
"""


def test_all_batches_pass():
    assert list(from_service(range(3), 3)) == [0, 1, 2]


def test_batches_that_are_lost_are_missed():
    with pytest.raises(ValueError, match="Expected 4 batches, a worker .* Received: 3 batches"):
        list(from_service(range(3), 4))


def test_a_process_that_gets_no_batch_ends():
    ended = subprocess.run([sys.executable, "-c", WAITS], capture_output=True, text=True)
    assert ended.returncode == os.EX_TEMPFAIL
    assert ended.stdout == "1\n"
    assert "no batch for 0.5 s: a worker of the tf.data service is gone" in ended.stderr
