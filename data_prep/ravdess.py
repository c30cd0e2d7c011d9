"""RAVDESS: 1440 spoken sentences by 24 actors in eight emotions."""

import collections
import filecmp
import itertools
import pathlib
import re

from data_prep.clips import Clip, ClipList, DatasetCard

# In the order of the file names' codes, 01 to 08.
LABELS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")

# The paper has four folds with every actor in one of them, but does not say which. Three men (odd)
# and three women (even) each, in the order of the actors' numbers.
FOLDS = (
    (1, 2, 3, 4, 5, 6),
    (7, 8, 9, 10, 11, 12),
    (13, 14, 15, 16, 17, 18),
    (19, 20, 21, 22, 23, 24),
)

CARD = DatasetCard(
    name="ravdess",
    title="RAVDESS: emotional speech, audio only",
    clips=1440,
    classes=8,
    folds=4,
    licence="CC BY-NC-SA 4.0",
    url="https://zenodo.org/record/1188976 (Audio_Speech_Actors_01-24.zip)",
    layout="Actor_01/ to Actor_24/ with 60 files each, 03-01-*.wav, in any folder below the source",
    labels=LABELS,
    sample_rate=44100,
    protocol="There are no official folds. Here are four, each of three men and three women: "
    "actors 1 to 6, 7 to 12, 13 to 18 and 19 to 24. What stands for a clip's recording is its "
    "actor, so that nobody is tested on a voice that was trained on. Five files are stereo, and "
    "averaged; two of actor 7 hold one sound under two names, and are both kept, in one fold.",
    fold_clips=(360,) * 4,
    class_clips=(96, *(192,) * 7),
)

_CLIPS_AN_ACTOR = 60
# Two of the official files are the same, byte for byte.
_TWINS = ("03-01-03-01-02-01-07.wav", "03-01-03-01-02-02-07.wav")
_FOLD_OF = {actor: fold for fold, actors in enumerate(FOLDS, start=1) for actor in actors}
_NAME = re.compile(r"03-01-(0[1-8])-(0[12])-0[12]-0[12]-(0[1-9]|1[0-9]|2[0-4])\.wav", re.ASCII)


def list_clips(source: pathlib.Path) -> ClipList:
    """List the clips of the speech archive: `Actor_*/03-01-*.wav`, anywhere below the source.

    A file that lies there several times, as in copies that hold the archive twice, counts once. A
    clip's source is its actor, who is in one fold alone: the paper's folds are by actor too. Two
    of the official files hold the same samples, both of actor 7: both are kept, and a note says so.

    Args:
        source: The folder that the archive was unpacked in.

    Raises:
        ValueError: If there is no such file, one is named otherwise or lies with another actor,
            or two of one name differ in size.
    """
    paths, repeats = _find(source)
    if not paths:
        raise ValueError(
            f"Expected the folder of {CARD.title} ({CARD.layout}; from {CARD.url}). "
            f"Received: source={source}"
        )
    clips = tuple(_clip(path, source) for path in paths.values())
    notes = (f"files that lie there again, counted once: {repeats}",) if repeats else ()
    return ClipList(
        root=source,
        labels=LABELS,
        clips=clips,
        missing=tuple(_missing(paths)),
        notes=notes + _twin_notes(paths),
    )


def _find(source: pathlib.Path) -> tuple[dict[str, pathlib.Path], int]:
    """The files by name, and how many others have one of these names."""
    paths, repeats = {}, 0
    for path in sorted(source.glob("**/Actor_*/03-01-*.wav")):
        first = paths.setdefault(path.name, path)
        if first is path:
            continue
        repeats += 1
        if first.stat().st_size != path.stat().st_size:
            raise ValueError(
                f"Expected files of one name to be copies, got sizes that differ: "
                f"{first.relative_to(source)} and {path.relative_to(source)}. "
                f"Received: source={source}"
            )
    return paths, repeats


def _clip(path: pathlib.Path, source: pathlib.Path) -> Clip:
    match = _NAME.fullmatch(path.name)
    # There is no strong intensity of neutral.
    if match is None or match.group(1, 2) == ("01", "02"):
        raise ValueError(
            f"Expected file names like 03-01-06-01-02-01-12.wav (modality-channel-emotion-"
            f"intensity-statement-repetition-actor). Received: path={path}"
        )
    emotion, _, actor = match.groups()
    if path.parent.name != f"Actor_{actor}":
        raise ValueError(f"Expected {path.name} in the folder Actor_{actor}. Received: path={path}")
    return Clip(
        clip_id=path.stem,
        file=path.relative_to(source).as_posix(),
        labels=(LABELS[int(emotion) - 1],),
        fold=_FOLD_OF[int(actor)],
        source=path.parent.name,
    )


def _twin_notes(paths: dict[str, pathlib.Path]) -> tuple[str, ...]:
    twins = [paths[name] for name in _TWINS if name in paths]
    if len(twins) < 2 or not filecmp.cmp(*twins, shallow=False):
        return ()
    return (
        f"one sound under two names, as published: {' and '.join(_TWINS)}; both are by one actor, "
        "and so in one fold",
    )


def _missing(found: dict[str, pathlib.Path]) -> list[str]:
    """The official files that are not there; an actor of whom there is none is told in one line."""
    by_actor = collections.defaultdict(list)
    for actor, emotion, intensity, statement, repetition in itertools.product(
        range(1, 25), range(1, 9), (1, 2), (1, 2), (1, 2)
    ):
        name = f"03-01-{emotion:02}-{intensity:02}-{statement:02}-{repetition:02}-{actor:02}.wav"
        if (emotion, intensity) != (1, 2) and name not in found:
            by_actor[f"Actor_{actor:02}"].append(name)
    missing = []
    for actor, names in by_actor.items():
        if len(names) == _CLIPS_AN_ACTOR:
            missing.append(f"{actor}: none of its {_CLIPS_AN_ACTOR} clips are there")
        else:
            missing += [f"{actor}/{name}: there is no such file" for name in names]
    return missing
