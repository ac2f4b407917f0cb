"""The generator of Progressive Growing of GANs (Karras et al. 2018) for CelebA-HQ, at its full resolution."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.generators.base import Generator

WIDEST = 512
"""Entries of z, and channels from 4x4 up to 32x32; finer scales have half as many at each doubling."""
_WIDTH_TIMES_SIZE = 16384


class PGGAN(Generator):
    """G(z): z ~ N(0, I), normalised, spread to 4x4, then doubled to `size` with two convolutions a scale.

    Each convolution has equalised learning rate: its weight is kept at unit variance, and a scalar beside it is
    the factor of He et al. (2015). As in the public port of the authors' weights, these scalars are parameters.
    """

    def __init__(self, *, size: Literal[256, 512, 1024] = 1024) -> None:
        super().__init__()
        self.latent_shape = (WIDEST,)
        self.image_shape = (3, size, size)
        sizes = [4 * 2**scale for scale in range((size // 4).bit_length())]
        widths = [min(WIDEST, _WIDTH_TIMES_SIZE // side) for side in sizes]
        # He's gain over four at 4x4: the authors' way of undoing the 16-fold fan-in that zero padding does not feed
        first = ScaledConv(WIDEST, widths[0], 4, padding=3, gain=math.sqrt(2) / 4)
        self.scales = nn.ModuleList([nn.ModuleList([first, _conv(widths[0], widths[0])])])
        for before, after in zip(widths[:-1], widths[1:], strict=True):
            self.scales.append(nn.ModuleList([_conv(before, after), _conv(after, after)]))
        self.out = ScaledConv(widths[-1], 3, 1, padding=0, gain=1.0)

    def forward(self, z: Tensor) -> Tensor:
        """[N, 512] -> [N, 3, size, size] in [-1, 1], unclamped."""
        h = normalise(z)[:, :, None, None]
        for scale, convs in enumerate(self.scales):
            if scale > 0:
                h = functional.interpolate(h, scale_factor=2, mode="nearest")
            for conv in convs.children():
                h = normalise(functional.leaky_relu(conv(h), 0.2))  # [N, width, 4 * 2^scale, 4 * 2^scale]
        return self.out(h)

    def draw_latent(self, rng: torch.Generator) -> Tensor:
        """z ~ N(0, I)."""
        return torch.randn(self.latent_shape, generator=rng)


class ScaledConv(nn.Module):
    """scale * (weight * x) + bias: a convolution with equalised learning rate."""

    def __init__(self, before: int, after: int, kernel: int, *, padding: int, gain: float) -> None:
        super().__init__()
        self.padding = padding
        self.weight = nn.Parameter(torch.randn(after, before, kernel, kernel))
        self.scale = nn.Parameter(torch.tensor(gain / math.sqrt(before * kernel**2)))
        self.bias = nn.Parameter(torch.zeros(after))

    def forward(self, x: Tensor) -> Tensor:
        """[N, before, H, W] -> [N, after, H', W']."""
        return functional.conv2d(x, self.weight, padding=self.padding) * self.scale + self.bias[:, None, None]


def normalise(x: Tensor) -> Tensor:
    """Pixel norm: each position's channels to a root mean square of one; [N, C, ...] -> the same shape."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


def _conv(before: int, after: int) -> ScaledConv:
    return ScaledConv(before, after, 3, padding=1, gain=math.sqrt(2))
