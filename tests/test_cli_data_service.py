"""The verb data-service, up to a training that reads through it."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from keras_audio.cli import main
from keras_audio.training import RunFolder

COMMAND = [sys.executable, "-m", "keras_audio.cli", "data-service", "--host", "localhost"]


def served(*options):
    """Start one of the processes; gives it and what it says of itself."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, text=True, env=environment
    )
    return process, process.stdout.readline().split()


@pytest.fixture
def service():
    dispatcher, said = served()
    worker, of = served("--worker-of", said[1])
    assert of[0] == "worker" and of[-1] == said[1]
    yield said[1]
    for process in (worker, dispatcher):
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_a_training_reads_through_a_service(service, toy_data, tmp_path):
    run = tmp_path / "run"
    options = ["--set", "network=m3", "--set", "duration=0.5", "--set", "epochs=1"]
    arguments = ["train", "residual_blocks", "--dataset", "toy_sounds", "--fold", "1", *options]
    arguments += ["--data-dir", str(toy_data), "--run", str(run), "--data-service", service]
    assert main(arguments) == 0
    assert RunFolder(run).environment["service"] == service
    assert len(RunFolder(run).history()["loss"]) == 1


def test_a_worker_without_a_dispatcher_says_so(capfd):
    assert main(["data-service", "--worker-of", "grpc://localhost:1", "--host", "localhost"]) == 2
    assert "Expected a tf.data service to answer" in capfd.readouterr().err


def test_a_port_that_is_taken_says_so(capfd):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["data-service", "--port", port]) == 2
    assert f"Received: --port {port}" in capfd.readouterr().err


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_ports_are_checked(port, capsys):
    with pytest.raises(SystemExit):
        main(["data-service", "--port", port])
    assert f"expected a port from 0 to 65535, got '{port}'" in capsys.readouterr().err
