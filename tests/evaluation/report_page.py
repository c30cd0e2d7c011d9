"""The page of a report, made of random answers and read back with an HTML parser."""

import html.parser

import numpy as np

from keras_audio.evaluation.metrics import classification_metrics, tagging_metrics
from keras_audio.evaluation.predictions import prediction_rows
from keras_audio.evaluation.report import (
    Mistake,
    worst_mistakes,
    worst_rankings,
    write_report,
)

VOID = {"meta", "img", "br", "hr", "link", "input"}
RATE = 8000
EVIL = '"><img src=x onerror=alert(1)><script>alert(2)</script>'


class Page(html.parser.HTMLParser):
    """Checks that elements close in order; collects elements and the cells of tables."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.tables, self.words = [], [], {}, []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.caption, self.rows = "", []
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "table":
            self.tables[self.caption.strip()] = self.rows

    def handle_data(self, data):
        if "caption" in self.open:
            self.caption += data
        elif "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data
        if "script" not in self.open and "style" not in self.open:
            self.words.append(data)

    def attributes(self, tag, name):
        return [found.get(name) for element, found in self.elements if element == tag]


def sound(seed, seconds=0.2):
    generator = np.random.default_rng(seed)
    return generator.uniform(-0.5, 0.5, (int(seconds * RATE), 1)).astype(np.float32)


def inputs(labels=("dog", "rain", "siren"), clips=40, seed=0, sharpness=1.5, **changes):
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, len(labels), clips)
    logits = generator.normal(size=(clips, len(labels))) + sharpness * np.eye(len(labels))[targets]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    records = [{"clip_id": f"clip-{i}", "fold": 1, "source": f"rec-{i // 2}"} for i in range(clips)]
    rows = prediction_rows(records, targets, probabilities, labels)
    mistakes = [
        Mistake(
            row["clip_id"],
            row["target"],
            row["predicted"],
            float(row["probability"]),
            sound(index),
            RATE,
        )
        for index, row in enumerate(worst_mistakes(rows))
    ]
    return {
        "title": "residual_blocks on toy sounds",
        "metrics": classification_metrics(targets, probabilities, labels),
        "predictions": rows,
        "history": {"epoch": [1, 2, 3], "val_accuracy": [0.1, 0.3, 0.2], "loss": [3, 2, 1]},
        "recipe": {"block": "rb4", "learning_rate": 1e-3, "early": None, "nested": {"a": [1, 2]}},
        "environment": {"packages": {"keras": "3.15.1"}, "devices": []},
        "mistakes": mistakes,
    } | changes


def tagged(labels=("dog", "rain", "siren", "tram"), clips=40, seed=0, sharpness=1.5, **changes):
    """As `inputs`, of clips that have several classes; the first is of none, the last of all."""
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, 2, (clips, len(labels)))
    targets[0], targets[-1] = 0, 1
    logits = generator.normal(size=targets.shape) + sharpness * targets
    probabilities = 1 / (1 + np.exp(-logits))
    records = [{"clip_id": f"clip-{i}", "fold": 1, "source": f"rec-{i // 2}"} for i in range(clips)]
    rows = prediction_rows(records, targets, probabilities, labels)
    mistakes = [
        Mistake(
            row["clip_id"],
            row["target"],
            row["predicted"],
            float(row["probability"]),
            sound(index),
            RATE,
            row["missed"],
        )
        for index, row in enumerate(worst_rankings(rows))
    ]
    return (
        inputs()
        | {
            "metrics": tagging_metrics(targets, probabilities, labels),
            "predictions": rows,
            "history": {"iteration": [5, 10], "val_mean_average_precision": [0.1, 0.3]},
            "mistakes": mistakes,
        }
        | changes
    )


def report(tmp_path, **changes):
    path = tmp_path / "report.html"
    write_report(path, **changes)
    text = path.read_text(encoding="utf-8")
    return Page(text), text


def cells_of(row):
    keys = ("precision", "recall", "f1", "average_precision")
    numbers = ["–" if row[key] is None else f"{row[key]:.3f}" for key in keys]
    return [row["label"], str(row["support"]), *numbers]
