"""CelebA-HQ: 30,000 photographs of 1024 x 1024 (Karras et al. 2018), as published with CelebAMask-HQ."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from reprior.acquire.archives import Archive, open_archive
from reprior.datasets.base import Array, Dataset, Numbers
from reprior.datasets.photographs import SCALED, pictures, square

SOURCES = ("celebahq/CelebAMask-HQ.zip",)
SIDE = 1024


class CelebAHQ(Dataset):
    """Ids are the CelebA-HQ numbers "0" to "29999", in that order. Smaller sizes are means over blocks of pixels."""

    names = Numbers(0, 29_999)

    def __init__(self, raw: Path, *, size: Literal[64, 128, 256, 512, 1024] = 1024) -> None:
        self.path = raw / SOURCES[0]
        self.image_shape = (3, size, size)
        self.steps = (SCALED,) if size == SIDE else (f"resize {size}x{size} box", SCALED)

    def load(self, ids: Sequence[str]) -> Array:
        """Images [N, 3, size, size] in [0, 1]."""
        found = pictures(self.archive, [f"CelebAMask-HQ/CelebA-HQ-img/{name}.jpg" for name in ids])
        return np.stack([square(picture, None, self.image_shape[1], "box") for picture in found])

    @cached_property
    def archive(self) -> Archive:
        """The archive, opened when first used."""
        return open_archive(self.path)
