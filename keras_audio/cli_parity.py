"""`keras-audio parity`: an original checkpoint here against what the original network answered."""

import argparse
import dataclasses
import json
import math
import sys

from keras_audio.cli_import import add_original
from keras_audio.cli_types import rate

SUMMARY = "Compare an original checkpoint with its recorded outputs"
EXAMPLES = """\
  keras-audio parity m34_res.h5 m34_res_io.npz --as m34_res
  keras-audio parity binaural_a.pt binaural_io.npz --as binaural_a --tolerance 1e-5
  keras-audio parity two_path_1b.h5 io.npz --as two_path_resnet --layer embedding=features
  keras-audio parity m3.h5 logits_io.npz --as m3 --layer logits=y
"""
DESCRIPTION = """\
Load an original checkpoint, answer a recorded input, and print the largest absolute and relative
difference from each recorded output.

IO is an .npz file. `x` is the input of the network: (clips, samples, channels), or
(clips, mels, frames, channels) to leave the front end out. `y` is what it answered, probabilities,
compared with `predictions`. An array with the name of a layer here (logits, embedding, ...) is
compared with that layer; so is logits_a where MODEL ends in _a. --layer names others.

A relative difference is |ours - recorded| / max(|recorded|, largest |recorded| of that output /
1000): what is near zero beside the others is compared with their size."""


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    add_original(verb)
    verb.add_argument("recording", metavar="IO", help="the recorded input and outputs, an .npz")
    verb.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="LAYER[=ARRAY]",
        help="compare a layer with an array of another name; may be given again",
    )
    verb.add_argument(
        "--tolerance",
        type=rate,
        metavar="T",
        help="exit with 1 if an absolute difference is above T; one that is no number always is",
    )
    verb.add_argument("--json", action="store_true", help="print JSON")


def parity(options: argparse.Namespace) -> int:
    """Compare and print; 1 if a difference is above the tolerance, or is no finite number."""
    from keras_audio.evaluation import measure_parity
    from keras_audio.tables import text_table

    asked = {}
    for text in options.layer:
        layer, _, array = text.partition("=")
        if layer in asked:
            raise ValueError(f"Expected a layer once. Received: --layer {text}")
        asked[layer] = array or layer
    found = measure_parity(
        options.file,
        options.model,
        options.recording,
        layers=asked,
        arrays_only=options.arrays_only,
    )
    tolerance = options.tolerance
    most = tolerance or sys.float_info.max
    beyond = [row.output for row in found.rows if not row.absolute <= most]
    if options.json:
        answer = dataclasses.asdict(found) | {"beyond": beyond}
        for row in answer["rows"]:
            row |= {key: _finite(row[key]) for key in ("absolute", "relative")}
        print(json.dumps(answer, indent=2, allow_nan=False))
        return int(bool(beyond))
    print(
        text_table(
            ("output", "array", "shape", "absolute", "relative", "largest at"),
            [
                (
                    *(row.output, row.array, "x".join(map(str, row.shape))),
                    *(f"{row.absolute:.2g}", f"{row.relative:.2g}", ", ".join(map(str, row.at))),
                )
                for row in found.rows
            ],
            right=(3, 4),
        )
    )
    if found.not_compared:
        print(f"not compared: {', '.join(found.not_compared)}")
    if beyond:
        limit = f"{tolerance:g}" if tolerance else "any tolerance"
        print(f"beyond {limit}: {', '.join(beyond)}")
    elif tolerance:
        print(f"all within {tolerance:g}")
    return int(bool(beyond))


def _finite(value: float) -> float | None:
    """The value as JSON has it, which has no word for what is not a finite number."""
    return value if math.isfinite(value) else None
