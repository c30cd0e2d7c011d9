"""What is wrong with a data set: leaks between its folds, and clips that cannot be used."""

import concurrent.futures
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

import joblib
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from keras_audio.audio import pcm16_hash
from keras_audio.audit_settings import AuditSettings
from keras_audio.data.agreement import agreement
from keras_audio.data.fingerprints import (
    HEARD_RATE,
    LEAST_RATE,
    Fingerprint,
    Similar,
    find_similar,
    fingerprint,
    heard_at,
)
from keras_audio.data.levels import Levels, measure_levels
from keras_audio.data.records import Clip, Records

# How much the waveforms may take of clips that sound alike, while they are compared; how often
# the samples are read again, so that all pairs have their turn.
_WAVEFORM_BYTES, _ROUNDS = 256 << 20, 16
_AT_ONCE = 32
_LEVELS = tuple(field.name for field in dataclasses.fields(Levels))


@dataclasses.dataclass(frozen=True)
class NearDuplicate:
    """Two clips of other samples that sound alike.

    Attributes:
        first: Number of a clip.
        second: Number of the other.
        similarity: Share of equal bits of their fingerprints.
        correlation: Of their waveforms, as of `keras_audio.data.agreement`; None if not compared.
        offset: Seconds from something in the first clip to the same in the second.
    """

    first: int
    second: int
    similarity: float
    correlation: float | None
    offset: float


@dataclasses.dataclass(frozen=True, eq=False)
class Audit:
    """What was found in the records of a data set. Clips are numbered in the order of `clips`.

    Attributes:
        records: The records.
        settings: The thresholds.
        clips: All clips, fold by fold.
        levels: float64 (clips, 6), the fields of `keras_audio.data.levels.Levels`.
        split_sources: Sources that have clips in several folds, and those folds.
        exact: Groups of clips with the same samples, without silent ones.
        near: Near-duplicates: the waveforms of these pairs are alike, too.
        alike: Pairs whose fingerprints are alike, and their waveforms are not.
        not_compared: Pairs whose fingerprints are alike, and whose waveforms did not fit in memory.
        searched: Whether near-duplicates were searched.
    """

    records: Records
    settings: AuditSettings
    clips: Sequence[Clip]
    levels: np.ndarray
    split_sources: dict[str, list[int]]
    exact: list[list[int]]
    near: list[NearDuplicate]
    alike: list[NearDuplicate]
    not_compared: list[NearDuplicate]
    searched: bool

    def level(self, name: str) -> np.ndarray:
        """A measure of every clip by its name, one of the fields of `Levels`: (clips,)."""
        return self.levels[:, _LEVELS.index(name)]

    @property
    def silent(self) -> np.ndarray:
        """Numbers of the clips in which nothing is heard."""
        quiet = self.level("peak") <= self.settings.silent_peak
        return np.flatnonzero(quiet | (self.level("rms") <= self.settings.silent_rms))

    @property
    def too_short(self) -> np.ndarray:
        """Numbers of the clips that are shorter than `min_seconds`, or empty."""
        seconds = self.level("samples") / self.records.sample_rate
        return np.flatnonzero((seconds < self.settings.min_seconds) | (seconds == 0))

    @property
    def clipped(self) -> np.ndarray:
        """Numbers of the clips with too many samples at full scale."""
        return np.flatnonzero(self.level("clipped") > self.settings.clipped)

    @property
    def padded(self) -> np.ndarray:
        """Numbers of the clips with too many zeros at their ends."""
        return np.flatnonzero(self.level("padding") > self.settings.padded)

    def in_folds(self, numbers: Sequence[int]) -> list[int]:
        """The folds of some clips, ascending, each once."""
        return sorted({self.clips[number].fold for number in numbers})

    def leak(self, folds: Sequence[int]) -> bool:
        """Whether what is in these folds is trained on and tested on, when one is held out."""
        return len(set(folds)) > 1 and not self.held_out.isdisjoint(folds)

    @functools.cached_property
    def held_out(self) -> frozenset[int]:
        """The folds that may be held out; the others are always trained on together."""
        return frozenset(self.records.held_out_folds)

    def leaking(self, pair: NearDuplicate) -> bool:
        """Whether a pair is in two folds of which one may be held out."""
        return self.leak(self.in_folds((pair.first, pair.second)))

    def of_one_source(self, pair: NearDuplicate) -> bool:
        """Whether both clips of a pair are known to be of one recording."""
        return self.clips[pair.first].source == self.clips[pair.second].source

    def labels_differ(self, numbers: Sequence[int]) -> bool:
        """Whether clips that sound the same have different classes."""
        return len({self.clips[number].labels for number in numbers}) > 1

    @property
    def leaks(self) -> int:
        """Sources, groups of equal clips and near-duplicates that leak between folds."""
        sources = sum(map(self.leak, self.split_sources.values()))
        exact = sum(self.leak(self.in_folds(group)) for group in self.exact)
        return sources + exact + sum(map(self.leaking, self.near))

    @property
    def unsure(self) -> int:
        """Pairs that may leak between folds: they sound alike and could not be compared."""
        return sum(map(self.leaking, self.not_compared))

    @property
    def unusable(self) -> int:
        """Clips that are silent or too short."""
        return len(set(self.silent.tolist()) | set(self.too_short.tolist()))

    @property
    def status(self) -> int:
        """1 if there are leaks, or may be, or clips that cannot be used, or else 0."""
        return 1 if self.leaks or self.unsure or self.unusable else 0

    @property
    def class_counts(self) -> np.ndarray:
        """Clips of each class in each fold, (folds, classes)."""
        counts = np.zeros((len(self.records.folds), len(self.records.labels)), np.int64)
        rows = {fold: row for row, fold in enumerate(self.records.folds)}
        for clip in self.clips:
            counts[rows[clip.fold], list(clip.labels)] += 1
        return counts


