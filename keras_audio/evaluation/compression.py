"""What each stage of a compression is worth and weighs: the whole model, rounds, and what follows.

Sizes stand three ways side by side: by the rule of Pajusco et al. 2020 (non-zero kernels, 16 bits
each), everything that is stored, and the bytes of files on disk. The file of 16-bit weights,
`half.npz`, and the LiteRT file stay in the folder of the compression.
"""

import csv
import dataclasses
import os
import pathlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from keras_audio.compress import count_weights, half_precision, save_half, stored_bytes
from keras_audio.data import clip_arrays
from keras_audio.evaluation.held_out import HeldOut
from keras_audio.evaluation.latency import clip_latencies
from keras_audio.files import read_json, write_csv
from keras_audio.models.macs import count_macs
from keras_audio.recipes import Recipe
from keras_audio.serving import load_classifier
from keras_audio.serving.export import window_samples
from keras_audio.serving.litert import UnsupportedByLiteRT, export_litert
from keras_audio.tables import text_table
from keras_audio.training.compression import CompressedRun

STAGES_FILE = "stages.csv"
HALF_FILE = "half.npz"


@dataclasses.dataclass(frozen=True)
class Stage:
    """A network on the way from the whole model to the file that is deployed.

    Attributes:
        stage: `whole`, `round 1` and so on, `shrunk` (zeros removed), `half` (weights and inputs
            rounded to 16 bits), `litert` (as a LiteRT file of 16-bit weights).
        kept: Whether what follows was made of it; true of the last round kept and later stages.
        accuracy: On the clips held out, or the measure that `metric` names in its place.
        loss: Mean cross-entropy there.
        total: Weights by the report's rule.
        non_zero: Those that are not zero.
        kilobytes: What these take, 16 bits each: the report's size. A kilobyte is 1024 bytes.
        stored: Numbers that a file of the model holds, zeros, biases and statistics too.
        stored_kilobytes: What these take, 16 bits each, or 32 before they are rounded.
        macs: Multiply-accumulates for a clip.
        file: What kind of file `file_bytes` is of.
        file_bytes: Bytes on disk; of `half` those of `half.npz`, of `litert` of `model.tflite`.
        latency_ms: Median time for a clip on one thread: with TensorFlow of the whole model, the
            round kept and the shrunken one, of the last stage with LiteRT; None of others.
        metric: What `accuracy` is: `accuracy`, or `mean_average_precision` where a clip may have
            several classes.
    """

    stage: str
    kept: bool
    accuracy: float
    loss: float
    total: int
    non_zero: int
    kilobytes: float
    stored: int
    stored_kilobytes: float
    macs: int
    file: str
    file_bytes: int
    latency_ms: float | None = None
    metric: str = "accuracy"


def measure_compression(
    run: CompressedRun | str | os.PathLike,
    *,
    data_dir: str | os.PathLike = "data",
    batch_size: int = 32,
    progress: bool = True,
) -> list[Stage]:
    """Measure every stage of a compression on the clips held out, and write `stages.csv`.

    The weights in 16 bits are put in `half.npz` of the run, for `keras_audio.compress.load_half`,
    and the LiteRT file in its folder `litert`. A model that LiteRT cannot run has no such stage;
    neither has one whose file takes no clip as short as some of those held out. If a stage fails,
    those before it are written all the same.

    Args:
        run: The folder of the compression, finished.
        data_dir: Where `keras-audio prepare` put the records.
        batch_size: Clips predicted at once.
        progress: Whether to show a progress bar and say why there is no stage `litert`.

    Returns:
        The stages in their order.

    Raises:
        ValueError: If the records are missing or are not those that the run was trained with, or
            the LiteRT file answers otherwise than the model.
    """
    folder = run if isinstance(run, CompressedRun) else CompressedRun(run)
    work = _Measuring(folder, data_dir, batch_size)
    last = len(folder.rounds()) - 1
    stages = []
    try:
        with tqdm(total=last + 4, unit="stage", disable=None if progress else True) as bar:
            for stage in work.stages(last, bar.write if progress else lambda text: None):
                stages.append(stage)
                bar.update()
    except ValueError:
        if stages:
            write_stages(folder.path / STAGES_FILE, stages)
        raise
    write_stages(folder.path / STAGES_FILE, stages)
    return stages


def write_stages(path: pathlib.Path, stages: Sequence[Stage]) -> None:
    """Write stages to a CSV file, a row each."""
    columns = [field.name for field in dataclasses.fields(Stage)]
    write_csv(path, columns, map(_row, stages))


