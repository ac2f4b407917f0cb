"""The 64 test images of CelebA that CSGM, PGD-GAN and NPGD use, from CSGM's own zip of 0.4 MB."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from reprior.datasets.aligned import AlignedFaces
from reprior.datasets.base import Numbers

SOURCES = ("celeba/csgm_celebAtest.zip",)


class CelebACSGM64(AlignedFaces):
    """Ids are CelebA's, 182638 to 182701. The files are the originals, so each image is the same as in `celeba`."""

    names = Numbers(182_638, 182_701, digits=6)

    def __init__(
        self,
        raw: Path,
        *,
        crop: Literal["carpedm20", "generator-surgery", "tkarras", "csgm", "began-box"] = "csgm",
        size: Literal[64, 128] = 64,
        resize: Literal["bilinear", "lanczos", "bicubic", "nearest"] = "bilinear",
    ) -> None:
        super().__init__(raw / SOURCES[0], "celebAtest", crop=crop, size=size, resize=resize)
