"""Figures as SVG files that stand alone, readable on a light and on a dark page."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_audio.evaluation.plots import svg_element

# What the colours of `keras_audio.evaluation.plots` are on a dark page.
_DARK = {"ink": "#f1f4f9", "muted": "#a3adbd", "line": "#3a4350"}


def standalone_svg(
    size: tuple[int, int],
    summary: str,
    draw: Callable,
    hues: Mapping[str, str],
    dark_hues: Mapping[str, str],
) -> str:
    """Draw a figure as the text of an SVG file, which brings the colours of both kinds of page.

    Args:
        size: Width and height in pixels.
        summary: What it shows, for those who do not see it.
        draw: Draws into the Matplotlib figure it is given.
        hues: Further colours by name, on a light page.
        dark_hues: The same on a dark one.
    """
    svg = svg_element(size, summary, draw, colors=hues)
    dark = ";".join(f"--{name}:{color}" for name, color in (_DARK | dict(dark_hues)).items())
    style = f"<style>@media (prefers-color-scheme:dark){{svg{{{dark}}}}}</style>"
    return svg.replace(">", f">{style}", 1) + "\n"


def draw_box(
    axes: Any, place: int, values: Sequence[float], color: str, *, horizontal: bool = False
) -> None:
    """Draw a box over folds into Matplotlib axes, with a dot a fold.

    Args:
        axes: Where.
        place: Of the box, on the other axis.
        values: One a fold.
        color: Of lines and dots.
        horizontal: Whether values run from left to right.
    """
    look = {"color": color, "linewidth": 1.5}
    axes.boxplot(
        [values],
        positions=[place],
        widths=0.5,
        orientation="horizontal" if horizontal else "vertical",
        manage_ticks=not horizontal,
        showfliers=False,  # Every fold has a dot.
        boxprops=look,
        whiskerprops=look,
        capprops=look,
        medianprops=look | {"linewidth": 3},
    )
    # Beside each other in the order of the folds, so that equal ones are all seen.
    shifts = np.linspace(-0.15, 0.15, len(values)) if len(values) > 1 else np.zeros(1)
    points = (values, place - shifts) if horizontal else (place + shifts, values)
    axes.plot(*points, "o", color=color, markersize=5, alpha=0.6)
