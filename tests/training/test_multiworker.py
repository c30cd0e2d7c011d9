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

# The sums of two workers behind a chief, and what they gather.
SHARED = """
import sys
import numpy as np
from keras_audio.training.workers import Workers, build_strategy

workers = Workers(build_strategy("multiworker"))
index = workers.index
assert workers.count == 3 and workers.is_first == (index == 0) and index == int(sys.argv[1])
assert workers.sum(np.array([index, 1.5])).tolist() == [3.0, 4.5]
assert workers.any(index == 2) and not workers.any(False)
blob = bytes(range(256)) * 4001 + b"odd"
assert workers.first(blob if index == 0 else None) == blob and workers.first(b"") == b""
rows = np.full((index, 2), index, np.float32)
assert workers.gather(rows).tolist() == [[1, 1], [2, 2], [2, 2]]
with workers.agreeing():
    pass
workers.check_same({"epochs": (1, 2)})
try:
    with workers.agreeing():
        workers.check_same({"batch_size": 8 * (1 + index // 2)})
except ValueError as error:
    print(error, file=sys.stderr)
"""
# What two devices, and one alone, drop of ones.
DROPPED = """
import sys
import keras, numpy as np, tensorflow as tf
from keras_audio.training.replicas import draw_apart

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
ones, masks = tf.ones((1, 64)), []
for devices in (["CPU:0"], ["CPU:0", "CPU:1"]):
    strategy = tf.distribute.MirroredStrategy(devices)
    with strategy.scope():
        layer = keras.layers.Dropout(0.5, seed=1)
        layer(ones)
    draw_apart(strategy, layer.variables)
    for _ in range(2):
        drawn = tf.function(lambda: strategy.run(lambda: layer(ones, training=True)))()
        masks += [tuple(mask.numpy()[0]) for mask in strategy.experimental_local_results(drawn)]
first, second, *both = masks
assert both[0] == first and both[2] == second  # the first device draws as one alone
assert len({first, second, both[1], both[3]}) == 4
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def start():
    """Starts a process a command, each a worker of one cluster on loopback; none outlives it."""
    started = []
    yield lambda commands, chief=False: start_workers(commands, started, chief)
    kill(started)


def kill(processes):
    for process in processes:
        process.kill()
        process.communicate()


def start_workers(commands, started, chief=False):
    addresses = [f"127.0.0.1:{port}" for port in free_ports(len(commands))]
    cluster = {"chief": addresses[:1]} if chief else {}
    cluster |= {"worker": addresses[chief:]}
    processes = []
    for number, command in enumerate(commands):
        task = {"type": "worker", "index": number - chief}
        task = {"type": "chief", "index": 0} if chief and number == 0 else task
        config = json.dumps({"cluster": cluster, "task": task})
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_CONFIG": config}
        processes.append(
            subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        )
    started += processes
    return processes


def end(processes):
    """The exit status and the messages of each."""
    errors = [process.communicate(timeout=300)[1] for process in processes]
    return [process.returncode for process in processes], errors


def wait_for_epochs(processes, run, epochs):
    while epochs_done(run) < epochs:
        assert all(process.poll() is None for process in processes), end(processes)
        time.sleep(0.02)


def command(data, run, *more):
    return [
        *(sys.executable, "-m", "keras_audio.cli", "train", "residual_blocks"),
        *("--dataset", "toy_sounds", "--fold", "1", "--data-dir", str(data), "--run", str(run)),
        *("--set=network=m3", "--set=duration=0.5", "--set=batch_size=16", "--set=epochs=6"),
        *("--strategy", "multiworker", *more),
    ]


def test_two_processes_train_as_one_with_the_joint_batch(start, toy_data, tmp_path):
    script = [sys.executable, str(JOINT_BATCHES), str(toy_data)]
    subprocess.run([*script, str(tmp_path), "single"], check=True)
    elsewhere = tmp_path / "elsewhere"
    folders = [str(tmp_path), str(elsewhere)]
    status, errors = end(start([[*script, to, "multiworker"] for to in folders]))
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
    run, started = tmp_path_factory.mktemp("unbroken") / "run", []
    try:
        status, errors = end(start_workers([command(toy_data, run)] * 2, started))
    finally:
        kill(started)
    assert status == [0, 0], errors
    return final_state(run)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_worker_is_killed_and_all_are_started_again(killed, unbroken, start, toy_data, tmp_path):
    run = tmp_path / "run"
    processes = start([command(toy_data, run)] * 2)
    wait_for_epochs(processes, run, 2)
    processes[killed].kill()
    status, errors = end(processes)
    assert status[killed] == -signal.SIGKILL
    # The other does not wait for ever. The first is the one that the others ask for all: where it
    # is gone, TensorFlow ends them itself.
    assert status[1 - killed] not in (0, None)
    if killed == 1:
        assert status[0] == os.EX_TEMPFAIL
        assert "another worker is gone" in errors[0] and "--resume" in errors[0]
    status, errors = end(start([command(toy_data, run, "--resume")] * 2))
    assert status == [0, 0], errors
    check_same(final_state(run), unbroken)


@pytest.mark.slow
def test_a_worker_is_told_to_stop_and_all_do(unbroken, start, toy_data, tmp_path):
    run = tmp_path / "run"
    processes = start([command(toy_data, run)] * 2)
    wait_for_epochs(processes, run, 1)
    processes[1].send_signal(signal.SIGTERM)
    status, errors = end(processes)
    assert status == [128 + signal.SIGTERM] * 2, errors
    assert all("stopped after round" in error for error in errors)
    # On one process, too, since the batches are the same.
    status, errors = end(start([command(toy_data, run, "--resume")]))
    assert status == [0], errors
    assert "workers differ" in errors[0]
    history, undisturbed = RunFolder(run).history(), [row["loss"] for row in unbroken[0]["history"]]
    np.testing.assert_allclose(history["loss"][0], undisturbed[0], rtol=1e-6)
    assert len(history["loss"]) == len(undisturbed)


# Ends the first worker as the best model of the first stage waits for its place.
KILLED_BETWEEN_STAGES = """
import os, signal, sys
from keras_audio.cli import main
from keras_audio.training import loop

