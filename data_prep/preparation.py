"""`prepare`: from sound files to records, whole or not at all."""

import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import sys
import time
from collections.abc import Iterator

from data_prep.clips import RECORDS_VERSION, ClipList, Dataset, DatasetCard
from data_prep.registry import DATASETS, find_dataset
from keras_audio.audio import check_channels, check_resampling, check_sample_rate
from keras_audio.files import folder_name, locked, read_json

# A worker starts in half a second, the time of about this many clips.
_CLIPS_WORTH_A_WORKER = 64
# Beyond what a disk should be asked to hold.
_MAX_PITCH_VARIANTS = 100


@dataclasses.dataclass(frozen=True)
class PrepareResult:
    """What `prepare` did.

    Attributes:
        path: The folder of the records, for `tfds.builder_from_directory`.
        clips: How many clips they hold.
        seconds: How long it took.
        missing: The files left out and why, "file: reason".
        reused: Whether the records were there already.
        notes: What else a user should know, such as files left aside.
    """

    path: pathlib.Path
    clips: int
    seconds: float
    missing: tuple[str, ...] = ()
    reused: bool = False
    notes: tuple[str, ...] = ()


def prepare(
    name: str,
    *,
    source: str | os.PathLike | None = None,
    sample_rate: int | None = None,
    channels: int | None = None,
    data_dir: str | os.PathLike = "data",
    dataset_name: str | None = None,
    pitch_variants: int = 0,
    resampling: str | None = None,
    allow_missing: bool = False,
    force: bool = False,
    jobs: int | None = None,
    progress: bool = True,
) -> PrepareResult:
    """Write the records of a data set: `<data_dir>/<name>/<rate>hz_<channels>ch/<version>/`.

    A slash in the name of a data set becomes `_` in the folder's.

    With pitch variants the folder is `<rate>hz_<channels>ch_<variants>pitch`, so that records with
    and without can lie beside each other; and with another resampling than soxr's it is
    `<rate>hz_<channels>ch_<resampling>`.

    The folder appears complete or not at all, and existing records are not written again: asked
    for once more from the same source, they are returned at once.

    Args:
        name: The data set, one of `data_prep.cards()`.
        source: Its folder (or the CSV of `audio_folder`); `None` for those that are generated, and
            for records that exist.
        sample_rate: Hz of the records; `None` for the card's.
        channels: Channels of the records, 1 or 2; `None` for the card's.
        data_dir: Where the records of all data sets go.
        dataset_name: What to call the records, if not `name`: lower-case letters, digits, `_`.
        pitch_variants: How many pitch-shifted copies of each clip to record with it, within two
            semitones up and down; training draws from them.
        resampling: How the clips get their rate, "soxr" or "fourier" (see `read_audio`); `None` for
            the card's.
        allow_missing: Go on without files that are missing or bad, and record which.
        force: Write existing records again; the old ones stay until the new are complete.
        jobs: How many processes decode; `None` for as many as there are cores.
        progress: Whether to show a progress bar and remarks on stderr.

    Returns:
        Where the records are, how many clips, and what is missing.

    Raises:
        ValueError: If an argument or the source is not as expected, if files are missing or bad
            (all are named) without `allow_missing`, or if records of another source are there.

    Example:
        >>> import tempfile
        >>> data_dir = tempfile.mkdtemp()
        >>> result = prepare("toy_sounds", data_dir=data_dir, progress=False)
        >>> str(result.path.relative_to(data_dir)), result.missing
        ('toy_sounds/8000hz_1ch/1.0.0', ())
    """
    started = time.perf_counter()
    dataset = find_dataset(name)
    rate = check_sample_rate(dataset.card.sample_rate if sample_rate is None else sample_rate)
    channels = check_channels(dataset.card.channels if channels is None else channels)
    if channels > 2:
        raise ValueError(f"Expected mono or stereo records. Received: channels={channels}")
    if jobs is not None and (not isinstance(jobs, int) or jobs < 1):
        raise ValueError(f"Expected a positive number of processes. Received: jobs={jobs!r}")
    if type(pitch_variants) is not int or not 0 <= pitch_variants <= _MAX_PITCH_VARIANTS:
        raise ValueError(
            f"Expected a number of pitch variants from 0 to {_MAX_PITCH_VARIANTS}. "
            f"Received: pitch_variants={pitch_variants!r}"
        )
    resampling = check_resampling(dataset.card.resampling if resampling is None else resampling)
    dataset_name = _check_dataset_name(name, dataset_name)
    config_name = f"{rate}hz_{channels}ch"
    if resampling != "soxr":
        config_name += f"_{resampling}"
    if pitch_variants:
        config_name += f"_{pitch_variants}pitch"
    data_dir = pathlib.Path(data_dir)
    folder = data_dir / dataset_name / config_name / RECORDS_VERSION

    if source is not None:
        _existing(source)  # before anything is made for it
    with contextlib.ExitStack() as stack:
        if force or not folder.is_dir():
            workshop = stack.enter_context(_workshop(data_dir, dataset_name))
        # Asked only now: a build killed between its last two steps was just put right, and one
        # that another process ran may have ended.
        if folder.is_dir() and not force:
            result = _reuse(dataset, folder, source)
        else:
            clip_list = _list_clips(dataset, _source(dataset, source, data_dir, workshop, force))
            result = _build(
                dataset.card,
                clip_list,
                folder=folder,
                workshop=workshop,
                sample_rate=rate,
                channels=channels,
                pitch_variants=pitch_variants,
                resampling=resampling,
                allow_missing=allow_missing,
                jobs=_jobs(jobs, len(clip_list.clips) * (1 + pitch_variants)),
                progress=progress,
            )
    result = dataclasses.replace(result, seconds=time.perf_counter() - started)
    if progress:
        _remark(result)
    return result


