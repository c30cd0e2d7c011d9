"""How long one clip takes: a Keras model's `predict`, our SavedModel, our LiteRT files.

One clip of ten seconds, from waveform to probabilities, on all cores. Networks are new, with batch
normalisations that do something; each is exported as users export it, and so checked, and runs in a
process of its own, in which all take turns, once a round. `predict` is what a user of Keras calls;
the model called as one graph stands beside it, to tell what `predict` does around the network from
the network. LiteRT cannot have every network: where it says no, its sentence stands below.

Examples:
  python benchmarks/exports.py
  python benchmarks/exports.py --networks binaural_a,two_path_resnet --threads 1
  python benchmarks/exports.py --quick --to quick-benchmarks
"""

import argparse
import contextlib
import functools
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from apart import apart, measures, use_threads
from options import new_parser, parsed
from targets import Target
from timing import in_turn, over, write_results

from keras_audio.models import create_model, list_models, model_info

CLASSES, FACTOR = 10, 3.0
NETWORKS = (
    "m5",
    "m34_res_rb4",
    "spectrogram_res_rb4",
    "erann_1_3",
    "two_path_resnet",
    "binaural_b",
    "binaural_d",
)
PREDICT, GRAPH, SAVED_MODEL = "predict", "one graph", "SavedModel"
LITERT = {False: "LiteRT fp32", True: "LiteRT fp16"}


def main() -> int:
    """Measure, print, and write the files."""
    options = parse()
    threads = use_threads(options.threads)
    values: dict[str, list[float]] = {}
    refusals: dict[str, str] = {}
    for name in options.networks:
        # One network at a time, so that threads of the others do not spin.
        with tempfile.TemporaryDirectory() as work, contextlib.ExitStack() as stack:
            place = pathlib.Path(work)
            calls, refused = apart(stack, start, name, options.seconds, options.calls, place)
            values |= in_turn(calls, options.repeats)
            refusals |= {name: refused} if refused else {}
    about = (
        f"Medians of {options.repeats} rounds of {options.calls} clips, one after the other. A "
        f"clip is {options.seconds:g} s of noise; {CLASSES} classes, {threads} threads. Each file "
        "answered like its network in a fresh process when it was written."
    )
    targets, ratios = compare(values)
    groups = {"ms a clip": values, "ratio": ratios}
    said = [f"- {name}: {refused}" for name, refused in refusals.items()]
    conclusions = ["\n".join(["No LiteRT file:", "", *said])] if said else []
    title = "Latency of exports"
    write_results(options.to / options.name, title, about, groups, conclusions, targets)
    return 0


def compare(values: Mapping[str, Sequence[float]]) -> tuple[list[Target], dict]:
    """What was asked, and the ratios that nothing was asked of."""
    targets, ratios = [], {}
    for name in values:
        network, kind = name.split(", ", 1)
        times = over(values, f"{network}, {PREDICT}", name)
        what = f"time of predict over that of {kind}, {network}"
        if kind == GRAPH:
            ratios[what] = times
        elif kind != PREDICT:
            targets.append(Target(what, times, FACTOR))
    return targets, ratios


# In the processes. ------------------------------------------------------------------------------


def start(name: str, seconds: float, calls: int, work: pathlib.Path) -> str:
    """Export a network in every way and make all ready; why there is no LiteRT file, if so."""
    import keras
    import tensorflow as tf
    from weights import draw_weights

    from keras_audio.layers import PadOrCrop
    from keras_audio.serving import UnsupportedByLiteRT, export_litert, export_saved_model
    from keras_audio.serving.export import serving_function
    from keras_audio.serving.litert_replay import open_litert

    keras.utils.set_random_seed(0)
    info = model_info(name)
    samples = round(seconds * info.sample_rate)
    model = create_model(name, CLASSES, clip_steps=[PadOrCrop(samples)])
    draw_weights(model)
    clip = np.random.default_rng(0).uniform(-1, 1, (1, samples, info.channels)).astype("float32")
    facts = {"labels": [f"class {n}" for n in range(CLASSES)], "sample_rate": info.sample_rate}
    graph = serving_function(model)
    folder = export_saved_model(model, work / "saved_model", **facts)
    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures["serving_default"]
    models: dict[str, Callable] = {
        PREDICT: lambda: model.predict(clip, verbose=0),
        GRAPH: lambda: graph(tf.constant(clip))["probabilities"].numpy(),
        # Holding `loaded` keeps the variables, which its signatures refer to but weakly.
        SAVED_MODEL: lambda loaded=loaded: signature(waveform=tf.constant(clip))[
            "probabilities"
        ].numpy(),
    }
    refused = ""
    threads = len(os.sched_getaffinity(0))
    for fp16, kind in LITERT.items():
        try:
            folder = export_litert(model, work / kind, fp16=fp16, **facts)
        except UnsupportedByLiteRT as error:
            refused = str(error)
            continue
        serve, _ = open_litert(str(folder / "model.tflite"), threads)
        models[kind] = lambda serve=serve: serve(waveform=clip)["probabilities"]
    for kind, call in models.items():
        call()
        measures[f"{name}, {kind}"] = functools.partial(_milliseconds, call, calls)
    return refused


def _milliseconds(call: Callable, calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        call()
    return 1000 * (time.perf_counter() - started) / calls


# The command line. ------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    quick = "one network, a clip of a second, 2 rounds"
    parser = new_parser(__doc__, name="exports", repeats=9, quick=quick)
    names = f"default {','.join(NETWORKS)}"
    parser.add_argument("--networks", type=_networks, default=list(NETWORKS), help=names)
    parser.add_argument("--threads", type=int, help="and cores; default all")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the clip; default 10")
    parser.add_argument("--calls", type=int, default=5, help="clips a round; default 5")
    small = {"networks": ["binaural_a"], "seconds": 1.0, "repeats": 2}
    return parsed(parser, arguments, small, ["threads", "seconds", "calls"])


def _networks(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in list_models():
            raise argparse.ArgumentTypeError(f"some of {', '.join(list_models())}; not {name!r}")
    return names


if __name__ == "__main__":
    sys.exit(main())
