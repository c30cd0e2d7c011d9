"""`prepare`: from sound files to records, whole or not at all."""

import contextlib
import dataclasses
import importlib
import os
import pathlib
import re
import shutil
import sys
import time
from typing import TYPE_CHECKING

from tqdm import tqdm

from data_prep.clips import RECORDS_VERSION, ClipList, Dataset
from data_prep.form import Form, choose_form
from data_prep.missing import listed, read_missing, shortened
from data_prep.registry import DATASETS, find_dataset
from data_prep.workshop import Workshop, open_workshop
from keras_audio.files import folder_name, read_json, remove

if TYPE_CHECKING:
    from data_prep.beam_pipeline import BeamRun

# A process that makes pitch variants starts in half a second, the time of about this many clips.
_CLIPS_WORTH_A_PROCESS = 64


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
    runner: str | None = None,
    beam_options: str | None = None,
    progress: bool = True,
) -> PrepareResult:
    """Write the records of a data set: `<data_dir>/<name>/<rate>hz_<channels>ch/<version>/`.

    A slash in the name of a data set becomes `_` in the folder's.

    With pitch variants the folder is `<rate>hz_<channels>ch_<variants>pitch`, so that records with
    and without can lie beside each other; and with another resampling than soxr's it is
    `<rate>hz_<channels>ch_<resampling>`.

    The folder appears complete or not at all, and existing records are not written again: asked
    for once more from the same source, they are returned at once. Of a call that was killed, or
    refused for its bad files, the next one for the same form takes over the finished shards of
    256 clips at most whose files have not changed.

    The bytes are the same whatever number of workers decodes, and on whatever runner of Beam.

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
        jobs: How many workers decode; `None` for as many as there are cores.
        runner: The runner of Apache Beam that schedules the shards; `None` for this process and its
            `jobs`. Its workers have to see source and `data_dir` under the same paths. Files that
            are missing or bad are left out, as with `allow_missing`.
        beam_options: Options of Beam and the runner; see `data_prep.beam_pipeline.BeamRun`.
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
    form = choose_form(dataset.card, sample_rate, channels, pitch_variants, resampling)
    if jobs is not None and (not isinstance(jobs, int) or jobs < 1):
        raise ValueError(f"Expected a positive number of workers. Received: jobs={jobs!r}")
    dataset_name = _check_dataset_name(name, dataset_name)
    beam = _beam(runner, beam_options, jobs)
    data_dir = pathlib.Path(data_dir)
    folder = data_dir / dataset_name / form.name / RECORDS_VERSION

    if source is not None:
        _existing(source)  # before anything is made for it
    with contextlib.ExitStack() as stack:
        if force or not folder.is_dir():
            workshop = stack.enter_context(open_workshop(data_dir, dataset_name))
        # Asked only now: a build killed between its last two steps was just put right, and one
        # that another process ran may have ended.
        if folder.is_dir() and not force:
            result = _reuse(dataset, folder, source)
        else:
            if force:
                remove(workshop.shards(form.name))
            source = _source(dataset, source, data_dir, workshop.path, force)
            result = _build(
                dataset,
                _list_clips(dataset, source),
                form=form,
                folder=folder,
                workshop=workshop,
                allow_missing=allow_missing or beam is not None,
                jobs=jobs,
                beam=beam,
                progress=progress,
            )
    result = dataclasses.replace(result, seconds=time.perf_counter() - started)
    if progress:
        _remark(result)
    return result


def _beam(runner: str | None, options: str | None, jobs: int | None) -> "BeamRun | None":
    if runner is None:
        if options is not None:
            raise ValueError(
                "Expected a runner (--runner) for options of Apache Beam. "
                f"Received: beam_options={options!r}"
            )
        return None
    if jobs is not None:
        raise ValueError(
            f"Expected {runner} to say how many work, not --jobs. Received: jobs={jobs}"
        )
    from data_prep.beam_pipeline import BeamRun

    return BeamRun(runner, options)


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


def _jobs(jobs: int | None, form: Form, clips: int) -> int:
    if jobs is not None:
        return jobs
    # Counts the cores that this process may use, in a container too.
    from joblib import cpu_count

    if not form.pitch_variants:
        return cpu_count()
    return max(1, min(cpu_count(), clips * (1 + form.pitch_variants) // _CLIPS_WORTH_A_PROCESS))


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
        from data_prep.downloads import for_dataset

        fetch = f"; keras-audio fetch {card.name} gets it" if for_dataset(card.name) else ""
        raise ValueError(
            f"Expected the source of {card.name} (--source: {card.layout}{where}{fetch}). "
            "Received: source=None"
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
        clips, missing = metadata["clips"], read_missing(folder, metadata)
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
    dataset: Dataset,
    clip_list: ClipList,
    *,
    form: Form,
    folder: pathlib.Path,
    workshop: Workshop,
    allow_missing: bool,
    jobs: int | None,
    beam: "BeamRun | None",
    progress: bool,
) -> PrepareResult:
    # TensorFlow is not imported before there is something to write; here, because at the first
    # record it would be seconds within the progress bar.
    importlib.import_module("tensorflow")
    from data_prep import assembly, shards
    from data_prep.base import Content
    from data_prep.decoding import Decoder

    job = shards.Job(
        root=os.path.abspath(clip_list.root),
        folder=os.path.abspath(workshop.shards(form.name)),
        content=Content.of(clip_list),
        form=form,
    )
    fingerprint = clip_list.fingerprint()
    plan = shards.plan(job, clip_list)
    planned = list(tqdm(plan, "plan", unit=" shards", delay=2, leave=False, disable=None))
    total = len(clip_list.clips)
    counts: dict[str, int] = {}
    with Decoder(form, _jobs(jobs, form, total)) as decoder:
        reports = shards.keep_finished(job, planned, decoder)
        kept = len(reports)
        to_do = [shard for shard in planned if shard.name not in reports]
        initial = total - sum(len(shard.clips) for shard in to_do)
        name = folder.parent.parent.name
        with tqdm(
            total=total, initial=initial, desc=name, unit="clips", disable=not progress
        ) as bar:
            if beam is None:
                reports |= shards.write_shards(job, to_do, decoder, bar)
            elif to_do:
                written, counts = beam.write_shards(job, to_do, bar)
                reports |= written
    done = [(shard, reports[shard.name]) for shard in planned]
    missing = assembly.find_missing(clip_list, done)
    if missing and not allow_missing:
        raise ValueError(
            f"Expected sound files that are all there and readable, got {len(missing)} missing or "
            "bad (--allow-missing goes on without them; what was decoded is kept for the next "
            f"call): {shortened(missing)}. Received: source={clip_list.root}"
        )
    made = workshop.path / "new"
    clips, notes = assembly.assemble(
        made,
        dataset_name=name,
        card=dataset.card,
        clip_list=clip_list,
        fingerprint=fingerprint,
        job=job,
        done=done,
        missing=missing,
    )
    workshop.publish(made, folder)
    if counts.get("bad_clips"):
        all_clips = counts["bad_clips"] + counts.get("clips", 0)
        notes += (f"counted by the workers: {counts['bad_clips']} of {all_clips} clips are bad",)
    if kept:
        notes += (f"taken over from a call that was stopped: {kept} of {len(planned)} shards",)
    return PrepareResult(folder, clips, 0.0, missing, notes=clip_list.notes + notes)


def _remark(result: PrepareResult) -> None:
    for note in result.notes:
        print(f"note: {note}", file=sys.stderr)
    if result.reused:
        print(f"{result.path} is there already: {result.clips} clips", file=sys.stderr)
    for problem in listed(result.missing, result.path):
        print(f"missing: {problem}", file=sys.stderr)
