"""MNIST: 60,000 + 10,000 handwritten digits of 28 x 28 grey pixels (LeCun et al. 1998)."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from reprior.acquire.archives import readable
from reprior.datasets.base import Array, Dataset, Numbers
from reprior.errors import UserError

SOURCES = {
    "partition": {
        "train": ("mnist/train-images-idx3-ubyte.gz",),
        "validation": ("mnist/train-images-idx3-ubyte.gz",),
        "test": ("mnist/t10k-images-idx3-ubyte.gz",),
    }
}
PARTITIONS = {"train": (0, 49_999), "validation": (50_000, 59_999), "test": (0, 9_999)}
"""First and last digit of each partition in its file. MNIST has no validation digits: they are its last for training.

So networks are trained on 50,000 digits, as in NPGD.
"""
SIDE = 28
MAGIC = 0x0803
"""Magic number of an idx file of bytes in three dimensions."""
MOST = 100_000
"""Maximum number of digits read: more than MNIST has, and few enough for any memory."""


class MNIST(Dataset):
    """Ids are positions in the official order: "00000" to "49999", "50000" to "59999" or "00000" to "09999".

    `channels: 1` is the grey level, as NPGD uses it; `channels: 3` repeats it, for generators of colour images.
    """

    def __init__(
        self,
        raw: Path,
        *,
        partition: Literal["train", "validation", "test"] = "test",
        channels: Literal[1, 3] = 1,
        size: Literal[28] = 28,
    ) -> None:
        self.path = raw / SOURCES["partition"][partition][0]
        self.partition = partition
        self.image_shape = (channels, size, size)
        self.steps = ("divide by 255", *(["repeat the grey channel"] if channels == 3 else []))

    @cached_property
    def names(self) -> Numbers:
        """The ids of the partition."""
        first, last = PARTITIONS[self.partition]
        count = len(self.digits)
        if count <= first:
            raise UserError(
                f"{self.path}: has only {count:,} digits, and the partition '{self.partition}' starts after {first:,}; "
                "fetch it again"
            )
        return Numbers(first, min(last, count - 1), digits=5)

    @cached_property
    def digits(self) -> np.ndarray:
        """All digits of the file, [count, 28, 28] bytes."""
        return read_digits(self.path)

    def load(self, ids: Sequence[str]) -> Array:
        """Images [N, channels, 28, 28] in [0, 1]."""
        self._check_known(ids, self.names)
        grey = self.digits[[int(name) for name in ids], None].astype(np.float32) / 255
        return np.repeat(grey, self.image_shape[0], axis=1)


def read_digits(path: Path) -> np.ndarray:
    """The images of a gzipped idx file, [count, 28, 28] bytes."""
    with readable(path), gzip.open(path) as file:
        header = file.read(16)
        if len(header) < 16:
            raise EOFError("it ends within its header")
        magic, count, height, width = struct.unpack(">4I", header)
        if (magic, height, width) != (MAGIC, SIDE, SIDE) or not 0 < count <= MOST:
            raise ValueError(f"it is no idx file of {SIDE} x {SIDE} digits: its header is {header.hex(' ', 4)}")
        size = count * SIDE * SIDE
        content = file.read(size + 1)
    if len(content) != size:
        raise UserError(f"{path}: does not hold the {count} digits that its header states; fetch it again")
    return np.frombuffer(content, np.uint8).reshape(count, SIDE, SIDE)
