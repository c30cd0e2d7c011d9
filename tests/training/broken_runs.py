"""Trainings that are killed or divided, and what they end with."""

import csv
import json
import pathlib
import signal
import subprocess
import time

import numpy as np

from keras_audio.training import RunFolder, loop

# For processes of their own: trains under the strategy of its last argument.
JOINT_BATCHES = pathlib.Path(__file__).with_name("joint_batches.py")


def check_as_single(folder, strategy):
    """What JOINT_BATCHES trained on several devices is what it trained on one."""
    limits = {"without_batch_norm": 1e-6, "with_batch_norm": 1e-10, "shipped": 1e-5}
    for name, rounding in limits.items():
        one = np.load(folder / f"{name}-single.npz")
        several = np.load(folder / f"{name}-{strategy}.npz")
        assert one.files == several.files
        for weight in one.files:
            # Losses are of single precision everywhere.
            tolerance = max(1e-6, rounding) if weight.endswith("loss") else rounding
            np.testing.assert_allclose(several[weight], one[weight], rtol=0, atol=tolerance)


def epochs_done(run):
    """How many epochs the history of a run has."""
    try:
        with open(run / "history.csv", newline="") as file:
            return len(list(csv.DictReader(file)))
    except FileNotFoundError:
        return 0


def kill_after(command, run, epochs, number):
    """Start a training in `run` and send it a signal as soon as it has written so many epochs."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while epochs_done(run) < epochs:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def final_state(run):
    """All that a training ends with, but for the time it took."""
    with np.load(run / "checkpoints" / "last.npz") as file:
        arrays = dict(file)
    position = json.loads(str(arrays.pop("position")))
    position.pop("seconds")
    for row in position["history"]:
        row.pop("seconds")
    best = [variable.numpy() for variable in RunFolder(run).model().variables]
    return position, arrays, best


def stopping_at(monkeypatch, number):
    """Patch the loop to send itself a SIGTERM as it ends so many steps, validations and rounds."""
    check, calls = loop.TrainingLoop._check_stop, []

    def stop_then(self):
        calls.append(None)
        if len(calls) == number:
            signal.raise_signal(signal.SIGTERM)
        check(self)

    monkeypatch.setattr(loop.TrainingLoop, "_check_stop", stop_then)
