"""What an audit found, as a table for people, JSON for programs, and a row for every clip."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from keras_audio.data.audit import Audit, NearDuplicate
from keras_audio.tables import text_table

# More than these are counted, and listed by `--csv` and `--json` alone.
_SHOWN = 10
_CLASSES_SHOWN = 24
_ALIKE = "alike in spectrum, but not in waveform"
_LEFT = "alike in spectrum, waveforms not compared"

CLIP_COLUMNS = (
    *("clip_id", "fold", "labels", "source", "seconds"),
    *("peak_db", "rms_db", "mean", "clipped", "padding", "found"),
)


def audit_text(audit: Audit) -> str:
    """Lay out what an audit found: what was counted, the clips in question, and the classes."""
    records = audit.records
    seconds = audit.level("samples").sum() / records.sample_rate
    head = (
        f"{records.name} at {records.sample_rate} Hz with {records.channels} channel(s): "
        f"{len(audit.clips)} clips, {_duration(seconds)}, {len(records.labels)} classes, "
        f"{len(records.folds)} fold(s)"
    )
    parts = [head, text_table(("check", "found", ""), _counts(audit), right=(1,))]
    listings = (
        _sources(audit),
        _exact(audit),
        _near(audit, "near-duplicates", audit.near),
        _near(audit, _ALIKE, audit.alike),
        _near(audit, _LEFT, audit.not_compared),
        _clips(audit),
    )
    parts += filter(None, listings)
    parts += [_classes(audit), _verdict(audit)]
    return "\n\n".join(parts)


def _counts(audit: Audit) -> Iterator[tuple[str, str, str]]:
    settings = audit.settings

    def row(what: str, count: int, verdict: str) -> tuple[str, str, str]:
        return what, f"{count:,}", verdict if count else ""

    sources = list(audit.split_sources.values())
    groups = [audit.in_folds(group) for group in audit.exact]
    near = [audit.in_folds((pair.first, pair.second)) for pair in audit.near]

    def across(what: str, folds: list[list[int]], several: str) -> Iterator[tuple[str, str, str]]:
        leaks = sum(map(audit.leak, folds))
        yield row(f"{what} in {several} folds", leaks, "leak")
        trained = sum(len(some) > 1 for some in folds) - leaks
        if trained:
            yield row(f"{what} in several training folds", trained, "")

    yield from across("recordings", sources, "several")
    yield from across("same samples", groups, "several")
    yield row("same samples in one fold", sum(len(folds) == 1 for folds in groups), "")
    if audit.searched:
        yield from across("near-duplicates", near, "two")
        of_one = [
            audit.of_one_source(pair)
            for folds, pair in zip(near, audit.near, strict=True)
            if len(folds) == 1
        ]
        different = len(of_one) - sum(of_one)
        yield row("near-duplicates in one fold, of different recordings", different, "")
        yield row("near-duplicates in one fold, of one recording", sum(of_one), "")
        yield row(_ALIKE, len(audit.alike), "")
        if audit.unsure:
            yield row(f"{_LEFT}, in two folds", audit.unsure, "may leak")
        if len(audit.not_compared) > audit.unsure:
            yield row(_LEFT, len(audit.not_compared) - audit.unsure, "")
    yield row("duplicates of another class", len(_contradictions(audit)), "")
    quiet = f"peak up to {settings.silent_peak:g} dB, or RMS up to {settings.silent_rms:g} dB"
    yield row(f"silent ({quiet})", len(audit.silent), "cannot be used")
    short = f"under {settings.min_seconds:g} s" if settings.min_seconds else "empty"
    yield row(f"too short ({short})", len(audit.too_short), "cannot be used")
    yield row(f"clipped (over {settings.clipped:.4g} of the samples)", len(audit.clipped), "")
    yield row(f"padded (over {settings.padded:.4g} of it zeros)", len(audit.padded), "")


def _contradictions(audit: Audit) -> list[Sequence[int]]:
    pairs = [*audit.exact, *((pair.first, pair.second) for pair in audit.near)]
    return [numbers for numbers in pairs if audit.labels_differ(numbers)]


def _sources(audit: Audit) -> str:
    split = sorted(audit.split_sources.items(), key=lambda item: not audit.leak(item[1]))
    rows = [(source, _join(folds)) for source, folds in split]
    return _listing("recordings in several folds", ("recording", "folds"), rows)


def _exact(audit: Audit) -> str:
    # Leaks first.
    groups = sorted(audit.exact, key=lambda group: not audit.leak(audit.in_folds(group)))
    rows = [(_join(audit.in_folds(group)), _names(audit, group)) for group in groups]
    return _listing("same samples", ("folds", "clips"), rows)


def _near(audit: Audit, title: str, pairs: Sequence[NearDuplicate]) -> str:
    rows = [
        (
            _join(audit.in_folds((pair.first, pair.second))),
            f"{pair.similarity:.3f}",
            "" if pair.correlation is None else f"{pair.correlation:.3f}",
            f"{pair.offset:.3f}",
            _names(audit, (pair.first, pair.second), " ~ "),
        )
        for pair in pairs
    ]
    header = ("folds", "similarity", "correlation", "offset s", "clips")
    return _listing(title, header, rows, right=(1, 2, 3))


def _clips(audit: Audit) -> str:
    rows = []
    unusual = {what: numbers for what, numbers in _of_clips(audit).items() if what != "padded"}
    for what, numbers in unusual.items():
        for number in numbers[:_SHOWN].tolist():
            seconds, peak, rms, _, clipped, padding = _measures(audit, number)
            clip = audit.clips[number]
            levels = (f"{peak:.1f}", f"{rms:.1f}", f"{clipped:.4f}", f"{padding:.2f}")
            name = f"{clip.clip_id} ({'|'.join(_labels(audit, number))})"
            rows.append((what, str(clip.fold), f"{seconds:.2f}", *levels, name))
    header = ("", "fold", "seconds", "peak dB", "RMS dB", "clipped", "zeros", "clip")
    total = sum(map(len, unusual.values()))
    return _listing("clips", header, rows, right=range(1, 7), total=total)


def _listing(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Iterable[int] = (),
    total: int | None = None,
) -> str:
    if not rows:
        return ""
    text = f"{title}:\n" + text_table(header, rows[:_SHOWN], right=tuple(right))
    more = (total or len(rows)) - _SHOWN
    return text + (f"\n... and {more:,} more (--csv or --json lists all)" if more > 0 else "")


def _classes(audit: Audit) -> str:
    counts, labels = audit.class_counts, audit.records.labels
    totals = counts.sum(axis=0)
    order = list(range(len(labels)))
    left_out = max(0, len(labels) - _CLASSES_SHOWN)
    if left_out:
        # The largest and the smallest.
        ranked = np.argsort(-totals, kind="stable").tolist()
        order = ranked[: _CLASSES_SHOWN // 2] + ranked[-(_CLASSES_SHOWN // 2) :]
    header = ("class", "clips", *(f"fold {fold}" for fold in audit.records.folds))
    rows = [(labels[n], f"{totals[n]:,}", *(f"{count:,}" for count in counts[:, n])) for n in order]
    rows.append(("all clips", f"{len(audit.clips):,}", *_fold_sizes(audit)))
    lines = [text_table(header, rows, right=range(1, len(header)))]
    if left_out:
        lines.append(f"({left_out} classes between the largest and the smallest are not shown)")
    present = totals[totals > 0]
    if len(present):
        lines.append(
            f"the largest class has {totals.max() / present.min():.3g} times the clips of the "
            "smallest"
        )
    for row, fold in enumerate(audit.records.folds):
        missing = [labels[n] for n in np.flatnonzero(counts[row] == 0)]
        if missing:
            shown = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
            lines.append(f"fold {fold} has no clips of {len(missing)} class(es): {shown}")
    return "\n".join(lines)


def _fold_sizes(audit: Audit) -> list[str]:
    sizes = dict.fromkeys(audit.records.folds, 0)
    for clip in audit.clips:
        sizes[clip.fold] += 1
    return [f"{size:,}" for size in sizes.values()]


def _verdict(audit: Audit) -> str:
    if not audit.status:
        return "no leaks between folds, and no clips that cannot be used"
    unsure = f"{audit.unsure:,} pair(s) in two folds not compared, " if audit.unsure else ""
    leaks = f"{audit.leaks:,} leak(s) between folds, {unsure}"
    return f"{leaks}{audit.unusable:,} clip(s) that cannot be used"


def audit_dict(audit: Audit) -> dict[str, Any]:
    """What an audit found, for JSON; a level of minus infinity is None."""
    records, settings = audit.records, audit.settings

    def ids(numbers: Iterable[int]) -> list[str]:
        return [audit.clips[number].clip_id for number in numbers]

    def together(numbers: Sequence[int]) -> dict[str, Any]:
        return {
            "leak": audit.leak(audit.in_folds(numbers)),
            "clips": ids(numbers),
            "folds": [audit.clips[number].fold for number in numbers],
            "sources": [audit.clips[number].source for number in numbers],
            "labels": [_labels(audit, number) for number in numbers],
        }

    def pairs(found: Iterable[NearDuplicate]) -> list[dict[str, Any]]:
        return [
            together((pair.first, pair.second))
            | {
                "similarity": round(pair.similarity, 4),
                "correlation": None if pair.correlation is None else round(pair.correlation, 4),
                "offset_seconds": round(pair.offset, 4),
            }
            for pair in found
        ]

    counts = audit.class_counts
    return {
        "dataset": records.name,
        "path": str(records.path),
        "sample_rate": records.sample_rate,
        "channels": records.channels,
        "resampling": records.resampling,
        "clips": len(audit.clips),
        "seconds": round(float(audit.level("samples").sum()) / records.sample_rate, 3),
        "settings": vars(settings).copy(),
        "held_out_folds": list(records.held_out_folds),
        "leaks": audit.leaks,
        "unsure": audit.unsure,
        "unusable": audit.unusable,
        "recordings_in_several_folds": audit.split_sources,
        "same_samples": [together(group) for group in audit.exact],
        "near_duplicates": pairs(audit.near) if audit.searched else None,
        "alike_but_other_waveforms": pairs(audit.alike),
        "alike_not_compared": pairs(audit.not_compared),
        "duplicates_of_another_class": [ids(numbers) for numbers in _contradictions(audit)],
        **{what: ids(numbers.tolist()) for what, numbers in _of_clips(audit).items()},
        "folds": {
            str(fold): dict(zip(records.labels, row, strict=True))
            for fold, row in zip(records.folds, counts.tolist(), strict=True)
        },
    }


def clip_rows(audit: Audit) -> Iterator[dict[str, Any]]:
    """A row for every clip, with `CLIP_COLUMNS`; `found` says what is the matter with it."""
    found: dict[int, list[str]] = {}
    for what, numbers in _of_clips(audit).items():
        for number in numbers.tolist():
            found.setdefault(number, []).append(what)
    together = [("same as", group) for group in audit.exact]
    together += [("near", (pair.first, pair.second)) for pair in audit.near]
    for what, numbers in together:
        for number in numbers:
            others = ", ".join(
                f"{audit.clips[other].clip_id} (fold {audit.clips[other].fold})"
                for other in numbers
                if other != number
            )
            found.setdefault(number, []).append(f"{what} {others}")
    for number, clip in enumerate(audit.clips):
        notes = found.get(number, [])
        if clip.source in audit.split_sources:
            notes.append(f"recording in folds {_join(audit.split_sources[clip.source])}")
        seconds, peak, rms, mean, clipped, padding = _measures(audit, number)
        row = (
            *(clip.clip_id, clip.fold, "|".join(_labels(audit, number)), clip.source),
            *(f"{seconds:.4f}", f"{peak:.2f}", f"{rms:.2f}", f"{mean:.6f}"),
            *(f"{clipped:.6f}", f"{padding:.4f}", "; ".join(notes)),
        )
        yield dict(zip(CLIP_COLUMNS, row, strict=True))


def _of_clips(audit: Audit) -> dict[str, np.ndarray]:
    return {
        "silent": audit.silent,
        "too_short": audit.too_short,
        "clipped": audit.clipped,
        "padded": audit.padded,
    }


def _measures(audit: Audit, number: int) -> tuple[float, ...]:
    samples, *others = audit.levels[number].tolist()
    return (samples / audit.records.sample_rate, *others)


def _labels(audit: Audit, number: int) -> list[str]:
    return [audit.records.labels[label] for label in audit.clips[number].labels]


def _names(audit: Audit, numbers: Sequence[int], between: str = " = ") -> str:
    shown = between.join(
        f"{audit.clips[number].clip_id} ({'|'.join(_labels(audit, number))})"
        for number in numbers[:4]
    )
    return shown + (f"{between}... ({len(numbers)} clips)" if len(numbers) > 4 else "")


def _join(values: Iterable[Any]) -> str:
    return ", ".join(map(str, values))


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
