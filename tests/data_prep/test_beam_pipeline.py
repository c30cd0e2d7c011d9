"""Preparation by Apache Beam: the same bytes, bad clips counted, and calls that failed go on."""

import os
import pathlib
import subprocess
import sys

import pytest
from sources import records, tree, write_pets, write_sound

import data_prep
from data_prep import beam_pipeline, shards
from data_prep.beam_pipeline import BeamRun
from keras_audio.cli import main

REPOSITORY = pathlib.Path(__file__).parent.parent.parent
PROCESSES = "direct_num_workers=2,direct_running_mode=multi_processing"


@pytest.fixture(autouse=True)
def two_in_a_shard(monkeypatch):
    monkeypatch.setattr(shards, "CLIPS_IN_A_SHARD", 2)


@pytest.fixture
def pets(tmp_path):
    folder = write_pets(tmp_path / "pets")
    (folder / "dog" / "2.wav").write_bytes(b"no sound")
    return folder


def _prepare(source, data_dir, **arguments):
    return data_prep.prepare(
        "audio_folder",
        source=source,
        sample_rate=8000,
        data_dir=data_dir,
        progress=False,
        **arguments,
    )


BY_BEAM = f"""
import data_prep
from data_prep import shards
shards.CLIPS_IN_A_SHARD = 2
result = data_prep.prepare(
    "audio_folder", source="pets", data_dir="beam", sample_rate=8000, progress=False,
    runner="DirectRunner", beam_options="{PROCESSES}",
)
print(result.clips, *result.missing, sep="|")
"""


