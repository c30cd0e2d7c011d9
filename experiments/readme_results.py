"""Write the README's results table from the committed result files; `--check` only compares.

Examples:
  python experiments/readme_results.py
  python experiments/readme_results.py --check
"""

import argparse
import csv
import pathlib
import re
import sys
from collections.abc import Iterator

import binaural_waveforms_cells
import numpy as np
import progressive_resizing_variants
import two_path_variants
from cells import gathered, markdown_table, mean_and_deviation, recipe_of
from erann_variants import usual_recipe, variant_of_row

from keras_audio.files import write_text

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
TITLES = {
    "esc10": "ESC-10",
    "esc50": "ESC-50",
    "urbansound8k": "UrbanSound8K",
    "ravdess": "RAVDESS",
    "audioset": "AudioSet",
    "tau_urban_2019/1a": "TAU 2019, task 1a",
    "tau_urban_2019/1b": "TAU 2019, task 1b",
    "tau_urban_2019/1c": "TAU 2019, task 1c",
    "tau_urban_2020_3class": "TAU 2020, 3 classes",
}


def main() -> int:
    """Write or check; 1 if the README is stale."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 if the table is stale")
    options = parser.parse_args()
    readme = REPOSITORY / "README.md"
    text = readme.read_text(encoding="utf-8")
    fresh = re.sub(
        r"(<!-- results:begin[^\n]*-->\n).*?(<!-- results:end -->)",
        lambda match: match[1] + table(REPOSITORY / "results") + match[2],
        text,
        flags=re.DOTALL,
    )
    if options.check:
        if fresh != text:
            print("README.md is stale: run `make results`", file=sys.stderr)
        return int(fresh != text)
    write_text(readme, fresh)
    return 0


def table(folder: pathlib.Path) -> str:
    """A row a network, input and data set, over its folds; what is not described is left out."""
    groups = gathered(
        ((*described, row["dataset"]), row)
        for pattern, describe in KINDS.items()
        for row in _rows(folder, f"{pattern}_*.csv")
        if (described := describe(row))
    )
    titles = ["network", "input", "data set", "folds", "accuracy %", "last epoch %", "mAP %"]
    lines = []
    for (network, described, dataset), rows in groups.items():
        folds = ", ".join(dict.fromkeys(row["fold"] for row in rows))
        metrics = ("accuracy", "last_epoch_accuracy", "mean_average_precision")
        scores = [
            mean_and_deviation(rows, metric) if all(row.get(metric) for row in rows) else "-"
            for metric in metrics
        ]
        # Of pruned networks folds have various numbers.
        parameters = f"{np.mean([int(row['parameters']) for row in rows]):,.0f}"
        name = TITLES.get(dataset, dataset)
        lines.append([f"`{network}`", described, name, folds, *scores, parameters])
    return "\n".join(markdown_table([*titles, "parameters"], lines)) + "\n"


def _rows(folder: pathlib.Path, pattern: str) -> Iterator[dict]:
    for path in sorted(folder.glob(pattern)):
        with open(path, newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file)


def _residual_blocks(row: dict) -> tuple[str, str]:
    """The network of a row, and what it was fed with."""
    kind = "spectrogram_res" if row["input"] == "log_mel" else row["network"]
    return (f"{kind}_{row['block']}" if row["block"] else row["network"]), row["input"]


def _erann(row: dict) -> tuple[str, str]:
    """The network of a row, and what it was fed with: log-mels, and how they were augmented."""
    variant = variant_of_row(row)
    usual = usual_recipe(row["dataset"], variant.start)
    words = ["log_mel"]
    if variant.start == "fine_tune":
        words.append("fine-tuned")
    if variant.mixup != usual.mixup:
        words.append(f"mixup {variant.mixup}")
    if variant.spec_augment != usual.spec_augment:
        words.append("SpecAugment" if variant.spec_augment else "no SpecAugment")
    if variant.pitch_variants != usual.pitch_variants:
        words.append("pitch shift" if variant.pitch_variants else "no pitch shift")
    return variant.network, ", ".join([*words, *variant.extra])


def _two_path(row: dict) -> tuple[str, str]:
    """The network of a row, and what it was fed with: log-mels, and what else is not usual."""
    variant = two_path_variants.variant_of_row(row)
    title = [] if variant.name == two_path_variants.USUAL else [variant.title]
    return "two_path_resnet", ", ".join(["log_mel", *title, *variant.settings])


def _binaural_waveforms(row: dict) -> tuple[str, str] | None:
    """The network of a row, and what it was fed with; of its stages the first and the last."""
    if row["stage"] not in ("whole", "litert"):
        return None
    recipe = recipe_of(row)
    words = ["waveform", *binaural_waveforms_cells.variant_of(recipe).settings]
    if row["stage"] == "litert":
        changed = ", ".join(binaural_waveforms_cells.changed_compression_of_row(row))
        words += [f"pruned ({changed})" if changed else "pruned", "16-bit LiteRT"]
    return recipe.model_name, ", ".join(words)


def _progressive_resizing(row: dict) -> tuple[str, str]:
    """The network of a row, and what it was fed with: images that grow by a method and a plan."""
    variant = progressive_resizing_variants.variant_of_row(row)
    words = ["log_mel images", variant.method]
    if variant.mixup != "none":
        words.append(f"mixup {variant.mixup}")
    words += [text for text in variant.settings if not text.startswith("network=")]
    if variant.stages is not None:
        words.append(f"stages={variant.stages}")
    return recipe_of(row).model_name, ", ".join(words)


# What rows say of themselves, by how the names of their files begin.
KINDS = {
    "residual_blocks": _residual_blocks,
    "erann": _erann,
    "two_path": _two_path,
    "binaural_waveforms": _binaural_waveforms,
    "progressive_resizing": _progressive_resizing,
}

if __name__ == "__main__":
    sys.exit(main())
