"""Plays stored waveforms through a SavedModel: the other half of an export's check.

`export_saved_model` runs this file by its path in a fresh process, so that the SavedModel meets
what a server has: TensorFlow and NumPy, no Keras objects, and nothing of this package.

    python -P replay.py WAVEFORMS.npz ANSWERS.npz SAVED_MODEL
"""

import sys

import numpy as np
import tensorflow as tf


def replay(waveforms_file: str, answers_file: str, folder: str) -> None:
    """Answer every waveform batch of one .npz file into another.

    Args:
        waveforms_file: Arrays (batch, samples, channels) float32 by name.
        answers_file: Written; `<name>/probabilities` and `<name>/embedding` for every name, and
            the entries of the `metadata` signature as `metadata/<entry>`.
        folder: The SavedModel.

    Raises:
        RuntimeError: If `keras_audio` was imported, which would make this no check at all.
    """
    loaded = tf.saved_model.load(folder)
    serve = loaded.signatures["serving_default"]
    answers = {}
    with np.load(waveforms_file) as waveforms:
        for name in waveforms.files:
            for output, value in serve(waveform=tf.constant(waveforms[name])).items():
                answers[f"{name}/{output}"] = value.numpy()
    for entry, value in loaded.signatures["metadata"]().items():
        # Strings come as objects, which .npz would have to pickle, and a single one as bytes.
        value = np.asarray(value.numpy())
        answers[f"metadata/{entry}"] = value.astype(np.bytes_) if value.dtype == object else value
    if "keras_audio" in sys.modules:
        raise RuntimeError("keras_audio was imported by the process that is to do without it")
    np.savez(answers_file, **answers)


if __name__ == "__main__":
    replay(*sys.argv[1:])
