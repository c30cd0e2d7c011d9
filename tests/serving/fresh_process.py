"""Answers of an export from a process that has TensorFlow alone: not the export's own check."""

import os
import subprocess
import sys
import textwrap

import numpy as np

SCRIPT = textwrap.dedent("""
    import sys
    import numpy as np
    import tensorflow as tf
    loaded = tf.saved_model.load(sys.argv[1])
    serve = loaded.signatures["serving_default"]
    clips = np.load("in.npz")
    answers = {}
    for n in clips.files:
        for key, value in serve(waveform=tf.constant(clips[n])).items():
            answers[n + key] = value.numpy()
    np.savez("out.npz", **answers)
    print("keras_audio" in sys.modules)
""")


def answers_of(exported, clips, folder):
    """Arrays named `<name of the clip batch>probabilities` and `...embedding`."""
    np.savez(folder / "in.npz", **clips)
    command = [sys.executable, "-c", SCRIPT, str(exported)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False"]
    return np.load(folder / "out.npz")
