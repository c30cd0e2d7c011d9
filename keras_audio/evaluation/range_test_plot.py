"""The curve of a learning-rate range test as SVG text, in the style of the report's plots."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_audio.evaluation.plots import COLORS, svg_element

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_audio.schedules import SuggestedRates


def range_test_plot(
    learning_rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggested: "SuggestedRates | None" = None,
) -> str:
    """Losses and their average over the learning rate, with a line for each suggestion.

    Args:
        learning_rates: The rate of each step, (steps,).
        losses: The loss of each step, (steps,); values that are not finite leave a gap.
        smoothed: The averaged loss after each step, (steps,).
        suggested: What to mark.

    Returns:
        An SVG element.

    Example:
        >>> svg = range_test_plot([1e-3, 1e-2, 1e-1], [2.0, 1.0, 8.0], [2.0, 1.5, 3.7])
        >>> "Range test of 3 steps" in svg
        True
    """
    rates = np.asarray(learning_rates, np.float64)
    raw, mean = (
        np.where(np.isfinite(values), values, np.nan).astype(np.float64)
        for values in (losses, smoothed)
    )
    marks = []
    if suggested is not None:
        names = {"steepest": "steepest", "stable": "largest stable", "tenth": "tenth of least"}
        marks = sorted((getattr(suggested, field), name) for field, name in names.items())

    def draw(figure: "Figure") -> None:
        from matplotlib.ticker import LogLocator

        figure.set_layout_engine("constrained")
        axes = figure.add_subplot(xmargin=0, frame_on=False)
        axes.set_xscale("log")
        axes.set_title("Learning-rate range test", loc="left", size=15, weight="bold", pad=72)
        axes.set_xlabel("learning rate", loc="right")
        axes.plot(rates, raw, color=COLORS["training"], linewidth=1, label="loss")
        axes.plot(rates, mean, color=COLORS["validation"], label="averaged")
        # What comes up to the least average has the whole height: how the losses diverge from there
        # on may run out of the picture.
        if np.isfinite(mean).any():
            end = 1 + np.nanargmin(mean)
            low, high = np.nanmin([raw[:end], mean[:end]]), np.nanmax(mean[:end])
            height = high - low or 0.1 * abs(high) or 1.0
            axes.set_ylim(max(0.0, low - 0.1 * height), high + 0.5 * height)
        legend = axes.legend(loc="lower right", bbox_to_anchor=(1, 1.29), ncols=2)
        legend.set_in_layout(False)
        axes.xaxis.set_major_locator(LogLocator(numticks=12))
        axes.xaxis.set_major_formatter("{x:.0e}")
        axes.minorticks_off()
        axes.tick_params(length=0)
        axes.grid(axis="y", clip_on=False)
        # All texts on the side that has more room, such that none crosses the line of another.
        middle = np.log(axes.get_xlim()).mean()
        left = bool(marks) and np.mean([np.log(rate) for rate, _ in marks]) > middle
        heights = (1.03, 1.11, 1.19) if left else (1.19, 1.11, 1.03)
        place = {"transform": axes.get_xaxis_transform()}
        for (rate, name), height in zip(marks, heights, strict=False):
            look = {"color": COLORS["muted"], "linestyle": "--", "linewidth": 1, "clip_on": False}
            axes.plot([rate, rate], [0, height + 0.03], **look, **place)
            look = {"color": COLORS["muted"], "ha": "right" if left else "left", "va": "center"}
            axes.text(rate, height, f"  {name} {rate:.2g}  ", in_layout=False, **look, **place)

    summary = f"Range test of {len(rates)} steps, learning rate {rates[0]:.2g} to {rates[-1]:.2g}"
    summary += "".join(f", {name} {rate:.2g}" for rate, name in marks)
    return svg_element((560, 360), summary, draw)
