"""Count what the papers count of their networks: parameters, weights, bytes.

Needs no data: the networks are built, and pruned as their report prunes them. `results/sizes.csv`
gets a line a number, in the form of the result files, under the metric and row of the published
number that it stands beside: `parameters:erann_1_3` of ESC-50 has 50 classes.

Examples:
  python experiments/sizes.py
"""

import argparse
import pathlib
import sys
from collections.abc import Iterator, Sequence

import cells
import erann_variants
import result_files
from result_files import Row

from keras_audio.evaluation import published_results
from keras_audio.quiet import import_tensorflow
from keras_audio.recipes import ERANN

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
FILE = "sizes.csv"
# How the networks of Pajusco et al. were pruned: rounds, rate, whether the classifier too. These
# give the counts of Table 1.
PRUNED = {"a": (1, 0.1, False), "b": (0, 0.1, False), "c": (5, 0.2, True), "d": (2, 0.2, True)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Count, and write the file."""
    options = parse(arguments)
    import_tensorflow()
    from keras_audio.training.environment import describe_environment

    made_with = cells.machine_columns(describe_environment())
    made_with["command"] = "python experiments/sizes.py"
    rows = [row | made_with for row in counted()]
    result_files.write_rows(options.results / FILE, rows)
    for row in rows:
        numbers = ", ".join(f"{k} {row[k]}" for k in row if ":" in k)
        print(f"{row['recipe']}, {row['dataset']}: {numbers}")
    return 0


def counted() -> Iterator[Row]:
    """A row a recipe and data set, with a key a number."""
    yield {"recipe": "residual_blocks", "dataset": "urbansound8k", **residual_blocks()}
    for dataset, classes in erann_variants.CLASSES.items():
        networks = dict.fromkeys(
            row["row"]
            for row in published_results("verbitskiy_2022")
            if (row["dataset"], row["metric"]) == (dataset, "parameters")
            and ERANN.fields_of_model(row["row"])
        )
        counts = {f"parameters:{name}": trainable(name, classes) for name in networks}
        if counts:
            yield {"recipe": "erann", "dataset": dataset, **counts}
    counts = {f"parameters:{3 * channels} channels": two_path(channels) for channels in (1, 2)}
    yield {"recipe": "two_path", "dataset": "tau_urban_2019", **counts}
    yield {
        "recipe": "binaural_waveforms",
        "dataset": "tau_urban_2020_3class",
        **binaural_waveforms(),
    }


def trainable(network: str, classes: int, **arguments) -> int:
    """Trainable parameters of a network."""
    import keras_audio

    return cells.trainable_parameters(keras_audio.create_model(network, classes, **arguments))


def residual_blocks() -> dict[str, int]:
    """All parameters, moving statistics too, as the paper counts them."""
    import keras_audio

    counts = {}
    for family, column in (("m34_res", ""), ("spectrogram_res", "/log_mel")):
        for block in ("rb1", "rb2", "rb3", "rb4", "rb5", "rb6"):
            model = keras_audio.create_model(f"{family}_{block}", 10)
            counts[f"parameters:{block}{column}"] = model.count_params()
    return counts


def two_path(channels: int) -> int:
    """Trainable parameters of the network on one audio channel or two."""
    return trainable("two_path_resnet", 10, channels=channels)


def binaural_waveforms() -> dict[str, int | str]:
    """Weights by the report's rule, whole and pruned."""
    import keras

    import keras_audio
    from keras_audio.compress import count_weights, prune_round

    counts = {}
    for network, (rounds, rate, classifier) in PRUNED.items():
        # One weight in eight million is drawn as exactly zero: not with this seed.
        keras.utils.set_random_seed(0)
        model = keras_audio.create_model(f"binaural_{network}", 3)
        for _ in range(rounds):
            prune_round(model, rate, classifier=classifier)
        found = count_weights(model)
        counts |= {
            f"total:{network}": found.total,
            f"non_zero:{network}": found.non_zero,
            f"kilobytes:{network}": f"{found.kilobytes:.2f}",
        }
    return counts


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=pathlib.Path, default=REPOSITORY / "results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
