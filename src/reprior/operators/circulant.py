"""Compressed sensing with a partial circulant matrix, which needs no matrix in memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reprior.errors import UserError
from reprior.operators.base import Operator
from reprior.operators.solve import least_norm
from reprior.types import Fraction, Positive


class Circulant(Operator):
    """y = R C S x: random signs S, the circulant matrix C of g ~ N(0, I_n), and m = ratio * n of its rows R (ILO).

    x is flattened as C, H, W and the rows are distinct and uniformly drawn. `normalised` divides g by sqrt(m). A then
    has the scale of the Gaussian operator, so that noise levels and step sizes mean the same. The released code has no
    noise and does not normalise.

    A^+ has no closed form for m < n. It is computed by conjugate gradients, to the relative residual `tolerance`. They
    take more steps the nearer m is to n, because the smallest Fourier coefficients of g then matter more.

    The paper leaves open: whether A differs between images (ours: one per case; the released code draws one per image).
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        rng: torch.Generator,
        *,
        ratio: Fraction,
        normalised: bool = False,
        tolerance: Positive = 1e-5,
    ) -> None:
        self.image_shape = image_shape
        self.tolerance = tolerance
        n = math.prod(image_shape)
        m = round(ratio * n)
        if m < 1:
            raise UserError(f"operator circulant: ratio {ratio} of {n} pixel values is not even one measurement")
        self.measurement_shape = (m,)
        g = torch.randn(n, generator=rng) / (math.sqrt(m) if normalised else 1)
        self._spectrum = torch.view_as_real(torch.fft.rfft(g))  # [n // 2 + 1, 2]; real, so that `to` casts it
        self._signs = 2.0 * torch.randint(2, (n,), generator=rng) - 1
        self._index = torch.randperm(n, generator=rng)[:m].sort().values

    def A(self, x: Tensor) -> Tensor:
        """R C S x, with C = F^H diag(F g) F."""
        spectrum = torch.fft.rfft(x.flatten(1) * self._signs) * torch.view_as_complex(self._spectrum)
        return torch.fft.irfft(spectrum, n=len(self._signs)).index_select(1, self._index)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """S C^T R^T y."""
        n = len(self._signs)
        spectrum = torch.fft.rfft(y.new_zeros(len(y), n).index_copy(1, self._index, y))
        x = torch.fft.irfft(spectrum * torch.view_as_complex(self._spectrum).conj(), n=n) * self._signs
        return x.unflatten(1, self.image_shape)

    def A_dagger(self, y: Tensor) -> Tensor:
        """A^T (A A^T)^-1 y, to `tolerance`."""
        return least_norm(self.A, self.A_adjoint, y, self.tolerance)
