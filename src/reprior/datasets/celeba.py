"""CelebA, aligned and cropped: 202,599 photographs of 178 x 218 (Liu et al. 2015), read from the published zip."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from reprior.datasets.aligned import PARTITIONS, AlignedFaces
from reprior.datasets.base import Numbers

SOURCES = ("celeba/img_align_celeba.zip",)


class CelebA(AlignedFaces):
    """Ids are the official six-digit file names; the order is the official one."""

    def __init__(
        self,
        raw: Path,
        *,
        partition: Literal["train", "validation", "test"] = "test",
        crop: Literal["carpedm20", "generator-surgery", "tkarras", "csgm", "began-box"] = "generator-surgery",
        size: Literal[64, 128] = 128,
        resize: Literal["bilinear", "lanczos", "bicubic", "nearest"] = "bilinear",
    ) -> None:
        super().__init__(raw / SOURCES[0], "img_align_celeba", crop=crop, size=size, resize=resize)
        self.partition = partition

    @property
    def names(self) -> Numbers:
        """The ids of the partition."""
        return Numbers(*PARTITIONS[self.partition], digits=6)
