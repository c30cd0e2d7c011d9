"""The plot of `growth.py`: time and memory against size, each beside its smallest."""

import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from keras_audio.evaluation.plots import COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HUES = ("#1d5fd1", "#c2410c", "#15803d", "#7e22ce", "#be185d", "#0f766e", "#a16207", "#475569",
         "#4338ca", "#b91c1c")  # fmt: skip
_DARK_HUES = ("#7aa7f7", "#f59e6b", "#6cc98a", "#c08bf0", "#f08bb8", "#5fcabd", "#d9b45a",
              "#a3b1c6", "#a5a0f5", "#f29191")  # fmt: skip
# What is shown of a memory that hardly grows.
_LEAST_MB = 5.0


def growth_svg(curves: Mapping[str, tuple[Sequence[int], Sequence[float], Sequence[float]]]) -> str:
    """Draw an SVG file; the same numbers give the same text.

    Args:
        curves: By name the sizes, the seconds and the MB.
    """
    sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "experiments"))
    from standalone_svg import standalone_svg

    def draw(figure: "Figure") -> None:
        panels = figure.subplots(1, 2)
        for place, (panel, title) in enumerate(zip(panels, ("time", "memory"), strict=True)):
            farthest = 1.0
            for (name, (sizes, *costs)), hue in zip(curves.items(), _HUES, strict=False):
                values = [max(cost, _LEAST_MB) if place else cost for cost in costs[place]]
                xs = [size / sizes[0] for size in sizes]
                panel.plot(xs, [value / values[0] for value in values], "o-", color=hue, label=name)
                farthest = max(farthest, xs[-1])
            ends = [1, farthest]
            panel.plot(ends, ends, "--", color=COLORS["muted"], label="linear")
            panel.set(xscale="log", yscale="log", xlabel="times the smallest size")
            panel.set_title(f"{title}, times that of the smallest size", size=12)
            for axis in (panel.xaxis, panel.yaxis):
                # Not powers of ten, which would be the text of a formula.
                axis.set_major_formatter("{x:g}")
                axis.set_minor_formatter("")
            panel.grid(True)
            panel.spines[["top", "right"]].set_visible(False)
        figure.subplots_adjust(left=0.07, right=0.97, top=0.92, bottom=0.27, wspace=0.2)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower center", ncols=3, fontsize=11)

    names = [f"growth{number}" for number in range(len(_HUES))]
    hues, dark = (dict(zip(names, of, strict=True)) for of in (_HUES, _DARK_HUES))
    summary = f"Time and memory of {', '.join(curves)} against size"
    return standalone_svg((900, 560), summary, draw, hues, dark)
