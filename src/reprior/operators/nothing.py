"""No measurement at all: a loss alone says what is wanted."""

from __future__ import annotations

import torch
from torch import Tensor

from reprior.operators.base import Operator


class Nothing(Operator):
    """y is empty. For images that only a classifier judges: the loss `cross-entropy` (ILO, Fig. 5)."""

    measurement_shape = (0,)

    def __init__(self, image_shape: tuple[int, int, int], rng: torch.Generator) -> None:
        del rng  # nothing is random
        self.image_shape = image_shape

    def A(self, x: Tensor) -> Tensor:
        """[N, 0]"""
        return x.flatten(1)[:, :0]

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Zeros."""
        return y.new_zeros(len(y), *self.image_shape)

    def A_dagger(self, y: Tensor) -> Tensor:
        """Zeros, the image of least norm."""
        return self.A_adjoint(y)
