"""The layers that SAGAN's generator, discriminator and inverse network share (Zhang et al., ICML 2019)."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from reprior.errors import UserError

COARSEST = 4
"""The side of the coarsest feature map."""
Convolution = TypeVar("Convolution", nn.Conv2d, nn.ConvTranspose2d)
_ATTENTIONS = 2


class SelfAttention(nn.Module):
    """o = gamma * a + x, a_i = sum_j beta_ij h(x)_j, beta_ij = softmax_j(f(x)_j . g(x)_i), over all positions i, j.

    f and g are 1x1 convolutions to C / 8 channels, h to C. gamma starts at 0, so the layer starts as the identity.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = max(channels // 8, 1)
        self.f, self.g, self.h = (spectral(nn.Conv2d(channels, to, 1)) for to in (narrow, narrow, channels))
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]"""
        f, g, h = (conv(x).flatten(2) for conv in (self.f, self.g, self.h))  # [N, channels, H W]
        beta = (g.transpose(1, 2) @ f).softmax(2)  # [N, H W, H W]
        return self.gamma * (h @ beta.transpose(1, 2)).view_as(x) + x


class Trunk(nn.Module):
    """The hidden layers of D: 4x4 convolutions of stride 2 with spectral norm and LeakyReLU(0.1), down to 4x4.

    The width doubles, starting from `channels`. Self-attention follows the last two: the 3rd and 4th at 64 pixels.
    """

    def __init__(self, image_shape: tuple[int, int, int], channels: int) -> None:
        super().__init__()
        colours, size, width = image_shape
        halvings = max((size // COARSEST).bit_length() - 1, _ATTENTIONS)
        if not size == width == COARSEST * 2**halvings:
            raise UserError(
                f"network sagan: is for square images of 16, 32, 64, ... pixels, not {size} x {width}; use such images"
                " or another objective"
            )
        widths = [colours, *(channels * 2**halving for halving in range(halvings))]
        self.width = widths[-1]
        self.convs = nn.ModuleList(spectral(nn.Conv2d(*pair, 4, stride=2, padding=1)) for pair in pairwise(widths))
        self.attentions = attentions(widths[1:])

    def forward(self, v: Tensor) -> Tensor:
        """[N, C, size, size] -> [N, width, 4, 4]"""
        h = v
        for conv, attention in zip(self.convs, self.attentions, strict=True):
            h = attention(functional.leaky_relu(conv(h), 0.1))
        return h


def attentions(widths: list[int]) -> nn.ModuleList:
    """What follows the convolutions of these widths: nothing, but self-attention after the last two."""
    plain, attended = widths[:-_ATTENTIONS], widths[-_ATTENTIONS:]
    return nn.ModuleList([*(nn.Identity() for _ in plain), *(SelfAttention(width) for width in attended)])


class Spectral(nn.Module):
    """W -> W / sigma(W), where W has one row per output channel and sigma is its largest singular value.

    sigma = |W^T u|. Each pass in training brings u closer to W's first left singular vector by one step of power
    iteration; outside of training u stays (Miyato et al., ICLR 2018). The gradient regards u as constant.

    PyTorch's own parametrisation starts from a global random draw, and autocast rounds it.
    """

    u: Tensor

    def __init__(self, rows: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.register_buffer("u", torch.ones(rows) / rows**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """A convolution's weight, whose output channels are along `axis`."""
        W = weight.movedim(self.axis, 0).flatten(1)
        with torch.autocast(weight.device.type, enabled=False):
            if self.training:
                self.u = _closer(W.detach(), self.u)
            return weight / torch.linalg.vector_norm(W.T @ self.u)


def spectral(convolution: Convolution) -> Convolution:
    """The convolution, with its weight divided by its largest singular value."""
    axis = 1 if isinstance(convolution, nn.ConvTranspose2d) else 0
    # The checks that this leaves out would change u.
    parametrize.register_parametrization(convolution, "weight", Spectral(convolution.out_channels, axis), unsafe=True)
    return convolution


def _closer(W: Tensor, u: Tensor) -> Tensor:
    v = functional.normalize(W.T @ u, dim=0)
    return functional.normalize(W @ v, dim=0)