def test_one_process_a_pool_and_workers_of_beam_write_the_same_bytes(pets, tmp_path):
    one = _prepare(pets, tmp_path / "one", jobs=1, allow_missing=True)
    pool = _prepare(pets, tmp_path / "pool", jobs=2, allow_missing=True)
    # Another process, which hashes otherwise; and its workers find what is meant by "pets".
    done = subprocess.run(
        [sys.executable, "-c", BY_BEAM],
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    beam = tmp_path / "beam" / one.path.relative_to(tmp_path / "one")
    assert tree(one.path) == tree(pool.path) == tree(beam)
    assert len([name for name in tree(beam) if ".tfrecord-" in name]) == 7
    assert done.stdout.strip().split("|") == ["11", *one.missing] and len(one.missing) == 1
    assert len(records(beam)[0]) == 11
    assert os.listdir(tmp_path / "beam" / ".building") == ["audio_folder.lock"]


def test_the_command_line_counts_and_lists_bad_clips_and_goes_on(pets, tmp_path, capsys):
    options = ["--sample-rate", "8000", "--data-dir", str(tmp_path / "data")]
    arguments = ["prepare", "audio_folder", "--source", str(pets), *options]
    # Beam's own choice for the name that it takes in any case would be another program.
    assert main([*arguments, "--runner", "directrunner"]) == 1
    printed = capsys.readouterr()
    assert "11 clips in" in printed.out and "12/12" in printed.err
    assert "missing: dog/2.wav: " in printed.err
    assert "note: counted by the workers: 1 of 12 clips are bad\n" in printed.err
    assert main(arguments) == 1  # they are there, and still say so


def _job(pets, tmp_path):
    from data_prep import audio_folder
    from data_prep.base import Content
    from data_prep.form import Form

    clip_list = audio_folder.list_clips(pets)
    folder = tmp_path / "shards"
    folder.mkdir()
    job = shards.Job(str(clip_list.root), str(folder), Content.of(clip_list), Form(8000, 1))
    return job, list(shards.plan(job, clip_list))


class _Bar:
    """What the run moves as a progress bar."""

    moved = 0

    def update(self, clips):
        self.moved += clips


def test_workers_count_clips_and_bad_ones(pets, tmp_path):
    job, planned = _job(pets, tmp_path)
    bar = _Bar()
    reports, counts = BeamRun("DirectRunner").write_shards(job, planned, bar)
    assert counts == {"shards": 7, "clips": 11, "bad_clips": 1} and bar.moved == 12
    assert reports == {shard.name: shards.read_report(job, shard) for shard in planned}
    assert sum(len(report.good) for report in reports.values()) == 11


def test_a_shard_that_a_worker_is_told_again_is_not_written_again(pets, tmp_path, monkeypatch):
    job, (first, *_) = _job(pets, tmp_path)
    shards.save_plan(job, first)
    assert shards.load_plan(job, first.name) == first
    beam_pipeline.write_planned(first.name, job)
    report = shards.read_report(job, first)
    monkeypatch.delattr(beam_pipeline, "_decode_and_write")
    beam_pipeline.write_planned(first.name, job)
    assert shards.read_report(job, first) == report
    with pytest.raises(ValueError, match="folder that all workers share.*fold9-00000"):
        beam_pipeline.write_planned("fold9-00000", job)


def test_a_pipeline_that_fails_keeps_what_it_has_finished(tmp_path, monkeypatch):
    pets, written = write_pets(tmp_path / "pets"), []
    write = beam_pipeline._decode_and_write

    def full(job, shard):
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        written.append(shard.name)
        return write(job, shard)

    monkeypatch.setattr(beam_pipeline, "_decode_and_write", full)
    with pytest.raises(ValueError, match="finished are kept.*No space left.*runner=DirectRunner"):
        _prepare(pets, tmp_path / "data", runner="DirectRunner")
    assert not (tmp_path / "data" / "audio_folder").exists()
    monkeypatch.undo()
    monkeypatch.setattr(shards, "CLIPS_IN_A_SHARD", 2)
    # Whoever comes next may do the rest.
    result = _prepare(pets, tmp_path / "data", jobs=1)
    assert "taken over from a call that was stopped: 2 of 7 shards" in result.notes
    assert tree(result.path) == tree(_prepare(pets, tmp_path / "anew", jobs=1).path)


def test_workers_that_write_elsewhere_are_told(pets, tmp_path, monkeypatch):
    job, planned = _job(pets, tmp_path)
    monkeypatch.setattr(beam_pipeline, "write_planned", lambda name, job: name)
    with pytest.raises(ValueError, match=f"7 shards are not in {job.folder}, .* have to share"):
        BeamRun("DirectRunner").write_shards(job, planned, _Bar())


@pytest.mark.parametrize(
    ("runner", "options", "message"),
    [
        ("NoRunner", None, r"a runner of Apache Beam, such as .*Received: runner=NoRunner"),
        ("DirectRunner", "direct_num_workers=two", "direct_num_workers: invalid int value"),
        ("DirectRunner", "direct_num_workers", "expected one argument"),
        ("DirectRunner", "direct_running_mode=fast", r"choose from .*multi_processing"),
        ("DirectRunner", "nonsense=1", r"got: unknown --nonsense=1\. Received: beam_opt"),
        ("DirectRunner", "--nonsense 1 --more", r"got: unknown --nonsense 1 --more\. Rec"),
        ("DirectRunner", "direct_num_worker=8", r"worker=8 \(did you mean --direct_num_workers\?"),
        ("DirectRunner", "runner=FlinkRunner", r"\(--runner\), not .*'runner=FlinkRunner'"),
        ("DirectRunner", "--runner FlinkRunner", r"\(--runner\), not among its options"),
    ],
)
def test_runners_and_options_are_checked_first(tmp_path, capsys, runner, options, message):
    write_sound(tmp_path / "a.wav")
    with pytest.raises(ValueError, match=message) as info:
        _prepare(tmp_path, tmp_path / "data", runner=runner, beam_options=options)
    assert "\n" not in str(info.value)
    assert not (tmp_path / "data").exists() and capsys.readouterr() == ("", "")


def test_options_may_be_written_as_beam_writes_them():
    one = BeamRun("DirectRunner", "direct_num_workers=2, direct_running_mode=multi_threading,")
    other = BeamRun("DirectRunner", "--direct_num_workers=2 --direct_running_mode=multi_threading")
    assert repr(one) == repr(other)
    comma = BeamRun("DirectRunner", '--environment_config=\'{"a": 1, "b": 2}\'')
    assert '--environment_config={"a": 1, "b": 2}' in repr(comma)


@pytest.mark.parametrize("name", ["DirectRunner", "directrunner", "direct"])
def test_the_direct_runner_is_that_of_python_however_it_is_written(name):
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    assert type(BeamRun(name)._pipeline.runner) is FnApiRunner


@pytest.mark.parametrize(
    ("runner", "options"),
    [
        (
            "FlinkRunner",
            "flink_master=flink:8081,parallelism=64,environment_type=EXTERNAL,environment_config=h:1",
        ),
        ("SparkRunner", "spark_master_url=spark://spark:7077,environment_config=localhost:50000"),
        ("FlinkRunner", "project=mine,region=europe-west4,temp_location=gs://mine/tmp"),
        ("DirectRunner", "sdk_container_image=mine/keras-audio,experiments=a,no_use_public_ips"),
    ],
)
def test_options_of_all_runners_are_known(runner, options):
    assert repr(BeamRun(runner, options)).count("--") == options.count(",") + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beam_options": "direct_num_workers=2"}, r"Expected a runner \(--runner\)"),
        ({"runner": "DirectRunner", "jobs": 2}, "not --jobs. Received: jobs=2"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        _prepare(tmp_path, tmp_path / "data", **arguments)


def test_without_beam_it_says_what_to_install(pets, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "apache_beam"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(ValueError, match=r'pip install "keras-audio\[beam\]"'):
        _prepare(pets, tmp_path / "data", runner="DirectRunner")
    assert _prepare(pets, tmp_path / "data", jobs=1, allow_missing=True).clips == 11
