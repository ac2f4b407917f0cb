"""Whether a step of a method waits for the device: then the GPU stands still while Python starts the next step."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator

import torch

from gpu_check.loads import chosen
from gpu_check.parts import Check
from reprior.optimise.graphs import without_graphs

STEPS = 4, 9
"""Few and more steps. What a method does before and after its steps is the same in both."""


def check(check: Check) -> None:
    """Each method on 64 pixels, without graphs, as a graph cannot wait."""
    if not check.cuda:
        check.say("the device is a CPU: operations are counted after which it would have to wait for a GPU")
    counting = warned if check.cuda else would_wait
    for workload in check.in_time(chosen(check, 64), lambda each: each.name):
        with check.trying(workload.name):
            ready = workload.ready(check.settings.device, 1, "float32")
            steps = (1, 2) if check.quick else STEPS
            with without_graphs():
                ready.ours(steps[0])  # what is made once and kept
                few, more = (counted(ready.ours, count, counting) for count in steps)
            each = (len(more) - len(few)) / (steps[1] - steps[0])
            where = sorted(set(more)) if each else []
            check.judged(workload.name, f"{each:g} per step", "0", each <= 0, few=len(few), more=len(more), where=where)


Counting = Callable[[list[str]], contextlib.AbstractContextManager[None]]


def counted(run: Callable[[int], object], steps: int, counting: Counting) -> list[str]:
    """What waited in a run of so many steps."""
    found: list[str] = []
    with counting(found):
        run(steps)
    return found


@contextlib.contextmanager
def warned(found: list[str]) -> Iterator[None]:
    """Collect where CUDA was waited for, from torch's own warnings."""
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")
    found += [f"{each.filename}:{each.lineno}" for each in caught if "synchroniz" in str(each.message)]


@contextlib.contextmanager
def would_wait(found: list[str]) -> Iterator[None]:
    """Collect the operations that would wait, as the project's tests do."""
    from tests.optimise.waits import Waits

    with Waits() as waits:
        yield
    found += waits.found
