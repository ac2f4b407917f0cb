"""Random draws that depend on what is drawn, never on which batch, device or job draws it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SHARED = "*"
"""Stands for the image id where all images of a case share one draw, such as the operator."""


def seed_for(study: str, case: str, image: str, role: str, restart: int = 0) -> int:
    """A 63-bit seed for one draw: the same in every process, batch, order and version of Python."""
    key = "\x1f".join((study, case, image, role, str(restart)))
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1


def rng_for(study: str, case: str, image: str, role: str, restart: int = 0) -> torch.Generator:
    """A CPU generator for one draw (DESIGN 4.2): draw on the CPU, in float32, then move."""
    import torch

    return torch.Generator().manual_seed(seed_for(study, case, image, role, restart))
