"""The base of every data set, and what the drawn ones share. Imports no torch, so that rendering jobs start fast."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from heapq import nsmallest
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from reprior.errors import UserError
from reprior.seeds import seed_for

Array = NDArray[np.floating[Any]]
"""Always float32. The type is wider because NumPy's type hints do not say that float32 times a number is float32."""

CHUNK = 16
"""Number of images drawn at a time, so that their planes fit in a core's cache. No image depends on it."""


class Dataset(ABC):
    """Images by name, in a fixed order.

    A module whose images come from downloads names them in a constant `SOURCES`, which the planner reads, and its
    class takes the folder of downloads as `raw`.
    """

    image_shape: tuple[int, int, int]
    steps: tuple[str, ...]
    """What was done to each photograph, or how an image was made. Stored with the prepared images."""

    @property
    @abstractmethod
    def names(self) -> Sequence[str]:
        """Every id, in the data set's own order."""

    @property
    def size(self) -> int:
        """The number of images."""
        return len(self.names)

    def ids(self, first: int, count: int) -> list[str]:
        """The `count` ids from position `first`, in the data set's own order."""
        self._check_range(first, count)
        return [self.names[position] for position in range(first, first + count)]

    def chosen(self, seed: int, first: int, count: int) -> list[str]:
        """The `count` ids from position `first`, in an order drawn from `seed`. A larger `count` only adds ids."""
        self._check_range(first, count)

        def order(name: str) -> int:
            return seed_for("dataset", str(seed), name, "order")

        return nsmallest(first + count, self.names, order)[first:]

    @abstractmethod
    def load(self, ids: Sequence[str]) -> Array:
        """Images [N, C, H, W] in [0, 1], in the order of `ids`; C is 3, or 1 for grey images."""

    def _check_known(self, ids: Sequence[str], known: Container[str]) -> None:
        for name in ids:
            if name not in known:
                raise UserError(
                    f"{type(self).__name__} has no image {name!r} with these settings; the first of its "
                    f"{self.size} ids is {self.names[0]!r}."
                )

    def _check_range(self, first: int, count: int) -> None:
        if first < 0 or count < 0 or first + count > self.size:
            raise UserError(
                f"{type(self).__name__} has images 0 to {self.size - 1}, but {count} from {first} were asked for: "
                "ask for fewer, or from an earlier one."
            )


class Numbers(Sequence[str]):
    """Ids that are numbers: `first` to `last`, padded with zeros to `digits` digits."""

    def __init__(self, first: int, last: int, digits: int = 1) -> None:
        self._range = range(first, last + 1)
        self._digits = digits

    def __len__(self) -> int:
        return len(self._range)

    def __contains__(self, name: object) -> bool:
        # Python refuses to convert strings of thousands of digits.
        number = int(name) if isinstance(name, str) and len(name) < 20 and name.isdecimal() else -1
        return number in self._range and name == self._written(number)

    @overload
    def __getitem__(self, position: int) -> str: ...

    @overload
    def __getitem__(self, position: slice) -> list[str]: ...

    def __getitem__(self, position: int | slice) -> str | list[str]:
        """The id at a position, or the ids of a slice."""
        if isinstance(position, slice):
            return [self._written(number) for number in self._range[position]]
        return self._written(self._range[position])

    def _written(self, number: int) -> str:
        return f"{number:0{self._digits}d}"


class Drawn(Dataset):
    """Images drawn from a seed that depends on data set, split and id. Ids are "000000" to "999999"."""

    names = Numbers(0, 999_999, 6)

    def __init__(self, split: str, size: int, channels: int = 3) -> None:
        self.split = split
        self.image_shape = (channels, size, size)
        self.steps = (f"drawn at {size}x{size}",)

    @abstractmethod
    def draw(self, ids: Sequence[str]) -> Array:
        """Draws a few images [N, C, H, W]."""

    def load(self, ids: Sequence[str]) -> Array:
        """Draws the images [N, C, H, W] in [0, 1], in threads, since NumPy releases the interpreter's lock."""
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
    # 3 t^2 - 2 t^3 from products only: they round the same way in any batch. Powers may not.
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
    """Paints a colour [N, 3, 1 or H, 1 or W] over image [N, 3, H, W] in place. Cover [N, H, W] is its opacity."""
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
