"""Input files from the future, as written by a machine whose clock is ahead. No output could be newer."""

from __future__ import annotations

import os
import time

import pytest

from tests.faults.conftest import CELL, RESULT, numbers
from tests.workflow.conftest import Project

pytestmark = pytest.mark.slow

AHEAD = {
    RESULT.as_posix(): 3600,
    "data/images/tiny/mine/faces/0000-0001.safetensors": 86400,
    "studies/mine/reported.csv": 86400,
}


def test_a_run_on_inputs_from_the_future_ends_and_the_next_has_nothing_to_do(again: Project, finished: Project) -> None:
    numbers_of_csgm, metrics = again.folder / CELL / "csgm/0000-0001.csv", again.folder / "results/tiny/metrics.csv"
    table = again.folder / "results/tiny/mine/table.json"
    for path in (numbers_of_csgm, metrics, table):
        path.unlink()
    for name, seconds in AHEAD.items():
        later = time.time() + seconds
        os.utime(again.folder / name, (later, later))

    again.snakemake()
    assert numbers(again) == numbers(finished)
    inputs = [(again.folder / name).stat().st_mtime_ns for name in AHEAD]
    assert numbers_of_csgm.stat().st_mtime_ns >= max(inputs[:2])
    assert table.stat().st_mtime_ns >= inputs[2]
    assert "Nothing to be done" in again.snakemake()
