"""Churches of LSUN (Yu et al. 2015): the 300 photographs of its validation set, about 256 pixels high or wide."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from reprior.acquire.archives import open_archive
from reprior.datasets.base import Array, Dataset
from reprior.datasets.photographs import SCALED, centre, photograph, square
from reprior.errors import UserError

SOURCES = ("lsun/church_outdoor_val_lmdb.zip",)
DATABASE = "church_outdoor_val_lmdb/data.mdb"


class LSUNChurch(Dataset):
    """Ids are the keys of the database, 40 hexadecimal digits each, in its own order, which is alphabetical."""

    def __init__(
        self,
        raw: Path,
        *,
        size: Literal[64, 128, 256] = 64,
        resize: Literal["bilinear", "lanczos", "bicubic", "nearest"] = "bilinear",
    ) -> None:
        self.path = raw / SOURCES[0]
        self.resize = resize
        self.image_shape = (3, size, size)
        self.steps = ("crop to the centre square", f"resize {size}x{size} {resize}", SCALED)

    @cached_property
    def names(self) -> list[str]:
        """All ids."""
        return list(self.files)

    @cached_property
    def files(self) -> Mapping[str, bytes]:
        """The image files by their ids: 6 MB in all."""
        with TemporaryDirectory() as folder:
            database = open_archive(self.path).extract(DATABASE, Path(folder))
            try:
                return read_lmdb(database)
            except (OSError, ValueError) as error:
                raise UserError(
                    f"{self.path}: {DATABASE} in it cannot be read ({error}); remove the archive and fetch it again"
                ) from error

    def load(self, ids: Sequence[str]) -> Array:
        """Images [N, 3, size, size] in [0, 1]."""
        self._check_known(ids, self.files)
        return np.stack([self._image(name) for name in ids])

    def _image(self, name: str) -> Array:
        picture = photograph(self.files[name], f"{self.path}: {name}")
        return square(picture, centre(*picture.size), self.image_shape[1], self.resize)


def read_lmdb(path: Path) -> dict[str, bytes]:
    """All entries of a small LMDB file by key. Raises OSError or ValueError if the file is damaged."""
    import lmdb

    try:
        with lmdb.open(os.fspath(path), subdir=False, readonly=True, lock=False) as database:
            # Reading past the end of a memory-mapped file would kill the process.
            if path.stat().st_size < (database.info()["last_pgno"] + 1) * database.stat()["psize"]:
                raise ValueError("it ends too early")
            with database.begin() as transaction:
                return {key.decode("ascii"): value for key, value in transaction.cursor()}
    except lmdb.Error as error:
        raise ValueError(str(error)) from error
