"""A batch that does not fit the GPU: it is halved until it fits, and all images are there."""

from __future__ import annotations

import contextlib
import gc
import io
import re
from collections.abc import Iterator
from typing import Any

import torch

from gpu_check.loads import apart, chosen
from gpu_check.parts import Check
from reprior.methods import base
from reprior.methods.base import Reconstruction
from workloads import Workload

IMAGES, FITTING = 8, 3.5
STEPS = 6
ALIKE = 1e-3
"""What the size of a batch may change, relative to the losses: sums of another order, over a few steps."""


def check(check: Check) -> None:
    """CSGM on the largest images, with room for three and a half of eight images."""
    workload = [each for each in chosen(check) if each.method == "csgm"][-1]
    images, steps = (4, 2) if check.quick else (IMAGES, STEPS)
    ready = workload.ready(check.settings.device, images, "float32")
    room = little_room(check, workload) if check.cuda else at_most(2)
    with room as text, contextlib.redirect_stderr(io.StringIO()) as said:
        found = ready.ours(steps)
    sizes = [int(size) for size in re.findall(r"going on with (\d+) images", said.getvalue())]
    check.judged(
        f"{workload.name}: {text}", f"{images} images, then {sizes} at a time", "halved", bool(sizes), sizes=sizes
    )
    complete = len(found.images) == images == len(found.status) and bool(found.images.isfinite().all())
    check.judged("all images are there", f"{len(found.images)} of {images}", "all, and finite", complete)
    if sizes:
        small = workload.ready(check.settings.device, sizes[-1], "float32").ours(steps)
        difference = apart(found[: sizes[-1]], small)
        check.judged("as in a small batch", f"{difference:.1e} apart", f"< {ALIKE:.0e}", difference < ALIKE)


@contextlib.contextmanager
def little_room(check: Check, workload: Workload) -> Iterator[str]:
    """Inside the block, other memory leaves room for a few images only."""
    one, two = (needed(check, workload, images) for images in (1, 2))
    each = max(two - one, 1)
    room = one + round((FITTING - 1) * each)
    gc.collect()
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(check.device)
    taken = torch.empty(max(free - room, 0), dtype=torch.uint8, device=check.device)
    yield f"{each / 2**20:.0f} MiB per image, room for {room / 2**20:.0f} MiB"
    del taken
    torch.cuda.empty_cache()


def needed(check: Check, workload: Workload, images: int) -> int:
    """Bytes that a run takes besides what its problem and its networks take."""
    ready = workload.ready(check.settings.device, images, "float32")
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(check.device)
    before = torch.cuda.memory_allocated(check.device)
    ready.ours(STEPS)
    return torch.cuda.max_memory_allocated(check.device) - before


@contextlib.contextmanager
def at_most(images: int) -> Iterator[str]:
    """Inside the block, more images are made to raise what CUDA raises: a CPU has no such error."""
    once = base._best_of

    def limited(restarts: int, method: Any, problem: base.Problem, *given: Any, **settings: Any) -> Reconstruction:
        if len(problem) > images:
            raise torch.OutOfMemoryError("made up")
        return once(restarts, method, problem, *given, **settings)

    base._best_of = limited
    try:
        yield f"made up: room for {images}"
    finally:
        base._best_of = once
