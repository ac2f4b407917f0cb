"""The disk becomes full during a reconstruction."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.conftest import CELL, RESULT, by_hand, forget, started, wait_for
from tests.workflow.conftest import Project, environment
from tests.workflow.runner import forking

pytestmark = pytest.mark.slow

CHECKPOINT = RESULT.with_name(".0000-0001.checkpoint")


@pytest.fixture
def small_disk(again: Project) -> Iterator[Path]:
    """A disk of 4 MB as the folder of CSGM's results."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a tmpfs")
    forget(again)
    disk = again.folder / CELL / "csgm"
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Inside the block, the disk has no free byte."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    try:
        yield
    finally:
        filler.unlink()


def run(command: list[str], folder: Path) -> tuple[int, str]:
    env = forking(environment())
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    return done.returncode, done.stderr


def kept(disk: Path) -> set[str]:
    return {path.name for path in disk.iterdir() if path.is_file()} - {"filler"}


def test_a_full_disk_ends_a_job_with_one_message_and_its_checkpoint(
    again: Project, finished: Project, small_disk: Path
) -> None:
    with started(again.folder, *by_hand(finished), env=forking(environment())) as job:
        wait_for((again.folder / CHECKPOINT).exists)
        with full(small_disk):
            said, _ = job.communicate()
            checkpoint = (again.folder / CHECKPOINT).read_bytes()
            assert job.returncode == 1
            assert f"reprior: {RESULT}: no space left on its disk; make room, then start again" in said
            assert "Traceback" not in said
            assert kept(small_disk) == {CHECKPOINT.name}

            code, said = run(by_hand(finished), again.folder)
            assert code == 1
            assert said.count("reprior: ") == 1
            assert "Traceback" not in said
            assert kept(small_disk) == {CHECKPOINT.name}
            assert (again.folder / CHECKPOINT).read_bytes() == checkpoint

    code, said = run(by_hand(finished), again.folder)
    assert code == 0, said
    assert "going on from" in said
    assert (again.folder / RESULT).read_bytes() == (finished.folder / RESULT).read_bytes()
    assert kept(small_disk) == {"0000-0001.safetensors", "0000-0001.json"}


def test_a_checkpoint_that_finds_no_room_does_not_end_the_job(
    again: Project, finished: Project, small_disk: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    command = ("bash", "-c", f'exec "$@" 2> {log}', "-", *by_hand(finished))
    with started(again.folder, *command, env=forking(environment())) as job:
        wait_for((again.folder / CHECKPOINT).exists)
        with full(small_disk):
            wait_for(lambda: "going on without a new checkpoint" in log.read_text() or job.poll() is not None)
        job.communicate()
    assert job.returncode == 0, log.read_text()
    assert (again.folder / RESULT).read_bytes() == (finished.folder / RESULT).read_bytes()
    assert kept(small_disk) == {"0000-0001.safetensors", "0000-0001.json"}
