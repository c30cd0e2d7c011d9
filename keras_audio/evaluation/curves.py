"""Learning curves of a training as SVG text, drawn by Matplotlib."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_audio.evaluation.plots import COLORS, svg_element

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Width of the name of a stage, as a share of the panel's.
_NAME_WIDTH = 0.14


def learning_curves(
    history: Mapping[str, Sequence[float]],
    best_epoch: int | None = None,
    *,
    kept: str = "best",
    learning_rates: Sequence[float] | None = None,
    snapshots: Sequence[int] = (),
    stages: Sequence[str] = (),
) -> list[str]:
    """One curve a measured quantity, over time: loss, accuracy and what else there is, then rate.

    A quantity with a `val_` twin shares its panel with it. Losses that span more than a factor of
    twenty get a logarithmic axis, and so do learning rates that only ever fall; a rate that rises,
    as that of one cycle does, shows its shape on a linear axis from zero. Values that are not
    finite leave a gap. Where a stage of the training begins, there is a thin line.

    Args:
        history: Columns of history.csv, each (epochs,). Time is `iteration`, the steps done, where
            there is that column, and `epoch` elsewhere, which counts from 1 if it is missing;
            `stage` says which stage each epoch is of, from 1; `seconds` is left out.
        best_epoch: The epoch to mark, also where time is iterations. By default the first one with
            the highest `val_accuracy` or `val_mean_average_precision`, or, without these columns,
            the lowest `val_loss`, among the stages that have the last one's name.
        kept: `"last"` marks the last epoch in place of the best one.
        learning_rates: The rate of each step, (steps,), to show in place of the epochs' own.
        snapshots: Epochs at whose ends that curve gets a dot.
        stages: A name for each stage, such as its resolution; of several in a row that have the
            same, the first shows it.

    Returns:
        One SVG element a quantity; none if no epoch ended.

    Example:
        >>> panels = learning_curves({"loss": [2.0, 1.0], "val_loss": [2.5, 1.5]})
        >>> len(panels), "best epoch 2" in panels[0]
        (1, True)
    """
    columns = {name: np.asarray(values, np.float64) for name, values in history.items()}
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise ValueError(
            f"Expected columns of one length. Received: history with lengths {sorted(lengths)}"
        )
    if not lengths or not lengths.pop():
        return []
    epochs = columns.pop("epoch", np.arange(1, 1 + len(next(iter(columns.values())))))
    columns.pop("seconds", None)
    unit = "iteration" if "iteration" in columns else "epoch"
    times = columns.pop("iteration", epochs)
    numbers = columns.pop("stage", None)
    named = _names(numbers, stages, len(times))
    if kept == "last":
        best_epoch = epochs[-1]
    elif best_epoch is None:
        last = named == named[-1]
        best_epoch = _best_epoch(epochs[last], {name: of[last] for name, of in columns.items()})
    marked = next(iter(times[epochs == best_epoch].astype(int)), None)
    mark = None if marked is None else (marked, f"{kept} {unit} {marked}")
    order = ["loss", "accuracy", *columns]
    names = [name.removeprefix("val_") for name in order if name in columns]
    names = [name for name in dict.fromkeys(names) if name != "learning_rate"]
    if "learning_rate" in columns and learning_rates is None:
        names.append("learning_rate")
    begins = [] if numbers is None else _begins(times, numbers, named)
    dots = np.flatnonzero((times == marked) | (len(times) == 1))
    panels = [
        _curve(
            name, unit, times, (columns.get(name), columns.get(f"val_{name}")), mark, dots, begins
        )
        for name in names
    ]
    if learning_rates is not None:
        rates = np.asarray(learning_rates, np.float64)
        steps = len(rates) / times[-1]
        shown = times[np.isin(epochs, [best_epoch, *snapshots])]
        dots = np.round(shown * steps).astype(int) - 1
        ends = np.arange(1, len(rates) + 1) / steps
        panels.append(_curve("learning_rate", unit, ends, (rates, None), mark, dots, begins))
    return panels


def stage_rows(
    history: Mapping[str, Sequence[float]],
    stages: Sequence[str] = (),
    learning_rates: Sequence[float] | None = None,
) -> list[dict[str, Any]]:
    """What each stage of a training was, took and reached.

    Args:
        history: As for `learning_curves`; `epoch` and `seconds` have to be there.
        stages: As there.
        learning_rates: As there.

    Returns:
        For each stage begun its `number` and `name`, its `first` and `last` epoch, the median
        `seconds` of an epoch, its first aside where there are others, the `highest_rate`, and the
        `best` score on the clips that steer; None for what is not known. Nothing if the training
        had no stages.

    Example:
        >>> history = {"stage": [1, 1, 2], "epoch": [1, 2, 3], "seconds": [8, 10, 15]}
        >>> rows = stage_rows(history | {"val_accuracy": [0.2, 0.4, 0.3]}, ["64x128", "128x300"])
        >>> [(row["name"], row["seconds"], row["best"]) for row in rows]
        [('64x128', 2.0, 0.4), ('128x300', 5.0, 0.3)]
    """
    if not len(history.get("stage", ())):
        return []
    numbers, epochs = np.asarray(history["stage"]), np.asarray(history["epoch"])
    seconds = np.diff(history["seconds"], prepend=0.0)
    scores = history.get("val_accuracy", history.get("val_mean_average_precision"))
    named = _names(numbers, stages, len(numbers))
    per_epoch = 0 if learning_rates is None else len(learning_rates) / epochs[-1]
    rows = []
    for number in np.unique(numbers):
        own = np.flatnonzero(numbers == number)
        first, last = int(epochs[own[0]]), int(epochs[own[-1]])
        rates = slice(round((first - 1) * per_epoch), round(last * per_epoch))
        rows.append(
            {
                "number": int(number),
                "name": str(named[own[0]]),
                "first": first,
                "last": last,
                "seconds": float(np.median(seconds[own[1:] if len(own) > 1 else own])),
                "highest_rate": float(np.max(learning_rates[rates])) if per_epoch else None,
                "best": None if scores is None else float(np.nanmax(np.asarray(scores)[own])),
            }
        )
    return rows


def _best_epoch(epochs: np.ndarray, columns: Mapping[str, np.ndarray]) -> int | None:
    for name, sign in (("val_accuracy", 1), ("val_mean_average_precision", 1), ("val_loss", -1)):
        if name in columns and np.isfinite(columns[name]).any():
            return int(epochs[np.nanargmax(sign * columns[name])])
    return None


def _names(numbers: np.ndarray | None, stages: Sequence[str], rows: int) -> np.ndarray:
    """The name of each row's stage, (rows,) of text; all alike where there are no stages."""
    if numbers is None:
        return np.full(rows, "")
    known = dict(enumerate(stages, start=1))
    return np.array([known.get(int(number), f"stage {number:.0f}") for number in numbers])


