"""Inpainting: only some pixels are observed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

import torch
from torch import Tensor

from reprior.errors import UserError
from reprior.operators.base import Operator
from reprior.types import Count, Fraction, NonNegative

_TAKES = {"box": ("hole",), "part": ("rows", "columns"), "random": ("observed",), "file": ("file",)}
"""The settings of each kind."""


class Inpaint(Operator):
    """y = the observed pixels of x, [N, C, K]: the rows of the identity where `mask` [H, W] is True.

    `kind` chooses the hidden pixels:
    - `box`: a centred square of side `hole` (CSGM);
    - `part`: the `rows` and `columns` between two fractions of height and width, such as [0.4, 0.6] (ILO);
    - `random`: each pixel, with all its channels, is observed with probability `observed` (ILO);
    - `file`: the black pixels of an image file, which is black and white (white = observed) and has the images' size.

    The rows are orthonormal, so A^+ = A^T: the image with zeros where it is hidden.

    The papers leave open: whether the mask differs between images (ours: one per case; ILO's code: one per image).
    """

    hides_pixels = True

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        rng: torch.Generator,
        *,
        kind: Literal["box", "part", "random", "file"],
        hole: Count | None = None,
        rows: list[NonNegative] | None = None,
        columns: list[NonNegative] | None = None,
        observed: Fraction | None = None,
        file: str | None = None,
    ) -> None:
        self.image_shape = image_shape
        given = {"hole": hole, "rows": rows, "columns": columns, "observed": observed, "file": file}
        _require_only(kind, {name for name, value in given.items() if value is not None})
        size = image_shape[1:]
        if hole is not None:
            mask = _box(size, hole)
        elif rows is not None and columns is not None:
            mask = _part(size, rows, columns)
        elif observed is not None:
            mask = torch.rand(size, generator=rng) < observed
        elif file is not None:
            mask = _from_file(size, Path(file))
        self._take(mask)

    @classmethod
    def of_mask(cls, image_shape: tuple[int, int, int], mask: Tensor) -> Self:
        """The operator of a boolean mask [H, W] that is True where a pixel is observed."""
        operator = cls.__new__(cls)
        operator.image_shape = image_shape
        if mask.dtype != torch.bool or mask.shape != image_shape[1:]:
            raise UserError(
                f"operator inpaint: the mask is {mask.dtype} of {tuple(mask.shape)}; give a boolean tensor of "
                f"{tuple(image_shape[1:])}, True where a pixel is observed"
            )
        operator._take(mask.cpu())
        return operator

    def _take(self, mask: Tensor) -> None:
        if not mask.any():
            raise UserError("operator inpaint: the mask hides every pixel; leave some of them observed")
        self.mask = mask
        self._index = mask.flatten().nonzero().squeeze(1)  # [K]
        self.measurement_shape = (self.image_shape[0], len(self._index))

    def A(self, x: Tensor) -> Tensor:
        """The observed pixels."""
        return x.flatten(2).index_select(2, self._index)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """The image of the observed pixels, zero elsewhere."""
        channels, height, width = self.image_shape
        pixels = y.new_zeros(len(y), channels, height * width).index_copy(2, self._index, y)
        return pixels.unflatten(2, (height, width))

    def A_dagger(self, y: Tensor) -> Tensor:
        """As `A_adjoint`."""
        return self.A_adjoint(y)

    def picture(self, y: Tensor) -> Tensor:
        """As `A_adjoint`: what is hidden is black."""
        return self.A_adjoint(y)

    def filled(self, picture: Tensor, x: Tensor) -> Tensor:
        """The observed pixels of the picture and the hidden ones of x."""
        return torch.where(self.mask, picture, x)


def _require_only(kind: str, given: set[str]) -> None:
    wanted = _TAKES[kind]
    if given != set(wanted):
        takes = " and ".join(f"`{name}`" for name in wanted)
        listed = ", ".join(f"`{name}`" for name in sorted(given)) or "none"
        raise UserError(f"operator inpaint: kind `{kind}` takes {takes} and no other such setting; got {listed}")


def _box(size: tuple[int, int], hole: int) -> Tensor:
    height, width = size
    if hole > min(size):
        raise UserError(f"operator inpaint: a hole of {hole} is larger than the images of {height} x {width}")
    mask = torch.ones(size, dtype=torch.bool)
    top, left = (height - hole) // 2, (width - hole) // 2
    mask[top : top + hole, left : left + hole] = False
    return mask


def _part(size: tuple[int, int], rows: Sequence[float], columns: Sequence[float]) -> Tensor:
    """Hides the rows and columns between two fractions of the height and the width."""
    places = []
    for name, length, ends in (("rows", size[0], rows), ("columns", size[1], columns)):
        first, last = (round(end * length) for end in ends) if len(ends) == 2 else (0, 0)
        if not first < last <= length:
            raise UserError(
                f"operator inpaint: {name} {list(ends)}: give two fractions, the smaller first, that hide some"
            )
        places.append(slice(first, last))
    mask = torch.ones(size, dtype=torch.bool)
    mask[tuple(places)] = False
    return mask


def _from_file(size: tuple[int, int], path: Path) -> Tensor:
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            levels = torch.from_numpy(np.array(image.convert("L")))  # [H, W]
    except (OSError, UnidentifiedImageError) as error:
        raise UserError(f"operator inpaint: the mask {path} cannot be read as an image ({error})") from error
    if levels.shape != torch.Size(size):
        height, width = size
        found = " x ".join(map(str, levels.shape))
        raise UserError(f"operator inpaint: the mask {path} is {found}, the images {height} x {width} (rows x columns)")
    if not ((levels == 0) | (levels == 255)).all():
        raise UserError(f"operator inpaint: the mask {path} holds grey levels; make it black (hidden) and white only")
    return levels == 255
