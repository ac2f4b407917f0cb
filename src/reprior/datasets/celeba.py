"""CelebA, aligned and cropped: 202,599 photographs of 178 x 218 (Liu et al. 2015), read from the published zip."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from reprior.datasets.base import Array, Dataset
from reprior.errors import UserError

SOURCES = ("celeba/img_align_celeba.zip",)
PARTITIONS = {"train": (1, 162_770), "validation": (162_771, 182_637), "test": (182_638, 202_599)}
CROPS = {  # left, top, side: the crops in use for 128 and 64 pixels; none is stated by the IAGAN paper
    "carpedm20": (25, 50, 128),
    "generator-surgery": (26, 51, 128),
    "tkarras": (25, 57, 128),
    "csgm": (35, 55, 108),
    "began-box": (32, 68, 116),
}


class CelebA(Dataset):
    """Ids are the official six-digit file names; the order is the official one."""

    def __init__(
        self,
        raw: Path,
        *,
        partition: Literal["train", "validation", "test"] = "test",
        crop: Literal["carpedm20", "generator-surgery", "tkarras", "csgm", "began-box"] = "generator-surgery",
        size: Literal[64, 128] = 128,
    ) -> None:
        self.path = raw / SOURCES[0]
        self.first, self.last = PARTITIONS[partition]
        left, top, side = CROPS[crop]
        self.box = (left, top, left + side, top + side)
        self.image_shape = (3, size, size)

    def ids(self, first: int, count: int) -> list[str]:
        """The ids from position `first` of the partition."""
        if self.first + first + count - 1 > self.last:
            raise UserError(f"CelebA: this partition has {self.last - self.first + 1} images, not {first + count}")
        return [f"{self.first + first + i:06d}" for i in range(count)]

    def load(self, ids: Sequence[str]) -> Array:
        """Cropped, resized (bilinear, anti-aliased) images [N, 3, size, size] in [0, 1]."""
        with zipfile.ZipFile(self.path) as archive:
            return np.stack([self._image(archive, name) for name in ids])

    def _image(self, archive: zipfile.ZipFile, name: str) -> Array:
        try:
            content = archive.read(f"img_align_celeba/{name}.jpg")
        except KeyError as error:
            raise UserError(f"{self.path}: there is no image '{name}'; ids are 000001 to 202599") from error
        with Image.open(io.BytesIO(content)) as picture:
            crop = picture.convert("RGB").crop(self.box)
        side = self.image_shape[1]
        if crop.width != side:
            crop = crop.resize((side, side), Image.Resampling.BILINEAR)
        return np.asarray(crop, np.float32).transpose(2, 0, 1) / 255
