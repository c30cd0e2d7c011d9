"""Bytes and latency of LiteRT files: the binaural networks on ten seconds of stereo, one thread.

Every file is exported and so checked, with weights of 16 and of 32 bits; then all are measured in
one process and in turn, once a round, so that a machine that is slow for a while is slow for all of
them. Shown are medians over the rounds, with the least and the greatest: where other programs want
the processor too, the least tells what the file needs. Weights are those of new networks, with
batch normalisations that do something; neither bytes nor time depend on what was learned.

Examples:
  python benchmarks/litert.py
  python benchmarks/litert.py --networks binaural_a,binaural_b --seconds 5
  python benchmarks/litert.py --quick --to quick-benchmarks
"""

import argparse
import functools
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from timing import in_turn, write_results

from keras_audio.quiet import import_tensorflow

NETWORKS = ("binaural_a", "binaural_b", "binaural_c", "binaural_d")
CLASSES, CLIPS_A_ROUND, WARM_UP = 3, 5, 5
BITS = {16: True, 32: False}


def main() -> int:
    """Measure, print, and write the files."""
    options = parse()
    import_tensorflow()
    sizes, measures, runtime = {}, {}, ""
    with tempfile.TemporaryDirectory() as work:
        for network in options.networks:
            for bits in BITS:
                name = f"{network}, {bits} bits"
                file = export(network, options.seconds, bits, pathlib.Path(work) / name)
                sizes[name] = [file.stat().st_size]
                measures[name], runtime = latency(file)
        busy = os.getloadavg()[0]
        values = in_turn(measures, options.repeats)
    about = (
        f"LiteRT files for {options.seconds:g} s of stereo at 18 kHz and {CLASSES} classes, of new "
        f"networks; one thread of {runtime}; {options.repeats} rounds of {CLIPS_A_ROUND} clips. "
        "Each file answered like its network in a fresh process. Load average of the machine when "
        f"the rounds began: {busy:.1f}; where that is above the number of cores, the least is what "
        "a file needs."
    )
    groups = {"bytes": sizes, "ms a clip": values}
    write_results(options.to / options.name, "Bytes and latency of LiteRT files", about, groups)
    return 0


def export(network: str, seconds: float, bits: int, folder: pathlib.Path) -> pathlib.Path:
    """Build a network and write its LiteRT file."""
    import keras
    from weights import draw_weights

    from keras_audio.layers import PadOrCrop
    from keras_audio.models import create_model, model_info
    from keras_audio.serving import export_litert

    keras.utils.set_random_seed(0)
    rate = model_info(network).sample_rate
    steps = [PadOrCrop(round(seconds * rate))]
    model = create_model(network, CLASSES, clip_steps=steps)
    draw_weights(model)
    labels = [f"class {index}" for index in range(CLASSES)]
    export_litert(model, folder, labels=labels, sample_rate=rate, fp16=BITS[bits])
    return folder / "model.tflite"


def latency(file: pathlib.Path):
    """A measurement of milliseconds a clip, and the runtime that runs the file."""
    from keras_audio.serving.litert_replay import open_litert

    serve, runtime = open_litert(str(file), threads=1)
    shape = serve.get_input_details()["waveform"]["shape"]
    clip = np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")
    for _ in range(WARM_UP):
        serve(waveform=clip)
    return functools.partial(_milliseconds, serve, clip), runtime


def _milliseconds(serve, clip: np.ndarray) -> float:
    started = time.perf_counter()
    for _ in range(CLIPS_A_ROUND):
        serve(waveform=clip)
    return 1000 * (time.perf_counter() - started) / CLIPS_A_ROUND


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", default=",".join(NETWORKS), metavar="NAMES")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a clip")
    parser.add_argument("--repeats", type=int, default=40, help="rounds")
    parser.add_argument("--quick", action="store_true", help="one network, two rounds, one second")
    parser.add_argument("--to", type=pathlib.Path, default=pathlib.Path("results/benchmarks"))
    parser.add_argument("--name", default="litert", help="of the files in --to")
    options = parser.parse_args(arguments)
    if options.quick:
        options.networks, options.seconds, options.repeats = NETWORKS[0], 1.0, 2
        options.name += "_quick"
    options.networks = options.networks.split(",")
    for name in ("seconds", "repeats"):
        if not getattr(options, name) >= 1:
            parser.error(f"expected --{name} of at least 1, not {getattr(options, name)}")
    unknown = sorted(set(options.networks) - set(NETWORKS))
    if unknown:
        parser.error(f"expected --networks of {', '.join(NETWORKS)}, not {', '.join(unknown)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
