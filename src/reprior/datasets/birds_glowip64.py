"""The 12 birds of 64 x 64 that the hybrid paper's group published with GlowIP (Asim et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reprior.acquire.archives import readable
from reprior.datasets.base import Array, Dataset
from reprior.datasets.photographs import SCALED, photograph, square

SOURCES = (
    "birds/glowip64/0040.jpg",
    "birds/glowip64/0249.jpg",
    "birds/glowip64/1125.jpg",
    "birds/glowip64/1206.jpg",
    "birds/glowip64/1236.jpg",
    "birds/glowip64/1822.jpg",
    "birds/glowip64/1835.jpg",
    "birds/glowip64/1996.jpg",
    "birds/glowip64/3362.jpg",
    "birds/glowip64/5326.jpg",
    "birds/glowip64/5635.jpg",
    "birds/glowip64/5712.jpg",
)


class BirdsGlowIP64(Dataset):
    """Ids are positions, from 0, in the test partition of CUB-200-2011, in the order of the data set `birds`."""

    image_shape = (3, 64, 64)
    names = [Path(source).stem for source in SOURCES]
    steps = (SCALED,)

    def __init__(self, raw: Path) -> None:
        self.files = {Path(source).stem: raw / source for source in SOURCES}

    def load(self, ids: Sequence[str]) -> Array:
        """Images [N, 3, 64, 64] in [0, 1]."""
        self._check_known(ids, self.files)
        return np.stack([self._image(self.files[name]) for name in ids])

    def _image(self, path: Path) -> Array:
        with readable(path):
            content = path.read_bytes()
        return square(photograph(content, str(path)), None, 64, "bilinear")
