"""A job that is killed halfway continues when it is started again, and makes the same file."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.workflow.conftest import environment
from tests.workflow.runner import forking

METHOD = {"name": "csgm", "steps": 600}


@pytest.fixture(scope="module")
def undisturbed(finished, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("undisturbed") / "0000-0000.safetensors"
    job = finished.reconstruct(out, METHOD, forking(environment()))
    output, _ = job.communicate()
    assert job.returncode == 0, output
    return out.read_bytes()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_job_ends_with_the_same_file(
    finished, undisturbed: bytes, tmp_path: Path, how: signal.Signals
) -> None:
    out = tmp_path / "0000-0000.safetensors"
    checkpoint = tmp_path / ".0000-0000.checkpoint"
    job = finished.reconstruct(out, METHOD)
    while job.poll() is None and not checkpoint.exists():
        time.sleep(0.02)
    job.send_signal(how)
    output, _ = job.communicate()
    assert job.returncode != 0, output
    assert checkpoint.exists()
    assert not out.exists()

    again = finished.reconstruct(out, METHOD, forking(environment()))
    output, _ = again.communicate()
    assert again.returncode == 0, output
    assert "going on from" in output
    assert out.read_bytes() == undisturbed
    assert not checkpoint.exists()
