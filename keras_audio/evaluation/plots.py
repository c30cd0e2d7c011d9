"""Learning curves and confusion matrices as SVG text.

Drawn by hand rather than by a plotting library so that lines and letters can take the colours of
the page they stand in, light or dark: every colour is a CSS variable of the page, with a fallback
for an SVG that stands alone.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np

INK = "var(--ink, #171a21)"
MUTED = "var(--muted, #5a6272)"
LINE = "var(--line, #d9dde5)"
TRAINING = "var(--training, #6b7280)"
VALIDATION = "var(--validation, #1d5fd1)"
CORRECT = "var(--correct, #1d5fd1)"
WRONG = "var(--wrong, #c2410c)"

# The strongest cell is this opaque: black letters on it in a light page and white ones in a dark
# page both keep a contrast of 4.5 to 1.
STRONGEST = 0.6

# Plot area of a curve inside its (width, height), in SVG units.
_SIZE = (400, 270)
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 390, 62, 232


def learning_curves(
    history: Mapping[str, Sequence[float]], best_epoch: int | None = None
) -> list[str]:
    """One curve a measured quantity, by epoch: loss, accuracy and what else there is, then rate.

    A quantity with a `val_` twin shares its panel with it. Losses and learning rates that span more
    than a factor of twenty get a logarithmic axis. Values that are not finite leave a gap.

    Args:
        history: Columns of history.csv, each (epochs,). `epoch` counts from 1 if it is missing;
            `seconds` is left out.
        best_epoch: The epoch to mark. By default the first one with the highest `val_accuracy`,
            or, without that column, the lowest `val_loss`.

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
    if best_epoch is None:
        best_epoch = _best_epoch(epochs, columns)
    order = ["loss", "accuracy", *columns]
    names = [name.removeprefix("val_") for name in order if name in columns]
    names = [name for name in dict.fromkeys(names) if name != "learning_rate"]
    if "learning_rate" in columns:
        names.append("learning_rate")
    return [
        _curve(name, epochs, columns.get(name), columns.get(f"val_{name}"), best_epoch)
        for name in names
    ]


