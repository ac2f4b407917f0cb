"""The 300 handwritten digits that NPGD is tested on (Raj, Li, Bresler 2019), from its own zip of 0.2 MB."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from reprior.acquire.archives import Archive, open_archive
from reprior.datasets.base import Array, Dataset, Numbers
from reprior.datasets.photographs import SCALED, pictures, square

SOURCES = ("npgd/mnisttest.zip",)
CHANNELS = 1
FOLDER = "testing_images/data"


class NPGDDigits(Dataset):
    """Ids are the names of the files, "1" to "300". They are the first 300 test digits of MNIST, saved as JPEG.

    "1" is "00000" of `mnist`, with errors of about 5 levels of 255. As in NPGD, each file is read as RGB, and its first
    channel is taken.
    """

    names = Numbers(1, 300)

    def __init__(self, raw: Path, *, size: Literal[28] = 28) -> None:
        self.path = raw / SOURCES[0]
        self.image_shape = (1, size, size)
        self.steps = ("first channel", SCALED)

    def load(self, ids: Sequence[str]) -> Array:
        """Images [N, 1, 28, 28] in [0, 1]."""
        self._check_known(ids, self.names)
        found = pictures(self.archive, [f"{FOLDER}/{name}.jpg" for name in ids])
        return np.stack([square(picture, None, self.image_shape[1], "bilinear")[:1] for picture in found])

    @cached_property
    def archive(self) -> Archive:
        """The zip, opened when first used."""
        return open_archive(self.path)
