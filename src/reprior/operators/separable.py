"""What bicubic downsampling and blur share: they filter and sample rows and columns separately."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from reprior.errors import UserError
from reprior.operators.base import Operator


class SeparableOperator(Operator):
    """y = P x Q^T for each channel, with small matrices P [h, H] for the columns and Q [w, W] for the rows of x.

    The pseudo-inverse is exact: A^+ y = P^+ y Q^+T. All matrices are computed in float64 and rounded by `to`.
    """

    def __init__(self, image_shape: tuple[int, int, int], P: Tensor, Q: Tensor) -> None:
        self.image_shape = image_shape
        self.measurement_shape = (image_shape[0], len(P), len(Q))
        P_dagger = torch.linalg.pinv(P)
        self._exact = (P, Q, P_dagger, P_dagger if P.equal(Q) else torch.linalg.pinv(Q))
        self.to("cpu", torch.float32)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Self:
        """Round the float64 matrices to `dtype`, on `device`."""
        self.P, self.Q, self.P_dagger, self.Q_dagger = (matrix.to(device, dtype) for matrix in self._exact)
        return self

    def A(self, x: Tensor) -> Tensor:
        """P x Q^T: [N, C, H, W] -> [N, C, h, w]."""
        return self.P @ x @ self.Q.T

    def A_adjoint(self, y: Tensor) -> Tensor:
        """P^T y Q: [N, C, h, w] -> [N, C, H, W]."""
        return self.P.T @ y @ self.Q

    def A_dagger(self, y: Tensor) -> Tensor:
        """P^+ y Q^+T: [N, C, h, w] -> [N, C, H, W]."""
        return self.P_dagger @ y @ self.Q_dagger.T

    def picture(self, y: Tensor) -> Tensor:
        """y itself: a small or a blurred picture."""
        return y


def filter_matrix(taps: Tensor, first: int, stride: int, length: int, boundary: str) -> Tensor:
    """The float64 matrix [length // stride, length] whose row i has `taps` from column i * `stride` + `first` on.

    Beyond the ends of a line there are zeros (`zero`), the line again (`circular`) or its mirror image about the end
    sample (`reflect`).
    """
    h = length // stride
    sources = torch.arange(h)[:, None] * stride + first + torch.arange(len(taps))  # [h, taps]
    values = taps.double().expand(h, -1)
    if boundary == "zero":
        values = values * ((sources >= 0) & (sources < length))
        sources = sources.clamp(0, length - 1)
    elif boundary == "circular":
        sources = sources % length
    else:
        sources = _reflected(sources, length)
    return torch.zeros(h, length, dtype=torch.float64).scatter_add(1, sources, values)


def _reflected(sources: Tensor, length: int) -> Tensor:
    last = length - 1
    if sources.min() < -last or sources.max() > 2 * last:
        raise UserError(f"a filter that reflects at the border reaches farther than the image's {length} pixels")
    return last - (last - sources.abs()).abs()
