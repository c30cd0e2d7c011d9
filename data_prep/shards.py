"""A shard, the unit of work of a preparation: planned, decoded into one file, reported, kept.

What the shards are follows from the list of clips alone, and what is in one of them from its clips,
so that the same bytes come out whoever writes them, in whatever order and after however many kills.
A shard is done when its report is there, which says what became of each of its clips.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tensorflow_datasets.core.hashing import Hasher
from tqdm import tqdm

import keras_audio
from data_prep.base import Content, serializer
from data_prep.clips import Clip, ClipList
from data_prep.decoding import Decoded, Decoder
from data_prep.form import Form
from keras_audio.files import read_json, remove

# Ten seconds of mono at 32 kHz make 160 MB: large enough to be read at the speed of a disk, small
# enough that a kill loses little and thousands of workers have something to do.
CLIPS_IN_A_SHARD = 256
# Of the reports; those of another are not taken over.
_VERSION = 2
# By TFRecord to each record: its length and two sums.
_ADDED = 16
_PLANS, _REPORT = "plans", ".json"
_CLIP_FIELDS = tuple(field.name for field in dataclasses.fields(Clip))


@dataclasses.dataclass(frozen=True)
class Job:
    """What all shards of a preparation share; it travels to the workers.

    Attributes:
        root: The folder that the clips' files are relative to.
        folder: Where the shards are written until all are done.
        content: What the records hold.
        form: In what form.
    """

    root: str
    folder: str
    content: Content
    form: Form


@dataclasses.dataclass(frozen=True)
class Shard:
    """Some clips of a fold, in the order in which they are recorded.

    Attributes:
        fold: Their fold.
        number: Which shard of the fold it is, from 0.
        clips: The clips.
        fingerprint: Changes with the clips, their files' sizes and times, and the form of records.
    """

    fold: int
    number: int
    clips: tuple[Clip, ...]
    fingerprint: str

    @property
    def name(self) -> str:
        """What its files are called while not all shards are done."""
        return f"fold{self.fold}-{self.number:05}"


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of a shard's clips: of each its hash, samples, size and problem.

    Attributes:
        fingerprint: That of the shard.
        file: The name of the TFRecord file; empty if no clip is good.
        file_bytes: Its size.
        hashes: Digests of the samples, hexadecimal; empty for a bad clip.
        samples: Samples per channel; 0 for a bad clip.
        sizes: Bytes of the record, without what TFRecord adds; 0 for a bad clip.
        problems: What is wrong with the clip; empty for a good one.
    """

    fingerprint: str
    file: str
    file_bytes: int
    hashes: list[str]
    samples: list[int]
    sizes: list[int]
    problems: list[str]

    @property
    def good(self) -> list[int]:
        """The places in the shard of the clips that are recorded, ascending."""
        return [place for place, problem in enumerate(self.problems) if not problem]

    @property
    def offsets(self) -> list[int]:
        """The byte of the file at which the record of each of these begins."""
        ends = itertools.accumulate(self.sizes[place] + _ADDED for place in self.good)
        return [0, *ends][:-1]