save = loop.save_checkpoint

def save_and_die(path, variables, position):
    save(path, variables, position)
    if position["epoch"] == 1:
        os.kill(os.getpid(), signal.SIGKILL)

loop.save_checkpoint = save_and_die
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_the_first_worker_is_killed_between_two_stages(start, toy_data, tmp_path):
    """Its best model lies beside the checkpoint then; the others have to begin with that, too."""
    import data_prep

    data_prep.prepare("toy_sounds", sample_rate=22050, data_dir=tmp_path, progress=False)
    run = tmp_path / "run"
    whole = [*command(tmp_path, run)[:3], "train", "progressive_resizing", "--dataset=toy_sounds"]
    whole += [*command(tmp_path, run)[7:13], "--strategy=multiworker"]
    whole += ["--set=network=resnet10", "--set=num_filters=2", "--set=duration=1"]
    whole += ["--set=stages=16x32:1:0.01:constant,16x32:1:0.005:constant", "--set=batch_size=32"]
    dying = [sys.executable, "-c", KILLED_BETWEEN_STAGES, *whole[3:]]
    status, errors = end(start([dying, whole]))
    assert status[0] == -signal.SIGKILL, errors
    assert list((run / "checkpoints").glob("kept-*.keras"))
    status, errors = end(start([[*whole, "--resume"]] * 2))
    assert status == [0, 0], errors  # other weights in the second would be refused
    assert RunFolder(run).history()["stage"].tolist() == [1, 2]


@pytest.mark.slow
def test_how_much_memory_the_clips_may_take_the_first_decides(start, toy_data, tmp_path):
    """Streamed clips come in another order than those in memory, so all or none are."""
    for name, memory in (("one", ["--memory=100KB"] * 2), ("two", ["--memory=100KB", ""])):
        more = ["--set=epochs=2"]
        commands = [
            command(toy_data, tmp_path / name, *more, *filter(None, [size])) for size in memory
        ]
        status, errors = end(start(commands))
        assert status == [0, 0], errors
    check_same(final_state(tmp_path / "two"), final_state(tmp_path / "one"))


def check_same(state, other):
    assert state[0] == other[0]
    weights = [*state[1].values(), *state[2]], [*other[1].values(), *other[2]]
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_worker_without_the_records_ends_all(start, toy_data, tmp_path):
    commands = [command(toy_data, tmp_path / "run"), command(tmp_path / "none", tmp_path / "run")]
    status, errors = end(start(commands))
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
        ([["a:1"], 1], "not in the cluster"),
        ([["a:1"], 0.0], "not in the cluster"),
        ([["a:1"], True], "not in the cluster"),
        ([["a:1", "a:1"], 0], "one address twice"),
        (["a:1", 0], "no list"),
        ([[1], 0], "got 1, which is not host:port"),
        ([["localhost"], 0], "got 'localhost', which is not host:port"),
        ('{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}', "other jobs"),
        ('{"cluster": {}, "task": {"type": "worker", "index": 0}}', "not in the cluster"),
    ],
)
def test_what_the_environment_says_of_the_workers_is_checked(config, problem, monkeypatch):
    if isinstance(config, list):
        workers, index = config
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": workers}, "task": task})
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


@pytest.mark.slow
def test_what_several_processes_tell_each_other(start):
    commands = [[sys.executable, "-c", SHARED, str(number)] for number in range(3)]
    status, errors = end(start(commands, chief=True))
    assert status == [0, 0, 0], errors
    assert "Expected batch_size as the first worker has it, 8. Received: batch_size=16" in errors[2]
    assert all("worker 2 says what is wrong" in error for error in errors[:2])


def test_workers_with_other_settings_are_refused(start, toy_data, tmp_path):
    run = tmp_path / "run"
    commands = [command(toy_data, run), command(toy_data, run, "--set=batch_size=32")]
    status, errors = end(start(commands))
    assert status == [2, 2]
    assert "Expected batch_size as the first worker has it, 16" in errors[1]
    assert not run.exists()


def test_a_worker_that_waits_for_others_can_be_stopped(start):
    code = "from keras_audio.training.workers import build_strategy; build_strategy('multiworker')"
    # The second never comes: its command ends at once.
    waiting, _ = start([[sys.executable, "-c", code], ["true"]])
    while "waiting for all workers: 127.0.0.1:" not in waiting.stderr.readline():
        assert waiting.poll() is None
    time.sleep(1)
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(timeout=30) == -signal.SIGINT


def test_each_device_draws_its_own_numbers():
    subprocess.run([sys.executable, "-c", DROPPED], check=True)
