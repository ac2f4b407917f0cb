"""Super-resolution: downsampling by averages of blocks."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from reprior.errors import UserError
from reprior.operators.base import Operator
from reprior.types import Count


class BlockAverage(Operator):
    """y = A x: the mean of each f x f block of each channel, f = `scale` (NPGD: Raj, Li, Bresler, ICCV 2019; CSGM).

    A A^T = I / f^2, so A^+ = f^2 A^T: each mean is repeated over its block. CSGM's A is this one times f sqrt(n).

    `layout: released` is the A of NPGD's code for colour images. Its rows are made for images flattened as H, W, C but
    are applied to images flattened as C, H, W. So it averages values that lie apart: at 64 x 64 and f = 2, the first
    row averages the pixels (0, 0), (0, 3), (3, 0), (3, 3) of the first channel, and y is not a picture. A A^T is the
    same. With one channel both layouts are the same.

    The paper leaves open: the order of y (ours: [C, H / f, W / f]).
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        rng: torch.Generator,
        *,
        scale: Count = 2,
        layout: Literal["blocks", "released"] = "blocks",
    ) -> None:
        del rng  # nothing is random
        channels, height, width = image_shape
        if height % scale or width % scale:
            raise UserError(f"operator block-average: scale {scale} does not divide images of {height} x {width}")
        self.scale = scale
        self.image_shape = image_shape
        self.measurement_shape = (channels, height // scale, width // scale)
        self._mixed = layout == "released" and channels > 1

    def A(self, x: Tensor) -> Tensor:
        """The mean of each block: [N, C, H, W] -> [N, C, h, w]."""
        if self._mixed:
            x = self._as_if_channels_were_last(x)
        return functional.avg_pool2d(x, self.scale)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """y / f^2 at each pixel of the block: [N, C, h, w] -> [N, C, H, W]."""
        return self.A_dagger(y) / self.scale**2

    def A_dagger(self, y: Tensor) -> Tensor:
        """y at each pixel of the block: [N, C, h, w] -> [N, C, H, W]."""
        x = y.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)
        return x.permute(0, 2, 3, 1).reshape(x.shape) if self._mixed else x

    def picture(self, y: Tensor) -> Tensor | None:
        """y itself, a small picture; None for colours in the released layout."""
        return None if self._mixed else y

    def _as_if_channels_were_last(self, x: Tensor) -> Tensor:
        """The values of images [N, C, H, W], in their order, read as [N, H, W, C]; then as [N, C, H, W] again."""
        channels, height, width = self.image_shape
        return x.reshape(-1, height, width, channels).permute(0, 3, 1, 2)
