"""CelebA-HQ: 30,000 photographs of 1024 x 1024 (Karras et al. 2018), as published with CelebAMask-HQ."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from reprior.datasets.base import Array, Dataset
from reprior.errors import UserError

SOURCES = ("celebahq/CelebAMask-HQ.zip",)
IMAGES = 30_000


class CelebAHQ(Dataset):
    """Ids are the CelebA-HQ numbers "0" to "29999", in that order."""

    image_shape = (3, 1024, 1024)

    def __init__(self, raw: Path) -> None:
        self.path = raw / SOURCES[0]

    def ids(self, first: int, count: int) -> list[str]:
        """The ids from number `first`."""
        if first + count > IMAGES:
            raise UserError(f"CelebA-HQ has {IMAGES} images, not {first + count}")
        return [str(first + i) for i in range(count)]

    def load(self, ids: Sequence[str]) -> Array:
        """Images [N, 3, 1024, 1024] in [0, 1]."""
        with zipfile.ZipFile(self.path) as archive:
            return np.stack([self._image(archive, name) for name in ids])

    def _image(self, archive: zipfile.ZipFile, name: str) -> Array:
        try:
            content = archive.read(f"CelebAMask-HQ/CelebA-HQ-img/{name}.jpg")
        except KeyError as error:
            raise UserError(f"{self.path}: there is no image '{name}'; ids are 0 to {IMAGES - 1}") from error
        with Image.open(io.BytesIO(content)) as picture:
            return np.asarray(picture.convert("RGB"), np.float32).transpose(2, 0, 1) / 255
