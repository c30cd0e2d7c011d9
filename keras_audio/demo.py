"""The main job from end to end, as the commands that a user would type."""

import os
import pathlib
import subprocess
import sys
import time

from keras_audio.training.run_folder import RunFolder

# A short training for short sounds. Batches of 16 and moving statistics with momentum 0.9, since
# the paper's 128 and Keras's 0.99 are made for thousands of clips; the rest is the paper's.
SETTINGS = ("block=rb4", "batch_size=16", "batch_norm_momentum=0.9", "plateau_patience=3")
TOY_SETTINGS = ("duration=2", "epochs=14", "early_stopping_patience=4")
OWN_SETTINGS = ("duration=4", "epochs=40", "early_stopping_patience=10")


def run_demo(folder: str | os.PathLike, *, sounds: str | os.PathLike | None = None) -> int:
    """Prepare, train, evaluate, export and predict, each in a process of its own.

    What is there already is not made again, so a demo that was interrupted goes on.

    Args:
        folder: Where everything goes.
        sounds: A folder of sounds with a subfolder a class; None is the generated toy sounds.

    Returns:
        The exit status: that of the first step that failed, or 0.
    """
    started = time.monotonic()
    if sounds is None:
        dataset, prepare, settings = "toy_sounds", ["prepare", "toy_sounds"], TOY_SETTINGS
        folder = pathlib.Path(folder) / dataset
        sounds = folder / "data" / "sources" / "toy_sounds"
    else:
        sounds = pathlib.Path(sounds)
        dataset, settings = "my_sounds", OWN_SETTINGS
        prepare = ["prepare", "audio_folder", "--source", sounds, "--name", dataset]
        prepare += ["--allow-missing"]
        folder = pathlib.Path(folder) / f"own-{sounds.resolve().name}"
    data, run, export = folder / "data", folder / "run", folder / "export"
    train = ["train", "residual_blocks", "--dataset", dataset, "--fold", "1", "--run", run]
    train += [f"--set={setting}" for setting in SETTINGS + settings]
    for command in (
        [*prepare, "--sample-rate", "8000", "--data-dir", data],
        [*train, "--resume", "--data-dir", data],
        ["evaluate", run, "--data-dir", data],
        ["export", run, "--to", export, "--force"],
    ):
        status = _keras_audio(*command)
        # 1: done but for bad files, which it has listed. A folder of one's own often has some.
        if status and (status, command[0]) != (1, "prepare"):
            print(f"To begin anew, delete {folder}", file=sys.stderr)
            return status
    # The ids of toy sounds and of a user's clips are the files' places in the folder, or beside
    # the CSV that lists them.
    root = sounds.parent if sounds.is_file() else sounds
    clip = root / next(iter(RunFolder(run).held_out))
    if status := _keras_audio("predict", export, clip, "--top", "3"):
        return status
    print(
        f"\nDone in {time.monotonic() - started:.0f} s. What there is now:\n"
        f"  {run / 'report.html'}  the report: open it in a browser\n"
        f"  {run}  the run: weights, history, predictions, all that resuming needs\n"
        f"  {export}  the SavedModel: a waveform in, named probabilities out\n"
        f"  {data}  the records, and the sounds themselves\n"
        f"Above: the three most probable classes of {clip}, which the network had not heard."
    )
    return 0


def _keras_audio(*arguments) -> int:
    arguments = [str(argument) for argument in arguments]
    print(f"\n$ keras-audio {' '.join(arguments)}", flush=True)
    return subprocess.run([sys.executable, "-m", "keras_audio.cli", *arguments]).returncode