def confusion_matrix(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """Counts, a row a true class and a column a predicted one, shaded by their share of the row.

    Up to 24 classes every cell also shows that share in per cent; with more classes it shows on
    pointing at the cell.

    Args:
        matrix: Counts (classes, classes).
        labels: The class names.

    Returns:
        An SVG element.

    Example:
        >>> svg = confusion_matrix([[3, 1], [0, 4]], ["dog", "rain"])
        >>> "Of 4 dog, 1 taken for rain (25 %)" in svg
        True
    """
    counts = np.asarray(matrix)
    if counts.shape != (len(labels), len(labels)):
        raise ValueError(
            f"Expected a matrix of shape {(len(labels), len(labels))}, a row and a column a class. "
            f"Received: matrix of shape {counts.shape}"
        )
    size = 54 if len(labels) <= 12 else 38 if len(labels) <= 24 else 18
    font = 12 if size > 18 else 10
    names = [label if len(label) <= 24 else label[:23] + "…" for label in labels]
    # Letters of a proportional font are about 0.58 of its height wide.
    text = max(len(name) for name in names) * font * 0.58
    # Slanted names need room to the right of the last column, upright ones none.
    slant, reach = (-50, text * 0.65) if size > 18 else (-90, 0)
    left, top = 34 + text, 34 + text * (0.77 if size > 18 else 1)
    extent = size * len(labels)
    width, height = left + extent + max(reach, 8), top + extent + 4
    parts = [
        _text(left + extent / 2, 12, "predicted", MUTED, font + 1, "middle"),
        f'<g transform="translate(12 {top + extent / 2:.1f}) rotate(-90)">'
        f"{_text(0, 0, 'true', MUTED, font + 1, 'middle')}</g>",
    ]
    totals = counts.sum(axis=1)
    for row, name in enumerate(names):
        middle = (row + 0.5) * size
        full = f"<title>{escape(labels[row])}</title>"
        parts.append(_text(left - 8, top + middle + font * 0.36, name, INK, font, "end", full))
        parts.append(
            f'<g transform="translate({left + middle + font * 0.3:.1f} {top - 8:.1f}) '
            f'rotate({slant})">{_text(0, 0, name, INK, font, "start", full)}</g>'
        )
    for row, column in np.ndindex(*counts.shape):
        count, total = int(counts[row, column]), int(totals[row])
        share = count / total if total else 0.0
        x, y = left + column * size, top + row * size
        color = CORRECT if row == column else WRONG
        taken = "recognised" if row == column else f"taken for {labels[column]}"
        tip = f"Of {total} {labels[row]}, {count} {taken} ({share:.0%})".replace("%", " %")
        # The faintest count still shows: one clip of a thousand must not look like none.
        opacity = STRONGEST * (0.12 + 0.88 * share) if count else 0
        cell = (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{size}" height="{size}" '
            f'style="fill:{color};fill-opacity:{opacity:.3f};stroke:{LINE}"/>'
        )
        if count and size > 18:
            cell += _text(x + size / 2, y + size / 2 - 1, str(count), INK, size * 0.26, "middle")
            percent = f"{share:.0%}".replace("%", " %")
            cell += _text(
                x + size / 2, y + size / 2 + size * 0.25, percent, INK, size * 0.2 + 1, "middle"
            )
        elif count:
            cell += _text(x + size / 2, y + size / 2 + 3.2, str(count), INK, 9, "middle")
        parts.append(f"<g><title>{escape(tip)}</title>{cell}</g>" if total else cell)
    correct, clips = int(np.trace(counts)), int(counts.sum())
    summary = f"Confusion matrix of {len(labels)} classes: {correct} of {clips} clips recognised"
    return _svg(width, height, summary, parts)


def _best_epoch(epochs: np.ndarray, columns: Mapping[str, np.ndarray]) -> int | None:
    for name, sign in (("val_accuracy", 1), ("val_loss", -1)):
        if name in columns and np.isfinite(columns[name]).any():
            return int(epochs[np.nanargmax(sign * columns[name])])
    return None


def _curve(
    name: str,
    epochs: np.ndarray,
    training: np.ndarray | None,
    validation: np.ndarray | None,
    best_epoch: int | None,
) -> str:
    title = name.replace("_", " ")
    series = [
        (legend, color, values)
        for legend, color, values in (
            ("training" if validation is not None else title, TRAINING, training),
            ("validation", VALIDATION, validation),
        )
        if values is not None
    ]
    values = np.concatenate([values for _, _, values in series])
    height, ticks = _vertical_axis(values[np.isfinite(values)], name)
    first, last = float(epochs[0]), float(epochs[-1])
    # A single epoch stands in the middle of an axis of its own.
    start, span = (first, last - first) if last > first else (first - 0.5, 1.0)

    def across(epoch: float) -> float:
        return _LEFT + (epoch - start) / span * (_RIGHT - _LEFT)

    parts = [_text(_LEFT, 17, title[0].upper() + title[1:], INK, 15, weight=600)]
    for index, (legend, color, _) in enumerate(series if validation is not None else ()):
        x = _LEFT + 110 * index
        parts.append(f'<path d="M{x} 35h18" style="stroke:{color};stroke-width:3;fill:none"/>')
        parts.append(_text(x + 24, 39, legend, MUTED, 13))
    for tick in ticks:
        y = height(tick)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_RIGHT}" style="stroke:{LINE};fill:none"/>')
        label = f"{tick:.0e}".replace("e-0", "e-") if 0 < tick < 0.01 else f"{tick:g}"
        parts.append(_text(_LEFT - 7, y + 4, label, MUTED, 12, "end"))
    for tick in _round_steps(start, start + span, 6):
        if tick == int(tick):
            parts.append(_text(across(tick), _BOTTOM + 18, f"{tick:g}", MUTED, 12, "middle"))
    parts.append(_text(_RIGHT, _BOTTOM + 33, "epoch", MUTED, 12, "end"))
    summary = f"{title} over {len(epochs)} epochs"
    marked = best_epoch is not None and first <= best_epoch <= last
    if marked:
        x = across(best_epoch)
        parts.append(
            f'<path d="M{x:.1f} {_TOP - 6}V{_BOTTOM}" '
            f'style="stroke:{MUTED};stroke-dasharray:3 3;fill:none"/>'
        )
        # Written on the side of the line that has more room.
        side, shift = ("end", -5) if x > (_LEFT + _RIGHT) / 2 else ("start", 5)
        parts.append(_text(x + shift, _TOP, f"best epoch {best_epoch}", MUTED, 12, side))
        summary += f", best epoch {best_epoch}"
    for legend, color, values in series:
        points = [
            (across(epoch), height(value)) if np.isfinite(value) else None
            for epoch, value in zip(epochs, values, strict=True)
        ]
        parts.append(
            f'<path d="{_path(points)}" style="stroke:{color};stroke-width:2;fill:none;'
            f'stroke-linejoin:round;stroke-linecap:round"/>'
        )
        for epoch, point in zip(epochs, points, strict=True):
            if point and (len(points) == 1 or (marked and epoch == best_epoch)):
                x, y = point
                parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" style="fill:{color}"/>')
        summary += f", {legend} ends at {values[-1]:.4g}"
    # Invisible columns, one an epoch, that show the numbers on pointing at them.
    step = (_RIGHT - _LEFT) / max(len(epochs) - 1, 1)
    for index, epoch in enumerate(epochs):
        tip = ", ".join(f"{legend} {values[index]:.4g}" for legend, _, values in series)
        parts.append(
            f'<rect x="{across(epoch) - step / 2:.1f}" y="{_TOP}" width="{step:.1f}" '
            f'height="{_BOTTOM - _TOP}" fill="transparent">'
            f"<title>{escape(f'Epoch {epoch:g}: {tip}')}</title></rect>"
        )
    return _svg(*_SIZE, summary, parts)


