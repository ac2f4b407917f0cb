"""Runs a stage as a job: one process at a time per result, and a record of how the result was made."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reprior import provenance
from reprior.errors import UserError
from reprior.jobs.code_fingerprint import code_fingerprint, outside_files
from reprior.machine.facts import command, peak_memory_mib, versions
from reprior.machine.files import remove_halves
from reprior.machine.locks import working_on
from reprior.seeds import counted_draws


@dataclass(frozen=True)
class Job:
    """What a stage reads, makes and depends on."""

    stage: str
    outputs: tuple[Path, ...]
    inputs: tuple[Path, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    """The modules where its code starts."""


Facts = Mapping[str, Any]
"""Everything a result depends on: stage, settings, hashes of inputs, code."""


def run(job: Job, work: Callable[[Facts], str | None], planned_code: str | None = None) -> None:
    """Do the work while no other process does it, then record how the outputs were made.

    `work` may return the device it ran on. A result that another process made in the meantime, or that a job finished
    after its run had ended, is kept if it is what this job would make.
    """
    began, started = time.perf_counter(), datetime.now(UTC)
    with working_on(job.outputs[0]) as waited:
        code = _checked_code(job, planned_code)
        _set_clocks_right(job)
        inputs = {path.as_posix(): provenance.sha256_of(path) for path in job.inputs}
        facts = {"stage": job.stage, "settings": dict(job.settings), "inputs": inputs, "code": code}
        if (_taken_back(job) or waited) and _made_already(job, facts):
            print(f"reprior: {job.outputs[0]} was made by another process and is kept", file=sys.stderr)
            return
        provenance.record_path(job.outputs[0]).unlink(missing_ok=True)
        with counted_draws() as draws:
            device = work(facts)
        circumstances = {
            "command": command(),
            "modules": list(job.modules),
            "plugins": {path.as_posix(): provenance.sha256_of(path) for path in outside_files(*job.modules)},
            "commit": provenance.commit(),
            "versions": versions(),
            "device": device,
            "host": platform.node(),
            "seeds": {"/".join(key): count for key, count in sorted(draws.items())},
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - began, 3),
            "peak_memory_mib": round(peak_memory_mib(), 1),
        }
        provenance.write_record(job.outputs, facts | circumstances)
        for path in job.outputs:
            provenance.aside_path(path).unlink(missing_ok=True)
            remove_halves(path)
        remove_halves(provenance.record_path(job.outputs[0]))


def _checked_code(job: Job, planned: str | None) -> str:
    code = code_fingerprint(*job.modules)
    if planned is not None and planned != code:
        raise UserError(
            f"{job.outputs[0]}: the code that makes it was edited since the run was planned; start the run again"
            " (by hand: without --code)"
        )
    return code


def identity(facts: Facts) -> str:
    """Hash of the facts. A checkpoint with a different identity cannot be continued."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _taken_back(job: Job) -> bool:
    """Put back files that were set aside as unknown to Snakemake, if they are as their job left them."""
    record = provenance.read_record(job.outputs[0])
    asides = {provenance.aside_path(path): path for path in job.outputs}
    if record is None or not all(aside.exists() for aside in asides):
        return False
    if any(provenance.content(a)["sha256"] != record["outputs"][p.as_posix()]["sha256"] for a, p in asides.items()):
        return False
    for aside, path in asides.items():
        aside.replace(path)
    return True


def _made_already(job: Job, facts: Facts) -> bool:
    record = provenance.read_record(job.outputs[0])
    if record is None or any(record[key] != value for key, value in facts.items()):
        return False
    made = {Path(name): seen["sha256"] for name, seen in record["outputs"].items()}
    return all(path.exists() and provenance.sha256_of(path) == sha256 for path, sha256 in made.items())


def _set_clocks_right(job: Job) -> None:
    """Set input times that lie in the future to now: no output could be newer. Another machine's clock may be ahead."""
    for path in job.inputs:
        if path.stat().st_mtime > time.time():
            print(f"reprior: {path} is from the future; its time is set to now", file=sys.stderr)
            try:
                os.utime(path)
            except OSError as error:
                raise UserError(f"{path}: its time cannot be changed ({error.strerror}); make a copy of it") from error
