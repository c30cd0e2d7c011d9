"""Figures as SVG files that stand alone, readable on a light and on a dark page."""

from collections.abc import Callable, Mapping

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
