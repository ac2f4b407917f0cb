"""Machines with GPUs, simulated by a fake nvidia-smi and a fake torch. The jobs that share them are real processes."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from reprior.errors import UserError
from reprior.machine import devices
from reprior.machine.devices import chosen_device, queued_jobs, taken, usable_gpus
from reprior.machine.locks import is_locked

UUIDS = ["GPU-aaaa-1", "GPU-bbbb-2", "GPU-bbbc-3"]
TORCH = """
from types import SimpleNamespace as Holder
cuda = Holder(is_available=lambda: True, is_initialized=lambda: False)
backends = Holder(cuda=Holder(is_built=lambda: True), mps=Holder(is_available=lambda: False))
"""
JOB = """
import json, os, sys, time
from reprior.machine import devices
devices._POLL = 0.05
with devices.taken("cuda", int(sys.argv[1])):
    began = time.monotonic()
    print("began", os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    time.sleep(float(sys.argv[2]))
    ended = time.monotonic()
print(json.dumps([os.environ.get("CUDA_VISIBLE_DEVICES"), began, ended]), flush=True)
"""


def program(path: Path, body: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@dataclass
class Job:
    """A process that holds a GPU, or waits for one."""

    process: subprocess.Popen[str]
    gpu: str = ""

    def begun(self) -> Job:
        """Wait up to 20 s until it has a GPU."""
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], 20)[0], "it waits for a GPU"
        self.gpu = self.process.stdout.readline().split()[1]
        return self

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Machine:
    """A machine with some GPUs, on which jobs can be started."""

    def __init__(self, folder: Path, uuids: Sequence[str] = UUIDS) -> None:
        self.folder = folder
        (folder / "tmp").mkdir()
        (folder / "torch.py").write_text(TORCH)
        (folder / "job.py").write_text(JOB)
        self.lists(uuids)
        self.jobs: list[Job] = []

    def lists(self, uuids: Sequence[str]) -> None:
        """Let nvidia-smi list these GPUs."""
        lines = [f"echo '{uuid}, {index}, Fake GPU, 8000 MiB'" for index, uuid in enumerate(uuids)]
        program(self.folder / "bin" / "nvidia-smi", "\n".join(lines))

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        kept = {key: value for key, value in os.environ.items() if key not in (devices.VISIBLE, "SLURM_JOB_ID")}
        return kept | {"PATH": path, "TMPDIR": str(self.folder / "tmp"), "PYTHONPATH": str(self.folder)}

    def start(self, jobs_per_gpu: int = 1, seconds: float = 60, **environment: str) -> Job:
        process = subprocess.Popen(
            [sys.executable, self.folder / "job.py", str(jobs_per_gpu), str(seconds)],
            env=self.environment | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.jobs.append(Job(process))
        return self.jobs[-1]

    def clear(self) -> None:
        for job in self.jobs:
            job.kill()
            job.process.communicate()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.clear()


@pytest.fixture
def here(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """This process on that machine, with a torch that sees its GPUs."""
    for name in (devices.VISIBLE, "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    for name in ("PATH", "TMPDIR"):
        monkeypatch.setenv(name, machine.environment[name])
    monkeypatch.setattr(devices.tempfile, "tempdir", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    return monkeypatch


def most_at_once(spans: Sequence[tuple[float, float]]) -> int:
    return max(sum(began <= moment < ended for began, ended in spans) for moment, _ in spans)


@pytest.mark.parametrize("jobs_per_gpu", [1, 2])
def test_all_gpus_are_used_and_none_by_too_many_jobs(machine: Machine, jobs_per_gpu: int) -> None:
    jobs = [machine.start(jobs_per_gpu, seconds=0.4) for _ in range(9)]
    outputs = [job.process.communicate(timeout=30)[0].splitlines() for job in jobs]
    spans: dict[str, list[tuple[float, float]]] = {}
    for began, ended in outputs:
        after, start, end = json.loads(ended)
        assert after is None, "the variable is put back"
        spans.setdefault(began.split()[1], []).append((start, end))
    assert set(spans) == set(UUIDS)
    assert max(map(most_at_once, spans.values())) == jobs_per_gpu


def test_a_killed_job_frees_its_gpu_at_once_for_one_that_waits_and_says_so(machine: Machine) -> None:
    machine.lists(UUIDS[:1])
    holder = machine.start().begun()
    waiting = machine.start()
    assert waiting.process.stderr is not None
    told = waiting.process.stderr.readline()
    assert "waiting for a GPU: each usable one has reached its limit of 1 (jobs_per_gpu)" in told
    assert f"process {holder.process.pid} on " in told
    time.sleep(0.3)  # several checks
    holder.kill()
    began = time.monotonic()
    assert waiting.begun().gpu == UUIDS[0]
    assert time.monotonic() - began < 1
    assert "waiting" not in waiting.process.stderr.readline(), "it says so once"


def test_the_gpu_with_the_fewest_jobs_is_taken(machine: Machine) -> None:
    machine.lists(UUIDS[:2])
    jobs = [machine.start(jobs_per_gpu=3).begun() for _ in range(4)]
    assert [job.gpu for job in jobs] == [UUIDS[0], UUIDS[1], UUIDS[0], UUIDS[1]]
    jobs[1].kill()
    jobs[3].kill()
    assert [machine.start(jobs_per_gpu=3).begun().gpu for _ in range(2)] == [UUIDS[1], UUIDS[1]]


def test_a_run_that_shares_gpus_does_not_disturb_one_that_does_not(machine: Machine) -> None:
    machine.lists(UUIDS[:1])
    machine.start(jobs_per_gpu=2).begun()
    alone = machine.start(jobs_per_gpu=1)
    assert alone.process.stderr is not None
    assert "waiting" in alone.process.stderr.readline()


def test_index_0_of_two_slurm_jobs_may_be_two_gpus(machine: Machine) -> None:
    """With cgroups, nvidia-smi lists only the job's own GPU, as index 0."""
    machine.lists(UUIDS[:1])
    assert machine.start(CUDA_VISIBLE_DEVICES="0", SLURM_JOB_ID="1").begun().gpu == UUIDS[0]
    machine.lists(UUIDS[1:2])
    assert machine.start(CUDA_VISIBLE_DEVICES="0", SLURM_JOB_ID="2").begun().gpu == UUIDS[1]


def test_one_gpu_under_two_indices_is_one_gpu(machine: Machine) -> None:
    machine.start(CUDA_VISIBLE_DEVICES="1").begun()
    machine.lists(UUIDS[1:2])
    other = machine.start(CUDA_VISIBLE_DEVICES="0")
    assert other.process.stderr is not None
    assert "waiting" in other.process.stderr.readline()


def test_without_nvidia_smi_indices_count_within_a_slurm_job(machine: Machine) -> None:
    program(machine.folder / "bin" / "nvidia-smi", "echo no driver >&2; exit 9")
    job = machine.start(CUDA_VISIBLE_DEVICES="0", SLURM_JOB_ID="1").begun()
    assert job.process.stderr is not None
    assert job.process.stderr.readline() == "device: nvidia-smi failed (no driver)\n"
    assert job.process.stderr.readline() == "device: cuda: a GPU without known UUID, 0\n"
    machine.start(CUDA_VISIBLE_DEVICES="0", SLURM_JOB_ID="2").begun()
    same = machine.start(CUDA_VISIBLE_DEVICES="0", SLURM_JOB_ID="1")
    assert same.process.stderr is not None
    same.process.stderr.readline()
    assert "waiting" in same.process.stderr.readline()


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("2,0", [UUIDS[2], UUIDS[0]]),
        ("GPU-bbbc-3, GPU-aaaa-1", [UUIDS[2], UUIDS[0]]),
        ("GPU-bbbc", [UUIDS[2]]),
        ("1,1", [UUIDS[1]]),
        ("1,7,0", [UUIDS[1]]),
        ("MIG-cccc", ["MIG-cccc"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
    ],
)
def test_only_gpus_that_the_variable_names_are_used(
    here: pytest.MonkeyPatch, named: str, expected: Sequence[str]
) -> None:
    here.setenv(devices.VISIBLE, named)
    assert [gpu.name for gpu in usable_gpus()] == expected


def test_a_taken_gpu_is_told_and_the_variable_is_put_back(
    here: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here.setenv(devices.VISIBLE, "1,2")
    with taken("auto") as device:
        assert (device, os.environ[devices.VISIBLE]) == ("cuda", UUIDS[1])
    assert os.environ[devices.VISIBLE] == "1,2"
    assert capsys.readouterr().err == "device: cuda: Fake GPU, GPU-bbbb-2\n"


def test_a_gpu_that_torch_cannot_use_is_given_back_for_the_cpu(
    here: pytest.MonkeyPatch, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    here.setattr(torch.cuda, "is_available", lambda: False)
    with taken("auto") as device:
        assert device == "cpu"
        assert not any(map(is_locked, (machine.folder / "tmp").glob("*/*")))
    assert (
        capsys.readouterr().err
        == "device: cpu: torch cannot use Fake GPU, GPU-aaaa-1: the driver may be too old for it\n"
    )


def test_the_cpu_takes_no_gpu(here: pytest.MonkeyPatch, machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    with taken("cpu") as device:
        assert device == "cpu"
    assert capsys.readouterr().err == "device: cpu: as asked\n"
    assert not list((machine.folder / "tmp").iterdir())


def test_apple_s_device_is_taken_where_there_is_no_cuda(here: pytest.MonkeyPatch) -> None:
    here.setattr(torch.backends.cuda, "is_built", lambda: False)
    here.setattr(torch.cuda, "is_available", lambda: False)
    here.setattr(torch.backends.mps, "is_available", lambda: True)
    with taken("auto") as device:
        assert device == "mps"


@pytest.mark.parametrize(
    ("asked", "built", "visible", "reason"),
    [
        ("cuda", False, None, "is installed without CUDA"),
        ("cuda", True, None, "torch cannot use Fake GPU, GPU-aaaa-1: the driver may be too old for it;"),
        ("cuda", True, "NoDevFiles", "torch sees no GPU here (CUDA_VISIBLE_DEVICES='NoDevFiles')"),
        ("mps", True, None, "torch sees no MPS device here"),
    ],
)
def test_a_device_that_is_not_there_is_refused_with_the_reason(
    here: pytest.MonkeyPatch, asked: str, built: bool, visible: str | None, reason: str
) -> None:
    here.setattr(torch.cuda, "is_available", lambda: False)
    here.setattr(torch.backends.cuda, "is_built", lambda: built)
    if visible is not None:
        here.setenv(devices.VISIBLE, visible)
    with pytest.raises(UserError) as error, taken(asked):
        pass
    assert f"device: {asked} was asked for, but" in str(error.value)
    assert reason in str(error.value)
    assert "set 'device: auto' in config.yaml" in str(error.value)


def test_auto_is_the_cpu_without_a_gpu(here: pytest.MonkeyPatch) -> None:
    here.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen_device("auto") == "cpu"


def test_a_gpu_cannot_be_taken_once_cuda_is_in_use(here: pytest.MonkeyPatch) -> None:
    here.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.raises(RuntimeError, match="has to be taken before"), taken("cuda"):
        pass


def test_a_folder_of_locks_that_others_can_change_is_refused(here: pytest.MonkeyPatch, machine: Machine) -> None:
    folder = machine.folder / "tmp" / f"reprior-gpus-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(UserError, match="you alone"), taken("cuda"):
        pass


SNAKEFILE = """
rule all:
    input:
        expand("{number}.json", number=range(6)),

rule job:
    output:
        "{number}.json",
    resources:
        gpu=1,
    shell:
        "{PYTHON} job.py 1 0.5 > {output}"
"""


def test_snakemake_s_jobs_never_share_a_gpu(machine: Machine) -> None:
    """Snakemake runs two jobs at a time here, on three GPUs."""
    (machine.folder / "Snakefile").write_text(f"PYTHON = {sys.executable!r}\n{SNAKEFILE}")
    command = [sys.executable, "-m", "snakemake", "--cores", "4", "--resources", "gpu=2", "--scheduler", "greedy"]
    done = subprocess.run(command, cwd=machine.folder, env=machine.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    spans: dict[str, list[tuple[float, float]]] = {}
    for path in machine.folder.glob("*.json"):
        began, ended = path.read_text().splitlines()
        spans.setdefault(began.split()[1], []).append(tuple(json.loads(ended)[1:]))
    assert sum(map(len, spans.values())) == 6
    assert len(spans) == 2
    assert all(before[1] <= after[0] for each in spans.values() for before, after in pairwise(sorted(each)))


@pytest.fixture
def squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Replaces squeue with a shell script."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return lambda body: program(tmp_path / "bin" / "squeue", body)


def test_queued_jobs_are_snakemake_s_of_the_folder(tmp_path: Path, squeue: Callable[[str], None]) -> None:
    run = "2e5a1b0c-7c1d-4f6e-9a3b-0123456789ab"
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    squeue(
        f"""
        echo '17|RUNNING|{run}|{tmp_path}/run|rule_reconstruct_wildcards_sr'
        echo '18|PENDING|site_{run}|{tmp_path}/run|rule_train'
        echo '19|RUNNING|{run}|{tmp_path}/elsewhere|rule_train'
        echo '20|RUNNING|head.sh|{tmp_path}/run|(null)'
        """
    )
    expected = ["17 running: rule_reconstruct_wildcards_sr", "18 pending: rule_train"]
    assert queued_jobs(tmp_path / "run") == expected
    assert queued_jobs(tmp_path / "link") == expected


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("exec sleep 60", "squeue did not answer within 0.3 s"),
        ("echo slurm_load_jobs error: Unable to contact >&2; exit 1", "squeue failed (slurm_load_jobs error: Unable"),
    ],
)
def test_a_dead_controller_is_told_and_stops_nothing(
    tmp_path: Path,
    squeue: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    body: str,
    reason: str,
) -> None:
    squeue(body)
    monkeypatch.setattr(devices, "_PATIENCE", 0.3)
    began = time.monotonic()
    assert queued_jobs(tmp_path) == []
    assert time.monotonic() - began < 3
    assert reason in capsys.readouterr().err


def test_without_slurm_nothing_is_queued_and_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert queued_jobs(tmp_path) == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("word", ["CUDA_VISIBLE_DEVICES", "SLURM_", "squeue", "sbatch", "scontrol"])
def test_no_other_module_knows_of_slurm_or_of_gpu_slots(root: Path, word: str) -> None:
    knowing = [path.name for path in (root / "src").rglob("*.py") if word in path.read_text(encoding="utf-8")]
    assert set(knowing) <= {"devices.py"}
