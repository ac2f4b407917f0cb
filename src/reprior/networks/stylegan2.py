"""Layers of StyleGAN2 (Karras et al. 2020): equalised linear layers, modulated convolutions, doubling with a blur."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from reprior.seeds import SHARED, rng_for

_BLUR = (0.125, 0.375, 0.375, 0.125)
"""The filter (1, 3, 3, 1) with sum 1."""
_SLOW = 0.01
"""The learning rate of the mapping network, relative to that of the others."""
_GAIN = math.sqrt(2)
"""Every LeakyReLU(x) is followed by this factor, which keeps the variance of a normal x about as it is.

As LeakyReLU(c x) = c LeakyReLU(x) for c > 0, it is part of the weights before large images: one pass less over them.
"""


def width(side: int, channels: int, widest: int) -> int:
    """Number of channels at a side: `channels` at 1024, doubled with each halving up to `widest`."""
    return min(widest, channels * 1024 // side)


def leaky(x: Tensor) -> Tensor:
    """sqrt(2) LeakyReLU(x)."""
    return functional.leaky_relu(x, 0.2) * _GAIN


class Linear(nn.Module):
    """W x / sqrt(n) + b + `offset`: a linear layer of n inputs with equalised learning rate, times `rate`."""

    def __init__(self, before: int, after: int, *, offset: float = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.scale, self.rate, self.offset = rate / math.sqrt(before), rate, offset
        self.weight = nn.Parameter(torch.randn(after, before))
        self.bias = nn.Parameter(torch.zeros(after))

    def forward(self, x: Tensor) -> Tensor:
        """[N, before] -> [N, after]"""
        return functional.linear(x, self.weight * self.scale, self.bias * self.rate + self.offset)


class Conv(nn.Module):
    """A convolution with equalised learning rate and a bias, of stride 2 after the blur if it has to `halve`.

    `leaky` follows if it is `active`.
    """

    def __init__(self, before: int, after: int, kernel: int, *, halve: bool = False, active: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(after))
        self.gain = _GAIN if active else 1.0
        self.scale, self.halve, self.active = self.gain / math.sqrt(before * kernel**2), halve, active

    def forward(self, x: Tensor) -> Tensor:
        """[N, before, side, side] -> [N, after, side or its half, ...]"""
        kernel, weight, bias = self.weight.shape[-1], self.weight * self.scale, self.bias * self.gain
        if self.halve:
            x = smoothed(x, around=(kernel + 1) // 2)
            x = functional.conv2d(x, weight, bias, stride=2)
        else:
            x = functional.conv2d(x, weight, bias, padding=kernel // 2)
        return functional.leaky_relu(x, 0.2) if self.active else x


class MappingNetwork(nn.Module):
    """f: z -> w. z is normalised; each linear layer is followed by a leaky ReLU."""

    def __init__(self, latent: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Linear(latent, latent, rate=_SLOW) for _ in range(layers))

    def forward(self, z: Tensor) -> Tensor:
        """[N, latent] -> [N, latent]"""
        h = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.layers:
            h = leaky(layer(h))
        return h


class Modulated(nn.Module):
    """A convolution whose weight W is scaled for each image by a style: eq. (1) and, with `demodulate`, eq. (3).

    W'_oik = s_i W_oik and W''_oik = W'_oik / sqrt(sum_ik W'_oik^2 + 1e-8). A convolution is linear, so its input is
    scaled by s and its output by the root. Images with different styles then share one convolution.
    """

    def __init__(
        self, before: int, after: int, kernel: int, latent: int, *, demodulate: bool = True, up: bool = False
    ) -> None:
        super().__init__()
        self.style = Linear(latent, before, offset=1.0)
        self.weight = nn.Parameter(torch.randn(after, before, kernel, kernel))
        self.scale = 1 / math.sqrt(before * kernel**2)
        self.demodulate, self.up = demodulate, up

    def forward(self, x: Tensor, w: Tensor, gain: float = 1.0) -> Tensor:
        """x [N, before, s, s], w [N, latent] -> [N, after, s or 2s, ...], times `gain` if demodulated."""
        s, weight = self.style(w), self.weight * self.scale
        x = x * s[:, :, None, None]
        if self.up:
            x = blurred(functional.conv_transpose2d(x, weight.transpose(0, 1), stride=2))
        else:
            x = functional.conv2d(x, weight, padding=weight.shape[-1] // 2)
        if self.demodulate:
            squares = weight.square().sum((2, 3))  # [after, before]
            x = x * (gain * torch.rsqrt(functional.linear(s.square(), squares) + 1e-8))[:, :, None, None]
        return x


class StyledConv(nn.Module):
    """A modulated 3x3 convolution, plus its strength times noise, plus a bias, and a leaky ReLU."""

    def __init__(self, before: int, after: int, latent: int, *, up: bool = False) -> None:
        super().__init__()
        self.conv = Modulated(before, after, 3, latent, up=up)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(after))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """x [N, before, ...], w [N, latent], noise [N, 1, side, side] -> [N, after, side, side]"""
        shift = _GAIN * (self.strength * noise + self.bias[:, None, None])  # [N, after, side, side]
        return functional.leaky_relu(self.conv(x, w, _GAIN) + shift, 0.2)


class ToRGB(nn.Module):
    """A modulated 1x1 convolution to colours, and a bias."""

    def __init__(self, before: int, colours: int, latent: int) -> None:
        super().__init__()
        self.conv = Modulated(before, colours, 1, latent, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(colours))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, before, side, side], w [N, latent] -> [N, colours, side, side]"""
        return self.conv(x, w) + self.bias[:, None, None]


def draw_equalised(network: nn.Module, rng: torch.Generator) -> None:
    """Draw weights N(0, 1), those of slow layers N(0, 1 / rate^2); biases and strengths of noise are zero."""
    rates = {id(layer.weight): layer.rate for layer in network.modules() if isinstance(layer, Linear)}
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim < 2:
                parameter.zero_()
            else:
                parameter.normal_(0, 1 / rates.get(id(parameter), 1.0), generator=rng)


@torch.no_grad()
def fitted(mapping: MappingNetwork, count: int = 100_000) -> tuple[Tensor, Tensor]:
    """Mean and deviation of f(z), z ~ N(0, I), without its last LeakyReLU: [latent] each. PULSE draws a million z."""
    like = next(mapping.parameters())
    rng = rng_for("stylegan2", "", SHARED, "fit")
    draws = torch.randn(count, like.shape[1], generator=rng).split(10_000)
    w = torch.cat([mapping(z.to(like)) for z in draws])
    before = torch.where(w < 0, 5 * w, w)
    return before.mean(0), before.std(0)


def blurred(x: Tensor) -> Tensor:
    """[N, C, 2s + 1, 2s + 1], a transposed convolution of stride 2 -> [N, C, 2s, 2s], blurred, with a gain of 4."""
    return smoothed(x, around=1, gain=4)


def smoothed(x: Tensor, around: int, gain: float = 1) -> Tensor:
    """[N, C, s, s] -> [N, C, s + 2 around - 3, ...]: zeros around the image, then the blur."""
    for dim in (2, 3):
        padding = _along(around, dim, 0)
        x = functional.conv2d(x, _blur(x, dim, math.sqrt(gain)), padding=padding, groups=x.shape[1])
    return x


def doubled(x: Tensor) -> Tensor:
    """[N, C, s, s] -> [N, C, 2s, 2s]: zeros between the pixels, then the blur, with a gain of 4."""
    for dim in (2, 3):
        stride, padding = _along(2, dim), _along(1, dim, 0)
        x = functional.conv_transpose2d(x, _blur(x, dim, 2), stride=stride, padding=padding, groups=x.shape[1])
    return x


def _blur(x: Tensor, dim: int, gain: float) -> Tensor:
    """The filter along one side, with a gain, for each channel of x: [C, 1, 4, 1] or [C, 1, 1, 4]."""
    return _filter(gain, x.device, x.dtype).view(1, 1, *_along(4, dim)).expand(x.shape[1], -1, -1, -1)


@cache
def _filter(gain: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The filter, copied to the device once and not in every step: [4]."""
    return torch.tensor(_BLUR, device=device, dtype=dtype) * gain


def _along(count: int, dim: int, other: int = 1) -> tuple[int, int]:
    """(count, other) for the height, (other, count) for the width."""
    return (count, other) if dim == 2 else (other, count)
