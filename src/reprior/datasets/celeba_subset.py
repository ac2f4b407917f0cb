"""A tenth of CelebA: 18,000 training, 500 validation and 1,000 test images, byte for byte the originals."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

from reprior.datasets.aligned import PARTITIONS, AlignedFaces
from reprior.datasets.base import Numbers

SOURCES = ("celeba/celeba_subset.tar",)


class CelebASubset(AlignedFaces):
    """Ids are CelebA's: those of the partition that are in the archive, in the official order."""

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

    @cached_property
    def names(self) -> list[str]:
        """The ids, sorted."""
        partition = Numbers(*PARTITIONS[self.partition], digits=6)
        return sorted({PurePosixPath(member).stem for member in self.archive.names}.intersection(partition))
