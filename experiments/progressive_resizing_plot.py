"""Box plots of accuracies over folds, as Figures 2 and 3 of Colangelo et al. 2021 have them."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from standalone_svg import draw_box, standalone_svg

from keras_audio.evaluation.plots import COLORS

# A hue a method, on a light page; on a dark one below.
HUES = {"baseline": "#4f5d75", "mel": "#1d5fd3", "bilinear": "#b3400d", "combined": "#15783a"}
_DARK = {
    "baseline": "#aab4c8",
    "mel": "#7db2ff",
    "bilinear": "#f08c4e",
    "combined": "#5cc98a",
}


class Box(NamedTuple):
    """The accuracies of a method.

    Attributes:
        method: Its name, which is that of its colour.
        title: What stands below the box.
        values: An accuracy a fold, in percent.
    """

    method: str
    title: str
    values: Sequence[float]


def box_plots(panels: Mapping[str, Sequence[Box]]) -> str:
    """Draw a panel of boxes a comparison, with a dot a fold, as an SVG that stands alone.

    A box reaches from the first to the third quartile, with a line at the median; whiskers reach to
    the furthest fold within 1.5 times the height of the box.

    Args:
        panels: Boxes by what stands above them.
    """
    widths = [max(2, len(boxes)) for boxes in panels.values()]

    def draw(figure) -> None:
        figure.set_layout_engine("constrained")
        all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False, width_ratios=widths)[
            0
        ]
        for axes, (title, boxes) in zip(all_axes, panels.items(), strict=True):
            axes.set_frame_on(False)
            for place, box in enumerate(boxes):
                draw_box(axes, place, box.values, HUES[box.method])
            lines = textwrap.wrap(title, 16 * max(2, len(boxes)))
            axes.set_title("\n".join(lines), loc="left", size=13, color=COLORS["ink"])
            axes.set_xticks(range(len(boxes)), [box.title.replace(", ", "\n") for box in boxes])
            axes.set_xlim(-0.6, len(boxes) - 0.4)
            axes.tick_params(length=0)
            axes.tick_params(axis="x", labelcolor=COLORS["ink"])
            axes.grid(axis="y")
            axes.set_axisbelow(True)
        all_axes[0].yaxis.set_major_formatter("{x:g}")
        all_axes[0].set_ylabel("accuracy %")

    size = (60 + 110 * sum(widths), 380)
    return standalone_svg(size, _summary(panels), draw, HUES, _DARK)


def _summary(panels: Mapping[str, Sequence[Box]]) -> str:
    texts = []
    for title, boxes in panels.items():
        medians = (f"{box.title} {np.median(box.values):.1f} %" for box in boxes)
        texts.append(f"{title}: {', '.join(medians)}")
    return f"Box plots of accuracies over folds, medians. {'; '.join(texts)}"
