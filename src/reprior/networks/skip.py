"""The encoder-decoder with skip connections of Deep Image Prior (Ulyanov et al. 2018, `models/skip.py`)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Skip(nn.Module):
    """[1, depth, H, W] -> [1, C, H, W] in (0, 1).

    Each scale halves the size by a strided convolution, applies another convolution, runs the next scale, doubles the
    size bilinearly, joins the result with `skip` channels made from its input, and applies two more convolutions. Every
    convolution but the last pads by reflection and is followed by batch normalisation over the one image and
    LeakyReLU(0.2).
    """

    def __init__(self, depth: int, channels: int, skip: int, scales: int, colours: int = 3) -> None:
        super().__init__()
        self.outermost = _Scale(depth, channels, skip, scales)
        self.out = nn.Conv2d(channels, colours, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[1, depth, H, W] -> [1, C, H, W]"""
        return torch.sigmoid(self.out(self.outermost(x)))


class _Scale(nn.Module):
    def __init__(self, depth: int, channels: int, skip: int, scales: int) -> None:
        super().__init__()
        self.skip = _convolution(depth, skip, 1)
        self.down = nn.Sequential(_convolution(depth, channels, 3, stride=2), _convolution(channels, channels, 3))
        self.deeper = _Scale(channels, channels, skip, scales - 1) if scales > 1 else nn.Identity()
        self.norm = _norm(skip + channels)
        self.up = nn.Sequential(_convolution(skip + channels, channels, 3), _convolution(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        deep = functional.interpolate(self.deeper(self.down(x)), scale_factor=2, mode="bilinear", align_corners=False)
        height, width = x.shape[2:]
        # Odd sides come back one too long.
        deep = deep[:, :, :height, :width]
        return self.up(self.norm(torch.cat([self.skip(x), deep], 1)))


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, padding_mode="reflect")
    return nn.Sequential(convolution, _norm(outputs), nn.LeakyReLU(0.2))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, track_running_stats=False)
