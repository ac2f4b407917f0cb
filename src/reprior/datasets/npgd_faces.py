"""The 64 test faces of CelebA as NPGD publishes them (Raj, Li, Bresler 2019): 64 x 64, saved as JPEG, 0.1 MB."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from reprior.acquire.archives import Archive, open_archive
from reprior.datasets.base import Array, Dataset, Numbers
from reprior.datasets.photographs import SCALED, pictures, square

SOURCES = ("npgd/celebAtest.zip",)


class NPGDFaces(Dataset):
    """Ids are CelebA's, 182638 to 182701. The faces are those of `celeba-csgm64`, cropped, scaled and saved as JPEG.

    They differ from it by about 35 dB.
    """

    names = Numbers(182_638, 182_701, digits=6)

    def __init__(self, raw: Path, *, size: Literal[64] = 64) -> None:
        self.path = raw / SOURCES[0]
        self.image_shape = (3, size, size)
        self.steps = (SCALED,)

    def load(self, ids: Sequence[str]) -> Array:
        """Images [N, 3, 64, 64] in [0, 1]."""
        self._check_known(ids, self.names)
        found = pictures(self.archive, [f"data/{name}.jpg" for name in ids])
        return np.stack([square(picture, None, self.image_shape[1], "bilinear") for picture in found])

    @cached_property
    def archive(self) -> Archive:
        """The zip, opened when first used."""
        return open_archive(self.path)
