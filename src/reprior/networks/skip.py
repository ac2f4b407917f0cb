"""The encoder-decoder with skip connections of Deep Image Prior (Ulyanov et al. 2018, `models/skip.py`)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.networks.bilinear import convolved, doubling, normalised

_LARGE = 32 * 32
"""Pixels from which a doubled image costs more than the many small operations that avoid it."""


class Skip(nn.Module):
    """[1, depth, H, W] -> [1, C, H, W] in (0, 1).

    Each scale halves the size by a strided convolution, applies another convolution, runs the next scale, doubles the
    size bilinearly, joins the result with `skip` channels made from its input, and applies two more convolutions. Every
    convolution but the last pads by reflection and is followed by batch normalisation over the one image and
    LeakyReLU(0.2).

    A bias before a normalisation has no effect, since the mean is subtracted. It is counted, as in the paper, but not
    added.

    On a CPU, feature maps have channels last in memory, and the large ones are not doubled before they are convolved:
    the same sums in another order.
    """

    def __init__(self, depth: int, channels: int, skip: int, scales: int, colours: int = 3) -> None:
        super().__init__()
        self.outermost = _Scale(depth, channels, skip, scales)
        self.out = nn.Conv2d(channels, colours, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[1, depth, H, W] -> [1, C, H, W]"""
        if x.device.type == "cpu":
            x = _channels_last(x)
        return torch.sigmoid(_mixed(self.out.weight, self.outermost(x)) + cast(Tensor, self.out.bias)[:, None, None])


class _Scale(nn.Module):
    def __init__(self, depth: int, channels: int, skip: int, scales: int) -> None:
        super().__init__()
        self.skip = _convolution(depth, skip, 1)
        self.down = nn.Sequential(_convolution(depth, channels, 3, stride=2), _convolution(channels, channels, 3))
        self.deeper = _Scale(channels, channels, skip, scales - 1) if scales > 1 else nn.Identity()
        self.norm = _norm(skip + channels)
        self.up = nn.Sequential(_convolution(skip + channels, channels, 3), _convolution(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        convolution, norm, activation = cast(nn.Sequential, self.up[0])
        large = x.device.type == "cpu" and x.shape[2:].numel() >= _LARGE
        join = self._join_without_doubling if large else self._join
        joined = join(self.skip(x), self.deeper(self.down(x)), cast(nn.Conv2d, convolution))
        return cast(Tensor, self.up[1](activation(norm(joined))))

    def _join(self, skip: Tensor, deep: Tensor, convolution: nn.Conv2d) -> Tensor:
        """Double `deep`, join it with `skip` [1, s, H, W], normalise and convolve."""
        deep = functional.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=False)
        height, width = skip.shape[2:]
        # Odd sides come back one too long.
        deep = deep[:, :, :height, :width]
        return cast(Tensor, convolution(self.norm(torch.cat([skip, deep], 1))))

    def _join_without_doubling(self, skip: Tensor, deep: Tensor, convolution: nn.Conv2d) -> Tensor:
        """The same, from the sum of two convolutions: of `skip` and of the doubled image."""
        sizes = [skip.shape[1], deep.shape[1]]
        scales, shifts = self.norm.weight.split(sizes), self.norm.bias.split(sizes)
        of_skip, of_deep = convolution.weight.split(sizes, 1)
        deep = _pixels(deep)
        if deep.dtype == torch.bfloat16:  # autocast does not know that these sums should be in float32
            deep = deep.float()
        with torch.autocast("cpu", enabled=False):
            rows, columns = (doubling(deep.shape[i], skip.shape[2 + i], deep.dtype) for i in range(2))
            deep = normalised(deep, rows, columns, scales[1], shifts[1], self.norm.eps)
        joined = convolved(deep, of_deep, rows, columns)
        skip = functional.batch_norm(skip, None, None, scales[0], shifts[0], training=True, eps=self.norm.eps)
        patches = functional.unfold(functional.pad(skip, (1, 1, 1, 1), mode="reflect"), 3)[0]  # [s * 9, H * W]
        joined.addmm_(patches.T.to(joined.dtype), of_skip.flatten(1).T.to(joined.dtype))
        return joined.view(1, *skip.shape[2:], -1).permute(0, 3, 1, 2)


class _Convolution(nn.Conv2d):
    """Padded by reflection; before a normalisation, so its bias is not added."""

    def forward(self, input: Tensor) -> Tensor:
        if self.kernel_size == (1, 1):
            return _mixed(self.weight, input)
        padded = functional.pad(input, (1, 1, 1, 1), mode="reflect")
        weight = self.weight
        if input.device.type == "cpu":
            # By way of a vector, the gradient comes back in the order of the weight.
            weight = _channels_last(weight.flatten().unflatten(0, weight.shape))
        return functional.conv2d(padded, weight, None, self.stride)


def _mixed(weight: Tensor, x: Tensor) -> Tensor:
    """A 1x1 convolution. On a CPU it is one matrix product."""
    if x.device.type != "cpu":
        return functional.conv2d(x, weight)
    return functional.linear(x.permute(0, 2, 3, 1), weight[:, :, 0, 0]).permute(0, 3, 1, 2)


def _channels_last(x: Tensor) -> Tensor:
    """As `contiguous(memory_format=torch.channels_last)`, which `vmap` does not know."""
    return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def _pixels(x: Tensor) -> Tensor:
    """[1, C, h, w] -> [h, w, C]"""
    return x[0].permute(1, 2, 0)


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    convolution = _Convolution(inputs, outputs, size, stride, size // 2, padding_mode="reflect")
    return nn.Sequential(convolution, _norm(outputs), nn.LeakyReLU(0.2, inplace=True))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, track_running_stats=False)
