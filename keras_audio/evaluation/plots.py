"""Confusion matrices, bars a class and whatever else as SVG text, drawn by Matplotlib.

Lines and letters take the colours of the page they stand in, light or dark: each colour below is
written as a CSS variable of its name, with itself as the fallback for an SVG that stands alone.
"""

import html
import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = {
    "ink": "#171a21",
    "muted": "#5a6272",
    "line": "#d9dde5",
    "training": "#6b7280",
    "validation": "#1d5fd1",
    "correct": "#1d5fd2",
    "wrong": "#c2410c",
}
# The strongest cell is this opaque: black letters on it in a light page and white ones in a dark
# page both keep a contrast of 4.5 to 1.
STRONGEST = 0.6

# On top of Matplotlib's defaults: a user's matplotlibrc changes nothing.
_STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # A class may be called `$x$`.
    "font.size": 12,
    "text.color": COLORS["ink"],
    "axes.labelcolor": COLORS["muted"],
    "xtick.color": COLORS["muted"],
    "ytick.color": COLORS["muted"],
    "grid.color": COLORS["line"],
    "grid.linewidth": 1,
    "legend.labelcolor": COLORS["muted"],
    "legend.frameon": False,
    "legend.borderpad": 0,
    "legend.borderaxespad": 0,
    "lines.linewidth": 2,
}
# Matplotlib's point of 1/72 inch is the pixel of the page.
_PIXEL = 1 / 72
# Inside of a tag: the names that come from outside stand between tags, with < and > escaped.
_IN_TAG = "(?=[^<>]*>)"


def confusion_matrix(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """Counts, a row a true class and a column a predicted one, shaded by their share of the row.

    Up to 24 classes every cell also shows that share in per cent.

    Args:
        matrix: Counts (classes, classes).
        labels: The class names.

    Returns:
        An SVG element.

    Example:
        >>> svg = confusion_matrix([[3, 1], [0, 4]], ["dog", "rain"])
        >>> "Confusion matrix of 2 classes: 7 of 8 clips recognised" in svg
        True
    """
    counts = np.asarray(matrix)
    classes = len(labels)
    if counts.shape != (classes, classes):
        raise ValueError(
            f"Expected a matrix of shape {(classes, classes)}, a row and a column a class. "
            f"Received: matrix of shape {counts.shape}"
        )
    # Pixels of a cell, of the letters in it and of the names, and how steep these stand.
    size, font, name_font, angle = (
        (54, 13, 12, 50) if classes <= 12 else (38, 9, 11, 50) if classes <= 24 else (18, 9, 10, 90)
    )
    names = [label if len(label) <= 24 else label[:23] + "…" for label in labels]

    def draw(figure: "Figure") -> None:
        from matplotlib.patches import Rectangle

        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, classes), ylim=(classes, 0), frame_on=False)
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.set(xlabel="predicted", ylabel="true")
        middles, edges = np.arange(classes) + 0.5, np.arange(classes + 1)
        axes.tick_params(length=0, pad=7, labelsize=name_font, labelcolor=COLORS["ink"])
        axes.set_yticks(middles, names)
        axes.set_xticks(
            middles, names, rotation=angle, rotation_mode="anchor", ha="left", va="center"
        )
        for lines in (axes.hlines, axes.vlines):
            lines(edges, 0, classes, color=COLORS["line"], linewidth=1, clip_on=False)
        for row, column in np.argwhere(counts):
            share = counts[row, column] / counts[row].sum()
            # The faintest count still shows: one clip of a thousand must not look like none.
            opacity = STRONGEST * (0.12 + 0.88 * share)
            color = COLORS["correct" if row == column else "wrong"], opacity
            # What is inside of the axes need not be measured.
            look = {"color": color, "linewidth": 0, "clip_on": False, "in_layout": False}
            axes.add_artist(Rectangle((column, row), 1, 1, **look))
            texts = {"bottom": f"{counts[row, column]}", "top": f"{100 * share:.0f} %"}
            if classes > 24:
                texts = {"center": texts["bottom"]}
            # Two texts: the lines of one would be centred for Matplotlib's font only.
            for side, text in texts.items():
                look = {"ha": "center", "va": side, "size": font, "in_layout": False}
                axes.text(column + 0.5, row + 0.5, text, **look)

    correct, clips = int(np.trace(counts)), int(counts.sum())
    summary = f"Confusion matrix of {classes} classes: {correct} of {clips} clips recognised"
    # The names stand outside of the cells: tight is what holds them too.
    return svg_element(
        (classes * size, classes * size), summary, draw, bbox_inches="tight", pad_inches=4 * _PIXEL
    )


