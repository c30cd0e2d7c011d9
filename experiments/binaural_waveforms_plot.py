"""Accuracy against bytes: what pruning, shrinking and half precision save, and what they cost."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from standalone_svg import standalone_svg

from keras_audio.evaluation.plots import COLORS

# A hue a network, on a light page; on a dark one below.
HUES = {"a": "#1d5fd3", "b": "#b3400d", "c": "#15783a", "d": "#7e22ce"}
_DARK = {
    "a": "#7db2ff",
    "b": "#f08c4e",
    "c": "#5cc98a",
    "d": "#c79bf7",
}
# Settings of one network, where there are several.
_DASHES = ("-", "--", ":", "-.")
_ROUNDS = "weights not zero, 16 bits each, by rounds of pruning"
# What else is drawn: what the legend says, the marker, whether it is filled.
MARKS = {
    "report": ("the same in the report", "D", True),
    "pruned": ("the same of the round kept", "o", True),
    "whole": ("file: .keras, whole", "s", False),
    "shrunk": ("file: .keras, shrunk", "^", False),
    "half": ("file: 16-bit .npz", "v", False),
    "litert": ("file: 16-bit LiteRT", "o", False),
}
# What marks are of files.
_FILES = ("whole", "shrunk", "half", "litert")


class Curve(NamedTuple):
    """The runs of a network and its settings, as points of bytes and accuracy.

    Attributes:
        network: `a` to `d`.
        title: What the legend says.
        rounds: For each run the points of its rounds, the whole network first.
        marks: The mean point of what there is of `MARKS`.
    """

    network: str
    title: str
    rounds: Sequence[Sequence[tuple[float, float]]]
    marks: Mapping[str, tuple[float, float]]


def accuracy_against_bytes(curves: Sequence[Curve], limit: float) -> str:
    """Draw the curves and the limit as an SVG that stands alone.

    Args:
        curves: One a network and settings.
        limit: Bytes.
    """

    def draw(figure) -> None:
        figure.set_layout_engine("constrained")
        axes = figure.add_subplot(frame_on=False, xscale="log")
        seen: dict[str, int] = {}
        for curve in curves:
            color, dashes = HUES[curve.network], _DASHES[seen.get(curve.network, 0) % len(_DASHES)]
            seen[curve.network] = seen.get(curve.network, 0) + 1
            for points in curve.rounds if len(curve.rounds) > 1 else ():
                axes.plot(*np.transpose(points), dashes, color=color, alpha=0.4, linewidth=1)
            means = np.transpose(mean_curve(curve.rounds))
            axes.plot(*means, dashes, color=color, label=curve.title, marker="o", markersize=4)
            if [other.network for other in curves].count(curve.network) > 1:
                # The files of one curve are joined, or they could be of any.
                joined = [curve.marks[kind] for kind in _FILES if kind in curve.marks]
                axes.plot(*np.transpose(joined), dashes, color=color, alpha=0.4, linewidth=1)
            for kind, point in curve.marks.items():
                axes.plot(*point, **_marker(kind, color))
        _label_axes(axes, limit)
        _add_legends(figure, axes, [kind for kind in MARKS if any(kind in c.marks for c in curves)])

    points = [point for curve in curves for run in curve.rounds for point in run]
    summary = f"Accuracy against bytes of {len(curves)} networks: from {_text(max(points))} to "
    summary = summary.replace("1 networks", "1 network") + _text(min(points))
    return standalone_svg((720, 460), summary, draw, HUES, _DARK)


def mean_curve(rounds: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """The mean over runs of each round that all of them came to.

    Example:
        >>> mean_curve([[(8, 0.5), (4, 0.25)], [(8, 1.0)]])
        [(8.0, 0.75)]
    """
    shared = min(map(len, rounds))
    means = np.mean([points[:shared] for points in rounds], axis=0)
    return [(float(size), float(accuracy)) for size, accuracy in means]


def _label_axes(axes, limit: float) -> None:
    axes.set_xlabel("bytes (KB = 1024)", loc="right")
    axes.set_title("Accuracy %", loc="left", size=13, color=COLORS["muted"], pad=12)
    axes.axvline(limit, color=COLORS["muted"], linestyle="--", linewidth=1)
    at = {"x": limit, "y": 1.01, "transform": axes.get_xaxis_transform(), "ha": "center"}
    axes.text(s=f"limit, {limit / 1024:.0f} KB", color=COLORS["muted"], **at)
    low, high = axes.get_xlim()
    ticks = [1024 * size for size in _round_sizes() if low <= 1024 * size <= high]
    axes.set_xticks(ticks, [_kilobytes(tick) for tick in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.tick_params(length=0)
    axes.grid(axis="both")


def _add_legends(figure, axes, kinds: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=4)
    color = COLORS["muted"]
    handles = [Line2D([], [], color=color, marker="o", markersize=4, label=_ROUNDS)]
    handles += [Line2D([], [], label=MARKS[kind][0], **_marker(kind, color)) for kind in kinds]
    figure.legend(handles=handles, loc="outside lower left", ncols=2)


def _marker(kind: str, color: str) -> dict:
    """The looks of a mark, for Matplotlib."""
    _, marker, filled = MARKS[kind]
    look = {"linestyle": "none", "marker": marker, "markersize": 9, "markeredgewidth": 2}
    inside = color if filled else "none"
    return look | {"color": color, "markerfacecolor": inside}


def _round_sizes() -> Iterable[int]:
    return (size * 10**power for power in range(5) for size in (1, 2, 5))


def _kilobytes(size: float) -> str:
    return f"{size / 1024:,.0f} KB"


def _text(point: tuple[float, float]) -> str:
    return f"{point[1]:.1f} % at {point[0] / 1024:.1f} KB"
