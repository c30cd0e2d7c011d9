"""The launch files of docs/launch start trainings: with programs in place of SLURM's and ours."""

import json
import os
import pathlib
import subprocess

import pytest
import yaml

LAUNCH = pathlib.Path(__file__).parent.parent / "docs" / "launch"
# In place of keras-audio: says how it was called, and ends as it was told to.
TRAIN = (
    '#!/bin/bash\necho "$TF_CONFIG" > config-$INDEX.json\necho "$@" > called-$INDEX\nexit $ENDS\n'
)
# Runs the command once a task, as srun does; the first that fails decides.
SRUN = """#!/bin/bash
[ "$1" = --kill-on-bad-exit=1 ] || exit 99
shift
for rank in 0 1; do SLURM_PROCID=$rank INDEX=$rank "$@" || status=$?; done
exit ${status:-0}
"""
SCONTROL = """#!/bin/bash
case "$1 $2" in
    "show hostnames") [ "$3" = "node[07-08]" ] && printf 'node07\\nnode08\\n' ;;
    requeue*) echo "$2" > requeued ;;
esac
"""


def programs(folder, **sources):
    """A folder of programs, first on the path; gives the environment."""
    (folder / "bin").mkdir()
    for name, source in sources.items():
        program = folder / "bin" / name.replace("_", "-")
        program.write_text(source)
        program.chmod(0o755)
    return {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}


def check_worker(folder, index, addresses, arguments):
    config = json.loads((folder / f"config-{index}.json").read_text())
    assert config["cluster"] == {"worker": addresses}
    assert config["task"] == {"type": "worker", "index": index}
    assert (folder / f"called-{index}").read_text().split() == arguments


@pytest.mark.parametrize(("ends", "again"), [(0, False), (2, False), (75, True), (143, True)])
def test_slurm(ends, again, tmp_path):
    environment = programs(tmp_path, srun=SRUN, scontrol=SCONTROL, keras_audio=TRAIN)
    environment |= {"SLURM_JOB_ID": "41234", "SLURM_JOB_NODELIST": "node[07-08]"}
    script = ["bash", str(LAUNCH / "slurm.sbatch"), "erann", "--dataset", "audioset"]
    result = subprocess.run(script, cwd=tmp_path, env=environment | {"ENDS": str(ends)})
    assert result.returncode == ends
    addresses = ["node07:21234", "node08:21234"]
    called = "train erann --dataset audioset --strategy multiworker --resume".split()
    for index in (0, 1):
        check_worker(tmp_path, index, addresses, called)
    assert (tmp_path / "requeued").exists() == again


@pytest.mark.parametrize("index", [0, 1])
def test_kubernetes(index, tmp_path):
    service, job = yaml.safe_load_all((LAUNCH / "kubernetes.yaml").read_text())
    pod, name = job["spec"]["template"]["spec"], job["metadata"]["name"]
    # The names by which the pods of an indexed job reach each other.
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": name}
    count = job["spec"]["completions"]
    assert job["spec"]["parallelism"] == count
    (container,) = pod["containers"]
    given = {variable["name"]: variable["value"] for variable in container["env"]}
    environment = programs(tmp_path, keras_audio=TRAIN) | given
    environment |= {"JOB_COMPLETION_INDEX": str(index), "INDEX": str(index), "ENDS": "0"}
    assert subprocess.run(container["command"], cwd=tmp_path, env=environment).returncode == 0
    addresses = [f"{name}-{pod_index}.{pod['subdomain']}:2222" for pod_index in range(count)]
    called = "train erann --dataset audioset --strategy multiworker --resume".split()
    check_worker(tmp_path, index, addresses, called)