def _vertical_axis(values: np.ndarray, name: str) -> tuple[Callable[[float], float], list[float]]:
    """How high a value stands in the panel, and the values to name at its side."""
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    if name.endswith(("loss", "learning_rate")) and low > 0 and high / low > 20:
        low, high = math.log10(low) - 0.1, math.log10(high) + 0.1
        exponents = range(math.ceil(low), math.floor(high) + 1)
        ticks = [10.0**exponent for exponent in exponents][:: 1 + len(exponents) // 8]
        scale = math.log10
    else:
        margin = (high - low) * 0.05 or abs(high) * 0.5 or 1.0
        low, high, scale = low - margin, high + margin, float
        ticks = _round_steps(low, high, 5)

    def height(value: float) -> float:
        return _BOTTOM - (scale(value) - low) / (high - low) * (_BOTTOM - _TOP)

    return height, ticks


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    """A path through the points that starts anew after a gap."""
    pieces, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
        else:
            pieces.append(f"{pen}{point[0]:.1f} {point[1]:.1f}")
            pen = "L"
    return "".join(pieces)


def _round_steps(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers from `low` to `high`."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _text(
    x: float,
    y: float,
    text: str,
    color: str,
    size: float,
    anchor: str = "start",
    inside: str = "",
    weight: int = 400,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
        f'style="fill:{color};font-size:{size:.4g}px;font-weight:{weight}">'
        f"{inside}{escape(text)}</text>"
    )


def _svg(width: float, height: float, summary: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" '
        f'aria-label="{escape(summary)}" style="font-family:system-ui,sans-serif">'
        f"{''.join(parts)}</svg>"
    )
