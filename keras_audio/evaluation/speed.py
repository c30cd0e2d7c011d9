"""How long a run's model takes for a clip, measured once and remembered in the run."""

import datetime
from typing import Any

import keras

from keras_audio.evaluation.latency import RUNS, clip_latencies
from keras_audio.files import read_json, write_json
from keras_audio.training.environment import describe_environment
from keras_audio.training.opening import file_digest
from keras_audio.training.run_folder import RunFolder

SPEED_FILE = "speed.json"


def measure_speed(run: RunFolder, model: keras.Model, samples: int) -> dict[str, Any]:
    """Time a clip on one CPU thread of this machine, and remember it in `speed.json` of the run.

    Args:
        run: The run folder.
        model: Its model.
        samples: Of the clip.

    Returns:
        `latency_ms`, the median of `runs`; `clip_samples`; `processor`, `cores`, `platform`,
        `tensorflow` and `keras` of this machine; `date`; and the `model` measured, by the digest
        of its file.

    Raises:
        ValueError: If the process that measures fails.
    """
    latency = clip_latencies({"model": (model, samples)}, model.input_shape[-1])["model"]
    here = describe_environment()
    speed = {
        "latency_ms": round(latency, 3),
        "runs": RUNS,
        "threads": 1,
        "clip_samples": samples,
        **{name: here[name] for name in ("processor", "cores", "platform")},
        **{name: here["packages"][name] for name in ("tensorflow", "keras")},
        "date": datetime.date.today().isoformat(),
        "model": file_digest(run.path / "model.keras"),
    }
    write_json(run.path / SPEED_FILE, speed)
    return speed


def remembered_speed(run: RunFolder) -> dict[str, Any] | None:
    """What `measure_speed` found of the model that the run has now; None if it did not."""
    path = run.path / SPEED_FILE
    if not path.is_file():
        return None
    speed = read_json(path)
    return speed if speed.get("model") == file_digest(run.path / "model.keras") else None
