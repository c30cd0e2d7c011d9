"""Several processes on loopback train as one with the joint batch, and outlive each other."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from broken_runs import JOINT_BATCHES, check_as_single, epochs_done, final_state

from keras_audio.training import RunFolder
from keras_audio.training.workers import Workers, build_strategy


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start_workers(commands):
    """Start a process a command, each a worker of one cluster on loopback."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(len(commands))]
    processes = []
    for index, command in enumerate(commands):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_CONFIG": json.dumps(task)}
        processes.append(
            subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        )
    return processes


def end(processes):
    """The exit status and the messages of each."""
    errors = [process.communicate(timeout=300)[1] for process in processes]
    return [process.returncode for process in processes], errors


def command(data, run, *more):
    return [
        *(sys.executable, "-m", "keras_audio.cli", "train", "residual_blocks"),
        *("--dataset", "toy_sounds", "--fold", "1", "--data-dir", str(data), "--run", str(run)),
        *("--set=network=m3", "--set=duration=0.5", "--set=batch_size=16", "--set=epochs=6"),
        *("--strategy", "multiworker", *more),
    ]


def test_two_processes_train_as_one_with_the_joint_batch(toy_data, tmp_path):
    script = [sys.executable, str(JOINT_BATCHES), str(toy_data)]
    subprocess.run([*script, str(tmp_path), "single"], check=True)
    elsewhere = tmp_path / "elsewhere"
    folders = [str(tmp_path), str(elsewhere)]
    status, errors = end(start_workers([[*script, to, "multiworker"] for to in folders]))
    assert status == [0, 0], errors
    assert not elsewhere.exists()  # the first alone writes
    check_as_single(tmp_path, "multiworker")
    for name in ("without_batch_norm", "with_batch_norm"):
        run = RunFolder(tmp_path / f"{name}-multiworker")
        assert run.environment["workers"] == 2
        assert "'synchronized': True" not in str(run.model().get_config())


@pytest.fixture(scope="module")
def unbroken(toy_data, tmp_path_factory):
    """What two workers end with that nobody disturbs."""
    run = tmp_path_factory.mktemp("unbroken") / "run"
    status, errors = end(start_workers([command(toy_data, run)] * 2))
    assert status == [0, 0], errors
    return final_state(run)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_worker_is_killed_and_all_are_started_again(killed, unbroken, toy_data, tmp_path):
    run = tmp_path / "run"
    processes = start_workers([command(toy_data, run)] * 2)
    while epochs_done(run) < 2:
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)
    processes[killed].kill()
    status, errors = end(processes)
    assert status[killed] == -signal.SIGKILL
    # The other does not wait for ever. The first is the one that the others ask for all: where it
    # is gone, TensorFlow ends them itself.
    assert status[1 - killed] not in (0, None)
    if killed == 1:
        assert status[0] == os.EX_TEMPFAIL
        assert "another worker is gone" in errors[0] and "--resume" in errors[0]
    status, errors = end(start_workers([command(toy_data, run, "--resume")] * 2))
    assert status == [0, 0], errors
    check_same(final_state(run), unbroken)


@pytest.mark.slow
def test_a_worker_is_told_to_stop_and_all_do(unbroken, toy_data, tmp_path):
    run = tmp_path / "run"
    processes = start_workers([command(toy_data, run)] * 2)
    while epochs_done(run) < 1:
        time.sleep(0.02)
    processes[1].send_signal(signal.SIGTERM)
    status, errors = end(processes)
    assert status == [128 + signal.SIGTERM] * 2, errors
    assert all("stopped after round" in error for error in errors)
    # On one process, too, since the batches are the same.
    status, errors = end(start_workers([command(toy_data, run, "--resume")]))
    assert status == [0], errors
    assert "workers differ" in errors[0]
    history, undisturbed = RunFolder(run).history(), [row["loss"] for row in unbroken[0]["history"]]
    np.testing.assert_allclose(history["loss"][0], undisturbed[0], rtol=1e-6)
    assert len(history["loss"]) == len(undisturbed)


def check_same(state, other):
    assert state[0] == other[0]
    weights = [*state[1].values(), *state[2]], [*other[1].values(), *other[2]]
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_worker_without_the_records_ends_all(toy_data, tmp_path):
    commands = [command(toy_data, tmp_path / "run"), command(tmp_path / "none", tmp_path / "run")]
    status, errors = end(start_workers(commands))
    assert status == [2, 2]
    assert "worker 1 says what is wrong" in errors[0]
    assert "Expected records of toy_sounds" in errors[1]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ("", "got nothing"),
        ("{", "got JSONDecodeError"),
        ('{"cluster": {"worker": ["a:1"]}}', "got KeyError"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "not in the"),
        ('{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}', "other jobs"),
    ],
)
def test_what_the_environment_says_of_the_workers_is_checked(config, problem, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ValueError, match=problem) as error:
        build_strategy("multiworker")
    assert "TF_CONFIG to name all workers" in str(error.value)


def test_one_process_is_all_workers_there_are():
    workers = Workers(build_strategy("single"))
    rows = np.arange(6).reshape(3, 2)
    assert workers.gather(rows) is rows and workers.sum(rows) is rows
    assert workers.first(b"abc") == b"abc" and not workers.any(False)
    with pytest.raises(ValueError, match="wrong"), workers.agreeing():
        raise ValueError("wrong")
    with pytest.raises(ValueError, match="Expected strategy to be one of"):
        build_strategy("multi")
