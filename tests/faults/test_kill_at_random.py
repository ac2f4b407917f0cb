"""A run that is killed several times ends with the results of an undisturbed run."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
from pathlib import Path

import pytest

from reprior.machine.locks import holder, is_locked, job_lock
from tests.faults.conftest import (
    CELL,
    RESULT,
    SNAKEMAKE,
    cpu_seconds,
    files,
    forget,
    kill_group,
    make_small_project,
    numbers,
    started,
    wait_for,
    wait_for_work,
)
from tests.workflow.conftest import Project

pytestmark = pytest.mark.slow

KILLS = 4
LEFT_OVERS = re.compile(r"/\.[^/]*\.(working|checkpoint|damaged)$|/\.[^/]+\.[a-z0-9_]{8}\.\w+$")


def killed(project: Project, seconds: float, optimising: bool) -> bool:
    """Start a run and kill it with its jobs after `seconds` of processor time. Returns whether it was still running.

    The time counts from the start of the run or, if `optimising`, from when a method has saved a checkpoint.
    """
    with started(project.folder, *SNAKEMAKE) as head:
        wait_for(lambda: head.poll() is not None or not optimising or reconstructing(project))
        since = cpu_seconds(head.pid) if optimising else 0
        wait_for(lambda: head.poll() is not None or cpu_seconds(head.pid) >= since + seconds)
        alive = head.poll() is None
        kill_group(head)
    return alive


def reconstructing(project: Project) -> bool:
    locks = (project.folder / CELL).glob("*/.*.safetensors.working")
    return saved(project) and any(is_locked(lock) for lock in locks)


def saved(project: Project) -> bool:
    """Whether the next run can continue an optimisation."""
    return any((project.folder / CELL).rglob(".*.checkpoint"))


def test_kills_at_random_moments_change_no_number(finished: Project, root: Path, tmp_path: Path) -> None:
    project, rng = make_small_project(root, tmp_path / "killed"), random.Random(4)
    kills = hits = 0
    while kills < KILLS:
        if killed(project, rng.uniform(0.2, 2.5), optimising=rng.random() < 0.8):
            kills += 1
            hits += saved(project)
        else:  # on a fast machine, a run may end before it is killed
            assert numbers(project) == numbers(finished)
            shutil.rmtree(project.folder / "results")
        if any((project.folder / ".snakemake/locks").glob("*")):
            project.snakemake("--unlock")
    print(f"{hits} of {KILLS} kills left a checkpoint")
    assert hits > 1
    project.snakemake()
    assert numbers(project) == numbers(finished)
    left = files(project.folder)
    assert not [name for name in left if LEFT_OVERS.search(f"/{name}")]
    assert left.keys() == files(finished.folder).keys()
    assert "Nothing to be done" in project.snakemake()


def test_a_job_that_outlives_its_killed_run_keeps_others_out(again: Project, finished: Project) -> None:
    forget(again)
    with started(again.folder, *SNAKEMAKE) as head:
        wait_for_work(again, head)
        head.kill()
        head.wait()
        lock = job_lock(again.folder / RESULT)
        orphan = int(holder(lock).split()[1])
        os.kill(orphan, signal.SIGSTOP)  # so that it is alive during what follows

        assert "a run in this folder was killed and left its lock" in again.snakemake(check=False)
        again.snakemake("--unlock")
        before = files(again.folder)
        said = again.snakemake(check=False)
        assert f"jobs of an earlier run still work here: {RESULT} by process {orphan} on" in said
        assert "Traceback" not in said
        assert "rule reconstruct" not in said
        assert files(again.folder) == before

        os.kill(orphan, signal.SIGCONT)
        wait_for(lambda: not lock.exists())
    assert (again.folder / RESULT).read_bytes() == (finished.folder / RESULT).read_bytes()
    made = (again.folder / RESULT).stat().st_ino
    again.snakemake()
    assert (again.folder / RESULT).stat().st_ino == made, "what the job had made was not kept"
    assert numbers(again) == numbers(finished)
    assert files(again.folder).keys() == files(finished.folder).keys()
