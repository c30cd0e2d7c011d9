"""Load an export or a run, and name what is in waveforms of any length."""

import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_audio.audio import check_resampling
from keras_audio.files import read_json
from keras_audio.serving.windows import cut_windows

# Windows for a model of any length of which nothing else is known: the clips of AudioSet, the
# longest of any data set here. Without a bound, an hour of sound would need an hour's activations.
WINDOW_SECONDS = 10


class Classifier:
    """Names for waveforms; a long one is cut into windows, and their probabilities are averaged.

    Args:
        serve: Function of a waveform batch float32 (batch, samples, channels) that answers a
            mapping with `probabilities` (batch, classes).
        labels: Class names in the order of the outputs.
        sample_rate: Of the waveforms, in Hz.
        channels: Audio channels of the waveforms.
        clip_samples: Length of a window; None is ten seconds.
        resampling: How sounds of another rate get that one, as the sounds that the model was
            trained on did; see `keras_audio.audio.read_audio`.

    Example:
        >>> def loudness(batch):
        ...     loud = np.abs(batch).mean((1, 2))
        ...     return {"probabilities": np.stack([1 - loud, loud], axis=1)}
        >>> classifier = Classifier(
        ...     loudness, ["quiet", "loud"], sample_rate=8000, channels=1, clip_samples=100
        ... )
        >>> sound = np.concatenate([np.zeros((100, 1)), np.ones((100, 1))])
        >>> [len(window) for window in classifier.windows(sound)]
        [100, 100]
        >>> classifier.predict(sound).tolist()
        [0.5, 0.5]

    Every window is normalised by itself, as the model does with whatever it is given. Evaluation
    gives the model each clip once, to be normalised whole and cut to its first `clip_samples`. So
    the two agree for sounds up to that length, and can differ for longer ones.
    """

    def __init__(
        self,
        serve: Callable[[np.ndarray], Mapping[str, Any]],
        labels: Sequence[str],
        *,
        sample_rate: int,
        channels: int,
        clip_samples: int | None = None,
        resampling: str = "soxr",
    ) -> None:
        self._serve = serve
        self.labels = list(labels)
        self.sample_rate = sample_rate
        self.channels = channels
        self.clip_samples = clip_samples or WINDOW_SECONDS * sample_rate
        self.resampling = check_resampling(resampling)

    def windows(self, waveform: np.ndarray, hop: int | None = None) -> list[np.ndarray]:
        """Cut a waveform into windows of `clip_samples`; a shorter one is the only window.

        Windows start at the multiples of `hop`. If samples remain after the last whole one, another
        window ends with the sound and overlaps its predecessor: padding a short rest would give
        the model mostly silence, whose answer would weigh as much as any other.

        Args:
            waveform: (samples, channels).
            hop: Samples from the start of a window to the next, at most `clip_samples`, which is
                the default.

        Returns:
            Parts of `waveform` in order, at least one, that together hold every sample of it.

        Raises:
            ValueError: If `hop` is not from 1 to `clip_samples`.
        """
        return list(cut_windows([waveform], self.clip_samples, hop))

    def predict(self, waveform: np.ndarray, *, hop: int | None = None) -> np.ndarray:
        """Give the probabilities of one waveform.

        Args:
            waveform: Float (samples, channels) at `sample_rate`, or (samples,) for one channel.
            hop: See `windows`.

        Returns:
            float32 (classes,).

        Raises:
            ValueError: If the waveform does not fit the model.
        """
        return self.predict_batch([waveform], hop=hop)[0]

    def predict_batch(
        self, waveforms: Sequence[np.ndarray], *, hop: int | None = None, batch_size: int = 32
    ) -> np.ndarray:
        """Give the probabilities of several waveforms, which may differ in length.

        Windows of equal length go through the model together. Shorter sounds go as they are:
        the model normalises before it pads, so zeros added here would change the answer.

        Args:
            waveforms: Each float (samples, channels) at `sample_rate`, or (samples,) for one
                channel.
            hop: See `windows`.
            batch_size: Windows that go through the model at once, at most.

        Returns:
            float32 (waveforms, classes).

        Raises:
            ValueError: If a waveform does not fit the model.
        """
        _check_batch_size(batch_size)
        windows, owners = [], []
        for owner, waveform in enumerate(waveforms):
            parts = self.windows(self._checked(waveform), hop)
            windows += parts
            owners += [owner] * len(parts)

        by_length: dict[int, list[int]] = {}
        for index, window in enumerate(windows):
            by_length.setdefault(len(window), []).append(index)
        totals = np.zeros((len(waveforms), len(self.labels)))
        for indices in by_length.values():
            for start in range(0, len(indices), batch_size):
                chosen = indices[start : start + batch_size]
                probabilities = self._run(np.stack([windows[index] for index in chosen]))
                np.add.at(totals, [owners[index] for index in chosen], probabilities)
        counts = np.bincount(np.array(owners, int), minlength=len(waveforms))
        return (totals / counts[:, np.newaxis]).astype(np.float32)

    def predict_blocks(
        self, blocks: Iterable[np.ndarray], *, hop: int | None = None, batch_size: int = 32
    ) -> np.ndarray:
        """Give the probabilities of one waveform that comes in blocks, of which few are kept.

        Args:
            blocks: Each float (samples, channels) at `sample_rate`, or (samples,) for one channel;
                see `keras_audio.audio_stream.stream_audio`.
            hop: See `windows`.
            batch_size: Windows that go through the model at once, at most.

        Returns:
            float32 (classes,), what `predict` gives for the blocks joined.

        Raises:
            ValueError: If the waveform does not fit the model, or there is none.

        Example:
            >>> classifier = Classifier(
            ...     lambda batch: {"probabilities": np.stack([batch[:, 0, 0], batch[:, 0, 0]], 1)},
            ...     ["this", "that"], sample_rate=8000, channels=1, clip_samples=100
            ... )
            >>> classifier.predict_blocks(np.full((150, 1), value) for value in (1, 2)).tolist()
            [1.3333333730697632, 1.3333333730697632]
        """
        _check_batch_size(batch_size)
        windows = cut_windows(map(self._checked, blocks), self.clip_samples, hop)
        total, count = np.zeros(len(self.labels)), 0
        while batch := list(itertools.islice(windows, batch_size)):
            for probabilities in self._run(np.stack(batch)):
                total += probabilities
            count += len(batch)
        if not count:
            raise ValueError("Expected a waveform of a sample at least. Received: no blocks")
        return (total / count).astype(np.float32)

    def _checked(self, waveform: np.ndarray) -> np.ndarray:
        waveform = np.asarray(waveform, np.float32)
        if waveform.ndim == 1:
            waveform = waveform[:, np.newaxis]
        if waveform.ndim != 2 or waveform.shape[1] != self.channels or not len(waveform):
            raise ValueError(
                f"Expected a waveform (samples, {self.channels}) of a sample at least. "
                f"Received: shape={waveform.shape}"
            )
        if not np.isfinite(waveform).all():
            raise ValueError("Expected a waveform of finite numbers. Received: NaN or infinity")
        return waveform

    def _run(self, batch: np.ndarray) -> np.ndarray:
        import tensorflow as tf

        try:
            probabilities = np.asarray(self._serve(batch)["probabilities"])
        except tf.errors.InvalidArgumentError as error:
            reason = error.message.splitlines()[0]
        else:
            if np.isfinite(probabilities).all():
                return probabilities
            reason = "the model's answer is not a number"
        # What a sound too short for a model without padding comes to: no frame, or a mean of none.
        raise ValueError(
            f"Expected a sound that the model can take. Received: samples={batch.shape[1]} "
            f"({reason})"
        )


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"Expected a batch size of 1 or more. Received: {batch_size=}")


