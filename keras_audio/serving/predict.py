"""Name what is in sound files: find, decode ahead of the model, predict, write down."""

import collections
import concurrent.futures
import contextlib
import csv
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_audio.audio import AUDIO_SUFFIXES, read_audio, to_pcm16
from keras_audio.audio_stream import is_long, stream_audio
from keras_audio.files import replacing
from keras_audio.serving.windows import check_hop

if TYPE_CHECKING:
    from keras_audio.serving.classifier import Classifier


@dataclasses.dataclass(frozen=True)
class FilePrediction:
    """What the model says about one file.

    Attributes:
        path: The file.
        probabilities: float32 (classes,), or None where the file could not be read.
        error: The sentence that says why not, or None.
    """

    path: pathlib.Path
    probabilities: np.ndarray | None = None
    error: str | None = None


def find_audio_files(
    paths: str | os.PathLike | Iterable[str | os.PathLike],
) -> list[pathlib.Path]:
    """Find the sound files among files and folders.

    A file named here is taken whatever its suffix, and even if it does not exist: its prediction
    then carries the error, and the others go on. Folders are searched with all below them, for the
    suffixes that soundfile reads; hidden files and folders are left out.

    Args:
        paths: A file or folder, or several.

    Returns:
        Files in the order of `paths`, those of a folder sorted by name, none twice.

    Raises:
        ValueError: If a folder holds no sound file.

    Example:
        >>> import tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> for name in ("b.wav", "a.OGG", ".hidden.wav", "notes.txt"):
        ...     (folder / name).touch()
        >>> [path.name for path in find_audio_files(folder)]
        ['a.OGG', 'b.wav']
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    found: dict[pathlib.Path, None] = {}
    for path in map(pathlib.Path, paths):
        files = _below(path) if path.is_dir() else [path]
        if not files:
            raise ValueError(f"Expected a folder with sound files. Received: path={path}")
        found.update(dict.fromkeys(files))
    return list(found)


def predict_files(
    classifier: "Classifier",
    paths: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    batch_size: int = 32,
    hop: int | None = None,
) -> Iterator[FilePrediction]:
    """Predict the files and folders in `paths`, in order, each as soon as its batch is done.

    A few threads decode, resample (as the records were that the model was trained on) and mix down
    ahead of the model. What is in memory grows neither with the number of files nor, since long
    ones are read in blocks, with their length. A file that cannot be read gives an error, and the
    others go on.

    Args:
        classifier: From `load_classifier`.
        paths: See `find_audio_files`.
        batch_size: Windows that go through the model at once.
        hop: See `Classifier.windows`.

    Yields:
        A `FilePrediction` for every file.

    Raises:
        ValueError: If a folder holds no sound file, or a number is out of range.
    """
    if batch_size < 1:
        raise ValueError(f"Expected a batch size of 1 or more. Received: {batch_size=}")
    check_hop(hop, classifier.clip_samples)
    pending: list[tuple[pathlib.Path, np.ndarray | ValueError]] = []
    windows = 0
    for path, sound in _decoded(classifier, find_audio_files(paths)):
        if isinstance(sound, Iterator):
            yield from _predicted(classifier, pending, batch_size=batch_size, hop=hop)
            pending, windows = [], 0
            yield _predicted_long(classifier, path, sound, batch_size=batch_size, hop=hop)
            continue
        pending.append((path, sound))
        if isinstance(sound, np.ndarray):
            windows += len(classifier.windows(sound, hop))
        if windows >= batch_size or len(pending) >= batch_size:
            yield from _predicted(classifier, pending, batch_size=batch_size, hop=hop)
            pending, windows = [], 0
    yield from _predicted(classifier, pending, batch_size=batch_size, hop=hop)


def top_classes(
    prediction: FilePrediction | np.ndarray, labels: Sequence[str], k: int = 3
) -> list[tuple[str, float]]:
    """Give the `k` most probable classes, the first label first among equals.

    Args:
        prediction: Of a file, or probabilities (classes,).
        labels: Class names in the order of the probabilities.
        k: How many, 1 or more; all classes where there are fewer.

    Returns:
        (label, probability) by falling probability; none for a file that could not be read.

    Raises:
        ValueError: If `k` is less than 1.

    Example:
        >>> top_classes(np.array([0.1, 0.6, 0.3]), ["dog", "rain", "siren"], k=2)
        [('rain', 0.6), ('siren', 0.3)]
    """
    if k < 1:
        raise ValueError(f"Expected a number of classes of 1 or more. Received: {k=}")
    probabilities = getattr(prediction, "probabilities", prediction)
    if probabilities is None:
        return []
    order = np.argsort(-probabilities, kind="stable")[:k]
    return [(labels[index], float(probabilities[index])) for index in order]


def write_csv(
    path: str | os.PathLike, predictions: Iterable[FilePrediction], labels: Sequence[str]
) -> None:
    """Write predictions to a CSV file, whole or not at all.

    The columns are path, predicted, probability, error, and p_<label> for every class; a file that
    could not be read has but its path and error. Bytes of a path that are not UTF-8 are written as
    backslash escapes.

    Args:
        path: The file to write. Its parent folder is made if needed.
        predictions: Written as they come and not kept; the first is asked for once the file is
            open, so that no model works for a file that cannot be written.
        labels: Class names in the order of the probabilities.

    Raises:
        ValueError: If `path` is no place for a file.
    """
    path = pathlib.Path(path)
    with contextlib.ExitStack() as stack:
        try:
            if path.exists() and not path.is_file():
                reason = "a folder" if path.is_dir() else "no regular file"
                raise ValueError(f"Expected a CSV file to write, got {reason}. Received: {path}")
            temporary = stack.enter_context(replacing(path))
            options = {"newline": "", "encoding": "utf-8", "errors": "backslashreplace"}
            file = stack.enter_context(open(temporary, "w", **options))
        except OSError as error:
            raise ValueError(
                f"Expected a CSV file that can be written, got {error.strerror}. Received: {path}"
            ) from error
        writer = csv.writer(file)
        columns = ["path", "predicted", "probability", "error"]
        writer.writerow(columns + [f"p_{label}" for label in labels])
        for prediction in predictions:
            if prediction.error is not None:
                writer.writerow([prediction.path, "", "", prediction.error])
                continue
            best, probability = top_classes(prediction, labels, k=1)[0]
            values = [float(value) for value in prediction.probabilities]
            writer.writerow([prediction.path, best, probability, "", *values])


def to_json(prediction: FilePrediction, labels: Sequence[str], k: int = 3) -> str:
    """Give one prediction as one line of JSON, so that lines can be printed as they come.

    The line is ASCII, which every output can encode; what is not is escaped, and `json.loads` gives
    back the very path, even one that is not UTF-8.

    Args:
        prediction: Of a file.
        labels: Class names in the order of the probabilities.
        k: How many classes to name.

    Returns:
        An object with `path` and `classes`, a list of objects with `label` and `probability`; or
        with `path` and `error`.

    Example:
        >>> to_json(FilePrediction(pathlib.Path("a.wav"), np.array([0.25, 0.75])), "xy", k=1)
        '{"path": "a.wav", "classes": [{"label": "y", "probability": 0.75}]}'
    """
    answer: dict[str, object] = {"path": str(prediction.path)}
    if prediction.error is not None:
        answer["error"] = prediction.error
    else:
        top = top_classes(prediction, labels, k)
        answer["classes"] = [{"label": label, "probability": value} for label, value in top]
    return json.dumps(answer)


def _below(folder: pathlib.Path) -> list[pathlib.Path]:
    files = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [pathlib.Path(root, name) for name in names if not name.startswith(".")]
        files += [path for path in paths if path.suffix.lower() in AUDIO_SUFFIXES]
    return sorted(files)


def _decoded(
    classifier: "Classifier", files: Sequence[pathlib.Path]
) -> Iterator[tuple[pathlib.Path, np.ndarray | ValueError | Iterator[np.ndarray]]]:
    """What was read of `files`, in their order, a few of them decoded ahead by threads.

    Of a long one these are blocks that are yet to be decoded.
    """
    form = {
        "sample_rate": classifier.sample_rate,
        "channels": classifier.channels,
        "resampling": classifier.resampling,
    }

    def read(path: pathlib.Path) -> np.ndarray | ValueError | Iterator[np.ndarray]:
        if is_long(path):
            return map(_as_in_records, stream_audio(path, **form))
        try:
            return _as_in_records(read_audio(path, **form)[0])
        except ValueError as error:
            return error

    threads = min(4, os.cpu_count() or 1)
    ahead: collections.deque = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for path in files:
            ahead.append((path, pool.submit(read, path)))
            if len(ahead) > 2 * threads:
                first, future = ahead.popleft()
                yield first, future.result()
        for path, future in ahead:
            yield path, future.result()


def _as_in_records(waveform: np.ndarray) -> np.ndarray:
    # The model was trained on 16-bit records: there, what is below their step is silence.
    return to_pcm16(waveform).astype(np.float32) / 32768


def _predicted_long(
    classifier: "Classifier",
    path: pathlib.Path,
    blocks: Iterator[np.ndarray],
    **options: int | None,
) -> FilePrediction:
    with contextlib.closing(_one_ahead(blocks)) as ready:
        try:
            return FilePrediction(path, classifier.predict_blocks(ready, **options))
        except ValueError as error:
            return _refused(path, error)


def _one_ahead(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Make the next block in a thread while the one before is used."""
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = thread.submit(next, blocks, None)
            yield block


def _refused(path: pathlib.Path, error: ValueError) -> FilePrediction:
    sentence = str(error)
    # The model's own complaint knows no file.
    named = sentence if str(path) in sentence else f"{sentence}, path={path}"
    return FilePrediction(path, error=named)


def _predicted(
    classifier: "Classifier",
    pending: Sequence[tuple[pathlib.Path, np.ndarray | ValueError]],
    **options: int | None,
) -> Iterator[FilePrediction]:
    answers = iter(
        _answers(classifier, [s for _, s in pending if isinstance(s, np.ndarray)], options)
    )
    for path, sound in pending:
        answer = next(answers) if isinstance(sound, np.ndarray) else sound
        if isinstance(answer, ValueError):
            yield _refused(path, answer)
        else:
            yield FilePrediction(path, probabilities=answer)


def _answers(
    classifier: "Classifier", waveforms: list[np.ndarray], options: dict[str, int | None]
) -> list[np.ndarray | ValueError]:
    try:
        return list(classifier.predict_batch(waveforms, **options))
    except ValueError as error:
        if len(waveforms) == 1:
            return [error]
        # One of them does not fit the model: each by itself, to know which.
        return [_answers(classifier, [waveform], options)[0] for waveform in waveforms]
