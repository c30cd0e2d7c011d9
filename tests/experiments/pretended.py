"""Stands for `keras-audio` where a test is about the grid: what a run does is in a file beside it.

`<run>.does` may say `fail`, `die` (by SIGKILL, once), `wait` (for a signal, which it notes as a
checkpoint) or `hang` (until it is killed); else a command does in no time what it should.
"""

import os
import pathlib
import signal
import sys
import time

from keras_audio.files import write_json, write_text
from keras_audio.recipes import recipe_class, with_settings


def main(verb, *arguments):
    run = pathlib.Path(arguments[arguments.index("--run") + 1 if verb == "train" else 0])
    print(f"{verb} in {os.getpid()} on cores {sorted(os.sched_getaffinity(0))}", flush=True)
    if verb == "train":
        settings = [text.removeprefix("--set=") for text in arguments if text.startswith("--set=")]
        recipe = with_settings(recipe_class(arguments[0])(), settings)
        write_json(run / "recipe.json", recipe.to_dict())
        train(run, run.with_name(f"{run.name}.does"))
        write_text(run / "history.csv", "epoch,seconds,val_accuracy\n1,2.5,0.25\n2,5,0.75\n")
        write_json(run / "done.json", {"seconds": 5.0, "epochs": 2})
        if "--smoke" not in arguments:
            return 0
    write_json(run / "metrics.json", {"accuracy": 0.75})
    return 0


def train(run, file):
    does = file.read_text() if file.is_file() else ""
    if does == "fail":
        sys.exit("ValueError: broken on purpose")
    if does == "die":
        file.unlink()
        print("round 1 of 2", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if does == "wait":
        heard = []
        signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
        signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
        write_text(run / "begun", "")
        while not heard:
            time.sleep(0.02)
        write_text(run / "checkpoint", f"{heard}")
        file.unlink()
        sys.exit(128 + heard[0])
    if does == "hang":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        write_text(run / "begun", "")
        time.sleep(60)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
