"""The warm parent: its forks behave like separate processes, and nothing of it is left after a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from reprior.jobs import warm
from reprior.loading import load
from reprior.machine.files import save_tensors
from reprior.machine.locks import holder, is_locked, job_lock
from tests.workflow.runner import started_parent

PICTURES = {"dataset": {"name": "scenes-drawn"}, "shift": 0, "count": 1, "first": 0}
GENERATOR = {"name": "began", "size": 64, "channels": 4, "latent": 8}
CASE = {"study": "s", "case": "c", "operator": {"name": "bicubic", "scale": 4}, "noise": 0.0}
METHOD = {"name": "csgm", "steps": 1_000_000}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the warm parent is for Linux")


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A warm parent, and the name that leads to it."""
    with started() as parent:
        yield parent


@contextmanager
def started() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    name, process = started_parent()
    assert process is not None
    assert process.stdin is not None
    yield name, process
    process.stdin.close()
    assert process.wait(timeout=30) == 0


@pytest.fixture
def parent(
    shared: tuple[str, subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> subprocess.Popen[bytes]:
    """A warm parent, for jobs in an empty folder."""
    for name in warm.THREADS:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv(warm.VARIABLE, shared[0])
    monkeypatch.chdir(tmp_path)
    return shared[1]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "reprior", *arguments]


def prepare(out: Path) -> list[str]:
    return ["prepare", json.dumps(PICTURES), "--raw", "raw", "--out", str(out)]


def reconstruct() -> list[str]:
    """The command of a job that takes long, in the working folder."""
    subprocess.run(command(*prepare(Path("images.safetensors"))), check=True)
    subprocess.run(command("observe", "images.safetensors", "--case", json.dumps(CASE), "--out", "y.safetensors"))
    settings = {key: value for key, value in GENERATOR.items() if key != "name"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_tensors("tiny.safetensors", load("generator", "began")(**settings).state_dict())
    generator = json.dumps({**GENERATOR, "weights": "tiny.safetensors"})
    options = ["--label", "csgm", "--method", json.dumps(METHOD), "--generator", generator, "--device", "cpu"]
    return command("reconstruct", "y.safetensors", *options, "--checkpoint-seconds", "1", "--out", "x.safetensors")


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def working() -> int:
    """Wait until the job of `reconstruct` has saved something; return its process id."""
    lock = job_lock(Path("x.safetensors"))
    wait_for(lambda: Path(".x.checkpoint").exists() and is_locked(lock))
    return int(holder(lock).split()[1])


def is_alive(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_fork_makes_the_bytes_that_a_process_makes(parent: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert warm.delegated(prepare(tmp_path / "fork.safetensors")) == 0
    subprocess.run(
        command(*prepare(tmp_path / "process.safetensors")), env={**os.environ, warm.VARIABLE: ""}, check=True
    )
    assert (tmp_path / "fork.safetensors").read_bytes() == (tmp_path / "process.safetensors").read_bytes()
    fork, process = (json.loads(path.read_text()) for path in sorted((tmp_path / ".provenance").iterdir()))
    assert fork["command"] == process["command"].replace("process.safetensors", "fork.safetensors")
    assert fork["versions"] == process["versions"]


def test_an_error_ends_as_in_a_process(parent: subprocess.Popen[bytes], tmp_path: Path) -> None:
    done = subprocess.run(command("observe", "missing", "--case", json.dumps(CASE), "--out", "y"), capture_output=True)
    assert done.returncode == 1
    assert b"missing" in done.stderr
    usage = subprocess.run(command("prepare", "{}"), capture_output=True)
    assert usage.returncode == 2
    assert b"required" in usage.stderr


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_fork(parent: subprocess.Popen[bytes], how: signal.Signals) -> None:
    with subprocess.Popen(reconstruct()) as job:
        fork = working()
        assert fork != job.pid
        job.send_signal(how)
        assert job.wait(60) == 128 + how
    wait_for(lambda: not is_alive(fork))
    assert Path(".x.checkpoint").exists()
    assert not Path("x.safetensors").exists()


def test_the_fork_of_a_killed_command_is_killed(parent: subprocess.Popen[bytes]) -> None:
    with subprocess.Popen(reconstruct()) as job:
        fork = working()
        job.kill()
    wait_for(lambda: not is_alive(fork))


def test_the_command_of_a_killed_fork_says_so(parent: subprocess.Popen[bytes]) -> None:
    with subprocess.Popen(reconstruct(), stderr=subprocess.PIPE) as job:
        os.kill(working(), signal.SIGKILL)
        _, said = job.communicate(timeout=60)
    assert job.returncode == 128 + signal.SIGKILL
    assert b"the process of this job was killed" in said


def test_forks_outlive_the_parent_and_the_parent_no_run(
    parent: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with started() as (name, own):
        monkeypatch.setenv(warm.VARIABLE, name)
        job = subprocess.Popen(reconstruct())
        fork = working()
    assert own.poll() == 0
    with job:
        assert is_alive(fork)
        job.terminate()
        assert job.wait(60) == 128 + signal.SIGTERM


@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "PYTHONPATH", "LD_BIND_NOT"])
def test_a_job_of_another_environment_is_left_to_its_own_process(
    parent: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "7")
    assert warm.delegated(prepare(tmp_path / "x.safetensors")) is None


def test_without_a_parent_a_job_is_done_by_its_own_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(warm.VARIABLE, "reprior-gone")
    assert warm.delegated(prepare(tmp_path / "x.safetensors")) is None
    monkeypatch.delenv(warm.VARIABLE)
    assert warm.delegated(prepare(tmp_path / "x.safetensors")) is None


def test_a_run_within_a_run_has_no_parent_of_its_own(parent: subprocess.Popen[bytes]) -> None:
    name = os.environ[warm.VARIABLE]
    assert warm.start() is None
    assert os.environ[warm.VARIABLE] == name


def test_what_takes_long_or_needs_no_package_is_never_handed_over(parent: subprocess.Popen[bytes]) -> None:
    assert warm.delegated(["train", "w.safetensors"]) is None
    assert warm.delegated(["plan"]) is None
    assert warm.delegated([]) is None


def test_the_parent_loads_nothing_of_reprior() -> None:
    """Otherwise a fork would run the code from the start of the run instead of the code on disk."""
    load_all = "[warm._load(packages) for packages in warm.PACKAGES.values()]"
    ask = f"import sys; from reprior.jobs import warm; {load_all}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    assert "torch" in loaded
    assert {name for name in loaded if name.startswith("reprior")} == {"reprior", "reprior.jobs", "reprior.jobs.warm"}