def _check_dataset_name(name: str, dataset_name: str | None) -> str:
    own = folder_name(name)
    if dataset_name is None:
        return own
    # TFDS builds file names of it and takes them apart again.
    if not re.fullmatch(r"[a-z][a-z0-9_]*", str(dataset_name), re.ASCII):
        raise ValueError(
            "Expected a name of lower-case letters, digits and underscores, beginning with a "
            f"letter. Received: dataset_name={dataset_name!r}"
        )
    if dataset_name != own and dataset_name in (*map(folder_name, DATASETS), "sources"):
        raise ValueError(
            f"Expected a name that no other data set has. Received: dataset_name={dataset_name!r}"
        )
    return dataset_name


def _jobs(jobs: int | None, clips: int) -> int:
    if jobs is not None:
        return jobs
    # Counts the cores that this process may use, in a container too.
    from joblib import cpu_count

    return max(1, min(cpu_count(), clips // _CLIPS_WORTH_A_WORKER))


def _source(
    dataset: Dataset,
    source: str | os.PathLike | None,
    data_dir: pathlib.Path,
    workshop: pathlib.Path,
    force: bool,
) -> pathlib.Path:
    if source is not None:
        return _existing(source)
    card = dataset.card
    if dataset.generate is None:
        where = f", from {card.url}" if card.url else ""
        raise ValueError(
            f"Expected the source of {card.name} ({card.layout}{where}). Received: source=None"
        )
    folder = data_dir / "sources" / card.name
    if force or not folder.is_dir():
        generated = workshop / "sources"
        dataset.generate(generated)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(generated, folder)
    return folder


def _existing(source: str | os.PathLike) -> pathlib.Path:
    source = pathlib.Path(source)
    if not source.exists():
        raise ValueError(f"Expected an existing source. Received: source={source}")
    return source


def _list_clips(dataset: Dataset, source: pathlib.Path) -> ClipList:
    try:
        return dataset.list_clips(source)
    except OSError as error:
        raise ValueError(
            f"Expected a source that can be read, got {error.strerror} at {error.filename}. "
            f"Received: source={source}"
        ) from error


def _reuse(
    dataset: Dataset, folder: pathlib.Path, source: str | os.PathLike | None
) -> PrepareResult:
    try:
        metadata = read_json(folder / "metadata.json")
        clips, missing = metadata["clips"], tuple(metadata["missing"])
        recorded = metadata["dataset"], metadata["source_fingerprint"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"Expected records written by `prepare`, got a folder without their metadata; "
            f"force (--force) replaces it. Received: path={folder}"
        ) from error
    same = recorded[0] == dataset.card.name
    if same and source is not None:
        same = recorded[1] == _list_clips(dataset, _existing(source)).fingerprint()
    if not same:
        raise ValueError(
            "Expected the source that the existing records were made from, got another or a "
            "changed one; force (--force) replaces them, another name (--name) keeps both. "
            f"Received: source={source} for {folder}"
        )
    return PrepareResult(folder, clips, 0.0, missing, reused=True)


def _build(
    card: DatasetCard,
    clip_list: ClipList,
    *,
    folder: pathlib.Path,
    workshop: pathlib.Path,
    sample_rate: int,
    channels: int,
    pitch_variants: int,
    resampling: str,
    allow_missing: bool,
    jobs: int,
    progress: bool,
) -> PrepareResult:
    # TensorFlow is not imported before there is something to write.
    from data_prep.base import write_records

    staged, clips, missing, notes = write_records(
        workshop / "new",
        dataset_name=folder.parent.parent.name,
        config_name=folder.parent.name,
        sample_rate=sample_rate,
        channels=channels,
        pitch_variants=pitch_variants,
        resampling=resampling,
        clip_list=clip_list,
        card=card,
        jobs=jobs,
        progress=progress,
    )
    if missing and not allow_missing:
        raise ValueError(
            f"Expected sound files that are all there and readable, got {len(missing)} missing or "
            f"bad (--allow-missing goes on without them): {'; '.join(missing)}. "
            f"Received: source={clip_list.root}"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        previous = _previous(workshop, folder)
        previous.parent.mkdir(parents=True)
        os.rename(folder, previous)
    os.rename(staged, folder)
    return PrepareResult(folder, clips, 0.0, missing, notes=clip_list.notes + notes)


@contextlib.contextmanager
def _workshop(data_dir: pathlib.Path, dataset_name: str) -> Iterator[pathlib.Path]:
    """Give a folder to build in, for one process at a time; what a killed one left is swept."""
    workshop = data_dir / ".building" / dataset_name
    with locked(workshop.with_suffix(".lock"), f"prepare {dataset_name} in {data_dir}"):
        _sweep(data_dir, workshop)
        try:
            yield workshop
        finally:
            _sweep(data_dir, workshop)


def _sweep(data_dir: pathlib.Path, workshop: pathlib.Path) -> None:
    """Remove the workshop; if a build was killed between its two renames, undo the first."""
    for previous in _previous(workshop, workshop).parent.parent.glob(f"*/{RECORDS_VERSION}"):
        folder = data_dir / workshop.name / previous.parent.name / RECORDS_VERSION
        if not folder.exists():
            os.rename(previous, folder)
    shutil.rmtree(workshop, ignore_errors=True)


def _previous(workshop: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    return workshop / "previous" / folder.parent.name / RECORDS_VERSION


def _remark(result: PrepareResult) -> None:
    for note in result.notes:
        print(f"note: {note}", file=sys.stderr)
    if result.reused:
        print(f"{result.path} is there already: {result.clips} clips", file=sys.stderr)
    for problem in result.missing:
        print(f"missing: {problem}", file=sys.stderr)
