"""A tiny project, run once. Tests damage it, kill its runs, or start several runs in it."""

from __future__ import annotations

import csv
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reprior import provenance
from reprior.machine.locks import is_locked, job_lock
from tests.workflow.conftest import STUDY, Project, environment, make_project

CELL = Path("results/tiny/mine/sr")
RESULT = CELL / "csgm/0000-0001.safetensors"
METHODS = {
    "csgm": {"name": "csgm", "label": "CSGM", "steps": 1000},
    "iagan": {"name": "iagan", "label": "IAGAN", "start": "csgm", "steps": 200},
}
TABLE = {
    "kind": "table",
    "title": "Everything",
    "cases": ["sr"],
    "methods": ["csgm", "iagan"],
    "metrics": ["psnr", "mse"],
}
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--cores", "2"]
_PATIENCE = 300


def make_small_project(root: Path, folder: Path) -> Project:
    """Two methods on one batch of two images, with the real profiles/default."""
    folder.mkdir(exist_ok=True)
    project = make_project(root, folder)
    shutil.copytree(root / "profiles/default", folder / "profiles/default")
    (folder / "config.yaml").write_text("scale: tiny\nstudies: [mine]\nimages_per_job: 2\ncheckpoint_seconds: 1\n")
    case = {**STUDY["cases"]["sr"], "methods": {"csgm": None, "iagan": None}}
    project.write_study({**STUDY, "methods": METHODS, "cases": {"sr": case}, "artifacts": {"table": TABLE}})
    return project


@pytest.fixture(scope="session")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that has been run once. Tests must not change it."""
    project = make_small_project(root, tmp_path_factory.mktemp("undisturbed"))
    project.snakemake()
    return project


@pytest.fixture
def again(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, which tests may damage."""
    shutil.copytree(finished.folder, tmp_path / "again", copy_function=shutil.copy2)
    return Project(tmp_path / "again")


@contextmanager
def started(folder: Path, *command: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process that leads its own session. After the block, no process of the session is left."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=env or environment(),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        kill_group(process)


def kill_group(process: subprocess.Popen[str]) -> None:
    """Kill the main process and the commands of its jobs. Wait until they and the warm parent's forks are gone."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()
    wait_for(lambda: not members(process.pid))


def members(session: int) -> list[list[str]]:
    """The living processes of a session: their fields of /proc/<pid>/stat, starting with the state."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(fields)
    return found


def cpu_seconds(session: int) -> float:
    """Processor time of a session and its ended children. Unlike wall-clock time, it does not depend on other load."""
    return sum(sum(map(int, fields[11:15])) for fields in members(session)) / os.sysconf("SC_CLK_TCK")


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until the condition is true."""
    until = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def wait_for_work(project: Project, head: subprocess.Popen[str]) -> None:
    """Wait until a job of this run works on `RESULT` and has saved a checkpoint."""
    path = project.folder / RESULT
    wait_for(lambda: path.with_name(f".{path.stem}.checkpoint").exists() or head.poll() is not None)
    assert is_locked(job_lock(path))


def forget(project: Project) -> None:
    """Remove `RESULT` and the numbers that depend on it."""
    for suffix in (".safetensors", ".json", ".csv"):
        (project.folder / RESULT).with_suffix(suffix).unlink()
    for table in ("results/tiny/mine/metrics.csv", "results/tiny/metrics.csv"):
        (project.folder / table).unlink()


def files(folder: Path) -> dict[str, bytes]:
    """Every file that a run makes below results/ and data/, including hidden files, except logs and the run's lock."""
    found = (path for top in ("results", "data") for path in (folder / top).rglob("*") if path.is_file())
    made = (path for path in found if "logs" not in path.parts and path.name != ".run.lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in made}


def numbers(project: Project) -> list[dict[str, str]]:
    """All numbers except time and memory, which differ between runs."""
    with (project.folder / "results/tiny/metrics.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["metric"] not in ("seconds", "memory_mib")]


def by_hand(project: Project) -> list[str]:
    """The command of the job that makes `RESULT`, from its record."""
    record = provenance.read_record(project.folder / RESULT)
    assert record
    _, *words = shlex.split(record["command"])
    return [sys.executable, *words]