def load_classifier(path: str | os.PathLike) -> Classifier:
    """Load what `export_saved_model` or `export_litert` wrote, or a run (its best weights so far).

    What was written by `export_litert` takes one length. A shorter sound is filled up with zeros
    where the model would do the same, and refused where it would not.

    Args:
        path: The folder of an export of this package, or of a run.

    Returns:
        The classifier, with the names, sample rate, resampling and channels it was trained with.

    Raises:
        ValueError: If `path` is neither, or cannot be read.

    Example:
        >>> load_classifier("no/such/folder")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        ValueError: Expected the folder of an export (saved_model.pb or model.tflite) or of...
    """
    path = pathlib.Path(path)
    if (path / "saved_model.pb").is_file():
        return _from_export(path)
    if (path / "model.tflite").is_file():
        return _from_litert(path)
    if (path / "recipe.json").is_file():
        return _from_run(path)
    raise ValueError(
        "Expected the folder of an export (saved_model.pb or model.tflite) or of a run "
        f"(recipe.json). Received: path={path}"
    )


def _from_export(path: pathlib.Path) -> Classifier:
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(path))
    except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"Expected a whole SavedModel. Received: path={path} ({reason})"
        ) from error
    missing = {"serving_default", "metadata"} - set(loaded.signatures)
    if missing:
        raise ValueError(
            "Expected a SavedModel written by keras_audio.serving.export_saved_model. "
            f"Received: path={path}, without the signatures {sorted(missing)}"
        )
    metadata = {key: value.numpy() for key, value in loaded.signatures["metadata"]().items()}
    length = int(metadata["clip_samples"])

    def serve(batch: np.ndarray) -> Mapping[str, Any]:
        # Holding `loaded` keeps the variables alive, which its signatures refer to but weakly.
        return loaded.signatures["serving_default"](waveform=tf.constant(batch))

    return Classifier(
        serve,
        [label.decode() for label in metadata["labels"]],
        sample_rate=int(metadata["sample_rate"]),
        channels=int(metadata["channels"]),
        clip_samples=None if length < 0 else length,
        # Exports from before there was a choice do not name it.
        resampling=metadata.get("resampling", b"soxr").decode(),
    )


