"""The numbers that the papers and their original code report, as data.

One CSV a paper, named by its key in `papers.csv`. `row` and `column` are spelled as the fields of
that paper's recipe, `metric` names what `value` measures, `source` says who reports it, `check`
whether a number that follows from others does, and `note` where the paper errs. How the tables are
laid out, and what their keys are called, stands in `tables.csv` and `titles.csv`, which
`keras_audio.evaluation.published_layout` reads.
"""

import csv
import importlib.resources
from typing import NamedTuple


class PublishedPaper(NamedTuple):
    """One of the five papers, as far as its own text and `CITATION.cff` say.

    Attributes:
        key: What `published_results` calls it, such as `"naranjo_2019"`.
        authors: In the order of the paper, given names first.
        title: Its title.
        venue: Where it appeared; empty where its text does not say.
        year: When.
        url: Where it can be read; empty where its text does not say.
        type: As in `CITATION.cff`: `"conference-paper"`, `"article"` or `"report"`.
        code: The address of the authors' code, if the text gives it.
        institution: Of a report, who published it.
        recipe: The recipe that trains as it does.
    """

    key: str
    authors: tuple[str, ...]
    title: str
    venue: str
    year: int
    url: str
    type: str
    code: str
    institution: str
    recipe: str


def published_papers() -> list[PublishedPaper]:
    """The papers whose numbers are here: the one place for what is cited of them.

    Example:
        >>> [paper.key for paper in published_papers()]
        ['naranjo_2019', 'verbitskiy_2022', 'mcdonnell_2019', 'pajusco_2020', 'colangelo_2021']
        >>> published_papers()[2].authors
        ('Mark D. McDonnell', 'Wei Gao')
    """
    return [
        PublishedPaper(
            **{**line, "authors": tuple(line["authors"].split("; ")), "year": int(line["year"])}
        )
        for line in read_table("papers")
    ]


def published_results(paper: str) -> list[dict[str, str | float | None]]:
    """The published numbers of one paper.

    Args:
        paper: The key of one of `published_papers()`. Where a number stands in the text and not in
            a table, `table` names the section, such as `"Section 4.1"`.
            `"naranjo_2019"`: Table II of Naranjo-Alcazar et al., residual blocks RB1-RB6
            (`row` is `rb1`..`rb6`) by input (`column` is `none`, `max_abs`, `standard` or
            `log_mel`), their parameters (Section III: `column` is `log_mel` for the 2D network of
            `all` blocks, else empty), and the best epochs of the 2017 Keras code it builds on
            (`table` is `Original code`, `row` is `m3`, `m5`, `m11`, `m18`, or `rb6`, which is that
            code's M34).
            `"verbitskiy_2022"`: Tables 3 to 9 of Verbitskiy et al., ERANN. `row` is a model, such
            as `erann_1_3`, or the name of a cited system. `column` holds, in Table 3, settings of
            the recipe, one space between them; elsewhere `scratch` or `fine_tune`, followed in
            Table 9 by `pitch_shift` or `no_pitch_shift`, and nothing for a number that holds for
            both, such as that of parameters. Cells that say "—" are left out. What the text says
            of two systems has the other one as `column` and the metrics `times_smaller` (of
            parameters), `times_faster_batch_1`, `times_faster_batch_32` and `accuracy_gain`.
            `"mcdonnell_2019"`: Tables 1 to 4 of McDonnell and Gao, two-path ResNet. `column` is
            `deltas=true` or `deltas=false`. `row` is, in Table 1, the clips measured: `all`, a
            group of devices (`A`, `B and C`), `known` or `unknown` classes; in the others a class,
            or what the mean is over: `average`, and in Table 4 `known`. The evaluation score of
            task 1c has the metric `score`. The text adds `parameters`, `ensemble_gain` and
            `largest_gap` of recall and precision.
            `"pajusco_2020"`: Table 1 of Pajusco et al., binaural waveforms. `row` is a network, `a`
            to `d`, or, of what the challenge sets, `baseline` or `limit`; `column` is empty. The
            metrics are `accuracy`, `loss` (mean cross-entropy), `total` and `non_zero` weights,
            `kilobytes` of 1024 bytes, and `times_smaller` than the limit.
            `"colangelo_2021"`: Tables 1 to 3 of Colangelo et al., progressive resizing. In Table 1
            `row` is a plan, `baseline` or `progressive`, `column` a `stage=1` of it, and the
            metrics are `learning_rate` and `epochs`. In the others `row` is a method (`baseline`,
            `mel`, `bilinear`, which the paper prints as Resize) and `column` a `fold=10`, empty for
            `mean_accuracy` and its `deviation`. The paper counts splits from 0: by the shares of
            clips that its accuracies can be, Table 2 counts the folds backwards. The text adds
            `times_epochs` of the progressive plan over the baseline's, and a cited system.

    Returns:
        One dictionary a number, in the order of the paper's tables, then of its text: `paper`,
        `table`, `row`, `column`, `metric`, `value` (a float; an accuracy of 75.15 % is 0.7515, yes
        is 1.0; None where there was not enough memory to measure it), `printed` (the cell as the
        paper has it), `dataset`, `protocol` (split, what chooses the epoch, repetitions, as far as
        it is said; empty where a number depends on none), `source` (`paper`, `original code`, or
        `cited`, which is what the paper quotes of others), `check` (of a number that follows from
        others: `recomputed` where it does to the printed digits, `differs` where it does not; see
        `keras_audio.evaluation.check_published`), `note` (often empty).

    Raises:
        ValueError: If there is no such paper.

    Example:
        >>> table = [row for row in published_results("naranjo_2019")
        ...          if (row["source"], row["metric"]) == ("paper", "validation_accuracy")]
        >>> best = max(table, key=lambda row: row["value"])
        >>> best["row"], best["column"], best["value"]
        ('rb4', 'standard', 0.7515)
    """
    known = [line["key"] for line in read_table("papers")]
    if paper not in known:
        raise ValueError(f"Expected one of {', '.join(known)}. Received: paper={paper}")
    return [
        {**line, "value": float(line["value"]) if line["value"] else None}
        for line in read_table(paper)
    ]


def read_table(name: str) -> list[dict[str, str]]:
    """The lines of one of the CSV files beside this one, by its name without `.csv`.

    Example:
        >>> read_table("papers")[0]["year"]
        '2019'
    """
    text = (importlib.resources.files(__name__) / f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
