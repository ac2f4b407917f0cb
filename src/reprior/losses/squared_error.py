"""Squared error of the measurements."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from reprior.losses.base import Loss


class SquaredError(Loss):
    """||y - A x||^2 per image; with `reduction: mean`, divided by the number m of its measurements."""

    def __init__(self, y: Tensor, *, reduction: Literal["sum", "mean"] = "sum") -> None:
        self.y = y
        self.reduction = reduction

    def __call__(self, x: Tensor, Ax: Tensor) -> Tensor:
        """[N, ...] -> [N]"""
        squares = (self.y - Ax).square().flatten(1)
        return squares.sum(1) if self.reduction == "sum" else squares.mean(1)
