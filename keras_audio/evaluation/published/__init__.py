"""The numbers that the papers and their original code report, as data.

One CSV a paper. `row` and `column` are spelled as the fields of that paper's recipe, `metric` names
what `value` measures, `source` says who reports it, and `note` where the paper errs.
"""

import csv
import importlib.resources


def published_results(paper: str) -> list[dict[str, str | float | None]]:
    """The published numbers of one paper.

    Args:
        paper: `"naranjo_2019"`: Table II of Naranjo-Alcazar et al., residual blocks RB1-RB6
            (`row` is `rb1`..`rb6`) by input (`column` is `none`, `max_abs`, `standard` or
            `log_mel`), and the best epochs of the 2017 Keras code it builds on (`row` is `m3`,
            `m5`, `m11`, `m18`, or `rb6`, which is that code's M34).
            `"verbitskiy_2022"`: Tables 3 to 9 of Verbitskiy et al., ERANN. `row` is a model, such
            as `erann_1_3`, or the name of a cited system. `column` holds, in Table 3, settings of
            the recipe, one space between them; elsewhere `scratch` or `fine_tune`, followed in
            Table 9 by `pitch_shift` or `no_pitch_shift`, and nothing for a number that holds for
            both, such as that of parameters. Cells that say "—" are left out.
            `"mcdonnell_2019"`: Tables 1 to 4 of McDonnell and Gao, two-path ResNet. `column` is
            `deltas=true` or `deltas=false`. `row` is, in Table 1, the clips measured: `all`, a
            group of devices (`A`, `B and C`), `known` or `unknown` classes; in the others a class,
            or what the mean is over: `average`, and in Table 4 `known`. The evaluation score of
            task 1c has the metric `score`.
            `"pajusco_2020"`: Table 1 of Pajusco et al., binaural waveforms. `row` is a network, `a`
            to `d`, or, of what the challenge sets, `baseline` or `limit`; `column` is empty. The
            metrics are `accuracy`, `loss` (mean cross-entropy), `total` and `non_zero` weights, and
            `kilobytes` of 1024 bytes.
            `"colangelo_2021"`: Tables 1 to 3 of Colangelo et al., progressive resizing. In Table 1
            `row` is a plan, `baseline` or `progressive`, `column` a `stage=1` of it, and the
            metrics are `learning_rate` and `epochs`. In the others `row` is a method (`baseline`,
            `mel`, `bilinear`, which the paper prints as Resize) and `column` a `fold=10`, empty for
            `mean_accuracy` and its `deviation`. The paper counts splits from 0: by the shares of
            clips that its accuracies can be, Table 2 counts the folds backwards.

    Returns:
        One dictionary a number: `paper`, `table`, `row`, `column`, `metric`, `value` (a float; an
        accuracy of 75.15 % is 0.7515, yes is 1.0; None where there was not enough memory to
        measure it), `dataset`, `protocol`, `source` (`paper`, `original code`, or `cited`, which
        is what the paper quotes of others), `note` (often empty).

    Raises:
        ValueError: If there is no such paper.

    Example:
        >>> table = [row for row in published_results("naranjo_2019")
        ...          if (row["source"], row["metric"]) == ("paper", "validation_accuracy")]
        >>> best = max(table, key=lambda row: row["value"])
        >>> best["row"], best["column"], best["value"]
        ('rb4', 'standard', 0.7515)
    """
    folder = importlib.resources.files(__name__)
    known = sorted(file.name[:-4] for file in folder.iterdir() if file.name.endswith(".csv"))
    if paper not in known:
        raise ValueError(f"Expected one of {', '.join(known)}. Received: paper={paper}")
    text = (folder / f"{paper}.csv").read_text(encoding="utf-8")
    return [
        {"note": "", **row, "value": float(row["value"]) if row["value"] else None}
        for row in csv.DictReader(text.splitlines())
    ]
