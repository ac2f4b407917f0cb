"""A real SLURM on this machine. The runs that the selected tests need happen on it at the same time."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.slurm import scenarios
from tests.slurm.scenarios import CONFIG, METHODS, SCENARIOS, Scenario, write_study
from tests.workflow.conftest import Project, make_project

HERE = Path(__file__).parent
CONFIGURATION = Path("/etc/slurm/slurm.conf")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Runs SLURM while the tests of a module need it. In CI, it is an error if SLURM cannot run."""
    if reason := hindrance():
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must test the cluster profile, but {reason}")
        pytest.skip(f"the cluster profile is not tested: {reason}")
    with Path(tempfile.gettempdir(), "reprior-slurm-tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two sessions of tests would stop each other's SLURM
        up = subprocess.run([HERE / "slurm-up.sh"], capture_output=True, text=True, timeout=120)
        try:
            assert up.returncode == 0, up.stdout + up.stderr
            yield
        finally:
            subprocess.run([HERE / "slurm-down.sh"], check=True, timeout=120)


def hindrance() -> str:
    """Why no SLURM can be started here; empty if it can."""
    places = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
    missing = [name for name in ("sbatch", "slurmctld", "slurmd", "munged") if not shutil.which(name, path=places)]
    if missing:
        return f"there is no {', '.join(missing)} (Debian: apt-get install slurm-wlm munge)"
    if os.geteuid() != 0:
        return "only root can start a SLURM"
    if CONFIGURATION.exists() and "slurm-down.sh" not in CONFIGURATION.read_text():
        return f"{CONFIGURATION} is of a SLURM that is in use here"
    return ""


@pytest.fixture(scope="module")
def runs(
    cluster: None, root: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Scenario]]]:
    """Runs the scenarios that the selected tests name, each in its own folder and thread; name -> future result."""
    reference = Scenario(make_project(root, tmp_path_factory.mktemp("undisturbed")))
    (reference.folder / "config.yaml").write_text(CONFIG)
    write_study(reference.project, METHODS)
    reference.project.snakemake(*reference.cells("observation"))

    def scenario(name: str) -> Scenario:
        settings = dict(SCENARIOS[name])
        folder = tmp_path_factory.mktemp(name)
        if settings.pop("from_nothing", False):
            return Scenario(make_project(root, folder), **settings).prepare(root)
        shutil.copytree(reference.folder, folder, copy_function=shutil.copy2, dirs_exist_ok=True)
        return Scenario(Project(folder), **settings).prepare(root)

    marks = (item.get_closest_marker("slurm") for item in request.session.items)
    ready = {name: scenario(name) for name in sorted({mark.args[0] for mark in marks if mark})}
    ready["undisturbed"] = reference
    with ThreadPoolExecutor(len(ready)) as threads:
        yield {name: threads.submit(play, getattr(scenarios, name), ready[name]) for name in ready}


def play(scene: Callable[[Scenario], None], scenario: Scenario) -> Scenario:
    """Run the scenario. Errors are kept for the tests that use it."""
    began = time.monotonic()
    try:
        scene(scenario)
    except Exception as error:
        scenario.error = repr(error)
    finally:
        for head in scenario.heads:
            head.kill()
    scenario.notes["seconds"] = round(time.monotonic() - began)
    return scenario


@pytest.fixture
def scenario(runs: dict[str, Future[Scenario]], request: pytest.FixtureRequest) -> Scenario:
    """The scenario that the test's mark names, after it has ended."""
    return ended(runs[request.node.get_closest_marker("slurm").args[0]])


@pytest.fixture
def reference(runs: dict[str, Future[Scenario]]) -> Scenario:
    """The same project, run without SLURM."""
    return ended(runs["undisturbed"])


def ended(run: Future[Scenario]) -> Scenario:
    """A scenario, after it has ended. pytest shows its output if a test fails."""
    scenario = run.result()
    print(scenario.account())
    assert not scenario.error, scenario.error
    return scenario