def plan(job: Job, clip_list: ClipList) -> Iterator[Shard]:
    """Cut each fold evenly into shards of at most `CLIPS_IN_A_SHARD` clips.

    Within a fold the order is that of TFDS: by a hash of the clip's id, so that classes are mixed.

    Args:
        job: What to do.
        clip_list: The clips.
    """
    files = _Files(job.root)
    for fold, clips in itertools.groupby(clip_list.clips, key=lambda clip: clip.fold):
        order = Hasher(f"fold{fold}")
        clips = sorted(clips, key=lambda clip: order.hash_key(clip.clip_id))  # noqa: B023 - at once
        number = -(-len(clips) // CLIPS_IN_A_SHARD)
        for index in range(number):
            part = tuple(clips[index * len(clips) // number : (index + 1) * len(clips) // number])
            yield Shard(fold, index, part, _fingerprint(job, part, files))


def write_shard(job: Job, shard: Shard, decoded: Iterable[Decoded]) -> Report:
    """Write the records of a shard, and then its report; both appear whole.

    Several may do so at once, as when a scheduler starts a slow task again: each writes files of
    its own, that are called by their content, and the last report counts.

    Args:
        job: What to do.
        shard: The shard.
        decoded: Its clips, decoded, in their order.

    Raises:
        ValueError: If a file cannot be written, as on a full disk.
    """
    # Imported late: what plans and reports need takes no seconds.
    import tensorflow as tf

    hashes, samples, sizes, problems = [], [], [], []
    digest = hashlib.blake2b(digest_size=16)
    serialize = serializer(job.content, job.form)
    file, file_bytes = "", 0
    with _partial(job.folder) as partial:
        # Not OSError, which may come from the files that are read.
        with _said(tf.errors.OpError, partial), tf.io.TFRecordWriter(partial) as writer:
            for clip, sound in zip(shard.clips, decoded, strict=True):
                bad = sound.samples is None
                hashes.append(sound.hash)
                samples.append(0 if bad else len(sound.samples))
                problems.append(sound.problem)
                record = b"" if bad else serialize(clip, sound)
                sizes.append(len(record))
                if not bad:
                    digest.update(record)
                    writer.write(record)
        if any(sizes):
            file = f"{shard.name}-{digest.hexdigest()}.tfrecord"
            file_bytes = os.path.getsize(partial)
            _place(partial, os.path.join(job.folder, file))
    report = Report(shard.fingerprint, file, file_bytes, hashes, samples, sizes, problems)
    _write_json(job.folder, _report_name(shard.name), dataclasses.asdict(report))
    return report


def read_report(job: Job, shard: Shard) -> Report | None:
    """The report of a shard, if it is there, is of this very shard, and its file is there whole."""
    try:
        text = pathlib.Path(job.folder, _report_name(shard.name)).read_text(encoding="utf-8")
        report = Report(**json.loads(text))
        if report.fingerprint != shard.fingerprint:
            return None
        if report.file and os.path.getsize(os.path.join(job.folder, report.file)) != (
            report.file_bytes
        ):
            return None
    except (OSError, ValueError, TypeError):
        return None
    return report


def keep_finished(job: Job, shards: Sequence[Shard], decoder: Decoder) -> dict[str, Report]:
    """Take over what an earlier call has finished of these shards; the folder's other files go.

    Clips that were bad are tried once more: their files may have been out of reach for a while.

    Args:
        job: What to do.
        shards: All shards there are to be.
        decoder: What tries the bad clips.

    Returns:
        The reports of the finished ones, by the shard's name.
    """
    os.makedirs(job.folder, exist_ok=True)
    reports = {shard.name: read_report(job, shard) for shard in shards}
    bad = [
        (shard.name, clip)
        for shard in shards
        if (report := reports[shard.name]) is not None
        for clip, problem in zip(shard.clips, report.problems, strict=True)
        if problem
    ]
    again = decoder.decode(job.root, (clip for _, clip in bad))
    bar = tqdm(again, "bad clips", len(bad), unit="clips", delay=2, leave=False, disable=None)
    for (name, _), decoded in zip(bad, bar, strict=True):
        if decoded.samples is not None:
            reports[name] = None
    done = {name: report for name, report in reports.items() if report is not None}
    kept = {_report_name(name) for name in done} | {report.file for report in done.values()}
    for entry in list(os.scandir(job.folder)):
        if entry.name not in kept:
            remove(entry.path)
    return done


def write_shards(
    job: Job, shards: Sequence[Shard], decoder: Decoder, bar: tqdm
) -> dict[str, Report]:
    """Write shards in this process, which writes, and on the cores of `decoder`, which decodes.

    Returns:
        Their reports, by the shard's name.
    """
    clips = itertools.chain.from_iterable(shard.clips for shard in shards)
    # One stream for all shards, so that no core waits where one of them ends.
    decoded = _counted(decoder.decode(job.root, clips), bar)
    return {
        shard.name: write_shard(job, shard, itertools.islice(decoded, len(shard.clips)))
        for shard in shards
    }


def _counted(decoded: Iterable[Decoded], bar: tqdm) -> Iterator[Decoded]:
    for sound in decoded:
        bar.update()
        yield sound


def save_plan(job: Job, shard: Shard) -> None:
    """Write what `load_plan` reads: a worker elsewhere is told the name of its shard alone."""
    folder = os.path.join(job.folder, _PLANS)
    os.makedirs(folder, exist_ok=True)
    clips = [[getattr(clip, field) for field in _CLIP_FIELDS] for clip in shard.clips]
    plan = {
        "fold": shard.fold,
        "number": shard.number,
        "clips": clips,
        "fingerprint": shard.fingerprint,
    }
    _write_json(folder, _report_name(shard.name), plan)


def load_plan(job: Job, name: str) -> Shard:
    """Read a shard that `save_plan` wrote.

    Raises:
        ValueError: If it is not there.
    """
    try:
        plan = read_json(os.path.join(job.folder, _PLANS, _report_name(name)))
    except ValueError as error:
        raise ValueError(f"Expected a folder that all workers share, got {error}") from error
    clips = []
    for values in plan.pop("clips"):
        fields = dict(zip(_CLIP_FIELDS, values, strict=True))
        clips.append(Clip(**fields | {"labels": tuple(fields["labels"])}))
    return Shard(clips=tuple(clips), **plan)


def finished(job: Job) -> set[str]:
    """The names of the shards that have a report by now."""
    names = os.listdir(job.folder)
    return {name.removesuffix(_REPORT) for name in names if name.endswith(_REPORT)}


def _report_name(name: str) -> str:
    return f"{name}{_REPORT}"


@contextlib.contextmanager
def _partial(folder: str) -> Iterator[str]:
    """Give the path of a new file, which nobody else has; it is deleted unless it was renamed."""
    partial = os.path.join(folder, f".{uuid.uuid4().hex}.partial")
    try:
        yield partial
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)


@contextlib.contextmanager
def _said(kind: type[Exception], path: str) -> Iterator[None]:
    """Turn errors of that kind, met while a file is written, into one sentence that names it."""
    try:
        yield
    except kind as error:
        # Of TensorFlow's errors the message, of the system's the reason alone.
        reason = getattr(error, "message", None) or getattr(error, "strerror", None) or str(error)
        raise ValueError(
            "Expected a disk that takes all records (the shards that are done are kept for the "
            f"next call), got: {' '.join(reason.split())}. Received: path={path}"
        ) from error


def _place(partial: str, path: str) -> None:
    with _said(OSError, path):
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)


def _write_json(folder: str, name: str, value: Any) -> None:
    with _partial(folder) as partial:
        with _said(OSError, partial):
            pathlib.Path(partial).write_text(json.dumps(value), encoding="utf-8")
        _place(partial, os.path.join(folder, name))


class _Files:
    """Sizes and times of files; of those that hold many clips, asked for once."""

    def __init__(self, root: str):
        self._root = root
        self._packs: dict[str, tuple[int, int]] = {}

    def state(self, clip: Clip) -> tuple[int, int]:
        """The size of a clip's file in bytes, and when it was changed, in ns; (-1, -1) for none."""
        if clip.row is None:
            return self._ask(clip.file)
        if clip.file not in self._packs:
            self._packs[clip.file] = self._ask(clip.file)
        return self._packs[clip.file]

    def _ask(self, file: str) -> tuple[int, int]:
        try:
            status = os.stat(os.path.join(self._root, file))
        except OSError:
            return -1, -1
        return status.st_size, status.st_mtime_ns


def _fingerprint(job: Job, clips: Sequence[Clip], files: _Files) -> str:
    """Hash all that the bytes of a shard depend on, and the version of what writes them."""
    digest = hashlib.blake2b(digest_size=16)
    about = (_VERSION, keras_audio.__version__, job.form, job.content)
    digest.update(repr(about).encode())
    for clip in clips:
        row = (clip.clip_id, clip.file, clip.row, clip.labels, clip.fold, clip.source)
        row += (dict(clip.attributes), *files.state(clip))
        digest.update(repr(row).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