def _from_litert(path: pathlib.Path) -> Classifier:
    from keras_audio.quiet import nothing_said
    from keras_audio.serving.litert_replay import open_litert

    metadata = read_json(path / "metadata.json")
    try:
        with nothing_said():
            run, _ = open_litert(str(path / "model.tflite"))
        samples, zero_padding = metadata["clip_samples"], metadata["zero_padding"]
        facts = {name: metadata[name] for name in ("labels", "sample_rate", "channels")}
        facts["resampling"] = metadata["resampling"]
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise ValueError(
            "Expected a whole LiteRT file written by keras_audio.serving.export_litert. "
            f"Received: path={path} ({reason})"
        ) from error

    def serve(batch: np.ndarray) -> Mapping[str, Any]:
        missing = samples - batch.shape[1]
        if missing > 0 and not zero_padding:
            raise ValueError(
                f"Expected a sound of {samples} samples or more for a LiteRT file, since its model "
                "does not begin by padding with zeros; a SavedModel takes any length. "
                f"Received: samples={batch.shape[1]}"
            )
        clips = np.pad(batch, [(0, 0), (0, missing), (0, 0)])
        answers = [run(waveform=clip[np.newaxis])["probabilities"] for clip in clips]
        return {"probabilities": np.concatenate(answers)}

    return Classifier(serve, clip_samples=samples, **facts)


def _from_run(path: pathlib.Path) -> Classifier:
    from keras_audio.serving.export import serving_function, window_samples
    from keras_audio.training import RunFolder

    run = RunFolder(path)
    model = run.model()
    return Classifier(
        serving_function(model),
        run.labels,
        sample_rate=run.sample_rate,
        channels=run.channels,
        clip_samples=window_samples(model, run.recipe.max_samples),
        resampling=run.resampling,
    )
