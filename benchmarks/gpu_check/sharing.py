"""How much work a GPU does in all if several jobs share it: what `jobs_per_gpu` of config.yaml should be."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from typing import Any

import torch

from gpu_check.loads import chosen
from gpu_check.parts import Check, described
from workloads import Workload

PATIENCE = 60.0
"""Seconds in which all jobs must be ready."""


@dataclass(frozen=True)
class Job:
    """What each of the processes does."""

    workload: Workload
    device: str
    images: int
    seconds: float
    """How long it computes."""
    quick: bool


def check(check: Check) -> None:
    """Each workload by 1, 2 and 4 processes at once. This process itself does not use the GPU: its forks do."""
    counts = (1, 2) if check.quick else (1, 2, 4)
    loads = [each for each in chosen(check, 128) if each.method in ("csgm", "dip")]
    pairs = [(workload, count) for workload in loads for count in counts]
    rates: dict[str, dict[int, float]] = {}
    for workload, count in check.in_time(pairs, lambda pair: f"{pair[0].name} x {pair[1]}"):
        what = f"{workload.name}, {count} at once"
        with check.trying(what):
            job = Job(
                workload,
                check.settings.device,
                1 if check.quick else workload.images,
                0.2 if check.quick else 4,
                check.quick,
            )
            each = at_once(job, count)
            rates.setdefault(workload.name, {})[count] = sum(each)
            check.measured(what, f"{sum(each):.4g} image steps per second in all", each=each)
    for name, found in rates.items():
        if 1 in found and len(found) > 1:
            gains = ", ".join(f"{count} jobs {rate / found[1]:.2f} times" for count, rate in found.items() if count > 1)
            check.measured(name, f"as much work as one job: {gains}", rates={str(k): v for k, v in found.items()})


def at_once(job: Job, count: int) -> Sequence[float]:
    """Image steps per second of each of `count` processes that do the same at the same time."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(count)
    pairs = [context.Pipe(duplex=False) for _ in range(count)]
    processes = [context.Process(target=_work, args=(job, barrier, pair[1]), daemon=True) for pair in pairs]
    for process in processes:
        process.start()
    for _, sending in pairs:
        sending.close()
    try:
        answers = [_answer(receiving, PATIENCE + 10 * job.seconds) for receiving, _ in pairs]
    finally:
        for process in processes:
            process.join(5)
            process.kill()
    if errors := [answer for answer in answers if isinstance(answer, str)]:
        raise RuntimeError("; ".join(dict.fromkeys(errors)))
    return [answer for answer in answers if isinstance(answer, float)]


def _answer(receiving: Any, seconds: float) -> float | str:
    """What a process sends: its rate, or why it has none."""
    try:
        return receiving.recv() if receiving.poll(seconds) else f"no answer after {seconds:.0f} s"
    except EOFError:
        return "a process ended without an answer"


def _work(job: Job, barrier: Barrier, sending: Any) -> None:
    try:
        sending.send(_rate(job, barrier))
    except Exception as error:
        barrier.abort()
        sending.send(described(error))


def _rate(job: Job, barrier: Barrier) -> float:
    """Repeat runs of a few seconds each until the time is over."""
    device = torch.device(job.device)
    torch.set_num_threads(1)  # as the workflow's jobs
    ready = job.workload.ready(job.device, job.images, "float32")
    steps = 2
    ready.ours(steps)
    if not job.quick:  # so many steps that setting up a run, and recording a graph, count little
        began = time.perf_counter()
        ready.ours(20)
        _wait(device)
        steps = max(20, min(1000, round(20 * job.seconds / 2 / (time.perf_counter() - began))))
    barrier.wait(PATIENCE)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < job.seconds:
        ready.ours(steps)
        _wait(device)
        done += steps * job.images
    return done / (time.perf_counter() - began)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
