"""Deblurring: a uniform blur of the same size as the image."""

from __future__ import annotations

from typing import Literal

import torch

from reprior.errors import UserError
from reprior.operators.separable import SeparableOperator, filter_matrix
from reprior.types import Count


class Blur(SeparableOperator):
    """y = A x: the mean over `width` x `width` pixels around each pixel (IAGAN: 9 x 9).

    `boundary` chooses the values beyond the border. `reflect`: the mirror image about the outermost pixels. `circular`:
    the opposite side. `zero`: zeros.

    A^+ is exact, but wide blurs are badly conditioned, and at some sizes singular: with `reflect`, a width of 9
    amplifies noise and float32 rounding by up to 1,700 at 64 pixels and millions at 1024.

    The paper leaves open: the boundary (ours: `reflect`, because its row "Blurred" rules out the other two, see
    docs/calibration.md); whether y is cropped (ours: no; that row cannot distinguish cropping from `reflect`).
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        rng: torch.Generator,
        *,
        width: Count = 9,
        boundary: Literal["reflect", "circular", "zero"] = "reflect",
    ) -> None:
        del rng  # nothing is random
        if width % 2 == 0:
            raise UserError(f"operator blur: width {width} is even; a kernel centred on a pixel has an odd width")
        taps = torch.full((width,), 1 / width, dtype=torch.float64)
        P, Q = (filter_matrix(taps, -(width // 2), 1, length, boundary) for length in image_shape[1:])
        super().__init__(image_shape, P, Q)
