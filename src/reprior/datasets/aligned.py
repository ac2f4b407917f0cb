"""Shared by the data sets of aligned CelebA photographs: 178 x 218 pixels, and the five crops in use."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from reprior.acquire.archives import Archive, open_archive
from reprior.datasets.base import Array, Dataset
from reprior.datasets.photographs import SCALED, pictures, square

PARTITIONS = {"train": (1, 162_770), "validation": (162_771, 182_637), "test": (182_638, 202_599)}
"""First and last image of each official partition."""

CROPS = {
    "carpedm20": (25, 50, 128),
    "generator-surgery": (26, 51, 128),
    "tkarras": (25, 57, 128),
    "csgm": (35, 55, 108),
    "began-box": (32, 68, 116),
}
"""Left, top and side of each crop.

The crops are those of carpedm20's BEGAN, of generator-surgery, of PGGAN's data tool, and of CSGM and NPGD (the centre).
`began-box` shows faces as the public BEGAN of 64 pixels saw them. The IAGAN paper states no crop.
"""


class AlignedFaces(Dataset):
    """Ids are the official six-digit file names; a subclass lists which of them it has."""

    def __init__(self, path: Path, folder: str, *, crop: str, size: int, resize: str) -> None:
        self.path = path
        self.folder = folder
        self.resize = resize
        self.image_shape = (3, size, size)
        left, top, side = CROPS[crop]
        self.box = (left, top, left + side, top + side)
        scaled = () if side == size else (f"resize {size}x{size} {resize}",)
        self.steps = (f"crop left {left} top {top} side {side}", *scaled, SCALED)

    def load(self, ids: Sequence[str]) -> Array:
        """Cropped, resized images [N, 3, size, size] in [0, 1]."""
        found = pictures(self.archive, [f"{self.folder}/{name}.jpg" for name in ids])
        return np.stack([square(picture, self.box, self.image_shape[1], self.resize) for picture in found])

    @cached_property
    def archive(self) -> Archive:
        """The archive, opened when first used."""
        return open_archive(self.path)


def partition_list() -> str:
    """The content of the official `list_eval_partition.txt`, so that it need not be downloaded."""
    lines = (
        f"{number:06d}.jpg {code}\r\n"
        for code, (first, last) in enumerate(PARTITIONS.values())
        for number in range(first, last + 1)
    )
    return "".join(lines)
