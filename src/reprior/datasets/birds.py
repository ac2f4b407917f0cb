"""Caltech-UCSD Birds 200, a square around each bird: images that a generator of faces has never seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from reprior.datasets.base import Array, Dataset
from reprior.datasets.cub import Bounds, Release2010, Release2011
from reprior.datasets.photographs import SCALED, Box, pictures, square
from reprior.errors import UserError

SOURCES = {
    "release": {
        "2011": ("birds/CUB_200_2011.tgz",),
        "2010": ("birds/cub2010_images.tgz", "birds/cub2010_lists.tgz", "birds/cub2010_annotations.tgz"),
    }
}


class Birds(Dataset):
    """Ids are the file names without `.jpg`, in the order of the official lists.

    Each bird is cropped as in StackGAN and in GlowIP, by the hybrid paper's group: a square around the middle of its
    bounding box, of half side 0.75 max(width, height). What lies outside the photograph is cut off, and the rest is
    scaled to a square. GlowIP scales with scikit-image; `bilinear` is the closest filter to it.

    The paper leaves open which release, which birds and how they were cropped. The default is the later release,
    because the earlier one may no longer be available.
    """

    def __init__(
        self,
        raw: Path,
        *,
        release: Literal["2011", "2010"] = "2011",
        partition: Literal["train", "test"] = "test",
        size: Literal[64, 128] = 64,
        resize: Literal["bilinear", "lanczos", "bicubic", "nearest"] = "bilinear",
    ) -> None:
        paths = [raw / source for source in SOURCES["release"][release]]
        self.release = Release2011(*paths) if release == "2011" else Release2010(*paths)
        self.partition = partition
        self.resize = resize
        self.image_shape = (3, size, size)
        self.steps = (
            "crop to the square of half side 0.75 max(width, height) about the bounding box, within the photograph",
            f"resize {size}x{size} {resize}",
            SCALED,
        )

    @cached_property
    def names(self) -> list[str]:
        """The ids of the partition."""
        return list(self.files)

    @cached_property
    def files(self) -> Mapping[str, str]:
        """The files of the partition by id, as the official lists name them."""
        return {PurePosixPath(file).stem: file for file in self.release.files(self.partition)}

    def load(self, ids: Sequence[str]) -> Array:
        """Images [N, 3, size, size] in [0, 1]."""
        self._check_known(ids, self.files)
        files = [self.files[name] for name in ids]
        bounds = self.release.bounds(files)
        found = pictures(self.release.images, [self.release.folder + file for file in files])
        return np.stack(
            [
                square(picture, around(bounds[file], *picture.size), self.image_shape[1], self.resize)
                for file, picture in zip(files, found, strict=True)
            ]
        )


def around(bounds: Bounds, width: int, height: int) -> Box:
    """The part of a photograph of `width` x `height` that shows the bird in `bounds`."""
    x, y, w, h = bounds
    half = int(0.75 * max(w, h))
    middle_x, middle_y = int((2 * x + w) / 2), int((2 * y + h) / 2)
    box = max(0, middle_x - half), max(0, middle_y - half), min(width, middle_x + half), min(height, middle_y + half)
    if box[0] >= box[2] or box[1] >= box[3]:
        raise UserError(f"birds: the bounding box {bounds} lies outside its photograph of {width} x {height}")
    return box
