"""Locks: one process at a time, and free when the holder ends, however it ends."""

from __future__ import annotations

import errno
import fcntl
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reprior.errors import UserError
from reprior.machine.locks import holder, is_locked, job_lock, locked, working_on

HOLD = """
import sys, time
from pathlib import Path
from reprior.machine.locks import working_on
with working_on(Path(sys.argv[1])) as waited:
    print(waited, flush=True)
    sys.stdin.readline()
"""


@contextmanager
def other_process(output: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that makes this output until it reads a line."""
    command = [sys.executable, "-c", HOLD, str(output)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "False\n"
        yield process
        process.kill()


def test_the_lock_lies_hidden_beside_the_output_and_goes_with_its_holder(tmp_path: Path) -> None:
    output = tmp_path / "new/x.csv"
    with working_on(output) as waited:
        assert not waited
        assert list(output.parent.iterdir()) == [output.parent / ".x.csv.working"]
        assert is_locked(job_lock(output))
    assert list(output.parent.iterdir()) == []


def test_a_failure_frees_the_lock(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), working_on(tmp_path / "x"):
        raise ZeroDivisionError
    assert not job_lock(tmp_path / "x").exists()


def test_a_lock_says_who_holds_it(tmp_path: Path) -> None:
    with other_process(tmp_path / "x") as process:
        assert holder(job_lock(tmp_path / "x")).startswith(f"process {process.pid} on ")
        assert ", since 2" in holder(job_lock(tmp_path / "x"))
    (tmp_path / "empty").touch()
    assert holder(tmp_path / "empty") == holder(tmp_path / "nothing") == "another process"


def test_a_new_holder_replaces_the_name_of_the_last(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("process 1 on a machine of a very long name, since long ago" * 3)
    file = locked(tmp_path / "lock")
    assert file
    assert "machine of a very long name" not in holder(tmp_path / "lock")


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    output = tmp_path / "x"
    with other_process(output) as process:
        assert is_locked(job_lock(output))
        assert locked(job_lock(output)) is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert job_lock(output).exists()
        assert not is_locked(job_lock(output))
        with working_on(output) as waited:
            assert not waited
    assert not job_lock(output).exists()


def test_who_comes_second_waits_and_is_told_for_whom(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, entered = tmp_path / "x", threading.Event()

    def second() -> None:
        with working_on(output) as waited:
            assert waited
            entered.set()

    with other_process(output) as process:
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.2)
        process.communicate("go on\n")
        thread.join(60)
    assert entered.is_set()
    assert capsys.readouterr().err.startswith(f"reprior: waiting for process {process.pid} on ")
    assert not job_lock(output).exists()


def test_looking_whether_a_file_is_locked_leaves_it_as_it_is(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "lock").write_text("by whom")
    assert not is_locked(tmp_path / "lock")
    assert (tmp_path / "lock").read_text() == "by whom"


def test_a_lock_whose_name_was_removed_meanwhile_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = tmp_path / "lock", fcntl.flock

    def removed_first(file: int, how: int) -> None:
        real(file, how)
        path.unlink()

    monkeypatch.setattr(fcntl, "flock", removed_first)
    assert locked(path) is None
    monkeypatch.undo()
    assert locked(path) is not None


def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserError, match="this file system offers no locks .flock."):
        locked(tmp_path / "lock")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_keeps_nobody_from_locking(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.symlink_to("/dev/full")
    file = locked(path)
    assert file
    file.close()