def audit(
    records: Records,
    settings: AuditSettings | None = None,
    *,
    near: bool = True,
    jobs: int | None = None,
    progress: bool = True,
) -> Audit:
    """Look at, and listen to, all clips of a data set.

    The samples are read once; where clips sound alike, those of their folds once more. Memory is
    taken for the list of clips and their fingerprints, a kilobyte for five seconds, and as much
    again while they are searched.

    Args:
        records: The prepared data set.
        settings: The thresholds; None for the defaults.
        near: Whether to search near-duplicates, for which records need 2000 Hz at least.
        jobs: Threads that measure; None for one a core.
        progress: Whether to show progress bars, where stderr is a terminal.

    Raises:
        ValueError: If the records are damaged, or not what their own list says.
    """
    settings = settings or AuditSettings()
    near = near and records.sample_rate >= LEAST_RATE
    clips = records.clips(records.folds)
    with concurrent.futures.ThreadPoolExecutor(jobs or joblib.cpu_count()) as pool:
        levels, prints = _listen(records, clips, settings, near, pool, progress)
        found = Audit(
            records,
            settings,
            clips,
            levels,
            _split_sources(clips),
            [],
            [],
            [],
            [],
            searched=near,
        )
        silent = set(found.silent.tolist())
        exact = _equal_samples(clips, silent)
        found = dataclasses.replace(found, exact=exact)
        if not near:
            return found
        # Of clips with the same samples one is enough, and the silent have nothing to compare.
        left_out = silent.union(*(group[1:] for group in exact))
        numbers = [number for number in range(len(clips)) if number not in left_out]
        similar = [
            dataclasses.replace(pair, first=numbers[pair.first], second=numbers[pair.second])
            for pair in find_similar(
                [prints[number] for number in numbers],
                similarity=settings.near,
                seconds=settings.near_seconds,
                progress=progress,
            )
        ]
        return _confirm(found, similar, pool, progress)


def _listen(
    records: Records,
    clips: Sequence[Clip],
    settings: AuditSettings,
    near: bool,
    pool: concurrent.futures.Executor,
    progress: bool,
) -> tuple[np.ndarray, list[Fingerprint]]:
    """Levels, and fingerprints if asked for, of every clip."""

    def measure(samples: np.ndarray) -> tuple[str, Levels, Fingerprint | None]:
        heard = fingerprint(samples, records.sample_rate) if near else None
        return pcm16_hash(samples), measure_levels(samples, settings), heard

    levels = np.zeros((len(clips), len(_LEVELS)))
    prints: list[Fingerprint] = []
    listed = iter(clips)
    bar = tqdm(
        total=len(clips), desc=records.name, unit="clips", disable=None if progress else True
    )
    with bar:
        for number, (clip_id, measured) in enumerate(_map(records, records.folds, measure, pool)):
            digest, of_clip, heard = measured
            clip = next(listed, None)
            if clip is None or (clip.clip_id, clip.hash) != (clip_id, digest):
                raise _other_than_listed(records, clip_id)
            levels[number] = dataclasses.astuple(of_clip)
            if heard is not None:
                prints.append(heard)
            bar.update()
    if next(listed, None) is not None:
        raise _other_than_listed(records, "the end")
    return levels, prints


def _other_than_listed(records: Records, where: str) -> ValueError:
    return ValueError(
        f"Expected the clips, in their order and with the samples, that the records list, got "
        f"others at {where}; prepare them again with --force. Received: path={records.path}"
    )


