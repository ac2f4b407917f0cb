"""Progress on a terminal and in a log."""

from __future__ import annotations

import io
import sys
import time

import pytest

from reprior.acquire.progress import Progress


def test_a_log_gets_lines_with_rate_and_time_left(capsys: pytest.CaptureFixture) -> None:
    with Progress("toy.zip", 4_000_000, done=1_000_000, every_seconds=0.02) as progress:
        progress.reach(1_500_000)
        time.sleep(0.03)
        progress.reach(2_000_000)
        progress.reach(3_000_000)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("toy.zip: 2.00MB of 4.00MB, ") and "B/s, 00:00 left" in line


def test_a_log_says_what_is_known_without_a_total(capsys: pytest.CaptureFixture) -> None:
    with Progress("toy.zip", None, every_seconds=0) as progress:
        progress.reach(1_500_000)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("toy.zip: 1.50MB, ") and line.endswith("B/s")


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with Progress("toy.zip", 4_000_000) as progress:
        progress.reach(1_000_000)
        progress.bar.refresh()
    assert "toy.zip:  25%" in terminal.getvalue() and "B/s" in terminal.getvalue()
