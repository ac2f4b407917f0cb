"""Compressed sensing with a dense Gaussian matrix."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reprior.operators.dense import DenseOperator, measurement_count
from reprior.operators.solve import least_norm
from reprior.types import Count, Fraction, Positive

_BLOCK = 256


class Gaussian(DenseOperator):
    """y = A x with A of m x n i.i.d. entries, A_ij ~ N(0, 1/m) (IAGAN, PGD-GAN, NPGD and the hybrid paper).

    `ratio` is m/n and `measurements` is m: give one of them. Only the seed of A is stored on disk.

    A^+ = A^T (A A^T)^-1 is computed by conjugate gradients, to the relative residual `tolerance`. The error falls by
    sqrt(m/n) per step at any size: 50 steps at m/n = 0.61 and 280 at 0.92. Each step reads A twice. In float32,
    rounding of A x leaves a residual of 1e-6 to 5e-6 of y, so no lower tolerance can be reached.

    A Cholesky factor of A A^T takes as many operations as m/2 steps on one image. It would pay from about 300 images on
    at m = 30,000, n = 49,152, and from 20 on at m = 11,256, n = 12,288. But it takes a second matrix of m x m (8 GB at
    m = 45,000), and in float32 it loses the squared condition number (2,000 at 0.92) in accuracy.

    The paper leaves open: how A^+ was computed; m if only a ratio is plotted (ours: the nearest to ratio * n).
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        rng: torch.Generator,
        *,
        ratio: Fraction | None = None,
        measurements: Count | None = None,
        tolerance: Positive = 1e-5,
    ) -> None:
        self.image_shape = image_shape
        self.tolerance = tolerance
        n = math.prod(image_shape)
        m = measurement_count("gaussian", n, ratio, measurements)
        self.measurement_shape = (m,)
        self.rows = _drawn(m, n, rng)  # [m, n]

    def A_dagger(self, y: Tensor) -> Tensor:
        """A^T (A A^T)^-1 y, to `tolerance`."""
        return least_norm(self.A, self.A_adjoint, y, self.tolerance)


def _drawn(m: int, n: int, rng: torch.Generator) -> Tensor:
    # In place and block by block, so that memory holds only A.
    rows = torch.empty(m, n, dtype=torch.float32)
    for block in rows.split(_BLOCK):
        block.normal_(0, m**-0.5, generator=rng)
    return rows
