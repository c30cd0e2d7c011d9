"""A preparation as a pipeline of Apache Beam: its shards are written wherever a runner likes."""

import argparse
import contextlib
import difflib
import io
import logging
import re
import shlex
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tqdm import tqdm

from data_prep.decoding import Decoder
from data_prep.shards import (
    Job,
    Report,
    Shard,
    finished,
    load_plan,
    read_report,
    save_plan,
    write_shard,
)

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.runner import PipelineRunner

_NAMESPACE = "prepare"
_PROGRESS_SECONDS = 2.0


class BeamRun:
    """A runner of Beam and its options, checked before there is anything to do; runs once.

    Args:
        runner: Its name, such as DirectRunner or FlinkRunner.
        options: Options of Beam and of the runner: `name=value` or `name`, with commas between
            them, or as Beam's own programs take them, `--name=value --name`.

    Raises:
        ValueError: If Beam is not installed, does not know the runner, or refuses an option.

    Example:
        >>> BeamRun("DirectRunner", "direct_num_workers=2,direct_running_mode=multi_processing")
        BeamRun(DirectRunner, --direct_num_workers=2 --direct_running_mode=multi_processing)
    """

    def __init__(self, runner: str, options: str | None = None):
        self._name = runner
        self._flags = _flags(options or "")
        with _importing_beam():
            import apache_beam as beam
            from apache_beam.options.pipeline_options import PipelineOptions, WorkerOptions

            if any(flag.partition("=")[0] == "--runner" for flag in self._flags):
                raise ValueError(
                    "Expected the runner as such (--runner), not among its options. "
                    f"Received: beam_options={options!r}"
                )
            refused = "Expected options of Beam and {} that it takes (--beam-options), got: {}. "
            refused += f"Received: beam_options={options!r}"
            parsed = PipelineOptions([f"--runner={runner}", *self._flags])
            parsers: list[argparse.ArgumentParser] = []
            try:
                with contextlib.redirect_stderr(io.StringIO()):  # it would print its usage
                    parsed.get_all_options(add_extra_args_fn=parsers.append)
                    # Beam itself drops what none of its options and runners knows.
                    unknown = parsers[0].parse_known_args(self._flags)[1]
            except SystemExit as error:
                raise ValueError(refused.format(runner, error.__context__)) from None
            if unknown:
                reason = f"unknown {_with_near(unknown, parsers[0])}"
                raise ValueError(refused.format(runner, reason))
            workers = parsed.view_as(WorkerOptions)
            if workers.default_sdk_harness_log_level is None:
                workers.default_sdk_harness_log_level = "WARNING"
            beam_runner = _create_runner(runner, parsed)
            try:
                self._pipeline = beam.Pipeline(beam_runner, parsed)
            except ValueError as error:
                reason = " ".join(str(error).split()).rstrip(".")
                raise ValueError(refused.format(runner, reason)) from error

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name}, {' '.join(self._flags)})"

    def write_shards(
        self, job: Job, shards: Sequence[Shard], bar: tqdm
    ) -> tuple[dict[str, Report], dict[str, int]]:
        """Run the pipeline: one element a shard, and the scheduling is the runner's.

        Args:
            job: What to do. Its folders have to be the same on all workers.
            shards: The shards to write.
            bar: Moved as shards are finished.

        Returns:
            Their reports, by the shard's name; and what the workers counted, "shards", "clips" and
            "bad_clips", or nothing if the runner does not say.

        Raises:
            ValueError: If the pipeline fails; the shards that were finished stay.
        """
        import apache_beam as beam

        for shard in shards:
            save_plan(job, shard)
        _ = (
            self._pipeline
            | "Shards" >> beam.Create([shard.name for shard in shards])
            # Otherwise all would be done where they are created.
            | "Spread" >> beam.Reshuffle()
            | "WriteShard" >> beam.Map(write_planned, job=job)
        )
        with _watched(job, shards, bar):
            try:
                result = self._pipeline.run()
                state = result.wait_until_finish()
            except Exception as error:  # of any kind, as runners are
                raise self._failed(str(error).strip().rpartition("\n")[2]) from error
        if state is not None and state != "DONE":
            raise self._failed(f"it ended as {state}")
        reports = {shard.name: read_report(job, shard) for shard in shards}
        lost = list(reports.values()).count(None)
        if lost:
            raise self._failed(
                f"{lost} shards are not in {job.folder}, which all workers have to share"
            )
        return reports, _counters(result)

    def _failed(self, reason: str) -> ValueError:
        return ValueError(
            "Expected a pipeline that writes all shards (those that it finished are kept for the "
            f"next call), but {reason or 'it failed'}. Received: runner={self._name}"
        )


