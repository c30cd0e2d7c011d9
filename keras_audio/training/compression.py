"""Rounds of pruning and fine-tuning of a trained run, until a stopping rule is met."""

import csv
import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_audio.compress import (
    PrunedLayer,
    PruningRound,
    count_weights,
    hold_zeros,
    prune_round,
    shrink,
)
from keras_audio.data import Records, Split
from keras_audio.files import locked, read_json, replacing, write_csv, write_json, write_text
from keras_audio.training.compression_settings import Settings, Until
from keras_audio.training.environment import describe_environment
from keras_audio.training.fitting import Plan, fit, fitting_seed
from keras_audio.training.opening import (
    COMPRESSION,
    INITIAL_MODEL,
    begin_run,
    clean_run,
    discard_run,
    file_digest,
    lock_of,
)
from keras_audio.training.run_folder import RunFolder
from keras_audio.training.scores import scores_of
from keras_audio.training.trainer import open_data

# Of a score: 0.8625 - 0.05 is to be no more than 0.8125.
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class Round:
    """What a round of pruning and fine-tuning came to; round 0 is the whole model.

    Attributes:
        number: From 0.
        total: Weights by the report's rule.
        non_zero: Those that are not zero.
        kilobytes: What these take, 16 bits each.
        score: What the run is steered by on the validation clips: accuracy, or mean average
            precision.
        loss: On the validation clips.
        epochs: Of fine-tuning.
        seconds: Of fine-tuning.
        path: The run folder.
    """

    number: int
    total: int
    non_zero: int
    kilobytes: float
    score: float
    loss: float
    epochs: int
    seconds: float
    path: pathlib.Path


