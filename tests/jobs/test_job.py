"""Jobs: what they record, what they refuse, which files they leave."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reprior import provenance
from reprior.errors import UserError
from reprior.jobs.code_fingerprint import code_fingerprint
from reprior.jobs.job import Facts, Job, identity, run
from reprior.machine.locks import job_lock, working_on
from reprior.seeds import rng_for

SOURCE, RESULT, BESIDE = Path("in/source.txt"), Path("out/result.txt"), Path("out/result.json")
MODULES = ("reprior.seeds",)


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job that reads one file and makes two, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    SOURCE.parent.mkdir()
    SOURCE.write_text("given")
    return Job("observe", (RESULT, BESIDE), (SOURCE,), {"noise": 0.1}, MODULES)


def work(facts: Facts) -> str | None:
    RESULT.write_text("made")
    BESIDE.write_text("beside")
    return "cpu"


def record() -> dict[str, Any]:
    found = provenance.read_record(RESULT)
    assert found is not None
    return found


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_record_says_what_was_made_from_what_and_how(job: Job) -> None:
    def drawing(facts: Facts) -> str | None:
        for image in ("a", "b"):
            rng_for("study", "case", image, "noise")
        return work(facts)

    run(job, drawing)
    found = record()
    assert found["stage"] == "observe"
    assert found["settings"] == {"noise": 0.1}
    assert found["inputs"] == {"in/source.txt": sha256("given")}
    assert {path: known["sha256"] for path, known in found["outputs"].items()} == {
        "out/result.txt": sha256("made"),
        "out/result.json": sha256("beside"),
    }
    assert found["outputs"]["out/result.txt"]["bytes"] == 4
    assert found["code"] == code_fingerprint(*MODULES)
    assert found["modules"] == list(MODULES)
    assert found["seeds"] == {"study/case/noise": 2}
    assert found["device"] == "cpu"
    assert found["command"].startswith("python -m reprior")
    assert found["seconds"] >= 0
    assert found["peak_memory_mib"] > 1
    assert set(found["versions"]) >= {"python", "reprior"}


def test_nothing_is_left_but_outputs_and_record(job: Job) -> None:
    run(job, work)
    left = {path.as_posix() for path in Path().rglob("*") if path.is_file()}
    assert left == {"in/source.txt", "out/result.txt", "out/result.json", "out/.provenance/result.txt.json"}


def test_what_killed_jobs_left_half_written_is_removed(job: Job) -> None:
    (RESULT.parent / provenance.FOLDER).mkdir(parents=True)
    halves = [RESULT.with_name(".result.txt.k3v_0abc.txt"), BESIDE.with_name(".result.json.abcdefgh.json")]
    halves.append(RESULT.parent / provenance.FOLDER / ".result.txt.json.abcdefgh.json")
    others = [RESULT.with_name(".result.txt.kept.txt"), RESULT.with_name("result.txt.abcdefgh.txt")]
    for path in (*halves, *others):
        path.write_text("half")
    run(job, work)
    assert not any(path.exists() for path in halves)
    assert all(path.exists() for path in others)


def test_a_failed_job_leaves_no_record_and_no_lock(job: Job) -> None:
    run(job, work)

    def failing(facts: Facts) -> str | None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(job, failing)
    assert provenance.read_record(RESULT) is None
    assert not job_lock(RESULT).exists()


def test_code_edited_since_the_plan_stops_a_job_before_its_work(job: Job) -> None:
    run(job, work, planned_code=code_fingerprint(*MODULES))
    RESULT.unlink()
    with pytest.raises(UserError, match=r"out/result.txt: the code that makes it was edited since the run was planned"):
        run(job, work, planned_code="0" * 16)
    assert not RESULT.exists()


def test_the_identity_of_a_job_hangs_on_each_of_its_facts(job: Job) -> None:
    seen = []

    def noting(facts: Facts) -> str | None:
        seen.append(identity(facts))
        return work(facts)

    run(job, noting)
    run(job, noting)
    run(Job(job.stage, job.outputs, job.inputs, {"noise": 0.2}, MODULES), noting)
    run(Job(job.stage, job.outputs, job.inputs, job.settings, ("reprior.errors",)), noting)
    SOURCE.write_text("other")
    run(job, noting)
    assert seen[0] == seen[1]
    assert len(set(seen)) == 4


def run_beside_another(job: Job, meanwhile: Callable[[], None]) -> bool:
    """Run a job that must wait for another holder of its lock. Returns whether it then did its work."""
    worked = threading.Event()

    def noting(facts: Facts) -> str | None:
        worked.set()
        return work(facts)

    thread = threading.Thread(target=run, args=(job, noting))
    with working_on(RESULT):
        thread.start()
        time.sleep(0.05)
        meanwhile()
    thread.join(60)
    assert not thread.is_alive()
    return worked.is_set()


def test_a_job_takes_what_another_has_made_meanwhile(job: Job) -> None:
    run(job, work)
    before = RESULT.stat()
    assert not run_beside_another(job, lambda: None)
    assert (RESULT.stat().st_mtime_ns, RESULT.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def change_the_input() -> None:
    SOURCE.write_text("other")


def remove_an_output() -> None:
    BESIDE.unlink()


def damage_an_output() -> None:
    RESULT.write_text("mad")


def remove_the_record() -> None:
    provenance.record_path(RESULT).unlink()


@pytest.mark.parametrize("harm", [change_the_input, remove_an_output, damage_an_output, remove_the_record])
def test_a_job_does_not_take_what_is_not_the_same_result(job: Job, harm: Callable[[], None]) -> None:
    run(job, work)
    assert run_beside_another(job, harm)
    assert RESULT.read_text() == "made"
    assert record()["inputs"] == {"in/source.txt": provenance.content(SOURCE)["sha256"]}


def test_inputs_from_the_future_get_the_present_time(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    later = time.time() + 3600
    os.utime(SOURCE, (later, later))
    run(job, work)
    assert SOURCE.stat().st_mtime <= RESULT.stat().st_mtime <= time.time()
    assert "in/source.txt is from the future; its time is set to now" in capsys.readouterr().err


def test_an_input_from_the_future_that_cannot_be_changed_stops_the_job_before_its_work(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = time.time() + 3600
    os.utime(SOURCE, (later, later))

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refuse)
    with pytest.raises(UserError, match=r"in/source.txt: its time cannot be changed \(Operation not permitted\)"):
        run(job, work)
    assert not RESULT.exists()
