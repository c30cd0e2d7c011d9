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

import numpy as np

from keras_audio.files import write_text

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
TITLES = {"esc10": "ESC-10", "esc50": "ESC-50", "urbansound8k": "UrbanSound8K"}


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
    """A row a network, input and data set, over its folds."""
    groups: dict[tuple, list[dict]] = {}
    for path in sorted(folder.glob("residual_blocks_*.csv")):
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                kind = "spectrogram_res" if row["input"] == "log_mel" else row["network"]
                network = f"{kind}_{row['block']}" if row["block"] else row["network"]
                groups.setdefault((network, row["input"], row["dataset"]), []).append(row)
    lines = [
        "| network | input | data set | folds | accuracy % | last epoch % | mAP % | parameters |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (network, normalization, dataset), rows in groups.items():
        folds = ", ".join(row["fold"] for row in rows)
        numbers = " | ".join(
            _mean(rows, name)
            for name in ("accuracy", "last_epoch_accuracy", "mean_average_precision")
        )
        lines.append(
            f"| `{network}` | {normalization} | {TITLES.get(dataset, dataset)} | {folds} "
            f"| {numbers} | {int(rows[0]['parameters']):,} |"
        )
    return "\n".join(lines) + "\n"


def _mean(rows: list[dict], name: str) -> str:
    values = [100 * float(row[name]) for row in rows]
    spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{spread}"


if __name__ == "__main__":
    sys.exit(main())
