"""Clips a second of every network in the result files, from waveform to probabilities.

Networks of `results/*.csv` answer batches of clips as long as those they were trained on, each as
the graph that an export holds, front end included; all take turns, once a round, so that a slow
while is slow for all. `results/speed.csv` gets the median of the rounds, the least and the most, in
the form of the result files; `make results` draws accuracy against it. What was pruned is left out:
the stages of a compression have times of their own.

Examples:
  python experiments/speed.py
  python experiments/speed.py --batch-sizes 1 --rounds 3 --results my_results
"""

import argparse
import pathlib
import shlex
import statistics
import sys
from collections.abc import Callable, Sequence

import cells
import numpy as np
import result_files
from methods import PRUNED, Network, network_of, read_methods

from keras_audio.quiet import import_tensorflow
from keras_audio.recipes import Recipe

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
FILE = "speed.csv"
METRIC = "clips_per_second_batch_{}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the file."""
    options = parse(arguments)
    import_tensorflow()
    sys.path.append(str(REPOSITORY / "benchmarks"))
    from timing import in_turn, rate, repeated

    measures = {
        (network, batch_size): repeated(answering(recipe, classes, batch_size), batch_size)
        for network, (recipe, classes) in networks(options.results).items()
        for batch_size in options.batch_sizes
    }
    rates = {key: lambda measure=measure: rate(measure) for key, measure in measures.items()}
    made_with = _made_with()
    rows = []
    for (network, batch_size), values in in_turn(rates, options.rounds).items():
        part = f"{network.name}/{network.parameters}"
        numbers = (statistics.median(values), min(values), max(values))
        kinds = ("", "_least", "_most")
        rows.append(
            {"recipe": network.recipe, "dataset": network.dataset, **made_with}
            | {
                f"{METRIC.format(batch_size)}{kind}:{part}": f"{number:.4g}"
                for kind, number in zip(kinds, numbers, strict=True)
            }
        )
        print(f"{numbers[0]:10.4g} clips/s, batches of {batch_size}: {part}, {network.dataset}")
    result_files.write_rows(options.results / FILE, rows)
    return 0


def networks(results: pathlib.Path) -> dict[Network, tuple[Recipe, int]]:
    """A recipe that builds each network, with the number of its classes.

    Trainings of one network in several ways have one line.
    """
    return {
        network_of(method, rows): (cells.recipe_of(rows[0]), int(rows[0].get("classes") or 10))
        for method, rows in read_methods(results).items()
        if PRUNED not in method.words
    }


def answering(recipe: Recipe, classes: int, batch_size: int) -> Callable[[], object]:
    """A call that answers a batch of noise as long as the clips, and waits for the answer."""
    import tensorflow as tf

    from keras_audio.serving.export import serving_function

    model = recipe.build_model(classes)
    shape = (batch_size, round(recipe.duration * recipe.sample_rate), recipe.channels)
    waveforms = tf.constant(np.random.default_rng(0).uniform(-0.5, 0.5, shape), "float32")
    answer = serving_function(model)
    return lambda: answer(waveforms)["probabilities"].numpy()


def _made_with() -> dict[str, str]:
    from keras_audio.training.environment import describe_environment

    command = shlex.join(["python", "experiments/speed.py", *sys.argv[1:]])
    return cells.machine_columns(describe_environment()) | {"command": command}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = "clips at once, such as 1,32 (default)"
    parser.add_argument("--batch-sizes", type=_sizes, default=[1, 32], metavar="N,N", help=sizes)
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--results", type=pathlib.Path, default=REPOSITORY / "results")
    return parser.parse_args(arguments)


def _sizes(text: str) -> list[int]:
    if not all(part.isdecimal() and int(part) for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"numbers such as 1,32, not {text!r}")
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
