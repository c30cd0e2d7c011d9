"""How long networks take for one clip on one thread, in a process of their own."""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping

RUNS = 30
_WARM_UP = 3


def clip_latencies(models: Mapping[str, tuple], channels: int) -> dict[str, float]:
    """Median time of a clip through Keras models, in milliseconds, on one thread of the CPU.

    A fresh process measures, since TensorFlow cannot change its number of threads once it runs; all
    models take turns in it, so that what else the machine does meanwhile meets all alike.

    Args:
        models: By name, a full model from a waveform (batch, samples, channels) and the samples of
            its clip.
        channels: Of the clips.

    Raises:
        ValueError: If the process fails.
    """
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryDirectory() as folder:
        asked = []
        for number, (model, samples) in enumerate(models.values()):
            path = pathlib.Path(folder) / f"{number}.keras"
            model.save(path)
            asked.append([str(path), samples, channels])
        command = [sys.executable, "-m", __name__, json.dumps(asked)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"Expected models that can be timed. Received: {done.stderr[-500:]}")
    return dict(zip(models, json.loads(done.stdout.splitlines()[-1]), strict=True))


def _measure(asked: list[list]) -> list[float]:
    import keras
    import tensorflow as tf

    import keras_audio.custom_objects  # noqa: F401 - makes our layers known to Keras

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    calls = []
    for path, samples, channels in asked:
        model = keras.models.load_model(path, compile=False)
        predict = tf.function(lambda waveform, model=model: model(waveform, training=False))
        clip = tf.random.stateless_uniform((1, samples, channels), [0, 0], -1.0, 1.0)
        calls.append((predict, clip, []))
    for turn in range(RUNS + _WARM_UP):
        for predict, clip, times in calls:
            begin = time.perf_counter()
            predict(clip).numpy()
            if turn >= _WARM_UP:
                times.append(time.perf_counter() - begin)
    return [1000 * statistics.median(times) for _, _, times in calls]


if __name__ == "__main__":
    print(json.dumps(_measure(json.loads(sys.argv[1]))))
