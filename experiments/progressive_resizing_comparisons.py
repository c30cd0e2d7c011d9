"""What the page on progressive resizing compares: methods over folds, mixup, cost."""

import itertools
from collections.abc import Iterable, Mapping

import cells
import numpy as np
from progressive_resizing_variants import METHODS, MIXUP, Line, Runs
from result_files import parts

from keras_audio.evaluation import compare_paired
from keras_audio.recipes import parse_stages

# What is compared with what, the gain of the first over the second.
PAIRS = [
    *((method, "baseline") for method in ("mel", "bilinear", "combined")),
    *(("combined", other) for other in ("mel", "bilinear")),
    ("mel", "bilinear"),
]


# Paired over folds. -------------------------------------------------------------------------------


def scores_of(rows: Iterable[dict]) -> dict[tuple[int, int], float]:
    """Accuracies by fold and seed."""
    return {(int(row["fold"]), int(row["seed"])): float(row["accuracy"]) for row in rows}


def paired_section(runs: Runs, theirs: Mapping[str, Mapping[int, float]]) -> list[str]:
    """Each method against the others, fold by fold; of the paper's numbers as well.

    Args:
        runs: Of a section.
        theirs: The paper's accuracies by method and fold, if they belong there.
    """
    compared = [
        ("the paper's", METHODS[first], METHODS[second], theirs[first], theirs[second])
        for first, second in PAIRS
        if first in theirs and second in theirs
    ]
    for mixup in MIXUP:
        by_line = {line: found for (line, mixed), found in runs.items() if mixed == mixup}
        whose = "ours" if mixup == "none" else "ours, with mixup"
        compared += [
            (whose, a.title, b.title, scores_of(by_line[a]), scores_of(by_line[b]))
            for first, second in PAIRS
            for a, b in itertools.product(by_line, by_line)
            if (a.method, b.method) == (first, second)
        ]
    lines, least = [], []
    for whose, first, second, ours, others in compared:
        if not ours.keys() & others.keys():
            continue
        found = compare_paired(ours, others)
        up, down, same = found.signs
        least.append(found.least_p_value)
        lines.append(
            {
                "of": whose,
                "gain of": first,
                "over": second,
                "folds": len(found.differences),
                "points": f"{100 * found.mean:+.2f}",
                "up / down / equal": f"{up} / {down} / {same}",
                "Wilcoxon p": f"{found.p_value:.3g}",
                "least p possible": f"{found.least_p_value:.3g}",
            }
        )
    if not lines:
        return []
    text = ["", "Paired over folds, by Wilcoxon's signed-rank test, two-sided and exact:", ""]
    text += cells.filled_columns(lines)
    if max(least) >= 0.05:
        text += [
            "",
            "Where the least p possible is 0.05 or more, there are too few folds for the test to "
            "tell any difference from chance, however large.",
        ]
    return text


def mixup_section(runs: Runs) -> list[str]:
    """Method by mixup: what mixup gains with each, and by how much more than the baseline."""
    lines = list(dict.fromkeys(line for line, _ in runs))
    scores = {line: [scores_of(runs.get((line, mixup), [])) for mixup in MIXUP] for line in lines}
    both = {line: plain.keys() & mixed.keys() for line, (plain, mixed) in scores.items()}
    lines = [line for line in lines if both[line]]
    if len(lines) < 2:
        return []
    gains = {
        line: {key: scores[line][1][key] - scores[line][0][key] for key in both[line]}
        for line in lines
    }
    baseline = next((gains[line] for line in lines if line.method == "baseline"), {})
    table = []
    for line in lines:
        shown = [
            [row for row in runs[line, mixup] if (int(row["fold"]), int(row["seed"])) in both[line]]
            for mixup in MIXUP
        ]
        entry = {
            "": line.title,
            **{
                title: cells.score(found, "accuracy")
                for title, found in zip(("without mixup", "with mixup"), shown, strict=True)
            },
            "gain of mixup": f"{100 * np.mean(list(gains[line].values())):+.2f}",
            "interaction": "-",
            "Wilcoxon p": "-",
        }
        if line.method != "baseline" and gains[line].keys() & baseline.keys():
            found = compare_paired(gains[line], baseline)
            entry["interaction"] = f"{100 * found.mean:+.2f}"
            entry["Wilcoxon p"] = f"{found.p_value:.3g} (least {found.least_p_value:.3g})"
        table.append(entry)
    return [
        "",
        "Method by mixup, over the folds and seeds that have both; each line with the baseline's "
        "is a 2x2 table. The interaction is mixup's gain with a method less its gain with the "
        "baseline, in points; the paper says that there is none:",
        "",
        *cells.filled_columns(table),
    ]


# What it costs. -----------------------------------------------------------------------------------


def cost_section(runs: Runs) -> list[str]:
    """What the runs of a section took, measured and counted."""
    lines = []
    usual = {"macs": 0.0, "seconds": 0.0}
    for (line, mixup), found in runs.items():
        # Equal in all runs of a plan.
        stage_macs = [int(count) for count in parts(found[0], "stage_macs").values()]
        macs = sum(stage_macs)
        seconds = float(np.mean([int(row["seconds"]) for row in found]))
        if line == Line("baseline") and mixup == "none":
            usual = {"macs": macs, "seconds": seconds}
        by_stage = np.mean(
            [[float(took) for took in parts(row, "stage_seconds").values()] for row in found],
            axis=0,
        )
        lines.append(
            {
                "method": line.title,
                "mixup": "-" if mixup == "none" else "yes",
                "plan": f"`{found[0]['plan']}`",
                "epochs": sum(stage.epochs for stage in parse_stages(found[0]["plan"])),
                "10^9 multiply-accumulates": f"{macs / 1e9:,.4g}",
                "by stage": " + ".join(f"{value / 1e9:,.3g}" for value in stage_macs),
                "to the baseline's": f"{macs / usual['macs']:.2f}" if usual["macs"] else "-",
                "seconds": f"{seconds:,.0f}",
                "to the baseline's seconds": (
                    f"{seconds / usual['seconds']:.2f}" if usual["seconds"] else "-"
                ),
                "seconds by stage": " + ".join(f"{value:,.0f}" for value in by_stage),
            }
        )
    return [
        "",
        "Cost: multiply-accumulates of the network for one clip, forward, over all epochs; seconds "
        "as measured, the mean of the runs, with validation after each epoch:",
        "",
        *cells.filled_columns(lines),
    ]
