"""Drawings read back as XML, and histories to draw."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np

SVG = "{http://www.w3.org/2000/svg}"


def paths(svg, color):
    """Corners (points, 2) of each path that is drawn in a colour of the page, outside of `defs`."""
    root = ElementTree.fromstring(svg)
    apart = {path for defs in root.iter(f"{SVG}defs") for path in defs.iter(f"{SVG}path")}
    return [
        np.array(re.findall(r"[ML] ([\d.]+) ([\d.]+)", path.get("d", "")), float).reshape(-1, 2)
        for path in root.iter(f"{SVG}path")
        if f"stroke: var(--{color}," in path.get("style") and path not in apart
    ]


def series(svg):
    """Points of each line that is drawn through values; the lines of the legend have three."""
    found = [paths(svg, color)[:1] for color in ("training", "validation")]
    return [line for lines in found for line in lines]


def dots(svg):
    uses = ElementTree.fromstring(svg).iter(f"{SVG}use")
    return [(float(use.get("x")), float(use.get("y"))) for use in uses]


def texts(svg):
    return ["".join(text.itertext()) for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def titles(svg):
    elements = ElementTree.fromstring(svg).iter(f"{SVG}text")
    return [text.text for text in elements if "font-weight: 700" in text.get("style")]


def history(epochs=30):
    generator = np.random.default_rng(0)
    return {
        "epoch": np.arange(1.0, epochs + 1),
        "seconds": np.ones(epochs),
        "learning_rate": np.geomspace(1e-2, 1e-5, epochs),
        "loss": generator.uniform(1, 2, epochs),
        "accuracy": generator.uniform(0.4, 0.5, epochs),
        "val_loss": generator.uniform(1, 3, epochs),
        "val_accuracy": generator.uniform(0.2, 0.4, epochs),
    }


def of_iterations(rates, interval=500):
    rounds = len(rates)
    return {
        "epoch": np.arange(1.0, rounds + 1),
        "iteration": interval * np.arange(1.0, rounds + 1),
        "seconds": np.ones(rounds),
        "learning_rate": rates,
        "loss": np.linspace(0.7, 0.1, rounds),
        "val_loss": np.linspace(0.7, 0.2, rounds),
        "val_mean_average_precision": np.sin(np.linspace(0, 2, rounds)),
    }


def bottom(svg):
    """Texts below the panel with the place of their middle: the marks of time."""
    found = ElementTree.fromstring(svg).iter(f"{SVG}text")
    return [(t.text, float(t.get("x"))) for t in found if "text-anchor: middle" in t.get("style")]


def one_cycle(rounds):
    step = np.arange(1, rounds + 1) / rounds
    rise = 4e-5 + (1e-3 - 4e-5) * (1 - np.cos(np.pi * step / 0.3)) / 2
    fall = 4e-9 + (1e-3 - 4e-9) * (1 + np.cos(np.pi * (step - 0.3) / 0.7)) / 2
    return np.where(step < 0.3, rise, fall)
