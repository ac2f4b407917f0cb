"""The user's own images: every file of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from reprior.acquire.archives import readable
from reprior.datasets.base import Array, Dataset
from reprior.datasets.photographs import FORMATS, SCALED, centre, photograph, square
from reprior.errors import UserError
from reprior.types import Count


class Folder(Dataset):
    """Ids are the file names without their suffixes, sorted. Hidden files and subfolders are ignored.

    A relative `path` starts at the project's top folder. `fit: centre-crop` takes the largest square in the middle and
    scales it with the Lanczos filter; `exact` takes images that already are `size` x `size` and does not change them.

    Images are turned as their EXIF orientation says. Transparent pixels become white. More than 8 bits per channel are
    refused. With `channels: 3` grey becomes colour; with `channels: 1` colour becomes grey.

    The files are not inputs of Snakemake, so a changed or added file reruns nothing. After such a change, force the
    set's images: `--forcerun data/images/<scale>/<study>/<set>/*.safetensors`.
    """

    def __init__(
        self,
        *,
        path: str,
        size: Count = 64,
        fit: Literal["centre-crop", "exact"] = "centre-crop",
        channels: Literal[1, 3] = 3,
    ) -> None:
        self.path = Path(path)
        self.fit = fit
        self.image_shape = (channels, size, size)
        scaled = ("crop to the centre square", f"resize {size}x{size} lanczos") if fit == "centre-crop" else ()
        grey = ("weigh colours to grey as ITU-R 601",) if channels == 1 else ()
        self.steps = ("turn as EXIF says", *grey, *scaled, SCALED)

    @cached_property
    def names(self) -> list[str]:
        """All ids."""
        return list(self.files)

    @cached_property
    def files(self) -> dict[str, Path]:
        """The files by their ids."""
        if not self.path.is_dir():
            raise UserError(f"{self.path}: is not a folder; set `path` of the data set `folder` to a folder of images")
        files: dict[str, Path] = {}
        for file in sorted(self.path.iterdir(), key=lambda file: (file.stem, file.suffix)):
            if file.is_file() and not file.name.startswith("."):
                if file.stem in files:
                    raise UserError(f"{file}: has the same id '{file.stem}' as {files[file.stem].name}; rename one")
                files[file.stem] = file
        if not files:
            raise UserError(f"{self.path}: is empty; put images into it ({', '.join(FORMATS)})")
        return files

    def load(self, ids: Sequence[str]) -> Array:
        """Images [N, channels, size, size] in [0, 1]."""
        self._check_known(ids, self.files)
        return np.stack([self._image(name) for name in ids])

    def _image(self, name: str) -> Array:
        path, size = self.files[name], self.image_shape[1]
        with readable(path):
            content = path.read_bytes()
        picture = photograph(content, str(path), upright=True)
        if self.fit == "exact" and picture.size != (size, size):
            width, height = picture.size
            raise UserError(f"{path}: is {width} x {height}, not {size} x {size}; scale it or use `fit: centre-crop`")
        channels = self.image_shape[0]
        picture = picture.convert("L").convert("RGB") if channels == 1 else picture
        return square(picture, centre(*picture.size), size, "lanczos")[:channels]
