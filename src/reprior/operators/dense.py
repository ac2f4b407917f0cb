"""What operators with a dense matrix share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from reprior.errors import UserError
from reprior.operators.base import Operator


class DenseOperator(Operator):
    """y = A x with the matrix A in memory."""

    rows: Tensor
    """A, [m, n]."""

    def A(self, x: Tensor) -> Tensor:
        """y = A x, with x flattened as C, H, W."""
        y: Tensor = _Product.apply(self.rows, x.flatten(1))
        return y

    def A_adjoint(self, y: Tensor) -> Tensor:
        """A^T y."""
        return (y @ self.rows).reshape(-1, *self.image_shape)


class _Product(torch.autograd.Function):
    """x A^T and its gradient g A, with few rows: [N, n] -> [N, m]. With A as the left factor it takes half the time."""

    @staticmethod
    def forward(ctx: Any, A: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(A)
        return (A @ x.T).T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        (A,) = ctx.saved_tensors
        return None, gradients[0] @ A


def measurement_count(operator: str, n: int, ratio: float | None, measurements: int | None) -> int:
    """m, from `ratio` = m/n or `measurements` = m. UserError unless one of them is given and 1 <= m <= n."""
    if (ratio is None) == (measurements is None):
        raise UserError(f"operator {operator}: give either `ratio` or `measurements`")
    m = measurements if ratio is None else round(ratio * n)
    if m is None or not 1 <= m <= n:
        raise UserError(f"operator {operator}: {m} measurements of {n} pixel values; there must be from 1 to {n}")
    return m