def write_planned(name: str, job: Job) -> str:
    """Decode and write the shard of that name; done by a worker, from the planned shard's file."""
    if "tensorflow" not in sys.modules:
        from keras_audio.quiet import import_tensorflow

        import_tensorflow()
    from apache_beam.metrics import Metrics

    shard = load_plan(job, name)
    # Runners repeat what they take for lost.
    report = read_report(job, shard) or _decode_and_write(job, shard)
    good = len(report.good)
    counts = {"shards": 1, "clips": good, "bad_clips": len(shard.clips) - good}
    for counter, count in counts.items():
        Metrics.counter(_NAMESPACE, counter).inc(count)
    return name


def _decode_and_write(job: Job, shard: Shard) -> Report:
    with Decoder(job.form, jobs=1) as decoder:
        return write_shard(job, shard, decoder.decode(job.root, shard.clips))


def _create_runner(name: str, options: "PipelineOptions") -> "PipelineRunner":
    if name.lower().removesuffix("runner") == "direct":  # as Beam takes names of runners
        # Beam's own choice would be Prism first, a program of another language that it downloads;
        # it knows none of the options on workers and processes.
        from apache_beam.portability.api import beam_provision_api_pb2
        from apache_beam.runners.portability.fn_api_runner import fn_runner
        from apache_beam.runners.portability.portable_runner import JobServiceHandle

        encoded = JobServiceHandle.encode_pipeline_options(
            options.get_all_options(drop_default=True)
        )
        provision = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
        return fn_runner.FnApiRunner(provision_info=fn_runner.ExtendedProvisionInfo(provision))
    from apache_beam.runners.runner import create_runner

    try:
        return create_runner(name)
    except (ValueError, ImportError) as error:
        raise ValueError(
            "Expected a runner of Apache Beam, such as DirectRunner, FlinkRunner, SparkRunner, "
            f"DataflowRunner or PrismRunner, with what it needs installed ({error}). "
            f"Received: runner={name}"
        ) from error


def _flags(options: str) -> list[str]:
    if options.lstrip().startswith("-"):
        return shlex.split(options)
    return [f"--{option.strip()}" for option in options.split(",") if option.strip()]


def _with_near(unknown: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """Arguments that the parser does not know, and what the first of them may have meant."""
    known = re.findall(r"--\w+", parser.format_usage())
    near = difflib.get_close_matches(unknown[0].partition("=")[0], known, n=1, cutoff=0.8)
    return " ".join(unknown) + "".join(f" (did you mean {option}?)" for option in near)


@contextlib.contextmanager
def _importing_beam() -> Iterator[None]:
    """Let a block import Beam, without its remarks on what else could be installed."""
    logging.disable(logging.WARNING)
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "apache_beam":
            raise
        raise ValueError(
            'Expected Apache Beam with a runner: pip install "keras-audio[beam]". '
            "Received: no module apache_beam"
        ) from error
    finally:
        logging.disable(logging.NOTSET)


@contextlib.contextmanager
def _watched(job: Job, shards: Sequence[Shard], bar: tqdm) -> Iterator[None]:
    """Move the bar as reports appear in the folder, for a runner says nothing while it runs."""
    waiting = {shard.name: len(shard.clips) for shard in shards}
    ended = threading.Event()

    def look() -> None:
        for name in finished(job) & waiting.keys():
            bar.update(waiting.pop(name))

    def watch() -> None:
        while not ended.wait(_PROGRESS_SECONDS):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        look()


def _counters(result) -> dict[str, int]:
    try:
        counters = result.metrics().query()["counters"]
    except (NotImplementedError, AttributeError, KeyError):
        # Caught, not raised: Beam leaves it to a runner whether it counts, and one that does not
        # raises these. A note is all that is lost: the shards' reports name the bad clips.
        return {}
    return {
        counter.key.metric.name: counter.result
        for counter in counters
        if counter.key.metric.namespace == _NAMESPACE
    }
