"""Bins: neighbouring pixels of a row are measured together. Replace this by what your instrument measures."""

from __future__ import annotations

import torch
from torch import Tensor

from reprior.errors import UserError
from reprior.operators.base import Operator
from reprior.types import Count


class NewOperator(Operator):
    """y_j = (1 / k) sum_i x_{kj+i}, i = 0 ... k - 1, along each row, with k = `pixels`."""

    def __init__(self, image_shape: tuple[int, int, int], rng: torch.Generator, *, pixels: Count = 2) -> None:
        del rng  # nothing is random; random parts are drawn from it
        channels, height, width = image_shape
        if width % pixels:
            raise UserError(f"operator new-operator: {pixels} pixels do not divide the images' width, {width}")
        self.image_shape = image_shape
        self.measurement_shape = (channels, height, width // pixels)
        self.pixels = pixels

    def A(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W / k]."""
        return x.unflatten(-1, (-1, self.pixels)).mean(-1)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """y_j / k at each pixel of bin j: [N, C, H, W / k] -> [N, C, H, W]."""
        return self.A_dagger(y) / self.pixels

    def A_dagger(self, y: Tensor) -> Tensor:
        """y_j at each pixel of bin j, since A A^T = I / k. If you have no formula: `reprior.operators.solve`."""
        return y.repeat_interleave(self.pixels, -1)

    def picture(self, y: Tensor) -> Tensor:
        """y itself, for figures. Leave this out if y is not a picture."""
        return y
