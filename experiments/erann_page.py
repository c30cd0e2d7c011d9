"""Write the tables of docs/erann.md that follow from the code: parameters, and cost by duration.

Examples:
  python experiments/erann_page.py
"""

import pathlib
import sys

from cells import between, markdown_table
from erann_variants import AUGMENTATION, CLASSES, TABLES, published_number, size

from keras_audio.evaluation import published_results
from keras_audio.files import write_text
from keras_audio.models.erann import SYSTEMS
from keras_audio.quiet import import_tensorflow

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "erann.md"


def main() -> int:
    """Write what stands between the markers."""
    import_tensorflow()
    text = PAGE.read_text(encoding="utf-8")
    for name, lines in (("parameters", parameters()), ("cost", cost())):
        text = between(text, name, lines)
    write_text(PAGE, text)
    return 0


def parameters() -> list[str]:
    """Trainable parameters by system and number of classes, with the paper's in millions."""
    tables = {name: table for table, name in TABLES.items() if table != AUGMENTATION}
    titles = [f"{CLASSES[name]} classes, Table {table}" for name, table in tables.items()]
    lines = []
    for s_m, width in SYSTEMS:
        network, line = f"erann_{s_m}_{width}", [f"ERANN-{s_m}-{width}"]
        for name in tables:
            said = published_number(name, network, "parameters")
            exactly = size(network, CLASSES[name], 1.0)[0]
            line.append("" if said is None else f"{exactly:,} ({said / 1e6:.1f})")
        lines.append(line)
    return markdown_table(["system", *titles], lines)


def cost() -> list[str]:
    """Multiply-accumulates: what a second costs, what every clip does, 10 s beside the paper."""
    classes, lines = CLASSES["audioset"], []
    speeds = {
        row["row"]: row["value"]
        for row in published_results("verbitskiy_2022")
        if (row["table"], row["metric"]) == ("Table 4", "clips_per_second_batch_32")
    }
    for s_m in range(4):
        network = f"erann_{s_m}_6"
        one, two, ten = (size(network, classes, seconds)[1] for seconds in (1.0, 2.0, 10.0))
        slope, constant = two - one, 2 * one - two
        slowest = size("erann_0_6", classes, 10.0)[1]
        lines.append(
            [
                f"ERANN-{s_m}-6",
                f"{slope:,} t + {constant:,}",
                f"{ten / 1e9:.1f}",
                f"{slowest / ten:.2f}",
                f"{speeds[network] / speeds['erann_0_6']:.2f}",
            ]
        )
    titles = ["system", "multiply-accumulates of t seconds", "10 s, in 10^9", "0-6 over this"]
    return markdown_table([*titles, "speed over 0-6, paper"], lines)


if __name__ == "__main__":
    sys.exit(main())
