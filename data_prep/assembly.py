"""From finished shards to the folder of records: their final names, the index, what is missing."""

import itertools
import operator
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import tqdm

from data_prep.base import Stored, file_name, write_info
from data_prep.clips import Clip, ClipList, DatasetCard
from data_prep.missing import shortened, write_missing
from data_prep.shards import Job, Report, Shard
from keras_audio.data import clip_table
from keras_audio.files import write_text

_ABSENT = "absent.txt"
_TWINS_SHOWN = 3

# A shard that is done.
_Done = tuple[Shard, Report]


def find_missing(clip_list: ClipList, done: Sequence[_Done]) -> tuple[str, ...]:
    """What ought to be recorded and is not, one sentence each: first what no clip names.

    Raises:
        ValueError: If a fold is left without a clip, which TFDS cannot store.
    """
    bad = [
        (clip, problem)
        for shard, report in done
        for clip, problem in zip(shard.clips, report.problems, strict=True)
        if problem
    ]
    bad.sort(key=lambda pair: _order(pair[0]))
    missing = (*clip_list.missing, *(f"{_place(clip)}: {problem}" for clip, problem in bad))
    for fold, members in _by_fold(done):
        if not any(report.file for _, report in members):
            raise ValueError(
                f"Expected readable sound files in every fold, got none in fold {fold} and "
                f"{len(missing)} missing or bad in all: {shortened(missing)}. "
                f"Received: source={clip_list.root}"
            )
    return missing


def assemble(
    folder: pathlib.Path,
    *,
    dataset_name: str,
    card: DatasetCard,
    clip_list: ClipList,
    fingerprint: str,
    job: Job,
    done: Sequence[_Done],
    missing: Sequence[str],
) -> tuple[int, tuple[str, ...]]:
    """Make the folder of records: the shards are moved there last, when all else is written.

    Args:
        folder: The new folder.
        dataset_name: What the records are called.
        card: What the data set is.
        clip_list: Its clips.
        fingerprint: That of the list before its files were read.
        job: What was done.
        done: All shards with their reports, in order.
        missing: What `find_missing` gives.

    Returns:
        The number of clips recorded, and notes on them.
    """
    folder.mkdir(parents=True)
    stored, moves, clips, hashes = {}, {}, [], []
    for fold, members in _by_fold(done):
        members = [(shard, report) for shard, report in members if report.file]
        bar = tqdm(members, "index", unit=" shards", delay=2, leave=False, disable=None)
        table = clip_table.ClipTable.from_clips(
            (clip for shard, report in bar for clip in _recorded(job, shard, report)),
            (number for number, (_, report) in enumerate(members) for _ in report.good),
            (offset for _, report in members for offset in report.offsets),
        )
        table.save(folder / f"fold{fold}.index.npz")
        clips += [shard.clips[place] for shard, report in members for place in report.good]
        hashes.append(table.hashes)
        lengths = [len(report.good) for _, report in members]
        stored[fold] = Stored(lengths, sum(sum(report.sizes) for _, report in members))
        for number, (_, report) in enumerate(members):
            moves[report.file] = file_name(dataset_name, fold, number, len(members))
    if clip_list.absent:
        write_text(folder / _ABSENT, "".join(f"{clip_id}\n" for clip_id in clip_list.absent))
    write_info(
        folder,
        dataset_name=dataset_name,
        card=card,
        clip_list=clip_list,
        fingerprint=fingerprint,
        form=job.form,
        stored=stored,
        clips=len(clips),
        missing=write_missing(folder, missing),
    )
    for old, new in moves.items():
        os.replace(os.path.join(job.folder, old), folder / new)
    return len(clips), _absent_notes(clip_list) + _twin_notes(clips, np.concatenate(hashes))


def _recorded(job: Job, shard: Shard, report: Report) -> Iterator[clip_table.Clip]:
    for place in report.good:
        clip = shard.clips[place]
        yield clip_table.Clip(
            clip_id=clip.clip_id,
            source=clip.source,
            fold=clip.fold,
            labels=job.content.indices(clip),
            hash=report.hashes[place],
            samples=report.samples[place],
            attributes={name: clip.attributes[name] for name in job.content.attributes},
        )


def _absent_notes(clip_list: ClipList) -> tuple[str, ...]:
    absent = len(clip_list.absent)
    if not absent:
        return ()
    return (
        f"absent from the source, as is normal for this data set: {absent} of "
        f"{absent + len(clip_list.clips)} clips ({_ABSENT} in the records' folder has their "
        "ids)",
    )


def _twin_notes(clips: Sequence[Clip], hashes: np.ndarray) -> tuple[str, ...]:
    """A note on clips with the same samples in two folds, if there are any."""
    hashes = np.ascontiguousarray(hashes).view(np.uint64)
    order = np.lexsort(hashes.T)
    changes = (hashes[order][1:] != hashes[order][:-1]).any(axis=1)
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1, [len(order)]])
    twins: list[tuple[Clip, Clip]] = []
    for group in np.flatnonzero(np.diff(starts) > 1):
        same = order[starts[group] : starts[group + 1]]
        first, *others = sorted((clips[index] for index in same), key=_order)
        twins += [(first, other) for other in others if other.fold != first.fold]
    if not twins:
        return ()
    twins.sort(key=lambda pair: _order(pair[1]))
    pairs = [
        f"{_place(first)} (fold {first.fold}) = {_place(second)} (fold {second.fold})"
        for first, second in twins[:_TWINS_SHOWN]
    ]
    more = ", ..." if len(twins) > _TWINS_SHOWN else ""
    return (
        f"the same samples in two folds, so that a network is tested on what it was trained on: "
        f"{len(twins)} ({', '.join(pairs)}{more})",
    )


def _by_fold(done: Sequence[_Done]) -> Iterator[tuple[int, list[_Done]]]:
    for fold, members in itertools.groupby(done, key=lambda pair: pair[0].fold):
        yield fold, list(members)


def _place(clip: Clip) -> str:
    """Where a clip is: its file, and of a file that holds many its row and id."""
    return clip.file if clip.row is None else f"{clip.file}, row {clip.row} ({clip.clip_id})"


_order = operator.attrgetter("fold", "clip_id")