def read_stages(path: str | os.PathLike) -> list[Stage]:
    """Read what `write_stages` wrote, also before there was a column `metric`."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kinds = {field.name: field.type for field in dataclasses.fields(Stage)}
    return [
        Stage(**{name: _read(value, kinds[name]) for name, value in row.items()}) for row in rows
    ]


def stages_table(stages: Sequence[Stage]) -> str:
    """The stages as a table of plain text; the round that was kept is marked."""
    tagging = any(stage.metric == "mean_average_precision" for stage in stages)
    header = ("stage", "mAP" if tagging else "accuracy", "loss", "weights", "non-zero", "KB")
    header += ("stored KB", "file", "bytes", "MMACs", "ms a clip")
    lines = []
    for stage in stages:
        lines.append(
            (
                stage.stage + (" (kept)" if stage.kept and stage.stage.startswith("round") else ""),
                f"{stage.accuracy:.4f}",
                f"{stage.loss:.3f}",
                f"{stage.total:,}",
                f"{stage.non_zero:,}",
                f"{stage.kilobytes:.1f}",
                f"{stage.stored_kilobytes:.1f}",
                stage.file,
                f"{stage.file_bytes:,}",
                f"{stage.macs / 1e6:.1f}",
                "-" if stage.latency_ms is None else f"{stage.latency_ms:.1f}",
            )
        )
    return text_table(header, lines, right=(1, 2, 3, 4, 5, 6, 8, 9, 10))


class _Measuring:
    """The clips held out, and what is the same for all stages."""

    def __init__(self, run: CompressedRun, data_dir: str | os.PathLike, batch_size: int) -> None:
        self.run, self.batch_size = run, batch_size
        self.recipe: Recipe = run.recipe
        self.held_out = HeldOut(self.recipe, data_dir)
        self.held_out.check(run)

    def stages(self, last: int, say: Callable[[str], None]) -> Iterator[Stage]:
        kept = self.run.settings["kept"]
        small, timed = self.run.model(), {}
        for number in {0, kept}:
            model = self.run.round_folder(number).model()
            timed[_name(number)] = (model, self._samples(model))
        timed["shrunk"] = (small, self._samples(small))
        self._latencies = clip_latencies(timed, self.recipe.channels)
        for number in range(last + 1):
            model = self.run.round_folder(number).model()
            yield self._keras(_name(number), model, kept=number == kept)
        yield self._keras("shrunk", small)
        yield self._keras("half", half_precision(small), half=True)
        path = self.run.path / "litert"
        try:
            export_litert(
                small,
                path,
                labels=self.run.labels,
                sample_rate=self.run.sample_rate,
                clip_samples=self.recipe.max_samples,
                resampling=self.recipe.resampling,
                probe=self.held_out.examples(),
                overwrite=path.exists(),
            )
        except UnsupportedByLiteRT as error:
            say(f"no LiteRT file: {error}")
            return
        if missing := self._too_short(read_json(path / "metadata.json")):
            say(f"the LiteRT file in {path} is not measured: {missing}")
            return
        yield self._litert(small, path)

    def _keras(
        self,
        name: str,
        model: keras.Model,
        *,
        kept: bool = True,
        half: bool = False,
    ) -> Stage:
        probabilities = self.held_out.predict(
            model, self.recipe, batch_size=self.batch_size, progress=False
        )
        return Stage(
            stage=name,
            kept=kept,
            **self._scores(probabilities),
            **self._weights(model, 2 if half else 4),
            file="fp16 npz" if half else "keras",
            file_bytes=self._half_bytes() if half else stored_bytes(model)["keras"],
            latency_ms=self._latencies.get(name),
        )

    def _half_bytes(self) -> int:
        """Store the weights of the run in 16 bits; give what that takes."""
        file = self.run.path / HALF_FILE
        save_half(self.run.model(), file)
        return file.stat().st_size

    def _too_short(self, litert: dict[str, Any]) -> str:
        """Which clips a LiteRT file of these facts does not take, in words; empty if it does."""
        least = 0 if litert["zero_padding"] else litert["clip_samples"]
        short = sum(clip.samples < least for clip in self.held_out.clips)
        if not short:
            return ""
        return (
            f"{short} of {len(self.held_out.clips)} clips are shorter than its {least} samples, "
            "and zeros behind them would change the answers"
        )

    def _litert(self, model: keras.Model, path: pathlib.Path) -> Stage:
        classifier = load_classifier(path)
        clips = clip_arrays(self.held_out.records, self.held_out.split.test_folds)
        # As `evaluate` hears a longer clip: its beginning, not the mean of its windows.
        heard = self._samples(model)
        probabilities = np.stack([classifier.predict(audio[:heard]) for _, audio in clips])
        checked = read_json(path / "export.json")
        return Stage(
            stage="litert",
            kept=True,
            **self._scores(probabilities),
            **self._weights(model, 2),
            file="fp16 LiteRT",
            file_bytes=checked["bytes"],
            latency_ms=checked["latency_ms"],
        )

    def _scores(self, probabilities: np.ndarray) -> dict[str, Any]:
        metrics, _ = self.held_out.measure(probabilities, self.recipe.unknown_weight)
        metric = "accuracy" if "accuracy" in metrics else "mean_average_precision"
        return {"accuracy": metrics[metric], "metric": metric, "loss": metrics["log_loss"]}

    def _weights(self, model: keras.Model, bytes_per_weight: int) -> dict[str, Any]:
        paper = count_weights(model, "paper")
        stored = count_weights(model, "stored", bytes_per_weight)
        return {
            "total": paper.total,
            "non_zero": paper.non_zero,
            "kilobytes": round(paper.kilobytes, 2),
            "stored": stored.total,
            "stored_kilobytes": round(stored.kilobytes, 2),
            "macs": count_macs(model, (self._samples(model), model.input_shape[-1])),
        }

    def _samples(self, model: keras.Model) -> int:
        """Samples of a clip: what the model hears, or what there is."""
        median = statistics.median_low(clip.samples for clip in self.held_out.clips)
        return window_samples(model, self.recipe.max_samples) or median


def _name(number: int) -> str:
    """The stage of a round."""
    return f"round {number}" if number else "whole"


def _row(stage: Stage) -> dict[str, Any]:
    latency = "" if stage.latency_ms is None else f"{stage.latency_ms:.2f}"
    return dataclasses.asdict(stage) | {
        "accuracy": f"{stage.accuracy:.4f}",
        "loss": f"{stage.loss:.4f}",
        "latency_ms": latency,
    }


def _read(text: str, kind: Any) -> Any:
    if kind is bool:
        return text == "True"
    if kind in (int, float, str):
        return kind(text)
    return float(text) if text else None