def _map(
    records: Records,
    folds: Sequence[int],
    function: Callable[[np.ndarray], object],
    pool: concurrent.futures.Executor,
) -> Iterator[tuple[str, object]]:
    """Clip id, and what the function makes of the samples, of each clip in stored order."""
    examples = records.dataset(folds, pitch_shifted=False).as_numpy_iterator()
    try:
        while some := list(itertools.islice(examples, _AT_ONCE)):
            made = pool.map(function, [example["audio"] for example in some])
            yield from zip((example["clip_id"].decode() for example in some), made, strict=True)
    except tf.errors.OpError as error:
        reason = error.message.partition("\n")[0]
        raise ValueError(
            f"Expected whole records, got damaged ones ({reason}); prepare them again with "
            f"--force. Received: path={records.path}"
        ) from error


def _split_sources(clips: Sequence[Clip]) -> dict[str, list[int]]:
    folds: dict[str, int] = {}
    split: dict[str, set[int]] = {}
    for clip in clips:
        fold = folds.setdefault(clip.source, clip.fold)
        if fold != clip.fold:
            split.setdefault(clip.source, {fold}).add(clip.fold)
    return {source: sorted(folds) for source, folds in sorted(split.items())}


def _equal_samples(clips: Sequence[Clip], silent: set[int]) -> list[list[int]]:
    """Numbers of the clips that share their samples, group by group."""
    first: dict[bytes, int] = {}
    groups: dict[int, list[int]] = {}
    for number, clip in enumerate(clips):
        if number not in silent:
            known = first.setdefault(bytes.fromhex(clip.hash), number)
            if known != number:
                groups.setdefault(known, [known]).append(number)
    return [groups[known] for known in sorted(groups)]


def _confirm(
    found: Audit, similar: list[Similar], pool: concurrent.futures.Executor, progress: bool
) -> Audit:
    """Compare the waveforms of pairs whose fingerprints are alike, the leaking ones first."""
    pairs = [
        NearDuplicate(pair.first, pair.second, pair.similarity, None, pair.offset)
        for pair in similar
    ]
    pairs.sort(key=lambda pair: (not found.leaking(pair), -pair.similarity))
    rate = min(found.records.sample_rate, HEARD_RATE)
    compared: list[NearDuplicate] = []
    for _ in range(_ROUNDS):
        chosen, pairs = _that_fit(found, pairs, rate)
        if not chosen:
            break
        compared += _compared(found, chosen, rate, pool, progress)
    least = found.settings.confirm
    return dataclasses.replace(
        found,
        near=[pair for pair in compared if pair.correlation >= least],
        alike=[pair for pair in compared if pair.correlation < least],
        not_compared=pairs,
    )


def _that_fit(
    found: Audit, pairs: list[NearDuplicate], rate: int
) -> tuple[list[NearDuplicate], list[NearDuplicate]]:
    """The first pairs whose waveforms fit in memory together, and the others."""
    wanted: set[int] = set()
    taken, chosen, left = 0, [], []
    for pair in pairs:
        new = {pair.first, pair.second} - wanted
        size = sum(found.clips[number].samples for number in new) * rate
        size = size * np.dtype(np.float32).itemsize // found.records.sample_rate
        if taken + size > _WAVEFORM_BYTES:
            left.append(pair)
            continue
        taken += size
        wanted |= new
        chosen.append(pair)
    return chosen, left


def _compared(
    found: Audit,
    pairs: list[NearDuplicate],
    rate: int,
    pool: concurrent.futures.Executor,
    progress: bool,
) -> list[NearDuplicate]:
    wanted = {number for pair in pairs for number in (pair.first, pair.second)}
    waveforms = _waveforms(found, wanted, pool, progress)

    def compare(pair: NearDuplicate) -> NearDuplicate:
        first, second = waveforms[pair.first], waveforms[pair.second]
        fit = agreement(first, second, rate, pair.offset)
        return dataclasses.replace(pair, correlation=fit.correlation, offset=fit.offset)

    return list(pool.map(compare, pairs))


def _waveforms(
    found: Audit, wanted: set[int], pool: concurrent.futures.Executor, progress: bool
) -> dict[int, np.ndarray]:
    """The waveforms of some clips as they are compared, by the clips' numbers."""
    records = found.records
    folds = found.in_folds(sorted(wanted))
    numbers = (number for number, clip in enumerate(found.clips) if clip.fold in folds)
    waveforms = {}
    bar = tqdm(desc="reading again", unit="clips", disable=None if progress else True, leave=False)
    with bar:
        kept = _map(records, folds, lambda samples: samples, pool)
        for number, (_, samples) in zip(numbers, kept, strict=True):
            if number in wanted:
                waveforms[number] = heard_at(samples, records.sample_rate)[0]
            bar.update()
    return waveforms
