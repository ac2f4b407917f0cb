"""A run's folders: one run at a time, damaged files set aside, advice about locks left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reprior.errors import UserError
from reprior.jobs import workplace as module
from reprior.jobs.workplace import Workplace
from reprior.machine.locks import job_lock

CELL = Path("results/demo/study/case/csgm/0000-0001.csv")
IMAGES = Path("data/images/demo/study/faces/0000-0001.safetensors")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """An empty working folder, without SLURM."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "queued_jobs", lambda folder: [])
    return Workplace(tmp_path, Path("results/demo"), Path("data/images/demo"))


@contextmanager
def other_process(code: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs this code, reports it, and stays."""
    command = [sys.executable, "-c", f"{code}\nprint('ready', flush=True)\ninput()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_only_one_run_works_in_a_results_folder(here: Workplace) -> None:
    code = f"from pathlib import Path; from reprior.jobs.workplace import Workplace\nkept = {here!r}.occupied()"
    with other_process(code.replace("PosixPath", "Path")) as process:
        with pytest.raises(UserError, match=rf"results/demo: another run works in it \(process {process.pid} on "):
            here.occupied()
        assert here.lock_advice() == ""
    assert here.occupied()


def test_jobs_that_are_still_at_work_keep_a_run_out(here: Workplace) -> None:
    code = "from pathlib import Path; from reprior.machine.locks import working_on\nheld = []"
    for path in (CELL, IMAGES):
        code += f"\nheld.append(working_on(Path('{path}'))); held[-1].__enter__()"
    with other_process(code) as process:
        with pytest.raises(UserError) as caught:
            here.occupied()
        for path in (CELL, IMAGES):
            assert f"{path} by process {process.pid} on " in str(caught.value)
        assert "or end them (kill, scancel)" in str(caught.value)
    assert job_lock(CELL).exists()
    assert here.occupied(), "the locks of killed jobs are free"


def test_queued_jobs_keep_a_run_out_and_many_are_not_all_listed(
    here: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "queued_jobs", lambda folder: [f"{number} pending" for number in range(8)])
    with pytest.raises(UserError, match="work here: 0 pending; 1 pending; .*; 4 pending, and 3 more. Wait until"):
        here.occupied()
    monkeypatch.undo()


def test_a_lock_that_a_killed_snakemake_left_is_explained(here: Workplace) -> None:
    assert here.lock_advice() == ""
    (here.folder / ".snakemake/locks").mkdir(parents=True)
    assert here.lock_advice() == ""
    (here.folder / ".snakemake/locks/0.output.lock").touch()
    assert "free it with `snakemake --unlock`" in here.lock_advice()
    kept = here.occupied()
    assert here.lock_advice() == "", "the lock is this run's own"
    kept.close()


HARM: dict[str, tuple[Callable[[], object], str]] = {
    "emptied": (lambda: CELL.write_text(""), "is empty"),
    "truncated": (lambda: CELL.write_text("num"), "has 3 of 7 bytes"),
    "flipped": (lambda: CELL.write_text("numbars"), "has another content than its job wrote"),
    "grown": (lambda: CELL.write_text("numbers, more"), "has another content than its job wrote"),
}


@pytest.fixture
def result(here: Workplace, job: Callable[..., None]) -> None:
    """A result with its record."""
    job("evaluate", {str(CELL): "numbers"})


@pytest.mark.parametrize("how", HARM)
def test_a_damaged_result_is_set_aside(
    here: Workplace, result: None, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    harm, fault = HARM[how]
    harm()
    os.utime(CELL, (1, 1))
    content = CELL.read_text()
    here.mended([], only_tell=True)
    assert capsys.readouterr().err == f"reprior: {CELL} {fault}; it would be set aside to be made again\n"
    assert CELL.read_text() == content
    here.mended([], only_tell=False)
    assert capsys.readouterr().err == f"reprior: {CELL} {fault}; it was set aside to be made again\n"
    assert not CELL.exists()
    assert (CELL.parent / f".{CELL.name}.damaged").read_text() == content
    assert here.to_be_made_again() == {CELL.as_posix()}
    here.mended([], only_tell=False)
    assert capsys.readouterr().err == ""


def test_a_whole_result_stays_where_it_is(here: Workplace, result: None, capsys: pytest.CaptureFixture[str]) -> None:
    os.utime(CELL, (1, 1))
    here.mended([], only_tell=False)
    assert capsys.readouterr().err == ""
    assert CELL.read_text() == "numbers"
    assert here.to_be_made_again() == set()


def test_nothing_is_set_aside_under_a_run_at_work(here: Workplace, result: None) -> None:
    CELL.write_text("in the making")
    kept = here.occupied()
    here.mended([], only_tell=False)
    assert CELL.read_text() == "in the making"
    kept.close()


def test_verifying_finds_what_looks_unchanged(here: Workplace, result: None) -> None:
    seen = CELL.stat()
    CELL.write_text("numbars")
    os.utime(CELL, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert here.damaged() == {}
    first, *_ = here.verified()
    assert first == f"{CELL} has another content than its job wrote; it was set aside, and the next run makes it again"
    assert not CELL.exists()


def test_verifying_tells_of_damaged_weights_and_leaves_them(here: Workplace, job: Callable[..., None]) -> None:
    weights = Path("data/weights/x.safetensors")
    job("train", {str(weights): "trained"}, modules=["reprior.seeds"])
    weights.write_text("trainee")
    found = here.verified()
    assert any(
        line.startswith(f"{weights} has another content than its job wrote; unless you put it") for line in found
    )
    assert weights.read_text() == "trainee"


def test_verifying_waits_for_no_run_at_work(here: Workplace) -> None:
    kept = here.occupied()
    with pytest.raises(UserError, match="verify when that run has ended"):
        here.verified()
    kept.close()
