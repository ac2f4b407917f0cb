"""What every data set offers, and what the drawn ones share. Free of torch, so that rendering jobs start fast."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprior.errors import UserError

Array = NDArray[np.floating[Any]]
"""Float32 throughout; the type is wider because NumPy's own hints promise no more of float32 times a number."""

CHUNK = 16
"""Images drawn at a time: their planes stay in a core's cache. No image depends on it."""


class Dataset(ABC):
    """Images by name, in a fixed order.

    A module whose images come from downloads names them in a constant `SOURCES`, which the planner reads, and its
    class takes the folder of downloads as `raw`.
    """

    image_shape: tuple[int, int, int]

    @abstractmethod
    def ids(self, first: int, count: int) -> list[str]:
        """The `count` ids from position `first` of the data set's own order."""

    @abstractmethod
    def load(self, ids: Sequence[str]) -> Array:
        """Images [N, 3, H, W] in [0, 1], in the order of `ids`."""


class Drawn(Dataset):
    """Images drawn from a seed made of data set, split and id: "000000" to "999999"."""

    LIMIT = 1_000_000

    def __init__(self, split: str, size: int) -> None:
        self.split = split
        self.image_shape = (3, size, size)

    @abstractmethod
    def draw(self, ids: Sequence[str]) -> Array:
        """Draws a few images [N, 3, H, W]."""

    def ids(self, first: int, count: int) -> list[str]:
        """The six-digit ids first, first + 1, ..."""
        if first < 0 or count < 0 or first + count > self.LIMIT:
            raise UserError(
                f"{type(self).__name__} has images 0 to {self.LIMIT - 1}, but {count} from {first} were asked for: "
                "ask for fewer, or from an earlier one."
            )
        return [f"{i:06d}" for i in range(first, first + count)]

    def load(self, ids: Sequence[str]) -> Array:
        """Draws the images [N, 3, H, W] in [0, 1], in threads: NumPy lets go of the interpreter's lock."""
        for name in ids:
            self._check(name)
        images = np.empty((len(ids), *self.image_shape), np.float32)

        def fill(start: int) -> None:
            images[start : start + CHUNK] = self.draw(ids[start : start + CHUNK])

        with ThreadPoolExecutor() as pool:
            list(pool.map(fill, range(0, len(ids), CHUNK)))
        return images

    def _check(self, name: str) -> None:
        if not (len(name) == 6 and name.isascii() and name.isdigit()):
            raise UserError(f"{type(self).__name__} has no image {name!r}: ids have six digits, such as '000123'.")


def edge(distance: Array, softness: Array | float) -> Array:
    """Coverage of a pixel from its signed distance to an outline (inside positive): a smooth step `softness` wide."""
    t = distance / softness
    t += 0.5
    np.maximum(t, 0, out=t)
    np.minimum(t, 1, out=t)
    # 3 t^2 - 2 t^3 by products only: they round alike for any batch, which powers need not.
    s = t * -2
    s += 3
    s *= t
    s *= t
    return s


def glow(squared: Array) -> Array:
    """A soft blob 1 / (1 + d^2)^2 of the squared distance: bell-shaped, without exp."""
    t = squared + 1
    t *= t
    return np.divide(1, t, out=t)


def paint(image: Array, colour: Array, cover: Array) -> None:
    """Lays a colour [N, 3, 1 or H, 1 or W] over image [N, 3, H, W] in place, where cover [N, H, W] says."""
    step = colour - image
    step *= cover[:, None]
    image += step


def ramp(anchors: Sequence[tuple[float, float, float]], where: Array) -> Array:
    """Colours [N, 3, 1, 1] at `where` [N, 1, 1] in [0, 1] along a list of anchor colours."""
    table = np.asarray(anchors, np.float32)
    at = where.reshape(-1, 1) * np.float32(len(table) - 1)
    low = np.minimum(at.astype(np.int64), len(table) - 2)
    left, right = table[low[:, 0]], table[low[:, 0] + 1]
    return (left + (at - low.astype(np.float32)) * (right - left))[:, :, None, None]
