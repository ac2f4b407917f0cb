"""Random draws depend only on what is drawn, never on the batch, device or job that draws it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Draws = Counter[tuple[str, str, str]]
"""Number of seeds made, by study, case and role."""
_draws: ContextVar[Draws | None] = ContextVar("draws", default=None)

SHARED = "*"
"""Used instead of an image id if all images of a case share one draw, such as the operator."""


def seed_for(study: str, case: str, image: str, role: str, restart: int = 0) -> int:
    """A 63-bit seed for one draw: the same in every process, batch, order and version of Python."""
    if (draws := _draws.get()) is not None:
        draws[study, case, role] += 1
    key = "\x1f".join((study, case, image, role, str(restart)))
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1


def rng_for(study: str, case: str, image: str, role: str, restart: int = 0) -> torch.Generator:
    """A CPU generator for one draw. Draw on the CPU in float32, then move to the device."""
    import torch

    return torch.Generator().manual_seed(seed_for(study, case, image, role, restart))


@contextmanager
def counted_draws() -> Iterator[Draws]:
    """Count the seeds made within the block. With the image ids, they say which draws a result depends on."""
    draws: Draws = Counter()
    token = _draws.set(draws)
    try:
        yield draws
    finally:
        _draws.reset(token)
