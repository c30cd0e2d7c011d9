"""A run as a LiteRT file, checked on clips that it held out, and what the check found."""

import os
import pathlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_audio.training import RunFolder


def export_run_to_litert(
    run: "RunFolder",
    path: str | os.PathLike,
    *,
    fp16: bool,
    data_dir: str | os.PathLike,
    overwrite: bool,
) -> None:
    """Write the folder of `export_litert`, and print bytes, latency and differences."""
    from keras_audio.evaluation.held_out import HeldOut
    from keras_audio.files import read_json
    from keras_audio.serving import export_litert

    try:
        held_out = HeldOut(run.recipe, data_dir)
        held_out.check(run)
        probe, absent = held_out.examples(), ""
    except ValueError as error:  # no records, or others than the run's
        probe, absent = [], str(error)
    path = export_litert(
        run.model(),
        path,
        labels=run.labels,
        sample_rate=run.sample_rate,
        resampling=run.resampling,
        clip_samples=run.recipe.max_samples,
        fp16=fp16,
        probe=probe,
        overwrite=overwrite,
    )
    found = read_json(pathlib.Path(path) / "export.json")
    print(
        f"{found['bytes']:,} bytes; {found['latency_ms']:.1f} ms for a clip on one thread "
        f"(median of {found['latency_runs']}; the least is {found['least_latency_ms']:.1f}; "
        f"{found['runtime']})"
    )
    differences = found["max_abs_difference"]
    print(
        f"largest difference from the model: {differences['probabilities']:.2g} in probabilities, "
        f"{differences['embedding']:.2g} in embeddings of up to {found['max_abs_embedding']:.2g}"
    )
    if absent:
        print(f"no real sound was checked: {absent}")
    else:
        same, clips = found["probe_clips_of_same_class"], found["probe_clips"]
        print(f"clips of the held-out fold given the same class: {same} of {clips}")
    print(f"exported, reloaded in a fresh process and compared: {path}")
