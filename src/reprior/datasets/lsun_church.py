"""Churches of LSUN (Yu et al. 2015): 126,227 photographs for training and 300 more, about 256 pixels high or wide."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from reprior.acquire.archives import open_archive
from reprior.datasets.base import Array, Dataset
from reprior.datasets.photographs import SCALED, centre, photograph, square
from reprior.errors import UserError

# The first is the partition's own. A training on `train` compares its candidates on images of `validation`.
SOURCES = {
    "partition": {
        "train": ("lsun/church_outdoor_train_lmdb.zip", "lsun/church_outdoor_val_lmdb.zip"),
        "validation": ("lsun/church_outdoor_val_lmdb.zip",),
    }
}
LIMIT = 4 * 2**30
"""Largest database that is read, in bytes."""


class LSUNChurch(Dataset):
    """Ids are the keys of the database, 40 hexadecimal digits each, in its own order, which is alphabetical.

    `fit: stretch` scales the whole photograph to a square, as the public SAGAN for PyTorch does.

    `train` is unpacked when first read: 3 GB of memory for that time, and 3 GB in the folder of temporary files.
    """

    def __init__(
        self,
        raw: Path,
        *,
        partition: Literal["train", "validation"] = "validation",
        fit: Literal["centre-crop", "stretch"] = "centre-crop",
        size: Literal[64, 128, 256] = 64,
        resize: Literal["bilinear", "lanczos", "bicubic", "nearest"] = "bilinear",
    ) -> None:
        self.path = raw / SOURCES["partition"][partition][0]
        self.fit = fit
        self.resize = resize
        self.image_shape = (3, size, size)
        crop = ("crop to the centre square",) if fit == "centre-crop" else ()
        self.steps = (*crop, f"resize {size}x{size} {resize}", SCALED)

    @cached_property
    def names(self) -> list[str]:
        """All ids."""
        return list(self.files)

    @cached_property
    def files(self) -> Mapping[str, bytes]:
        """The image files by their ids."""
        archive = open_archive(self.path)
        with TemporaryDirectory() as folder:
            try:
                file = archive.extract(self._member, Path(folder), LIMIT)
            except OSError as error:
                raise UserError(
                    f"{self.path}: cannot be unpacked into {folder} ({error}); free space there, or set TMPDIR to the"
                    " path of another folder"
                ) from error
            with self._damage_told():
                return Database(file)

    def load(self, ids: Sequence[str]) -> Array:
        """Images [N, 3, size, size] in [0, 1]."""
        self._check_known(ids, self.files)
        return np.stack([self._image(name) for name in ids])

    def _image(self, name: str) -> Array:
        with self._damage_told():
            content = self.files[name]
        picture = photograph(content, f"{self.path}: {name}")
        box = centre(*picture.size) if self.fit == "centre-crop" else None
        return square(picture, box, self.image_shape[1], self.resize)

    @property
    def _member(self) -> str:
        return f"{self.path.stem}/data.mdb"

    @contextmanager
    def _damage_told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.path}: {self._member} in it cannot be read ({error}); remove the archive and fetch it again"
            ) from error


class Database(Mapping[str, bytes]):
    """The entries of an LMDB file by key, read when asked for. The file may be removed at once: it stays mapped.

    Raises OSError or ValueError if the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        import lmdb

        try:
            self._lmdb = lmdb.open(os.fspath(path), subdir=False, readonly=True, lock=False)
            # Reading past the end of a memory-mapped file would kill the process.
            if path.stat().st_size < (self._lmdb.info()["last_pgno"] + 1) * self._lmdb.stat()["psize"]:
                raise ValueError("it ends too early")
            with self._lmdb.begin() as transaction:
                keys = list(transaction.cursor().iternext(values=False))
        except lmdb.Error as error:
            raise ValueError(str(error)) from error
        self._keys = dict.fromkeys(key.decode("ascii") for key in keys)

    def __getitem__(self, key: str) -> bytes:
        import lmdb

        if key not in self._keys:
            raise KeyError(key)
        try:
            with self._lmdb.begin() as transaction:
                return transaction.get(key.encode("ascii"), b"")
        except lmdb.Error as error:
            raise ValueError(str(error)) from error

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)
