"""The lock of a killed run, two runs in one folder, two jobs for one result, code edited before a job runs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reprior.machine.locks import holder, is_locked, job_lock
from tests.faults.conftest import (
    RESULT,
    SNAKEMAKE,
    by_hand,
    files,
    forget,
    make_small_project,
    started,
    wait_for,
    wait_for_work,
)
from tests.workflow.conftest import Project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def busy(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with an active run, which lasts until the tests of this module end. Its job is halted."""
    folder = tmp_path_factory.mktemp("busy") / "project"
    shutil.copytree(finished.folder, folder, copy_function=shutil.copy2)
    project = Project(folder)
    study = project.study()
    study["methods"]["csgm"]["steps"] = 1_000_000
    project.write_study(study)
    with started(folder, *SNAKEMAKE, RESULT.as_posix()) as head:
        wait_for_work(project, head)
        job = int(holder(job_lock(folder / RESULT)).split()[1])
        os.kill(job, signal.SIGSTOP)
        yield project
        os.kill(job, signal.SIGCONT)  # so that it notices the end of the run


def results(project: Project) -> dict[str, bytes]:
    """All files except the checkpoint, which the active run keeps replacing."""
    return {name: content for name, content in files(project.folder).items() if ".checkpoint" not in name}


def test_a_second_run_in_the_same_folder_stops(busy: Project) -> None:
    before = results(busy)
    said = busy.snakemake(RESULT.as_posix(), check=False)
    assert "Directory cannot be locked" in said
    assert "reprior:" not in said, "to unlock would be bad advice here"
    assert results(busy) == before


def test_a_second_run_from_another_folder_stops(busy: Project, root: Path, tmp_path: Path) -> None:
    other, before = make_small_project(root, tmp_path / "other"), results(busy)
    places = ("--config", *(f"{place}={busy.folder / place}" for place in ("results", "data")))
    said = other.snakemake(f"{busy.folder / RESULT}", *places, check=False)
    assert f"{busy.folder}/results/tiny: another run works in it (process " in said
    assert "wait until it ends, or give this one a folder of its own: --config results=" in said
    assert "Traceback" not in said
    assert "rule reconstruct" not in said
    assert results(busy) == before


def test_a_dry_run_beside_a_run_at_work_says_nothing_of_damage(busy: Project) -> None:
    assert "reprior:" not in busy.snakemake("-n", "--nolock", RESULT.as_posix())


def test_after_a_kill_the_next_run_says_how_to_unlock_and_then_goes_on(again: Project, finished: Project) -> None:
    forget(again)
    with started(again.folder, *SNAKEMAKE, RESULT.as_posix()) as head:
        wait_for_work(again, head)
    said = again.snakemake(RESULT.as_posix(), check=False)
    assert "a run in this folder was killed and left its lock; free it with `snakemake --unlock`" in said
    assert "Directory cannot be locked" in said

    again.snakemake("--unlock")
    said = again.snakemake(RESULT.as_posix())
    assert "left its lock" not in said
    log = again.folder / "results/tiny/logs/reconstruct/mine/sr/csgm/0000-0001.log"
    assert "going on from" in log.read_text()
    assert (again.folder / RESULT).read_bytes() == (finished.folder / RESULT).read_bytes()


def test_a_second_job_on_one_result_waits_and_takes_it(again: Project, finished: Project) -> None:
    forget(again)
    command = by_hand(finished)
    with started(again.folder, *command) as first:
        wait_for(lambda: is_locked(job_lock(again.folder / RESULT)))
        with started(again.folder, *command) as second:
            said_by_first, _ = first.communicate()
            made = (again.folder / RESULT).stat()
            said, _ = second.communicate()
    assert (first.returncode, second.returncode) == (0, 0), said_by_first + said
    assert f"reprior: waiting for process {first.pid} on" in said
    assert f"reprior: {RESULT} was made by another process and is kept" in said
    found = (again.folder / RESULT).stat()
    assert (found.st_mtime_ns, found.st_ino) == (made.st_mtime_ns, made.st_ino)
    assert (again.folder / RESULT).read_bytes() == (finished.folder / RESULT).read_bytes()
    assert not job_lock(again.folder / RESULT).exists()


def test_code_edited_since_the_plan_stops_the_job(again: Project) -> None:
    before = files(again.folder)
    command = [sys.executable, "-m", "reprior", "aggregate", "results/tiny/mine/metrics.csv", "--code", "of-yesterday"]
    done = subprocess.run(
        [*command, "--out", "results/tiny/metrics.csv"], cwd=again.folder, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == (
        "reprior: results/tiny/metrics.csv: the code that makes it was edited since the run was planned;"
        " start the run again (by hand: without --code)\n"
    )
    assert files(again.folder) == before
