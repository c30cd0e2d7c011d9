"""How long a network takes for one clip on one thread, in a process of its own."""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

RUNS = 30


def clip_latency(model, samples: int) -> float:
    """Median time of a clip through a Keras model, in milliseconds, on one thread of the CPU.

    A fresh process measures, since TensorFlow cannot change its number of threads once it runs.

    Args:
        model: Full model from a waveform (batch, samples, channels).
        samples: Of the clip.

    Raises:
        ValueError: If the process fails.
    """
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.keras"
        model.save(path)
        command = [sys.executable, "-m", __name__, str(path), str(samples)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"Expected a model that can be timed. Received: {done.stderr[-500:]}")
    return float(done.stdout.split()[-1])


def _measure(path: str, samples: int) -> float:
    import keras
    import tensorflow as tf

    import keras_audio.custom_objects  # noqa: F401 - makes our layers known to Keras

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = keras.models.load_model(path, compile=False)
    predict = tf.function(lambda waveform: model(waveform, training=False))
    clip = tf.random.stateless_uniform((1, samples, model.input_shape[-1]), [0, 0], -1.0, 1.0)
    times = []
    for _ in range(RUNS + 3):
        begin = time.perf_counter()
        predict(clip).numpy()
        times.append(time.perf_counter() - begin)
    return 1000 * statistics.median(times[3:])


if __name__ == "__main__":
    print(_measure(sys.argv[1], int(sys.argv[2])))
