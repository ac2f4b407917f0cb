"""Replaces `python` in a test's jobs: records when a reconstruction starts and ends, slows it or makes it fail.

`faults.json` in the working folder gives the faults by method: {"csgm": {"pause": 0.1, "failures": 1}}.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ATTEMPTS = Path("attempts.jsonl")
FAULTS = Path("faults.json")


def main() -> None:
    _, package, stage, *rest = sys.argv[1:]  # -m reprior <stage> ...
    if stage == "reconstruct":
        befall(rest[rest.index("--label") + 1])
    sys.argv = [package, stage, *rest]
    runpy.run_module(package, run_name="__main__", alter_sys=True)


def befall(label: str) -> None:
    fault = json.loads(FAULTS.read_text()).get(label, {}) if FAULTS.exists() else {}
    note(label, "start")
    if attempts(label) <= fault.get("failures", 0):
        sys.exit(f"payload: {label} fails as the test asked")
    atexit.register(note, label, "end")
    if fault.get("pause"):
        slow_down(fault["pause"])


def note(label: str, event: str) -> None:
    facts = {"pid": os.getpid(), "slurm_job": os.environ.get("SLURM_JOB_ID")}
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
    with ATTEMPTS.open("a") as file:
        file.write(json.dumps({"label": label, "event": event, "time": time.time(), "gpus": gpus} | facts) + "\n")


def attempts(label: str) -> int:
    events = map(json.loads, ATTEMPTS.read_text().splitlines())
    return sum(event["label"] == label and event["event"] == "start" for event in events)


def slow_down(seconds: float) -> None:
    """Make each step of an optimisation take `seconds` longer, without using the CPU, and in this process."""
    from reprior.jobs import warm
    from reprior.optimise import watch

    os.environ.pop(warm.VARIABLE, None)

    steps = watch.Watch.steps

    def slower(self: watch.Watch, *arguments: Any) -> Iterator[int]:
        for step in steps(self, *arguments):
            yield step
            time.sleep(seconds)

    watch.Watch.steps = slower  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
