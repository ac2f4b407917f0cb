"""Denoising: the image itself is measured."""

from __future__ import annotations

import torch
from torch import Tensor

from reprior.operators.base import Operator


class Identity(Operator):
    """y = x."""

    def __init__(self, image_shape: tuple[int, int, int], rng: torch.Generator) -> None:
        del rng  # nothing is random
        self.image_shape = image_shape
        self.measurement_shape = image_shape

    def A(self, x: Tensor) -> Tensor:
        """x"""
        return x

    def A_adjoint(self, y: Tensor) -> Tensor:
        """y"""
        return y

    def A_dagger(self, y: Tensor) -> Tensor:
        """y"""
        return y

    def picture(self, y: Tensor) -> Tensor:
        """y"""
        return y