def average_precision_bars(
    per_class: Sequence[Mapping[str, Any]], clips: int, most: int = 40
) -> str:
    """A bar a class, the best first, with a mark where a ranking by chance would stand.

    Args:
        per_class: Dictionaries of `label`, `support` and `average_precision`, as of
            `tagging_metrics`; those without an average precision are left out, but one has it.
        clips: Number of clips: the share of them that are of a class is what chance comes to.
        most: Of more classes, the best and the worst half of so many are shown.

    Returns:
        An SVG element.

    Example:
        >>> rows = [{"label": "dog", "support": 5, "average_precision": 0.75}]
        >>> "Average precision of 1 class: dog 0.750" in average_precision_bars(rows, 20)
        True
    """
    measured = [row for row in per_class if row["average_precision"] is not None]
    measured.sort(key=lambda row: -row["average_precision"])
    rows: list[Mapping[str, Any] | None] = list(measured)
    if len(rows) > most:
        rows[most // 2 : len(rows) - most // 2] = [None]
    left_out = len(measured) - len(rows) + 1

    def name(row: Mapping[str, Any] | None) -> str:
        if row is None:
            return f"… {left_out} more …"
        return row["label"] if len(row["label"]) <= 32 else row["label"][:31] + "…"

    def draw(figure: "Figure") -> None:
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 1), ylim=(len(rows), 0), frame_on=False)
        axes.xaxis.tick_top()
        axes.set_xticks((0, 0.25, 0.5, 0.75, 1), ("0", "0.25", "0.5", "0.75", "1"))
        axes.set_yticks(np.arange(len(rows)) + 0.5, [name(row) for row in rows])
        axes.tick_params(length=0, pad=7)
        axes.tick_params(axis="y", labelcolor=COLORS["ink"])
        axes.grid(axis="x", clip_on=False)
        axes.set_axisbelow(True)
        for index, row in enumerate(rows):
            if row is None:
                continue
            value, chance = row["average_precision"], row["support"] / clips
            axes.barh(index + 0.5, value, 0.6, color=COLORS["correct"], linewidth=0)
            axes.vlines(chance, index + 0.1, index + 0.9, color=COLORS["ink"], linewidth=2)
            axes.text(1.02, index + 0.5, f"{value:.3f}", va="center")

    summary = f"Average precision of {len(measured)} class{'es' if len(measured) != 1 else ''}"
    ends = [measured[0], measured[-1]][: len(measured)]
    summary += ": " + " to ".join(f"{row['label']} {row['average_precision']:.3f}" for row in ends)
    size = (360, 22 * len(rows))
    return svg_element(size, summary, draw, bbox_inches="tight", pad_inches=4 * _PIXEL)


def svg_element(
    size: tuple[int, int],
    summary: str,
    draw: Callable[["Figure"], None],
    *,
    colors: Mapping[str, str] | None = None,
    **saving: Any,
) -> str:
    """Draw a Matplotlib figure as an SVG element that takes the colours of its page.

    Args:
        size: Width and height in pixels.
        summary: What it shows, for those who do not see it.
        draw: Draws into the figure it is given.
        colors: Further colours by the names of their CSS variables, as `COLORS`.
        **saving: Keywords of the figure's `savefig`.

    Returns:
        The element, its font that of the page.
    """
    # Imported here so that nobody who only reads metrics waits for Matplotlib.
    import matplotlib.style
    from matplotlib.figure import Figure

    file = io.StringIO()
    # The salt keeps the ids of one element apart from those of the others in its page.
    style = ["default", _STYLE, {"svg.hashsalt": summary}]
    with matplotlib.style.context(style), warnings.catch_warnings():
        # The letters are the browser's: it does not matter which of them Matplotlib's font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure = Figure(figsize=[pixels * _PIXEL for pixels in size])
        draw(figure)
        unsaid = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=unsaid, **saving)
    _, width, height, inside = re.split(
        r'<svg .*?viewBox="0 0 (\S+) (\S+)".*?>', file.getvalue(), maxsplit=1
    )
    # Names of groups, which every figure has, and fonts: the page's is used.
    inside = re.sub(r'(?<=<g) id="[^"]*"', "", inside)
    inside = re.sub(f"xlink:href{_IN_TAG}", "href", inside)
    inside = re.sub(rf'font-family: [^;"]*;{_IN_TAG}', "", inside)
    for name, color in (COLORS | dict(colors or {})).items():
        inside = re.sub(color + _IN_TAG, f"var(--{name}, {color})", inside)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{float(width):.0f}" height="{float(height):.0f}" role="img" '
        f'aria-label="{html.escape(summary)}" style="font-family:system-ui,sans-serif">{inside}'
    )
