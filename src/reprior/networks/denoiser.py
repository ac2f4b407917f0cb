"""A residual denoiser (Zhang et al. 2017, DnCNN)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from reprior.errors import UserError
from reprior.types import Count


class Denoiser(nn.Module):
    """x - R(x): R predicts the noise by 3x3 convolutions with ReLU between them. For images of any size.

    Zhang, Zuo, Chen, Meng, Zhang: Beyond a Gaussian Denoiser, IEEE Transactions on Image Processing 26, 2017. Theirs
    has 64 channels and 17 or 20 layers with batch normalisation. Ours is smaller and has none, so that no image
    depends on others.
    """

    def __init__(self, *, channels: Count = 32, layers: Count = 7, colours: Literal[1, 3] = 1) -> None:
        super().__init__()
        self.colours = colours
        widths = [colours, *[channels] * (layers - 1)]
        hidden = [
            part
            for before, after in zip(widths[:-1], widths[1:], strict=True)
            for part in (nn.Conv2d(before, after, 3, padding=1), nn.ReLU())
        ]
        self.noise = nn.Sequential(*hidden, nn.Conv2d(widths[-1], colours, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] in [0, 1] with noise -> [N, C, H, W] without"""
        if x.shape[1] != self.colours:
            raise UserError(f"network denoiser: images have {x.shape[1]} channels; set `colours: {x.shape[1]}`")
        return x - self.noise(x)
