"""Super-resolution: downsampling with an anti-aliasing bicubic kernel."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from reprior.errors import UserError
from reprior.operators.separable import SeparableOperator, filter_matrix
from reprior.types import Count


class Bicubic(SeparableOperator):
    """y = A x: the kernel k(u/s) k(v/s) at every s-th pixel, s = `scale`, k Keys' cubic with a = -1/2 (IAGAN).

    The kernel sums to 1 and is centred on the s x s block of a pixel of y. `padding` chooses the values beyond the
    border. `zero`: zeros, as in IAGAN's released code. They darken the border of y: at s = 4 a constant 1 becomes 0.85
    in the corners and 0.92 at the edges. `reflect`: the mirror image, as in PULSE and ILO.

    The paper leaves open: the kernel's parameter and the padding (ours: those of the released code, but on the [0, 1]
    scale; the code pads on [-1, 1], where zero is mid-grey); odd s (ours: centred, too, so that s = 1 changes nothing).
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        rng: torch.Generator,
        *,
        scale: Count,
        padding: Literal["zero", "reflect"] = "zero",
    ) -> None:
        del rng  # nothing is random
        _, height, width = image_shape
        if height % scale or width % scale:
            raise UserError(f"operator bicubic: scale {scale} does not divide images of {height} x {width}")
        self.scale = scale
        P, Q = (_downsampling(length, scale, padding) for length in (height, width))
        super().__init__(image_shape, P, Q)

    def upsample(self, y: Tensor) -> Tensor:
        """Bicubic upsampling of y (a = -3/4): the paper's approximate A^+, [N, C, h, w] -> [N, C, H, W]."""
        return functional.interpolate(y, scale_factor=self.scale, mode="bicubic", align_corners=False)


def _downsampling(length: int, scale: int, padding: str) -> Tensor:
    """[length // scale, length]"""
    size = 4 * scale + scale % 2
    taps = _keys((torch.arange(size, dtype=torch.float64) - (size - 1) / 2) / scale)
    # The taps and the block have the same middle.
    return filter_matrix(taps / taps.sum(), -(size - scale) // 2, scale, length, padding)


def _keys(u: Tensor) -> Tensor:
    """Keys' cubic convolution kernel with a = -1/2."""
    u = u.abs()
    inner = 1.5 * u**3 - 2.5 * u**2 + 1
    outer = -0.5 * u**3 + 2.5 * u**2 - 4 * u + 2
    return torch.where(u <= 1, inner, torch.where(u < 2, outer, 0.0))
