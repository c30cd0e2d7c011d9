"""Plots of all methods of a data set: accuracy against parameters and speed, boxes over folds."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from standalone_svg import draw_box, standalone_svg

from keras_audio.evaluation.plots import COLORS

# A hue a recipe, on a light page; on a dark one below. Markers tell them apart without colours.
HUES = {
    "residual_blocks": "#1d5fd3",
    "erann": "#b3400d",
    "two_path": "#15783a",
    "binaural_waveforms": "#7e22ce",
    "progressive_resizing": "#9a6700",
}
_DARK = {
    "residual_blocks": "#7db2ff",
    "erann": "#f08c4e",
    "two_path": "#5cc98a",
    "binaural_waveforms": "#c79bf7",
    "progressive_resizing": "#e0b454",
}
MARKERS = dict(zip(HUES, ("o", "s", "^", "D", "v"), strict=True))
TITLES = {recipe: recipe.replace("_", " ") for recipe in HUES} | {"erann": "ERANN"}


class Point(NamedTuple):
    """A method in a plot.

    Attributes:
        recipe: Its name, which is that of its colour.
        network: Its name, which stands beside it.
        label: What tells it from others, too.
        x: Parameters, or clips a second.
        values: An accuracy a fold, in percent.
        spread: The standard deviation over the folds, in points; None with one fold.
        reach: The least and the most of `x`, where it was measured several times.
    """

    recipe: str
    network: str
    label: str
    x: float
    values: Sequence[float]
    spread: float | None
    reach: tuple[float, float] | None = None

    @property
    def accuracy(self) -> float:
        """The mean over the folds, in percent."""
        return float(np.mean(self.values))


def accuracy_against(points: Sequence[Point], title: str, unit: str) -> str:
    """Draw accuracy against a quantity on a logarithmic axis, as an SVG that stands alone.

    Methods with several folds are filled, with a bar of one standard deviation each way; those with
    one are hollow.

    Args:
        points: The methods.
        title: What is against what, for those who do not see it.
        unit: What stands below the axis.
    """

    def draw(figure) -> None:
        figure.set_layout_engine("constrained")
        axes = figure.add_subplot(frame_on=False, xscale="log")
        for point in points:
            color = HUES[point.recipe]
            if point.spread is not None:
                reach = point.accuracy + np.array([-1, 1]) * point.spread
                axes.plot([point.x] * 2, reach, color=color, linewidth=1, alpha=0.5)
            if point.reach is not None:
                axes.plot(point.reach, [point.accuracy] * 2, color=color, linewidth=1, alpha=0.5)
            axes.plot(point.x, point.accuracy, **_marker(point.recipe, len(point.values) > 1))
        _label_axes(axes, unit)
        _write_labels(axes, points)
        _add_legend(figure, [recipe for recipe in HUES if any(p.recipe == recipe for p in points)])

    best = max(points, key=lambda point: point.accuracy)
    summary = f"{title}: {len(points)} methods, at best {best.label} with {best.accuracy:.1f} %"
    return standalone_svg((900, 540), summary, draw, HUES, _DARK)


def _marker(recipe: str, filled: bool) -> dict:
    color = HUES[recipe]
    inside = color if filled else "none"
    look = {"linestyle": "none", "marker": MARKERS[recipe], "markersize": 8, "markeredgewidth": 2}
    return look | {"color": color, "markerfacecolor": inside}


def _write_labels(axes, points: Sequence[Point]) -> None:
    """A name beside each group of points that lie above each other."""
    groups = _groups(points)
    names = ["\n".join(textwrap.wrap(_names([p.network for p in g]), 24)) for g in groups]
    low, high = axes.get_ylim()
    left, right = np.log(axes.get_xlim())
    places = [
        (
            (np.log(group[0].x) - left) / (right - left),
            (max(point.accuracy for point in group) - low) / (high - low),
        )
        for group in groups
    ]
    lines = [name.count("\n") + 1 for name in names]
    for group, name, height in zip(groups, names, _apart(places, lines), strict=True):
        axes.annotate(
            name,
            (max(point.x for point in group), low + height * (high - low)),
            xytext=(10, 0),
            textcoords="offset points",
            va="center",
            size=10,
            color=COLORS["muted"],
            in_layout=False,
        )


def _groups(points: Sequence[Point], near: float = 1.12) -> list[list[Point]]:
    """Points of one recipe whose places on the axis are close, together."""
    groups: list[list[Point]] = []
    for point in sorted(points, key=lambda point: (list(HUES).index(point.recipe), point.x)):
        last = groups[-1][-1] if groups else None
        if last is not None and last.recipe == point.recipe and point.x <= near * last.x:
            groups[-1].append(point)
        else:
            groups.append([point])
    return groups


def _names(networks: Sequence[str]) -> str:
    """Networks in few words.

    Example:
        >>> _names(["m34_res_rb1", "m34_res_rb4", "m5"]), _names(["resnet18"] * 7)
        ('m34_res_rb1, rb4, m5', 'resnet18, 7 ways')
    """
    families: dict[str, list[str]] = {}
    for name in sorted(dict.fromkeys(networks)):
        family, _, member = name.rpartition("_")
        families.setdefault(family if member.startswith("rb") else name, []).append(member)
    texts = [
        ", ".join([f"{family}_{members[0]}" if members != [family] else family, *members[1:]])
        if members[0].startswith("rb")
        else family
        for family, members in families.items()
    ]
    ways = len(networks) - len(set(networks)) + 1
    return ", ".join(texts) + (f", {ways} ways" if ways > 1 else "")


def _apart(
    places: Sequence[tuple[float, float]], lines: Sequence[int], line: float = 0.03, wide=0.22
) -> list[float]:
    """Heights for labels, moved up where they would cover others.

    Args:
        places: Of their points, as shares of the axes.
        lines: How many each label has.
        line: The height of one, as a share of the axes.
        wide: The width of a label, likewise.

    Example:
        >>> [round(y, 2) for y in _apart([(0.5, 0.8), (0.6, 0.81), (0.1, 0.8)], [1, 1, 1])]
        [0.8, 0.83, 0.8]
    """
    heights: dict[int, float] = {}
    for number in sorted(range(len(places)), key=lambda number: places[number][1]):
        x, height = places[number]
        near = [other for other in heights if abs(places[other][0] - x) < wide]
        while close := [
            heights[other] + line * (lines[other] + lines[number]) / 2
            for other in near
            if abs(height - heights[other]) < line * (lines[other] + lines[number]) / 2 - 1e-9
        ]:
            height = max(close)
        heights[number] = height
    return [heights[number] for number in range(len(places))]


def _label_axes(axes, unit: str) -> None:
    axes.set_xlabel(unit, loc="right")
    axes.set_title("Accuracy %", loc="left", size=13, color=COLORS["muted"], pad=12)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high := high * (high / low) ** 0.3)  # The names want room.
    ticks = [d * 10**power for power in range(-1, 9) for d in (1, 2, 5)]
    ticks = [tick for tick in ticks if low <= tick <= high]
    if len(ticks) > 8:
        ticks = [tick for tick in ticks if f"{tick:.0e}".startswith("1")]
    axes.set_xticks(ticks, [f"{tick:,.0f}" if tick >= 1 else f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.tick_params(length=0)
    axes.grid(axis="both")
    axes.set_axisbelow(True)


def _add_legend(figure, recipes: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=TITLES[name], **_marker(name, True)) for name in recipes]
    hollow = _marker(recipes[0], False) | {"color": COLORS["muted"], "marker": "o"}
    handles.append(Line2D([], [], label="hollow: one fold", **hollow))
    figure.legend(handles=handles, loc="outside upper left", ncols=3)


def fold_boxes(points: Sequence[Point], title: str) -> str:
    """Draw a box a method over its folds, with a dot a fold, as an SVG that stands alone.

    A box reaches from the first to the third quartile, with a line at the median; whiskers reach to
    the furthest fold within 1.5 times its width.

    Args:
        points: Methods with several folds; `x` has no meaning here.
        title: What it shows, for those who do not see it.
    """

    def draw(figure) -> None:
        figure.set_layout_engine("constrained")
        axes = figure.add_subplot(frame_on=False)
        for place, point in enumerate(reversed(points)):
            draw_box(axes, place, point.values, HUES[point.recipe], horizontal=True)
        labels = ["\n".join(textwrap.wrap(point.label, 52)) for point in reversed(points)]
        axes.set_yticks(range(len(points)), labels)
        axes.set_ylim(-0.7, len(points) - 0.3)
        axes.tick_params(length=0)
        axes.tick_params(axis="y", labelcolor=COLORS["ink"], labelsize=10)
        axes.set_xlabel("accuracy % by fold", loc="right")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.grid(axis="x")
        axes.set_axisbelow(True)

    medians = ", ".join(f"{point.label} {np.median(point.values):.1f} %" for point in points)
    summary = f"{title}, medians: {medians}"
    return standalone_svg((760, 70 + 44 * len(points)), summary, draw, HUES, _DARK)


def plots(points: Mapping[str, Sequence[Point]], dataset: str, title: str) -> dict[str, str]:
    """All plots of a data set that there is something for, SVG texts by the names of their files.

    Args:
        points: Methods by what `x` is: `parameters` or `speed`.
        dataset: The name as files have it.
        title: The name as people have it.
    """
    found = {}
    for kind, what, unit in (
        ("parameters", "parameters", "trainable parameters"),
        ("speed", "clips a second", "clips a second, batches of 32"),
    ):
        if points[kind]:
            text = f"Accuracy on {title} against {what}"
            found[f"accuracy_by_{kind}_{dataset}.svg"] = accuracy_against(points[kind], text, unit)
    folds = [point for point in points["parameters"] if len(point.values) > 2]
    if folds:
        found[f"folds_{dataset}.svg"] = fold_boxes(folds, f"Accuracy on {title} over folds")
    return found
