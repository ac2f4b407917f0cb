"""Compressed sensing in the Fourier domain, as in magnetic resonance imaging."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from reprior.errors import UserError
from reprior.operators.base import Operator
from reprior.types import Fraction

REACHABLE = 1 - math.exp(-1)
"""The share of n cells that n uniform draws hit on average. No mask of the family is denser."""


class Fourier(Operator):
    """y = M F x: each channel's two-sided, orthonormal 2-D transform where the mask M is 1 (IAGAN).

    y is real, [N, C, 2, K]: the real and the imaginary parts of the K kept coefficients. M is the same for all
    channels. In its first quadrant, (H/2)^2 pairs (floor(t |g|), floor(t |g'|)) mod H/2 with g, g' ~ N(0, 1) are set to
    1; the corner is the constant component. The other three quadrants mirror the first (index j becomes H - 1 - j, as
    released).

    `mask` chooses how the threshold t is computed from `ratio`. `exact-ratio`: so that the share of ones is `ratio`, as
    the paper states. `released`: t = ratio * H / 2, as in the released code. Its masks hold 0.357 of the coefficients
    for 0.3 and 0.538 for 0.5. `actual_ratio` is the share of ones.

    The paper leaves open: the masks' distribution (ours: the released code's); whether they differ between images
    (ours: one per case). A mask may miss the constant component, as in the released code.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        rng: torch.Generator,
        *,
        ratio: Fraction,
        mask: Literal["exact-ratio", "released"] = "exact-ratio",
    ) -> None:
        self.image_shape = image_shape
        channels, height, width = image_shape
        if height != width or height % 2:
            raise UserError(f"operator fourier: images must be square of even size, not {height} x {width}")
        draws = torch.randn(2, (height // 2) ** 2, generator=rng).abs().double()
        released = mask == "released"
        quadrant = _quadrant(draws, ratio * height / 2) if released else _quadrant_of_ratio(draws, ratio)
        self.mask = _mirrored(quadrant)  # [H, W], True where a coefficient is kept
        self.actual_ratio = float(self.mask.double().mean())
        self._index = self.mask.flatten().nonzero().squeeze(1)  # [K]
        self._weight = (1 / _symmetric(self.mask)).flatten()[self._index]  # [K]
        self.measurement_shape = (channels, 2, len(self._index))

    def A(self, x: Tensor) -> Tensor:
        """M F x, as real and imaginary parts."""
        kept = torch.fft.fft2(x, norm="ortho").flatten(2).index_select(2, self._index)  # [N, C, K]
        return torch.stack((kept.real, kept.imag), 2)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Re F^H M^T y, with zeros where nothing was measured: the paper's naive inverse transform."""
        kept = torch.complex(y[:, :, 0], y[:, :, 1])  # [N, C, K]
        channels, height, width = self.image_shape
        spectrum = kept.new_zeros(len(y), channels, height * width).index_copy(2, self._index, kept)
        return torch.fft.ifft2(spectrum.unflatten(2, (height, width)), norm="ortho").real

    def A_dagger(self, y: Tensor) -> Tensor:
        """F^H S^+ F A^T y: on real images A^T A = F^H S F, where S(k) = (M(k) + M(-k)) / 2.

        S is symmetric, so division by it commutes with taking the real part.
        """
        return self.A_adjoint(y * self._weight)


def _quadrant(draws: Tensor, threshold: float) -> Tensor:
    """The first quadrant of a mask, [h, h], from draws [2, h * h]."""
    h = math.isqrt(draws.shape[1])
    rows, columns = (draws * threshold).floor().long() % h
    quadrant = torch.zeros(h, h, dtype=torch.bool)
    quadrant[rows, columns] = True
    return quadrant


def _quadrant_of_ratio(draws: Tensor, ratio: float) -> Tensor:
    """The quadrant in which the share of ones is `ratio`, to one cell. Every threshold tried uses the same draws."""
    h = math.isqrt(draws.shape[1])
    aim = max(1, round(ratio * h * h))
    high = float(h)
    while ratio <= REACHABLE and high < 100 * h and _quadrant(draws, high).sum() < aim:
        high *= 1.25
    if _quadrant(draws, high).sum() < aim:
        raise UserError(
            f"operator fourier: ratio {ratio} cannot be reached; these masks hold at most {REACHABLE:.3f} of the "
            "coefficients, a little more or less by chance"
        )
    return _bisected(draws, aim, high)


def _bisected(draws: Tensor, aim: int, high: float) -> Tensor:
    # As t grows, draws move to the next cell one at a time. So the number of marked cells takes every value between
    # 1 (t = 0) and >= aim (t = high). If two draws move together, 60 halvings exhaust the digits of t.
    low, best = 0.0, _quadrant(draws, high)
    for _ in range(60):
        if best.sum() == aim:
            break
        middle = (low + high) / 2
        quadrant = _quadrant(draws, middle)
        if abs(quadrant.sum() - aim) < abs(best.sum() - aim):
            best = quadrant
        low, high = (low, middle) if quadrant.sum() >= aim else (middle, high)
    return best


def _mirrored(quadrant: Tensor) -> Tensor:
    upper = torch.cat((quadrant, quadrant.flip(1)), 1)
    return torch.cat((upper, upper.flip(0)), 0)


def _symmetric(mask: Tensor) -> Tensor:
    """(M(k) + M(-k)) / 2, [H, W]."""
    return (mask.float() + mask.flip((0, 1)).roll((1, 1), (0, 1)).float()) / 2