def _begins(
    times: np.ndarray, numbers: np.ndarray, named: np.ndarray
) -> list[tuple[float, str | None]]:
    """When each stage begins, that is when the one before it ends, and its name if that is new."""
    first = np.flatnonzero(np.diff(numbers, prepend=np.nan) != 0)
    return [
        (float(times[row - 1]) if row else 0.0, str(named[row]))
        if not row or named[row] != named[row - 1]
        else (float(times[row - 1]), None)
        for row in first
    ]


def _draw_begins(axes: "Axes", begins: Sequence[tuple[float, str | None]]) -> None:
    """Thin lines, and as many of the names above them as have room."""
    low, high = axes.get_xlim()
    room = _NAME_WIDTH * (high - low)
    free = low
    for time, name in begins:
        time = max(time, low)
        axes.axvline(time, color=COLORS["muted"], linewidth=0.5, clip_on=False)
        place = min(time, high - room)
        if name is not None and place >= free:
            at = {"x": place, "y": 1.02, "transform": axes.get_xaxis_transform()}
            axes.text(s=name, color=COLORS["muted"], size=10, **at)
            free = place + room


def _curve(
    name: str,
    unit: str,
    times: np.ndarray,
    columns: tuple[np.ndarray | None, np.ndarray | None],
    mark: tuple[int, str] | None,
    dots: np.ndarray,
    begins: Sequence[tuple[float, str | None]],
) -> str:
    """A panel of the columns of training and validation: a mark in time, dots, begins of stages."""
    title = name.replace("_", " ")
    alone = columns[1] is None
    legends = (title if alone else "training", "validation")
    lines = [
        (legend, COLORS[color], np.where(np.isfinite(values), values, np.nan))
        for legend, color, values in zip(legends, ("training", "validation"), columns, strict=True)
        if values is not None
    ]
    # Rounding of a constant rate is no rise.
    rate = name == "learning_rate"
    # The names of stages take a line of their own.
    mark_height, title_pad, height = (1.09, 38, 286) if begins else (1.02, 24, 270)
    falls = not rate or (np.diff(lines[0][2]) <= 1e-6 * np.nanmax(lines[0][2])).all()

    def draw(figure: "Figure") -> None:
        from matplotlib.ticker import LogLocator, MaxNLocator

        figure.set_layout_engine("constrained")
        axes = figure.add_subplot(xmargin=0, frame_on=False)
        axes.set_title(
            title[0].upper() + title[1:], loc="left", size=15, weight="bold", pad=title_pad
        )
        axes.set_xlabel(unit, loc="right")
        for legend, color, values in lines:
            axes.plot(times, values, color=color, label=legend, clip_on=False)
            axes.plot(times[dots], values[dots], "o", color=color, clip_on=False)
        if not alone:
            legend = axes.legend(loc="lower right", bbox_to_anchor=(1, mark_height + 0.1), ncols=2)
            legend.set_in_layout(False)  # Panels without one are as high.
        low, high = axes.dataLim.intervaly
        if (rate or name.endswith("loss")) and falls and 0 < 20 * low < high:
            axes.set_yscale("log")
            steps = (1, 2, 5) if high < 200 * low else (1,)
            axes.yaxis.set_major_locator(LogLocator(subs=steps))
            axes.minorticks_off()
        axes.yaxis.set_major_formatter("{x:g}")
        if rate and axes.get_yscale() == "linear":
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(_decimals)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        if unit == "iteration" or times[0] < 1:
            # The first row of the history is not where the training began.
            axes.set_xlim(left=0)
        if unit == "iteration":
            axes.xaxis.set_major_formatter(_thousands if times[-1] >= 10_000 else "{x:g}")
        axes.tick_params(length=0)
        axes.grid(axis="y", clip_on=False)
        _draw_begins(axes, begins)
        if mark is not None:
            time, text = mark
            line = {"color": COLORS["muted"], "linestyle": "--", "linewidth": 1}
            axes.axvline(time, ymax=mark_height - 0.02, clip_on=False, **line)
            # Written on the side of the line that has more room.
            side = "right" if 2 * time > sum(axes.get_xlim()) else "left"
            at = {"x": time, "y": mark_height, "transform": axes.get_xaxis_transform()}
            axes.text(s=text, color=COLORS["muted"], ha=side, **at)

    summary = f"{title} over {times[-1]:.0f} {unit}s"
    summary += f", {mark[1]}" if mark is not None else ""
    summary += "".join(f", {legend} ends at {values[-1]:.4g}" for legend, _, values in lines)
    return svg_element((400, height), summary, draw)


def _decimals(value: float, _: int) -> str:
    return np.format_float_positional(round(value, 12), trim="-")


def _thousands(value: float, _: int) -> str:
    return f"{value / 1000:g}k" if value else "0"