class CompressedRun(RunFolder):
    """The folder of a compression: a run whose model is the shrunken one, and its rounds.

    Beside what every run folder has: `compression.json` with the settings, `rounds/01/` and so on,
    each a run folder of its own, `rounds.csv` with a row a round, `pruning.csv` with a row a layer
    and round, and `shrinking.txt` with what was removed. `measure_compression` adds `stages.csv`,
    `half.npz` with the weights of the model in 16 bits, and the folder `litert`.
    """

    @property
    def settings(self) -> dict[str, Any]:
        """The settings, and under `kept` the number of the round that the model is made of."""
        return read_json(self.path / COMPRESSION)

    def rounds(self) -> list[dict[str, Any]]:
        """The rows of rounds.csv, numbers as numbers; the first is the whole model."""
        with open(self.path / "rounds.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        whole = ("round", "total", "non_zero", "epochs")
        return [
            {name: int(value) if name in whole else float(value) for name, value in row.items()}
            for row in rows
        ]

    def round_folder(self, number: int) -> RunFolder:
        """The run folder of a round; of round 0 that of the whole model."""
        if number == 0:
            return RunFolder(self.path / self.settings["source"])
        return RunFolder(_round_path(self.path, number))


def compress_run(
    run: RunFolder | str | os.PathLike,
    settings: Settings,
    *,
    to: str | os.PathLike | None = None,
    data_dir: str | os.PathLike = "data",
    resume: bool = False,
    force: bool = False,
    max_steps: int | None = None,
    progress: bool = True,
) -> CompressedRun:
    """Prune a finished run and fine-tune it, again and again, then remove what is zero.

    Section 4.1 of Pajusco et al. 2020. A round prunes (`keras_audio.compress.prune_round`) and
    trains on with the data, augmentation and validation clips of the run, its zeros held, until the
    validation loss stands still; the epoch of the best validation score is kept. What a rule says
    of accuracy is said of the clips that the training is steered by: with `validation="next"` of
    the recipe the test clips have no say. The round kept is the first that is small enough, or the
    last one that is good enough.

    Args:
        run: The run folder, finished.
        settings: How much, until when, and the fine-tuning.
        to: The folder that is made; by default `compressed` in the run.
        data_dir: Where `keras-audio prepare` put the records.
        resume: Go on with a compression that was begun; return it if it is finished.
        force: Delete what the folder holds and begin anew.
        max_steps: Batches an epoch at most; for smoke tests.
        progress: Whether to show progress bars and a line a round.

    Raises:
        ValueError: If the run is not finished, its accuracy is below what is asked for already, the
            records are not those it was trained with, or the folder holds a compression and neither
            `resume` nor `force` is given, or one with other settings or of another model.
        Stopped: If the process got SIGTERM or SIGINT; a checkpoint was written.
    """
    source = run if isinstance(run, RunFolder) else RunFolder(run)
    if (source.path / COMPRESSION).is_file():
        raise ValueError(
            f"Expected the folder of a training to compress. Received: {source.path}, a compression"
        )
    if source.finished is None:
        raise ValueError(
            f"Expected a finished run; train it to its end with --resume. Received: {source.path}"
        )
    if resume and force:
        raise ValueError("Expected resume or force, not both. Received: resume=True, force=True")
    records, split = open_data(source.recipe, data_dir)
    if not source.was_made_with(records.labels, split.to_dict()):
        raise ValueError(
            f"Expected the clips with which {source.path} was trained. Received: other clips, "
            f"labels or samples in {records.path}"
        )
    path = source.path / "compressed" if to is None else pathlib.Path(to)
    if path.resolve() == source.path.resolve():
        raise ValueError(f"Expected another folder than that of the run. Received: to={to}")
    with (
        # A training of the run is to wait, other compressions of it are not.
        locked(lock_of(source.path), "train this run", shared=True),
        locked(lock_of(path), "compress this run"),
    ):
        if force:
            discard_run(path, COMPRESSION)
        if source.imported is None:
            whole = _kept_scores(source)
        else:
            folds = split.validation_folds
            whole = scores_of(source.model(), source.recipe, records, folds, max_steps)
        _open(path, source, settings, whole[0], resume=resume)
        if not (path / "recipe.json").is_file():
            if settings.deterministic:
                tf.config.experimental.enable_op_determinism()
            work = _Work(path, source, settings, records, split, whole, max_steps, progress)
            work.finish(*work.run_rounds())
    return CompressedRun(path)


def _open(
    path: pathlib.Path, source: RunFolder, settings: Settings, score: float, *, resume: bool
) -> None:
    """Make the folder, or check that it is that of this compression."""
    asked = dataclasses.asdict(settings) | {"model": file_digest(source.path / "model.keras")}
    place = {"source": os.path.relpath(source.path.resolve(), path.resolve())}
    file = path / COMPRESSION
    for folder in (path, *(path / "rounds").glob("[0-9]*")):
        clean_run(folder)
    if not file.is_file():
        if path.exists() and any(path.iterdir()):
            raise ValueError(f"Expected a new or empty folder to compress into. Received: {path}")
        _least_score(settings, source, score)  # what can be refused is, before anything is made
        write_json(file, place | asked)
        return
    # Settings that there were not yet when it was begun were as they are by default.
    stored = dataclasses.asdict(Settings()) | read_json(file)
    differences = [
        f"{name}: {stored.get(name)!r} there, {value!r} asked for"
        for name, value in asked.items()
        if stored.get(name) != value
    ]
    if differences:
        raise ValueError(
            f"Expected the settings of the compression in {path}; choose another folder with --to, "
            f"or --force to begin anew. Received: {'; '.join(differences)}"
        )
    if not resume:
        finished = (path / "recipe.json").is_file()
        state = "finished; --force makes it anew" if finished else "begun; add --resume"
        raise ValueError(f"Expected a new compression. Received: {path}, which is {state}")
    if stored["source"] != place["source"]:  # one of the folders was moved
        write_json(file, read_json(file) | place)


def _least_score(settings: Settings, source: RunFolder, score: float) -> float | None:
    """The least validation score of a round that is good enough; None if only its size counts.

    Args:
        settings: What is asked for.
        source: The run.
        score: Of its whole model.

    Raises:
        ValueError: If the whole model does not have it.
    """
    until = Until.parse(settings.until)
    if until.kind == "size":
        return None
    least = until.value if until.kind == "accuracy" else score - until.value
    if score < least - _ROUNDING:
        raise ValueError(
            f"Expected a model whose validation score is at least {least:g} before it is "
            f"pruned. Received: {score:.4f} of {source.path}"
        )
    return least - _ROUNDING


@dataclasses.dataclass
class _Work:
    path: pathlib.Path
    source: RunFolder
    settings: Settings
    records: Records
    split: Split
    whole: tuple[float, float]  # the score and the loss of the whole model
    max_steps: int | None
    progress: bool

    def run_rounds(self) -> tuple[list[Round], int, str]:
        """Prune and fine-tune until the rule is met: all rounds, the one to keep, and why."""
        until, rate = Until.parse(self.settings.until), self.settings.rate
        least = _least_score(self.settings, self.source, self.whole[0])
        rounds = [_read_round(0, self.source, self.whole)]
        while True:
            number = len(rounds)
            self._write_rounds(rounds)
            if least is None and rounds[-1].kilobytes <= until.value:
                return rounds, number - 1, f"{rounds[-1].kilobytes:.1f} KB are small enough"
            if least is not None and rounds[-1].score < least:
                reason = f"after it the score fell to {rounds[-1].score:.4f}, below {least:.4f}"
                return rounds, number - 2, reason
            if number > self.settings.max_rounds:
                return rounds, number - 1, f"{self.settings.max_rounds} rounds were asked for"
            if not (folder := self._begin_round(number, RunFolder(rounds[-1].path))):
                reason = f"a rate of {rate:g} prunes no further kernel of any layer"
                return rounds, number - 1, reason
            if folder.finished is None:
                self._fine_tune(number, folder)
            rounds.append(_read_round(number, folder, _kept_scores(folder)))
            self._say(rounds[-1])

    def _begin_round(self, number: int, before: RunFolder) -> RunFolder | None:
        """The folder of a round with the pruned model in it; None where nothing is to prune."""
        path = _round_path(self.path, number)
        if (path / "recipe.json").is_file():
            return RunFolder(path)
        model = before.model()
        settings = self.settings
        done = prune_round(
            model, settings.rate, classifier=settings.classifier, scales=settings.scales
        )
        if not done.pruned:
            return None
        with replacing(path / INITIAL_MODEL) as temporary:
            model.save(temporary)
        _write_pruning(path / "pruning.csv", number, done)
        session = describe_environment() | {"deterministic": settings.deterministic}
        return begin_run(
            path, self.source.recipe, self.source.labels, self.split.to_dict(), session
        )

    def _fine_tune(self, number: int, folder: RunFolder) -> None:
        """Train on with what was pruned held at zero (section 4.1, step 3)."""
        keras.utils.set_random_seed(fitting_seed(folder.recipe.seed, number))
        model = folder.model(INITIAL_MODEL)
        hold_zeros(model)
        settings = self.settings
        stopping = keras.callbacks.EarlyStopping(
            monitor="val_loss", mode="min", patience=settings.patience
        )
        plan = Plan(
            recipe=folder.recipe,
            length=lambda steps_per_pass: (settings.epochs * steps_per_pass, steps_per_pass),
            build_optimizer=lambda steps_per_pass: keras.optimizers.Adam(settings.learning_rate),
            callbacks=[stopping],
            number=number,
        )
        fit(
            folder,
            model,
            self.records,
            self.split,
            plan,
            max_steps=self.max_steps,
            progress=self.progress,
        )

    def _say(self, done: Round) -> None:
        if self.progress:
            print(
                f"pruning round {done.number}: {done.non_zero:,} of {done.total:,} weights, "
                f"{done.kilobytes:.1f} KB in half precision, validation score {done.score:.4f}, "
                f"loss {done.loss:.4f}, {done.epochs} epochs",
                flush=True,
            )

    def _write_rounds(self, rounds: Sequence[Round]) -> None:
        rows = [dataclasses.asdict(round_) for round_ in rounds]
        for row in rows:
            row["round"] = row.pop("number")
            del row["path"]
        names = ["round", *(name for name in rows[0] if name != "round")]
        write_csv(self.path / "rounds.csv", names, rows)
        layers = []
        for done in rounds[1:]:
            with open(done.path / "pruning.csv", newline="", encoding="utf-8") as file:
                layers += csv.DictReader(file)
        write_csv(self.path / "pruning.csv", ("round", *PrunedLayer._fields), layers)

    def finish(self, rounds: Sequence[Round], kept: int, reason: str) -> None:
        """Remove what is zero in the round kept; the folder is a run from here on."""
        small = shrink(RunFolder(rounds[kept].path).model())
        with replacing(self.path / "model.keras") as temporary:
            small.model.save(temporary)
        write_text(self.path / "shrinking.txt", f"{small.table()}\n")
        file = self.path / COMPRESSION
        write_json(file, read_json(file) | {"kept": kept, "reason": reason})
        session = describe_environment() | {"deterministic": self.settings.deterministic}
        begin_run(self.path, self.source.recipe, self.source.labels, self.split.to_dict(), session)
        if self.progress:
            print(f"kept round {kept}: {reason}")


def _read_round(number: int, folder: RunFolder, scores: tuple[float, float]) -> Round:
    count = count_weights(folder.model(), rule="paper")
    done = {"epochs": 0, "seconds": 0.0} | folder.finished  # an import was not trained
    return Round(
        number=number,
        total=count.total,
        non_zero=count.non_zero,
        kilobytes=count.kilobytes,
        score=scores[0],
        loss=scores[1],
        epochs=done["epochs"],
        seconds=done["seconds"],
        path=folder.path,
    )


def _kept_scores(folder: RunFolder) -> tuple[float, float]:
    """What the run is steered by and the loss, on the validation clips, of the weights kept."""
    done, history = folder.finished, folder.history()
    epoch = done.get("kept_epoch", done["best_epoch"])
    return tuple(float(history[name][epoch - 1]) for name in (done["monitor"], "val_loss"))


def _round_path(path: pathlib.Path, number: int) -> pathlib.Path:
    return path / "rounds" / f"{number:02}"


def _write_pruning(path: pathlib.Path, number: int, done: PruningRound) -> None:
    rows = [{"round": number} | row._asdict() for row in done.rows]
    write_csv(path, ("round", *PrunedLayer._fields), rows)
